"""A clock that runs on whatever the wall clock is set to, shared by the processes of a host: for waits kept in files.

It begins anew when the machine starts, so a file notes the wall clock and the start of the machine beside it: only
across a start of the machine is the time that has passed known by the wall clock alone.
"""

import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def passing_s() -> float:
    """Return the time since the machine was started, in s, also that for which it was suspended."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


@cache
def boot() -> str:
    """Return what tells this start of the machine from others; empty where the system does not say."""
    with suppress(OSError):
        return _BOOT.read_text(encoding="ascii").strip()
    return ""


class HostTime(NamedTuple):
    """An instant by both clocks."""

    passing_s: float
    wall_s: float
    boot: str

    def shift_s(self, noted: "HostTime") -> float:
        """Return what instants of `passing_s` that were noted at *noted* have to be moved by, to be of this clock now.

        A wall clock that was set back meanwhile counts as no time passed.
        """
        if noted.boot == self.boot and noted.passing_s <= self.passing_s:
            return 0.0
        return self.passing_s - max(self.wall_s - noted.wall_s, 0.0) - noted.passing_s


def host_time() -> HostTime:
    """Return the current instant."""
    return HostTime(passing_s(), time.time(), boot())
