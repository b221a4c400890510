"""Rules for our orders: latencies, timers, fees, balances, and the exchange's steps and filters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from mm.backtest.preset import PRESETS, Hours, hours_of
from mm.backtest.run_terms import FEE_RATE
from mm.base.common_knobs import seed_knob
from mm.base.knobs import PATH, SWITCH, decimal, integer, knob, number, one_of, text_of_number_or
from mm.clock import us_from_ms
from mm.errors import UsageError
from mm.instrument import NO_FILTERS, Filters, check_64_bits, e8

if TYPE_CHECKING:
    from mm.backtest.as_traded import AsTraded
    from mm.backtest.latency import Latencies
    from mm.backtest.margin_terms import MarginTerms
    from mm.backtest.risk import RiskLimits
    from mm.signals.micro_price import MicroPriceFit
    from mm.signals.other_feed import OtherFeed
    from mm.tape.tape import Tape

SigmaMethod = Literal["rolling", "ewma", "two_scale"]
SIGMA_METHODS: tuple[str, ...] = get_args(SigmaMethod)
TWO_SCALE_WINDOW_S = 4  # the shortest window with two scales
_MS = number(0, 1e10)
FEEDS = ("auto", "recorded", "none")
NO_FEED = "no feed latency: "  # prefix of the reason why a day does not tell it
# Fee rates outside raise a warning: the most expensive retail tiers cost 1.2 %, the best rebates are below 0.05 %.
PLAUSIBLE_FEES_E8 = (-100_000, 1_500_000)
_BASE = decimal("-90000000000", "90000000000")


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Latencies, timers and limits of our orders."""

    order_latency_ms: float = knob(
        50.0, _MS, "Time from sending an order until it rests in the book.", common="Latency of an order, in ms"
    )
    cancel_latency_ms: float = knob(25.0, _MS, "Time from sending a cancel until it takes effect.")
    latency_file: Path | None = knob(
        None, PATH, "CSV of measured latencies to draw from instead: order_ms, optionally cancel_ms and rate_per_s."
    )
    feed_latency: str = knob(
        "auto",
        text_of_number_or(FEEDS, 0.001, 1e7),
        "recorded: events occur at the exchange's time and reach us with the recorded delay; auto: recorded where a "
        "day tells that time, else none; none: no delay; or a constant delay in ms.",
    )
    requote_interval_ms: float = knob(
        250.0, number(0.001, 1e10), "Time between two requotes.", common="Time between two requotes, in ms"
    )
    requote_on_fill: bool = knob(True, SWITCH, "1 also requotes at once after a fill or a rejection.")
    order_ttl_ms: float = knob(0.0, _MS, "Lifetime of a resting order; 0: good till cancelled.")
    refresh_interval_ms: float = knob(0.0, _MS, "Age at which an order of unchanged price is replaced; 0: never.")
    order_amend: bool = knob(
        False,
        SWITCH,
        "1 amends a resting order to a smaller quote at its price (order.amend.keepPriority); 0 keeps it as it is.",
    )
    order_modify: bool = knob(
        False,
        SWITCH,
        "1 moves a resting quote of a contract to its new price by one request (order.modify); 0 cancels it and sends "
        "another.",
    )
    order_limit_10s: int = knob(100, integer(0, 10**9), "New orders accepted in each ten seconds; 0: no limit.")
    order_limit_day: int = knob(200_000, integer(0, 10**9), "New orders accepted in each day (UTC); 0: no limit.")


@dataclass(frozen=True, kw_only=True)
class Account:
    """Balances at the start, fees, and the seed of all random draws."""

    maker_fee_rate: str = knob(
        FEE_RATE,
        decimal("-1", "1"),
        "Maker fee, as a share of the notional: 0.001 is 0.1 %.",
        common="Maker fee, a share of the notional",
    )
    taker_fee_rate: str = knob(FEE_RATE, decimal("-1", "1"), "Taker fee, as a share of the notional: 0.001 is 0.1 %.")
    initial_cash: str = knob(
        "1000",
        decimal("-90000000000", "90000000000"),
        "Cash at the start, in the quote asset.",
        common="Cash at the start, in the quote asset",
    )
    initial_inventory: str = knob(
        "0", _BASE, "Inventory at the start, in the base asset.", common="Inventory at the start"
    )
    target_inventory: str | None = knob(
        None, _BASE, "Inventory that quotes, bounds and risk are measured from; without it the initial one."
    )
    preset: str | None = knob(
        None,
        one_of(*PRESETS),
        "Fees, contract multiplier, hours and short sales of an asset class; without it the recorded market's.",
    )
    state_interval_ms: float = knob(1000.0, number(1, 1e10), "Time between two rows of the state file.")
    seed: int = seed_knob()


def rule_fields(execution: Execution, account: Account) -> dict[str, Any]:
    return {
        **_of_preset(account),
        "order_latency_us": us_from_ms(execution.order_latency_ms),
        "cancel_latency_us": us_from_ms(execution.cancel_latency_ms),
        "latency_seed": account.seed,
        "requote_us": us_from_ms(execution.requote_interval_ms),
        "requote_on_fill": execution.requote_on_fill,
        "ttl_us": us_from_ms(execution.order_ttl_ms),
        "refresh_us": us_from_ms(execution.refresh_interval_ms),
        "order_amend": execution.order_amend,
        "order_modify": execution.order_modify,
        "state_us": us_from_ms(account.state_interval_ms),
        "start_cash_e8": e8(account.initial_cash),
        "orders_per_10s": execution.order_limit_10s,
        "orders_per_day": execution.order_limit_day,
    }


def feed_fields(feed_latency: str, tape: "Tape") -> dict[str, Any]:
    if feed_latency == "none":
        return {"feed_why": "FEED_LATENCY=none"}
    if feed_latency == "recorded":
        return {"recorded_feed": True, "feed_why": "FEED_LATENCY=recorded"}
    if feed_latency != "auto":
        return {"feed_us": us_from_ms(float(feed_latency)), "feed_why": f"FEED_LATENCY={feed_latency}"}
    if reason := tape.no_feed:
        return {"feed_why": f"{NO_FEED}{tape.symbol} {tape.days[0]}: {reason}"}
    return {"recorded_feed": True, "feed_why": "the day has exchange and receive times"}


def _of_preset(account: Account) -> dict[str, Any]:
    given = {"maker": account.maker_fee_rate, "taker": account.taker_fee_rate}
    rates = {f"{role}_fee_e8": e8(rate) for role, rate in given.items()}
    if account.preset is None:
        return rates
    preset = PRESETS[account.preset]
    for taker, (role, rate) in enumerate(given.items()):
        if rate == FEE_RATE:
            rates[f"{role}_fee_e8"] = preset.fees.rate_e8[taker]
            rates[f"{role}_unit_fee_e8"] = preset.fees.unit_e8[taker]
    terms = {"multiplier": preset.multiplier, "hours": hours_of(account.preset), "days_a_year": preset.days_a_year}
    return {**rates, **terms, "enforce_balances": not preset.may_short}


@dataclass(frozen=True)
class Rules:
    """The rules of one backtest, in the engine's units.

    Fields that are named like a knob (`Execution`, `Account`, `mm.play.knobs.Market` and `Models`) mean the same.

    Attributes:
        tick_e8: Price step, 1e-8 of the quote asset.
        lot_e8: The tape's lot, 1e-8 of the base asset; one tick·lot is tick_e8·lot_e8 1e-16 of quote.
        latencies: Measured latencies to draw from, instead of the constant ones.
        recorded_feed: Whether the exchange acts at exchange time and we receive its messages at receive time; else both
            are receive time.
        feed_us: Constant delay of all messages to us; 0 without.
        feed_why: Why the feed is the one of these two, or neither.
        ttl_us, refresh_us: 0 is never.
        maker_fee_e8: Maker fee rate in 1e-8 (0.001 is 100_000).
        maker_unit_fee_e8: Added maker fee per unit of the base asset, 1e-8 of the quote asset.
        multiplier: Contract multiplier: value of one unit of the base asset per price of 1.
        hours: Trading hours, outside of which quotes are pulled; None is always open.
        enforce_balances: Whether orders must be covered by cash or inventory.
        own_orders_meet: Whether our orders can match each other, as at the exchange; False for mere measurements.
        target_lots: Target inventory; quotes, bounds and risk use the deviation from it. None: the initial one.
        orders_per_10s, orders_per_day: New orders that the exchange accepts, by UTC; 0 is no limit.
        quote_lots: The clip: lots of a quote without a quantity.
        step_lots: The exchange's quantity step, in lots of the tape.
        step_ticks: Its price step, in ticks of the tape: above one if the day also had a finer grid.
        sigma_method: Estimator of the volatility, one of ``SIGMA_METHODS``; docs/models.md.
        decisions: Whether the journal records every requote, including those without changes.
        as_traded: The trade that is replayed.
        strict_clock: Whether a market is late until our clock was measured against the exchange's, as in a live market.
        micro_price: The fit of the signal ``micro_price``; None if no model reads it.
        others: The other markets that the strategy sees, by name.
        legs: The rules of its orders in other markets, by name of the market.
        margin: The terms of a contract's margin; None plays none, and nothing is liquidated.
    """

    tick_e8: int
    lot_e8: int
    order_latency_us: int = 50_000
    cancel_latency_us: int = 25_000
    latencies: "Latencies | None" = None
    latency_seed: int = 0
    recorded_feed: bool = False
    feed_us: int = 0
    feed_why: str = ""
    requote_us: int = 250_000
    requote_on_fill: bool = True
    ttl_us: int = 0
    refresh_us: int = 0
    order_amend: bool = False
    order_modify: bool = False
    state_us: int = 1_000_000
    maker_fee_e8: int = 100_000
    taker_fee_e8: int = 100_000
    maker_unit_fee_e8: int = 0
    taker_unit_fee_e8: int = 0
    multiplier: int = 1
    hours: Hours | None = None
    days_a_year: int = 365
    enforce_balances: bool = True
    own_orders_meet: bool = True
    start_cash_e8: int = 100_000_000_000
    start_lots: int = 0
    target_lots: int | None = None
    orders_per_10s: int = 0
    orders_per_day: int = 0
    quote_lots: int = 1
    quote_levels: int = 1
    level_step_ticks: int = 1
    step_lots: int = 1
    step_ticks: int = 1
    min_notional_e8: int = 0
    filters: Filters = NO_FILTERS
    sigma_method: str = "rolling"
    sigma_window_s: int = 300
    sigma_half_life_s: float = 60.0
    decisions: bool = False
    risk: "RiskLimits | None" = None
    strict_clock: bool = False
    micro_price: "MicroPriceFit | None" = None
    others: "Mapping[str, OtherFeed]" = field(default_factory=dict)
    legs: "Mapping[str, Rules]" = field(default_factory=dict)
    margin: "MarginTerms | None" = None
    as_traded: "AsTraded | None" = None

    def __post_init__(self) -> None:
        positive = {
            "tick_e8",
            "lot_e8",
            "requote_us",
            "state_us",
            "quote_lots",
            "step_lots",
            "sigma_window_s",
            "multiplier",
            "days_a_year",
        }
        positive |= {"quote_levels", "level_step_ticks", "step_ticks"}
        signed = {
            "maker_fee_e8",
            "taker_fee_e8",
            "maker_unit_fee_e8",
            "taker_unit_fee_e8",
            "start_cash_e8",
            "start_lots",
            "target_lots",
        }  # rebates and debts are legal
        for name in [amount.name for amount in fields(self)]:
            value = getattr(self, name)
            if not isinstance(value, int):
                continue
            check_64_bits(name, value)
            if name not in signed and value < (name in positive):
                least = "above 0" if name in positive else "0 or more"
                raise UsageError(f"{name} is {value}; it must be {least}")
        check_64_bits("tick_e8 * lot_e8 * multiplier", self.tick_lot_e16)
        for name in ("maker_unit_fee_e8", "taker_unit_fee_e8"):
            check_64_bits(f"{name} * lot_e8", getattr(self, name) * self.lot_e8)
        self._check_sigma()
        if self.enforce_balances and (self.maker_unit_fee_e8 or self.taker_unit_fee_e8):
            raise UsageError("fees per unit apply to margin accounts; set enforce_balances to False")
        if self.enforce_balances and self.order_modify:
            raise UsageError(
                "{order_modify} moves the orders of contracts; on Spot leave it out: a replacement there is one request"
            )
        if self.recorded_feed and self.feed_us:
            raise UsageError(f"feed_us is {self.feed_us} under recorded_feed; give one of the two")
        if self.decisions and self.feed_kind != "none":
            raise UsageError(
                "decisions are in the order of receipt; set {feed_latency} to none, not {}", self.feed_kind
            )

    @property
    def feed_kind(self) -> str:
        """How the exchange's messages reach us: ``recorded``, ``constant`` (delay) or ``none`` (no delay)."""
        return "recorded" if self.recorded_feed else "constant" if self.feed_us else "none"

    def without_feed(self) -> "Rules":
        """Return these rules without a delay of the market's messages."""
        return replace(self, recorded_feed=False, feed_us=0)

    @property
    def tick_lot_e16(self) -> int:
        """Value of one tick of price on one lot, in 1e-16 of the quote asset."""
        return self.tick_e8 * self.lot_e8 * self.multiplier

    @property
    def default_fees(self) -> tuple[str, ...]:
        """Fee knobs that have their default rates."""
        return tuple(knob for knob, rate in self._fees_e8.items() if rate == e8(FEE_RATE))

    @property
    def implausible_fees(self) -> dict[str, int]:
        """Fee knobs with rates that no exchange has, in 1e-8; often percentages instead of fractions."""
        least, most = PLAUSIBLE_FEES_E8
        return {knob: rate for knob, rate in self._fees_e8.items() if not least <= rate <= most}

    @property
    def _fees_e8(self) -> dict[str, int]:
        return {"MAKER_FEE_RATE": self.maker_fee_e8, "TAKER_FEE_RATE": self.taker_fee_e8}

    @property
    def target(self) -> int:
        """Target inventory; quotes, bounds and risk use the deviation from it."""
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
