# A set of signals of one market, updated event by event.

from cpython.ref cimport PyObject
from libc.stdint cimport int8_t, int64_t

from mm.signals.base cimport Now, Signal
from mm.tape._book cimport Book

# A print since the last diff, with price and side of the resting order.
cdef struct Taken:
    int64_t side
    int64_t ticks
    int64_t lots

cdef class SignalSet:
    cdef readonly tuple names       # type: tuple[str, ...]
    cdef readonly tuple signals     # type: tuple[Signal, ...]
    cdef readonly bint interpreted  # whether one of them is implemented in Python
    cdef tuple all_signals          # with their sources, in calling order
    cdef PyObject** each            # borrowed from *all_signals*
    cdef PyObject** shown           # borrowed from *signals*
    cdef double* values             # of the last row, NaN if undefined
    cdef int count, called          # number of *signals*, and of all signals
    cdef Now now
    cdef Book book
    cdef bint opened, valid
    cdef int64_t levels             # deepest level that a signal reads; 0: only best prices and lots
    cdef bint compares, cancels
    cdef int64_t shown_mid2         # mid2 of the last row, or at the start of the path
    cdef Taken* taken
    cdef int64_t taken_count, taken_room
    cdef readonly int64_t row_us    # timestamp of the last row
    cdef readonly int64_t row_seq   # recv_seq of the last row; -1 before the first
    cdef readonly int64_t rows      # number of rows so far

    cdef int take(
        self, int kind, int64_t us, int64_t seq,
        const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows,
    ) except -1 nogil
    cdef int take_book(
        self, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows
    ) except -1 nogil
    cdef int take_diff(
        self, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows
    ) except -1 nogil
    cdef int take_print(self, int64_t side, int64_t ticks, int64_t lots) except -1 nogil
    cdef int64_t cancelled(
        self, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows
    ) noexcept nogil
    cdef void look(self) noexcept nogil
    cdef int begin(self, bint all_signals) except -1 nogil
    cdef int centre(self) except -1 nogil
