# The market as we have received it, where the exchange is ahead: a second book, fed in the order of receipt.

from libc.stdint cimport int64_t

from mm.backtest._paper_venue cimport PaperVenue
from mm.backtest._venue cimport Touch
from mm.tape._book cimport Book

cdef struct LocalBook:
    Book book
    Touch touch
    bint opened
    int64_t next_event          # of the tape, in the order of receipt
    int64_t last_trade_event    # of this tape, -1 before its first

cdef int local_book_open(LocalBook* local, int64_t lo_ticks, int64_t hi_ticks) except -1 nogil
cdef void local_book_close(LocalBook* local) noexcept nogil
cdef void local_book_gap(LocalBook* local) noexcept nogil
cdef int local_book_receive(LocalBook* local, PaperVenue venue, int64_t us) except -1 nogil
