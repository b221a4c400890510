"""A command whose wall clock a test sets: ``python set_clock.py FILE COMMAND …`` reads by how many µs it is off.

Only this entry point, which no package holds, puts another clock in the place of the system's.
"""

import os
import sys
import time
from pathlib import Path


class WallClock:
    """The offset of a process's clock, in a file that is replaced whole.

    Args:
        folder: Holds the file.
        off_us: By how much the clock is ahead at first.

    Attributes:
        off_us: By how much it is ahead now.
    """

    def __init__(self, folder: Path, off_us: int = 0) -> None:
        self.path = Path(folder) / "clock_off"
        self.set(off_us)

    def set(self, off_us: int) -> None:
        """Put it ahead by so much, back where negative."""
        self.off_us = off_us
        part = self.path.with_name("part")
        part.write_text(str(off_us))
        os.replace(part, self.path)

    def entry(self, *command: str) -> tuple[str, ...]:
        """Return what Python runs for a command with this clock."""
        return __file__, str(self.path), *command


def _main() -> None:
    off, system_ns = Path(sys.argv.pop(1)), time.time_ns
    del sys.path[0]  # the tests' own folder
    time.time_ns = lambda: system_ns() + 1_000 * int(off.read_text())
    time.time = lambda: time.time_ns() / 1e9
    from mm.__main__ import main  # behind the clock, which every module takes over as it is then

    main()


if __name__ == "__main__":
    _main()
