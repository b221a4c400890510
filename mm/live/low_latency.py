"""Interpreter settings for a process with low latency: garbage collection, thread switches and sleep.

Threads run beside the loop of a trader: they force rows to the disk, and feed the state store. A computing thread keeps
the interpreter for the switch interval, which is 5 ms by default; and a garbage collection visits every object of
modules and setup, although none of them is garbage. A sleeping process must be woken by the system, and starts with a
slow core and cold caches: a polling loop never sleeps, but uses a whole core.
"""

import asyncio
import gc
import selectors
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

SWITCH_S = 0.0002
"""Maximum time for which a thread keeps the interpreter while the loop waits for it, in s."""
YOUNG_OBJECTS = 10_000
"""New objects between two collections; ten or a hundred times as many before older generations are visited."""


@contextmanager
def low_latency() -> Iterator[None]:
    """Reduce both delays until the block ends; objects that exist at its start are not collected within it."""
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
    """A selector that polls. Other threads can run meanwhile, since each poll releases the interpreter."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the ready files; an empty list if none was ready within *timeout*, in s (None: no limit)."""
        look = super().select
        until_s = None if timeout is None else monotonic() + timeout
        while True:
            found = look(0)
            if found or (until_s is not None and monotonic() >= until_s):
                return found


def busy_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop that polls."""
    return asyncio.SelectorEventLoop(BusySelector())
