from libc.stdint cimport int64_t

cdef struct Piece:
    int64_t start_us
    int64_t end_us
    double A_bid            # per second
    double k_bid            # per tick
    double A_ask
    double k_ask
    double k                # of both sides together: what quotes use
    double sigma_ticks      # ticks/√s over the calibrated window; NaN where it is not known
    double adverse_ticks    # what the mid moves against an order after a fill; NaN where it is not known
    double* deltas          # of the points of the curve, in ticks; NULL where λ is A exp(-k delta)
    double* logs            # ln λ at them
    int64_t points

cdef double fill_rate(double A, double k, double delta) noexcept nogil
cdef double curve_rate(const Piece* piece, double delta) noexcept nogil

cdef class Intensity:
    cdef Piece* pieces
    cdef int64_t count
    cdef readonly str reference
    cdef readonly object states  # type: FillStates | None
    cdef object given
    cdef keep(self, int64_t i, list curve)
    cdef int64_t find(self, int64_t us) noexcept nogil
    cdef double rate(self, int64_t piece, int64_t side, double delta) noexcept nogil
