# The margin of our position in a contract: mark prices, and the bounds within which it is not liquidated.

from libc.stdint cimport int64_t

cdef class MarginWatch:
    cdef object account                 # its Python half, which decides exactly
    cdef object owners                  # of the arrays
    cdef const int64_t* mark_us         # instants and prices of the marks of the tape
    cdef const int64_t* mark_e8
    cdef const int64_t* lowest          # of each block of them
    cdef const int64_t* highest
    cdef int64_t marks                  # their number
    cdef int64_t next                   # the first that is not in force yet
    cdef int64_t now_e8                 # the one in force; -1 before the first
    cdef int64_t low_e8, high_e8        # bounds, exclusive
    cdef bint settles                   # whether the account books fills itself now, in a liquidation
    cdef bint closed                    # whether the position was liquidated
    # to know without the interpreter that an order is covered
    cdef bint plain                     # whether it can be: cross margin, and no other contract
    cdef int64_t leverage
    cdef double lot_e8, unit_e8, most_e8, start_cost_e8

    cdef void pass_marks(self, int64_t us) noexcept nogil
    cdef int64_t due_us(self) noexcept nogil
    cdef bint is_above(self, int64_t us, int64_t lots) noexcept nogil
    cdef bint surely(self, int64_t side, int64_t ticks, int64_t lots, int64_t bid, double held, double equity_e8, const double* open_e8) noexcept nogil
    cdef int refusal(self, int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t bid, int64_t ask) except -1 nogil
    cdef int filled(self, int64_t us, int64_t side, int64_t ticks, int64_t lots, int64_t fee_e8) except -1 nogil
    cdef int due(self, int64_t us) except -1 nogil
