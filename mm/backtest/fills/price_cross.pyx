# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Fills by the book: the best price of the other side reaches ours."""

from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport BEST_PRICES, FillModel, Order, Top

from mm.errors import UsageError


cdef class PriceCross(FillModel):
    """A resting order fills, whole, when the other side's best price reaches its price.

    - buy: order price - best ask >= penetration; sell: best bid - order price >= penetration
    - asked after each book event; an absent best price reaches nothing

    Args:
        penetration_ticks: How far beyond our price the other side must come.
    """

    cdef readonly int64_t penetration_ticks

    def __init__(self, *, penetration_ticks: int = 0) -> None:
        if penetration_ticks < 0:
            raise UsageError(f"price_cross: penetration_ticks is {penetration_ticks}; it must be 0 or more")
        self.penetration_ticks = penetration_ticks
        self.asks_book = True
        self.looks = BEST_PRICES
        self.name = "price_cross"

    cdef int64_t on_book(self, Order* order, const Top* top, int64_t elapsed_us) except -1 nogil:
        cdef int64_t other = top.ask_ticks if order.side > 0 else top.bid_ticks
        if other == 0 or order.side * (order.ticks - other) < self.penetration_ticks:
            return 0
        return order.lots
