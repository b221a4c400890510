# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled book and the path of best prices; ``market_data.local_orderbook`` is its plain twin."""

from libc.stdint cimport int8_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

import numpy as np

from mm.backtest._kinds cimport DEPTH, GAP, KEYFRAME, SNAPSHOT

cdef int64_t MAX_WINDOW = 1 << 24  # ticks; pages that no level touches cost no memory


cdef int book_open(Book* book, int64_t lo, int64_t hi) except -1 nogil:
    """Open an empty book over ``lo <= ticks < hi`` (widened to whole words of 64 ticks)."""
    memset(book, 0, sizeof(Book))
    book.lo = lo & ~(<int64_t> 63)
    book.hi = ((hi + 63) & ~(<int64_t> 63))
    if book.hi <= book.lo:
        book.hi = book.lo + 64
    cdef int64_t width = book.hi - book.lo
    book.bid_lots = <int64_t*> calloc(width, sizeof(int64_t))
    book.ask_lots = <int64_t*> calloc(width, sizeof(int64_t))
    book.bid_bits = <uint64_t*> calloc(width >> 6, sizeof(uint64_t))
    book.ask_bits = <uint64_t*> calloc(width >> 6, sizeof(uint64_t))
    if not (book.bid_lots and book.ask_lots and book.bid_bits and book.ask_bits):
        with gil:
            raise MemoryError(f"no memory for a book of {width} ticks")
    return 0


cdef void book_close(Book* book) noexcept nogil:
    free(book.bid_lots)
    free(book.ask_lots)
    free(book.bid_bits)
    free(book.ask_bits)
    free(book.far_bid.ticks)
    free(book.far_bid.lots)
    free(book.far_ask.ticks)
    free(book.far_ask.lots)
    memset(book, 0, sizeof(Book))


cdef void clear_side(int64_t* lots, uint64_t* bits, int64_t words) noexcept nogil:
    cdef int64_t word
    for word in range(words):
        while bits[word]:
            lots[(word << 6) + low_bit(bits[word])] = 0
            bits[word] &= bits[word] - 1


cdef void book_clear(Book* book) noexcept nogil:
    """Empty the book; only what is occupied is touched."""
    clear_side(book.bid_lots, book.bid_bits, (book.hi - book.lo) >> 6)
    clear_side(book.ask_lots, book.ask_bits, (book.hi - book.lo) >> 6)
    book.best_bid = 0
    book.best_ask = 0
    book.far_bid.used = 0
    book.far_ask.used = 0


cdef int64_t next_bid(const Book* book, int64_t index) noexcept nogil:
    """Return the highest occupied tick below window entry *index*, 0 where none is."""
    cdef int64_t word = index >> 6
    cdef uint64_t bits = book.bid_bits[word] & ((<uint64_t> 1 << (index & 63)) - 1)
    while not bits:
        word -= 1
        if word < 0:
            return far_best(&book.far_bid, 1)
        bits = book.bid_bits[word]
    return book.lo + (word << 6) + high_bit(bits)


cdef int64_t next_ask(const Book* book, int64_t index) noexcept nogil:
    """Return the lowest occupied tick above window entry *index*, 0 where none is."""
    cdef int64_t word = index >> 6
    cdef int64_t words = (book.hi - book.lo) >> 6
    cdef uint64_t bits = book.ask_bits[word] & ~((<uint64_t> 2 << (index & 63)) - 1)
    while not bits:
        word += 1
        if word >= words:
            return far_best(&book.far_ask, -1)
        bits = book.ask_bits[word]
    return book.lo + (word << 6) + low_bit(bits)


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


cdef int far_put(Far* far, int64_t ticks, int64_t lots) except -1 nogil:
    cdef int64_t i = far_find(far, ticks)
    cdef int64_t size
    if lots == 0:
        if i >= 0:
            far.used -= 1
            far.ticks[i] = far.ticks[far.used]
            far.lots[i] = far.lots[far.used]
        return 0
    if i < 0:
        if far.used == far.size:
            size = 2 * far.size + 64
            far.ticks = <int64_t*> realloc(far.ticks, size * sizeof(int64_t))
            far.lots = <int64_t*> realloc(far.lots, size * sizeof(int64_t))
            if not (far.ticks and far.lots):
                with gil:
                    raise MemoryError(f"no memory for {size} levels outside the window")
            far.size = size
        i = far.used
        far.used += 1
        far.ticks[i] = ticks
    far.lots[i] = lots
    return 0


cdef int book_set_far(Book* book, int side, int64_t ticks, int64_t lots) except -1 nogil:
    """Set a level outside the window; where it is the best price, the window moves to it."""
    cdef Far* far = &book.far_bid if side > 0 else &book.far_ask
    cdef int64_t best = book.best_bid if side > 0 else book.best_ask
    cdef int64_t half
    far_put(far, ticks, lots)
    if lots and (best == 0 or side * (ticks - best) > 0):
        half = (book.hi - book.lo) >> 1
        book_move(book, max(ticks - half, 0), max(ticks - half, 0) + 2 * half)
    elif not lots and ticks == best:  # the side had no level inside the window
        best = far_best(far, side)
        if side > 0:
            book.best_bid = best
        else:
            book.best_ask = best
    return 0


cdef int move_side(const Book* old, Book* book, int side) except -1 nogil:
    """Set every level of one side of *old* in *book*."""
    cdef const int64_t* lots = old.bid_lots if side > 0 else old.ask_lots
    cdef const uint64_t* occupied = old.bid_bits if side > 0 else old.ask_bits
    cdef const Far* far = &old.far_bid if side > 0 else &old.far_ask
    cdef Far* out = &book.far_bid if side > 0 else &book.far_ask
    cdef int64_t word, index, ticks
    cdef uint64_t bits
    for word in range((old.hi - old.lo) >> 6):
        bits = occupied[word]
        while bits:
            index = (word << 6) + low_bit(bits)
            bits &= bits - 1
            ticks = old.lo + index
            if book.lo <= ticks < book.hi:
                book_set(book, side, ticks, lots[index])
            else:
                far_put(out, ticks, lots[index])
    for index in range(far.used):
        ticks = far.ticks[index]
        if book.lo <= ticks < book.hi:
            book_set(book, side, ticks, far.lots[index])
        else:
            far_put(out, ticks, far.lots[index])
    if side > 0 and book.best_bid == 0:
        book.best_bid = far_best(out, 1)
    elif side < 0 and book.best_ask == 0:
        book.best_ask = far_best(out, -1)
    return 0


cdef int book_move(Book* book, int64_t lo, int64_t hi) except -1 nogil:
    """Move the window to ``lo <= ticks < hi``; every level stays in the book."""
    cdef Book moved
    book_open(&moved, lo, hi)
    move_side(book, &moved, 1)
    move_side(book, &moved, -1)
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


cdef int book_load(Book* book, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows) except -1 nogil:
    """Replace the whole book by the levels of a snapshot or keyframe."""
    cdef int64_t row
    book_clear(book)
    for row in range(rows):
        book_set(book, side[row], ticks[row], lots[row])
    return 0


cdef void window_for(const int64_t* ticks, int64_t rows, int64_t* lo, int64_t* hi) noexcept nogil:
    """Choose a window that holds every price of *rows*, or the most that fits around the middle row's."""
    cdef int64_t row, low = 0, high = 0, middle
    if rows:
        low = high = ticks[0]
    for row in range(rows):
        if ticks[row] < low:
            low = ticks[row]
        elif ticks[row] > high:
            high = ticks[row]
    if high - low >= MAX_WINDOW:
        middle = ticks[rows // 2]
        low = max(low, middle - MAX_WINDOW // 2)
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

    def set(self, int side, int64_t ticks, int64_t lots) -> None:
        """Make *lots* the displayed quantity at *ticks*; 0 removes the level."""
        book_set(&self.book, side, ticks, lots)

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
            occupied = self.book.bid_bits if side > 0 else self.book.ask_bits
            lots = self.book.bid_lots if side > 0 else self.book.ask_lots
            for i in range(self.book.hi - self.book.lo):
                assert lots[i] >= 0 and ((occupied[i >> 6] >> (i & 63)) & 1) == (lots[i] != 0), (side, i)


def replay_tops(
    const uint8_t[::1] kind,
    const int64_t[::1] first_row,
    const int8_t[::1] row_side,
    const int64_t[::1] row_ticks,
    const int64_t[::1] row_lots,
    const uint8_t[::1] keyframe_after,
):
    """Play the book of a tape's events once.

    Args:
        kind: Kinds of the events; KEYFRAME events are passed over.
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
            if kind[event] == DEPTH:
                for row in range(first_row[event], first_row[event + 1]):
                    book_set(&book, row_side[row], row_ticks[row], row_lots[row])
            elif kind[event] == SNAPSHOT:
                book_clear(&book)
                for row in range(first_row[event], first_row[event + 1]):
                    book_set(&book, row_side[row], row_ticks[row], row_lots[row])
                valid = True
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
    sides, ticks, lots = [], [], []
    cdef int64_t at = book.best_bid
    while at:
        sides.append(1)
        ticks.append(at)
        lots.append(book_lots_at(book, 1, at))
        at = next_level(book, 1, at)
    at = book.best_ask
    while at:
        sides.append(-1)
        ticks.append(at)
        lots.append(book_lots_at(book, -1, at))
        at = next_level(book, -1, at)
    return np.array(sides, np.int8), np.array(ticks, np.int64), np.array(lots, np.int64)


cdef int64_t next_level(const Book* book, int side, int64_t ticks) noexcept nogil:
    """Return the next occupied price behind *ticks*, window first, then the map; 0 at the end."""
    cdef const Far* far = &book.far_bid if side > 0 else &book.far_ask
    cdef int64_t i, found = 0
    if book.lo <= ticks < book.hi:
        found = next_bid(book, ticks - book.lo) if side > 0 else next_ask(book, ticks - book.lo)
        if found and book.lo <= found < book.hi:
            return found
    found = 0
    for i in range(far.used):
        if side * (ticks - far.ticks[i]) > 0 and (found == 0 or side * (far.ticks[i] - found) > 0):
            found = far.ticks[i]
    return found
