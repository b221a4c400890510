# cython: boundscheck=False
# The compiled book: one dense array of lots per side, indexed by tick.
#
# Invariants (``CompiledBook.check`` verifies them):
#   - a level inside the window is in the array, one outside in the side's short list, never in both
#   - best_bid is the highest price with lots, best_ask the lowest; 0 if the side is empty
#   - every price with lots inside the window is in [bid_floor, best_bid] or [best_ask, ask_ceil]
# Rows of one message are stored first and the best price is updated once, after them: four times faster than updating
# it after every row (docs/performance.md). A book with pages stores the rows of a page of prices when one of them is read.

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint64_t

cdef enum:
    LEVEL_PAGE_BITS = 8     # log2 of the prices per page in an index of levels (`mm.tape.level_changes`)
    PAGE_TICKS = 1 << LEVEL_PAGE_BITS
    CELL_BITS = LEVEL_PAGE_BITS + 1  # of the lower part of a row of `mm.tape.book_rows`: price in the page, side
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

cdef struct Page:           # of PAGE_TICKS prices
    int64_t ticks           # the lowest one
    int64_t due             # the page is up to date for all events up to this one
    int64_t epoch           # number of the book whose rows are stored; -1 for those before the tape
    int64_t next            # its next row,
    int64_t end             # and the end of its rows

cdef struct Pages:          # the rows of a tape, by page
    const Change* row       # event, and lots << CELL_BITS | price in the page << 1 | is_bid
    Page* page              # all pages of the window, then those outside of it that have rows
    int64_t inside, outside # their numbers
    int64_t low, high       # first and last page of the window with rows
    int64_t outside_due     # the smallest *due* outside
    const int64_t* fresh    # the events before whose rows the book is empty
    int64_t fresh_events, next_fresh
    int64_t base            # the first event of the tape's window
    int64_t stop            # the first event that has not happened
    int64_t epoch           # number of the current book, and the event it begins with
    int64_t begun

cdef struct Book:
    int64_t lo              # tick of the window's first entry
    int64_t hi              # one past the last
    int64_t best_bid        # ticks, 0 if there is none
    int64_t best_ask
    int64_t bid_floor       # no bid of the window is lower
    int64_t ask_ceil        # no ask of the window is higher
    int64_t* bid_lots
    int64_t* ask_lots
    Far far_bid
    Far far_ask
    Pages* pages            # rows to store when they are read; NULL for none

cdef struct Books:          # columns of a tape whose events change a book
    const uint8_t* kind
    const int64_t* first_row
    const int8_t* row_side
    const int64_t* row_ticks
    const int64_t* row_lots

cdef int far_grow(Far* far) except -1 nogil
cdef int book_open(Book* book, int64_t lo, int64_t hi) except -1 nogil
cdef void book_close(Book* book) noexcept nogil
cdef void book_clear(Book* book) noexcept nogil
cdef void book_span(Book* book) noexcept nogil
cdef void book_wipe(Book* book) noexcept nogil
cdef int book_move(Book* book, int64_t lo, int64_t hi) except -1 nogil
cdef int book_apply(Book* book, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows) except -1 nogil
cdef int book_store(Book* book, const Books* books, int64_t first, int64_t stop, bint framed) except -1 nogil
cdef int book_take_pages(Book* book, object rows) except -1
cdef int book_advance(Book* book, int64_t stop) except -1 nogil
cdef void store_page(Book* book, Page* page) noexcept nogil
cdef int book_catch_up(Book* book, const Books* books, int64_t shown, int64_t stop) except -1 nogil
cdef int64_t far_lots(const Far* far, int64_t ticks) noexcept nogil
cdef int64_t book_after(const Book* book, int side, int64_t ticks) noexcept nogil
cdef int window_for(const int64_t* ticks, int64_t rows, int64_t* lo, int64_t* hi) except -1 nogil


cdef inline const int64_t* first_of(const int64_t[::1] column) noexcept nogil:
    """Return the address of a column's first entry, NULL if it is empty."""
    return &column[0] if column.shape[0] else NULL


cdef inline bint in_range(int64_t ticks) noexcept nogil:
    """Return whether sums and differences of such prices cannot overflow; the upper limit is ``tape.TOO_HIGH``."""
    return 0 <= ticks < <int64_t> 1 << 61


cdef inline int book_show(Book* book, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows) except -1 nogil:
    """Apply rows to a book that has at most one level per side after each event; its window is empty."""
    cdef Far* far
    cdef int64_t row
    for row in range(rows):
        far = &book.far_bid if side[row] > 0 else &book.far_ask
        if far.size == 0:
            far_grow(far)
        far.ticks[0], far.lots[0] = ticks[row], lots[row]
        far.used = 1 if lots[row] else 0
        if side[row] > 0:
            book.best_bid = ticks[row] if lots[row] else 0
        else:
            book.best_ask = ticks[row] if lots[row] else 0
    return 0


cdef inline Page* read_page(const Book* book, int64_t ticks) noexcept nogil:
    """Return the page of a price of the window, after storing its rows up to now."""
    cdef Page* page = &book.pages.page[(ticks - book.lo) >> LEVEL_PAGE_BITS]
    if page.due < book.pages.stop:
        store_page(<Book*> book, page)
    return page


cdef inline int64_t book_lots_at(const Book* book, int side, int64_t ticks) noexcept nogil:
    """Return the displayed lots at a price, 0 where there is no level."""
    if book.lo <= ticks < book.hi:
        if book.pages is not NULL:
            read_page(book, ticks)
        return book.bid_lots[ticks - book.lo] if side > 0 else book.ask_lots[ticks - book.lo]
    return far_lots(&book.far_bid if side > 0 else &book.far_ask, ticks)
