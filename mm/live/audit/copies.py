"""Copies of audit logs kept elsewhere: shipping, restoring, retention, and records of how far a log was written."""

import filecmp
import os
import syslog
import threading
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from mm.base.atomic_file import fsync_path
from mm.base.audit_chain import SUFFIX, ZEROS, Witness, end_of, rows_after, verify_lines
from mm.errors import BrokenFile, DataError, TryLater
from mm.live.audit.books import BOOKS
from mm.live.audit.log import starts_of

SYSLOG = "syslog:"
ANSWER_S = 10.0
"""Time within which a webhook must answer, s."""
_CHUNK = 1 << 20
_BATCH_ROWS = 10_000
_FEW = 3


def append_copy(log: Path, copy: Path, *, shrinks: bool = False) -> Witness:
    """Append the rows that the copy lacks, and return the end of the log; raises BrokenFile, TryLater or DataError.

    With *shrinks* the copy may have more rows, as when the log has grown since it was shipped.
    """
    try:
        with log.open("rb") as source:
            had, complete, equal = _compared(source, copy)
            if not equal:
                raise BrokenFile(f"{log} differs from {copy}: rows were changed after they were shipped; keep both")
            if had > os.fstat(source.fileno()).st_size:
                if shrinks:
                    return end_of(log)
                raise BrokenFile(
                    f"{log}: its end was cut off: {copy} has {had:,} bytes; mm audit restore brings it back"
                )
            source.seek(complete)
            shipped = end_of(copy) if complete else Witness(log.name, 0, ZEROS)
            return _append(copy, had - complete, rows_after(source, shipped))
    except OSError as error:
        raise DataError(f"{error.filename or log}: it cannot be read ({error.strerror})") from error


def _compared(source: BinaryIO, copy: Path) -> tuple[int, int, bool]:
    had = complete = 0
    if not copy.exists():
        return 0, 0, True
    with copy.open("rb") as known:
        while chunk := known.read(_CHUNK):
            same = source.read(len(chunk))
            if same != chunk[: len(same)]:
                return had, complete, False
            complete = had + chunk.rfind(b"\n") + 1 if b"\n" in chunk else complete
            had += len(chunk)
    return had, complete, True


def _append(copy: Path, skip: int, rows: Iterator[tuple[bytes, Witness]]) -> Witness:
    end = end_of(copy) if copy.exists() else Witness(copy.name, 0, ZEROS)
    try:
        opened = os.open(copy, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(opened, "wb") as file:
            while batch := list(islice(rows, _BATCH_ROWS)):
                file.write(b"".join(text for text, _ in batch)[skip:])
                skip, end = 0, batch[-1][1]
            file.flush()
            os.fsync(opened)
        fsync_path(copy.parent)
    except OSError as error:
        raise TryLater(
            f"{copy}: rows cannot be shipped ({error.strerror}); make room there, and ship again: nothing is lost"
        ) from error
    return end


class LogHead(msgspec.Struct, frozen=True):
    """How far a log was written at an instant, as evidence against a cut or recomputed end."""

    symbol: str
    file: str
    rows: int
    hash: str
    us: int

    def line(self) -> bytes:
        return msgspec.json.encode(self) + b"\n"

    def witness(self, source: str) -> Witness:
        return Witness(self.file, self.rows, self.hash, source, grows=True)


def read_heads(path: Path, symbol: str) -> list[LogHead]:
    """Skip an incomplete last line; raises BrokenFile or DataError."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
        found = [msgspec.json.decode(line, type=LogHead) for line in lines]
    except msgspec.MsgspecError as error:
        raise BrokenFile(f"{path}: not a file of heads ({error}); mm audit ship --head writes one") from error
    except OSError as error:
        raise DataError(f"{path}: the heads cannot be read ({error.strerror}); give the file of --head") from error
    return [head for head in found if head.symbol == symbol]


def send_heads(heads: Iterable[LogHead], place: str) -> None:
    """Send to a file (appended), an ``http(s)://`` address, or ``syslog:``; TryLater if refused."""
    lines = b"".join(head.line() for head in heads)
    if not lines:
        return
    if place.startswith(("http://", "https://")):
        _post(place, lines)
    elif place == SYSLOG:
        syslog.openlog("mm-audit", 0, syslog.LOG_AUTH)
        for line in lines.splitlines():
            syslog.syslog(syslog.LOG_NOTICE, line.decode())
    else:
        try:
            with open(place, "ab") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise TryLater(f"--head {place}: cannot be written ({error.strerror}); give another place") from error


def _post(url: str, lines: bytes) -> None:
    """Give up after `ANSWER_S` on a server that never answers, or sends a byte at a time."""
    request = urllib.request.Request(url, lines, {"Content-Type": "application/x-ndjson"}, method="POST")
    result: list[str] = []

    def post() -> None:
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S):
                result.append("")
        except (OSError, ValueError) as error:
            result.append(str(error))

    posting = threading.Thread(target=post, daemon=True)
    posting.start()
    posting.join(ANSWER_S)
    why = result[0] if result else f"no answer within {ANSWER_S:g} s"
    if why:
        raise TryLater(f"--head {url.partition('?')[0]}: the heads were not taken ({why}); the copies are written")


def removable(folder: Path, archive: Path, before_us: int) -> Iterator[tuple[Path, str]]:
    """Yield each log that may be removed, or was asked for, with the reason if it must stay.

    A log may go if a later one of its venue began before *before_us* and sums it up in row 1, and *archive* has an
    equal and whole copy.
    """
    starts = starts_of(folder)
    for log, row in starts.items():
        later = [start for start in starts.values() if start is not row and start.get("venue") == row.get("venue")]
        named = [(one, entry) for one in later for entry in one.get("earlier", ()) if entry["file"] == log.name]
        held = [(one, entry) for one, entry in named if BOOKS in one and one["us"] < before_us]
        if held:
            entry = held[0][1]
            yield (
                log,
                _why_kept(log, archive / log.name, Witness(log.name, entry["rows"], entry["hash"], "the next log")),
            )


def _why_kept(log: Path, copy: Path, witness: Witness) -> str:
    if not copy.exists():
        return f"{copy} is missing: it was not shipped"
    if not filecmp.cmp(log, copy, shallow=False):
        return f"{copy} differs: ship it again, see mm audit verify"
    with copy.open("rb") as lines:
        found = verify_lines(lines, open_end=True, witnesses=[witness])
    return "" if found.row is None else f"{copy}: row {found.row}: {found.why}"


def verify_series(
    folder: Path, heads: Mapping[str, list[Witness]], last_hash: str | None, *, open_end: bool
) -> dict[str, Any]:
    """Verify all logs in a folder, and what they record of one another; BrokenFile for the first contradiction.

    *heads* are records kept elsewhere, by the name of their log.

    Returns:
        ``logs`` with ``file``, ``rows``, ``last_hash``, ``stopped`` of each, in order; ``rows``; ``last_hash``;
        ``elsewhere``, the logs that others name and that are not here.
    """
    starts = starts_of(folder)
    records: dict[str, list[Witness]] = {name: list(found) for name, found in heads.items()}
    for log, row in starts.items():
        for entry in row.get("earlier", ()):
            records.setdefault(entry["file"], []).append(Witness(entry["file"], entry["rows"], entry["hash"], log.name))
    logs: list[dict[str, Any]] = []
    hit = last_hash in (None, ZEROS)
    for log in starts:
        with log.open("rb") as lines:
            ends_open = open_end or log != list(starts)[-1]  # a killed run's log ends where the next one says
            found = verify_lines(lines, open_end=ends_open, witnesses=records.get(log.name, ()))
        if found.row is not None:
            raise BrokenFile(f"{log}: row {found.row}: {found.why}")
        logs.append({"file": log.name, "rows": found.rows, "last_hash": found.last_hash, "stopped": found.stopped})
        hit = hit or has_hash(log, str(last_hash))
    here = {log.name for log in folder.glob(f"*{SUFFIX}")}
    elsewhere = sorted({entry["file"] for row in starts.values() for entry in row.get("earlier", ())} - here)
    for name in heads.keys() - here - set(elsewhere):
        raise BrokenFile(f"{folder / name}: the log is missing; {heads[name][0].source} records it")
    if not hit:
        raise BrokenFile(f"{folder}: no row has the hash {last_hash}: the end was cut off, or rows were changed")
    if not logs:
        below = sorted({str(log.parent) for log in folder.rglob(f"*{SUFFIX}")})
        such = f", such as {' or '.join(below[:_FEW])}" if below else ""
        raise DataError(f"{folder}: there is no audit log; give the folder of a symbol's logs{such}")
    rows = sum(log["rows"] for log in logs)
    return {"logs": logs, "rows": rows, "last_hash": logs[-1]["last_hash"], "elsewhere": elsewhere}


def has_hash(log: Path, text: str) -> bool:
    ending = f'"hash":"{text}"}}\n'.encode()
    with log.open("rb") as lines:
        return any(line.endswith(ending) for line in lines)
