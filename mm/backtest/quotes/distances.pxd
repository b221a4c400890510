# Quotes at distances of bid and ask from the mid: what a formula is asked with, and the base of its models.

from libc.stdint cimport int64_t

from mm.backtest.fills.intensity cimport Intensity
from mm.backtest.quotes.base cimport QuoteModel, View, Want

cdef struct Market:
    double tau_s            # time left
    double sigma            # ticks per root second
    double k                # per tick
    double A                # per second and side

cdef class Distances(QuoteModel):
    cdef readonly double k, A, sigma, horizon_s, q_max
    cdef readonly str mode
    cdef Intensity intensity
    cdef double clips               # of one order
    cdef bint session               # whether time runs from the horizon down to 0, and begins anew
    cdef bint needs_A, needs_sigma  # whether the formula looks at them
    cdef bint fitted                # whether k or A come from the intensity

    cdef void formula(self, double q, const Market* market, double* bid, double* ask) noexcept nogil
    cdef void often(self, double q, const Market* market, double* bid, double* ask) noexcept nogil
