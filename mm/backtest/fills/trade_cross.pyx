# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Fills by trades that print at or through our price."""

from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport BEST_PRICES, FillModel, Order, Trade

from mm.errors import UsageError


cdef class TradeCross(FillModel):
    """A resting order fills when a trade prints at or through its price.

    - the trade's aggressor is on the other side
    - buy: order price - trade price >= penetration; sell: trade price - order price >= penetration
    - at most ``share`` of the print's lots (rounded down) fill, over all our orders in price-time order

    Args:
        strict: Only trades beyond our price count, those at it do not.
        share: Part of each print that is open to us, in (0, 1].
        penetration_ticks: How far beyond our price a trade must print.
    """

    cdef readonly bint strict
    cdef readonly double share
    cdef readonly int64_t penetration_ticks

    def __init__(self, *, strict: bool = False, share: float = 1.0, penetration_ticks: int = 0) -> None:
        if not 0.0 < share <= 1.0:
            raise UsageError(f"trade_cross: share is {share}; it must lie in (0, 1]")
        if penetration_ticks < 0:
            raise UsageError(f"trade_cross: penetration_ticks is {penetration_ticks}; it must be 0 or more")
        self.strict = strict
        self.share = share
        self.penetration_ticks = max(penetration_ticks, 1) if strict else penetration_ticks
        self.asks_trade = self.reached_only = True
        self.looks = BEST_PRICES
        self.name = "trade_cross"

    cdef int64_t print_lots(self, const Trade* trade) except -1 nogil:
        return trade.lots if self.share == 1.0 else <int64_t> (self.share * trade.lots)

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        if trade.side == order.side or order.side * (order.ticks - trade.ticks) < self.penetration_ticks:
            return 0
        return order.lots if order.lots < trade.lots else trade.lots
