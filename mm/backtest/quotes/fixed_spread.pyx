# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The same distance from the mid on both sides, whatever the inventory."""

from mm.backtest.fills.base cimport BEST_PRICES
from mm.backtest.quotes.base cimport QuoteModel, View, Want

from mm.errors import UsageError


cdef class FixedSpread(QuoteModel):
    """Quote ``mid - delta_ticks`` and ``mid + delta_ticks``.

    Args:
        delta_ticks: Each side's distance from the mid, in ticks.
    """

    cdef readonly double delta_ticks

    def __init__(self, *, delta_ticks: float) -> None:
        if not 0.0 <= delta_ticks < 1e9:
            raise UsageError(f"fixed_spread: delta_ticks is {delta_ticks}; it must be 0 or more")
        self.delta_ticks = delta_ticks
        self.name = "fixed_spread"
        self.looks, self.timeless = BEST_PRICES, True

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double mid = 0.5 * (view.top.bid_ticks + view.top.ask_ticks)
        want.bid_ticks = mid - self.delta_ticks
        want.ask_ticks = mid + self.delta_ticks
        return 0
