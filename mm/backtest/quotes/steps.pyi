# Generated from mm/backtest/quotes/steps.pyx by `make stubs`; edit that file instead.

"""Steps around a quote model: what bounds, sizes, clamps and rounds the answer of a formula that stays bare.

A step makes quotes more careful, never less: a bid never rises, an ask never falls, lots never grow, and where nothing
is wanted nothing will be. So steps hold in any order (tests/backtest/test_steps.py).
"""

from mm.backtest.quotes.base import QuoteModel

class Step(QuoteModel):
    """Asks the inner model, and adjusts its answer: override ``adjust``.

    Args:
        inner: A compiled quote model, or any object with ``quote(view)``.
    """
    @property
    def inner(self) -> QuoteModel: ...
    def __init__(self, inner: object, step: str) -> None: ...

class InventoryBound(Step):
    """No bid that could take the inventory beyond *q_max* clips, no ask that could take it below minus that.

    Clips count from the target inventory.
    Lots are cut down to the room that is left; without room nothing is wanted on that side.

    Args:
        inner: The quote model.
        q_max: The bound, in clips.
        name: As results show it; None is that of the model with the step's.
    """
    @property
    def q_max(self) -> float: ...
    def __init__(self, inner: object, *, q_max: float, name: str | None = None) -> None: ...

class FushimiSize(Step):
    """Fewer lots on the side that adds to the inventory: all while it does not, else times ``exp(-eta·|q|)``.

    The size rule of Fushimi, González Rojas and Herman (Stanford MS&E 448, 2018), with what the inner model wants as
    its largest size. Lots are floored.

    Args:
        inner: The quote model.
        eta: How quickly the size falls, per clip held.
    """
    @property
    def eta(self) -> float: ...
    def __init__(self, inner: object, *, eta: float) -> None: ...

class PostOnly(Step):
    """Never cross: bids stay a tick below the best ask, asks a tick above the best bid, and every order is a maker's.

    A ``MARKET`` order has no price to move and is left out.

    Args:
        inner: The quote model.
    """
    def __init__(self, inner: object) -> None: ...

class LeastSpread(Step):
    """Where both sides are wanted, move both out alike until they are *ticks* apart.

    Args:
        inner: The quote model.
        ticks: The least distance of ask and bid.
    """
    @property
    def ticks(self) -> float: ...
    def __init__(self, inner: object, *, ticks: float) -> None: ...

class RoundTo(Step):
    """Move each price out to the next multiple of *ticks*.

    Args:
        inner: The quote model.
        ticks: The grid, in ticks.
    """
    @property
    def ticks(self) -> int: ...
    def __init__(self, inner: object, *, ticks: int) -> None: ...

class Widen(Step):
    """Quote further out while a band is left: *extra_ticks* more on each side, from crossing it until well within.

    Args:
        inner: The quote model.
        extra_ticks: How much further out.
        inventory: The band of the inventory, in clips either way; None for none.
        loss: The band of the loss: how far what we own, at the mid, may lie below its highest at any question so far,
            in tick·clips; None for none.
        recover: The share of a band within which it counts as kept again.
    """
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
