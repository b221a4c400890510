"""The oracle's money: integers that never round, recomputed each time (1 tick·lot is 1e-16·tick_e8·lot_e8)."""

from fractions import Fraction

from mm import Rules
from oracle_market import QUOTED, SELL, Book, Order


class Account:
    """Cash, inventory, fees, and the amounts that orders lock."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.inventory, self.cash_tl, self.fees_e8 = rules.start_lots, 0, 0

    def trade(self, side: int, ticks: int, lots: int, rate_e8: int) -> int:
        """Book a fill; return its fee."""
        fee_e8 = self.fee_e8(self.e16(ticks * lots), rate_e8)
        self.inventory += side * lots
        self.cash_tl -= side * ticks * lots
        self.fees_e8 += fee_e8
        return fee_e8

    def e16(self, tick_lots: int) -> int:
        """Return the value of tick·lots in 1e-16 of the quote asset."""
        return tick_lots * self.rules.tick_e8 * self.rules.lot_e8

    @property
    def cash_e16(self) -> int:
        return (self.rules.start_cash_e8 - self.fees_e8) * 10**8 + self.e16(self.cash_tl)

    def fee_e8(self, notional_e16: int, rate_e8: int) -> int:
        return round(Fraction(notional_e16 * rate_e8, 10**16))  # half to even

    def notional_e16(self, order: Order, book: Book) -> int:
        """Return the value of an order's remainder at its price, or at the book's current price for it."""
        if order.kind == "MARKET":
            return self.e16(sum(ticks * lots for ticks, lots in book.takes(order)))
        return self.e16(order.ticks * order.left)

    def locked_e16(self, order: Order, book: Book) -> int:
        """Return the cash that a buy order locks."""
        rules, notional_e16 = self.rules, self.notional_e16(order, book)
        quoted = order.kind == QUOTED or order.rests
        rate_e8 = rules.maker_fee_e8 if quoted else max(rules.maker_fee_e8, rules.taker_fee_e8)
        return notional_e16 + self.fee_e8(notional_e16, max(rate_e8, 0)) * 10**8

    def uncovered(self, order: Order, others: list[Order], book: Book) -> str:
        """Return why the balance not locked by *others* does not cover an order, or an empty text."""
        same_side = [other for other in others if other.side == order.side]
        if not self.rules.enforce_balances:
            return ""
        if order.side == SELL:
            free_lots = self.inventory - sum(other.left for other in same_side)
            return "" if free_lots >= order.left else "insufficient_inventory"
        free_e16 = self.cash_e16 - sum(self.locked_e16(other, book) for other in same_side)
        return "" if free_e16 >= self.locked_e16(order, book) else "insufficient_cash"
