# Generated from mm/backtest/quotes/simple.pyx by `make stubs`; edit that file instead.

"""Simple quote models: around a fair value, skewed by inventory, or with the largest expected value of a fill."""

from collections.abc import Sequence

from mm.backtest.fills.intensity import Intensity
from mm.backtest.parameters import Declaration
from mm.backtest.quotes.base import QuoteModel

class FixedSpread(QuoteModel):
    """Quote ``mid - delta_ticks`` and ``mid + delta_ticks``."""

    declared: Declaration
    @property
    def delta_ticks(self) -> float: ...
    def __init__(self, *, delta_ticks: float) -> None: ...

class Centred(QuoteModel):
    """Base of models that quote at the same distance on both sides of ``centre - skew_ticks·q``."""
    @property
    def skew_ticks(self) -> float: ...
    @property
    def q_max(self) -> float: ...

class InventorySkew(Centred):
    """Quote at the same distance on both sides of ``mid - skew_ticks·q``, q the inventory in clips."""

    declared: Declaration
    @property
    def delta_ticks(self) -> float: ...
    def __init__(self, *, delta_ticks: float, skew_ticks: float, q_max: float | None = None) -> None: ...

class Imbalance(Centred):
    """Quote around the mid shifted by ``shift_ticks·(B - A)/(B + A)``, towards the side with fewer lots.

    B and A are the lots at the best bid and the best ask.
    """

    declared: Declaration
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
    """

    declared: Declaration
    @property
    def delta_ticks(self) -> float: ...
    def __init__(self, *, delta_ticks: float, skew_ticks: float = 0.0, q_max: float | None = None) -> None: ...

class AdaptiveSpread(Centred):
    """Quote ``least_ticks + per_sigma·sigma`` from the mid: the spread follows the volatility."""

    declared: Declaration
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

class Predictions:
    """Predictors used by a quote model: for the move of the mid, adverse moves after fills, and fills.

    Args:
        folders: Folders of fitted predictors, at most one per target.

    Attributes:
        signals: Names of their input signals and of their predictions.

    Raises:
        UsageError: If two have the same target.
    """
    @property
    def signals(self) -> tuple[str, ...]: ...
    def __init__(self, folders: Sequence[str]) -> None: ...

class ExpectedValue(QuoteModel):
    """Maximise ``P(delta)·(delta - costs)`` on each side, with ``P = 1 - exp(-A·exp(-k·delta)·horizon_s)``.

    P is the probability that an order at distance delta from the mid is filled within the horizon; delta minus costs is
    the gain of the fill. Costs are ``adverse_ticks + fee_ticks``, plus ``skew_ticks·q`` for a bid, minus it for an
    ask, q being the inventory in clips. For a short horizon delta tends to costs + 1/k.

    Fitted ``predictors`` replace the constants: one of ``fill`` replaces P, at the whole ticks between the distances
    that it was fitted at; one of ``adverse`` replaces ``adverse_ticks``, by side; the move predicted by one of
    ``return`` is a cost of asks and a gain of bids. While a signal is undefined, the constants are used.
    """

    declared: Declaration
    @property
    def A(self) -> float: ...
    @property
    def k(self) -> float: ...
    @property
    def horizon_s(self) -> float: ...
    @property
    def adverse_ticks(self) -> float: ...
    @property
    def fee_ticks(self) -> float: ...
    @property
    def skew_ticks(self) -> float: ...
    @property
    def q_max(self) -> float: ...
    def __init__(
        self,
        *,
        A: float | None = None,
        k: float | None = None,
        horizon_s: float = 1.0,
        adverse_ticks: float = 0.0,
        fee_ticks: float = 0.0,
        skew_ticks: float = 0.0,
        q_max: float | None = None,
        predictors: list[str] | None = None,
        intensity: Intensity | None = None,
    ) -> None: ...
    def sources(self) -> dict[str, str | None]:
        """Return the source of k and A if they are not numbers: ``fit``, or None if a predictor replaces both."""
