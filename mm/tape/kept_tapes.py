"""The tapes that are kept in a folder: how large they are, when they were last used, and which of them may go.

A tape, its best prices and the index of its levels are files of one beginning, and go together: each can be made again,
and a process that has one open keeps it until it ends.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mm.whole_file import VerifiedFiles

_NAME = re.compile(r"((.+)_(\d{8})_[0-9a-f]{12})(?:\.\w+)?\.arrow")
_DAY_S = 86_400.0


class FileSize(NamedTuple):
    """A file and its size in bytes."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class KeptDay:
    """What is kept of one day.

    Attributes:
        symbol, day: Whose tape it is.
        files: The tape, and what lies beside it.
        used_s: When one of them was last written or, where the file system notes it, read; Unix seconds.
    """

    symbol: str
    day: str
    files: tuple[FileSize, ...]
    used_s: float

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)

    def remove(self) -> None:
        """Remove its files, the tape's own first, so that nothing looks for the others; one that is gone is no error.

        Raises:
            OSError: If one cannot be removed.
        """
        for file in sorted(self.files, key=lambda file: len(file.path.name)):
            VerifiedFiles(file.path.parent).forget(file.path)
            file.path.unlink(missing_ok=True)


def kept_days(folder: Path) -> list[KeptDay]:
    """Return what is kept in *folder*, which need not exist, in order of its last use."""
    found: dict[str, tuple[str, str, list[FileSize], list[float]]] = {}
    for path in folder.glob("*.arrow"):
        name = _NAME.fullmatch(path.name)
        with suppress(FileNotFoundError):  # another process removed it just now
            stat = path.stat()
            if name:
                _, _, files, used = found.setdefault(name[1], (name[2], name[3], [], []))
                files.append(FileSize(path, stat.st_size))
                used.append(max(stat.st_mtime, stat.st_atime))
    days = [KeptDay(symbol, day, tuple(sorted(files)), max(used)) for symbol, day, files, used in found.values()]
    return sorted(days, key=lambda one: (one.used_s, one.files))


def to_prune(
    days: Sequence[KeptDay], now_s: float, older_than_days: float | None = None, most_bytes: float | None = None
) -> list[KeptDay]:
    """Return which of *days*, which are in order of their last use, have to go.

    Args:
        days: What is kept.
        now_s: The present, Unix seconds.
        older_than_days: What was not used for longer goes; None keeps every age.
        most_bytes: The rest goes from the longest unused on until so many bytes are left; None keeps every size.
    """
    left = sum(one.size for one in days)
    gone = []
    for one in days:
        is_old = older_than_days is not None and now_s - one.used_s > older_than_days * _DAY_S
        if is_old or (most_bytes is not None and left > most_bytes):
            gone.append(one)
            left -= one.size
    return gone
