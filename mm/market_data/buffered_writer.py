"""Append-only files that survive a crash: rows gather in memory and reach the disk whole.

A flush of CSV is one write of whole lines; a flush of NDJSON is one gzip member, so what was flushed
stays readable whatever happens to the bytes after it. A write that fails leaves the file as it was
and the rows in memory, so that the caller may flush again.
"""

import os
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from mm.errors import BrokenFile, Mismatch
from mm.market_data.layout import existing
from mm.market_data.tail import GZIP_FORMAT

FLUSH_BYTES = 1 << 20
GZIP_LEVEL = 6


def gzip_member(raw: bytes | bytearray) -> bytes:
    """Return *raw* as one gzip member without time or name: equal input gives equal bytes."""
    return zlib.compress(raw, GZIP_LEVEL, GZIP_FORMAT)


def replace_file(path: Path, data: bytes) -> None:
    """Write *data* to a temporary name beside *path*, force it to the disk, and rename it to *path*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".tmp")
    try:
        with part.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


class AppendFile:
    """A file that only grows, by whole writes.

    Args:
        path: The file; made, with its folder, where it is not there.
        held: Closes the file when it closes.

    Attributes:
        size: Its bytes.

    Raises:
        BrokenFile: If the file is there in its other form (packed or unpacked), to which nothing can be appended.
    """

    def __init__(self, path: Path, held: ExitStack) -> None:
        there = existing(path)
        if there not in (None, path):
            raise BrokenFile(
                f"{there} is there already, and rows cannot be appended to it; bring it to the form {path.name} first"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        held.callback(os.close, self._fd)
        self.size = os.fstat(self._fd).st_size

    def append(self, data: bytes) -> None:
        """Write all of *data*; on OSError (no space, no quota) the file is cut back to what it was."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Force what was written to the disk."""
        os.fsync(self._fd)


class CsvWriter:
    """Rows of preformatted text under a header that is written once.

    Args:
        path: The file, a plain ``.csv``; a later run appends.
        columns: Its header; that of a file which is there must be the same.
        held: Closes the file when it closes; rows that were not flushed before are dropped.
        on_full: Called when the rows in memory reach `FLUSH_BYTES`; None flushes this file.

    Attributes:
        rows: Rows taken by this writer.

    Raises:
        Mismatch: If the file is there with another header.
    """

    def __init__(
        self, path: Path, columns: tuple[str, ...], held: ExitStack, on_full: Callable[[], None] | None = None
    ) -> None:
        self._file = AppendFile(path, held)
        self._on_full = on_full or self.flush
        self._lines: list[str] = []
        self._held = 0
        self.rows = 0
        header = (",".join(columns) + "\n").encode()
        if not self._file.size:
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
        self._held += len(line)
        if self._held >= FLUSH_BYTES:
            self._on_full()

    def append(self, lines: bytes) -> None:
        """Bring the rows in memory to the file, and whole *lines* after them."""
        self.flush()
        self._file.append(lines)
        self.rows += lines.count(b"\n")

    def flush(self, *, sync: bool = False) -> None:
        """Bring the rows to the file in one write; *sync* forces them to the disk."""
        if self._lines:
            self._file.append("".join(self._lines).encode())
            self._lines.clear()
            self._held = 0
        if sync:
            self.sync()

    def sync(self) -> None:
        """Force what was flushed to the disk; another thread may do so while rows are added."""
        self._file.sync()


class NdjsonWriter:
    """JSON objects, one a line, in a gzip file with one member per flush.

    Args:
        path: The file, ``.ndjson.gz``; a later run appends.
        held: Closes the file when it closes; lines that were not flushed before are dropped.
        on_full: Called when the lines in memory reach `FLUSH_BYTES`; None flushes this file.

    Attributes:
        rows: Objects taken by this writer.
    """

    def __init__(self, path: Path, held: ExitStack, on_full: Callable[[], None] | None = None) -> None:
        self._file = AppendFile(path, held)
        self._on_full = on_full or self.flush
        self._encoder = msgspec.json.Encoder()
        self._held = bytearray()
        self.rows = 0

    def add(self, row: Any) -> None:
        """Take one object (a struct or a dict)."""
        self._encoder.encode_into(row, self._held, -1)
        self._held += b"\n"
        self.rows += 1
        if len(self._held) >= FLUSH_BYTES:
            self._on_full()

    def append(self, members: bytes, rows: int) -> None:
        """Bring the lines in memory to the file, and after them whole gzip *members*, which hold *rows* lines."""
        self.flush()
        self._file.append(members)
        self.rows += rows

    def flush(self, *, sync: bool = False) -> None:
        """Bring the lines to the file as one gzip member; *sync* forces them to the disk."""
        if self._held:
            self._file.append(gzip_member(self._held))
            self._held.clear()
        if sync:
            self.sync()

    def sync(self) -> None:
        """Force what was flushed to the disk; another thread may do so while rows are added."""
        self._file.sync()


def _first_line(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.readline()
