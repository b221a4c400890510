"""The price and quantity grid of a symbol: decimal text to whole ticks and lots, and back."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mm.errors import BrokenFile, OffGrid, UsageError

E8 = 100_000_000
WAYS = ("Up", "Down")
_DECIMAL = re.compile(r"(-?)(\d+)(?:\.(\d*))?\Z", re.ASCII)


def check_64_bits(name: str, value: int) -> None:
    if not -(2**63) < value < 2**63:
        raise UsageError(f"{name} is {value}, more than 64 bits hold; lower the quantities, prices or steps behind it")


def e8(text: str) -> int:
    """Return a plain decimal in units of 1e-8, exactly; OffGrid beyond eight places."""
    if text[-9:-8] == "." and len(text) > 9:  # the exchange's own form: eight places
        digits = text[:-9] + text[-8:]
        if digits.isdigit() and digits.isascii():
            return int(digits)
    match = _DECIMAL.match(text)
    if not match:
        raise OffGrid(f"{text!r} is not a plain decimal number such as 0.01000000")
    sign, whole, places = match[1], match[2], (match[3] or "").rstrip("0")
    if len(places) > 8:
        raise OffGrid(f"{text!r} has more than eight decimal places; the exchange sends at most eight")
    value = int(whole) * E8 + int(places.ljust(8, "0"))
    return -value if sign else value


def decimal_text(value: int, places: int = 8) -> str:
    whole, rest = divmod(abs(value), 10**places)
    return f"{'-' if value < 0 else ''}{whole}.{rest:0{places}d}"


def short_text(value_e8: int) -> str:
    """Without trailing zeros, for messages (0.001, 5)."""
    return decimal_text(value_e8).rstrip("0").rstrip(".")


FEW_QUANTITIES = 20


def inferred_step(divisor_e8: int, count: int) -> int:
    """Return the quantity step that *count* quantities with this greatest common divisor suggest.

    Few quantities share a divisor by chance, so below twenty it is the largest power of ten.
    """
    if count >= FEW_QUANTITIES or not divisor_e8:
        return divisor_e8
    text = str(divisor_e8)
    return int(10 ** (len(text) - len(text.rstrip("0"))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Order filters beyond grid and minimum notional, in 1e-8 of quote or base asset; 0 is no limit.

    Attributes:
        bid_up_e8: Highest buy price, as a multiple (1e-8) of the mean price of last trades (PERCENT_PRICE_BY_SIDE;
            PERCENT_PRICE is the same for both sides).
        average_mins: Minutes of trades in that mean, weighted by quantity; 0: the last trade.
        max_amends: Of one order (MAX_NUM_ORDER_AMENDS).
        market_min_qty_e8: Of MARKET orders, like the next two (MARKET_LOT_SIZE).
        min_to_market: Minimum notional applies to MARKET orders (applyMinToMarket, applyToMarket).
        max_to_market: Maximum notional does (applyMaxToMarket).
        max_position_e8: Position plus open buys (MAX_POSITION).
        liquidation_rate_e8: Fee of a liquidation, of the notional (liquidationFee).
        not_applied: Other filters that could reject our orders, comma-separated.
    """

    min_price_e8: int = 0
    max_price_e8: int = 0
    min_qty_e8: int = 0
    max_qty_e8: int = 0
    max_notional_e8: int = 0
    bid_up_e8: int = 0
    bid_down_e8: int = 0
    ask_up_e8: int = 0
    ask_down_e8: int = 0
    average_mins: int = 0
    max_amends: int = 0
    amend_allowed: bool = True
    market_min_qty_e8: int = 0
    market_max_qty_e8: int = 0
    market_step_e8: int = 0
    min_to_market: bool = True
    max_to_market: bool = True
    max_position_e8: int = 0
    liquidation_rate_e8: int = 0
    not_applied: str = ""


NO_FILTERS = Filters()
_APPLIED = {"PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE", "NOTIONAL", "MIN_NOTIONAL", "MAX_POSITION"}
_APPLIED |= {"PERCENT_PRICE", "PERCENT_PRICE_BY_SIDE", "MAX_NUM_ORDER_AMENDS"}
# of kinds of orders that are never sent
_OTHERS = {"ICEBERG_PARTS", "MAX_NUM_ICEBERG_ORDERS", "MAX_NUM_ALGO_ORDERS", "MAX_NUM_ORDER_LISTS", "TRAILING_DELTA"}


@dataclass(frozen=True, slots=True)
class Instrument:
    """The grid that one symbol trades on.

    Attributes:
        tick_e8: Price step, in 1e-8 of the quote asset (0.01 is 1_000_000).
        lot_e8: Quantity step, in 1e-8 of the base asset (0.00001 is 1_000).
        min_notional_e8: Least price times quantity of an order, in 1e-8 of the quote asset.
        multiplier: Value of one unit per price of 1, in the quote asset; 1 except for contracts.
    """

    symbol: str
    tick_e8: int
    lot_e8: int
    min_notional_e8: int = 0
    base_asset: str = ""
    quote_asset: str = ""
    filters: Filters = NO_FILTERS
    multiplier: int = 1

    def __post_init__(self) -> None:
        if self.tick_e8 <= 0 or self.lot_e8 <= 0 or self.min_notional_e8 < 0:
            raise OffGrid(
                f"{self.symbol}: tick {short_text(self.tick_e8)}, quantity step {short_text(self.lot_e8)} and "
                f"minimum notional {short_text(self.min_notional_e8)} must be positive (the notional may be 0)"
            )

    @property
    def assets(self) -> tuple[str, str]:
        """Base and quote as stated, else as the symbol suggests; both empty if neither is known."""
        return (self.base_asset, self.quote_asset) if self.base_asset and self.quote_asset else assets_of(self.symbol)

    @property
    def tick_lot_e16(self) -> int:
        """Value of one tick of one lot, in 1e-16 of the quote asset."""
        return self.tick_e8 * self.lot_e8 * self.multiplier

    def ticks(self, price: str) -> int:
        """Return *price*, a decimal string, in ticks; OffGrid if it is not a whole number."""
        ticks, rest = divmod(e8(price), self.tick_e8)
        if rest:
            raise OffGrid(
                "{}: price {} is not a multiple of tick size {}; set {tick_size} or check instrument.json",
                self.symbol,
                price,
                short_text(self.tick_e8),
            )
        return ticks

    def price(self, ticks: int) -> str:
        return decimal_text(ticks * self.tick_e8)

    def lots(self, qty: str) -> int:
        """Return *qty*, a decimal string, in lots; OffGrid if it is not a whole number."""
        lots, rest = divmod(e8(qty), self.lot_e8)
        if rest:
            raise OffGrid(
                "{}: quantity {} is not a multiple of step {}; set {qty_step} or check instrument.json",
                self.symbol,
                qty,
                short_text(self.lot_e8),
            )
        return lots

    def qty(self, lots: int) -> str:
        """Return *lots* as text with eight places."""
        return decimal_text(lots * self.lot_e8)


def from_exchange_info(entry: Mapping[str, Any], source: str) -> Instrument:
    """Read a ``symbols[]`` entry of exchangeInfo; *source* is for messages."""
    try:
        filters = {f["filterType"]: f for f in entry["filters"]}
        notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {"minNotional": "0"}
        return Instrument(
            symbol=entry["symbol"],
            tick_e8=e8(filters["PRICE_FILTER"]["tickSize"]),
            lot_e8=e8(filters["LOT_SIZE"]["stepSize"]),
            min_notional_e8=e8(notional["notional" if "notional" in notional else "minNotional"]),  # the key of USD-M
            base_asset=entry.get("baseAsset", ""),
            quote_asset=entry.get("quoteAsset", ""),
            filters=replace(
                _filters(filters, notional, allowed=entry.get("amendAllowed") is not False),
                liquidation_rate_e8=e8(entry.get("liquidationFee", "0")),
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OffGrid) as error:
        raise BrokenFile(
            "{}: not an exchangeInfo entry with PRICE_FILTER and LOT_SIZE ({}); save the exchange's own entry, or "
            "remove the file and set {tick_size} and {qty_step}",
            source,
            error,
        ) from error


def _filters(by_type: Mapping[str, Mapping[str, Any]], notional: Mapping[str, Any], *, allowed: bool) -> Filters:
    price, lot, market = by_type["PRICE_FILTER"], by_type["LOT_SIZE"], by_type.get("MARKET_LOT_SIZE", {})
    by_side, percent = by_type.get("PERCENT_PRICE_BY_SIDE"), by_type.get("PERCENT_PRICE")
    least, multipliers = e8(lot.get("minQty", "0")), by_side or percent or {}
    keys = {"bid": "bidMultiplier", "ask": "askMultiplier"} if by_side else dict.fromkeys(("bid", "ask"), "multiplier")
    multiples = {
        f"{side}_{way.lower()}_e8": e8(multipliers[f"{key}{way}"])
        for side, key in keys.items()
        for way in WAYS
        if multipliers
    }
    return Filters(
        min_price_e8=e8(price.get("minPrice", "0")),
        max_price_e8=e8(price.get("maxPrice", "0")),
        min_qty_e8=least if least > e8(lot["stepSize"]) else 0,  # a minimum of one step is implied
        max_qty_e8=e8(lot.get("maxQty", "0")),
        max_notional_e8=e8(notional.get("maxNotional", "0")),
        average_mins=int(multipliers.get("avgPriceMins", 0)),
        max_amends=int(by_type.get("MAX_NUM_ORDER_AMENDS", {}).get("maxNumOrderAmends", 0)),
        amend_allowed=allowed,
        market_min_qty_e8=e8(market.get("minQty", "0")),
        market_max_qty_e8=e8(market.get("maxQty", "0")),
        market_step_e8=e8(market.get("stepSize", "0")),
        min_to_market=notional.get("applyMinToMarket", notional.get("applyToMarket", True)) is not False,
        max_to_market=notional.get("applyMaxToMarket", True) is not False,
        max_position_e8=e8(by_type.get("MAX_POSITION", {}).get("maxPosition", "0")),
        not_applied=", ".join(sorted(by_type.keys() - _APPLIED - _OTHERS)),
        **multiples,
    )


def to_exchange_info(instrument: Instrument) -> str:
    """Return the content of ``instrument.json``."""
    entry = {
        "symbol": instrument.symbol,
        "status": "TRADING",
        "baseAsset": instrument.base_asset,
        "quoteAsset": instrument.quote_asset,
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": decimal_text(instrument.tick_e8)},
            {
                "filterType": "LOT_SIZE",
                "minQty": decimal_text(instrument.lot_e8),
                "stepSize": decimal_text(instrument.lot_e8),
            },
            {"filterType": "NOTIONAL", "minNotional": decimal_text(instrument.min_notional_e8)},
        ],
    }
    return json.dumps(entry, indent=1) + "\n"


_QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "USD")


def assets_of(symbol: str) -> tuple[str, str]:
    """Split at a known quote asset; both empty if none fits."""
    quote = next((asset for asset in _QUOTES if symbol.endswith(asset) and symbol != asset), "")
    return (symbol.removesuffix(quote), quote) if quote else ("", "")
