"""The tapes kept in a folder: their size, their last use, and which to remove.

A tape, its best prices and its level index share a prefix and are removed together: each can be built again, and a
process that has one open keeps it.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mm.base.atomic_file import VerifiedFiles

_NAME = re.compile(r"((.+)_(\d{8})_[0-9a-f]{12})(?:\.levels)?\.(?:npy|arrow)")  # .arrow: of earlier versions
_DAY_S = 86_400.0


class FileSize(NamedTuple):
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class KeptDay:
    symbol: str
    day: str
    files: tuple[FileSize, ...]
    used_s: float

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def remove(self) -> None:
        for file in sorted(self.files, key=lambda file: len(file.path.name)):
            VerifiedFiles(file.path.parent).forget(file.path)
            file.path.unlink(missing_ok=True)


def kept_days(folder: Path) -> list[KeptDay]:
    kept: dict[str, tuple[str, str, list[FileSize], list[float]]] = {}
    for path in folder.glob("*_*"):
        name = _NAME.fullmatch(path.name)
        with suppress(FileNotFoundError):  # another process removed it meanwhile
            stat = path.stat()
            if name:
                _, _, files, used = kept.setdefault(name[1], (name[2], name[3], [], []))
                files.append(FileSize(path, stat.st_size))
                used.append(max(stat.st_mtime, stat.st_atime))
    days = [KeptDay(symbol, day, tuple(sorted(files)), max(used)) for symbol, day, files, used in kept.values()]
    return sorted(days, key=lambda day: (day.used_s, day.files))


def to_prune(
    days: Sequence[KeptDay], now_s: float, older_than_days: float | None = None, most_bytes: float | None = None
) -> list[KeptDay]:
    """Which *days*, in order of last use, to remove.

    Args:
        older_than_days: Remove days unused for longer.
        most_bytes: Then remove the longest unused until at most this size is left.
    """
    remaining = sum(day.size for day in days)
    removed = []
    for day in days:
        is_old = older_than_days is not None and now_s - day.used_s > older_than_days * _DAY_S
        if is_old or (most_bytes is not None and remaining > most_bytes):
            removed.append(day)
            remaining -= day.size
    return removed
