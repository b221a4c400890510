# Signals: the market at an event, the hooks that a set calls, and a set of signals of one market.

from cpython.ref cimport PyObject
from libc.stdint cimport int8_t, int64_t

from mm.tape._book cimport Book

cdef enum:
    KEPT = 48               # stored levels per side
    MOST_LEVELS = 20        # that a signal may read
    CANCEL_LEVELS = 10

# The best levels of a side, stored next to the book: a changed level beyond them costs one comparison.
# Invariant: `ticks[:count]` are the best levels of the side, without omissions; `whole`: the side has no other levels.
cdef struct Nearest:
    int64_t side            # +1 bids, -1 asks
    int64_t count
    bint whole
    int64_t[KEPT] ticks
    int64_t[KEPT] lots

# The market at an event. Prices are ticks, 0 if the side is empty; quantities are lots of the tape.
cdef struct Now:
    int64_t us
    int64_t step_lots       # lots of the tape in an order step, the lots of users' signals
    int64_t epoch_us        # when the snapshot of this book arrived
    int64_t path_us         # start of the current period with both bids and asks
    bint both               # whether both sides of the book have levels
    bint fresh              # whether both sides have levels now and one was empty before this event
    const Book* book
    int64_t bid_ticks, ask_ticks, bid_lots, ask_lots
    int64_t before_bid_ticks, before_ask_ticks, before_bid_lots, before_ask_lots    # before this diff
    int64_t mid2            # best bid plus best ask
    int64_t moved2          # change of mid2 by this diff
    Nearest bids, asks      # down to the deepest level that a signal reads
    Nearest before_bids, before_asks
    int64_t cancelled_lots  # lots removed by this diff from the best CANCEL_LEVELS levels and not traded
    int64_t trade_side      # aggressor side of the print
    int64_t trade_ticks, trade_lots

cdef class Signal:
    cdef double value       # NaN: undefined
    cdef int levels         # number of best levels that the signal reads; 0: only best prices and lots
    cdef bint compares      # whether the signal reads the levels before the diff
    cdef bint cancels       # whether the signal reads cancelled_lots
    cdef bint one_sided     # whether the signal is defined without bids or asks
    cdef readonly bint interpreted  # whether the signal is implemented in Python
    cdef readonly tuple sources     # type: tuple[Signal, ...]

    cdef int begin(self, const Now* now) except -1 nogil
    cdef int on_trade(self, const Now* now) except -1 nogil
    cdef int on_book(self, const Now* now) except -1 nogil

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
