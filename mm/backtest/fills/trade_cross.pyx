# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Fills by trades that print at or through our price."""

from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport BEST_PRICES, FillModel, Order, Trade

from mm.errors import UsageError

cdef enum:
    WHOLE_E8 = 100_000_000


cdef class TradeCross(FillModel):
    """A resting order fills when a trade prints at or through its price.

    - the trade's aggressor is on the other side
    - buy: order price - trade price >= penetration; sell: trade price - order price >= penetration
    - at most ``share`` of the print's lots (rounded down) fill, over all our orders in price-time order

    Args:
        strict: Only trades beyond our price count, those at it do not.
        share: Part of each print that is open to us, in (0, 1], to eight decimals.
        penetration_ticks: How far beyond our price a trade must print.
    """

    cdef readonly bint strict
    cdef readonly double share
    cdef readonly int64_t penetration_ticks
    cdef int64_t share_e8

    def __init__(self, *, strict: bool = False, share: float = 1.0, penetration_ticks: int = 0) -> None:
        if not 5e-9 < share <= 1.0:
            raise UsageError(f"trade_cross: share is {share}; it must lie in (0, 1], and eight decimals count")
        if penetration_ticks < 0:
            raise UsageError(f"trade_cross: penetration_ticks is {penetration_ticks}; it must be 0 or more")
        self.strict = strict
        self.share = share
        self.share_e8 = round(share * WHOLE_E8)
        self.penetration_ticks = max(penetration_ticks, 1) if strict else penetration_ticks
        self.asks_trade = self.reached_only = True
        self.looks = BEST_PRICES
        self.name = "trade_cross"

    cdef int64_t print_lots(self, const Trade* trade) except -1 nogil:
        # In two parts, for the product of both may be too large: lots go up to 10**15.
        return trade.lots // WHOLE_E8 * self.share_e8 + trade.lots % WHOLE_E8 * self.share_e8 // WHOLE_E8

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        if trade.side == order.side or order.side * (order.ticks - trade.ticks) < self.penetration_ticks:
            return 0
        return order.lots if order.lots < trade.lots else trade.lots
