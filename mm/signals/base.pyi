# Generated from mm/signals/base.pyx by `make stubs`; edit that file instead.

"""The interface of signals (three hooks that set a value), and a signal that predicts from other signals."""

from collections.abc import Sequence

from mm.predict.predictor import Predictor

class Signal:
    """Base class of signals: override ``begin``, ``on_trade`` and ``on_book``, and set ``value``.

    A set of signals calls these hooks in the order of receipt. ``on_book`` is called once for each diff; the value that
    it sets (NaN if undefined) is the value of that row. ``begin`` resets the state; it is called at each snapshot and,
    unless the signal is ``one_sided``, when an empty side of the book has levels again. While the book has no bids or
    no asks, a signal is undefined and its ``on_book`` is not called, unless it is ``one_sided``.

    Attributes:
        sources: Signals whose values this signal reads; a set calls them first.
    """
    @property
    def interpreted(self) -> bool: ...
    @property
    def sources(self) -> tuple[Signal, ...]: ...

class Prediction(Signal):
    """Prediction of a fitted predictor at each diff; undefined while one of its input signals is undefined.

    Args:
        predictor: Its compiled kernels, not shared with other signals.
        head: Index of the kernel.
        sources: Input signals, in the order of the predictor's inputs; the set calls them before this signal.
        distance_ticks: The last input of a predictor that takes a distance; None for others.
    """
    def __init__(
        self, predictor: Predictor, head: int, sources: Sequence[Signal], distance_ticks: float | None = None
    ) -> None: ...
