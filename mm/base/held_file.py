"""Locks of files and folders, which end with their process, however it ends."""

import os
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows: there nobody waits, and every file counts as held
    fcntl = None  # type: ignore[assignment]

_ATTEMPTS = 20
_PAUSE_S = 0.001


def hold_file(descriptor: int, attempts: int = _ATTEMPTS) -> bool:
    """Hold it until it is closed or the process ends; False if another process does, or its disk has no locks."""
    if fcntl is None:
        return True
    for _ in range(attempts):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # looked at just now, or a file system without locks
            time.sleep(_PAUSE_S)
        else:
            return True
    return False


def wait_for_file(descriptor: int) -> None:
    """Hold it as soon as no other process does, until it is closed or the process ends."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def is_held(path: Path) -> bool:
    """OSError if the file cannot be opened."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if fcntl is None:
            return True
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
