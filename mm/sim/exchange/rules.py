"""The rules for orders of a symbol: filters, order types, fees."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from mm.errors import OffGrid, UsageError
from mm.instrument import E8, Instrument, decimal_text, e8, short_text
from mm.sim.exchange.api_error import ApiError, filter_failure, invalid_message
from mm.sim.exchange.orders import NewOrder
from mm.sim.matching.order_log import MOST_LOTS, MOST_TICKS

ORDER_TYPES = ("LIMIT", "LIMIT_MAKER", "MARKET")
STP_MODES = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT")
"""Modes of self-trade prevention; the index of a mode is its number in the matching core."""
TRADING = "TRADING"
_FIELDS = {
    "max_notional": "most_notional_e8",
    "min_price": "least_price_e8",
    "max_price": "most_price_e8",
    "min_qty": "least_qty_e8",
    "max_qty": "most_qty_e8",
    "up": "multiplier_up_e8",
    "down": "multiplier_down_e8",
}
"""Filters that can be changed, and the fields with their values in 1e-8."""

Average = tuple[int, int]
"""A mean price as an exact fraction: traded tick·lots, and lots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolRules:
    """The rules of one symbol. All filters are enforced, and exchangeInfo lists no others.

    Attributes:
        reference_ticks: Reference price of the percent filter before the first trade.
        multiplier_up_e8, multiplier_down_e8: Bounds of the price, as multiples (1e-8) of the mean price.
        tl_e8: Value of one lot at one tick, in 1e-8 of the quote asset.
        step_ticks: Price step of users' orders, in ticks of the instrument; simulated orders use one tick.
    """

    instrument: Instrument
    reference_ticks: int
    status: str = TRADING
    listed: bool = True
    least_price_e8: int = 0
    most_price_e8: int = 1_000_000 * E8
    least_qty_e8: int = 0
    most_qty_e8: int = 1_000_000 * E8
    most_notional_e8: int = 9_000_000 * E8
    multiplier_up_e8: int = 5 * E8
    multiplier_down_e8: int = E8 // 5
    average_mins: int = 5
    most_orders: int = 200
    most_amends: int = 10
    maker_rate_e8: int = 100_000
    taker_rate_e8: int = 100_000
    default_stp: str = "EXPIRE_MAKER"
    step_ticks: int = 1
    step_lots: int = 1
    tl_e8: int = field(init=False)
    statuses: ClassVar[tuple[str, ...]] = (TRADING, "HALT", "BREAK", "CANCEL_ONLY")
    fields: ClassVar[Mapping[str, str]] = _FIELDS

    def __post_init__(self) -> None:
        grid = self.instrument
        tl_e8, rest = divmod(grid.tick_e8 * grid.lot_e8, E8)
        if rest:
            raise UsageError(
                "{}: one lot at one tick is worth less than 0.00000001 of the quote asset, which the exchange cannot "
                "book; make {tick_size} {} or {qty_step} {} coarser",
                grid.symbol,
                grid.price(1),
                grid.qty(1),
            )
        object.__setattr__(self, "tl_e8", tl_e8)

    def with_filters(self, given: Mapping[str, str]) -> Self:
        """Return rules with other filters for users' orders: decimals by name; an empty text changes nothing."""
        grid, changes = self.instrument, dict[str, Any]()
        for name, text in given.items():
            if not text:
                continue
            if name in ("tick", "step"):
                own_e8 = grid.tick_e8 if name == "tick" else grid.lot_e8
                changes["step_ticks" if name == "tick" else "step_lots"] = _steps_in(name, text, own_e8)
            elif name == "max_orders":
                changes["most_orders"] = _value_e8(name, text) // E8
            elif name == "min_notional":
                changes["instrument"] = replace(grid, min_notional_e8=_value_e8(name, text))
            elif name in self.fields:
                changes[self.fields[name]] = _value_e8(name, text)
            else:
                raise UsageError(f"{name}={text}: {grid.symbol} has no such filter")
        return replace(self, **changes)

    def of_status(self, status: str) -> Self:
        if status not in self.statuses:
            raise UsageError(f"status={status}: it must be one of {', '.join(self.statuses)}")
        return replace(self, status=status)

    def check_open(self) -> None:
        if self.status != TRADING:
            raise ApiError(-1013, "Market is closed.")

    @property
    def most_ticks(self) -> int:
        return min(self.most_price_e8 // self.instrument.tick_e8, MOST_TICKS)

    @property
    def most_lots(self) -> int:
        return min(self.most_qty_e8 // self.instrument.lot_e8, MOST_LOTS)

    @property
    def most_market_lots(self) -> int:
        return self.most_lots // 2 or 1

    def ticks(self, price_e8: int) -> int:
        ticks, rest = divmod(price_e8, self.instrument.tick_e8)
        if not price_e8:
            raise invalid_message("Invalid price.")
        if rest or ticks % self.step_ticks or ticks > self.most_ticks or price_e8 < self.least_price_e8:
            raise filter_failure("PRICE_FILTER")
        return ticks

    def lots(self, qty_e8: int, *, market: bool = False) -> int:
        lots, rest = divmod(qty_e8, self.instrument.lot_e8)
        if not qty_e8:
            raise invalid_message("Invalid quantity.")
        if rest or lots % self.step_lots or lots > self.most_lots or qty_e8 < self.least_qty_e8:
            raise filter_failure("LOT_SIZE")
        if market:
            self.check_market_lots(lots)
        return lots

    def check_market_lots(self, lots: int) -> None:
        if not lots:
            raise filter_failure("LOT_SIZE")
        if lots > self.most_market_lots:
            raise filter_failure("MARKET_LOT_SIZE")

    def check(self, new: NewOrder, average: Average) -> None:
        """Raise ApiError if price or notional fails a filter; MARKET orders are valued at *average*."""
        cost_tl, lots = average
        if not new.ticks:
            self.check_notional(new.quote_e8 or cost_tl * new.lots * self.tl_e8 // lots, market=True)
            return
        self.check_price(new.ticks, average)
        self.check_notional(new.ticks * new.lots * self.tl_e8)

    def check_price(self, ticks: int, average: Average) -> None:
        cost_tl, lots = average
        if not cost_tl * self.multiplier_down_e8 <= ticks * lots * E8 <= cost_tl * self.multiplier_up_e8:
            raise filter_failure("PERCENT_PRICE_BY_SIDE")

    def check_notional(self, notional_e8: int, *, market: bool = False) -> None:
        if notional_e8 < self.instrument.min_notional_e8 or (not market and notional_e8 > self.most_notional_e8):
            raise filter_failure("NOTIONAL")

    def filters(self) -> list[dict[str, Any]]:
        grid = self.instrument
        up, down = decimal_text(self.multiplier_up_e8), decimal_text(self.multiplier_down_e8)
        tick, lot = grid.price(self.step_ticks), grid.qty(self.step_lots)
        step = {"minQty": decimal_text(self.least_qty_e8) if self.least_qty_e8 else lot, "stepSize": lot}
        return [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": decimal_text(self.least_price_e8) if self.least_price_e8 else tick,
                "maxPrice": grid.price(self.most_ticks),
                "tickSize": tick,
            },
            {"filterType": "LOT_SIZE", **step, "maxQty": grid.qty(self.most_lots)},
            {"filterType": "MARKET_LOT_SIZE", **step, "maxQty": grid.qty(self.most_market_lots)},
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": up,
                "bidMultiplierDown": down,
                "askMultiplierUp": up,
                "askMultiplierDown": down,
                "avgPriceMins": self.average_mins,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": decimal_text(grid.min_notional_e8),
                "applyMinToMarket": True,
                "maxNotional": decimal_text(self.most_notional_e8),
                "applyMaxToMarket": False,
                "avgPriceMins": self.average_mins,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": self.most_orders},
            {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": self.most_amends},
        ]

    def entry(self) -> dict[str, Any]:
        return {
            "symbol": self.instrument.symbol,
            "status": self.status,
            "baseAsset": self.instrument.base_asset,
            "baseAssetPrecision": 8,
            "quoteAsset": self.instrument.quote_asset,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8,
            "orderTypes": list(ORDER_TYPES),
            "icebergAllowed": False,
            "ocoAllowed": False,
            "otoAllowed": False,
            "opoAllowed": False,
            "quoteOrderQtyMarketAllowed": True,
            "allowTrailingStop": False,
            "cancelReplaceAllowed": True,
            "amendAllowed": True,
            "pegInstructionsAllowed": False,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": self.filters(),
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": self.default_stp,
            "allowedSelfTradePreventionModes": list(STP_MODES),
        }


def _steps_in(name: str, text: str, own_e8: int) -> int:
    """Return the number of market steps in *text*; UsageError if it is no whole number."""
    try:
        count, rest = divmod(e8(text), own_e8)
    except OffGrid as error:
        raise UsageError(f"{name}={text}: {error}") from error
    if rest or count < 1:
        raise UsageError(f"{name}={text}: it must be a multiple of the market's step {short_text(own_e8)}")
    return count


def _value_e8(name: str, text: str) -> int:
    try:
        value_e8 = e8(text)
    except OffGrid as error:
        raise UsageError(f"{name}={text}: {error}") from error
    if value_e8 < 0:
        raise UsageError(f"{name}={text}: it must not be negative")
    return value_e8
