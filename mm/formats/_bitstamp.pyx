# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Bitstamp's book of single orders: lines of a capture become messages of the book, trades, and rows of the order log.

The capture begins without a book and misses a few deletions, so the venue's best levels (``order_book``, every two
seconds) correct the book of orders: a price without an order message for `LAG_US` gets the venue's quantity. An order
marked unknown fills a missing quantity; an excess is taken from unknown orders, then from the oldest.

- A marketable order stays out of the book until it is no longer marketable.
- The print removes the traded quantity from the book, not the order's own message, which arrives some 10 ms before or
  after it; so the new level follows a print, as on other venues.

Why compiled: a line makes some ten steps through dictionaries, and every second one a book of forty levels.
"""

from array import array
from bisect import bisect_left, bisect_right, insort

from cpython cimport array
from libc.stdint cimport int64_t, int8_t

import numpy as np
from numpy.typing import NDArray

from mm.dayfolder.layout import ROW_CANCEL, ROW_LEVEL, ROW_REDUCE, ROW_REST, ROW_TRADE

cdef enum:
    WIDTH = 10
    CREATED = 0
    CHANGED = 1
    DELETED = 2
    TRADE = 3
    BOOK = 4

KINDS = ("order_created", "order_changed", "order_deleted", "trade", "order_book")
"""Kinds of lines, in the order of their codes."""
LAG_US = 3_000_000
"""Maximum age of the venue's best levels at arrival, with a margin."""

cdef int64_t LAG = LAG_US
cdef int KIND_TRADE = ROW_TRADE, KIND_LEVEL = ROW_LEVEL, KIND_REST = ROW_REST, KIND_CANCEL = ROW_CANCEL
cdef int KIND_REDUCE = ROW_REDUCE


cdef class Order:
    cdef int64_t number, price, left, waits, since_us
    cdef int side
    cdef bint unknown, rests, ends

    def __cinit__(self, int64_t number, int side, int64_t price, int64_t left):
        self.number, self.side, self.price, self.left = number, side, price, left


cdef class Level:
    cdef dict orders  # by number, in the order of their joining
    cdef int64_t lots

    def __cinit__(self):
        self.orders = {}


cdef class Side:
    cdef int sign
    cdef dict levels   # by price
    cdef list prices   # ascending
    cdef dict touched  # by price, when an order or a trade was last there
    cdef set changed

    def __cinit__(self, int sign):
        self.sign, self.levels, self.prices, self.touched, self.changed = sign, {}, [], {}, set()


cdef inline int put(array.array numbers, tuple cells) except -1:
    cdef Py_ssize_t at = len(numbers), cell
    array.resize_smart(numbers, at + len(cells))
    for cell in range(len(cells)):
        numbers.data.as_longlongs[at + cell] = cells[cell]
    return 0


cdef inline int put_row(
    array.array rows, int64_t us, int64_t kind, int64_t order, int64_t other, int64_t side, int64_t price,
    int64_t lots, int64_t trade,
) except -1:
    cdef Py_ssize_t at = len(rows)
    cdef long long* out
    array.resize_smart(rows, at + WIDTH)
    out = rows.data.as_longlongs + at
    out[0], out[1], out[2], out[3], out[4] = us, kind, order, other, 0
    out[5], out[6], out[7], out[8], out[9] = side, price, lots, trade, 0
    return 0


def losses(
    const int8_t[::1] kind, const int64_t[::1] number, const int64_t[::1] amount
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Messages that reduce an order.

    Returns:
        For each its line, the line that created its order, and the amount it lost, as int64[n].
    """
    cdef dict left = {}, came = {}
    cdef Py_ssize_t at
    cdef int64_t before
    cdef array.array found = array("q")
    for at in range(kind.shape[0]):
        if kind[at] == CREATED:
            left[number[at]], came[number[at]] = amount[at], at
        elif kind[at] <= DELETED and number[at] in left:
            before = left[number[at]]
            if before > amount[at]:
                put(found, (at, came[number[at]], before - amount[at]))
            left[number[at]] = amount[at]
            if kind[at] == DELETED:
                del left[number[at]]
    table = np.frombuffer(found, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


cdef class VenueBook:
    """The book of all orders, which continues from capture to capture. Prices and amounts are in 1e-8.

    Attributes:
        bookless: Whether the first capture has no book of the venue.
        begun: Whether the book is known.
        unmatched: Trades without a matching order; the best prices give their side.
        corrected: Levels corrected by the venue's book.
        outdated: Orders removed as their deletion is missing.
    """

    cdef Side bids, asks
    cdef dict orders  # by the venue's id
    cdef dict held    # marketable orders, by number
    cdef int64_t last_number
    cdef array.array rows, events, changes
    cdef public bint bookless, begun
    cdef readonly int64_t unmatched, corrected, outdated

    def __cinit__(self):
        self.bids, self.asks, self.orders, self.held = Side(1), Side(-1), {}, {}
        self.rows, self.events, self.changes = array("q"), array("q"), array("q")

    def play(
        self, const int64_t[::1] us, const int8_t[::1] kind, const int64_t[::1] number, const int8_t[::1] side,
        const int64_t[::1] price, const int64_t[::1] amount, const int64_t[:, ::1] fills, const int8_t[::1] traded,
        const int64_t[::1] levels_end, const int64_t[:, ::1] levels, Py_ssize_t begin, Py_ssize_t end,
    ) -> None:
        """Apply the lines from *begin* to *end* of a capture.

        Args:
            us: Receive time.
            kind: Index in `KINDS`.
            number: Id of the order or the trade.
            side: +1 buy, -1 sell, of orders.
            price, amount: Of orders and trades; the amount that an order has left.
            fills: Of each trade the lines that reduced its maker and its taker; -1 if unknown.
            traded: Whether a line reduced an order of a trade.
            levels_end: Number of *levels* up to and including each line.
            levels: Side, price and amount of the levels of the venue's books.
        """
        cdef Py_ssize_t at
        for at in range(begin, end):
            if kind[at] == BOOK:
                self._book(us[at], levels, levels_end[at - 1] if at else 0, levels_end[at])
            elif kind[at] == TRADE:
                self._trade(at, us[at], number, side, price[at], amount[at], fills[at, 0], fills[at, 1])
            else:
                self._order(us[at], kind[at], number[at], side[at], price[at], amount[at], traded[at])
            if self.bookless and self.held:
                self._outdate(us[at])
            if self.bids.changed or self.asks.changed:
                if kind[at] != TRADE:
                    self._settle(us[at])
                if self.begun:
                    self._message(at)

    def take(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return and remove what was made: rows, events, changes.

        Rows are int64[n, 10] of the order log, in 1e-8, without update ids. Events are int64[m, 4]: the line, whether
        it is a trade or a message of the book, and the ends of its rows and its changes; changes are int64[c, 3]: side,
        price, quantity (of a trade: the aggressor's side).
        """
        parts = self.rows, self.events, self.changes
        self.rows, self.events, self.changes = array("q"), array("q"), array("q")
        return tuple(
            np.frombuffer(part, np.int64).reshape(-1, width) for part, width in zip(parts, (WIDTH, 4, 3), strict=True)
        )

    # Orders

    cdef int _order(
        self, int64_t us, int8_t kind, int64_t name, int8_t sign, int64_t price, int64_t amount, bint waits
    ) except -1:
        cdef Side side = self._side(sign)
        cdef Order order = self.orders.get(name)
        side.touched[price] = us
        if kind == CREATED:
            self.orders[name] = order = self._new(sign, price, amount)
            return self._place(us, order)
        if order is None:
            return 0
        if waits:
            order.waits += 1
            order.ends = kind == DELETED
            return self._end(us, name, order)
        if kind == DELETED:
            order.ends = True
            return self._end(us, name, order)
        if amount < order.left:
            return self._take(us, order, order.left - amount, KIND_REDUCE, 0, 0)
        if amount > order.left and not order.waits:  # larger: it loses its priority, as a new order
            self._remove(us, order)
            self.orders[name] = order = self._new(sign, price, amount)
            return self._place(us, order)
        return 0

    cdef inline Side _side(self, int sign):
        return self.bids if sign > 0 else self.asks

    cdef Order _new(self, int sign, int64_t price, int64_t amount):
        self.last_number += 1
        return Order(self.last_number, sign, price, amount)

    cdef int _end(self, int64_t us, int64_t name, Order order) except -1:
        if order.ends and order.waits <= 0:
            self._remove(us, order)
            self.orders.pop(name, None)
        return 0

    cdef int _place(self, int64_t us, Order order) except -1:
        cdef Side side
        cdef Level level
        if self._crosses(order):
            order.since_us = order.since_us or us
            self.held[order.number] = order
            return 0
        if self.held:
            self.held.pop(order.number, None)
        if order.left <= 0:
            return 0
        order.rests = True
        side = self._side(order.side)
        level = side.levels.get(order.price)
        if level is None:
            side.levels[order.price] = level = Level()
            insort(side.prices, order.price)
        elif next(reversed(level.orders)) > order.number:  # a number tells who joined first
            self.last_number += 1
            order.number = self.last_number
        level.orders[order.number] = order
        level.lots += order.left
        put_row(self.rows, us, KIND_REST, order.number, 0, order.side, order.price, order.left, 0)
        return self._level_row(us, order, side, level)

    cdef int _settle(self, int64_t us) except -1:
        if self.held:
            for order in list(self.held.values()):
                self._place(us, order)
        return 0

    cdef int _outdate(self, int64_t us) except -1:
        """Remove orders that a marketable one has not executed for `LAG_US`: the capture missed their deletion."""
        cdef Order order, other
        cdef Side side
        for order in list(self.held.values()):
            if order.since_us > us - LAG:
                return 0  # they are in the order of their arrival
            side = self._side(-order.side)
            while self._crosses(order):
                for other in list((<Level> side.levels[self._best(side)]).orders.values()):
                    self.outdated += 1
                    self._take(us, other, other.left, KIND_CANCEL, 0, 0)
            self._place(us, order)
        return 0

    cdef inline object _best(self, Side side):
        return None if not side.prices else side.prices[len(side.prices) - 1 if side.sign > 0 else 0]

    cdef bint _crosses(self, Order order) except -1:
        other = self._best(self._side(-order.side))
        return other is not None and order.side * (order.price - <int64_t> other) >= 0

    cdef int _remove(self, int64_t us, Order order) except -1:
        self._take(us, order, order.left, KIND_CANCEL, 0, 0)
        self.held.pop(order.number, None)
        return 0

    cdef int _take(
        self, int64_t us, Order order, int64_t amount, int kind, int64_t trade, int64_t taker
    ) except -1:
        cdef Side side
        cdef Level level
        cdef bint whole
        amount = min(amount, order.left)
        if amount <= 0:
            return 0
        order.left -= amount
        if not order.rests:
            return 0
        if kind == KIND_TRADE:
            put_row(self.rows, us, kind, taker, order.number, -order.side, order.price, amount, trade)
        else:
            whole = kind == KIND_CANCEL or not order.left
            put_row(
                self.rows, us, KIND_CANCEL if whole else kind, order.number, 0, order.side, order.price,
                amount if whole else order.left, 0,
            )
        side = self._side(order.side)
        level = side.levels[order.price]
        level.lots -= amount
        if not order.left:
            del level.orders[order.number]
            order.rests = False
            if not level.orders:
                del side.levels[order.price]
                del side.prices[bisect_left(side.prices, order.price)]
        return self._level_row(us, order, side, level)

    cdef int _level_row(self, int64_t us, Order order, Side side, Level level) except -1:
        side.changed.add(order.price)
        return put_row(self.rows, us, KIND_LEVEL, order.number, 0, order.side, order.price, level.lots, 0)

    # Trades

    cdef int _trade(
        self, Py_ssize_t at, int64_t us, const int64_t[::1] number, const int8_t[::1] side, int64_t price,
        int64_t amount, int64_t maker_at, int64_t taker_at,
    ) except -1:
        cdef Order taker = self.orders.get(number[taker_at]) if taker_at >= 0 else None
        cdef Order maker = self.orders.get(number[maker_at]) if maker_at >= 0 else None
        cdef Order resting = maker
        cdef int sign = side[taker_at] if taker_at >= 0 else self._aggressor(price)
        cdef Level level
        self.unmatched += taker_at < 0 and maker_at < 0
        self.bids.touched[price] = self.asks.touched[price] = us
        if resting is None:
            level = self._side(-sign).levels.get(price)
            if level is not None:
                resting = next(iter(level.orders.values()))
            elif self.begun:  # it existed, but no message had reported it
                resting = self._new(-sign, price, amount)
                self._place(us, resting)
        if resting is not None:
            self._take(us, resting, amount, KIND_TRADE, number[at], self.last_number if taker is None else taker.number)
        if taker is not None:
            self._take(us, taker, amount, KIND_REDUCE, 0, 0)
        if maker is not None:
            maker.waits -= 1
            self._end(us, number[maker_at], maker)
        if taker is not None:
            taker.waits -= 1
            self._end(us, number[taker_at], taker)
        self._settle(us)
        put(self.changes, (sign, price, amount))
        return self._event(at, True)

    cdef int _aggressor(self, int64_t price) except -2:
        bid, ask = self._best(self.bids), self._best(self.asks)
        return 1 if bid is None or (ask is not None and 2 * price >= bid + ask) else -1

    # The venue's own book

    cdef int _book(self, int64_t us, const int64_t[:, ::1] levels, int64_t begin, int64_t end) except -1:
        cdef Side side
        cdef Order order
        cdef dict wanted
        cdef int64_t at, price
        cdef list known
        for side in (self.bids, self.asks):
            wanted = {levels[at, 1]: levels[at, 2] for at in range(begin, end) if levels[at, 0] == side.sign}
            if not wanted:
                continue
            if side.sign > 0:
                known = side.prices[bisect_left(side.prices, min(wanted)):]
            else:
                known = side.prices[:bisect_right(side.prices, max(wanted))]
            for price in sorted({*wanted, *known}, reverse=side.sign > 0):
                if <int64_t> side.touched.get(price, 0) <= us - LAG:
                    self._correct(us, side, price, wanted.get(price, 0))
        self.begun = True
        for order in list(self.held.values()):  # it has traded by now, or its counterparty is gone
            if <int64_t> self._side(order.side).touched.get(order.price, 0) <= us - LAG and self._crosses(order):
                del self.held[order.number]
        return 0

    cdef int _correct(self, int64_t us, Side side, int64_t price, int64_t wanted) except -1:
        cdef Level level = side.levels.get(price)
        cdef Order order
        cdef int64_t surplus = (0 if level is None else level.lots) - wanted, removed
        if not surplus:
            return 0
        self.corrected += self.begun
        if surplus < 0:
            order = Order(self.last_number + 1, side.sign, price, -surplus)
            order.unknown = True
            if not self._crosses(order):
                self.last_number += 1
                self._place(us, order)
            return 0
        for order in sorted(level.orders.values(), key=_unknown_first):
            removed = min(surplus, order.left)
            self._take(us, order, removed, KIND_REDUCE, 0, 0)
            surplus -= removed
        return 0

    # Output

    cdef int _message(self, Py_ssize_t at) except -1:
        cdef Side side
        cdef Level level
        for side in (self.asks, self.bids):
            for price in sorted(side.changed):
                level = side.levels.get(price)
                put(self.changes, (side.sign, price, 0 if level is None else level.lots))
            side.changed.clear()
        return self._event(at, False)

    cdef int _event(self, Py_ssize_t at, bint is_trade) except -1:
        return put(self.events, (at, is_trade, len(self.rows) // WIDTH, len(self.changes) // 3))


def _unknown_first(Order order) -> tuple[bool, int]:
    return not order.unknown, order.number
