"""The rules for a contract's orders: filters with their own error codes, order types, fees."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mm.instrument import E8, decimal_text, short_text
from mm.margin.brackets import BRACKETS, Bracket, most_notional_e8
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import NewOrder
from mm.sim.exchange.rules import TRADING, Average, SymbolRules

STATUSES = ("PENDING_TRADING", TRADING, "PRE_SETTLE", "SETTLING", "PRE_DELIVERING", "DELIVERING", "DELIVERED", "CLOSE")
"""What exchangeInfo may call the state of a contract."""
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX", "GTD")
ORDER_TYPES = ("LIMIT", "MARKET")
TRAILING = "TRAILING_STOP_MARKET"
CONDITIONAL_TYPES = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", TRAILING)
STP_MODES = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")
_FOREVER_MS = 4_133_404_800_000
"""What exchangeInfo gives as the delivery date of a perpetual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractRules(SymbolRules):
    """The rules of one perpetual.

    Attributes:
        market_bound_e8: How far from the mark price a MARKET order may trade, in 1e-8 of it.
        most_position_e8: Largest notional at any leverage; 0: by the brackets alone.
        trigger_protect_e8: Largest gap of mark and contract price at which a protected order is sent, in 1e-8.
    """

    multiplier_up_e8: int = E8 + E8 // 20
    multiplier_down_e8: int = E8 - E8 // 20
    maker_rate_e8: int = 20_000
    taker_rate_e8: int = 50_000
    most_amends: int = 10_000
    onboard_us: int = 0
    liquidation_rate_e8: int = 1_250_000
    market_bound_e8: int = E8 // 20
    most_position_e8: int = 0
    most_conditional: int = 200
    trigger_protect_e8: int = E8 // 20
    statuses: ClassVar[tuple[str, ...]] = STATUSES
    fields: ClassVar[Mapping[str, str]] = {**SymbolRules.fields, "bracket": "most_position_e8"}

    def check_open(self) -> None:
        if self.status != TRADING:
            raise ApiError(-4141, "Symbol is closed.")

    def most_at_e8(self, leverage: int) -> int:
        by_leverage_e8 = most_notional_e8(leverage)
        return min(by_leverage_e8, self.most_position_e8) if self.most_position_e8 else by_leverage_e8

    def brackets(self) -> list[Bracket]:
        most_e8 = self.most_position_e8 or BRACKETS[-1].cap_e8
        return [replace(one, cap_e8=min(one.cap_e8, most_e8)) for one in BRACKETS if one.floor_e8 < most_e8]

    @property
    def price_places(self) -> int:
        return _places(self.step_ticks * self.instrument.tick_e8)

    @property
    def lot_places(self) -> int:
        return _places(self.step_lots * self.instrument.lot_e8)

    def ticks(self, price_e8: int) -> int:
        _check_places(price_e8, self.price_places)
        ticks, rest = divmod(price_e8, self.instrument.tick_e8)
        if not price_e8:
            raise ApiError(-4001, "Price less than or equal to zero.")
        if rest or ticks % self.step_ticks:
            raise ApiError(-4014, "Price not increased by tick size.")
        if ticks > self.most_ticks:
            raise ApiError(-4002, "Price greater than max price.")
        if price_e8 < self.least_price_e8:
            raise ApiError(-4013, "Price less than min price.")
        return ticks

    def lots(self, qty_e8: int, *, market: bool = False) -> int:
        _check_places(qty_e8, self.lot_places)
        lots, rest = divmod(qty_e8, self.instrument.lot_e8)
        if not qty_e8:
            raise ApiError(-4003, "Quantity less than or equal to zero.")
        if rest or lots % self.step_lots:
            raise ApiError(-4023, "Qty not increased by step size.")
        if lots > (self.most_market_lots if market else self.most_lots):
            raise ApiError(-4005, "Quantity greater than max quantity.")
        if qty_e8 < self.least_qty_e8:
            raise ApiError(-4004, "Quantity less than min quantity.")
        return lots

    def check(self, new: NewOrder, average: Average) -> None:
        """*average* is the mark price, as a fraction."""
        mark, unit = average
        if new.ticks:
            self.check_price(new.ticks, average)
        elif self.status != TRADING and not new.reduce_only:
            raise ApiError(-4140, "Invalid symbol status for opening position.")
        ticks_over = new.ticks * unit if new.ticks else mark
        if not new.reduce_only and ticks_over * new.lots * self.tl_e8 < self.instrument.min_notional_e8 * unit:
            least = short_text(self.instrument.min_notional_e8)
            raise ApiError(-4164, f"Order's notional must be no smaller than {least} (unless you choose reduce only).")

    def check_price(self, ticks: int, average: Average) -> None:
        mark, unit = average
        if ticks * unit * E8 > mark * self.multiplier_up_e8:
            raise ApiError(-4016, f"Limit price can't be higher than {self._bound(average, self.multiplier_up_e8)}.")
        if ticks * unit * E8 < mark * self.multiplier_down_e8:
            raise ApiError(-4024, f"Limit price can't be lower than {self._bound(average, self.multiplier_down_e8)}.")

    def _bound(self, average: Average, multiplier_e8: int) -> str:
        mark, unit = average
        return short_text(mark * self.instrument.tick_e8 * multiplier_e8 // (unit * E8))

    def filters(self) -> list[dict[str, Any]]:
        price, lot, market = SymbolRules.filters(self)[:3]
        return [
            price,
            lot,
            market,
            {"filterType": "MAX_NUM_ORDERS", "limit": self.most_orders},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": self.most_conditional},
            {"filterType": "MIN_NOTIONAL", "notional": short_text(self.instrument.min_notional_e8)},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": decimal_text(self.multiplier_up_e8 // 10_000, 4),
                "multiplierDown": decimal_text(self.multiplier_down_e8 // 10_000, 4),
                "multiplierDecimal": "4",
            },
        ]

    def entry(self) -> dict[str, Any]:
        grid = self.instrument
        return {
            "symbol": grid.symbol,
            "pair": grid.symbol,
            "contractType": "PERPETUAL",
            "deliveryDate": _FOREVER_MS,
            "onboardDate": self.onboard_us // 1_000,
            "status": self.status,
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": grid.base_asset,
            "quoteAsset": grid.quote_asset,
            "marginAsset": grid.quote_asset,
            "pricePrecision": self.price_places,
            "quantityPrecision": self.lot_places,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": [],
            "triggerProtect": decimal_text(self.trigger_protect_e8 // 10_000, 4),
            "liquidationFee": decimal_text(self.liquidation_rate_e8 // 100, 6),
            "marketTakeBound": decimal_text(self.market_bound_e8 // 1_000_000, 2),
            "maxMoveOrderLimit": self.most_amends,
            "filters": self.filters(),
            "orderTypes": [*ORDER_TYPES, *CONDITIONAL_TYPES],
            "timeInForce": list(TIMES_IN_FORCE),
            "permissionSets": ["GRID", "COPY"],
        }


def _places(step_e8: int) -> int:
    text = short_text(step_e8)
    return len(text.partition(".")[2])


def _check_places(value_e8: int, places: int) -> None:
    if value_e8 % 10 ** (8 - places):
        raise ApiError(-1111, "Precision is over the maximum defined for this asset.")
