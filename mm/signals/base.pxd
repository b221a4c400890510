# The interface of signals: the market at an event, and the hooks.

from libc.stdint cimport int64_t

from mm.signals._nearest cimport Nearest
from mm.tape._book cimport Book

# The market at an event. Prices are ticks, 0 if the side is empty; quantities are lots of the tape.
cdef struct Now:
    int64_t us
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

cdef enum:
    CANCEL_LEVELS = 10

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


cdef inline double quantity(int64_t lots, double lot_e8) noexcept nogil:
    """Return lots in the base asset: the float nearest to the decimal."""
    return <double> lots * lot_e8 / 1e8
