"""A clock that no setting of the wall clock stops, shared by a host's processes: for waits kept in files.

It begins anew when the machine starts, so a file notes wall clock and start too: only across a start does the passed
time come from the wall clock.
"""

import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def passing_s() -> float:
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


@cache
def boot() -> str:
    with suppress(OSError):
        return _BOOT.read_text(encoding="ascii").strip()
    return ""


class HostTime(NamedTuple):
    passing_s: float
    wall_s: float
    boot: str

    def shift_s(self, noted: "HostTime") -> float:
        """Return what moves instants of `passing_s` noted at *noted* to this clock."""
        if noted.boot == self.boot and noted.passing_s <= self.passing_s:
            return 0.0
        return self.passing_s - max(self.wall_s - noted.wall_s, 0.0) - noted.passing_s


def host_time() -> HostTime:
    return HostTime(passing_s(), time.time(), boot())
