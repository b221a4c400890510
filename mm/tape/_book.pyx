# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled book; ``market_data.local_orderbook`` is the Python version."""

from libc.stdint cimport INT64_MAX, int8_t, int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from mm.tape._kinds cimport DEPTH, KEYFRAME, SNAPSHOT
from mm.tape._memory cimport prefer_large_pages, prefetch

WINDOW_MARGIN_TICKS = <int64_t> MARGIN_TICKS  # type: int
cdef int64_t AHEAD = 256  # rows to prefetch after those of a message, mostly the rows of later ones
cdef int64_t MOST_AHEAD = 256  # rows of a page to prefetch
cdef int64_t MANY_EVENTS = 4096  # with more events, search for a KEYFRAME before storing rows
LEVEL_PAGE = PAGE_TICKS  # type: int
EVERY = MARK_EVERY  # type: int


cdef int book_open(Book* book, int64_t lo, int64_t hi) except -1 nogil:
    """Open an empty book over the window ``lo <= ticks < hi``."""
    memset(book, 0, sizeof(Book))
    book.lo = lo
    book.hi = max(hi, lo + 1)
    book.bid_floor = book.hi
    book.ask_ceil = book.lo - 1
    # Large blocks of calloc are zero pages of the system, which use memory only after a write.
    book.bid_lots = <int64_t*> calloc(book.hi - lo, sizeof(int64_t))
    book.ask_lots = <int64_t*> calloc(book.hi - lo, sizeof(int64_t))
    if not (book.bid_lots and book.ask_lots):
        with gil:
            raise MemoryError(f"no memory for a book of {book.hi - lo} ticks")
    prefer_large_pages(book.bid_lots, (book.hi - lo) * sizeof(int64_t))
    prefer_large_pages(book.ask_lots, (book.hi - lo) * sizeof(int64_t))
    return 0


cdef void book_close(Book* book) noexcept nogil:
    drop_pages(book)
    free(book.bid_lots)
    free(book.ask_lots)
    free(book.far_bid.ticks)
    free(book.far_bid.lots)
    free(book.far_ask.ticks)
    free(book.far_ask.lots)
    memset(book, 0, sizeof(Book))


cdef void book_clear(Book* book) noexcept nogil:
    """Empty the book; only the range in use is cleared."""
    cdef int64_t top = min(book.best_bid, book.hi - 1)
    if book.bid_floor <= top:
        memset(book.bid_lots + (book.bid_floor - book.lo), 0, (top - book.bid_floor + 1) * sizeof(int64_t))
    if book.best_ask and max(book.best_ask, book.lo) <= book.ask_ceil:
        top = max(book.best_ask, book.lo)
        memset(book.ask_lots + (top - book.lo), 0, (book.ask_ceil - top + 1) * sizeof(int64_t))
    book.best_bid = 0
    book.best_ask = 0
    book.bid_floor = book.hi
    book.ask_ceil = book.lo - 1
    book.far_bid.used = 0
    book.far_ask.used = 0


# A tracked book: the caller tracks and sets its best prices, independent of the stored levels. All levels of its
# window, of either side, are within [bid_floor, ask_ceil].

cdef void book_span(Book* book) noexcept nogil:
    """Convert the book into a tracked book."""
    if book.best_bid:
        book.ask_ceil = max(book.ask_ceil, min(book.best_bid, book.hi - 1))
    if book.best_ask:
        book.bid_floor = min(book.bid_floor, max(book.best_ask, book.lo))


cdef void book_wipe(Book* book) noexcept nogil:
    """Empty a tracked book."""
    book.best_bid, book.best_ask = book.ask_ceil, book.bid_floor
    book_clear(book)


# Levels outside the window are few and seldom used, so a linear search in a list is enough.

cdef int64_t far_find(const Far* far, int64_t ticks) noexcept nogil:
    cdef int64_t i
    for i in range(far.used):
        if far.ticks[i] == ticks:
            return i
    return -1


cdef int64_t far_lots(const Far* far, int64_t ticks) noexcept nogil:
    """Return the displayed lots at a price outside the window, 0 where there is no level."""
    cdef int64_t found = far_find(far, ticks)
    return far.lots[found] if found >= 0 else 0


cdef int64_t far_best(const Far* far, int side) noexcept nogil:
    cdef int64_t i, best = 0
    for i in range(far.used):
        if best == 0 or side * (far.ticks[i] - best) > 0:
            best = far.ticks[i]
    return best


cdef int far_grow(Far* far) except -1 nogil:
    """Make room for more levels."""
    cdef int64_t size = 2 * far.size + 64
    far.ticks = <int64_t*> realloc(far.ticks, size * sizeof(int64_t))
    far.lots = <int64_t*> realloc(far.lots, size * sizeof(int64_t))
    if not (far.ticks and far.lots):
        with gil:
            raise MemoryError(f"no memory for {size} levels outside the window")
    far.size = size
    return 0


cdef int refuse_price(int64_t ticks) except -1 nogil:
    with gil:
        raise OverflowError(f"a price of {ticks} ticks, but a book needs prices below 2**61")


cdef int far_put(Far* far, int64_t ticks, int64_t lots) except -1 nogil:
    cdef int64_t i = far_find(far, ticks)
    if not in_range(ticks):  # the window is within the range, so no other row needs the check
        refuse_price(ticks)
    if lots == 0:
        if i >= 0:
            far.used -= 1  # the last one replaces it: the list has no order
            far.ticks[i] = far.ticks[far.used]
            far.lots[i] = far.lots[far.used]
        return 0
    if i < 0:
        if far.used == far.size:
            far_grow(far)
        i = far.used
        far.used += 1
        far.ticks[i] = ticks
    far.lots[i] = lots
    return 0


cdef int64_t bid_at_or_below(const Book* book, int64_t ticks) noexcept nogil:
    """Return the window's best bid at or below *ticks*, 0 if there is none."""
    cdef const int64_t* lots = book.bid_lots - book.lo
    ticks = min(ticks, book.hi - 1)
    while ticks >= book.bid_floor:
        if lots[ticks]:
            return ticks
        ticks -= 1
    return 0


cdef int64_t ask_at_or_above(const Book* book, int64_t ticks) noexcept nogil:
    """Return the window's best ask at or above *ticks*, 0 if there is none."""
    cdef const int64_t* lots = book.ask_lots - book.lo
    ticks = max(ticks, book.lo)
    while ticks <= book.ask_ceil:
        if lots[ticks]:
            return ticks
        ticks += 1
    return 0


cdef int center(Book* book, int64_t ticks) except -1 nogil:
    """Move the window so that *ticks*, a best price outside of it, is in its middle."""
    cdef int64_t width = book.hi - book.lo
    cdef int64_t lo = max(ticks - width // 2, 0)
    return book_move(book, lo, lo + width)


# The window's pointer is shifted so that it is indexed by ticks; its bounds are locals, since the compiler would reload
# them after each store. A loop for both sides would branch on the side at every row. As an unsigned distance from the
# lower bound, a price below the window is far beyond its width: one comparison detects prices outside.

cdef int64_t apply_bids(Book* book, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows) except -1 nogil:
    """Store the bids at the start of *rows*, update the best bid, and return their number."""
    cdef int64_t* window = book.bid_lots - book.lo
    cdef int64_t lo = book.lo, hi = book.hi, top = book.best_bid, floor = book.bid_floor
    cdef int64_t row = 0, at
    cdef bint far = not lo <= book.best_bid < hi
    while row < rows and side[row] > 0:
        at = ticks[row]
        if <uint64_t> at - <uint64_t> lo < <uint64_t> (hi - lo):
            window[at] = lots[row]
            top = max(top, at)
            floor = min(floor, at)
        else:
            far_put(&book.far_bid, at, lots[row])
            far = True
        row += 1
    book.bid_floor = floor
    book.best_bid = bid_at_or_below(book, top)  # found at once in most cases: no level above *top* has lots
    if far or book.best_bid == 0:
        book.best_bid = max(book.best_bid, far_best(&book.far_bid, 1))
        if book.best_bid >= hi:
            center(book, book.best_bid)
    return row


cdef int64_t apply_asks(Book* book, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows) except -1 nogil:
    """Store the asks at the start of *rows*, update the best ask, and return their number."""
    cdef int64_t* window = book.ask_lots - book.lo
    cdef int64_t lo = book.lo, hi = book.hi, ceil = book.ask_ceil
    cdef int64_t top = book.best_ask if book.best_ask else hi
    cdef int64_t row = 0, at
    cdef bint far = not lo <= book.best_ask < hi
    while row < rows and side[row] <= 0:
        at = ticks[row]
        if <uint64_t> at - <uint64_t> lo < <uint64_t> (hi - lo):
            window[at] = lots[row]
            top = min(top, at)
            ceil = max(ceil, at)
        else:
            far_put(&book.far_ask, at, lots[row])
            far = True
        row += 1
    book.ask_ceil = ceil
    book.best_ask = ask_at_or_above(book, top)
    if far or book.best_ask == 0:
        at = far_best(&book.far_ask, -1)
        if at and (at < book.best_ask or book.best_ask == 0):
            book.best_ask = at
        if book.best_ask and book.best_ask < lo:
            center(book, book.best_ask)
    return row


cdef int book_apply(Book* book, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows) except -1 nogil:
    """Apply the rows of one message: each sets the displayed lots at a price, 0 removes the level."""
    cdef int64_t done = 0, row
    prefetch(side + AHEAD)
    for row in range(0, rows, 8):
        prefetch(ticks + row + AHEAD)
        prefetch(lots + row + AHEAD)
    while done < rows:
        if side[done] > 0:
            done += apply_bids(book, side + done, ticks + done, lots + done, rows - done)
        else:
            done += apply_asks(book, side + done, ticks + done, lots + done, rows - done)
    return 0


cdef int book_store(Book* book, const Books* books, int64_t first, int64_t stop, bint framed) except -1 nogil:
    """Store the rows of the DEPTH events of ``first:stop`` in a tracked book.

    This takes two thirds of the time of `book_apply`. With *framed* the rows of the first event are always stored.
    """
    cdef int64_t low = book.bid_floor, high = book.ask_ceil, event, row, end, at
    cdef uint64_t width = max(high - low + 1, 0)
    cdef const int8_t* side = books.row_side
    cdef const int64_t* ticks = books.row_ticks
    cdef const int64_t* lots = books.row_lots
    cdef int64_t* window[2]
    window[0], window[1] = book.ask_lots - book.lo, book.bid_lots - book.lo
    for event in range(first, stop):
        if books.kind[event] != DEPTH and not (framed and event == first):
            continue
        end = books.first_row[event + 1]
        prefetch(side + end + AHEAD)
        for row in range(books.first_row[event], end, 8):
            prefetch(ticks + row + AHEAD)
            prefetch(lots + row + AHEAD)
        for row in range(books.first_row[event], end):
            at = ticks[row]
            if <uint64_t> at - <uint64_t> low >= width:  # few prices are outside the range of all previous ones
                if not book.lo <= at < book.hi:
                    far_put(&book.far_bid if side[row] > 0 else &book.far_ask, at, lots[row])
                    continue
                low, high = min(low, at), max(high, at)
                width = high - low + 1
            window[side[row] > 0][at] = lots[row]
    book.bid_floor, book.ask_ceil = low, high
    return 0


# A tracked book with pages: the rows of a page are stored when one of its prices is read, so those of pages that are not
# read again are never stored.

cdef int book_take_pages(Book* book, object rows) except -1:
    """Attach the rows of a tape (`mm.tape.book_rows.BookRows`), which must exist as long as the book has pages."""
    cdef const int64_t[::1] ids = rows.page, begin = rows.begin, fresh = rows.fresh
    cdef const Change[::1] row = rows.change
    cdef int64_t first = book.lo >> LEVEL_PAGE_BITS, inside = (book.hi >> LEVEL_PAGE_BITS) - first, i, at
    cdef Pages* pages
    cdef Page* page
    if book.lo % PAGE_TICKS or book.hi % PAGE_TICKS:
        raise ValueError(f"the window {book.lo} to {book.hi} does not consist of pages of {PAGE_TICKS} ticks")
    drop_pages(book)
    book.pages = pages = <Pages*> calloc(1, sizeof(Pages))
    if pages is not NULL:
        pages.page = <Page*> calloc(inside + ids.shape[0], sizeof(Page))
    if pages is NULL or pages.page is NULL:
        raise MemoryError(f"no memory for {inside + ids.shape[0]} pages of a book")
    pages.row = &row[0] if row.shape[0] else NULL
    pages.fresh, pages.fresh_events = first_of(fresh), fresh.shape[0]
    pages.inside, pages.low, pages.high = inside, inside, -1
    pages.base = pages.stop = rows.base
    for i in range(inside):
        pages.page[i].ticks = (first + i) << LEVEL_PAGE_BITS
    for i in range(ids.shape[0]):
        at = ids[i] - first
        if 0 <= at < inside:
            pages.low, pages.high = min(pages.low, at), max(pages.high, at)
        else:
            at = inside + pages.outside
            pages.outside += 1
        page = &pages.page[at]
        page.ticks, page.next, page.end = ids[i] << LEVEL_PAGE_BITS, begin[i], begin[i + 1]
    for i in range(inside + pages.outside):
        pages.page[i].due, pages.page[i].epoch = pages.base, -1
    pages.outside_due = pages.base
    return 0


cdef void drop_pages(Book* book) noexcept nogil:
    if book.pages is not NULL:
        free(book.pages.page)
        free(book.pages)
    book.pages = NULL


cdef int book_advance(Book* book, int64_t stop) except -1 nogil:
    """Advance a book with pages: rows of the events before *stop* are stored when their page is read."""
    cdef Pages* pages = book.pages
    cdef int64_t i, due = INT64_MAX
    pages.stop = stop
    if stop > pages.base and pages.next_fresh < pages.fresh_events and pages.fresh[pages.next_fresh] < stop:
        while pages.next_fresh < pages.fresh_events and pages.fresh[pages.next_fresh] < stop:
            pages.begun = pages.fresh[pages.next_fresh]
            pages.next_fresh += 1
        pages.epoch += 1
        for i in range(pages.inside):
            pages.page[i].due = -1
        book.far_bid.used = book.far_ask.used = 0
    if pages.outside_due < stop:
        for i in range(pages.inside, pages.inside + pages.outside):
            if pages.page[i].due < stop:
                store_outside(book, &pages.page[i])
            due = min(due, pages.page[i].due)
        pages.outside_due = due
    return 0


cdef void store_page(Book* book, Page* page) noexcept nogil:
    """Store the rows of a page of the window up to now."""
    cdef const Change* row = book.pages.row
    cdef int64_t at = page.next, stop = book.pages.stop, value, ahead
    cdef int64_t* lots[2]
    lots[0], lots[1] = book.ask_lots + (page.ticks - book.lo), book.bid_lots + (page.ticks - book.lo)
    if page.epoch != book.pages.epoch:
        memset(lots[0], 0, PAGE_TICKS * sizeof(int64_t))
        memset(lots[1], 0, PAGE_TICKS * sizeof(int64_t))
        at = begin_page(book.pages, page)
    while at < page.end and row[at].event < stop:
        value = row[at].lots
        lots[value & 1][(value >> 1) & (PAGE_TICKS - 1)] = value >> CELL_BITS
        at += 1
    for ahead in range(at, at + min(at - page.next, MOST_AHEAD), 5):  # about as many as now will be stored next time
        prefetch(row + ahead + 5)
    page.next, page.due = at, row[at].event if at < page.end else INT64_MAX
    book.bid_floor = min(book.bid_floor, page.ticks)
    book.ask_ceil = max(book.ask_ceil, page.ticks + PAGE_TICKS - 1)


cdef int store_outside(Book* book, Page* page) except -1 nogil:
    """Store the rows of a page outside of the window up to now."""
    cdef const Change* row = book.pages.row
    cdef int64_t at = page.next, value
    if page.epoch != book.pages.epoch:
        at = begin_page(book.pages, page)
    while at < page.end and row[at].event < book.pages.stop:
        value = row[at].lots
        far_put(
            &book.far_bid if value & 1 else &book.far_ask,
            page.ticks + ((value >> 1) & (PAGE_TICKS - 1)), value >> CELL_BITS,
        )
        at += 1
    page.next, page.due = at, row[at].event if at < page.end else INT64_MAX
    return 0


cdef int64_t begin_page(const Pages* pages, Page* page) noexcept nogil:
    """Return the first row of a page that belongs to the current book."""
    cdef int64_t low = page.next, high = page.end, middle
    page.epoch = pages.epoch
    while low < high:
        middle = (low + high) // 2
        if pages.row[middle].event < pages.begun:
            low = middle + 1
        else:
            high = middle
    return low


cdef int64_t level_from(const Book* book, int side, int64_t ticks) noexcept nogil:
    """Return the window's best level of a side at *ticks* or worse in a book with pages; 0 if there is none."""
    cdef const int64_t* lots = (book.bid_lots if side > 0 else book.ask_lots) - book.lo
    cdef int64_t first = book.lo + book.pages.low * PAGE_TICKS, last = book.lo + book.pages.high * PAGE_TICKS + PAGE_TICKS - 1
    cdef int64_t end
    cdef Page* page
    if book.pages.stop <= book.pages.base:  # the levels before the tape may be in any page
        return bid_at_or_below(book, ticks) if side > 0 else ask_at_or_above(book, ticks)
    ticks = min(ticks, last) if side > 0 else max(ticks, first)
    while first <= ticks <= last:
        page = read_page(book, ticks)
        end = page.ticks - 1 if side > 0 else page.ticks + PAGE_TICKS
        while page.end and ticks != end:
            if lots[ticks]:
                return ticks
            ticks -= side
        ticks = end
    return 0


cdef int settle_pages(Book* book) except -1 nogil:
    """Store the rows of all pages up to now, unless the book is empty, as after a gap; it then has no pages."""
    cdef int64_t i
    if book.pages is NULL:
        return 0
    for i in range(book.pages.inside if book.best_bid or book.best_ask else 0):
        if book.pages.page[i].due < book.pages.stop:
            store_page(book, &book.pages.page[i])
    drop_pages(book)
    return 0


cdef int book_catch_up(Book* book, const Books* books, int64_t shown, int64_t stop) except -1 nogil:
    """Store the rows of the events ``shown:stop`` in a tracked book; if they are many, from the last KEYFRAME on."""
    cdef int64_t event = stop - 1, best_bid = book.best_bid, best_ask = book.best_ask
    if stop - shown > MANY_EVENTS:
        while event > shown and books.kind[event] != KEYFRAME:
            event -= 1
        if event > shown:  # its rows are the complete book
            book_wipe(book)
            book.best_bid, book.best_ask = best_bid, best_ask
            return book_store(book, books, event, stop, True)
    return book_store(book, books, shown, stop, False)


cdef int place(Book* book, int side, int64_t ticks, int64_t lots) except -1 nogil:
    """Store a level at a price without one, inside or outside the window."""
    if not book.lo <= ticks < book.hi:
        far_put(&book.far_bid if side > 0 else &book.far_ask, ticks, lots)
    elif side > 0:
        book.bid_lots[ticks - book.lo] = lots
        book.bid_floor = min(book.bid_floor, ticks)
    else:
        book.ask_lots[ticks - book.lo] = lots
        book.ask_ceil = max(book.ask_ceil, ticks)
    if side > 0:
        book.best_bid = max(book.best_bid, ticks)
    elif book.best_ask == 0 or ticks < book.best_ask:
        book.best_ask = ticks
    return 0


cdef int move_levels(const Book* old, Book* book, int side) except -1 nogil:
    """Place every level of one side of *old* in *book*."""
    cdef const int64_t* window = (old.bid_lots if side > 0 else old.ask_lots) - old.lo
    cdef const Far* far = &old.far_bid if side > 0 else &old.far_ask
    cdef int64_t first = old.bid_floor if side > 0 else max(old.best_ask, old.lo)
    cdef int64_t last = min(old.best_bid, old.hi - 1) if side > 0 else old.ask_ceil
    cdef int64_t at
    for at in range(first, last + 1):
        if window[at]:
            place(book, side, at, window[at])
    for at in range(far.used):
        place(book, side, far.ticks[at], far.lots[at])
    return 0


cdef int book_move(Book* book, int64_t lo, int64_t hi) except -1 nogil:
    """Move the window to ``lo <= ticks < hi``; every level stays in the book."""
    cdef Book moved
    settle_pages(book)
    book_open(&moved, lo, hi)
    move_levels(book, &moved, 1)
    if book.best_ask:
        move_levels(book, &moved, -1)
    book_close(book)
    book[0] = moved  # it owns its arrays: nothing is freed twice
    return 0


cdef int64_t book_after(const Book* book, int side, int64_t ticks) noexcept nogil:
    """Return a side's next price after *ticks*, away from the market; 0 if there is none."""
    cdef const Far* far = &book.far_bid if side > 0 else &book.far_ask
    cdef int64_t i, found
    if book.pages is not NULL:
        found = level_from(book, side, ticks - side)
    else:
        found = bid_at_or_below(book, ticks - 1) if side > 0 else ask_at_or_above(book, ticks + 1)
    for i in range(far.used):
        if side * (ticks - far.ticks[i]) > 0 and (found == 0 or side * (far.ticks[i] - found) > 0):
            found = far.ticks[i]
    return found


cdef int window_for(const int64_t* ticks, int64_t rows, int64_t* lo, int64_t* hi) except -1 nogil:
    """Choose a window that includes every price of *rows*, or the largest allowed one around that of the middle row."""
    cdef int64_t row, low, high
    if rows == 0:
        lo[0] = 0
        hi[0] = 1
        return 0
    low = high = ticks[0]
    for row in range(rows):
        low = min(low, ticks[row])
        high = max(high, ticks[row])
    if not (in_range(low) and in_range(high)):
        refuse_price(high if in_range(low) else low)
    if high - low >= MAX_WINDOW:
        low = max(low, ticks[rows // 2] - MAX_WINDOW // 2)
        high = low + MAX_WINDOW - 1
    lo[0] = low
    hi[0] = high + 1
    return 0


cdef class CompiledBook:
    """Python interface of the compiled book, which tests compare with the Python version.

    Prices are ticks, quantities lots, ``side`` +1 for bids and -1 for asks; a price of 0 means none.
    """

    cdef Book book
    cdef object rows  # which its pages refer to

    def __cinit__(self, int64_t lo, int64_t hi) -> None:
        book_open(&self.book, lo, hi)

    def __dealloc__(self) -> None:
        book_close(&self.book)

    def apply(self, const int8_t[::1] side, const int64_t[::1] ticks, const int64_t[::1] lots) -> None:
        """Apply the rows of one message: the displayed lots at each price, 0 removes the level."""
        if side.shape[0]:
            book_apply(&self.book, &side[0], &ticks[0], &lots[0], side.shape[0])

    def clear(self) -> None:
        """Empty the book."""
        book_clear(&self.book)

    def best(self) -> tuple[int, int]:
        """Return best bid and best ask in ticks."""
        return self.book.best_bid, self.book.best_ask

    def lots_at(self, int side, int64_t ticks) -> int:
        """Return the displayed lots at a price."""
        return book_lots_at(&self.book, side, ticks)

    def after(self, int side, int64_t ticks) -> int:
        """Return a side's next price after *ticks*, away from the market."""
        return book_after(&self.book, side, ticks)

    def take_pages(self, rows: object) -> None:
        """Convert it into a tracked book with the rows of a tape (`mm.tape.book_rows.BookRows`)."""
        self.rows = rows
        book_span(&self.book)
        book_take_pages(&self.book, rows)

    def advance(self, int64_t stop, int64_t best_bid, int64_t best_ask) -> None:
        """Advance to the events before *stop*, which end with these best prices."""
        book_advance(&self.book, stop)
        self.book.best_bid, self.book.best_ask = best_bid, best_ask

    def move(self, int64_t lo, int64_t hi) -> None:
        """Move the window; a book with pages then has none."""
        book_move(&self.book, lo, hi)

    def levels(self, int side) -> list[tuple[int, int]]:
        """Return all levels of a side as (ticks, lots), best first."""
        cdef const Far* far = &self.book.far_bid if side > 0 else &self.book.far_ask
        cdef const int64_t* lots = self.book.bid_lots if side > 0 else self.book.ask_lots
        found = [(far.ticks[i], far.lots[i]) for i in range(far.used)]
        found += [(self.book.lo + i, lots[i]) for i in range(self.book.hi - self.book.lo) if lots[i]]
        return sorted(found, reverse=side > 0)

    def check(self) -> None:
        """Raise AssertionError if an invariant of the book is violated."""
        for side in (1, -1):
            levels = self.levels(side)
            best = self.book.best_bid if side > 0 else self.book.best_ask
            assert best == (levels[0][0] if levels else 0), (side, best, levels[:1])
            assert len({ticks for ticks, _ in levels}) == len(levels)
            for ticks, lots in levels:
                assert lots > 0
                if self.book.lo <= ticks < self.book.hi:
                    assert ticks >= self.book.bid_floor if side > 0 else ticks <= self.book.ask_ceil, (side, ticks)


# Sorting the rows of a tape by price level, or by page of prices: they are counted first, then written.

def count_levels(
    const uint8_t[::1] kind,
    const int64_t[::1] first_row,
    const int8_t[::1] row_side,
    const int64_t[::1] slot,
    bint framed,
    int64_t[::1] count,
) -> None:
    """Count the rows of DEPTH and SNAPSHOT events by slot and side.

    Args:
        kind, first_row, row_side: Columns of consecutive events; ``first_row`` counts from the first row of these.
        slot: Index of the price of each row.
        framed: Whether to count the rows of the first event regardless of its kind.
        count: Counts are added at ``2 * slot + is_bid``.
    """
    cdef int64_t event, row
    with nogil:
        for event in range(kind.shape[0]):
            if kind[event] == DEPTH or kind[event] == SNAPSHOT or (event == 0 and framed):
                for row in range(first_row[event], first_row[event + 1]):
                    count[2 * slot[row] + (row_side[row] > 0)] += 1


def place_levels(
    const uint8_t[::1] kind,
    const int64_t[::1] first_row,
    const int8_t[::1] row_side,
    const int64_t[::1] slot,
    const int64_t[::1] row_lots,
    bint framed,
    int64_t begin_event,
    int64_t begin_level,
    int64_t[::1] place,
    Change[::1] change,
) -> None:
    """Write the rows counted by `count_levels` to the positions of their levels, for a range of levels.

    Args:
        kind, first_row, row_side, slot, row_lots, framed: As in `count_levels`.
        begin_event: The number of the first event.
        begin_level: The first level of the range, as ``2 * slot + is_bid``.
        place: Position of the next row of each level of the range; it is advanced.
        change: The rows by level: event and lots.
    """
    cdef int64_t event, row, level, levels = place.shape[0]
    with nogil:
        for event in range(kind.shape[0]):
            if kind[event] == DEPTH or kind[event] == SNAPSHOT or (event == 0 and framed):
                for row in range(first_row[event], first_row[event + 1]):
                    level = 2 * slot[row] + (row_side[row] > 0) - begin_level
                    if 0 <= level < levels:
                        change[place[level]].event = <int32_t> (begin_event + event)
                        change[place[level]].lots = row_lots[row]
                        place[level] += 1
