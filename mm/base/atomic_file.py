"""Atomic writes of files (temporary name, then rename), and verification once per file identity."""

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
"""Age from which any later write changes a file's times: some file systems store them in steps of two seconds."""

_MINUTE_S, _DAY_S = 60, 86_400
_NAME = re.compile(r".+\.(\d+)\.partial")


@contextmanager
def atomic_file(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path, and rename it to *path* at the end of the block."""
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    unfinished = path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        yield unfinished
        if durable:
            fsync_path(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes, *, durable: bool = False, mode: int = 0o666) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, durable=durable) as unfinished:
        unfinished.touch(mode)
        unfinished.write_bytes(data)


def clear_unfinished(folder: Path) -> None:
    for path in folder.glob(f"*{UNFINISHED}"):
        name = _NAME.fullmatch(path.name)
        with suppress(FileNotFoundError):
            idle_s = time.time() - path.stat().st_mtime
            if name and (idle_s > _DAY_S or (idle_s > _MINUTE_S and not process_exists(int(name[1])))):
                path.unlink()


def fsync_path(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def process_exists(process: int) -> bool:
    """Return True also if that is unknown."""
    if os.name != "posix":  # elsewhere signal 0 would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


class FileIdentity(NamedTuple):
    """Numbers of which at least one changes when a file is written to or replaced."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> "FileIdentity":
        stat = path.stat()
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def settled(self) -> bool:
        """Any later write is certain to change the identity."""
        return max(self.mtime_ns, self.ctime_ns) + SETTLED_S * 1e9 < time.time_ns()


@dataclass(frozen=True)
class VerifiedFiles:
    folder: Path

    def verified_once(self, path: Path, claim: str, check: Callable[[], bool]) -> bool:
        """Return whether *claim* is true for the file.

        *check* is called unless it was true for this identity before. Negative results are not stored, nor results for
        a file just written or changing meanwhile.
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
                write_atomic(place, held)
        return holds

    def forget(self, path: Path) -> None:
        self._place(path).unlink(missing_ok=True)

    def _place(self, path: Path) -> Path:
        return self.folder / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]}.verified"
