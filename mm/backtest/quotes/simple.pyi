# Generated from mm/backtest/quotes/simple.pyx by `make stubs`; edit that file instead.

"""Quotes by a rule of thumb: around a price, moved against the inventory, or where a fill is worth most."""

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
    """What the models here share: ``centre - skew_ticks·q`` with the same distance on both sides."""
    @property
    def skew_ticks(self) -> float: ...
    @property
    def q_max(self) -> float: ...

class InventorySkew(Centred):
    """Quote ``mid - skew_ticks·q`` with the same distance on both sides, q the inventory in clips."""

    declared: Declaration
    @property
    def delta_ticks(self) -> float: ...
    def __init__(self, *, delta_ticks: float, skew_ticks: float, q_max: float | None = None) -> None: ...

class Imbalance(Centred):
    """Quote around the mid moved towards the side where less stands: by ``shift_ticks·(B - A)/(B + A)``.

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
    """Predictors that a quote model reads: of the mid's move, of moves against fills, and of fills.

    Args:
        folders: Of fitted predictors, one of each target at most.

    Attributes:
        signals: The names of the signals that they read and are.

    Raises:
        UsageError: If two are of one target.
    """
    @property
    def signals(self) -> tuple[str, ...]: ...
    def __init__(self, folders: Sequence[str]) -> None: ...

class ExpectedValue(QuoteModel):
    """Maximise ``P(delta)·(delta - costs)`` on each side, with ``P = 1 - exp(-A·exp(-k·delta)·horizon_s)``.

    P is the probability that an order at distance delta from the mid is filled within the horizon, delta minus costs
    what the fill then earns. Costs are ``adverse_ticks + fee_ticks``, and ``skew_ticks·q`` more for a bid, less for an
    ask, q being the inventory in clips. For a short horizon delta tends to costs + 1/k.

    Fitted ``predictors`` take the place of what is constant: of ``fill`` that of P, at the whole ticks between the
    distances that it was fitted at; of ``adverse`` that of ``adverse_ticks``, by side; the move that one of ``return``
    predicts is a cost of asks and a gain of bids. Where a signal is not known, the constants count.
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
        """Return where k and A come from if they are no numbers: ``fit``, or None where a predictor stands for both."""
