# The base of quotes at distances from the mid, for the kernels of its families.

from libc.math cimport log1p
from libc.stdint cimport int64_t

from mm.backtest.fills.intensity cimport Intensity
from mm.backtest.quotes.base cimport QuoteModel


cdef inline double markup(double gamma, double k) noexcept nogil:
    """Return (1/gamma) ln(1 + gamma/k), by its series where gamma/k is tiny."""
    if gamma < 1e-8 * k:
        return 1.0 / k - gamma / (2.0 * k * k)
    return log1p(gamma / k) / gamma

cdef struct Market:
    double tau_s            # time left
    double sigma            # ticks per root second
    double k                # per tick
    double A                # per second and side
    double gamma            # per tick and clip
    int64_t piece           # index of the intensity's piece with the curve; -1 if there are only k and A
    double bid_offset       # distance of the mid from the curve's reference price, in ticks
    double ask_offset

# A gamma used by quotes, and the number of these quotes.
cdef struct UsedGamma:
    double gamma
    int64_t quotes

cdef class Distances(QuoteModel):
    cdef readonly double k, A, sigma, horizon_s, q_max, gamma, skew_share
    cdef readonly str mode
    cdef Intensity intensity
    cdef double clips               # size of one order, in clips
    cdef bint session               # whether time runs from the horizon down to 0, repeatedly
    cdef bint needs_A, needs_sigma  # whether the formula uses them
    cdef bint fitted                # whether k or A come from the intensity
    cdef bint joins                 # whether k follows from the displayed spread
    cdef double reach               # of the step around it, in ticks; negative without one
    cdef bint auto                  # whether gamma follows from the market
    cdef Market solved               # market for which gamma was last solved, with that gamma
    cdef UsedGamma* used
    cdef int64_t used_count, used_room

    cdef dict settle(self, dict given, tuple needs)
    cdef double skew_of(self, const Market* market) noexcept nogil
    cdef double auto_gamma(self, const Market* market) noexcept nogil
    cdef void solve_gamma(self, double reference_sigma, Market* market) noexcept nogil
    cdef void bend(self, Market* market) noexcept nogil
    cdef int note_gamma(self, double gamma) except -1 nogil
    cdef void formula(self, double q, const Market* market, double* bid, double* ask) noexcept nogil
    cdef void often(self, double q, const Market* market, double* bid, double* ask) noexcept nogil
