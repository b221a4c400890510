"""Amounts, prices and instants of one symbol as JSON has them, and what every text of an order begins with."""

from typing import Any

from mm.clock import US_PER_MS
from mm.instrument import decimal_text
from mm.sim.exchange.orders import SIDES, PreventedMatch, UserOrder
from mm.sim.exchange.rules import SymbolRules

Json = dict[str, Any]
NONE_ID = -1
"""Stands where there is no order list, no trade group and no trade."""
ZERO = decimal_text(0)


class SymbolTexts:
    """Writes in the units that one client asked for.

    Args:
        rules: Of the symbol.
        micro: Whether instants are written in µs, not in ms.

    Attributes:
        rules: As given.
        symbol: Its name.
    """

    def __init__(self, rules: SymbolRules, micro: bool) -> None:
        self.rules = rules
        self.symbol = rules.instrument.symbol
        self._unit_us = 1 if micro else US_PER_MS

    def stamp(self, us: int) -> int:
        """Return an instant in the unit that was asked for."""
        return us // self._unit_us

    def price(self, ticks: int) -> str:
        """Return a price as text."""
        return self.rules.instrument.price(ticks)

    def qty(self, lots: int) -> str:
        """Return a quantity as text."""
        return self.rules.instrument.qty(lots)

    def worth(self, spent_tl: int) -> str:
        """Return an amount of the quote asset, given in tick·lots, as text."""
        return decimal_text(spent_tl * self.rules.tl_e8)

    def earned(self, side: int) -> str:
        """Return the asset that an order of *side* receives, and pays its fee in."""
        return self.rules.base if side > 0 else self.rules.quote

    def state(self, order: UserOrder) -> Json:
        """Return how an order stands."""
        return {
            "price": self.price(order.request.ticks),
            "origQty": self.qty(order.lots),
            "executedQty": self.qty(order.filled_lots),
            "origQuoteOrderQty": decimal_text(order.request.quote_e8),
            "cummulativeQuoteQty": self.worth(order.spent_tl),
            "status": order.status,
            "timeInForce": order.request.time_in_force,
            "type": order.request.type,
            "side": SIDES[order.request.side],
        }

    def labels(self, order: UserOrder) -> Json:
        """Return the fields that only some orders have."""
        fields: Json = {}
        if order.prevented_lots:
            fields |= {
                "preventedMatchId": order.prevented[-1].match_id,
                "preventedQuantity": self.qty(order.prevented_lots),
            }
        labels = {"strategyId": order.request.strategy_id, "strategyType": order.request.strategy_type}
        return fields | {name: label for name, label in labels.items() if label is not None}

    def lost(self, match: PreventedMatch) -> Json:
        """Return what the two orders of a prevented match lost, where they lost anything."""
        lots = {"takerPreventedQuantity": match.taker_lots, "makerPreventedQuantity": match.maker_lots}
        return {name: self.qty(lost) for name, lost in lots.items() if lost}
