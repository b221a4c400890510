# Generated from mm/signals/base.pyx by `make stubs`; edit that file instead.

"""The interface of signals: three hooks that set a value; and the signal that is a prediction from others."""

from collections.abc import Sequence

from mm.predict.predictor import Predictor

class Signal:
    """Base of signals: override ``begin``, ``on_trade`` and ``on_book``, and set ``value``.

    A set of signals calls them in the order of receipt. ``on_book`` is called once for each diff, and the value that it
    sets, NaN if undefined, is that row's. ``begin`` is called at each snapshot and, unless the signal is ``one_sided``,
    when an empty side of the book is filled again; it resets the state. Without bids or asks a signal is not called
    and undefined, unless it is ``one_sided``.

    Attributes:
        sources: Signals whose values this one reads; a set calls them first.
    """
    @property
    def interpreted(self) -> bool: ...
    @property
    def sources(self) -> tuple[Signal, ...]: ...

class Prediction(Signal):
    """The prediction of a predictor at each diff; undefined while one of its input signals is.

    Args:
        predictor: The kernels, not shared with other signals.
        head: Index of the kernel.
        sources: The signals that it reads, in the order of its inputs; the set calls them before this one.
        distance_ticks: The last input of a predictor that takes a distance; None for others.
    """
    def __init__(
        self, predictor: Predictor, head: int, sources: Sequence[Signal], distance_ticks: float | None = None
    ) -> None: ...
