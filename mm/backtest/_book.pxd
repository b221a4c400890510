# The compiled book: one dense array of lots per side, indexed by tick, and an occupancy bit per tick.
#
# Invariants (``Book.check`` verifies them):
#   - lots[i] > 0 exactly where bit i is set; the best price is the outermost set bit, or 0 where none is
#   - a level outside the window lives in the overflow map of its side, never in both places
#   - the best price lies inside the window whenever its side has any level there
# The struct is here, with the functions every event runs through, so that the engine inlines them.

from libc.stdint cimport int8_t, int64_t, uint64_t

cdef extern from *:
    """
    static inline int mm_high_bit(unsigned long long word) { return 63 - __builtin_clzll(word); }
    static inline int mm_low_bit(unsigned long long word) { return __builtin_ctzll(word); }
    """
    int high_bit "mm_high_bit"(uint64_t word) noexcept nogil
    int low_bit "mm_low_bit"(uint64_t word) noexcept nogil

cdef struct Far:
    int64_t* ticks
    int64_t* lots
    int64_t used
    int64_t size

cdef struct Book:
    int64_t lo              # tick of the window's first entry; a multiple of 64
    int64_t hi              # one past the last
    int64_t best_bid        # ticks, 0 where there is none
    int64_t best_ask
    int64_t* bid_lots
    int64_t* ask_lots
    uint64_t* bid_bits
    uint64_t* ask_bits
    Far far_bid
    Far far_ask

cdef int book_open(Book* book, int64_t lo, int64_t hi) except -1 nogil
cdef void book_close(Book* book) noexcept nogil
cdef void book_clear(Book* book) noexcept nogil
cdef int book_move(Book* book, int64_t lo, int64_t hi) except -1 nogil
cdef int64_t book_lots_at(const Book* book, int side, int64_t ticks) noexcept nogil
cdef int book_set_far(Book* book, int side, int64_t ticks, int64_t lots) except -1 nogil
cdef int book_load(Book* book, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows) except -1 nogil
cdef void window_for(const int64_t* ticks, int64_t rows, int64_t* lo, int64_t* hi) noexcept nogil
cdef int64_t next_bid(const Book* book, int64_t index) noexcept nogil
cdef int64_t next_ask(const Book* book, int64_t index) noexcept nogil


cdef inline int book_set(Book* book, int side, int64_t ticks, int64_t lots) except -1 nogil:
    """Make *lots* the displayed quantity at *ticks*; 0 removes the level."""
    cdef int64_t index = ticks - book.lo
    cdef int64_t before
    if <uint64_t> index >= <uint64_t> (book.hi - book.lo):
        return book_set_far(book, side, ticks, lots)
    if side > 0:
        before = book.bid_lots[index]
        book.bid_lots[index] = lots
        book.bid_bits[index >> 6] ^= (<uint64_t> ((before == 0) != (lots == 0))) << (index & 63)
        if lots:
            if ticks > book.best_bid:
                book.best_bid = ticks
        elif ticks == book.best_bid:
            book.best_bid = next_bid(book, index)
    else:
        before = book.ask_lots[index]
        book.ask_lots[index] = lots
        book.ask_bits[index >> 6] ^= (<uint64_t> ((before == 0) != (lots == 0))) << (index & 63)
        if lots:
            if ticks < book.best_ask or book.best_ask == 0:
                book.best_ask = ticks
        elif ticks == book.best_ask:
            book.best_ask = next_ask(book, index)
    return 0
