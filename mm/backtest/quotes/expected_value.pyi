# Generated from mm/backtest/quotes/expected_value.pyx by `make stubs`; edit that file instead.

"""Each side where a fill's probability times what it earns is largest."""

from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.base import QuoteModel

class ExpectedValue(QuoteModel):
    """Maximise ``P(delta)·(delta - costs)`` on each side, with ``P = 1 - exp(-A·exp(-k·delta)·horizon_s)``.

    P is the probability that an order at distance delta from the mid is filled within the horizon, delta minus costs
    what the fill then earns. Costs are ``adverse_ticks + fee_ticks``, and ``skew_ticks·q`` more for a bid, less for an
    ask, q being the inventory in clips. For a short horizon delta tends to costs + 1/k.

    Args:
        A: Fills per second at the mid; None takes each side's own from *intensity* at each instant.
        k: Decay of the fill intensity, in 1/tick; None likewise.
        horizon_s: How long a quote is given to fill.
        adverse_ticks: What the mid moves against us after a fill.
        fee_ticks: The fee on a fill, as ticks of price: the rate times the price over the tick.
        skew_ticks: How much less one more clip is worth for each clip held.
        q_max: No bid at an inventory of so many clips or more, no ask at minus that or less.
        intensity: The fit or schedule behind A and k; outside its segments nothing is quoted.
    """
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
        intensity: Intensity | None = None,
    ) -> None: ...
