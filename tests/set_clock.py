"""Run a command with a shifted wall clock: ``python set_clock.py FILE COMMAND …`` reads the offset in µs from a file.

This entry point, which is in no package, is the only one that replaces the system clock.
"""

import os
import sys
import time
from pathlib import Path


class WallClock:
    """The offset of a process's clock, in a file that is replaced atomically.

    Args:
        folder: The folder of the file.
        off_us: The initial offset of the clock, positive if ahead.

    Attributes:
        off_us: The current offset.
    """

    def __init__(self, folder: Path, off_us: int = 0) -> None:
        self.path = Path(folder) / "clock_off"
        self.set(off_us)

    def set(self, off_us: int) -> None:
        """Set the offset; a negative one puts the clock back."""
        self.off_us = off_us
        part = self.path.with_name("part")
        part.write_text(str(off_us))
        os.replace(part, self.path)

    def entry(self, *command: str) -> tuple[str, ...]:
        """Return the arguments of Python for a command with this clock."""
        return __file__, str(self.path), *command


def _main() -> None:
    off, system_ns = Path(sys.argv.pop(1)), time.time_ns
    del sys.path[0]  # the tests' own folder
    time.time_ns = lambda: system_ns() + 1_000 * int(off.read_text())
    time.time = lambda: time.time_ns() / 1e9
    from mm.__main__ import main  # after the clock is replaced, since modules bind it on import

    main()


if __name__ == "__main__":
    _main()
