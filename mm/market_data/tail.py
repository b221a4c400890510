"""Where a file that only grows ends: its whole lines, and the torn bytes that a crash may have left behind them."""

import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from mm.errors import BrokenFile
from mm.market_data.layout import PACKED

GZIP_FORMAT = 31
_CHUNK = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b\x08"


@dataclass(frozen=True, slots=True)
class Tail:
    """What a scan of a file found.

    Attributes:
        lines: Whole lines, the header of a CSV included.
        head: The first two lines, as far as there are so many, without their newlines.
        last: The last whole line, without its newline; empty where there is none.
        good_bytes: Size of the file up to the end of its last whole line (CSV) or gzip member.
        lost_bytes: What stands behind that.
    """

    lines: int = 0
    head: tuple[bytes, ...] = ()
    last: bytes = b""
    good_bytes: int = 0
    lost_bytes: int = 0


def scan(path: Path) -> Tail:
    """Read all of *path* (plain, or gzip with many members) and return where it ends; a missing file is empty."""
    if not path.exists():
        return Tail()
    with path.open("rb") as stream:
        lines = _scan_gzip(stream) if path.suffix == PACKED else _scan_plain(stream)
    lost = path.stat().st_size - lines.good_bytes
    return Tail(lines.count, tuple(lines.head), lines.last, lines.good_bytes, lost)


def last_line(path: Path) -> bytes:
    """Return the last line of a plain file of whole lines, without its newline; empty where there is none."""
    with path.open("rb") as stream:
        begin = end = stream.seek(0, os.SEEK_END)
        found = b""
        while begin and b"\n" not in found[:-1]:
            begin = max(0, begin - _CHUNK)
            stream.seek(begin)
            found = stream.read(end - begin)
    return found[:-1].rpartition(b"\n")[2]


def first_lines(path: Path) -> tuple[bytes, ...]:
    """Return the first two lines of *path* (plain, or gzip), as far as there are so many, without their newlines."""
    lines = _Lines()
    with path.open("rb") as stream:
        for text in (piece for piece, _ in unpacked(stream)) if path.suffix == PACKED else _chunks(stream):
            lines.feed(text)
            if len(lines.head) == 2:
                break
    return tuple(line for line in lines.head if line)


def recover_tail(path: Path) -> Tail:
    """Cut *path* back to its last whole line or gzip member; the answer tells what stays and what was lost.

    Raises:
        BrokenFile: If good rows stand behind the damage: then it is no torn tail, and nothing is cut.
    """
    found = scan(path)
    if found.lost_bytes:
        with path.open("rb") as stream:
            stream.seek(found.good_bytes)
            torn = stream.read()
        if _holds_rows(torn, packed=path.suffix == PACKED):
            raise BrokenFile(
                f"{path}: damaged at byte {found.good_bytes}, with good rows behind it; "
                f"move {path.parent} away before recording into this day, or mend the file"
            )
        os.truncate(path, found.good_bytes)
    return found


def unpacked(stream: BinaryIO) -> Iterator[tuple[bytes, int | None]]:
    """Yield the text of a gzip stream, piece by piece, each with the place in the stream where a member ends with it.

    The place is None within a member. What can be read before a damage is yielded.

    Raises:
        zlib.error: If a member is damaged.
        EOFError: If the last one is torn.
    """
    read, inflate, inside = 0, zlib.decompressobj(GZIP_FORMAT), False
    for chunk in _chunks(stream):
        read += len(chunk)
        while chunk:
            text = inflate.decompress(chunk)
            inside = not inflate.eof
            if inside:
                yield text, None
                break
            chunk = inflate.unused_data  # noqa: PLW2901 - the rest of the chunk is the next member's
            yield text, read - len(chunk)
            inflate = zlib.decompressobj(GZIP_FORMAT)
    if inside:
        raise EOFError("the last gzip member has no end")


class _Lines:
    """Count lines over chunks that end anywhere."""

    def __init__(self) -> None:
        self.count = 0
        self.head: list[bytes] = []
        self.last = b""
        self.rest = b""
        self.good_bytes = 0

    def feed(self, chunk: bytes) -> None:
        end = chunk.rfind(b"\n")
        if end < 0:
            self.rest += chunk
            return
        whole = self.rest + chunk[:end]
        self.rest = chunk[end + 1 :]
        if len(self.head) < 2:
            self.head += whole.split(b"\n", 2)[: 2 - len(self.head)]
        self.count += whole.count(b"\n") + 1
        self.last = whole[whole.rfind(b"\n") + 1 :]

    def kept(self, good_bytes: int) -> "_Lines":
        """Return a copy that says that the file is good up to *good_bytes*."""
        copy = _Lines()
        copy.count, copy.head, copy.last, copy.good_bytes = self.count, list(self.head), self.last, good_bytes
        return copy


def _scan_plain(stream: BinaryIO) -> _Lines:
    lines, size = _Lines(), 0
    for chunk in _chunks(stream):
        text, hole, _ = chunk.partition(b"\0")  # a power cut may leave a stretch of zeros
        lines.feed(text)
        size += len(text)
        if hole:
            break
    lines.good_bytes = size - len(lines.rest)
    return lines


def _scan_gzip(stream: BinaryIO) -> _Lines:
    lines, good = _Lines(), _Lines()
    with suppress(zlib.error, EOFError):
        for text, end in unpacked(stream):
            lines.feed(text)
            if end is not None:
                good = lines.kept(end)
    return good


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    return iter(partial(stream.read, _CHUNK), b"")


def _holds_rows(torn: bytes, *, packed: bool) -> bool:
    """Tell whether whole rows stand in *torn*: a whole gzip member, or a line behind a stretch of zeros."""
    if not packed:
        return b"\n" in torn
    start = torn.find(_GZIP_MAGIC, 1)
    while start > 0:
        inflate = zlib.decompressobj(GZIP_FORMAT)
        try:
            inflate.decompress(torn[start:])
        except zlib.error:
            pass
        else:
            if inflate.eof:
                return True
        start = torn.find(_GZIP_MAGIC, start + 1)
    return False
