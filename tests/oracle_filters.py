"""The oracle's exchange filters for price and size (docs/specification/engine.md, *Filters*)."""

from fractions import Fraction

from mm import Rules
from oracle_market import BUY, Order, Trade

MINUTE_US = 60_000_000


class Filters:
    """The filters of the rules, and the average price of recent trades."""

    def __init__(self, rules: Rules) -> None:
        self.rules, self.filters = rules, rules.filters
        self.trades: list[Trade] = []  # of the current tape
        self.last: Trade | None = None  # of this or the previous tape

    def begin(self) -> None:
        """Begin a tape."""
        self.trades = []

    def add_trade(self, trade: Trade) -> None:
        """Record a trade."""
        self.trades.append(trade)
        self.last = trade

    def mean(self, us: int) -> Fraction | None:
        """Return the average price in ticks, None before any trade."""
        if self.last is None:
            return None
        since_us = us - self.filters.average_mins * MINUTE_US
        late = [trade for trade in self.trades if trade.us > since_us and self.filters.average_mins] or [self.last]
        return Fraction(sum(trade.ticks * trade.lots for trade in late), sum(trade.lots for trade in late))

    def out_of_band(self, order: Order, us: int) -> bool:
        """Return whether an order's price is outside the exchange's limits or bands."""
        filters, mean = self.filters, self.mean(us)
        if order.kind == "MARKET":
            return False
        down, up = filters.ask_down_e8, filters.ask_up_e8
        if order.side == BUY:
            down, up = filters.bid_down_e8, filters.bid_up_e8
        limits = [(filters.min_price_e8, filters.max_price_e8, Fraction(1))]
        if mean is not None:
            limits.append((down, up, mean * self.rules.tick_e8 / 10**8))
        price = order.ticks * self.rules.tick_e8
        return any((least and price < least * by) or (most and price > most * by) for least, most, by in limits)

    def quantity_fits(self, order: Order) -> bool:
        """Return whether the exchange accepts the quantity of an order and it does not overflow."""
        if order.lots > 10**15 or order.ticks * order.lots > 2**62:
            return False
        qty_e8, most_e8 = order.lots * self.rules.lot_e8, self.filters.max_qty_e8
        if order.kind == "MARKET":
            of, step_e8 = self.filters, self.filters.market_step_e8
            if qty_e8 < of.market_min_qty_e8 or (of.market_max_qty_e8 and qty_e8 > of.market_max_qty_e8):
                return False
            if step_e8 and qty_e8 % step_e8:
                return False
        return self.filters.min_qty_e8 <= qty_e8 and (not most_e8 or qty_e8 <= most_e8)
