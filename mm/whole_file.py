"""Files that are whole: written beside their place and renamed when complete, and verified once for each identity."""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

UNFINISHED = ".partial"
"""Suffix of a file that is being written, ``<name>.<process>.partial``."""

SETTLED_S = 2.0
"""Age from which a file's times show every later write: file systems count them in steps, some of two seconds."""

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


class FileIdentity(NamedTuple):
    """What is other in at least one number once a file is written to, or another one is in its place."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> "FileIdentity":
        """Return the identity of the file at *path* now; raises OSError where there is none."""
        stat = path.stat()
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def settled(self) -> bool:
        """Return whether a write from now on is certain to change the identity."""
        return max(self.mtime_ns, self.ctime_ns) + SETTLED_S * 1e9 < time.time_ns()


@dataclass(frozen=True)
class VerifiedFiles:
    """What was verified of files, so that it is verified once for each identity of a file.

    Attributes:
        folder: Where that is remembered, in a small file each; it may be removed at any time.
    """

    folder: Path

    def verified_once(self, path: Path, claim: str, check: Callable[[], bool]) -> bool:
        """Return whether *claim* holds for the file at *path*.

        *check* is called unless it held before for this identity of the file; that it does not hold is never
        remembered, nor is a file that was written to just now or changes meanwhile.

        Raises:
            OSError: If there is no such file, or as *check* does.
        """
        place = self._place(path)
        identity = FileIdentity.of(path)
        held = json.dumps([claim, *identity]).encode()
        with suppress(OSError):
            if place.read_bytes() == held:
                return True
        holds = check()
        if holds and identity.settled() and FileIdentity.of(path) == identity:
            with suppress(OSError):
                write_whole(place, held)
        return holds

    def forget(self, path: Path) -> None:
        """Remove what is remembered of the file at *path*."""
        self._place(path).unlink(missing_ok=True)

    def _place(self, path: Path) -> Path:
        return self.folder / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]}.verified"
