"""The limits on our orders: their knobs, their bounds in the engine's units, and their names; docs/risk.md.

What applies them is compiled (``_risk.pyx``), inside the order manager, so that a replay, a shadow and a trader have
the same ones. A limit that is None is none.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from mm.cli.knobs import JSON, Reader, decimal, integer, knob, number
from mm.clock import US_PER_S, day_of, midnight_us, next_day, us_from_ms
from mm.errors import OffGrid, UsageError
from mm.instrument import E8, e8

# By code: what kills, what pulls, what withholds one order; KILLED and PULLED come from outside, the others are knobs.
STOPS = (
    *("MAX_DAILY_LOSS", "MAX_DRAWDOWN", "KILLED"),
    *("MAX_MOVE", "FEED_STALE_S", "LATENCY_THRESHOLD_MS", "PULLED"),
)
LIMITS = (
    *("", *STOPS, "MAX_POSITION", "MAX_LEVERAGE", "MAX_OPEN_ORDERS", "MAX_ORDER_NOTIONAL"),
    *("PRICE_BAND", "MAX_ORDERS_PER_S", "WIDEN_BANDS"),
)
STOPPING = tuple(name.lower() for name in STOPS)
"""The reasons of cancels, in the journal's words."""
WITHHOLDING = tuple(name.lower() for name in LIMITS[1:-1])
"""The reasons why orders were not sent, in the journal's words."""
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
"""What `mm shadow` and `mm trade` limit by default, by field name of `Risk`."""
MOST_LEVERAGE = "100"


def _read_bands(text: str) -> str:
    try:
        pairs = [(_share(share), _factor(factor)) for share, factor in json.loads(text, parse_float=Decimal)]
    except (ValueError, TypeError, OffGrid):
        pairs = []
    if not pairs or pairs != sorted(set(pairs)):
        raise ValueError('JSON [[share of MAX_POSITION, factor from 1 on], …] by rising shares, such as "[[0.5, 2]]"')
    return json.dumps([[share / E8, factor] for share, factor in pairs], separators=(",", ":"))


def _share(value: Any) -> int:
    found = e8(str(value))
    if not 0 <= found <= E8:
        raise ValueError(value)
    return found


def _factor(value: Any) -> float:
    found = float(value)
    if not 1.0 <= found <= 1_000.0:
        raise ValueError(value)
    return found


def _read_ramp(text: str) -> str:
    try:
        fractions = [_share(one) for one in json.loads(text, parse_float=Decimal)]
    except (ValueError, TypeError, OffGrid):
        fractions = []
    if not fractions or min(fractions) == 0:
        raise ValueError('JSON of fractions above 0 and up to 1, one a day, such as "[0.1, 0.5, 1]"')
    return json.dumps([one / E8 for one in fractions], separators=(",", ":"))


_SHARE = decimal("0", "1")
_QUOTE = decimal("0", "90000000000")


@dataclass(frozen=True, kw_only=True)
class Risk:
    """Limits on our orders; where one is broken, an order is withheld, quotes are pulled, or trading ends."""

    max_position: str | None = knob(
        None,
        _QUOTE,
        "Position that no side may exceed if its open orders fill, in the base asset.",
        common="Largest position, in the base asset",
    )
    max_order_notional: str | None = knob(None, _QUOTE, "Notional that no order may exceed, in the quote asset.")
    max_open_orders: int | None = knob(
        None, integer(1, 10_000), "Open orders on each side, those counted whose cancel is on its way."
    )
    max_leverage: str | None = knob(
        None, decimal("0", MOST_LEVERAGE), "Position times mid over equity, if the side's open orders fill."
    )
    max_daily_loss: str | None = knob(
        None,
        _QUOTE,
        "Loss since the Berlin day began that ends all trading, in the quote asset.",
        common="Loss of a day that ends all trading",
    )
    max_drawdown: str | None = knob(
        None, _SHARE, "Fall of the equity from its peak that ends all trading, as a share of the peak."
    )
    price_band: str | None = knob(None, _SHARE, "Distance from the mid that no price may exceed, as a share of it.")
    max_move: str | None = knob(None, _SHARE, "Move of the mid within 1 s, as a share, beyond which quotes are pulled.")
    max_orders_per_s: int | None = knob(
        None, integer(1, 100_000), "Orders placed or replaced in any second; others wait, cancels never do."
    )
    feed_stale_s: float | None = knob(
        None, number(0.001, 1e6), "Silence of the market, in seconds, after which quotes are pulled."
    )
    latency_threshold_ms: float | None = knob(
        None, number(0.001, 1e7), "Time from sending an order to its acceptance beyond which quotes are pulled, in ms."
    )
    widen_bands: str | None = knob(
        None,
        Reader(JSON, _read_bands),
        "[[share of MAX_POSITION, factor], ...]: factor of the quotes' distance from the mid, from that position on.",
    )
    size_ramp: str | None = knob(
        None,
        Reader(JSON, _read_ramp),
        "Fractions of QUOTE_QTY, one per day without a breach; a replay takes the first.",
    )

    def __post_init__(self) -> None:
        if self.widen_bands is not None and not (self.max_position and e8(self.max_position)):
            raise UsageError(
                f"--widen-bands (WIDEN_BANDS) is {self.widen_bands}, shares of MAX_POSITION, which is "
                f"{self.max_position or 'not set'}; set --max-position (MAX_POSITION) above 0"
            )


NO_RISK = Risk()


@dataclass(frozen=True, kw_only=True)
class RiskLimits:
    """The limits of one run, in the engine's own units; None is no limit.

    Attributes:
        max_position_e8: Bound of the position, 1e-8 of the base asset.
        max_order_notional_e8: Bound of an order's notional, 1e-8 of the quote asset.
        max_open_orders: Open orders per side.
        max_leverage_e8: Bound of position times mid over equity, in 1e-8.
        max_daily_loss_e8: Loss since the day began that kills, 1e-8 of the quote asset.
        max_drawdown_e8: Share of the peak equity that kills when lost, in 1e-8.
        price_band_e8: Share of the mid that a price may lie away from it, in 1e-8.
        max_move_e8: Share of the mid by which it may move within 1 s, in 1e-8.
        max_orders_per_s: Orders sent in any second.
        feed_stale_us: Age of the market's last message.
        slow_ack_us: Time from sending to acceptance.
        widen_bands: Shares of *max_position_e8* in 1e-8, rising, and the factor of the distance from there on.
        added_equity_e8: What the equity holds beside cash and inventory of the engine's account, 1e-8 of quote.
        day_equity_e8: Equity when the running day began, for a run that goes on; None: that of its first requote.
        peak_equity_e8: The highest equity so far, likewise.
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
            if isinstance(value, int) and value < 0 and not field.name.endswith("equity_e8"):
                raise UsageError(f"{field.name} is {value}; it must be 0 or more, or None for no limit")
        if self.max_orders_per_s == 0:
            raise UsageError("max_orders_per_s is 0; it must be above 0, or None for no limit")
        if (self.max_leverage_e8 or 0) > e8(MOST_LEVERAGE):
            raise UsageError(f"max_leverage_e8 is {self.max_leverage_e8}; it must be at most {e8(MOST_LEVERAGE)}")
        if self.widen_bands and not self.max_position_e8:
            raise UsageError("widen_bands are shares of max_position_e8; set that above 0")
        if list(self.widen_bands) != sorted(self.widen_bands):
            raise UsageError(f"widen_bands are {self.widen_bands}; give them by rising shares")


@dataclass(frozen=True, kw_only=True)
class RiskStanding:
    """What the limits look at beside an order: clock, market and account.

    Attributes:
        us: Now.
        mid2_ticks: Best bid + best ask, 0 where there is none.
        low2_ticks: The lowest of the last second's, this one among them.
        high2_ticks: The highest.
        market_us: When the market's last message came.
        ack_us: The slowest acknowledgement since the last look, or the longest wait for one.
        inventory_lots: The position.
        open_buy_lots: What is left of open buys; likewise of sells.
        open_buys: How many buys are open; likewise sells.
        sent: Orders sent within the last second.
        equity_e8: Cash and inventory at the mid, 1e-8 of the quote asset.
        day_equity_e8: The same when the day began.
        peak_equity_e8: The highest so far.
    """

    us: int = 0
    mid2_ticks: int = 0
    low2_ticks: int = 0
    high2_ticks: int = 0
    market_us: int = 0
    ack_us: int = 0
    inventory_lots: int = 0
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
    """An order that is wanted: side +1 or -1, price and quantity; *priced* is False where it takes any price."""

    side: int
    ticks: int
    lots: int
    priced: bool = True


@dataclass(frozen=True)
class RiskBreach:
    """A limit that is broken: its knob, what was found and what it allows, in 1e-8 of the knob's unit."""

    limit: str
    value_e8: int
    bound_e8: int


def limits_of(risk: Risk) -> RiskLimits | None:
    """Return the limits that the knobs say, None where they say none."""
    found = RiskLimits(
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
    return None if found == RiskLimits() else found


def ramped_lots(quote_lots: int, step_lots: int, size_ramp: str | None, day: int = 0) -> int:
    """Return the clip of a *day* of a ramp, counted from 0 in days without a breach, in whole steps, one at least."""
    fractions = _decimals(size_ramp)
    if not fractions:
        return quote_lots
    share = e8(fractions[min(day, len(fractions) - 1)])
    return max(quote_lots * share // E8 // step_lots * step_lots, step_lots)


def day_end_us(us: int) -> int:
    """Return when the Berlin day of an instant ends."""
    return midnight_us(next_day(day_of(us)))


def _e8(text: str | None) -> int | None:
    return None if text is None else e8(text)


def _decimals(text: str | None) -> list[Any]:
    """Return JSON with its numbers as they are written."""
    found: list[Any] = [] if text is None else json.loads(text, parse_float=str, parse_int=str)
    return found
