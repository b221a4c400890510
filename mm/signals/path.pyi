# Generated from mm/signals/path.pyx by `make stubs`; edit that file instead.

"""Signals of the path of the mid; moves are counted in half ticks, which are whole numbers."""

from mm.signals.base import Signal

class OverTime(Signal):
    """Base of signals over a time window: a ring, and the window."""
    def __init__(self, window_us: int) -> None: ...

class Momentum(OverTime):
    """The mid less the mid a window ago, ticks."""

class RealisedVolatility(OverTime):
    """Root of the summed squared moves of the mid in a window, over its seconds, ticks/√s."""

class Range(OverTime):
    """Highest less lowest mid in a window, including that in force at its start, ticks.

    Two monotonic queues of mids, each with the instant at which it ended.
    """

class Bipower(Signal):
    """Root of the mean product of neighbouring absolute moves from second to second, times π/2, ticks/√s.

    The seconds are whole ones of the clock before the event, as many as the window has.
    """
    def __init__(self, window_us: int) -> None: ...

class EwmaVolatility(Signal):
    """Root of the exponentially weighted squared moves of the mid per second, ticks/√s.

    Weights are normalised over the time since the path began; a half-life of it must have passed.
    """
    def __init__(self, window_us: int) -> None: ...

class OverEvents(Signal):
    """Base of signals over a number of diffs: a ring of that size."""
    def __init__(self, events: int) -> None: ...

class EventMomentum(OverEvents):
    """The mid less the mid a number of diffs ago, ticks."""

class EventVolatility(OverEvents):
    """Root of the mean squared move of the mid over a number of diffs, ticks/√diff."""
