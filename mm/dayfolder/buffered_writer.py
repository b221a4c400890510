"""Rows that gather in memory and reach their files whole, so that those survive a crash.

A flush of CSV is one write of whole lines; a flush of NDJSON is one gzip member, so what was flushed
stays readable whatever happens to the bytes after it. A write that fails leaves the file as it was
and the rows in memory, so that the caller may flush again; `flush_together` does so for several files at once.
"""

import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec

from mm.dayfolder.append_file import AppendFile
from mm.dayfolder.line_files import GZIP_FORMAT, FileTail, first_lines, last_line
from mm.dayfolder.rows import json_of
from mm.errors import Mismatch

FLUSH_BYTES = 1 << 20
PACK_BYTES = 1 << 14
GZIP_LEVEL = 1
"""Of zlib; 4 would save some 12 % of the bytes in half as much time again, 6 some 20 % in three times as much."""


def gzip_member(raw: bytes | bytearray) -> bytes:
    """Return *raw* as one gzip member without time or name: equal input gives equal bytes."""
    return zlib.compress(raw, GZIP_LEVEL, GZIP_FORMAT)


class _RowWriter:
    """Rows that gather in memory, and come to a file together.

    Attributes:
        path: The file.
        rows: Rows taken by this writer.
    """

    def __init__(
        self, path: Path, held: ExitStack, on_full: Callable[[], None] | None, before: FileTail | None
    ) -> None:
        self.path = path
        self._file = AppendFile(path, held, before.good_bytes if before else None)
        self._earlier = before or FileTail()
        self._on_full = on_full or self.flush
        self._ready = bytearray()
        self._gathered = 0
        self._before = 0
        self.rows = 0

    @property
    def waiting(self) -> int:
        """Bytes that wait to be written, about."""
        return len(self._ready) + self._gathered

    @property
    def torn(self) -> bool:
        """Whether the file has a torn tail, which the next flush cuts."""
        return self._file.torn

    def flush(self, *, sync: bool = False) -> None:
        """Bring the rows to the file in one write; *sync* forces them to the disk."""
        flush_together((self,))
        if sync:
            self.sync()

    def sync(self) -> None:
        """Force what was flushed to the disk; another thread may do so while rows are added."""
        self._file.sync()

    def hash_on(self) -> None:
        """Hash what was flushed; another thread may do so while rows are added."""
        self._file.hash_on()

    def written(self) -> tuple[int, int]:
        """Return the data rows and the bytes of the file, right behind a flush."""
        return self._rows_before() + self.rows, self._file.size

    def sha256_at(self, size: int) -> str | None:
        """Return the hash of the first *size* bytes, if it has come so far and no further; as `hash_on`."""
        return self._file.sha256_at(size)

    def sha256(self) -> str:
        """Return the hash of the file, in hexadecimal."""
        return self._file.sha256()

    def tail(self) -> FileTail | None:
        """Return what the file holds when all is flushed, without reading it; None where it must be read."""
        raise NotImplementedError

    def keep_room(self) -> None:
        """Keep some space on the disk for rows to come."""
        self._file.keep_room()

    def write(self) -> None:
        """Bring the rows to the file; then `forget` them, or `undo` that."""
        self._make_ready()
        self._before = self._file.size
        self._file.append(bytes(self._ready))

    def forget(self) -> None:
        """Hold the rows that were written no longer."""
        self._ready.clear()

    def undo(self) -> None:
        """Take the rows that were written out of the file again."""
        self._file.cut(self._before)

    def _rows_before(self) -> int:
        return self._earlier.lines

    def _make_ready(self) -> None:
        raise NotImplementedError


def flush_together(writers: Sequence[_RowWriter]) -> None:
    """Bring the rows of all *writers* to their files, in that order; on OSError no file has any, and all are held."""
    done: list[_RowWriter] = []
    try:
        for writer in writers:
            writer.write()
            done.append(writer)
    except OSError:
        for writer in done:
            with suppress(OSError):
                writer.undo()
        raise
    for writer in done:
        writer.forget()


class CsvWriter(_RowWriter):
    """Rows of preformatted text under a header that is written once.

    Args:
        path: The file, a plain ``.csv``; a later run appends.
        columns: Its header; that of a file which is there must be the same.
        held: Closes the file when it closes; rows that were not flushed before are dropped.
        on_full: Called when the rows in memory reach `FLUSH_BYTES`; None flushes this file.
        before: What the file held before; a torn tail behind that is cut by the first flush. None keeps all.

    Attributes:
        rows: Rows taken by this writer.

    Raises:
        Mismatch: If the file is there with another header.
    """

    def __init__(
        self,
        path: Path,
        columns: tuple[str, ...],
        held: ExitStack,
        on_full: Callable[[], None] | None = None,
        before: FileTail | None = None,
    ) -> None:
        super().__init__(path, held, on_full, before)
        self._lines: list[str] = []
        header = (",".join(columns) + "\n").encode()
        if not self._file.size and self.torn:
            self._ready += header  # a flush cuts what is torn there, and the ledger must report that before
        elif not self._file.size:
            self._file.append(header)
        elif (found := _first_line(path)) != header:
            raise Mismatch(
                f"{path}: has {found.count(b',') + 1} columns, this run writes {len(columns)}; a day keeps the columns "
                f"(and TOP_N) it began with: record with the same --top-n, or into another --data-root"
            )

    def add(self, line: str) -> None:
        """Take one row: a line with its newline."""
        self._lines.append(line)
        self.rows += 1
        self._gathered += len(line)
        if self._gathered >= FLUSH_BYTES:
            self._on_full()

    def tail(self) -> FileTail | None:
        """Return what the file holds when all is flushed."""
        lines = (self._earlier.lines or 1) + self.rows
        return FileTail(lines, first_lines(self.path), last_line(self.path), self._file.size)

    def append(self, lines: bytes) -> None:
        """Bring the rows in memory to the file, and whole *lines* after them."""
        self.flush()
        self._file.append(lines)
        self.rows += lines.count(b"\n")

    def _rows_before(self) -> int:
        return max(self._earlier.lines - 1, 0)

    def _make_ready(self) -> None:
        self._ready += "".join(self._lines).encode()
        self._lines.clear()
        self._gathered = 0


class NdjsonWriter(_RowWriter):
    """JSON objects, one a line, in a gzip file with one member per flush.

    They are packed as they come, a piece at a time, so that a flush has little left to do.

    Args:
        path: The file, ``.ndjson.gz``; a later run appends.
        held: Closes the file when it closes; lines that were not flushed before are dropped.
        on_full: Called when the lines in memory reach `FLUSH_BYTES`; None flushes this file.
        before: What the file held before; a torn tail behind that is cut by the first flush. None keeps all.

    Attributes:
        rows: Objects taken by this writer.
    """

    def __init__(
        self, path: Path, held: ExitStack, on_full: Callable[[], None] | None = None, before: FileTail | None = None
    ) -> None:
        super().__init__(path, held, on_full, before)
        self._last: Any = None
        self._foreign = False
        self._encoder = msgspec.json.Encoder(enc_hook=json_of)
        self._lines = bytearray()
        self._member: Any = None

    def add(self, row: Any) -> None:
        """Take one object (a struct or a dict)."""
        lines = self._lines
        self._encoder.encode_into(row, lines, -1)
        lines += b"\n"
        self._last = row
        self.rows += 1
        if len(lines) >= PACK_BYTES:
            self._pack()
            if self._gathered >= FLUSH_BYTES:
                self._on_full()

    def append(self, members: bytes, rows: int) -> None:
        """Bring the lines in memory to the file, and after them whole gzip *members*, which hold *rows* lines."""
        self.flush()
        self._file.append(members)
        self.rows += rows
        self._foreign = True

    def tail(self) -> FileTail | None:
        """Return what the file holds when all is flushed; None where lines were packed elsewhere."""
        if self._foreign:
            return None
        last = self._earlier.last if self._last is None else self._encoder.encode(self._last)
        return FileTail(self._earlier.lines + self.rows, first_lines(self.path), last, self._file.size)

    def _pack(self) -> None:
        """Bring the lines into the gzip member that is being made."""
        if self._member is None:
            self._member = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_FORMAT)
        self._gathered += len(self._lines)
        self._ready += self._member.compress(self._lines)
        self._lines.clear()

    def _make_ready(self) -> None:
        if self._lines:
            self._pack()
        if self._member:
            self._ready += self._member.flush()
            self._member, self._gathered = None, 0


def _first_line(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.readline()
