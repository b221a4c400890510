# cython: boundscheck=False
# The compiled book: one dense array of lots per side, indexed by tick.
#
# Invariants (``CompiledBook.check`` verifies them):
#   - a level inside the window is in the array, one outside in the side's short list, never in both
#   - best_bid is the highest price with lots, best_ask the lowest; 0 if the side is empty
#   - every price with lots inside the window is in [bid_floor, best_bid] or [best_ask, ask_ceil]
# Rows of one message are stored first and the best price is updated once, after them: four times faster than updating
# it after every row (docs/evidence/measured.md).

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint64_t

cdef enum:
    LEVEL_PAGE_BITS = 8     # log2 of the prices per page in an index of levels (`mm.tape.level_changes`)
    PAGE_TICKS = 1 << LEVEL_PAGE_BITS
    MARK_EVERY = 16         # changes per mark in such an index
    MAX_WINDOW = 1 << 22    # ticks; pages without levels cost no memory
    MARGIN_TICKS = 1 << 20  # range beyond the best prices that a window covers if prices are not known in advance

cdef packed struct Change:  # of a level in such an index: position of the event, lots displayed after it
    int32_t event
    int64_t lots

cdef struct Far:
    int64_t* ticks
    int64_t* lots
    int64_t used
    int64_t size

cdef struct Book:
    int64_t lo              # tick of the window's first entry
    int64_t hi              # one past the last
    int64_t best_bid        # ticks, 0 if there is none
    int64_t best_ask
    int64_t bid_floor       # no bid of the window is lower
    int64_t ask_ceil        # no ask of the window is higher
    int64_t* bid_lots       # of the window, in one block with ask_lots
    int64_t* ask_lots
    Far far_bid
    Far far_ask

cdef int far_grow(Far* far) except -1 nogil
cdef int book_open(Book* book, int64_t lo, int64_t hi) except -1 nogil
cdef void book_close(Book* book) noexcept nogil
cdef void book_clear(Book* book) noexcept nogil
cdef int book_move(Book* book, int64_t lo, int64_t hi) except -1 nogil
cdef int book_apply(Book* book, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows) except -1 nogil
cdef int64_t far_lots(const Far* far, int64_t ticks) noexcept nogil
cdef int64_t book_after(const Book* book, int side, int64_t ticks) noexcept nogil
cdef int window_for(const int64_t* ticks, int64_t rows, int64_t* lo, int64_t* hi) except -1 nogil


cdef inline const int64_t* first_of(const int64_t[::1] column) noexcept nogil:
    return &column[0] if column.shape[0] else NULL


cdef inline bint in_range(int64_t ticks) noexcept nogil:
    """Sums and differences of such prices cannot overflow; the upper limit is ``tape.TOO_HIGH``."""
    return 0 <= ticks < <int64_t> 1 << 61


cdef inline int64_t book_lots_at(const Book* book, int side, int64_t ticks) noexcept nogil:
    if book.lo <= ticks < book.hi:
        return book.bid_lots[ticks - book.lo] if side > 0 else book.ask_lots[ticks - book.lo]
    return far_lots(&book.far_bid if side > 0 else &book.far_ask, ticks)
