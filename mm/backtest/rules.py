"""What binds our orders: latencies, timers, fees, balances and the exchange's steps."""

import math
from dataclasses import dataclass, fields

from mm.backtest.latency import Latencies
from mm.errors import UsageError
from mm.instrument import NO_FILTERS, Filters

SIGMA_METHODS = ("rolling", "ewma", "two_scale")
TWO_SCALE_WINDOW_S = 4  # the least that holds two scales


@dataclass(frozen=True)
class Rules:
    """The rules of one backtest, in the engine's own units.

    Attributes:
        tick_e8: Price step, 1e-8 of the quote asset.
        lot_e8: The tape's lot, 1e-8 of the base asset; one tick·lot is tick_e8·lot_e8 1e-16 of quote.
        order_latency_us: From sending an order until it arrives.
        cancel_latency_us: From asking for a cancel until it takes effect.
        latencies: Measured ones to draw from, instead of these two.
        latency_seed: Keys those draws.
        recorded_feed: Whether the exchange acts at its own recorded time and we learn of it at receive time; else both
            are receive time.
        requote_us: Between two questions to the quote model.
        requote_on_fill: Whether a requote follows at once on a fill or a rejection, beside the grid's.
        ttl_us: Life of an order from its arrival; 0 is good till cancelled.
        refresh_us: Age from which an unchanged order is replaced; 0 is never.
        state_us: Between two state rows of the grid.
        maker_fee_e8: Maker fee rate in 1e-8 (0.001 is 100_000).
        taker_fee_e8: Taker fee rate in 1e-8.
        enforce_balances: Whether cash and inventory bind orders.
        start_cash_e8: Cash at the start, 1e-8 of the quote asset.
        start_lots: Inventory at the start, lots.
        target_lots: The inventory that quotes, bounds and risk count from, lots; None is that at the start.
        orders_per_10s: Orders that the exchange takes in each ten seconds of UTC; 0 is no limit.
        orders_per_day: Likewise in each day.
        quote_lots: Lots of a quote that names none: the clip.
        step_lots: The exchange's quantity step, in lots of the tape.
        min_notional_e8: Least notional of an order, 1e-8 of the quote asset.
        filters: What else the exchange asks of an order.
        sigma_method: How the volatility is estimated, one of ``SIGMA_METHODS``; docs/quotes.md.
        sigma_window_s: Seconds that ``rolling`` and ``two_scale`` look back.
        sigma_half_life_s: Seconds after which a change counts half in ``ewma``.
    """

    tick_e8: int
    lot_e8: int
    order_latency_us: int = 50_000
    cancel_latency_us: int = 25_000
    latencies: Latencies | None = None
    latency_seed: int = 0
    recorded_feed: bool = False
    requote_us: int = 250_000
    requote_on_fill: bool = True
    ttl_us: int = 0
    refresh_us: int = 0
    state_us: int = 1_000_000
    maker_fee_e8: int = 100_000
    taker_fee_e8: int = 100_000
    enforce_balances: bool = True
    start_cash_e8: int = 100_000_000_000
    start_lots: int = 0
    target_lots: int | None = None
    orders_per_10s: int = 0
    orders_per_day: int = 0
    quote_lots: int = 1
    step_lots: int = 1
    min_notional_e8: int = 0
    filters: Filters = NO_FILTERS
    sigma_method: str = "rolling"
    sigma_window_s: int = 300
    sigma_half_life_s: float = 60.0

    def __post_init__(self) -> None:
        positive = {"tick_e8", "lot_e8", "requote_us", "state_us", "quote_lots", "step_lots", "sigma_window_s"}
        signed = {
            "maker_fee_e8",
            "taker_fee_e8",
            "start_cash_e8",
            "start_lots",
            "target_lots",
        }  # rebates and debts are real
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int):
                continue
            if field.name not in signed and value < (field.name in positive):
                least = "above 0" if field.name in positive else "0 or more"
                raise UsageError(f"{field.name} is {value}; it must be {least}")
        self._check_sigma()

    @property
    def target(self) -> int:
        """The inventory that quotes, bounds and risk count from, lots."""
        return self.start_lots if self.target_lots is None else self.target_lots

    def _check_sigma(self) -> None:
        if self.sigma_method not in SIGMA_METHODS:
            raise UsageError(f"sigma_method is {self.sigma_method!r}; it must be one of {', '.join(SIGMA_METHODS)}")
        if not 0.0 < self.sigma_half_life_s < math.inf:
            raise UsageError(f"sigma_half_life_s is {self.sigma_half_life_s}; it must be above 0, in seconds")
        if self.sigma_method == "two_scale" and self.sigma_window_s < TWO_SCALE_WINDOW_S:
            raise UsageError(
                f"sigma_window_s is {self.sigma_window_s}; two_scale needs {TWO_SCALE_WINDOW_S} seconds at least"
            )
