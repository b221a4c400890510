# The interface of signals: the market that they see at an event, and the hooks that they have.

from libc.stdint cimport int64_t

from mm.signals._nearest cimport Nearest
from mm.tape._book cimport Book

# What is known at an event. Prices are ticks, 0 where there is none; quantities are lots of the tape.
cdef struct Now:
    int64_t us
    int64_t epoch_us        # when the snapshot came that this book began with
    int64_t path_us         # since when there have been bids and asks without a break
    bint both               # whether there are
    bint fresh              # whether there were not before this event
    const Book* book
    int64_t bid_ticks, ask_ticks, bid_lots, ask_lots
    int64_t before_bid_ticks, before_ask_ticks, before_bid_lots, before_ask_lots    # before this diff
    int64_t mid2            # best bid plus best ask
    int64_t moved2          # how much this diff has changed it
    Nearest bids, asks      # as deep as any signal of the set reads
    Nearest before_bids, before_asks
    int64_t cancelled_lots  # by this diff, of the best CANCEL_LEVELS levels: what vanished there and was not traded
    int64_t trade_side      # the aggressor's, of the print
    int64_t trade_ticks, trade_lots

cdef enum:
    CANCEL_LEVELS = 10

cdef class Signal:
    cdef double value       # NaN: not known
    cdef int levels         # how many of the best levels it reads; 0: the best prices and lots alone
    cdef bint compares      # whether it reads the levels before the diff
    cdef bint cancels       # whether it reads cancelled_lots
    cdef bint one_sided     # whether it is known without bids or asks
    cdef readonly bint interpreted  # whether Python answers
    cdef readonly tuple sources     # type: tuple[Signal, ...]

    cdef int begin(self, const Now* now) except -1 nogil
    cdef int on_trade(self, const Now* now) except -1 nogil
    cdef int on_book(self, const Now* now) except -1 nogil


cdef inline double quantity(int64_t lots, double lot_e8) noexcept nogil:
    """Return lots in the base asset: the float nearest to the decimal."""
    return <double> lots * lot_e8 / 1e8
