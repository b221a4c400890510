"""Files that exist whole or not at all: written beside their place, and renamed when they are complete."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNFINISHED = ".partial"
"""Suffix of a file that is being written, ``<name>.<process>.partial``."""

_MINUTE_S, _DAY_S = 60, 86_400
_NAME = re.compile(r".+\.(\d+)\.partial")


@contextmanager
def whole_file(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a place beside *path* to write to, and rename it to *path* at the end of the block.

    Where the block raises, nothing is left, and a file that was at *path* stays as it was.

    Args:
        path: The file; its folder must exist.
        durable: Force the contents to the disk before the rename, so that a power cut leaves the old or the new file.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        yield unfinished
        if durable:
            force(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write *data* to *path* as `whole_file` does; the folder is made where it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, durable=durable) as unfinished:
        unfinished.write_bytes(data)


def clear_unfinished(folder: Path) -> None:
    """Remove what killed processes left unfinished in a *folder*, which need not exist.

    A file written to within the last minute stays, because its process may run on another machine; a file of a living
    process stays for a day.
    """
    for path in folder.glob(f"*{UNFINISHED}"):
        name = _NAME.fullmatch(path.name)
        with suppress(FileNotFoundError):
            idle_s = time.time() - path.stat().st_mtime
            if name and (idle_s > _DAY_S or (idle_s > _MINUTE_S and not process_exists(int(name[1])))):
                path.unlink()


def force(path: Path) -> None:
    """Force the contents of a file to the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def process_exists(process: int) -> bool:
    """Return whether a process of that number may be running on this machine; True where that is not known."""
    if os.name != "posix":  # elsewhere signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
