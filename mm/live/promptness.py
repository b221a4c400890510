"""The interpreter of a process that must answer the market at once: its collector of garbage, threads, and sleep.

Beside the loop of a trader run threads: they force rows to the disk, and feed the state store. A thread that computes
keeps the interpreter for the switch interval, which is 5 ms where nobody says otherwise; and a collection looks at
every object that modules and setup have left, though none of them is garbage. A process that sleeps must be woken by
the system, and finds its core slow and its caches cold: a loop that polls never sleeps, and takes a whole core.
"""

import asyncio
import gc
import selectors
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

SWITCH_S = 0.0002
"""For how long a thread may keep the interpreter while the loop waits for it, in s."""
YOUNG_OBJECTS = 10_000
"""New objects between two collections; ten or a hundred times so many until the older ones are looked at."""


@contextmanager
def prompt() -> Iterator[None]:
    """Let the loop wait for neither until the block ends; what exists when it begins is never collected in it."""
    switch_s, thresholds = sys.getswitchinterval(), gc.get_threshold()
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(YOUNG_OBJECTS, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(switch_s)
        gc.unfreeze()


class BusySelector(selectors.DefaultSelector):
    """A selector that polls. Other threads run meanwhile: each look lets go of the interpreter."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; an empty list where nothing was within *timeout*, in s (None: without an end)."""
        look = super().select
        until_s = None if timeout is None else monotonic() + timeout
        while True:
            found = look(0)
            if found or (until_s is not None and monotonic() >= until_s):
                return found


def busy_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop that polls."""
    return asyncio.SelectorEventLoop(BusySelector())
