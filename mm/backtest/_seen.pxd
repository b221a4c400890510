# The market as we know it: what has reached us of it, where the exchange is ahead.

from libc.stdint cimport int64_t

from mm.tape._book cimport Book
from mm.backtest._venue cimport Venue
from mm.backtest.fills.base cimport Top

cdef struct Seen:
    Book book
    Top top
    bint opened
    bint valid
    bint mid_lost               # since whoever looks last set it back
    int64_t mid2                # 0 while there is none
    int64_t next_event          # of the tape, in the order of receipt
    int64_t last_trade_event    # of this tape, -1 before its first

cdef int seen_open(Seen* seen, int64_t lo_ticks, int64_t hi_ticks) except -1 nogil
cdef void seen_close(Seen* seen) noexcept nogil
cdef void seen_gap(Seen* seen) noexcept nogil
cdef int seen_until(Seen* seen, Venue venue, int64_t us) except -1 nogil
