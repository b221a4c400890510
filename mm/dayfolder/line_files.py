"""Files of lines, plain or gzip: the end of a growing file, the complete lines of a damaged one, and new files."""

import csv
import mmap
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from mm.base.atomic_file import atomic_file
from mm.dayfolder.layout import PACKED, existing, twin_of
from mm.errors import BrokenFile

GZIP_FORMAT = 31
GZIP_LEVEL = 1
"""Compression level of zlib; 4 saves some 12 % of the bytes in 1.5 times the time, 6 some 20 % in 3 times the time."""
FLUSH_BYTES = 1 << 20
_CHUNK = 1 << 16
_PIECE = 1 << 16  # cells of a larger piece leave the processor's cache before they are read
_MEMBER_CHUNK = 1 << 20
_MOST_MEMBER_BYTES = 4 << 20
_GZIP_MAGIC = b"\x1f\x8b\x08"


@dataclass(frozen=True, slots=True)
class FileTail:
    """*good_bytes* end with the last complete line (CSV) or gzip member."""

    lines: int = 0
    head: tuple[bytes, ...] = ()
    last: bytes = b""
    good_bytes: int = 0
    lost_bytes: int = 0


_NOTHING = FileTail()


def scan(path: Path, before: FileTail = _NOTHING) -> FileTail:
    """A missing file is empty."""
    if not path.exists():
        return FileTail()
    with path.open("rb") as stream:
        stream.seek(before.good_bytes)
        tail = (_scan_gzip if path.suffix == PACKED else _scan_plain)(stream, before)
    return replace(tail, lost_bytes=path.stat().st_size - tail.good_bytes)


def known_tail(path: Path, lines: int, size: int) -> FileTail | None:
    last = _last_packed_line(path, size) if path.suffix == PACKED else _last_plain_line(path, size)
    return None if last is None else FileTail(lines, first_lines(path)[:lines], last, size)


def last_line(path: Path, size: int | None = None) -> bytes:
    with path.open("rb") as stream:
        begin = end = stream.seek(0, os.SEEK_END) if size is None else size
        last = b""
        while begin and b"\n" not in last[:-1]:
            begin = max(0, begin - _CHUNK)
            stream.seek(begin)
            last = stream.read(end - begin)
    return last[:-1].rpartition(b"\n")[2]


def first_lines(path: Path) -> tuple[bytes, ...]:
    lines = _Lines(_NOTHING)
    with path.open("rb") as stream, suppress(zlib.error, EOFError):
        for text in (piece for piece, _ in unpacked(stream)) if path.suffix == PACKED else _chunks(stream):
            lines.feed(text)
            if len(lines.head) == 2:
                break
    return tuple(line for line in lines.head if line)


def whole_rows(path: Path, tail: FileTail) -> Iterator[dict[str, str]]:
    if tail.lines:
        with path.open("rb") as stream:
            yield from csv.DictReader(line.decode() for line in islice(stream, tail.lines))


def appendable_tail(path: Path, before: FileTail = _NOTHING) -> FileTail:
    """`scan` before the torn end is cut and rows are appended."""
    tail = scan(path, before)
    if tail.lost_bytes:
        with path.open("rb") as stream:
            stream.seek(tail.good_bytes)
            torn = stream.read()
        if _has_rows(torn, packed=path.suffix == PACKED):
            raise BrokenFile(
                f"{path}: damaged at byte {tail.good_bytes}, with good rows after it; "
                f"move {path.parent} away before recording into this day, or correct the file"
            )
    return tail


def unpacked(stream: BinaryIO) -> Iterator[tuple[bytes, int | None]]:
    """Yield pieces of text, each with its offset if a member ends there.

    Everything readable before damage is yielded, then zlib's error. isal, if installed, is three times as fast.
    """
    good = begin = stream.tell()
    given = 0
    with suppress(ImportError):
        from isal.igzip_lib import IsalError
        from isal.isal_zlib import decompressobj

        held = b""  # isal may accept the end of a torn member that zlib rejects with the text of its last chunk
        try:
            for text, end in _inflated(stream, decompressobj):
                if held:
                    yield held, None
                given, held = given + len(held), text
                if end is not None:
                    yield text, end
                    given, held, good = 0, b"", begin + end
        except (EOFError, IsalError):  # type: ignore[misc]  # a stub has an instance there
            stream.seek(good)
        else:
            return
    for text, end in _inflated(stream, zlib.decompressobj, good - begin):
        yield text[given:], end
        given = max(given - len(text), 0)


def _inflated(stream: BinaryIO, inflater: Callable[[int], Any], read: int = 0) -> Iterator[tuple[bytes, int | None]]:
    """Unpack with one library, after the first *read* bytes; a damaged chunk's text is lost."""
    inflate, inside = inflater(GZIP_FORMAT), False
    for chunk in chain([stream.read(_CHUNK - read % _CHUNK)], _chunks(stream)):
        read += len(chunk)
        while chunk:
            text = inflate.decompress(chunk)
            inside = not inflate.eof
            if inside:
                yield text, None
                break
            chunk = inflate.unused_data  # noqa: PLW2901 - the rest of the chunk is the next member's
            yield text, read - len(chunk)
            inflate = inflater(GZIP_FORMAT)
    if inside:
        raise EOFError("the last gzip member has no end")


def text_of(path: Path) -> Iterator[bytes]:
    """Yield the text in pieces of some 64 KiB; text before damage comes first."""
    with path.open("rb") as stream:
        if path.suffix != PACKED:
            yield from iter(lambda: stream.read(_PIECE), b"")
            return
        held: list[bytes] = []
        size = 0
        try:
            for text, _ in unpacked(stream):
                held.append(text)
                size += len(text)
                if size >= _PIECE:
                    yield b"".join(held)
                    held, size = [], 0
        except (EOFError, zlib.error):
            if size:
                yield b"".join(held)
            raise
        if size:
            yield b"".join(held)


class _Lines:
    """Counts lines over chunks with arbitrary ends."""

    def __init__(self, before: FileTail) -> None:
        self.count = before.lines
        self.head = list(before.head)
        self.last = before.last
        self.rest = b""

    def feed(self, chunk: bytes) -> None:
        end = chunk.rfind(b"\n")
        if end < 0:
            self.rest += chunk
            return
        if len(self.head) < 2:
            self.head += (self.rest + chunk[:end]).split(b"\n", 2)[: 2 - len(self.head)]
        self.count += chunk.count(b"\n")
        begin = chunk.rfind(b"\n", 0, end) + 1
        self.last = chunk[begin:end] if begin else self.rest + chunk[:end]
        self.rest = chunk[end + 1 :]

    def tail(self, good_bytes: int) -> FileTail:
        return FileTail(self.count, tuple(self.head), self.last, good_bytes)


def _scan_plain(stream: BinaryIO, before: FileTail) -> FileTail:
    lines, size = _Lines(before), before.good_bytes
    for chunk in _chunks(stream):
        text, zero, _ = chunk.partition(b"\0")  # a power cut may leave a run of zeros
        lines.feed(text)
        size += len(text)
        if zero:
            break
    return lines.tail(size - len(lines.rest))


def _scan_gzip(stream: BinaryIO, before: FileTail) -> FileTail:
    lines, good = _Lines(before), before
    with suppress(zlib.error, EOFError):
        for text, end in unpacked(stream):
            lines.feed(text)
            if end is not None:
                good = lines.tail(before.good_bytes + end)
    return good


def _last_plain_line(path: Path, size: int) -> bytes | None:
    with path.open("rb") as stream:
        stream.seek(max(0, size - 1))
        whole = stream.read(1) == b"\n"
    return last_line(path, size) if whole else None


def _last_packed_line(path: Path, size: int) -> bytes | None:
    """None if the last member is not located."""
    with path.open("rb") as stream:
        stream.seek(max(0, size - _MOST_MEMBER_BYTES))
        data = stream.read(size - stream.tell())
    at = data.rfind(_GZIP_MAGIC)
    while at >= 0:
        text, end = _member(data, at)
        if end == len(data) and text and text.endswith(b"\n"):
            return text[:-1].rpartition(b"\n")[2]
        at = data.rfind(_GZIP_MAGIC, 0, at)
    return None


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    return iter(partial(stream.read, _CHUNK), b"")


def _has_rows(torn: bytes, *, packed: bool) -> bool:
    if not packed:
        return b"\n" in torn
    start = torn.find(_GZIP_MAGIC, 1)
    while start > 0:
        if _member(torn, start)[1] is not None:
            return True
        start = torn.find(_GZIP_MAGIC, start + 1)
    return False


class WholeLines:
    """The complete lines of one file, without their newlines.

    In gzip a damaged member is dropped whole, since no checksum covers a part; a truncated last one keeps its lines.
    """

    def __init__(self, path: Path) -> None:
        self.lost_bytes = 0
        self.lost_within = False
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        self.lost_bytes, self.lost_within = 0, False
        if not self._path.is_file() or not self._path.stat().st_size:
            return
        with self._path.open("rb") as stream:
            if self._path.suffix == PACKED:
                with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    yield from self._packed(data)
            else:
                for raw in stream:
                    yield from self._complete([raw])

    def _complete(self, raw_lines: list[bytes]) -> Iterator[bytes]:
        for raw in raw_lines:
            if raw.endswith(b"\n") and b"\0" not in raw:
                self.lost_within = self.lost_bytes > 0
                yield raw[:-1]
            else:
                self.lost_bytes += len(raw)

    def _packed(self, data: mmap.mmap) -> Iterator[bytes]:
        at, rest = 0, b""
        while at < len(data):
            text, end = _member(data, at)
            if end is None:
                after = data.find(_GZIP_MAGIC, at + 1)
                cut_off = after < 0 and text is not None
                rest, end = b"", len(data) if after < 0 else after
                self.lost_bytes += end - at
                if cut_off and text:
                    yield from text[: text.rfind(b"\n") + 1].splitlines()
            elif text:
                *lines, rest = (rest + text).split(b"\n")
                yield from self._complete([line + b"\n" for line in lines])
            at = end
        self.lost_bytes += len(rest)


def _member(data: bytes | mmap.mmap, start: int) -> tuple[bytes | None, int | None]:
    """A member's text (None: damaged) and end (None: truncated)."""
    inflate, at, parts = zlib.decompressobj(GZIP_FORMAT), start, []
    try:
        while at < len(data) and not inflate.eof:
            parts.append(inflate.decompress(data[at : at + _MEMBER_CHUNK]))
            at += _MEMBER_CHUNK
    except zlib.error:
        return None, None
    text = b"".join(parts)
    return (text, min(at, len(data)) - len(inflate.unused_data)) if inflate.eof else (text, None)


def lines_of_file(path: Path) -> Iterator[bytes]:
    present = existing(path)
    return iter(WholeLines(present)) if present else iter(())


def gzip_member(raw: bytes | bytearray) -> bytes:
    """Without time or name: equal input, equal bytes; isal, if installed, is four times as fast, and packs closer."""
    with suppress(ImportError):
        from isal import isal_zlib

        return isal_zlib.compress(raw, GZIP_LEVEL, GZIP_FORMAT)
    return zlib.compress(raw, GZIP_LEVEL, GZIP_FORMAT)


class LineWriter:
    def __init__(self, stream: BinaryIO, *, packed: bool) -> None:
        self._stream = stream
        self._packed = packed
        self._held = bytearray()

    def add(self, lines: bytes) -> None:
        self._held += lines
        if len(self._held) >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._held:
            self._stream.write(gzip_member(self._held) if self._packed else self._held)
            self._held.clear()


@contextmanager
def line_writer(path: Path) -> Iterator[LineWriter]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as unfinished, unfinished.open("wb") as stream:
        writer = LineWriter(stream, packed=path.suffix == PACKED)
        yield writer
        writer.flush()


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    with line_writer(path) as writer:
        for line in lines:
            writer.add(line + b"\n")
    twin_of(path).unlink(missing_ok=True)
