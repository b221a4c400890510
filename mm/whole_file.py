"""Files that are there whole or not at all: written beside their place, and renamed when they are whole."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MINUTE_S, _DAY_S = 60, 86_400
_UNFINISHED = re.compile(r".+\.(\d+)\.partial")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a place beside *path* to write to, ``<name>.<process>.partial``, and rename it to *path* behind the block.

    Where the block raises, nothing is left.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def clear_unfinished(folder: Path) -> None:
    """Remove what processes that were killed left unfinished in a *folder*, which need not be there.

    A file that was written to within the last minute stays, for its process may be another machine's; so does that of
    a living process, for a day.
    """
    for path in folder.glob("*.partial"):
        name = _UNFINISHED.fullmatch(path.name)
        with suppress(FileNotFoundError):
            idle_s = time.time() - path.stat().st_mtime
            if name and (idle_s > _DAY_S or (idle_s > _MINUTE_S and not _alive(int(name[1])))):
                path.unlink()


def _alive(process: int) -> bool:
    """Return whether a process may be at work; one that cannot be asked is taken to be."""
    if os.name != "posix":  # elsewhere asking ends it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
