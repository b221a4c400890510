# Generated from mm/signals/path.pyx by `make stubs`; edit that file instead.

"""Signals of the path of the mid; moves are counted in half ticks, which are whole numbers."""

from mm.signals.base import Signal

class OverTime(Signal):
    """Base class of signals over a time window, with a ring buffer."""
    def __init__(self, window_us: int) -> None: ...

class Momentum(OverTime):
    """Mid less the mid one window earlier, ticks."""

class RealisedVolatility(OverTime):
    """Square root of the sum of squared moves of the mid in a window, divided by its length in s, ticks/√s."""

class Range(OverTime):
    """Highest less lowest mid in a window, including the mid in force at its start, ticks.

    Kept as two monotonic queues of mids, each with its end time.
    """

class Bipower(Signal):
    """Square root of π/2 times the mean product of consecutive absolute one-second moves of the mid, ticks/√s.

    The mid is sampled at whole seconds of the clock before the event; the number of moves is the window in seconds.
    """
    def __init__(self, window_us: int) -> None: ...

class EwmaVolatility(Signal):
    """Square root of the exponentially weighted sum of squared moves of the mid per second, ticks/√s.

    Weights are normalised over the time since the start of the path, which must be at least one half-life.
    """
    def __init__(self, window_us: int) -> None: ...

class OverEvents(Signal):
    """Base class of signals over a number of diffs, with a ring buffer of that size."""
    def __init__(self, events: int) -> None: ...

class EventMomentum(OverEvents):
    """Mid less the mid a number of diffs earlier, ticks."""

class EventVolatility(OverEvents):
    """Square root of the mean squared move of the mid over a number of diffs, ticks/√diff."""
