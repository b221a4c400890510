"""The grid a symbol trades on: decimal text at the edge, whole ticks and lots inside."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mm.errors import BrokenFile, OffGrid

E8 = 100_000_000
_DECIMAL = re.compile(r"(-?)(\d+)(?:\.(\d*))?\Z", re.ASCII)


def e8(text: str) -> int:
    """Return *text*, a plain decimal, in units of 1e-8, exactly.

    Raises:
        OffGrid: If *text* is not a plain decimal or has more than eight places that count.
    """
    found = _DECIMAL.match(text)
    if not found:
        raise OffGrid(f"{text!r} is not a plain decimal number such as 0.01000000")
    sign, whole, places = found[1], found[2], (found[3] or "").rstrip("0")
    if len(places) > 8:
        raise OffGrid(f"{text!r} has more than eight decimal places; the exchange sends at most eight")
    value = int(whole) * E8 + int(places.ljust(8, "0"))
    return -value if sign else value


def decimal_text(value: int, places: int = 8) -> str:
    """Return *value*, in units of 10**-places, as a fixed decimal with that many places."""
    whole, rest = divmod(abs(value), 10**places)
    return f"{'-' if value < 0 else ''}{whole}.{rest:0{places}d}"


def short_text(value_e8: int) -> str:
    """Return *value_e8* as a decimal without trailing zeros, for messages (0.001, 5)."""
    return decimal_text(value_e8).rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Instrument:
    """The grid that one symbol trades on.

    Attributes:
        symbol: Binance Spot symbol, upper case.
        tick_e8: Price step, in 1e-8 of the quote asset (0.01 is 1_000_000).
        lot_e8: Quantity step, in 1e-8 of the base asset (0.00001 is 1_000).
        min_notional_e8: Least price times quantity of an order, in 1e-8 of the quote asset.
        base_asset: What is bought and sold; empty where the source did not say.
        quote_asset: What it is paid in; empty where the source did not say.
    """

    symbol: str
    tick_e8: int
    lot_e8: int
    min_notional_e8: int = 0
    base_asset: str = ""
    quote_asset: str = ""

    def __post_init__(self) -> None:
        if self.tick_e8 <= 0 or self.lot_e8 <= 0 or self.min_notional_e8 < 0:
            raise OffGrid(
                f"{self.symbol}: tick {short_text(self.tick_e8)}, quantity step {short_text(self.lot_e8)} and "
                f"minimum notional {short_text(self.min_notional_e8)} must be positive (the notional may be 0)"
            )

    def ticks(self, price: str) -> int:
        """Return *price*, a decimal string, as a whole number of ticks."""
        ticks, rest = divmod(e8(price), self.tick_e8)
        if rest:
            raise OffGrid(
                f"{self.symbol}: price {price} is not a multiple of tick size "
                f"{short_text(self.tick_e8)}; set --tick-size or check instrument.json"
            )
        return ticks

    def price(self, ticks: int) -> str:
        """Return *ticks* as a price, a decimal string with eight places."""
        return decimal_text(ticks * self.tick_e8)

    def lots(self, qty: str) -> int:
        """Return *qty*, a decimal string, as a whole number of lots."""
        lots, rest = divmod(e8(qty), self.lot_e8)
        if rest:
            raise OffGrid(
                f"{self.symbol}: quantity {qty} is not a multiple of step "
                f"{short_text(self.lot_e8)}; set --qty-step or check instrument.json"
            )
        return lots

    def qty(self, lots: int) -> str:
        """Return *lots* as a quantity, a decimal string with eight places."""
        return decimal_text(lots * self.lot_e8)


def from_exchange_info(entry: Mapping[str, Any], source: str) -> Instrument:
    """Return the instrument of one ``symbols[]`` entry of an exchangeInfo answer.

    Args:
        entry: The entry, as the exchange sends it and as ``instrument.json`` holds it.
        source: Where it came from, for the message of an error.
    """
    try:
        filters = {f["filterType"]: f for f in entry["filters"]}
        notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {"minNotional": "0"}
        return Instrument(
            symbol=entry["symbol"],
            tick_e8=e8(filters["PRICE_FILTER"]["tickSize"]),
            lot_e8=e8(filters["LOT_SIZE"]["stepSize"]),
            min_notional_e8=e8(notional["minNotional"]),
            base_asset=entry.get("baseAsset", ""),
            quote_asset=entry.get("quoteAsset", ""),
        )
    except (KeyError, TypeError, AttributeError, OffGrid) as error:
        raise BrokenFile(
            f"{source}: not an exchangeInfo entry with PRICE_FILTER and LOT_SIZE ({error}); "
            f"save the exchange's own entry, or remove the file and set --tick-size and --qty-step"
        ) from error


def to_exchange_info(instrument: Instrument) -> str:
    """Return *instrument* as the JSON text of an exchangeInfo entry: what ``instrument.json`` holds."""
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
