# Base of price grids: the number of prices, and the limit by an inventory bound.

from libc.stdint cimport int64_t

from mm.backtest.quotes.base cimport QuoteModel, View, Want


cdef class BoundedGrid(QuoteModel):
    cdef readonly int64_t levels
    cdef readonly double q_max
    cdef readonly bint soft_bound

    cdef int settle(self, dict values) except -1
    cdef int fill_side(
        self, Want* want, int64_t side, double ticks, int64_t step_ticks, int64_t room, int64_t clip
    ) except -1 nogil
    cdef int set_sides(self, const View* view, Want* want, double bid, double ask, int64_t step_ticks) except -1 nogil
