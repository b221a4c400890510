from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport Top

cdef struct Piece:
    int64_t start_us
    int64_t end_us
    double A_bid            # per second
    double k_bid            # per tick
    double A_ask
    double k_ask
    double k                # decay of both sides together, for quotes
    double A_mid            # A of both sides together for distances from the mid, for quotes; NaN if unknown
    double half_spread      # mean distance of the best prices from the mid, in ticks; NaN if unknown
    double sigma_ticks      # ticks/√s over the calibration window; NaN if unknown
    double adverse_ticks    # adverse move of the mid after a fill; NaN if unknown
    double mean_per_s[2]    # mean intensity of orders that hit asks, bids; 0 uses the mean of the Hawkes process
    double* deltas          # distances of the curve's points, in ticks; NULL if λ is A exp(-k delta)
    double* logs            # ln λ at these distances
    int64_t points

# Reference prices of distances.
cdef enum:
    MID
    MICRO
    BEST

cdef double mid_offset(int reference, const Top* top, int64_t side) noexcept nogil

cdef class Intensity:
    cdef Piece* pieces
    cdef int64_t count
    cdef readonly str reference
    cdef int counts_from            # the reference as one of MID, MICRO and BEST
    cdef readonly object clustering  # type: Mapping[str, Any] | None
    cdef object given
    cdef keep(self, int64_t i, list curve)
    cdef int64_t find(self, int64_t us) noexcept nogil
    cdef double rate(self, int64_t piece, int64_t side, double delta) noexcept nogil
