"""The recorder, with a wall clock that a test sets: ``python set_clock.py FILE`` reads by how many µs it is off.

Only this entry point, which no package holds, puts another clock in the place of the system's.
"""

import sys
import time
from pathlib import Path

import mm.clock

_OFF = Path(sys.argv.pop(1))


_time_ns = time.time_ns


def now_us() -> int:
    """Return the time that the test wants it to be, in µs."""
    return _time_ns() // 1_000 + int(_OFF.read_text())


mm.clock.now_us = now_us
time.time_ns = lambda: 1_000 * now_us()  # arrivals are stamped by it

from mm.market_data.recorder import main  # noqa: E402 - behind the clock, which every module takes over as it is then

main()
