# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled book and the path of best prices; ``market_data.local_orderbook`` is its plain twin."""

from libc.stdint cimport int8_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

import numpy as np

from mm.tape._kinds cimport DEPTH, GAP, SNAPSHOT
from mm.tape._memory cimport prefer_large_pages

cdef int64_t MAX_WINDOW = 1 << 22  # ticks; pages that no level touches cost no memory


cdef int book_open(Book* book, int64_t lo, int64_t hi) except -1 nogil:
    """Open an empty book over the window ``lo <= ticks < hi``."""
    memset(book, 0, sizeof(Book))
    book.lo = lo
    book.hi = max(hi, lo + 1)
    book.bid_floor = book.hi
    book.ask_ceil = book.lo - 1
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
    """Empty the book; only the span that was in use is touched."""
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


# Levels outside the window: few and seldom touched, so a plain list is searched.

cdef int64_t far_find(const Far* far, int64_t ticks) noexcept nogil:
    cdef int64_t i
    for i in range(far.used):
        if far.ticks[i] == ticks:
            return i
    return -1


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


cdef int far_put(Far* far, int64_t ticks, int64_t lots) except -1 nogil:
    cdef int64_t i = far_find(far, ticks)
    if lots == 0:
        if i >= 0:
            far.used -= 1
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
    """Return the window's best bid at or below *ticks*, 0 where there is none."""
    cdef const int64_t* lots = book.bid_lots - book.lo
    ticks = min(ticks, book.hi - 1)
    while ticks >= book.bid_floor:
        if lots[ticks]:
            return ticks
        ticks -= 1
    return 0


cdef int64_t ask_at_or_above(const Book* book, int64_t ticks) noexcept nogil:
    """Return the window's best ask at or above *ticks*, 0 where there is none."""
    cdef const int64_t* lots = book.ask_lots - book.lo
    ticks = max(ticks, book.lo)
    while ticks <= book.ask_ceil:
        if lots[ticks]:
            return ticks
        ticks += 1
    return 0


cdef int center(Book* book, int64_t ticks) except -1 nogil:
    """Move the window so that *ticks*, a best price that lies outside, is in its middle."""
    cdef int64_t width = book.hi - book.lo
    cdef int64_t lo = max(ticks - width // 2, 0)
    return book_move(book, lo, lo + width)


cdef int64_t apply_bids(Book* book, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows) except -1 nogil:
    """Store the bids that stand first in *rows*, settle the best bid, and return how many there were."""
    cdef int64_t* window = book.bid_lots - book.lo
    cdef int64_t lo = book.lo, hi = book.hi, top = book.best_bid, floor = book.bid_floor
    cdef int64_t row = 0, at
    cdef bint far = not lo <= book.best_bid < hi
    while row < rows and side[row] > 0:
        at = ticks[row]
        if lo <= at < hi:
            window[at] = lots[row]
            top = max(top, at)
            floor = min(floor, at)
        else:
            far_put(&book.far_bid, at, lots[row])
            far = True
        row += 1
    book.bid_floor = floor
    book.best_bid = bid_at_or_below(book, top)
    if far or book.best_bid == 0:
        book.best_bid = max(book.best_bid, far_best(&book.far_bid, 1))
        if book.best_bid >= hi:
            center(book, book.best_bid)
    return row


cdef int64_t apply_asks(Book* book, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows) except -1 nogil:
    """Store the asks that stand first in *rows*, settle the best ask, and return how many there were."""
    cdef int64_t* window = book.ask_lots - book.lo
    cdef int64_t lo = book.lo, hi = book.hi, ceil = book.ask_ceil
    cdef int64_t top = book.best_ask if book.best_ask else hi
    cdef int64_t row = 0, at
    cdef bint far = not lo <= book.best_ask < hi
    while row < rows and side[row] < 0:
        at = ticks[row]
        if lo <= at < hi:
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
    """Apply the rows of one message: each gives the lots now displayed at a price, 0 removes it."""
    cdef int64_t done = 0
    while done < rows:
        if side[done] > 0:
            done += apply_bids(book, side + done, ticks + done, lots + done, rows - done)
        else:
            done += apply_asks(book, side + done, ticks + done, lots + done, rows - done)
    return 0


cdef int place(Book* book, int side, int64_t ticks, int64_t lots) except -1 nogil:
    """Put a level into an empty place, wherever the window lies."""
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
    book[0] = moved
    return 0


cdef int64_t book_lots_at(const Book* book, int side, int64_t ticks) noexcept nogil:
    """Return the displayed lots at a price, 0 where there is no level."""
    cdef const Far* far
    cdef int64_t found
    if book.lo <= ticks < book.hi:
        return book.bid_lots[ticks - book.lo] if side > 0 else book.ask_lots[ticks - book.lo]
    far = &book.far_bid if side > 0 else &book.far_ask
    found = far_find(far, ticks)
    return far.lots[found] if found >= 0 else 0


cdef int64_t book_after(const Book* book, int side, int64_t ticks) noexcept nogil:
    """Return a side's next price behind *ticks*, away from the market; 0 where there is none."""
    cdef const Far* far = &book.far_bid if side > 0 else &book.far_ask
    cdef int64_t i, found = bid_at_or_below(book, ticks - 1) if side > 0 else ask_at_or_above(book, ticks + 1)
    for i in range(far.used):
        if side * (ticks - far.ticks[i]) > 0 and (found == 0 or side * (far.ticks[i] - found) > 0):
            found = far.ticks[i]
    return found


cdef void window_for(const int64_t* ticks, int64_t rows, int64_t* lo, int64_t* hi) noexcept nogil:
    """Choose a window that holds every price of *rows*, or the most that fits around the middle row's."""
    cdef int64_t row, low, high
    if rows == 0:
        lo[0] = 0
        hi[0] = 1
        return
    low = high = ticks[0]
    for row in range(rows):
        low = min(low, ticks[row])
        high = max(high, ticks[row])
    if high - low >= MAX_WINDOW:
        low = max(low, ticks[rows // 2] - MAX_WINDOW // 2)
        high = low + MAX_WINDOW - 1
    lo[0] = low
    hi[0] = high + 1


cdef class TopPath:
    """Grows the path of best prices: one row whenever bid, ask or the lots at either change."""

    cdef int64_t[:, ::1] rows
    cdef int64_t used

    def __cinit__(self) -> None:
        self.rows = np.empty((1 << 16, 5), np.int64)
        self.used = 0

    cdef int put(self, int64_t event, const Book* book) except -1:
        """Append the top after *event*, unless it is what it was."""
        cdef int64_t bid = book.best_bid, ask = book.best_ask
        cdef int64_t bid_lots = book_lots_at(book, 1, bid) if bid else 0
        cdef int64_t ask_lots = book_lots_at(book, -1, ask) if ask else 0
        cdef int64_t last = self.used - 1
        if last >= 0 and (
            self.rows[last, 1] == bid
            and self.rows[last, 2] == ask
            and self.rows[last, 3] == bid_lots
            and self.rows[last, 4] == ask_lots
        ):
            return 0
        if self.used == self.rows.shape[0]:
            grown = np.empty((2 * self.used, 5), np.int64)
            grown[: self.used] = self.rows
            self.rows = grown
        self.rows[self.used, 0] = event
        self.rows[self.used, 1] = bid
        self.rows[self.used, 2] = ask
        self.rows[self.used, 3] = bid_lots
        self.rows[self.used, 4] = ask_lots
        self.used += 1
        return 0


cdef class CompiledBook:
    """The compiled book with a Python face: what tests hold against its plain twin.

    Prices are ticks, quantities lots, ``side`` +1 for bids and -1 for asks; a price of 0 means none.
    """

    cdef Book book

    def __cinit__(self, int64_t lo, int64_t hi) -> None:
        book_open(&self.book, lo, hi)

    def __dealloc__(self) -> None:
        book_close(&self.book)

    def apply(self, const int8_t[::1] side, const int64_t[::1] ticks, const int64_t[::1] lots) -> None:
        """Apply the rows of one message: lots now displayed at each price, 0 removes it."""
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

    def levels(self, int side) -> list[tuple[int, int]]:
        """Return all levels of a side as (ticks, lots), best first."""
        cdef const Far* far = &self.book.far_bid if side > 0 else &self.book.far_ask
        cdef const int64_t* lots = self.book.bid_lots if side > 0 else self.book.ask_lots
        found = [(far.ticks[i], far.lots[i]) for i in range(far.used)]
        found += [(self.book.lo + i, lots[i]) for i in range(self.book.hi - self.book.lo) if lots[i]]
        return sorted(found, reverse=side > 0)

    def check(self) -> None:
        """Raise AssertionError where an invariant of the book does not hold."""
        for side in (1, -1):
            levels = self.levels(side)
            best = self.book.best_bid if side > 0 else self.book.best_ask
            assert best == (levels[0][0] if levels else 0), (side, best, levels[:1])
            assert len({ticks for ticks, _ in levels}) == len(levels)
            for ticks, lots in levels:
                assert lots > 0
                if self.book.lo <= ticks < self.book.hi:
                    assert ticks >= self.book.bid_floor if side > 0 else ticks <= self.book.ask_ceil, (side, ticks)


def replay_tops(
    const uint8_t[::1] kind,
    const int64_t[::1] first_row,
    const int8_t[::1] row_side,
    const int64_t[::1] row_ticks,
    const int64_t[::1] row_lots,
    const uint8_t[::1] keyframe_after,
) -> tuple[NDArray[np.int64], int, list[tuple[int, NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]]]:
    """Play the book of a tape's events once.

    Args:
        kind: Kinds of the events; TRADE and KEYFRAME events are passed over.
        first_row: int64[n+1], where each event's rows begin.
        row_side, row_ticks, row_lots: The rows.
        keyframe_after: uint8[n], 1 where the whole book after that event is wanted.

    Returns:
        ``(tops, crossed, frames)``: int64[t, 5] of (event, bid, ask, bid lots, ask lots) at every
        change, a GAP giving zeros; the first event after which a valid book is crossed or locked,
        or -1 (the replay stops there); and for every wanted keyframe with a valid book
        ``(event, side, ticks, lots)`` as arrays, bids first, best first.
    """
    cdef Book book
    cdef TopPath path = TopPath()
    cdef int64_t lo, hi, event, row, crossed = -1
    cdef bint valid = False
    cdef int64_t rows = row_ticks.shape[0]
    frames = []
    window_for(&row_ticks[0] if rows else NULL, rows, &lo, &hi)
    book_open(&book, lo, hi)
    try:
        for event in range(kind.shape[0]):
            if kind[event] == DEPTH or kind[event] == SNAPSHOT:
                if kind[event] == SNAPSHOT:
                    book_clear(&book)
                    valid = True
                row = first_row[event]
                if row < first_row[event + 1]:
                    book_apply(&book, &row_side[row], &row_ticks[row], &row_lots[row], first_row[event + 1] - row)
            elif kind[event] == GAP:
                book_clear(&book)
                valid = False
            if kind[event] == DEPTH or kind[event] == SNAPSHOT or kind[event] == GAP:
                if book.best_bid and book.best_ask and book.best_bid >= book.best_ask:
                    crossed = event
                    break
                path.put(event, &book)
            if keyframe_after[event] and valid:
                frames.append((event, *whole(&book)))
    finally:
        book_close(&book)
    return np.asarray(path.rows)[: path.used].copy(), crossed, frames


cdef tuple whole(const Book* book):
    """Return every level of a book as (side, ticks, lots) arrays, bids first, best first."""
    bids = side_levels(book, 1)
    asks = side_levels(book, -1)
    ticks = np.concatenate((bids[0], asks[0]))
    lots = np.concatenate((bids[1], asks[1]))
    side = np.repeat(np.array([1, -1], np.int8), [bids[0].size, asks[0].size])
    return side, ticks, lots


cdef tuple side_levels(const Book* book, int side):
    """Return one side's (ticks, lots) arrays, best first."""
    cdef const Far* far = &book.far_bid if side > 0 else &book.far_ask
    cdef int64_t first = book.bid_floor if side > 0 else max(book.best_ask, book.lo)
    cdef int64_t last = min(book.best_bid, book.hi - 1) if side > 0 else book.ask_ceil
    cdef const int64_t* lots = book.bid_lots if side > 0 else book.ask_lots
    ticks = np.empty(0, np.int64)
    found = np.empty(0, np.int64)
    if first <= last and (side > 0 or book.best_ask):
        span = np.asarray(<const int64_t[: last - first + 1]> (lots + (first - book.lo)))
        ticks = np.flatnonzero(span)
        found = span[ticks]
        ticks = ticks + first
    ticks = np.concatenate((ticks, np.array([far.ticks[i] for i in range(far.used)], np.int64)))
    found = np.concatenate((found, np.array([far.lots[i] for i in range(far.used)], np.int64)))
    order = np.argsort(-side * ticks, kind="stable")
    return ticks[order], found[order]
