# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""A grid: several prices per side on multiples of a step; orders keep their queue positions as the mid moves."""

from libc.math cimport INFINITY, ceil, floor
from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport BEST_PRICES
from mm.backtest.quotes.base cimport QuoteModel, View, Want, clips_held, want_level

from typing import Any

from mm.backtest import declarations

cdef double MOST_LOTS = 4e18            # fits an int64


cdef class BoundedGrid(QuoteModel):
    """Base of grids: ``levels`` prices per side, a clip at each, within an inventory bound."""

    cdef int settle(self, dict values) except -1:
        """Set the parameters common to grids."""
        self.levels, self.soft_bound = values["levels"], values["soft_bound"]
        self.q_max = INFINITY if values["q_max"] is None else values["q_max"]
        return 0

    cdef int set_sides(self, const View* view, Want* want, double bid, double ask, int64_t step_ticks) except -1 nogil:
        """Quote the prices from *bid* downwards and from *ask* upwards."""
        cdef int64_t bound_lots = <int64_t> min(self.q_max * <double> view.quote_lots, MOST_LOTS)
        cdef int64_t held = view.inventory_lots - view.target_lots
        want.laddered = True
        self.fill_side(want, 1, bid, step_ticks, bound_lots - held, view.quote_lots)
        self.fill_side(want, -1, ask, step_ticks, bound_lots + held, view.quote_lots)
        return 0

    cdef int fill_side(
        self, Want* want, int64_t side, double ticks, int64_t step_ticks, int64_t room, int64_t clip
    ) except -1 nogil:
        """Add the prices of a side, from *ticks* outwards, until *room* lots are used."""
        cdef int64_t i
        for i in range(self.levels):
            if room <= 0:
                break
            want_level(want, side, ticks - <double> (side * i * step_ticks), clip if self.soft_bound else min(clip, room))
            room -= 0 if self.soft_bound else clip
        return 0


cdef class PriceGrid(BoundedGrid):
    """Quote ``levels`` prices per side, multiples of ``step_ticks``, from ``delta_ticks`` off the centre outwards.

    The centre is ``mid - skew_ticks·q``, q the inventory in clips. No bid is above the best bid, no ask below the
    best ask. Each price has one clip; within an inventory bound, the prices nearest to the mid get the remaining lots.
    """

    declared = declarations.Grid
    cdef readonly double delta_ticks, skew_ticks
    cdef readonly int64_t step_ticks
    cdef readonly bint on_best

    def __init__(self, **given: Any) -> None:
        cdef dict values = self.declared.settle(given)
        self.settle(values)
        self.delta_ticks, self.skew_ticks = values["delta_ticks"], values["skew_ticks"]
        self.step_ticks, self.on_best = values["step_ticks"], values["on_best"]
        self.looks, self.timeless = BEST_PRICES, not self.on_best

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double centre = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks) - self.skew_ticks * clips_held(view)
        cdef double step = <double> self.step_ticks
        cdef double bid = floor(min(centre - self.delta_ticks, <double> view.top.bid_ticks) / step) * step
        cdef double ask = ceil(max(centre + self.delta_ticks, <double> view.top.ask_ticks) / step) * step
        want.on_best = self.on_best
        return self.set_sides(view, want, bid, ask, self.step_ticks)
