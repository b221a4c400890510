# Generated from mm/backtest/quotes/centred.pyx by `make stubs`; edit that file instead.

"""Quotes around a price of one's own, moved against the inventory: the simple rules."""

from mm.backtest.quotes.base import QuoteModel

class Centred(QuoteModel):
    """What the models here share: ``centre - skew_ticks·q`` with the same distance on both sides.

    Args:
        skew_ticks: How far both quotes move for each clip held, down when long and up when short.
        q_max: No bid at an inventory of so many clips or more, no ask at minus that or less; None binds nothing.
    """
    @property
    def skew_ticks(self) -> float: ...
    @property
    def q_max(self) -> float: ...
    def __init__(self, *, skew_ticks: float, q_max: float | None) -> None: ...

class InventorySkew(Centred):
    """Quote ``mid - skew_ticks·q`` with the same distance on both sides, q the inventory in clips.

    Args:
        delta_ticks: Half the spread, in ticks.
        skew_ticks: How far both quotes move for each clip held.
        q_max: Inventory bound in clips.
    """
    @property
    def delta_ticks(self) -> float: ...
    def __init__(self, *, delta_ticks: float, skew_ticks: float, q_max: float | None = None) -> None: ...

class Imbalance(Centred):
    """Quote around the mid moved towards the side where less stands: by ``shift_ticks·(B - A)/(B + A)``.

    B and A are the lots at the best bid and the best ask.

    Args:
        delta_ticks: Half the spread, in ticks.
        shift_ticks: How far the centre moves when all that stands at the best prices stands on one side.
        skew_ticks: How far both quotes move for each clip held.
        q_max: Inventory bound in clips.
    """
    @property
    def delta_ticks(self) -> float: ...
    @property
    def shift_ticks(self) -> float: ...
    def __init__(
        self, *, delta_ticks: float, shift_ticks: float, skew_ticks: float = 0.0, q_max: float | None = None
    ) -> None: ...

class Microprice(Centred):
    """Quote around the micro-price ``(bid·A + ask·B)/(B + A)``, B and A the lots at the best bid and the best ask.

    That is ``Imbalance`` with half the market's spread as its shift.

    Args:
        delta_ticks: Half the spread, in ticks.
        skew_ticks: How far both quotes move for each clip held.
        q_max: Inventory bound in clips.
    """
    @property
    def delta_ticks(self) -> float: ...
    def __init__(self, *, delta_ticks: float, skew_ticks: float = 0.0, q_max: float | None = None) -> None: ...

class AdaptiveSpread(Centred):
    """Quote ``least_ticks + per_sigma·sigma`` from the mid: the spread follows the volatility.

    Args:
        least_ticks: The distance at no volatility, in ticks.
        per_sigma: Ticks more for each tick per root second, in √s.
        sigma: Volatility in ticks/√s; None takes the tape's own, and quotes nothing while it is unknown.
        skew_ticks: How far both quotes move for each clip held.
        q_max: Inventory bound in clips.
    """
    @property
    def least_ticks(self) -> float: ...
    @property
    def per_sigma(self) -> float: ...
    @property
    def sigma(self) -> float: ...
    def __init__(
        self,
        *,
        least_ticks: float,
        per_sigma: float,
        sigma: float | None = None,
        skew_ticks: float = 0.0,
        q_max: float | None = None,
    ) -> None: ...
