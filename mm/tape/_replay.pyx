# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Replays the book of a day, for the path of its best prices and for complete books."""

from libc.stdint cimport int8_t, int64_t, uint8_t

import numpy as np
from numpy.typing import NDArray

from mm.tape._book cimport (
    MAX_WINDOW, Book, Far, book_apply, book_clear, book_close, book_lots_at, book_move, book_open, in_range, window_for,
)
from mm.tape._kinds cimport DEPTH, GAP, SNAPSHOT, TRADE

Rows = tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]  # side, ticks, lots


cdef class TopPath:
    """Appends to the path of best prices: one row whenever bid, ask or the lots at either change."""

    cdef int64_t[:, ::1] rows
    cdef int64_t used
    cdef bint begun
    cdef int64_t bid, ask, bid_lots, ask_lots  # of the last row, even after `take`

    def __cinit__(self) -> None:
        self.rows = np.empty((1 << 16, 5), np.int64)

    cdef int put(self, int64_t event, const Book* book) except -1 nogil:
        """Append the top of book after *event*, unless it is unchanged."""
        cdef int64_t bid = book.best_bid, ask = book.best_ask
        cdef int64_t bid_lots = book_lots_at(book, 1, bid) if bid else 0
        cdef int64_t ask_lots = book_lots_at(book, -1, ask) if ask else 0
        cdef int64_t* row
        if (
            self.begun
            and self.bid == bid
            and self.ask == ask
            and self.bid_lots == bid_lots
            and self.ask_lots == ask_lots
        ):
            return 0
        self.begun = True
        self.bid, self.ask, self.bid_lots, self.ask_lots = bid, ask, bid_lots, ask_lots
        if self.used == self.rows.shape[0]:
            with gil:
                grown = np.empty((2 * self.used, 5), np.int64)
                grown[: self.used] = self.rows
                self.rows = grown
        row = &self.rows[self.used, 0]
        row[0], row[1], row[2], row[3], row[4] = event, bid, ask, bid_lots, ask_lots
        self.used += 1
        return 0

    cdef object take(self):
        """Return the rows since the last call."""
        taken = np.asarray(self.rows)[: self.used].copy()
        self.used = 0
        return taken


cdef class TapeReplay:
    """Replays the book of a day once, one window of events after the other.

    A snapshot begins the book, a gap ends it; trades and keyframes are skipped. An event that leaves the book crossed
    or locked ends it, too: further events up to the next snapshot are left out, except trades.

    Attributes:
        crossed: The events that leave the book crossed, counted from the first replayed event.
        frames: For each requested keyframe with a valid book, the event and the complete book after it.
    """

    cdef readonly list crossed  # type: list[int]
    cdef readonly list frames  # type: list[tuple[int, Rows]]
    cdef Book book
    cdef TopPath path
    cdef bint valid, void
    cdef int64_t played

    def __cinit__(self) -> None:
        book_open(&self.book, 0, 1)
        self.path = TopPath()
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
        """Replay the next events.

        Args:
            kind: uint8[n], their kinds.
            first_row: int64[n+1], the first row of each, and the end of the rows of the last one.
            rows: The rows: side, ticks and lots.
            keyframe_after: uint8[n], 1 to request the complete book after that event.
            kept: uint8[n], set to 0 for the events that are left out.

        Returns:
            int64[t, 5] of (event, bid, ask, bid lots, ask lots) at every change; all zeros at the end of a book.
        """
        cdef const int8_t[::1] side = rows[0]
        cdef const int64_t[::1] ticks = rows[1], lots = rows[2]
        cdef int64_t event, row, count = kind.shape[0]
        if ticks.shape[0]:
            self.widen(&ticks[0], ticks.shape[0])
        with nogil:  # another thread orders the next window meanwhile (`mm.tape.build`)
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
                    self.path.put(self.played + event, &self.book)
                if keyframe_after[event] and self.valid:
                    with gil:
                        self.frames.append((self.played + event, whole(&self.book)))
        self.played += count
        return self.path.take()

    cdef int widen(self, const int64_t* ticks, int64_t rows) except -1:
        """Extend the window to the prices of *rows* and all levels, unless it would be too large."""
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
    cdef const int64_t* lots = (book.bid_lots if side > 0 else book.ask_lots) - book.lo
    cdef int64_t[::1] ticks, level_lots
    cdef int64_t count = 0, room = max(last - first + 1, 0) if side > 0 or book.best_ask else 0
    columns = np.empty(room + far.used, np.int64), np.empty(room + far.used, np.int64)  # unwritten pages cost no memory
    if room:
        ticks, level_lots = columns
        count = levels_between(lots, first, last, &ticks[0], &level_lots[0])
    columns = columns[0][: count + far.used], columns[1][: count + far.used]
    columns[0][count:] = [far.ticks[i] for i in range(far.used)]
    columns[1][count:] = [far.lots[i] for i in range(far.used)]
    order = np.argsort(-side * columns[0], kind="stable")
    return columns[0][order], columns[1][order]


cdef int64_t levels_between(
    const int64_t* lots, int64_t first, int64_t last, int64_t* ticks, int64_t* level_lots
) noexcept nogil:
    """Write the levels at ``first <= price <= last`` of *lots*, indexed by price, and return their number."""
    cdef int64_t at = first, stop, count = 0
    while at <= last:
        # A deep book has one level per few hundred prices: one comparison skips eight empty ones.
        if at + 7 <= last and not (
            lots[at] | lots[at + 1] | lots[at + 2] | lots[at + 3]
            | lots[at + 4] | lots[at + 5] | lots[at + 6] | lots[at + 7]
        ):
            at += 8
            continue
        stop = min(at + 8, last + 1)
        while at < stop:
            if lots[at]:
                ticks[count], level_lots[count] = at, lots[at]
                count += 1
            at += 1
    return count
