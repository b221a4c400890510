"""A file that only grows, by whole writes or not at all, with its running hash.

It may reserve space on the disk for what is to come.
"""

import ctypes
import errno
import hashlib
import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from mm.dayfolder.layout import existing
from mm.errors import BrokenFile

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk, a quota or a limit that is used up: there may be space again."""

ROOM_BYTES = 1 << 16
MOST_HASHED_BYTES = 64 << 20
"""How much of an older run's bytes is hashed at once: the next flush must not wait for all of a day."""
_KEEP_SIZE = 1


class AppendFile:
    """A file that only grows, by whole writes.

    Args:
        path: The file; made, with its folder, where it is not there.
        held: Closes the file when it closes.
        good_bytes: How much of it is to be kept; what stands behind that goes with the next `append`. None keeps all.

    Attributes:
        size: Its bytes.
        torn: Whether more than them stands in it, which the next `append` cuts.

    Raises:
        BrokenFile: If the file is there in its other form (packed or unpacked), to which nothing can be appended.
    """

    def __init__(self, path: Path, held: ExitStack, good_bytes: int | None = None) -> None:
        there = existing(path)
        if there not in (None, path):
            raise BrokenFile(
                f"{there} is there already, and rows cannot be appended to it; bring it to the form {path.name} first"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        held.callback(os.close, self._fd)
        there_bytes = os.fstat(self._fd).st_size
        self.size = there_bytes if good_bytes is None else good_bytes
        self._hash = RunningHash(self._fd)
        self.torn = self.size < there_bytes
        self._unsynced = True
        self._safe_bytes: int | None = None
        held.callback(self._give_back)

    def keep_room(self) -> None:
        """Keep some space on the disk for what is appended from now on, as far as the file system can do that."""
        self._safe_bytes = _keep_room(self._fd, self.size)

    def append(self, data: bytes) -> None:
        """Write all of *data*; on OSError (no space, no quota) the file is cut back to what it was.

        Where even that fails, the next `append` cuts it before it writes, also where that is nothing.
        """
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
        """Take what stands behind *size* bytes away."""
        self.size, self.torn = size, True
        self._hash.cut(size)
        os.ftruncate(self._fd, size)
        self.torn = False

    def hash_on(self) -> None:
        """Hash what was appended since the last time; another thread may do so while it is appended to."""
        self._hash.follow(self.size, MOST_HASHED_BYTES)

    def sha256_at(self, size: int) -> str | None:
        """Return the hash of the first *size* bytes, if it has come so far and no further; as `hash_on`."""
        return self._hash.at(size, MOST_HASHED_BYTES)

    def sha256(self) -> str:
        """Return the hash of the whole file, in hexadecimal."""
        return self._hash.of(self.size)

    def _give_back(self) -> None:
        """Keep no more space than the file has bytes."""
        if self._safe_bytes is not None:
            with suppress(OSError):
                os.ftruncate(self._fd, self.size)

    def sync(self) -> None:
        """Force what was written to the disk; where nothing was since the last time, it costs nothing."""
        if self._unsynced:
            self._unsynced = False
            try:
                os.fsync(self._fd)
            except OSError:
                self._unsynced = True
                raise


def _keep_room(fd: int, size: int) -> int:
    """Keep `ROOM_BYTES` behind the *size* bytes of a file, and return up to where it can grow now for certain.

    Where there is no space, or the file system cannot keep any, that is *size*. Python has no call that allocates
    blocks behind the end of a file and leaves its size as it is, Linux has one.
    """
    if sys.platform != "linux":
        return size
    allocate = ctypes.CDLL(None).fallocate
    allocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return size if allocate(fd, _KEEP_SIZE, size, ROOM_BYTES) else size + ROOM_BYTES


_CHUNK = 1 << 20


class RunningHash:
    """Hash a file piece by piece, in a thread beside the one that writes it.

    What was hashed may be cut off again by that other thread: then it starts again; otherwise no byte is read twice.

    Args:
        fd: The file, open for reading.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._state = _State()

    def follow(self, size: int, most_bytes: int) -> None:
        """Hash on up to *size*, but no more than *most_bytes* at once; raises OSError where it cannot be read."""
        state = self._state
        end = state.claimed = min(size, state.done + most_bytes)
        while state.done < end:
            chunk = os.pread(self._fd, min(_CHUNK, end - state.done), state.done)
            if not chunk:
                break
            state.hash.update(chunk)
            state.done += len(chunk)

    def at(self, size: int, most_bytes: int) -> str | None:
        """Return the hash of the first *size* bytes; None where it has come further, or is too far behind."""
        state = self._state
        if state.done <= size:
            self.follow(size, most_bytes)
        return state.hash.hexdigest() if state.done == size else None

    def cut(self, size: int) -> None:
        """Take notice that what stands behind *size* bytes goes."""
        if size < self._state.claimed:
            self._state = _State()

    def of(self, size: int) -> str:
        """Return the hash of the first *size* bytes, in hexadecimal; what is not hashed yet is read."""
        if self._state.done > size:
            self._state = _State()
        self.follow(size, size)
        return self._state.hash.hexdigest()


class _State:
    """How far it has come; *claimed* is how far it may have read by now."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.done = self.claimed = 0
