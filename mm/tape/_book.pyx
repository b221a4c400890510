# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled book, and the replay of a day's messages on it; ``market_data.local_orderbook`` is the Python version."""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

import numpy as np
from numpy.typing import NDArray

from mm.tape._kinds cimport DEPTH, GAP, SNAPSHOT, TRADE
from mm.tape._memory cimport prefer_large_pages, prefetch

Rows = tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]  # side, ticks, lots

WINDOW_MARGIN_TICKS = <int64_t> MARGIN_TICKS  # type: int
cdef int64_t AHEAD = 256  # rows to prefetch after a message's, mostly the rows of later ones
LEVEL_PAGE = PAGE_TICKS  # type: int
EVERY = MARK_EVERY  # type: int


cdef int book_open(Book* book, int64_t lo, int64_t hi) except -1 nogil:
    memset(book, 0, sizeof(Book))
    book.lo = lo
    book.hi = max(hi, lo + 1)
    book.bid_floor = book.hi
    book.ask_ceil = book.lo - 1
    # Zero pages of the system use memory only after a write. calloc takes them for both sides in one block, if the window
    # has the usual margins: glibc clears blocks up to 32 MB itself, once one of that size has been freed.
    book.bid_lots = <int64_t*> calloc(2 * (book.hi - lo), sizeof(int64_t))
    if book.bid_lots is NULL:
        with gil:
            raise MemoryError(f"no memory for a book of {book.hi - lo} ticks")
    book.ask_lots = book.bid_lots + (book.hi - lo)
    prefer_large_pages(book.bid_lots, 2 * (book.hi - lo) * sizeof(int64_t))
    return 0


cdef void book_close(Book* book) noexcept nogil:
    free(book.bid_lots)  # the block of both sides
    free(book.far_bid.ticks)
    free(book.far_bid.lots)
    free(book.far_ask.ticks)
    free(book.far_ask.lots)
    memset(book, 0, sizeof(Book))


cdef void book_clear(Book* book) noexcept nogil:
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
    cdef int64_t found = far_find(far, ticks)
    return far.lots[found] if found >= 0 else 0


cdef int64_t far_best(const Far* far, int side) noexcept nogil:
    cdef int64_t i, best = 0
    for i in range(far.used):
        if best == 0 or side * (far.ticks[i] - best) > 0:
            best = far.ticks[i]
    return best


cdef int far_grow(Far* far) except -1 nogil:
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
    cdef const int64_t* lots = book.bid_lots - book.lo
    ticks = min(ticks, book.hi - 1)
    while ticks >= book.bid_floor:
        if lots[ticks]:
            return ticks
        ticks -= 1
    return 0


cdef int64_t ask_at_or_above(const Book* book, int64_t ticks) noexcept nogil:
    cdef const int64_t* lots = book.ask_lots - book.lo
    ticks = max(ticks, book.lo)
    while ticks <= book.ask_ceil:
        if lots[ticks]:
            return ticks
        ticks += 1
    return 0


cdef int center(Book* book, int64_t ticks) except -1 nogil:
    """Move the window so that *ticks*, a best price outside, is in its middle."""
    cdef int64_t width = book.hi - book.lo
    cdef int64_t lo = max(ticks - width // 2, 0)
    return book_move(book, lo, lo + width)


# The window's pointer is shifted so that it is indexed by ticks; its bounds are locals, since the compiler would reload
# them after each store. A loop for both sides would branch on the side at every row. As an unsigned distance from the
# lower bound, a price below the window is far beyond its width: one comparison detects prices outside.

cdef int64_t apply_bids(Book* book, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows) except -1 nogil:
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
    """Each row sets the displayed lots at a price, 0 removes the level."""
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
    cdef Book moved
    book_open(&moved, lo, hi)
    move_levels(book, &moved, 1)
    if book.best_ask:
        move_levels(book, &moved, -1)
    book_close(book)
    book[0] = moved  # it owns its arrays: nothing is freed twice
    return 0


cdef int64_t book_after(const Book* book, int side, int64_t ticks) noexcept nogil:
    cdef const Far* far = &book.far_bid if side > 0 else &book.far_ask
    cdef int64_t i, found
    found = bid_at_or_below(book, ticks - 1) if side > 0 else ask_at_or_above(book, ticks + 1)
    for i in range(far.used):
        if side * (ticks - far.ticks[i]) > 0 and (found == 0 or side * (far.ticks[i] - found) > 0):
            found = far.ticks[i]
    return found


cdef int window_for(const int64_t* ticks, int64_t rows, int64_t* lo, int64_t* hi) except -1 nogil:
    """Choose a window with every price of *rows*, or the largest allowed one around the middle row's."""
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

    cdef Book book

    def __cinit__(self, int64_t lo, int64_t hi) -> None:
        book_open(&self.book, lo, hi)

    def __dealloc__(self) -> None:
        book_close(&self.book)

    def apply(self, const int8_t[::1] side, const int64_t[::1] ticks, const int64_t[::1] lots) -> None:
        if side.shape[0]:
            book_apply(&self.book, &side[0], &ticks[0], &lots[0], side.shape[0])

    def clear(self) -> None:
        book_clear(&self.book)

    def best(self) -> tuple[int, int]:
        return self.book.best_bid, self.book.best_ask

    def lots_at(self, int side, int64_t ticks) -> int:
        return book_lots_at(&self.book, side, ticks)

    def after(self, int side, int64_t ticks) -> int:
        return book_after(&self.book, side, ticks)

    def move(self, int64_t lo, int64_t hi) -> None:
        book_move(&self.book, lo, hi)

    def levels(self, int side) -> list[tuple[int, int]]:
        cdef const Far* far = &self.book.far_bid if side > 0 else &self.book.far_ask
        cdef const int64_t* lots = self.book.bid_lots if side > 0 else self.book.ask_lots
        found = [(far.ticks[i], far.lots[i]) for i in range(far.used)]
        found += [(self.book.lo + i, lots[i]) for i in range(self.book.hi - self.book.lo) if lots[i]]
        return sorted(found, reverse=side > 0)

    def check(self) -> None:
        for side in (1, -1):
            levels = self.levels(side)
            best = self.book.best_bid if side > 0 else self.book.best_ask
            assert best == (levels[0][0] if levels else 0), (side, best, levels[:1])
            assert len({ticks for ticks, _ in levels}) == len(levels)
            for ticks, lots in levels:
                assert lots > 0
                if self.book.lo <= ticks < self.book.hi:
                    assert ticks >= self.book.bid_floor if side > 0 else ticks <= self.book.ask_ceil, (side, ticks)


cdef class TapeReplay:
    """Replays the book of a day once, one window of events after the other.

    A snapshot begins the book, a gap ends it; trades and keyframes are skipped. An event that leaves the book crossed
    or locked ends it too; events up to the next snapshot are then left out, except trades.

    Attributes:
        crossed: The events that leave the book crossed, counted from the first replayed event.
        frames: For each requested keyframe with a valid book, the event and the complete book after it.
    """

    cdef readonly list crossed  # type: list[int]
    cdef readonly list frames  # type: list[tuple[int, Rows]]
    cdef Book book
    cdef bint valid, void
    cdef int64_t played
    cdef int64_t[4] top  # best prices and their lots after the last event; prices of -1 before the first

    def __cinit__(self) -> None:
        book_open(&self.book, 0, 1)
        self.top[0] = self.top[1] = -1
        self.crossed = []
        self.frames = []

    def __dealloc__(self) -> None:
        book_close(&self.book)

    def play(
        self,
        const uint8_t[::1] kind,
        const int64_t[::1] first_row,
        rows: Rows,
        const uint8_t[::1] keyframe_after,
        uint8_t[::1] kept,
    ) -> NDArray[np.int64]:
        """Replay the next events (uint8[n] *kind*, int64[n+1] *first_row*).

        Args:
            keyframe_after: uint8[n], 1 requests the complete book after that event.
            kept: uint8[n], set to 0 for events left out.

        Returns:
            int64[t, 5] of (event, bid, ask, bid lots, ask lots) at every change; zeros at the end of a book.
        """
        cdef const int8_t[::1] side = rows[0]
        cdef const int64_t[::1] ticks = rows[1], lots = rows[2]
        cdef int64_t event, row, used = 0, count = kind.shape[0]
        path = np.empty((count, 5), np.int64)  # of unwritten pages, which take no memory
        cdef int64_t[:, ::1] changes = path
        if ticks.shape[0]:
            self.widen(&ticks[0], ticks.shape[0])
        with nogil:
            for event in range(count):
                if self.void and kind[event] != SNAPSHOT:
                    kept[event] = kind[event] == TRADE
                    continue
                if kind[event] == SNAPSHOT or kind[event] == GAP:
                    book_clear(&self.book)
                    self.valid, self.void = kind[event] == SNAPSHOT, False
                if kind[event] == DEPTH or kind[event] == SNAPSHOT or kind[event] == GAP:
                    row = first_row[event]
                    if row < first_row[event + 1]:
                        book_apply(&self.book, &side[row], &ticks[row], &lots[row], first_row[event + 1] - row)
                    # Checked after the whole message: within one, a book may cross temporarily.
                    if self.book.best_bid and self.book.best_ask and self.book.best_bid >= self.book.best_ask:
                        with gil:
                            self.crossed.append(self.played + event)
                        book_clear(&self.book)
                        self.valid, self.void = False, True
                    if self.moved():
                        changes[used, 0] = self.played + event
                        changes[used, 1], changes[used, 2] = self.top[0], self.top[1]
                        changes[used, 3], changes[used, 4] = self.top[2], self.top[3]
                        used += 1
                if keyframe_after[event] and self.valid:
                    with gil:
                        self.frames.append((self.played + event, whole(&self.book)))
        self.played += count
        return path[:used].copy()

    cdef bint moved(self) noexcept nogil:
        cdef int64_t bid = self.book.best_bid, ask = self.book.best_ask
        cdef int64_t bid_lots = book_lots_at(&self.book, 1, bid) if bid else 0
        cdef int64_t ask_lots = book_lots_at(&self.book, -1, ask) if ask else 0
        cdef bint same = self.top[0] == bid and self.top[1] == ask and self.top[2] == bid_lots and self.top[3] == ask_lots
        self.top[0], self.top[1], self.top[2], self.top[3] = bid, ask, bid_lots, ask_lots
        return not same

    cdef int widen(self, const int64_t* ticks, int64_t rows) except -1:
        cdef int64_t lo, hi, low, high, spare
        window_for(ticks, rows, &lo, &hi)
        if self.book.lo <= lo and hi <= self.book.hi:
            return 0
        low = min(lo, self.book.bid_floor) if self.book.best_bid else lo
        high = max(hi, self.book.ask_ceil + 1) if self.book.best_ask else hi
        if high - low > MAX_WINDOW:
            low, high = lo, hi  # levels outside move to the short lists, and back when the window reaches them
        spare = (high - low) // 4  # prices drift, and each move copies the book to new pages
        if high - low + 2 * spare <= MAX_WINDOW:
            low, high = max(low - spare, 0), high + spare if in_range(high + spare) else high
        return book_move(&self.book, low, high)


cdef tuple whole(const Book* book):
    bids, asks = side_levels(book, 1), side_levels(book, -1)
    side = np.repeat(np.array([1, -1], np.int8), [len(bids[0]), len(asks[0])])
    return side, np.concatenate((bids[0], asks[0])), np.concatenate((bids[1], asks[1]))


cdef tuple side_levels(const Book* book, int side):
    cdef const Far* far = &book.far_bid if side > 0 else &book.far_ask
    cdef const int64_t* window = book.bid_lots if side > 0 else book.ask_lots
    cdef int64_t first = book.bid_floor if side > 0 else max(book.best_ask, book.lo)
    cdef int64_t last = min(book.best_bid, book.hi - 1) if side > 0 else book.ask_ceil
    cdef int64_t i
    ticks = np.array([far.ticks[i] for i in range(far.used)], np.int64)
    lots = np.array([far.lots[i] for i in range(far.used)], np.int64)
    if first <= last and (side > 0 or book.best_ask):
        shown = np.asarray(<const int64_t[: last + 1 - first]> (window + (first - book.lo)))
        at = np.flatnonzero(shown)
        ticks, lots = np.append(ticks, at + first), np.append(lots, shown[at])
    order = np.argsort(-side * ticks)
    return ticks[order], lots[order]


def place_levels(
    const int64_t[::1] event,
    const int64_t[::1] level,
    const int64_t[::1] lots,
    int64_t first_level,
    int64_t[::1] place,
    Change[::1] change,
) -> None:
    """Write changes of levels by level, for a range of levels (`mm.tape.level_changes`).

    Args:
        event, level, lots: The changes in the order of events; those outside of the range are skipped.
        place: Position of each level's next change; advanced.
        change: The changes by level: event and lots.
    """
    cdef int64_t i, of_range
    with nogil:
        for i in range(level.shape[0]):
            of_range = level[i] - first_level
            if 0 <= of_range < place.shape[0]:
                change[place[of_range]].event = <int32_t> event[i]
                change[place[of_range]].lots = lots[i]
                place[of_range] += 1


def best_after_each(
    const int8_t[::1] side, const int64_t[::1] ticks, const int64_t[::1] lots
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that change a best price, and best bid and ask after each; 0 for none.

    The book is empty before the rows.
    """
    cdef Book book
    cdef int64_t row, lo, hi, found = 0, rows = ticks.shape[0], bid = 0, ask = 0
    window_for(first_of(ticks), rows, &lo, &hi)
    at_, bids_, asks_ = np.empty(rows, np.int32), np.empty(rows, np.int64), np.empty(rows, np.int64)
    cdef int32_t[::1] at = at_
    cdef int64_t[::1] bids = bids_, asks = asks_
    memset(&book, 0, sizeof(Book))
    book_open(&book, lo, hi)
    try:
        with nogil:
            for row in range(rows):
                book_apply(&book, &side[row], &ticks[row], &lots[row], 1)
                if book.best_bid != bid or book.best_ask != ask:
                    bid, ask = book.best_bid, book.best_ask
                    at[found], bids[found], asks[found] = <int32_t> row, bid, ask
                    found += 1
    finally:
        book_close(&book)
    return at_[:found].copy(), bids_[:found].copy(), asks_[:found].copy()
