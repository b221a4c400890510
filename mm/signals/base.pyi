# Generated from mm/signals/base.pyx by `make stubs`; edit that file instead.

"""The interface of signals: three hooks, which leave a value; and the signal that is a prediction from others."""

from collections.abc import Sequence

from mm.predict.predictor import Predictor

class Signal:
    """Base of signals: override ``begin``, ``on_trade`` and ``on_book``, and set ``value``.

    A set of signals calls them in the order of receipt. ``on_book`` comes once for each diff, and the value that it
    leaves, NaN where the signal is not defined, is that row's. ``begin`` comes with each snapshot and, unless the
    signal is ``one_sided``, when a side of the book is there again: what was seen before counts no more. Without
    bids or asks a signal is not called and not defined, unless it is ``one_sided``.

    Attributes:
        sources: Signals whose values this one reads: a set calls them before it.
    """
    @property
    def interpreted(self) -> bool: ...
    @property
    def sources(self) -> tuple[Signal, ...]: ...

class Prediction(Signal):
    """What a predictor says at each diff; not defined while one of the signals that it reads is not.

    Args:
        predictor: The kernels; this signal's own.
        head: Which of them.
        sources: The signals that it reads, in the order of its inputs; the set calls them before this one.
        distance_ticks: The last input of a predictor that takes a distance; None for others.
    """
    def __init__(
        self, predictor: Predictor, head: int, sources: Sequence[Signal], distance_ticks: float | None = None
    ) -> None: ...
