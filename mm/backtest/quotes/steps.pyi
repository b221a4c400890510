# Generated from mm/backtest/quotes/steps.pyx by `make stubs`; edit that file instead.

"""Steps that bound, size, clamp and round the quotes of a model; mixtures of models; and a gate.

The steps of this file only make quotes more conservative: a bid never rises, an ask never falls, lots never grow, and a
side without a quote gets none. So their guarantees hold in any order (tests/backtest/test_steps.py).
"""

from collections.abc import Callable, Iterable

from mm.backtest.fills.intensity import Intensity
from mm.backtest.parameters import Declaration
from mm.backtest.quotes.base import QuoteModel

class Step(QuoteModel):
    """Base of steps, which adjust the quotes of an inner model: override ``adjust``.

    Args:
        inner: A compiled quote model, or any object with ``quote(view)``.
    """
    @property
    def inner(self) -> QuoteModel: ...
    def __init__(self, inner: object) -> None: ...

class InventoryBound(Step):
    """Limit lots so that no bid can take the inventory above *q_max* clips, and no ask below minus *q_max* clips.

    Clips are relative to the target inventory.
    Lots are limited to the remaining room; a side without room is not quoted.
    """

    declared: Declaration
    @property
    def q_max(self) -> float: ...
    def __init__(self, inner: object, *, name: str | None = None, q_max: float) -> None: ...

class FushimiSize(Step):
    """Reduce the lots on the side that adds to the inventory by the factor ``exp(-eta·|q|)``.

    The size rule of Fushimi, González Rojas and Herman (Stanford MS&E 448, 2018), with the inner model's lots as
    the maximum size. Lots are floored.
    """

    declared: Declaration
    @property
    def eta(self) -> float: ...
    def __init__(self, inner: object, *, eta: float) -> None: ...

class PostOnly(Step):
    """Never cross: bids are at least a tick below the best ask, asks a tick above the best bid; all are post-only.

    A ``MARKET`` order has no price to move and is removed.
    """

    declared: Declaration
    def __init__(self, inner: object) -> None: ...

class LeastSpread(Step):
    """If both sides are quoted, move both out equally until they are at least *ticks* apart."""

    declared: Declaration
    @property
    def ticks(self) -> float: ...
    def __init__(self, inner: object, *, ticks: float) -> None: ...

class RoundTo(Step):
    """Move each price out to the next multiple of *ticks*."""

    declared: Declaration
    @property
    def ticks(self) -> int: ...
    def __init__(self, inner: object, *, ticks: int) -> None: ...

class Widen(Step):
    """Quote *extra_ticks* further out while inventory or drawdown is outside its band, with hysteresis."""

    declared: Declaration
    @property
    def extra_ticks(self) -> float: ...
    @property
    def inventory(self) -> float: ...
    @property
    def loss(self) -> float: ...
    @property
    def recover(self) -> float: ...
    def __init__(
        self,
        inner: object,
        *,
        extra_ticks: float,
        inventory: float | None = None,
        loss: float | None = None,
        recover: float = 0.5,
    ) -> None: ...

class Mixed(QuoteModel):
    """Quote the weighted mean of several models' prices, per side.

    - every model quotes at every requote
    - a side is quoted only if all models quote it
    - the lots are the smallest quantity of all models
    - an order is a ``LIMIT_MAKER`` unless all models set the same other kind
    - an additional requote follows if any model requests it
    - a model that quotes several prices per side is rejected

    Args:
        models: Pairs of a quote model, compiled or any object with ``quote(view)``, and its weight.
    """

    declared: Declaration
    @property
    def models(self) -> tuple[QuoteModel, ...]: ...
    @property
    def weights(self) -> tuple[float, ...]: ...
    def __init__(self, models: Iterable[tuple[object, float]]) -> None: ...

class Gated(QuoteModel):
    """Quote as the inner model within the pieces of *intensity*; no quotes elsewhere.

    Args:
        inner: A compiled quote model, or any object with ``quote(view)``.
        intensity: The pieces of a schedule.
    """
    @property
    def inner(self) -> QuoteModel: ...
    def __init__(self, inner: object, intensity: Intensity) -> None: ...

def steps(*, model: object, steps: Iterable[Callable[[object], object]]) -> object:
    """Return a quote model with steps around it."""
