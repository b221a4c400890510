"""Append-only files, and writers that buffer rows and write only complete ones, so that files survive a crash."""

import ctypes
import errno
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from mm.dayfolder.layout import existing
from mm.dayfolder.line_files import FLUSH_BYTES, FileTail, first_lines, gzip_member, last_line
from mm.errors import BrokenFile, Mismatch

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a full disk, quota or file-size limit, after which there may be space again."""

ROOM_BYTES = 1 << 16
MOST_HASHED_BYTES = 64 << 20
"""Bytes of an older run that are hashed at once, so that the next flush need not wait for a whole day."""
_KEEP_SIZE = 1
_CHUNK = 1 << 20


class _Hashed:
    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.done = self.claimed = 0


class AppendFile:
    """An append-only file with complete writes and a running hash.

    Args:
        good_bytes: Bytes to keep; the next `append` truncates the rest. None keeps all.

    Raises:
        BrokenFile: If the file exists in its other form (packed or unpacked), which cannot be appended to.
    """

    def __init__(self, path: Path, held: ExitStack, good_bytes: int | None = None) -> None:
        require_appendable(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        held.callback(os.close, self._fd)
        existing_bytes = os.fstat(self._fd).st_size
        self.size = existing_bytes if good_bytes is None else good_bytes
        self.torn = self.size < existing_bytes
        self._hashed = _Hashed()
        self._unsynced = True
        self._safe_bytes: int | None = None
        held.callback(self._release_room)

    @property
    def in_place(self) -> bool:
        return is_at(self._fd, self._path)

    def keep_room(self) -> None:
        self._safe_bytes = _keep_room(self._fd, self.size)

    def append(self, data: bytes) -> None:
        """On OSError (no space, no quota) the file is truncated to its former size."""
        if self.torn:
            self.cut(self.size)
        if not data:
            return
        self.torn = self._unsynced = True
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            with suppress(OSError):
                self.cut(self.size)
            raise
        self.torn = False
        self.size += len(data)
        if self._safe_bytes is not None and self.size > self._safe_bytes - ROOM_BYTES // 2:
            self.keep_room()

    def cut(self, size: int) -> None:
        self.size, self.torn = size, True
        if size < self._hashed.claimed:
            self._hashed = _Hashed()  # another thread may be hashing the removed bytes, so it keeps the old hash
        os.ftruncate(self._fd, size)
        self.torn = False

    @property
    def unsynced(self) -> bool:
        return self._unsynced

    def sync(self) -> None:
        """Another thread may call this during an `append`."""
        if self._unsynced:
            self._unsynced = False
            try:
                os.fsync(self._fd)
            except OSError:
                self._unsynced = True
                raise

    def hash_on(self) -> None:
        """Hash the bytes appended since the last call; another thread may append meanwhile."""
        self._hash_to(self.size, MOST_HASHED_BYTES)

    def sha256_at(self, size: int) -> str | None:
        """None if the hash of the first *size* bytes is not available; see `hash_on`."""
        if self._hashed.done <= size:
            self._hash_to(size, MOST_HASHED_BYTES)
        hashed = self._hashed
        return hashed.hash.hexdigest() if hashed.done == size else None

    def sha256(self) -> str:
        if self._hashed.done > self.size:
            self._hashed = _Hashed()
        self._hash_to(self.size, self.size)
        return self._hashed.hash.hexdigest()

    def _hash_to(self, size: int, most_bytes: int) -> None:
        hashed = self._hashed
        end = hashed.claimed = min(size, hashed.done + most_bytes)
        while hashed.done < end:
            chunk = os.pread(self._fd, min(_CHUNK, end - hashed.done), hashed.done)
            if not chunk:
                break
            hashed.hash.update(chunk)
            hashed.done += len(chunk)

    def _release_room(self) -> None:
        if self._safe_bytes is not None:
            with suppress(OSError):
                os.ftruncate(self._fd, self.size)


def require_appendable(path: Path) -> None:
    present = existing(path)
    if present not in (None, path):
        raise BrokenFile(
            f"{present} exists already, and rows cannot be appended to it; convert it to {path.name} first"
        )


def is_at(fd: int, path: Path) -> bool:
    try:
        at_path = path.stat()
    except OSError:
        return False
    return os.path.samestat(at_path, os.fstat(fd))


def _keep_room(fd: int, size: int) -> int:
    """Reserve `ROOM_BYTES` after *size*; return the size up to which the file can certainly grow."""
    if sys.platform != "linux":
        return size
    allocate = ctypes.CDLL(None).fallocate
    allocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return size if allocate(fd, _KEEP_SIZE, size, ROOM_BYTES) else size + ROOM_BYTES


class RowWriter:
    """Rows that are written to a file together.

    Attributes:
        file: Another thread may sync and hash it while rows are added.
    """

    def __init__(
        self, path: Path, held: ExitStack, on_full: Callable[[], None] | None, before: FileTail | None
    ) -> None:
        self.path = path
        self.file = AppendFile(path, held, before.good_bytes if before else None)
        self.rows = 0
        self.ready = bytearray()
        self._earlier = before or FileTail()
        self._rows_before = self._earlier.lines
        self._on_full = on_full or self.flush
        self._added_bytes = self._gathered_bytes = 0  # of rows that were not gathered, and that were not made ready
        self._gathered_rows = self._written_rows = 0

    @property
    def waiting(self) -> int:
        return len(self.ready) + self._gathered_bytes + self._added_bytes

    @property
    def room(self) -> int:
        return FLUSH_BYTES - self._added_bytes

    def flush(self, *, sync: bool = False) -> None:
        self.gather()
        self.write(sync=sync)

    def gather(self) -> None:
        """Take the rows added so far for the next write; only the thread that adds them calls this."""
        self._gathered_bytes += self._added_bytes
        self._added_bytes, self._gathered_rows = 0, self.rows
        self._gather()

    def write(self, *, sync: bool = False) -> None:
        """Write the gathered rows, in any thread; *sync* forces them to the disk."""
        write_together((self,))
        if sync:
            self.file.sync()

    def written(self) -> tuple[int, int]:
        return self._rows_before + self._written_rows, self.file.size

    def add_rows(self, text: bytes, rows: int) -> None:
        raise NotImplementedError

    def tail(self) -> FileTail:
        raise NotImplementedError

    def make_ready(self) -> None:
        self._pack()
        self._gathered_bytes = 0

    def was_written(self) -> None:
        self.ready.clear()
        self._written_rows = self._gathered_rows

    def _gather(self) -> None:
        raise NotImplementedError

    def _pack(self) -> None:
        raise NotImplementedError


def flush_together(writers: Sequence[RowWriter]) -> None:
    """On OSError no file has any of the rows."""
    for writer in writers:
        writer.gather()
    write_together(writers)


def write_together(writers: Sequence[RowWriter]) -> None:
    done: list[tuple[RowWriter, int]] = []
    try:
        for writer in writers:
            before = writer.file.size
            writer.make_ready()
            writer.file.append(bytes(writer.ready))
            done.append((writer, before))
    except OSError:
        for writer, before in done:
            with suppress(OSError):
                writer.file.cut(before)
        raise
    for writer, _ in done:
        writer.was_written()


class CsvWriter(RowWriter):
    """Rows of preformatted text under a header that is written once.

    Args:
        path: A plain ``.csv``; a later run appends.
        held: Closes the file when it closes; unflushed rows are dropped.
        on_full: Called when the rows in memory reach `FLUSH_BYTES`; None flushes this file.
        before: Earlier content of the file; the first flush truncates an incomplete tail after it. None keeps all.

    Raises:
        Mismatch: If the file exists with another header.
        BrokenFile: If its first row is no header.
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
        self._rows_before = max(self._earlier.lines - 1, 0)
        self._lines: list[bytes] = []
        self._gathered: list[bytes] = []
        header = (",".join(columns) + "\n").encode()
        with path.open("rb") as stream:
            first_row = stream.readline()
        if not self.file.size and self.file.torn:
            self.ready += header  # a flush truncates incomplete rows, which the ledger must report first
        elif not self.file.size:
            self.file.append(header)
        elif first_row != header:
            if not set(first_row[:-1].split(b",")) & set(header[:-1].split(b",")):
                raise BrokenFile(f"{path}: its first row is {first_row[:80]!r}, not a header; run `mm data repair`")
            raise Mismatch(
                "{}: has {} columns, this run writes {}; a day keeps the columns (and {top_n}) it began with: record "
                "with the same {top_n}, or into another {data_root}",
                path,
                first_row.count(b",") + 1,
                len(columns),
            )

    def add(self, line: str) -> None:
        self._lines.append(line.encode())
        self.rows += 1
        self._added_bytes += len(self._lines[-1])
        if self._added_bytes >= FLUSH_BYTES:
            self._on_full()

    def add_rows(self, text: bytes, rows: int) -> None:
        self._lines.append(text)
        self.rows += rows
        self._added_bytes += len(text)

    def tail(self) -> FileTail:
        lines = (self._earlier.lines or 1) + self.rows
        return FileTail(lines, first_lines(self.path), last_line(self.path), self.file.size)

    def _gather(self) -> None:
        self._gathered, self._lines = [*self._gathered, *self._lines] if self._gathered else self._lines, []

    def _pack(self) -> None:
        self.ready += b"".join(self._gathered)
        self._gathered = []


class NdjsonWriter(RowWriter):
    """JSON objects, one per line, in a gzip file (``.ndjson.gz``) with one member per flush.

    Args are those of `CsvWriter`.
    """

    def __init__(
        self, path: Path, held: ExitStack, on_full: Callable[[], None] | None = None, before: FileTail | None = None
    ) -> None:
        super().__init__(path, held, on_full, before)
        self._last: Any = None
        self._encoder = msgspec.json.Encoder(
            enc_hook=attrgetter("json")
        )  # levels read by a kernel keep their original text
        self._lines = bytearray()
        self._gathered = bytearray()

    def add(self, row: Any) -> None:
        lines = self._lines
        self._encoder.encode_into(row, lines, -1)
        lines += b"\n"
        self._last = row
        self.rows += 1
        self._added_bytes = len(lines)
        if len(lines) >= FLUSH_BYTES:
            self._on_full()

    def add_rows(self, text: bytes, rows: int) -> None:
        self._lines += text
        self._last = msgspec.Raw(text[text.rfind(b"\n", 0, -1) + 1 : -1])
        self.rows += rows
        self._added_bytes = len(self._lines)

    def tail(self) -> FileTail:
        last = self._earlier.last if self._last is None else self._encoder.encode(self._last)
        return FileTail(self._earlier.lines + self.rows, first_lines(self.path), last, self.file.size)

    def _gather(self) -> None:
        self._gathered, self._lines = self._gathered + self._lines if self._gathered else self._lines, bytearray()

    def _pack(self) -> None:
        if self._gathered:
            self.ready += gzip_member(self._gathered)
            self._gathered = bytearray()
