"""Downloads from a public server with published sha256 sums: resumed, limited in size, verified."""

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx

from mm.base.atomic_file import write_atomic
from mm.base.code_identity import hash_file
from mm.errors import BrokenFile, DataError, TryLater, UsageError
from mm.market_data.rate_budget import Backoff, retry_after_s

Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows the progress of a task with a label and a number of bytes; yields a function that counts bytes."""

ATTEMPTS = 6
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
CHECKSUM = ".CHECKSUM"
MOST_CHECKSUM_BYTES, MOST_ANSWER_BYTES = 4_096, 1 << 20
_TIMEOUTS = httpx.Timeout(30.0, connect=10.0)
_LATER = frozenset((408, 425, 429, 500, 502, 503, 504))
Found = TypeVar("Found")
_SUM_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(\S+)\s*")


class NotPublished(DataError):
    """The server does not have the file."""


@dataclass(frozen=True)
class Loaded:
    path: Path
    url: str
    size: int
    sha256: str


class _Transient(Exception):
    def __init__(self, message: str, pause_s: float = 0.0) -> None:
        super().__init__(message)
        self.pause_s = pause_s


class Downloads:
    """Loads files of one server into a folder.

    Args:
        folder: It must exist, and belong to this process.
        instead: What to do where the server cannot be reached; ``{name}`` is the file.
    """

    def __init__(
        self,
        base_url: str,
        folder: Path,
        most_bytes: int,
        bar: Bar,
        pause: Callable[[float], None] = time.sleep,
        *,
        instead: str = "",
    ) -> None:
        self._instead = instead or "copy {name} and its " + f"{CHECKSUM} into {folder}"
        self._base_url, self._folder, self._most_bytes = base_url, folder, most_bytes
        self._bar, self._pause = bar, pause
        self._received = 0
        self._client = httpx.Client(timeout=_TIMEOUTS, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def published(self, place: str) -> bool:
        return self._retried(place, lambda: self._checked(self._client.head(self._base_url + place)).status_code != 404)

    def load(self, place: str) -> Loaded:
        """Load the file at *place* and verify it by its published ``.CHECKSUM``.

        Raises:
            NotPublished: If the server lacks it.
        """
        url, name = self._base_url + place, place.rpartition("/")[2]
        path, part = self._folder / name, self._folder / f"{name}.part"
        wanted = self._checksum(place, name)
        if not path.is_file():
            resumed = part.exists()
            self._fill(place, part)
            if resumed and hash_file(part) != wanted:  # the part may be of another file: once more, from the start
                part.unlink()
                self._fill(place, part)
            digest = hash_file(part)
            if digest != wanted:
                part.unlink()
                raise BrokenFile(f"{url}: its sha256 is {digest}, {name}{CHECKSUM} contains {wanted}; nothing was kept")
            part.replace(path)
        elif (digest := hash_file(path)) != wanted:
            raise BrokenFile(f"{path}: its sha256 is {digest}, {name}{CHECKSUM} contains {wanted}; remove it and retry")
        return Loaded(path, url, path.stat().st_size, wanted)

    def load_unsigned(self, place: str) -> Path:
        """Load a file without a published checksum, checked by its length; NotPublished if the server lacks it."""
        name = place.rpartition("/")[2]
        path, part = self._folder / name, self._folder / f"{name}.part"
        if not path.is_file():
            self._fill(place, part)
            part.replace(path)
        return path

    def answer(self, place: str) -> bytes:
        """Return a small response at *place*; NotPublished if the server has none."""
        return self._retried(place, lambda: self._small(place, MOST_ANSWER_BYTES, "an answer"))

    def _checksum(self, place: str, name: str) -> str:
        kept = self._folder / (name + CHECKSUM)
        if not kept.is_file():
            write_atomic(
                kept,
                self._retried(
                    place + CHECKSUM, lambda: self._small(place + CHECKSUM, MOST_CHECKSUM_BYTES, "a checksum")
                ),
            )
        text = kept.read_text(encoding="utf-8", errors="replace")
        match = _SUM_LINE.fullmatch(text)
        if match is None or match[2] != name:
            kept.unlink()
            raise BrokenFile(f"{self._base_url}{place}{CHECKSUM}: {text[:100]!r} is not '<sha256>  {name}'")
        return match[1].lower()

    def _small(self, place: str, most_bytes: int, what: str) -> bytes:
        with self._client.stream("GET", self._base_url + place) as answer:
            self._require_published(self._checked(answer), place)
            data = b""
            for chunk in answer.iter_bytes():
                data += chunk
                if len(data) > most_bytes:
                    raise BrokenFile(f"{self._base_url}{place}: over {most_bytes} bytes, so not {what}")
            return data

    def _fill(self, place: str, part: Path) -> None:
        self._retried(place, lambda: self._append_rest(place, part))

    def _append_rest(self, place: str, part: Path) -> None:
        have = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with self._client.stream("GET", self._base_url + place, headers=headers) as answer:
            if answer.status_code == 416:  # the part is as long as the file, or longer
                if answer.headers.get("Content-Range", "").endswith(f"/{have}"):
                    return
                part.unlink()
                raise _Transient("the existing part is longer than the file")
            self._require_published(self._checked(answer), place)
            if answer.status_code != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                have = 0
            length = answer.headers.get("Content-Length", "")
            total = have + int(length) if length.isdigit() else None
            self._check_size(place, total or 0)
            with (
                part.open("ab" if have else "wb") as file,
                self._bar(place.rpartition("/")[2], total or 0) as advance,
            ):
                advance(have)
                for chunk in answer.iter_raw():
                    have += len(chunk)
                    self._received += len(chunk)
                    self._check_size(place, have)
                    file.write(chunk)
                    advance(len(chunk))
        if total is not None and have != total:
            raise _Transient(f"{have:,} of {total:,} bytes were received")

    def _check_size(self, place: str, size: int) -> None:
        if size > self._most_bytes:
            raise UsageError(
                "{max_download_mb} was {:g}: {}{} has {:,.1f} MB; raise it, or choose a quieter symbol or day",
                self._most_bytes / 1000000.0,
                self._base_url,
                place,
                size / 1000000.0,
            )

    def _require_published(self, answer: httpx.Response, place: str) -> None:
        if answer.status_code == 404:
            raise NotPublished(f"{self._base_url}{place.removesuffix(CHECKSUM)}: not published (404)")

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code in _LATER:
            raise _Transient(f"HTTP {answer.status_code}", retry_after_s(answer.headers.get("Retry-After")))
        if answer.status_code not in (200, 206, 404):
            raise DataError("{} returned HTTP {}; check {fetch_url}", answer.url, answer.status_code)
        return answer

    def _retried(self, place: str, attempt: Callable[[], Found]) -> Found:
        """Pauses grow; an attempt that received bytes does not count as a failure."""
        backoff, failures = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S), 0
        while True:
            before = self._received
            try:
                return attempt()
            except (httpx.TransportError, _Transient) as error:
                failures = 1 if self._received > before else failures + 1
                if failures >= ATTEMPTS:
                    name = place.rpartition("/")[2].removesuffix(CHECKSUM)
                    raise TryLater(
                        f"{self._base_url}{place}: {str(error) or type(error).__name__}, {ATTEMPTS} times; try again "
                        f"later (received data is kept), or {self._instead.replace('{name}', name)}"
                    ) from error
                requested_s = error.pause_s if isinstance(error, _Transient) else 0.0
                self._pause(max(backoff.delay(time.monotonic()), min(requested_s, LONGEST_PAUSE_S)))
