"""One writer a day folder."""

import fcntl
import os
from contextlib import ExitStack

from mm.errors import TryLater
from mm.market_data.layout import DayFolder


def lock_day(folder: DayFolder, held: ExitStack) -> None:
    """Lock the folder until *held* closes; raises TryLater where another process holds it."""
    folder.path.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    held.callback(os.close, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise TryLater(f"{folder.path} is being written by another process; wait for it or stop it") from error
