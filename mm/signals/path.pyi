# Generated from mm/signals/path.pyx by `make stubs`; edit that file instead.

"""Signals of the path of the mid; moves are counted in half ticks, which are whole numbers."""

from mm.signals.base import Signal

class OverTime(Signal):
    """What signals over a window of time share: a ring, and how long the window is."""
    def __init__(self, window_us: int) -> None: ...

class Momentum(OverTime):
    """The mid less the mid a window ago, ticks."""

class RealisedVolatility(OverTime):
    """Root of the summed squared moves of the mid in a window, over its seconds, ticks/√s."""

class Range(OverTime):
    """Highest less lowest mid in a window, that in force at its begin included, ticks.

    Two lists of mids, each with the instant at which it ended: of one, no earlier mid is as high as a later one.
    """

class Bipower(Signal):
    """Root of the mean product of neighbouring absolute moves from second to second, times π/2, ticks/√s.

    The seconds are whole ones of the clock before the event, as many as the window has.
    """
    def __init__(self, window_us: int) -> None: ...

class EwmaVolatility(Signal):
    """Root of the squared moves of the mid per second, a half-life ago worth half as much, ticks/√s.

    Weights are normalised over the time since the path began; a half-life of it must have passed.
    """
    def __init__(self, window_us: int) -> None: ...

class OverEvents(Signal):
    """What signals over a number of diffs share: a ring that holds as many."""
    def __init__(self, events: int) -> None: ...

class EventMomentum(OverEvents):
    """The mid less the mid so many diffs ago, ticks."""

class EventVolatility(OverEvents):
    """Root of the mean squared move of the mid over so many diffs, ticks/√diff."""
