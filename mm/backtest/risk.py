"""Knobs of the risk limits, their bounds in the engine's units, and their names; see docs/trading.md."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from mm.base.knobs import JSON, Reader, decimal, integer, knob, number
from mm.clock import US_PER_S, day_of, midnight_us, next_day, us_from_ms
from mm.errors import OffGrid, UsageError
from mm.instrument import E8, check_64_bits, e8

# By code: limits that kill, pull quotes, withhold one order; KILLED and PULLED are set from outside, others are knobs.
STOPS = (
    *("MAX_DAILY_LOSS", "MAX_DRAWDOWN", "KILLED"),
    *("MAX_MOVE", "FEED_STALE_S", "LATENCY_THRESHOLD_MS", "PULLED"),
)
LIMITS = (
    *("", *STOPS, "MAX_POSITION", "MAX_LEVERAGE", "MAX_OPEN_ORDERS", "MAX_ORDER_NOTIONAL"),
    *("PRICE_BAND", "ACCOUNT_MAX_NOTIONAL", "ACCOUNT_MAX_OPEN_ORDERS", "MAX_ORDERS_PER_S", "WIDEN_BANDS"),
)
STOPPING = tuple(name.lower() for name in STOPS)
"""Cancel reasons, as in the journal."""
WITHHOLDING = tuple(name.lower() for name in LIMITS[1:-1])
"""Reasons for not sending an order, as in the journal."""
LIVE_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "max_position": "10",
        "max_open_orders": 2,
        "max_leverage": "1",
        "max_daily_loss": "1000",
        "max_drawdown": "0.05",
        "price_band": "0.02",
        "max_move": "0.02",
        "max_orders_per_s": 10,
        "feed_stale_s": 3.0,
        "latency_threshold_ms": 100.0,
    }
)
"""Default limits of `mm shadow` and `mm trade`, by field name of `Risk`."""
MOST_LEVERAGE = "100"


def _read_bands(text: str) -> str:
    try:
        pairs = [(_share(share), _factor(factor)) for share, factor in json.loads(text, parse_float=Decimal)]
    except (ValueError, TypeError, OffGrid):
        pairs = []
    if not pairs or pairs != sorted(set(pairs)):
        raise ValueError('JSON [[share of MAX_POSITION, factor from 1 on], …], shares increasing, such as "[[0.5, 2]]"')
    return json.dumps([[share / E8, factor] for share, factor in pairs], separators=(",", ":"))


def _share(value: Any) -> int:
    share_e8 = e8(str(value))
    if not 0 <= share_e8 <= E8:
        raise ValueError(value)
    return share_e8


def _factor(value: Any) -> float:
    factor = float(value)
    if not 1.0 <= factor <= 1_000.0:
        raise ValueError(value)
    return factor


def _read_ramp(text: str) -> str:
    try:
        fractions = [_share(value) for value in json.loads(text, parse_float=Decimal)]
    except (ValueError, TypeError, OffGrid):
        fractions = []
    if not fractions or min(fractions) == 0:
        raise ValueError('JSON of fractions above 0 and up to 1, one per day, such as "[0.1, 0.5, 1]"')
    return json.dumps([fraction / E8 for fraction in fractions], separators=(",", ":"))


_SHARE = decimal("0", "1")
_QUOTE = decimal("0", "90000000000")


@dataclass(frozen=True, kw_only=True)
class Risk:
    """Risk limits; when one is breached, an order is withheld, quotes are pulled, or trading ends."""

    max_position: str | None = knob(
        None,
        _QUOTE,
        "Maximum position, counted from the target, if all open orders of a side fill, in the base asset.",
        common="Maximum position, in the base asset",
    )
    max_order_notional: str | None = knob(None, _QUOTE, "Maximum notional of an order, in the quote asset.")
    max_open_orders: int | None = knob(
        None, integer(1, 10_000), "Maximum number of open orders per side, including those with a pending cancel."
    )
    max_leverage: str | None = knob(
        None,
        decimal("0", MOST_LEVERAGE),
        "Maximum leverage, position times mid over equity, if all open orders of a side fill.",
    )
    max_daily_loss: str | None = knob(
        None,
        _QUOTE,
        "Loss since the start of the Berlin day that ends all trading, in the quote asset.",
        common="Daily loss that ends all trading",
    )
    max_drawdown: str | None = knob(None, _SHARE, "Drawdown that ends all trading, as a share of the peak equity.")
    price_band: str | None = knob(None, _SHARE, "Maximum distance of a price from the mid, as a share of the mid.")
    max_move: str | None = knob(None, _SHARE, "Move of the mid within 1 s, as a share, beyond which quotes are pulled.")
    max_orders_per_s: int | None = knob(
        None,
        integer(1, 100_000),
        "Maximum number of orders placed or replaced in a second; others wait, cancels never do.",
    )
    feed_stale_s: float | None = knob(
        None,
        number(0.001, 1e6),
        "Age of the market, since its last message or by the exchange's clock, beyond which quotes are pulled, in s.",
    )
    latency_threshold_ms: float | None = knob(
        None, number(0.001, 1e7), "Time from sending an order to its acceptance beyond which quotes are pulled, in ms."
    )
    widen_bands: str | None = knob(
        None,
        Reader(JSON, _read_bands),
        "[[share of MAX_POSITION, factor], ...]: factor of the quotes' distance from the mid, from that far off the "
        "target on.",
    )
    size_ramp: str | None = knob(
        None,
        Reader(JSON, _read_ramp),
        "Fractions of QUOTE_QTY, one per day without a breach; a replay takes the first.",
    )

    def __post_init__(self) -> None:
        if self.widen_bands is not None and not (self.max_position and e8(self.max_position)):
            raise UsageError(
                "{widen_bands} is {}, shares of {max_position}, which is {}; set {max_position} above 0",
                self.widen_bands,
                self.max_position or "not set",
            )


NO_RISK = Risk()


@dataclass(frozen=True, kw_only=True)
class RiskLimits:
    """The limits of one run, in the engine's units; None is no limit.

    Attributes:
        max_leverage_e8: Position times mid over equity.
        max_move_e8: Of the mid within 1 s, as its share.
        feed_stale_us: Age of the market: since its last message's arrival, or by the exchange's clock.
        widen_bands: Shares of *max_position_e8*, ascending, and the factor of the distance from there.
        added_equity_e8: Outside the engine's cash and inventory, quote asset.
        day_equity_e8: At the day's start, for a resumed run; None: at the first requote.
    """

    max_position_e8: int | None = None
    max_order_notional_e8: int | None = None
    max_open_orders: int | None = None
    max_leverage_e8: int | None = None
    max_daily_loss_e8: int | None = None
    max_drawdown_e8: int | None = None
    price_band_e8: int | None = None
    max_move_e8: int | None = None
    max_orders_per_s: int | None = None
    feed_stale_us: int | None = None
    slow_ack_us: int | None = None
    widen_bands: tuple[tuple[int, float], ...] = ()
    added_equity_e8: int = 0
    day_equity_e8: int | None = None
    peak_equity_e8: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int):
                check_64_bits(field.name, value)
            if isinstance(value, int) and value < 0 and not field.name.endswith("equity_e8"):
                raise UsageError(f"{field.name} is {value}; it must be 0 or more, or None for no limit")
        if self.max_orders_per_s == 0:
            raise UsageError("max_orders_per_s is 0; it must be above 0, or None for no limit")
        if (self.max_leverage_e8 or 0) > e8(MOST_LEVERAGE):
            raise UsageError(f"max_leverage_e8 is {self.max_leverage_e8}; it must be at most {e8(MOST_LEVERAGE)}")
        if self.widen_bands and not self.max_position_e8:
            raise UsageError("widen_bands are shares of max_position_e8; set that above 0")
        if list(self.widen_bands) != sorted(self.widen_bands):
            raise UsageError(f"widen_bands are {self.widen_bands}; give increasing shares")


@dataclass(frozen=True, kw_only=True)
class RiskStanding:
    """The clock, market and account that the limits check besides an order.

    Attributes:
        low2_ticks, high2_ticks: Extremes of the last second.
        market_us: Receipt of the last message, less its lateness by the exchange's clock.
        ack_us: Slowest acknowledgement since the last check, or longest pending.
    """

    us: int = 0
    mid2_ticks: int = 0
    low2_ticks: int = 0
    high2_ticks: int = 0
    market_us: int = 0
    ack_us: int = 0
    inventory_lots: int = 0
    target_lots: int = 0
    open_buy_lots: int = 0
    open_sell_lots: int = 0
    open_buys: int = 0
    open_sells: int = 0
    sent: int = 0
    equity_e8: int = 0
    day_equity_e8: int = 0
    peak_equity_e8: int = 0


@dataclass(frozen=True)
class RiskOrder:
    """A requested order; a market order is not *priced*."""

    side: int
    ticks: int
    lots: int
    priced: bool = True


@dataclass(frozen=True)
class RiskBreach:
    """A breached limit; actual value and bound in 1e-8 of the knob's unit."""

    limit: str
    value_e8: int
    bound_e8: int


def limits_of(risk: Risk) -> RiskLimits | None:
    limits = RiskLimits(
        max_position_e8=_e8(risk.max_position),
        max_order_notional_e8=_e8(risk.max_order_notional),
        max_open_orders=risk.max_open_orders,
        max_leverage_e8=_e8(risk.max_leverage),
        max_daily_loss_e8=_e8(risk.max_daily_loss),
        max_drawdown_e8=_e8(risk.max_drawdown),
        price_band_e8=_e8(risk.price_band),
        max_move_e8=_e8(risk.max_move),
        max_orders_per_s=risk.max_orders_per_s,
        feed_stale_us=None if risk.feed_stale_s is None else round(risk.feed_stale_s * US_PER_S),
        slow_ack_us=None if risk.latency_threshold_ms is None else us_from_ms(risk.latency_threshold_ms),
        widen_bands=tuple((e8(share), float(factor)) for share, factor in _decimals(risk.widen_bands)),
    )
    return None if limits == RiskLimits() else limits


def ramped_lots(quote_lots: int, step_lots: int, size_ramp: str | None, day: int = 0) -> int:
    """Return the quote size in whole steps, at least one; days without a breach count from 0."""
    fractions = _decimals(size_ramp)
    if not fractions:
        return quote_lots
    share = e8(fractions[min(day, len(fractions) - 1)])
    return max(quote_lots * share // E8 // step_lots * step_lots, step_lots)


def day_end_us(us: int) -> int:
    return midnight_us(next_day(day_of(us)))


def _e8(text: str | None) -> int | None:
    return None if text is None else e8(text)


def _decimals(text: str | None) -> list[Any]:
    values: list[Any] = [] if text is None else json.loads(text, parse_float=str, parse_int=str)
    return values
