"""Files with secrets: only the user of this process may read them."""

import os
import stat
from pathlib import Path

from mm.errors import SafetyError, Sentence, UsageError

_MOST_BYTES = 1 << 20


def read_private(path: Path, name: "Sentence | str") -> bytes:
    """SafetyError if others may read it, UsageError if it cannot be read; *name* is its parameter."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(opened, "rb") as file:
            status = os.fstat(opened)
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"{name}: {path} is not a file")
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or status.st_uid != os.geteuid():
                raise SafetyError(
                    f"{name}: {path} belongs to user {status.st_uid} with mode {stat.S_IMODE(status.st_mode):o}; only "
                    f"its owner may read it: chown it to the user of this process, and chmod 600 {path}"
                )
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise UsageError(f"{name}: {path} cannot be read ({error.strerror}); give another file") from None
