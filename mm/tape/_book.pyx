# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled book; ``market_data.local_orderbook`` is the Python version."""

from libc.stdint cimport INT64_MAX, int8_t, int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from mm.tape._kinds cimport DEPTH, SNAPSHOT
from mm.tape._memory cimport prefer_large_pages, prefetch

WINDOW_MARGIN_TICKS = <int64_t> MARGIN_TICKS  # type: int
cdef int64_t AHEAD = 256  # rows to prefetch after those of a message, mostly the rows of later ones
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

    def move(self, int64_t lo, int64_t hi) -> None:
        """Move the window."""
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


# Sorting the rows of a tape by price level: they are counted first, then written.

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
