# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""A book of single orders: commands of a venue become rows of an order log and changes of levels, or a log is checked.

Why compiled: a day has tens of millions of records, and a dictionary in Python takes microseconds for each.
A queue is a list linked in the order of joining, so its first order is known at each execution.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, int8_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

import numpy as np
from numpy.typing import NDArray

from mm.dayfolder.layout import ROW_CANCEL, ROW_EXPIRE, ROW_LEVEL, ROW_REDUCE, ROW_REST, ROW_TRADE

cdef enum:
    WIDTH = 10
    NONE = -1
    NOTHING = 0
    ADD = 1         # a new order
    MODIFY = 2      # price and remaining quantity of an order
    CANCEL = 3      # a quantity leaves an order
    DELETE = 4      # an order leaves
    CLEAR = 5       # all orders of a side (0: of both) leave
    TRADE = 6       # a print, whose executions follow
    FILL = 7        # an execution of an order, whose cancellation follows
    EXECUTE = 8     # an execution of an order
    TOP = 9         # the only level of a side
    SNAPSHOT = 10   # the next order of a whole book
    WHOLE = 11      # its end
    ANONYMOUS = 12  # an execution of nothing displayed
    ANEW = 13       # the orders of a whole book begin

cdef int KIND_TRADE = ROW_TRADE, KIND_LEVEL = ROW_LEVEL, KIND_REST = ROW_REST, KIND_CANCEL = ROW_CANCEL
cdef int KIND_REDUCE = ROW_REDUCE, KIND_EXPIRE = ROW_EXPIRE

OPS = (
    "nothing", "add", "modify", "cancel", "delete", "clear", "trade", "fill", "execute", "top", "snapshot", "whole",
    "anonymous", "anew",
)
"""Names of the commands of `OrderBook.play`, in the order of their codes."""

cdef enum:
    TWICE, UNKNOWN_CANCEL, UNKNOWN_MODIFY, UNKNOWN_FILL, LARGE_CANCEL, LARGE_FILL, OTHER_SIDE, OTHER_PRICE, PROBLEMS

PROBLEM_NAMES = (
    "twice", "unknown_cancel", "unknown_modify", "unknown_fill", "large_cancel", "large_fill", "other_side",
    "other_price",
)

FINDINGS = (
    "", "twice", "order", "unknown", "large", "level", "remaining", "sides",
)

cdef enum:
    OK, FOUND_TWICE, FOUND_ORDER, FOUND_UNKNOWN, FOUND_LARGE, FOUND_LEVEL, FOUND_REMAINING, FOUND_SIDES

cdef struct Entry:
    int64_t key
    int32_t slot

cdef struct Index:
    Entry* entries
    int64_t mask, used

cdef struct Order:
    int64_t number, rank, lots, pending
    int32_t level, before, after

cdef struct Level:
    int64_t ticks, lots, event
    int32_t first, last
    int8_t side

cdef struct Numbers:
    int64_t* at
    int64_t used, room

cdef struct Offer:
    int64_t number, ticks, lots
    int8_t side


cdef inline int64_t home(const Index* index, int64_t key) noexcept nogil:
    cdef uint64_t mixed = <uint64_t> key * <uint64_t> 0x9E3779B97F4A7C15
    return <int64_t> (mixed >> 20) & index.mask


cdef inline int64_t place_of(const Index* index, int64_t key) noexcept nogil:
    cdef int64_t place = home(index, key)
    while index.entries[place].slot != NONE and index.entries[place].key != key:
        place = (place + 1) & index.mask
    return place


cdef inline int32_t find(const Index* index, int64_t key) noexcept nogil:
    return index.entries[place_of(index, key)].slot


cdef int index_open(Index* index, int64_t room) except -1 nogil:
    cdef int64_t place
    index.entries = <Entry*> malloc(room * sizeof(Entry))
    if index.entries is NULL:
        with gil:
            raise MemoryError(f"no memory for an index of {room:,} orders")
    for place in range(room):
        index.entries[place].slot = NONE
    index.mask, index.used = room - 1, 0
    return 0


cdef int put(Index* index, int64_t key, int32_t slot) except -1 nogil:
    cdef Index grown
    cdef int64_t place
    if 2 * (index.used + 1) > index.mask:
        index_open(&grown, 2 * (index.mask + 1))
        for place in range(index.mask + 1):
            if index.entries[place].slot != NONE:
                grown.entries[place_of(&grown, index.entries[place].key)] = index.entries[place]
        grown.used = index.used
        free(index.entries)
        index[0] = grown
    place = place_of(index, key)
    index.entries[place].key, index.entries[place].slot = key, slot
    index.used += 1
    return 0


cdef void drop(Index* index, int64_t key) noexcept nogil:
    """Remove a present *key*, and move later entries of its probe sequence up."""
    cdef int64_t gap = place_of(index, key), place = gap
    index.used -= 1
    while True:
        place = (place + 1) & index.mask
        if index.entries[place].slot == NONE:
            index.entries[gap].slot = NONE
            return
        if ((place - home(index, index.entries[place].key)) & index.mask) >= ((place - gap) & index.mask):
            index.entries[gap] = index.entries[place]
            gap = place


cdef inline int64_t* more(Numbers* numbers, int64_t count) except NULL nogil:
    cdef int64_t* grown
    cdef int64_t room
    if numbers.used + count > numbers.room:
        room = 2 * numbers.room + count + 1024
        grown = <int64_t*> realloc(numbers.at, room * sizeof(int64_t))
        if grown is NULL:
            with gil:
                raise MemoryError(f"no memory for {room:,} numbers of an order log")
        numbers.at, numbers.room = grown, room
    numbers.used += count
    return numbers.at + numbers.used - count


cdef inline int64_t lots_in(const int64_t* levels, int64_t depth, int64_t likely, int64_t ticks) noexcept nogil:
    """Lots of a side of a window at a price, perhaps the level *likely*."""
    cdef int64_t at
    if levels[4 * likely] == ticks and levels[4 * likely + 1]:
        return levels[4 * likely + 1]
    for at in range(depth):
        if levels[4 * at] == ticks and levels[4 * at + 1]:
            return levels[4 * at + 1]
    return 0


cdef inline void sort(int64_t* numbers, int64_t count, int sign) noexcept nogil:
    """Descending for a *sign* of +1, ascending for -1."""
    cdef int64_t at, to, number
    for at in range(1, count):
        number, to = numbers[at], at
        while to and sign * numbers[to - 1] < sign * number:
            numbers[to] = numbers[to - 1]
            to -= 1
        numbers[to] = number


cdef object taken(Numbers* numbers, int width):
    """As an array; the numbers are then forgotten."""
    cdef int64_t count = numbers.used // width, at
    cdef int64_t[::1] view
    array = np.empty(count * width, np.int64)
    view = array
    for at in range(count * width):
        view[at] = numbers.at[at]
    numbers.used = 0
    return array.reshape(count, width)


cdef class OrderBook:
    """All resting orders of one instrument, between two parts of its records.

    Attributes:
        executed, executed_first: Executed lots of displayed orders, and of the first in a queue.
        hidden: Number of executions of nothing displayed.
        corrected: Levels of a window that differed from the orders, unless they came into the window.
    """

    cdef Index orders_at, levels_at
    cdef Order* orders
    cdef Level* levels
    cdef int64_t orders_room, levels_room, levels_used, orders_used, live, events
    cdef int32_t free_order
    cdef Numbers rows, sources, messages, changes, touched
    cdef Offer* offers
    cdef int64_t offers_used, offers_room
    cdef int64_t now, source, next_rank, trade_id, open_lots, open_ticks, open_us
    cdef int8_t open_side
    cdef bint cleared
    cdef int64_t[PROBLEMS] problem_count
    cdef int64_t[PROBLEMS] problem_row
    cdef readonly int64_t executed, executed_first, hidden, corrected
    cdef Numbers window, prices
    cdef const int64_t[::1] kind, order_id, other_id, side, row_ticks, row_lots, update_id
    cdef int64_t unknown
    cdef readonly bint shown

    def __cinit__(self, int64_t first_rank=1):
        self.next_rank, self.free_order, self.events = first_rank, NONE, 1
        index_open(&self.orders_at, 1 << 12)
        index_open(&self.levels_at, 1 << 12)

    def __dealloc__(self):
        free(self.orders_at.entries)
        free(self.levels_at.entries)
        free(self.orders)
        free(self.levels)
        free(self.offers)
        free(self.rows.at)
        free(self.sources.at)
        free(self.messages.at)
        free(self.changes.at)
        free(self.touched.at)
        free(self.window.at)
        free(self.prices.at)

    def play(
        self, const int64_t[::1] us, const int8_t[::1] op, const int64_t[::1] number, const int8_t[::1] side,
        const int64_t[::1] ticks, const int64_t[::1] lots, const int8_t[::1] ends, const int64_t[::1] row,
    ) -> None:
        """Apply commands, one of each index of the arrays.

        Args:
            us: Time.
            op: What happens, one of `OPS`.
            number: The venue's id of the order.
            side: +1 buy, -1 sell: of the order; TRADE and ANONYMOUS: of the aggressor, 0 if unknown.
            ticks: Price, in any unit, above 0.
            lots: Quantity, in any unit.
            ends: Whether the book is whole after the command, and a message of its changes is due.
            row: Row in the file, for `problems`.
        """
        cdef int64_t at
        with nogil:
            for at in range(us.shape[0]):
                self.now, self.source = us[at], at
                self._apply(op[at], number[at], side[at], ticks[at], lots[at], row[at])
                if ends[at]:
                    self._end(op[at] == WHOLE)

    def watch(
        self, const int64_t[::1] us, const int8_t[::1] kind, const int64_t[::1] number, const int8_t[::1] side,
        const int64_t[::1] ticks, const int64_t[::1] lots, const int64_t[:, ::1] book, const int64_t[::1] row,
        int64_t begin, bint halted,
    ) -> tuple[int, bool, bool]:
        """Apply messages of a source that shows single orders, with the levels of a window after each of them.

        The window's excess over the known orders is an order of unknown id, older than later ones; an order that
        leaves the window is forgotten. So the book, and its messages for `take`, have the window's levels.

        Args:
            kind: `NOTHING`, `ADD`, `CANCEL`, `EXECUTE` or `ANONYMOUS`; EXECUTE and ANONYMOUS are prints as well.
            book: Of each level price and quantity of the ask, then of the bid; a quantity of 0 for none.
            begin: The first message; it ends before the next of `CLEAR`.
            halted: Whether there is no book before that message.

        Returns:
            The message before which it ended, whether the market is halted then, and whether that message changes no
            level, and the window has changed.
        """
        cdef int64_t at = begin
        cdef bint wrong = False
        with nogil:
            while at < us.shape[0] and (kind[at] != CLEAR or at == begin):
                self.now, self.source = us[at], at
                if kind[at] == EXECUTE or kind[at] == ANONYMOUS:
                    self._apply(TRADE, 0, <int8_t> -side[at] if kind[at] == EXECUTE else side[at], ticks[at], lots[at], row[at])
                halted = halted and kind[at] != EXECUTE
                if halted:
                    self._close_trade()
                else:
                    wrong = self._watched(kind[at], number[at], side[at], ticks[at], lots[at], &book[at, 0], book.shape[1] // 4, row[at])
                    if wrong:
                        break
                at += 1
        return at, halted, wrong

    def finish(self) -> None:
        """End the last print, whose executions may be of nothing displayed."""
        self._close_trade()

    def take(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return and remove what was made: rows, sources, messages, changes.

        Rows are int64[n, 10] of an order log, whose LEVEL rows have no update id; sources are the index of the command
        of each row, in the call of `play` that made it. Messages are int64[m, 3]: the index of the command, the kind
        (0 changed levels; all levels 1 after a clearing, 2 of a whole book), and the end of its changes; changes are int64[c, 3]: side, ticks, lots.
        """
        rows, sources = taken(&self.rows, WIDTH), taken(&self.sources, 1)
        return rows, sources[:, 0], taken(&self.messages, 3), taken(&self.changes, 3)

    @property
    def problems(self) -> dict[str, tuple[int, int]]:
        """Number and first row of each kind of record that contradicts the book, by its name."""
        return {
            name: (self.problem_count[at], self.problem_row[at])
            for at, name in enumerate(PROBLEM_NAMES) if self.problem_count[at]
        }

    @property
    def trades(self) -> int:
        return self.trade_id

    def resting(self) -> NDArray[np.int64]:
        """Return the resting orders, in the order of their joining: int64[n, 4] of rank, side, ticks and lots."""
        cdef int64_t place, used = 0
        cdef Order* order
        array = np.empty((self.orders_at.used, 4), np.int64)
        cdef int64_t[:, ::1] view = array
        for place in range(self.orders_at.mask + 1):
            if self.orders_at.entries[place].slot == NONE:
                continue
            order = &self.orders[self.orders_at.entries[place].slot]
            if order.lots:
                view[used, 0], view[used, 1] = order.rank, self.levels[order.level].side
                view[used, 2], view[used, 3] = self.levels[order.level].ticks, order.lots
                used += 1
        array = array[:used]
        return array[np.argsort(array[:, 0])]

    def rests(self, const int64_t[::1] number) -> NDArray[np.bool_]:
        """Whether the order of each of the venue's ids is in the book."""
        cdef int64_t at
        found = np.empty(number.shape[0], np.bool_)
        cdef int8_t[::1] view = found.view(np.int8)
        for at in range(number.shape[0]):
            view[at] = find(&self.orders_at, number[at]) != NONE
        return found

    def level(self, int64_t side, int64_t ticks) -> int:
        cdef int32_t at = find(&self.levels_at, 2 * ticks + (side > 0))
        return 0 if at == NONE else self.levels[at].lots

    def first_other(self, levels: list[tuple[int, int, int]]) -> tuple[int, int, int] | None:
        """The first of *levels* (side, ticks, lots) whose lots are others here."""
        cdef int64_t side, ticks, lots
        cdef int32_t at
        for side, ticks, lots in levels:
            at = find(&self.levels_at, 2 * ticks + (side > 0))
            if lots != (0 if at == NONE else self.levels[at].lots):
                return side, ticks, lots
        return None

    def depth(self) -> NDArray[np.int64]:
        """Every level, in any order: int64[n, 3] of side, ticks and lots."""
        self._write_levels()
        return taken(&self.changes, 3)

    # Commands

    cdef int _apply(
        self, int8_t op, int64_t number, int8_t side, int64_t ticks, int64_t lots, int64_t row
    ) except -1 nogil:
        cdef int32_t slot
        if op == ADD:
            self._add(number, side, ticks, lots, row)
        elif op == CANCEL or op == DELETE:
            slot = find(&self.orders_at, number)
            if slot == NONE:
                self._problem(UNKNOWN_CANCEL, row)
            else:
                self._cancel(slot, lots, op == DELETE, row)
        elif op == MODIFY:
            self._modify(number, side, ticks, lots, row)
        elif op == FILL or op == EXECUTE:
            self._fill(number, side, ticks, lots, op == FILL, row)
        elif op == TRADE:
            self._close_trade()
            if lots > 0:
                self.trade_id += 1
                self.open_lots, self.open_ticks, self.open_side, self.open_us = lots, ticks, side, self.now
        elif op == ANONYMOUS:
            self._trade_row(0, side, ticks, lots)
        elif op == CLEAR:
            self._clear(side)
            self.cleared |= side == 0
            self.shown = False
        elif op == TOP:
            self._clear(side)
            if ticks > 0 and lots > 0:
                self._add(-side, side, ticks, lots, row)
        elif op == SNAPSHOT:
            self._offer(number, side, ticks, lots)
        elif op == ANEW:
            self.offers_used = 0
        elif op == WHOLE:
            self._take_offers(row)
        return 0

    cdef int _watched(
        self, int8_t kind, int64_t number, int8_t side, int64_t ticks, int64_t lots, const int64_t* book,
        int64_t depth, int64_t row,
    ) except -1 nogil:
        """Apply a message, then what the window shows; return whether it differs though the message changes nothing."""
        cdef bint first = not self.shown, moves = kind == ADD or kind == CANCEL or kind == EXECUTE
        cdef int64_t before = self.changes.used
        cdef int64_t* out
        if self.window.used != 4 * depth:
            self.window.used = 0
            memset(more(&self.window, 4 * depth), 0, 4 * depth * sizeof(int64_t))
        if kind == ADD:
            self._add(number, side, ticks, lots, row)
        elif moves:
            self._take_shown(kind, number, side, ticks, lots, row)
        self._correct(1, book + 2, depth, first, moves and side > 0, ticks, row)
        self._correct(-1, book, depth, first, moves and side < 0, ticks, row)
        if not first and not moves and (kind == ANONYMOUS or kind == CLEAR) and self.changes.used > before:
            return 1
        memcpy(self.window.at, book, 4 * depth * sizeof(int64_t))
        self.shown = True
        self._close_trade()
        self.touched.used = 0
        self.events += 1
        if first or self.changes.used > before:
            out = more(&self.messages, 3)
            out[0], out[1], out[2] = self.source, first, self.changes.used // 3
        return 0

    cdef int _take_shown(
        self, int8_t kind, int64_t number, int8_t side, int64_t ticks, int64_t lots, int64_t row
    ) except -1 nogil:
        """Remove lots of an order; of an unknown one from the oldest without an id at its price."""
        cdef int32_t slot = find(&self.orders_at, number), at
        if slot == NONE:
            at = find(&self.levels_at, 2 * ticks + (side > 0))
            slot = self.levels[at].first if at != NONE else NONE
            while slot != NONE and self.orders[slot].number >= 0:
                slot = self.orders[slot].after
        if slot != NONE:
            return self._apply(kind, self.orders[slot].number, side, ticks, min(lots, self.orders[slot].lots), row)
        return self._apply(kind, number, side, ticks, lots, row) if kind == EXECUTE else 0

    cdef int _correct(
        self, int8_t side, const int64_t* levels, int64_t depth, bint first, bint moved, int64_t moved_ticks,
        int64_t row,
    ) except -1 nogil:
        """Write a side's changes of the window, and give the orders at those prices, and at a message's, its lots.

        *levels* are the window's now: price and lots of every fourth number.
        """
        cdef const int64_t* old = self.window.at + (2 if side > 0 else 0)
        cdef int64_t at, ticks, lots, last, before
        self.prices.used = 0
        if not first:
            for at in range(depth):
                if old[4 * at + 1] and lots_in(levels, depth, at, old[4 * at]) == 0:
                    self._changed(side, old[4 * at], 0)
        for at in range(depth):
            if levels[4 * at + 1] and (first or lots_in(old, depth, at, levels[4 * at]) != levels[4 * at + 1]):
                self._changed(side, levels[4 * at], levels[4 * at + 1])
        if first:
            for at in range(self.levels_used):
                if self.levels[at].side == side and self.levels[at].lots:
                    more(&self.prices, 1)[0] = self.levels[at].ticks
        if moved:
            more(&self.prices, 1)[0] = moved_ticks
        if not self.prices.used:
            return 0
        sort(self.prices.at, self.prices.used, side)
        for at in range(self.prices.used):
            ticks = self.prices.at[at]
            if at and ticks == last:
                continue
            last = ticks
            lots = lots_in(levels, depth, 0, ticks)
            before = 0 if first else lots_in(old, depth, 0, ticks)
            self._give(side, ticks, lots, before and lots, row)
        return 0

    cdef int _changed(self, int8_t side, int64_t ticks, int64_t lots) except -1 nogil:
        cdef int64_t* out = more(&self.changes, 3)
        out[0], out[1], out[2] = side, ticks, lots
        more(&self.prices, 1)[0] = ticks
        return 0

    cdef int _give(self, int8_t side, int64_t ticks, int64_t lots, bint stayed, int64_t row) except -1 nogil:
        """Make the orders at a price have *lots*: orders without an id join, or leave first, the oldest before others.

        *stayed*: the window shows the price before and after.
        """
        cdef int32_t at = find(&self.levels_at, 2 * ticks + (side > 0)), slot, after
        cdef int64_t missing = lots - (0 if at == NONE else self.levels[at].lots), gone
        cdef bint named
        self.corrected += missing != 0 and stayed
        if missing > 0:
            self.unknown -= 1
            return self._add(self.unknown, side, ticks, missing, row)
        for named in range(2):
            slot = self.levels[at].first if missing < 0 else NONE
            while slot != NONE and missing < 0:
                after = self.orders[slot].after
                if (self.orders[slot].number > 0) == named:
                    gone = min(-missing, self.orders[slot].lots)
                    self._cancel(slot, gone, False, row)
                    missing += gone
                slot = after
        return 0

    cdef int _add(self, int64_t number, int8_t side, int64_t ticks, int64_t lots, int64_t row) except -1 nogil:
        cdef int32_t slot = find(&self.orders_at, number)
        if slot != NONE:
            if self.orders[slot].lots:
                self._problem(TWICE, row)
            self._leave(slot)
        return self._join(number, side, ticks, lots)

    cdef int _modify(self, int64_t number, int8_t side, int64_t ticks, int64_t lots, int64_t row) except -1 nogil:
        cdef int32_t slot = find(&self.orders_at, number)
        cdef Order* order
        if slot == NONE:
            self._problem(UNKNOWN_MODIFY, row)
            return self._join(number, side, ticks, lots) if lots > 0 else 0
        order = &self.orders[slot]
        order.pending = 0
        if order.lots and self.levels[order.level].ticks == ticks and self.levels[order.level].side == side:
            if lots == order.lots:
                return 0
            if 0 < lots < order.lots:
                return self._reduce(slot, order.lots - lots)
        self._leave(slot)
        return self._join(number, side, ticks, lots) if lots > 0 else 0

    cdef int _cancel(self, int32_t slot, int64_t lots, bint whole, int64_t row) except -1 nogil:
        cdef Order* order = &self.orders[slot]
        cdef int64_t known = min(lots, order.pending)
        if whole:
            return self._leave(slot)
        order.pending -= known  # already removed by its execution
        lots -= known
        if lots > order.lots:
            self._problem(LARGE_CANCEL, row)
            lots = order.lots
        if lots and lots < order.lots:
            return self._reduce(slot, lots)
        if lots or (not order.lots and order.pending <= 0):
            return self._leave(slot) if order.pending <= 0 else self._empty(slot)
        return 0

    cdef int _fill(
        self, int64_t number, int8_t side, int64_t ticks, int64_t lots, bint announced, int64_t row
    ) except -1 nogil:
        """Execute *lots* of an order, whose side is *side*; *announced*: its own record still removes them."""
        cdef int32_t slot = find(&self.orders_at, number)
        cdef int64_t displayed = 0
        cdef Order* order
        cdef Level* level
        self.open_lots = max(self.open_lots - lots, 0)
        if slot == NONE or not self.orders[slot].lots:
            self._problem(UNKNOWN_FILL, row)
            return self._trade_row(0, -side, ticks, lots)
        order = &self.orders[slot]
        level = &self.levels[order.level]
        if side and side != level.side:
            self._problem(OTHER_SIDE, row)
        if ticks != level.ticks:
            self._problem(OTHER_PRICE, row)
        displayed = min(lots, order.lots)
        self._count(order, displayed)
        if announced:
            order.pending += lots
        self._trade_row(order.rank, -side if side else -level.side, ticks, displayed)
        self._take_lots(slot, displayed)
        self._level_row(order)
        if lots > displayed:
            self._problem(LARGE_FILL, row)
            self._trade_row(0, -side if side else -level.side, ticks, lots - displayed)
        if not order.lots and not order.pending:
            self._forget(slot)
        return 0

    cdef int _close_trade(self) except -1 nogil:
        cdef int64_t lots = self.open_lots
        self.open_lots = 0
        return self._trade_row(0, self.open_side, self.open_ticks, lots) if lots > 0 else 0

    cdef int _clear(self, int8_t side) except -1 nogil:
        """0: of both sides, in the order of their joining."""
        cdef int64_t at
        cdef int32_t slot
        with gil:
            ranked = self._slots()
        cdef int64_t[::1] slots
        with gil:
            slots = ranked
        for at in range(slots.shape[0]):
            slot = <int32_t> slots[at]
            if side == 0 or self.levels[self.orders[slot].level].side == side:
                self._leave(slot)
        return 0

    cdef object _slots(self):
        cdef int64_t place
        cdef int32_t slot
        found = []
        for place in range(self.orders_at.mask + 1):
            slot = self.orders_at.entries[place].slot
            if slot != NONE:
                found.append((self.orders[slot].rank, slot))
        return np.array([slot for _, slot in sorted(found)], np.int64)

    cdef int _offer(self, int64_t number, int8_t side, int64_t ticks, int64_t lots) except -1 nogil:
        cdef Offer* grown
        if self.offers_used == self.offers_room:
            self.offers_room = 2 * self.offers_room + 1024
            grown = <Offer*> realloc(self.offers, self.offers_room * sizeof(Offer))
            if grown is NULL:
                with gil:
                    raise MemoryError("no memory for the orders of a whole book")
            self.offers = grown
        self.offers[self.offers_used].number, self.offers[self.offers_used].side = number, side
        self.offers[self.offers_used].ticks, self.offers[self.offers_used].lots = ticks, lots
        self.offers_used += 1
        return 0

    cdef int _take_offers(self, int64_t row) except -1 nogil:
        """Replace all orders by a whole book's, unless they are the same."""
        cdef int64_t at, same = 0, count = self.offers_used
        cdef int32_t slot
        cdef Offer* offer
        self.offers_used = 0
        for at in range(count):
            offer = &self.offers[at]
            slot = find(&self.orders_at, offer.number)
            if slot != NONE and self.orders[slot].lots == offer.lots:
                same += (
                    self.levels[self.orders[slot].level].ticks == offer.ticks
                    and self.levels[self.orders[slot].level].side == offer.side
                )
        if same == count == self.live:
            return 0
        self._clear(0)
        for at in range(count):
            offer = &self.offers[at]
            self._add(offer.number, offer.side, offer.ticks, offer.lots, row)
        return 0

    # Messages

    cdef int _end(self, bint whole) except -1 nogil:
        cdef int64_t at
        cdef int64_t* out
        cdef Level* level
        self._close_trade()
        if not (whole or self.cleared or self.touched.used):
            return 0
        if whole or self.cleared:
            self._write_levels()
        else:
            for at in range(self.touched.used):
                level = &self.levels[self.touched.at[at]]
                out = more(&self.changes, 3)
                out[0], out[1], out[2] = level.side, level.ticks, level.lots
        out = more(&self.messages, 3)
        out[0], out[1], out[2] = self.source, (2 if whole else 1 if self.cleared else 0), self.changes.used // 3
        self.touched.used, self.cleared = 0, False
        self.events += 1
        return 0

    cdef int _write_levels(self) except -1 nogil:
        cdef int64_t at
        cdef int64_t* out
        for at in range(self.levels_used):
            if self.levels[at].lots:
                out = more(&self.changes, 3)
                out[0], out[1], out[2] = self.levels[at].side, self.levels[at].ticks, self.levels[at].lots
        return 0

    # Orders and levels

    cdef int _join(self, int64_t number, int8_t side, int64_t ticks, int64_t lots) except -1 nogil:
        """At the end of its queue, with the next rank."""
        cdef int32_t slot = self._enter(number, self.next_rank, side, ticks, lots)
        self._row(KIND_REST, self.next_rank, 0, side, ticks, lots)
        self.next_rank += 1
        return self._level_row(&self.orders[slot])

    cdef int32_t _enter(self, int64_t number, int64_t rank, int8_t side, int64_t ticks, int64_t lots) except -1 nogil:
        cdef int32_t slot = self._new_order(), at = self._level_of(side, ticks)
        cdef Order* order = &self.orders[slot]
        cdef Level* level = &self.levels[at]
        order.number, order.rank, order.lots, order.pending, order.level = number, rank, lots, 0, at
        order.before, order.after = level.last, NONE
        if level.last == NONE:
            level.first = slot
        else:
            self.orders[level.last].after = slot
        level.last = slot
        level.lots += lots
        put(&self.orders_at, number, slot)
        self.live += 1
        return slot

    cdef int _leave(self, int32_t slot) except -1 nogil:
        """With the rows of its cancellation if it has lots."""
        self._empty(slot)
        return self._forget(slot)

    cdef int _empty(self, int32_t slot) except -1 nogil:
        """Its id is kept."""
        cdef Order* order = &self.orders[slot]
        if order.lots:
            self._row(
                KIND_CANCEL, order.rank, 0, self.levels[order.level].side, self.levels[order.level].ticks, order.lots
            )
            self._take_lots(slot, order.lots)
            self._level_row(order)
        return 0

    cdef int _reduce(self, int32_t slot, int64_t lots) except -1 nogil:
        cdef Order* order = &self.orders[slot]
        self._take_lots(slot, lots)
        self._row(
            KIND_REDUCE, order.rank, 0, self.levels[order.level].side, self.levels[order.level].ticks, order.lots
        )
        return self._level_row(order)

    cdef int _take_lots(self, int32_t slot, int64_t lots) except -1 nogil:
        """An order without any leaves its queue."""
        cdef Order* order = &self.orders[slot]
        cdef Level* level = &self.levels[order.level]
        order.lots -= lots
        level.lots -= lots
        if order.lots:
            return 0
        self.live -= 1
        if order.before == NONE:
            level.first = order.after
        else:
            self.orders[order.before].after = order.after
        if order.after == NONE:
            level.last = order.before
        else:
            self.orders[order.after].before = order.before
        return 0

    cdef int _forget(self, int32_t slot) except -1 nogil:
        drop(&self.orders_at, self.orders[slot].number)
        self.orders[slot].after, self.free_order = self.free_order, slot
        return 0

    cdef int32_t _new_order(self) except -1 nogil:
        cdef Order* grown
        cdef int32_t slot = self.free_order
        if slot != NONE:
            self.free_order = self.orders[slot].after
            return slot
        if self.orders_used == self.orders_room:
            self.orders_room = 2 * self.orders_room + 1024
            grown = <Order*> realloc(self.orders, self.orders_room * sizeof(Order))
            if grown is NULL:
                with gil:
                    raise MemoryError(f"no memory for {self.orders_room:,} orders")
            self.orders = grown
        self.orders_used += 1
        return <int32_t> (self.orders_used - 1)

    cdef int32_t _level_of(self, int8_t side, int64_t ticks) except -1 nogil:
        """It stays when it is empty."""
        cdef int64_t key = 2 * ticks + (side > 0)
        cdef int32_t at = find(&self.levels_at, key)
        cdef Level* grown
        if at != NONE:
            return at
        if self.levels_used == self.levels_room:
            self.levels_room = 2 * self.levels_room + 1024
            grown = <Level*> realloc(self.levels, self.levels_room * sizeof(Level))
            if grown is NULL:
                with gil:
                    raise MemoryError(f"no memory for {self.levels_room:,} levels")
            self.levels = grown
        at = <int32_t> self.levels_used
        self.levels_used += 1
        self.levels[at].ticks, self.levels[at].side, self.levels[at].lots, self.levels[at].event = ticks, side, 0, 0
        self.levels[at].first = self.levels[at].last = NONE
        put(&self.levels_at, key, at)
        return at

    cdef inline int _count(self, const Order* order, int64_t lots) noexcept nogil:
        self.executed += lots
        if order.before == NONE:
            self.executed_first += lots
        return 0

    cdef inline int _problem(self, int kind, int64_t row) noexcept nogil:
        if not self.problem_count[kind]:
            self.problem_row[kind] = row
        self.problem_count[kind] += 1
        return 0

    # Rows

    cdef inline int _row(
        self, int kind, int64_t order, int64_t other, int8_t side, int64_t ticks, int64_t lots
    ) except -1 nogil:
        cdef int64_t* out = more(&self.rows, WIDTH)
        out[0], out[1], out[2], out[3], out[4] = self.now, kind, order, other, 0
        out[5], out[6], out[7], out[8], out[9] = side, ticks, lots, 0, 0
        out = more(&self.sources, 1)
        out[0] = self.source
        return 0

    cdef inline int _trade_row(self, int64_t maker, int8_t side, int64_t ticks, int64_t lots) except -1 nogil:
        self._row(KIND_TRADE, 0, maker, side, ticks, lots)
        self.hidden += maker == 0
        self.rows.at[self.rows.used - 2] = self.trade_id
        return 0

    cdef inline int _level_row(self, const Order* order) except -1 nogil:
        cdef Level* level = &self.levels[order.level]
        cdef int64_t* out
        if level.event != self.events:
            level.event = self.events
            out = more(&self.touched, 1)
            out[0] = order.level
        return self._row(KIND_LEVEL, order.rank, 0, level.side, level.ticks, level.lots)

    # A log

    def hold(
        self, const int64_t[::1] kind, const int64_t[::1] order_id, const int64_t[::1] other_id,
        const int64_t[::1] side, const int64_t[::1] ticks, const int64_t[::1] lots, const int64_t[::1] update_id,
    ) -> None:
        self.kind, self.order_id, self.other_id, self.side = kind, order_id, other_id, side
        self.row_ticks, self.row_lots, self.update_id = ticks, lots, update_id

    def replay(self, int64_t begin=0, int64_t upto=INT64_MAX) -> tuple[int, str]:
        """Apply the rows from *begin*, before the first LEVEL row of an update id above *upto*.

        Returns:
            The row that was not applied (the end, if all were), and what is wrong with it, one of `FINDINGS`.
        """
        cdef int64_t at = begin, end = self.kind.shape[0]
        cdef int found = OK
        with nogil:
            while at < end and found == OK:
                # The change that a level row follows belongs to it, and goes with it.
                if self._update_of(at, end) > upto:
                    break
                found = self._replayed(
                    self.kind[at], self.order_id[at], self.other_id[at], <int8_t> self.side[at], self.row_ticks[at],
                    self.row_lots[at],
                )
                at += found == OK
        return at, FINDINGS[found]

    cdef inline int64_t _update_of(self, int64_t at, int64_t end) noexcept nogil:
        if self.kind[at] == KIND_LEVEL:
            return self.update_id[at]
        if at + 1 < end and self.kind[at + 1] == KIND_LEVEL:
            return self.update_id[at + 1]
        return INT64_MIN

    cdef int _replayed(
        self, int64_t kind, int64_t order_id, int64_t other_id, int8_t side, int64_t ticks, int64_t lots
    ) except -1 nogil:
        cdef int32_t slot
        cdef Order* order
        cdef Level* level
        if kind == KIND_LEVEL:
            slot = find(&self.levels_at, 2 * ticks + (side > 0))
            return OK if (0 if slot == NONE else self.levels[slot].lots) == lots else FOUND_LEVEL
        if kind == KIND_REST:
            if find(&self.orders_at, order_id) != NONE:
                return FOUND_TWICE
            level = &self.levels[self._level_of(side, ticks)]
            if level.last != NONE and self.orders[level.last].rank > order_id:
                return FOUND_ORDER
            if lots <= 0:
                return FOUND_REMAINING
            self._enter(order_id, order_id, side, ticks, lots)
            return OK
        if kind != KIND_TRADE and kind != KIND_REDUCE and kind != KIND_CANCEL and kind != KIND_EXPIRE:
            return OK
        if kind == KIND_TRADE and (other_id == 0 or (order_id == 0 and other_id < 3)):
            return OK  # of nothing displayed, or beside the book
        slot = find(&self.orders_at, other_id if kind == KIND_TRADE else order_id)
        if slot == NONE:
            return OK if kind == KIND_EXPIRE else FOUND_UNKNOWN
        order = &self.orders[slot]
        if kind == KIND_TRADE:
            if lots > order.lots:
                return FOUND_LARGE
            self._count(order, lots)
        elif kind == KIND_REDUCE:
            if not 0 < lots < order.lots:
                return FOUND_REMAINING
            lots = order.lots - lots
        elif kind == KIND_CANCEL:
            if lots != order.lots:
                return FOUND_REMAINING
        else:
            lots = order.lots
        self._take_lots(slot, lots)
        if not order.lots:
            self._forget(slot)
        return OK
