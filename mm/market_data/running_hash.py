"""The sha256 of a file that grows, kept up while it does, so that sealing a whole day takes no time."""

import hashlib
import os

_CHUNK = 1 << 20


class RunningHash:
    """Hash a file piece by piece, in a thread beside the one that writes it.

    What was hashed may be cut off again by that other thread: then all begins anew, and no byte is read twice else.

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
