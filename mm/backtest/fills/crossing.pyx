# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Fills when a trade price or the other side's best price reaches our price."""

from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport BEST_PRICES, FillModel, Order, Top, Trade

from mm.backtest import declarations

cdef enum:
    WHOLE_E8 = 100_000_000



cdef class TradeCross(FillModel):
    """A resting order fills when a trade prints at or through its price.

    - the trade's aggressor is on the other side
    - buy: order price - trade price >= penetration; sell: trade price - order price >= penetration
    - at most ``share`` of the print's lots (rounded down) fill, over all our orders in price-time order
    """

    declared = declarations.TradeCross
    cdef readonly bint strict
    cdef readonly double share
    cdef readonly int64_t penetration_ticks
    cdef int64_t share_e8

    def __init__(self, **given: Any) -> None:
        values = self.declared.settle(given)
        self.strict, self.share = values["strict"], values["share"]
        self.share_e8 = round(self.share * WHOLE_E8)
        self.penetration_ticks = max(values["penetration_ticks"], 1 if self.strict else 0)
        self.needs_trades = self.reached_only = True
        self.looks = BEST_PRICES

    cdef int64_t print_lots(self, const Trade* trade) except -1 nogil:
        # In two parts, because the product may overflow: lots are up to 10**15.
        return trade.lots // WHOLE_E8 * self.share_e8 + trade.lots % WHOLE_E8 * self.share_e8 // WHOLE_E8

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        if trade.side == order.side or order.side * (order.ticks - trade.ticks) < self.penetration_ticks:
            return 0
        return order.lots if order.lots < trade.lots else trade.lots


cdef class PriceCross(FillModel):
    """A resting order fills completely when the other side's best price reaches its price.

    - buy: order price - best ask >= penetration; sell: best bid - order price >= penetration
    - checked after each book event; without a best price on the other side nothing fills
    """

    declared = declarations.PriceCross
    cdef readonly int64_t penetration_ticks

    def __init__(self, **given: Any) -> None:
        self.penetration_ticks = self.declared.settle(given)["penetration_ticks"]
        self.needs_book = self.crossed_only = True
        self.looks = BEST_PRICES

    cdef int64_t on_book(self, Order* order, const Top* top, int64_t elapsed_us) except -1 nogil:
        cdef int64_t other = top.ask_ticks if order.side > 0 else top.bid_ticks
        if other == 0 or order.side * (order.ticks - other) < self.penetration_ticks:
            return 0
        return order.lots
