# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A set of signals of one market, with its own book; calls the signals in the order of receipt.

Backtests, live markets and columns over a tape all use ``SignalSet.take``, one event at a time.
"""

from cpython.ref cimport PyObject
from libc.math cimport NAN, isnan
from libc.stdint cimport int8_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, realloc

import numpy as np
from numpy.typing import NDArray

from mm.signals._nearest cimport MOST_LEVELS, Nearest, nearest_fill, nearest_put
from mm.signals.base cimport CANCEL_LEVELS, Signal
from mm.tape._book cimport MARGIN_TICKS, book_apply, book_clear, book_close, book_lots_at, book_move, book_open
from mm.tape._kinds cimport DEPTH, GAP, KEYFRAME, TRADE

from typing import TYPE_CHECKING

from mm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mm.tape.tape import Tape


cdef class SignalSet:
    """Signals by name, with the state of their market.

    A row has the values after a diff (a DEPTH event); a snapshot begins a book without a row, and a gap ends it. A
    snapshot of a book that has not ended replaces it, without resetting the signals.

    Args:
        named: Pairs of a name and a signal.

    Attributes:
        names: Names of the signals, in the given order.
        signals: The signals, in the given order.
        row_us: Timestamp of the last row, µs.
        row_seq: ``recv_seq`` of the last row; -1 before the first.
        rows: Number of rows so far.
    """

    def __init__(self, named: Sequence[tuple[str, Signal]]) -> None:
        cdef Signal signal
        self.names = tuple(name for name, _ in named)
        self.signals = tuple(signal for _, signal in named)
        self.all_signals = tuple(dict.fromkeys(one for each in self.signals for one in (*each.sources, each)))
        self.count, self.called, self.row_seq = len(self.names), len(self.all_signals), -1
        self.each = <PyObject**> calloc(self.called + 1, sizeof(PyObject*))
        self.shown = <PyObject**> calloc(self.count + 1, sizeof(PyObject*))
        self.values = <double*> calloc(self.count + 1, sizeof(double))
        if self.each is NULL or self.shown is NULL or self.values is NULL:
            raise MemoryError("no memory for the signals")
        for place, signal in enumerate(self.signals):
            self.shown[place], self.values[place] = <PyObject*> signal, NAN
        for place, signal in enumerate(self.all_signals):
            self.each[place] = <PyObject*> signal
            self.levels = max(self.levels, signal.levels)
            self.compares |= signal.compares
            self.cancels |= signal.cancels
            self.interpreted |= signal.interpreted
        if self.cancels:
            self.levels = max(self.levels, CANCEL_LEVELS)
        if self.levels > MOST_LEVELS:
            raise UsageError(f"a signal reads {self.levels} levels of the book; the maximum is {MOST_LEVELS}")
        self.now.bids.side, self.now.asks.side = 1, -1
        self.now.book = &self.book
        book_open(&self.book, 0, 1)
        self.opened = True

    def __dealloc__(self) -> None:
        if self.opened:
            book_close(&self.book)
        free(self.each)
        free(self.shown)
        free(self.values)
        free(self.taken)

    # ------------------------------------------------------------------ one event

    cdef int take(
        self, int kind, int64_t us, int64_t seq,
        const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows,
    ) except -1 nogil:
        """Process an event of the market; a DEPTH event adds a row if the book is valid."""
        cdef int place
        self.now.us = us
        if kind == DEPTH:
            if self.valid:
                self.take_diff(side, ticks, lots, rows)
                self.row_us, self.row_seq = us, seq
                self.rows += 1
                for place in range(self.count):
                    self.values[place] = (<Signal> self.shown[place]).value
        elif kind == TRADE:
            if self.valid:
                self.take_print(side[0], ticks[0], lots[0])
        elif kind == GAP:
            self.valid = False
        elif kind != KEYFRAME or not self.valid:
            self.take_book(side, ticks, lots, rows)
        return 0

    cdef int take_book(
        self, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows
    ) except -1 nogil:
        """Process a full snapshot of the book; one that refreshes a valid book does not reset the signals."""
        cdef bint was_valid = self.valid, had_both = self.now.both
        book_clear(&self.book)
        if rows:
            book_apply(&self.book, side, ticks, lots, rows)
        self.centre()
        self.valid = True
        self.taken_count = 0
        self.now.bids.count = self.now.asks.count = 0
        if self.levels:
            nearest_fill(&self.now.bids, &self.book)
            nearest_fill(&self.now.asks, &self.book)
        self.look()
        if was_valid and (had_both or not self.now.both):
            return 0
        if not was_valid:
            self.now.epoch_us = self.now.us
        self.now.path_us, self.shown_mid2, self.now.fresh = self.now.us, self.now.mid2, False
        return self.begin(not was_valid)

    cdef int take_diff(
        self, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows
    ) except -1 nogil:
        """Apply a diff to the book, and update the signals."""
        cdef Now* now = &self.now
        cdef bint had_both = now.both
        cdef int64_t row
        cdef int place
        now.before_bid_ticks, now.before_ask_ticks = now.bid_ticks, now.ask_ticks
        now.before_bid_lots, now.before_ask_lots = now.bid_lots, now.ask_lots
        if self.compares:
            now.before_bids, now.before_asks = now.bids, now.asks
        if self.cancels:
            now.cancelled_lots = self.cancelled(side, ticks, lots, rows)
            self.taken_count = 0
        if rows:
            book_apply(&self.book, side, ticks, lots, rows)
        if self.levels:
            for row in range(rows):
                nearest_put(&now.bids if side[row] > 0 else &now.asks, ticks[row], lots[row])
            if now.bids.count < self.levels and not now.bids.whole:
                nearest_fill(&now.bids, &self.book)
            if now.asks.count < self.levels and not now.asks.whole:
                nearest_fill(&now.asks, &self.book)
        self.look()
        now.fresh = now.both and not had_both
        now.moved2 = now.mid2 - self.shown_mid2 if now.both and had_both else 0
        self.shown_mid2 = now.mid2
        if now.fresh:
            now.path_us = now.us
            self.begin(False)
        for place in range(self.called):
            show_book(<Signal> self.each[place], now)
        return 0

    cdef int take_print(self, int64_t side, int64_t ticks, int64_t lots) except -1 nogil:
        """Update the signals with a print."""
        cdef int place
        if self.cancels:
            if self.taken_count == self.taken_room:
                self.taken_room = 2 * self.taken_room + 64
                self.taken = <Taken*> realloc(self.taken, self.taken_room * sizeof(Taken))
                if self.taken is NULL:
                    with gil:
                        raise MemoryError(f"no memory for {self.taken_room} prints")
            self.taken[self.taken_count].side, self.taken[self.taken_count].ticks = -side, ticks
            self.taken[self.taken_count].lots = lots
            self.taken_count += 1
        self.now.trade_side, self.now.trade_ticks, self.now.trade_lots = side, ticks, lots
        for place in range(self.called):
            (<Signal> self.each[place]).on_trade(&self.now)
        return 0

    cdef int64_t cancelled(
        self, const int8_t* side, const int64_t* ticks, const int64_t* lots, int64_t rows
    ) noexcept nogil:
        """Return the lots removed from the best levels by a diff, less those traded there since the last diff."""
        cdef int64_t total = 0, gone, row, i, bid = 0, ask = (<int64_t> 1 << 62)
        if self.now.bids.count >= CANCEL_LEVELS:
            bid = self.now.bids.ticks[CANCEL_LEVELS - 1]
        if self.now.asks.count >= CANCEL_LEVELS:
            ask = self.now.asks.ticks[CANCEL_LEVELS - 1]
        for row in range(rows):
            if ticks[row] < bid if side[row] > 0 else ticks[row] > ask:
                continue
            gone = book_lots_at(&self.book, side[row], ticks[row]) - lots[row]
            if gone <= 0:
                continue
            for i in range(self.taken_count):
                if self.taken[i].ticks == ticks[row] and self.taken[i].side == side[row]:
                    gone -= self.taken[i].lots
            total += max(gone, 0)
        return total

    cdef void look(self) noexcept nogil:
        """Update best prices, lots and mid from the book."""
        cdef Now* now = &self.now
        cdef int64_t bid = self.book.best_bid, ask = self.book.best_ask
        now.bid_ticks, now.ask_ticks = bid, ask
        now.bid_lots = book_lots_at(&self.book, 1, bid) if bid else 0
        now.ask_lots = book_lots_at(&self.book, -1, ask) if ask else 0
        now.both = bid > 0 and ask > 0
        now.mid2 = bid + ask if now.both else 0

    cdef int begin(self, bint all_signals) except -1 nogil:
        """Reset signals: all of them, or those that need both sides of the book."""
        cdef int place
        for place in range(self.called):
            begin_one(<Signal> self.each[place], &self.now, all_signals)
        return 0

    cdef int centre(self) except -1 nogil:
        """Move the dense range of the book to its best prices, if needed."""
        cdef Book* book = &self.book
        cdef int64_t low = book.best_bid or book.best_ask, high = book.best_ask or book.best_bid
        if low and not (book.lo <= low and high < book.hi and book.hi - book.lo >= MARGIN_TICKS):
            book_move(book, max(low - MARGIN_TICKS, 0), high + MARGIN_TICKS)
        return 0

    # ------------------------------------------------------------------ from Python

    def feed(self, event: Sequence[object]) -> dict[str, float | None] | None:
        """Process one event: kind, timestamp in µs, recv_seq, id, and its rows of side, ticks and lots.

        Returns:
            For a diff the row: the value of each signal, None if undefined; for other events None.
        """
        cdef int64_t us, seq, before = self.rows
        cdef int kind
        cdef const int8_t[::1] side
        cdef const int64_t[::1] ticks, lots
        kind, us, seq, _, rows = event
        table = np.array(rows, np.int64).reshape(-1, 3)
        side = np.ascontiguousarray(table[:, 0], np.int8)
        ticks, lots = np.ascontiguousarray(table[:, 1]), np.ascontiguousarray(table[:, 2])
        if len(table):
            self.take(kind, us, seq, &side[0], &ticks[0], &lots[0], len(table))
        else:
            self.take(kind, us, seq, NULL, NULL, NULL, 0)
        return None if self.rows == before else self.last()

    def last(self) -> dict[str, float | None]:
        """Return the last row, in the format of `feed`."""
        cdef int place
        return {
            name: None if isnan(self.values[place]) else self.values[place] for place, name in enumerate(self.names)
        }

    def run(self, tape: Tape, first: int, when: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[int, int]:
        """Process events of a tape, until its end or until there is no room for another row.

        Args:
            tape: The tape, which has passed ``Tape.check``.
            first: Index of the first event.
            when: Receives timestamp and recv_seq of each row, int64[room, 2].
            values: Receives the values of each row, float64[signals, room].

        Returns:
            The index of the next event, and the number of rows.
        """
        cdef const int64_t[::1] event_us = tape.event_us, recv_seq = tape.recv_seq, first_row = tape.first_row
        cdef const uint8_t[::1] kind = tape.kind
        cdef const int8_t[::1] side = tape.row_side
        cdef const int64_t[::1] ticks = tape.row_ticks, lots = tape.row_lots
        cdef const int8_t* sides = &side[0] if side.shape[0] else NULL
        cdef const int64_t* prices = &ticks[0] if side.shape[0] else NULL
        cdef const int64_t* quantities = &lots[0] if side.shape[0] else NULL
        cdef int64_t[:, ::1] instants = when
        cdef double[:, ::1] table = values
        cdef int64_t event = first, events = kind.shape[0], room = instants.shape[0], row, used = 0, before
        cdef int place
        if table.shape[0] != self.count or table.shape[1] < room:
            raise ValueError(f"values has the shape ({table.shape[0]}, {table.shape[1]}), not ({self.count}, {room})")
        with nogil:
            while event < events and used < room:
                row, before = first_row[event], self.rows
                self.take(
                    kind[event], event_us[event], recv_seq[event],
                    sides + row, prices + row, quantities + row, first_row[event + 1] - row,
                )
                if self.rows != before:
                    instants[used, 0], instants[used, 1] = self.row_us, self.row_seq
                    for place in range(self.count):
                        table[place, used] = self.values[place]
                    used += 1
                event += 1
        return event, used


cdef inline int show_book(Signal signal, const Now* now) except -1 nogil:
    """Update a signal with a diff, unless a side that it needs is empty."""
    if now.both or signal.one_sided:
        return signal.on_book(now)
    signal.value = NAN
    return 0


cdef inline int begin_one(Signal signal, const Now* now, bint always) except -1 nogil:
    """Reset a signal, *always* or if it needs both sides."""
    if not always and signal.one_sided:
        return 0
    signal.value = NAN
    return signal.begin(now)
