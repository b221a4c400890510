# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, auto_pickle=False
"""Signals (hooks that set a value), predictions and users' signals, and a set of them with its own book.

Backtests, live markets and columns over a tape all use ``SignalSet.take``, one event at a time.
"""

from cpython.ref cimport PyObject
from libc.math cimport NAN, isinf, isnan
from libc.stdint cimport int8_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc, realloc

import numpy as np
from numpy.typing import NDArray

from mm.base._calls cimport begin_call, end_call
from mm.signals.predictor cimport Predictor
from mm.tape._book cimport (
    MARGIN_TICKS, book_after, book_apply, book_clear, book_close, book_lots_at, book_move, book_open,
)
from mm.tape._kinds cimport DEPTH, GAP, KEYFRAME, TRADE
from mm.tape._lots cimport lots_shown

from typing import TYPE_CHECKING

from mm.errors import ModelError, UsageError
from mm.base.user_code import CallStopped, place_of_code, placed, raised, require_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mm.tape.tape import Tape


cdef class Signal:
    """Base class of signals: override ``begin``, ``on_trade`` and ``on_book``, and set ``value``.

    A set of signals calls these hooks in the order of receipt. ``on_book`` is called once for each diff; the value that
    it sets (NaN if undefined) is the value of that row. ``begin`` resets the state; it is called at each snapshot and,
    unless the signal is ``one_sided``, when an empty side of the book has levels again. While the book has no bids or
    no asks, a signal is undefined and its ``on_book`` is not called, unless it is ``one_sided``.

    Attributes:
        sources: Signals whose values this signal reads; a set calls them first.
    """

    def __cinit__(self, *_args, **_kwargs) -> None:
        self.value = NAN
        self.sources = ()

    cdef int begin(self, const Now* now) except -1 nogil:
        return 0

    cdef int on_trade(self, const Now* now) except -1 nogil:
        return 0

    cdef int on_book(self, const Now* now) except -1 nogil:
        return 0


cdef class Prediction(Signal):
    """Prediction of a fitted predictor at each diff; undefined while one of its input signals is undefined.

    Args:
        predictor: Its compiled kernels, not shared with other signals.
        distance_ticks: The last input of a predictor that takes a distance; None for others.
    """

    cdef Predictor predictor
    cdef int head, count
    cdef PyObject** each            # borrowed from *sources*
    cdef double* row

    def __init__(
        self, predictor: Predictor, head: int, sources: Sequence[Signal], distance_ticks: float | None = None
    ) -> None:
        cdef int i
        self.predictor, self.head, self.sources, self.count = predictor, head, tuple(sources), len(sources)
        if self.count + (distance_ticks is not None) != predictor.inputs or not 0 <= head < len(predictor.heads):
            raise ValueError(f"{self.count} signals and kernel {head}, for a predictor of {predictor.inputs} inputs")
        self.each = <PyObject**> malloc(self.count * sizeof(PyObject*))
        self.row = <double*> malloc(predictor.inputs * sizeof(double))
        if self.each is NULL or self.row is NULL:
            raise MemoryError("no memory for a prediction")
        for i, source in enumerate(self.sources):
            self.each[i] = <PyObject*> source
        if distance_ticks is not None:
            self.row[self.count] = distance_ticks

    def __dealloc__(self) -> None:
        free(self.each)
        free(self.row)

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef int i
        for i in range(self.count):
            self.row[i] = (<Signal> self.each[i]).value
        self.value = self.predictor.compute(self.row, 0.5 * <double> now.mid2, self.head)
        return 0


cdef class SignalBook:
    """The book passed to a signal, valid during the call only. Prices are ticks, quantities order steps."""

    cdef const Now* now
    cdef int levels

    cdef const Now* current(self) except NULL:
        if self.now is NULL:
            raise ReferenceError("the book of a signal was used after its call; copy the numbers you want to keep")
        return self.now

    @property
    def us(self) -> int:
        """Timestamp of the event, µs UTC."""
        return self.current().us

    @property
    def bid_ticks(self) -> int | None:
        """Best bid; None without bids."""
        return self.current().bid_ticks or None

    @property
    def ask_ticks(self) -> int | None:
        """Best ask; None without asks."""
        return self.current().ask_ticks or None

    @property
    def bid_lots(self) -> float:
        """Lots at the best bid."""
        return lots_shown(self.current().bid_lots, self.now.step_lots)

    @property
    def ask_lots(self) -> float:
        """Lots at the best ask."""
        return lots_shown(self.current().ask_lots, self.now.step_lots)

    def bids(self) -> list[tuple[int, float]]:
        """Return ticks and lots of the best bids, the best first, up to the number in the signal's ``levels``."""
        return self.side(&self.current().bids, self.now.bid_ticks, self.now.bid_lots)

    def asks(self) -> list[tuple[int, float]]:
        """Return ticks and lots of the best asks, the best first, up to the number in the signal's ``levels``."""
        return self.side(&self.current().asks, self.now.ask_ticks, self.now.ask_lots)

    cdef list side(self, const Nearest* side, int64_t ticks, int64_t lots):
        cdef int64_t place, step = self.now.step_lots
        if self.levels > 1:
            return [(side.ticks[place], lots_shown(side.lots[place], step)) for place in range(min(self.levels, side.count))]
        return [(ticks, lots_shown(lots, step))] if ticks else []


cdef class OwnSignal(Signal):
    """A signal computed by an object in Python.

    Args:
        model: Has ``on_book(book)``, which returns a number or None; it may have ``on_trade(book, side, ticks, lots)``
            for prints (side +1: aggressive buyer), and ``begin(book)``, called when earlier data are no longer valid.
            Optional attributes: ``levels``, 1 to 20, and ``one_sided``, whether it is called without bids or asks.

    Raises:
        UsageError: If it has no ``on_book``, or its ``levels`` are out of range.
    """

    cdef object model, book_hook, trade_hook, begin_hook
    cdef SignalBook book

    def __init__(self, model: object) -> None:
        cdef int levels = getattr(model, "levels", 1)
        self.model, self.book_hook = model, getattr(model, "on_book", None)
        if not callable(self.book_hook):
            raise UsageError(f"signal {type(model).__name__} has no method on_book(book)")
        if not 1 <= levels <= MOST_LEVELS:
            raise UsageError(f"signal {type(model).__name__}: levels is {levels}; 1 to {MOST_LEVELS} are allowed")
        self.trade_hook, self.begin_hook = getattr(model, "on_trade", None), getattr(model, "begin", None)
        for hook in ("on_book", "on_trade", "begin"):
            require_plain(getattr(model, hook, None), f"{type(model).__name__}.{hook}")
        self.levels, self.one_sided = levels if levels > 1 else 0, bool(getattr(model, "one_sided", False))
        self.interpreted = True
        self.book = SignalBook()
        self.book.levels = levels

    cdef int begin(self, const Now* now) except -1 nogil:
        with gil:
            if self.begin_hook is not None:
                self.call(now, "begin", self.begin_hook, ())
        return 0

    cdef int on_trade(self, const Now* now) except -1 nogil:
        with gil:
            if self.trade_hook is not None:
                self.call(now, "on_trade", self.trade_hook, (now.trade_side, now.trade_ticks, lots_shown(now.trade_lots, now.step_lots)))
        return 0

    cdef int on_book(self, const Now* now) except -1 nogil:
        with gil:
            answer = self.call(now, "on_book", self.book_hook, ())
            if answer is None:
                self.value = NAN
                return 0
            try:
                self.value = <double> answer
                fits = not isinf(self.value)  # None is what is undefined; an infinite number is a mistake of the signal
            except (TypeError, OverflowError):
                fits = False
            if not fits:
                raise ModelError(
                    f"{type(self.model).__name__}.on_book returned {answer!r}; a signal is a finite number or None",
                    place_of_code(self.book_hook),
                ) from None
        return 0

    cdef object call(self, const Now* now, str hook, object method, tuple more):
        """An error in the hook becomes a ModelError with the hook's name."""
        self.book.now = now
        cdef bytes name = hook.encode()
        before = begin_call(self.model, name)
        try:
            return method(self.book, *more)
        except ModelError as error:
            raise placed(error, method) from error.__cause__
        except CallStopped:
            return None
        except (Exception, SystemExit) as error:
            raise raised(self.model, hook, error) from error
        finally:
            self.book.now = NULL
            end_call(self.model, name, before)


cdef void nearest_fill(Nearest* side, const Book* book) noexcept nogil:
    cdef int64_t ticks
    if side.count:
        ticks = book_after(book, <int> side.side, side.ticks[side.count - 1])
    else:
        ticks = book.best_bid if side.side > 0 else book.best_ask
    while ticks and side.count < KEPT:
        side.ticks[side.count], side.lots[side.count] = ticks, book_lots_at(book, <int> side.side, ticks)
        side.count += 1
        ticks = book_after(book, <int> side.side, ticks)
    side.whole = ticks == 0


cdef void nearest_put(Nearest* side, int64_t ticks, int64_t lots) noexcept nogil:
    """Set the lots displayed at a price, if it is among the stored levels."""
    cdef int64_t place = side.count, i
    cdef int64_t sign = side.side
    if not side.whole and (place == 0 or sign * (side.ticks[place - 1] - ticks) > 0):
        return
    while place and sign * (ticks - side.ticks[place - 1]) >= 0:
        place -= 1
    # The level at index *place*, if any, is not better than the price.
    if place < side.count and side.ticks[place] == ticks:
        if lots:
            side.lots[place] = lots
            return
        side.count -= 1
        for i in range(place, side.count):
            side.ticks[i], side.lots[i] = side.ticks[i + 1], side.lots[i + 1]
        return
    if lots == 0 or place == KEPT:
        if lots:
            side.whole = False
        return
    if side.count == KEPT:
        side.whole = False
    else:
        side.count += 1
    for i in range(side.count - 1, place, -1):
        side.ticks[i], side.lots[i] = side.ticks[i - 1], side.lots[i - 1]
    side.ticks[place], side.lots[place] = ticks, lots


def in_order(signal: Signal) -> list[Signal]:
    """After all that it reads, each after those that it reads itself."""
    return [*(one for source in signal.sources for one in in_order(source)), signal]


cdef class SignalSet:
    """Signals by name, with the state of their market.

    A row has the values after a diff (a DEPTH event); a snapshot begins a book without a row, and a gap ends it. A
    snapshot of a book that has not ended replaces it, without resetting the signals.

    Args:
        named: Pairs of a name and a signal.
        step_lots: Lots of the tape in an order step.

    Attributes:
        row_us: Timestamp of the last row, µs.
        row_seq: ``recv_seq`` of the last row; -1 before the first.
    """

    def __init__(self, named: Sequence[tuple[str, Signal]], step_lots: int = 1) -> None:
        cdef Signal signal
        self.names = tuple(name for name, _ in named)
        self.signals = tuple(signal for _, signal in named)
        self.all_signals = tuple(dict.fromkeys(one for each in self.signals for one in in_order(each)))
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
        self.now.book, self.now.step_lots = &self.book, step_lots
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
        """In the format of `feed`."""
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
    """Unless a side that the signal needs is empty."""
    if now.both or signal.one_sided:
        return signal.on_book(now)
    signal.value = NAN
    return 0


cdef inline int begin_one(Signal signal, const Now* now, bint always) except -1 nogil:
    """*always*, or if it needs both sides."""
    if not always and signal.one_sided:
        return 0
    signal.value = NAN
    return signal.begin(now)
