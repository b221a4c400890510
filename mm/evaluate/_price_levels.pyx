# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Rows of a tape by price, and the cancellations of orders with known arrival (see `queue_exponent`).

A day has millions of rows and some ten thousand prices, so rows are placed by counting, not sorting; only the changes
of one queue are sorted, by size.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from mm.tape._kinds cimport DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE
from mm.tape._memory cimport prefetch

cdef enum:
    AHEAD = 24            # rows are prefetched this far ahead, as those of a level are scattered
    FIRST_ROOM = 1 << 12  # levels, or changes of a queue
    SHORT_RUN = 16        # up to here changes are sorted by insertion

cdef struct Price:
    int64_t ticks
    int64_t book   # twice the epoch, and one more for bids
    int64_t rows

cdef struct Change:
    int64_t size     # of the order that was added, cancelled or printed
    int64_t printed  # lots printed at this price up to here
    int64_t before   # lots displayed before
    int32_t place    # of the row
    int8_t step      # 1 added, -1 cancelled
    int8_t is_print


cdef class PriceNumbers:
    """Numbers the levels of a tape: prices of a side within one book.

    Attributes:
        count: Number of levels.
    """

    cdef readonly Py_ssize_t count
    cdef Price* prices
    cdef int32_t* slots
    cdef Py_ssize_t room

    def __cinit__(self) -> None:
        self.room = FIRST_ROOM
        self.prices = <Price*> PyMem_Malloc(self.room * sizeof(Price))
        self.slots = <int32_t*> PyMem_Calloc(2 * self.room, sizeof(int32_t))
        if self.prices is NULL or self.slots is NULL:
            raise MemoryError(f"no memory for {self.room} levels")

    def __dealloc__(self) -> None:
        PyMem_Free(self.prices)
        PyMem_Free(self.slots)

    def number(
        self,
        const uint8_t[::1] kind,
        const int64_t[::1] first_row,
        const int8_t[::1] side,
        const int64_t[::1] ticks,
        int32_t[::1] level,
        int32_t[::1] event,
    ) -> None:
        """Write the number of each row's level, and its event; −1 for rows that repeat a book.

        Args:
            kind: Kind of each event.
            first_row: First row of each event, and the end of the last; rows count from the first one.
            side, ticks: Side and price of each row.
            level, event: Outputs, one entry per row.
        """
        cdef Py_ssize_t e, row
        cdef int64_t epoch = 0, first = first_row[0]
        cdef bint whole, is_print
        for e in range(kind.shape[0]):
            whole = kind[e] == SNAPSHOT or (kind[e] == KEYFRAME and e == 0)
            epoch += whole or kind[e] == GAP
            is_print = kind[e] == TRADE
            for row in range(first_row[e] - first, first_row[e + 1] - first):
                event[row] = <int32_t> e
                if kind[e] == KEYFRAME and not whole:
                    level[row] = -1
                else:
                    level[row] = self.of(ticks[row], 2 * epoch + ((side[row] > 0) != is_print))

    def prices_of(self) -> bytes:
        """Return price, book and rows of each level, as 64 bits each."""
        return (<char*> self.prices)[: self.count * sizeof(Price)]

    cdef int32_t of(self, int64_t ticks, int64_t book) except -1:
        """Return the number of a level, and count a row of it."""
        cdef Py_ssize_t mask = 2 * self.room - 1
        cdef uint64_t mixed = <uint64_t> ticks * 0x9E3779B97F4A7C15u + <uint64_t> book * 0xC2B2AE3D27D4EB4Fu
        cdef Py_ssize_t slot = <Py_ssize_t> ((mixed ^ (mixed >> 29)) & <uint64_t> mask)
        cdef Price* price
        while self.slots[slot]:
            price = self.prices + self.slots[slot] - 1
            if price.ticks == ticks and price.book == book:
                price.rows += 1
                return self.slots[slot] - 1
            slot = (slot + 1) & mask
        if self.count == self.room:
            self.widen()
            return self.of(ticks, book)
        self.prices[self.count] = Price(ticks, book, 1)
        self.count += 1
        self.slots[slot] = <int32_t> self.count
        return <int32_t> (self.count - 1)

    cdef int widen(self) except -1:
        """Double the room."""
        cdef Py_ssize_t n, slot, mask = 4 * self.room - 1
        cdef uint64_t mixed
        cdef Price* prices = <Price*> PyMem_Realloc(self.prices, 2 * self.room * sizeof(Price))
        if prices is not NULL:
            self.prices = prices
        cdef int32_t* slots = <int32_t*> PyMem_Calloc(4 * self.room, sizeof(int32_t))
        if prices is NULL or slots is NULL:
            PyMem_Free(slots)
            raise MemoryError(f"no memory for {2 * self.room} levels")
        for n in range(self.count):
            mixed = <uint64_t> prices[n].ticks * 0x9E3779B97F4A7C15u + <uint64_t> prices[n].book * 0xC2B2AE3D27D4EB4Fu
            slot = <Py_ssize_t> ((mixed ^ (mixed >> 29)) & <uint64_t> mask)
            while slots[slot]:
                slot = (slot + 1) & mask
            slots[slot] = <int32_t> (n + 1)
        PyMem_Free(self.slots)
        self.slots, self.room = slots, 2 * self.room
        return 0


def place_rows(const int32_t[::1] level, int64_t[::1] free, int32_t[::1] rows) -> None:
    """Write each row into the next free place of its level, and advance *free*."""
    cdef Py_ssize_t row
    for row in range(level.shape[0]):
        if level[row] >= 0:
            rows[free[level[row]]] = <int32_t> row
            free[level[row]] += 1


cdef class QueueChanges:
    """The changes of a queue until it is empty."""

    cdef Change* held
    cdef Change* other
    cdef Py_ssize_t count, room

    def __cinit__(self) -> None:
        self.widen(FIRST_ROOM)

    def __dealloc__(self) -> None:
        PyMem_Free(self.held)
        PyMem_Free(self.other)

    cdef int widen(self, Py_ssize_t room) except -1:
        cdef Change* held = <Change*> PyMem_Realloc(self.held, room * sizeof(Change))
        if held is not NULL:
            self.held = held
        cdef Change* other = <Change*> PyMem_Realloc(self.other, room * sizeof(Change))
        if other is not NULL:
            self.other = other
        if held is NULL or other is NULL:
            raise MemoryError(f"no memory for {room} changes of a queue")
        self.room = room
        return 0

    cdef int add(self, const Change* change) except -1:
        if self.count == self.room:
            self.widen(2 * self.room)
        self.held[self.count] = change[0]
        self.count += 1
        return 0

    cdef void sort(self) noexcept nogil:
        """Sort the changes by size; the order of equal ones is kept."""
        cdef Py_ssize_t begin = 0, at, back, width = SHORT_RUN
        cdef Change moved
        while begin < self.count:
            for at in range(begin + 1, min(begin + width, self.count)):
                moved, back = self.held[at], at
                while back > begin and self.held[back - 1].size > moved.size:
                    self.held[back] = self.held[back - 1]
                    back -= 1
                self.held[back] = moved
            begin += width
        while width < self.count:
            begin = 0
            while begin < self.count:
                self.merge(begin, min(begin + width, self.count), min(begin + 2 * width, self.count))
                begin += 2 * width
            self.held, self.other = self.other, self.held
            width *= 2

    cdef void merge(self, Py_ssize_t begin, Py_ssize_t middle, Py_ssize_t end) noexcept nogil:
        """Merge two runs of `held` into `other`."""
        cdef Py_ssize_t left = begin, right = middle, out = begin
        while left < middle and right < end:
            if self.held[right].size < self.held[left].size:
                self.other[out] = self.held[right]
                right += 1
            else:
                self.other[out] = self.held[left]
                left += 1
            out += 1
        memcpy(self.other + out, self.held + left, (middle - left) * sizeof(Change))
        memcpy(self.other + out + middle - left, self.held + right, (end - right) * sizeof(Change))

    cdef Py_ssize_t take(self, int32_t[:, ::1] pairs, Py_ssize_t found) noexcept nogil:
        """Append the pairs of arrival and cancellation to those *found*, reset, and return their number.

        A cancellation or print of no known order is ignored: the number of known resting orders never falls below 0.
        """
        cdef Py_ssize_t n
        cdef int64_t rests = 0
        cdef Change* arrival
        cdef Change* removal
        self.sort()
        for n in range(self.count):
            arrival, removal = self.held + n, self.held + n + 1
            if n == 0 or arrival.size != self.held[n - 1].size:
                rests = 0
            rests = max(rests + arrival.step, 0)
            if rests != 1 or arrival.step < 0 or n + 1 == self.count or removal.size != arrival.size:
                continue
            if removal.step < 0 and not removal.is_print and removal.printed - arrival.printed <= arrival.before:
                pairs[found, 0], pairs[found, 1] = arrival.place, removal.place
                found += 1
        self.count = 0
        return found


def known_cancellations(
    const int32_t[::1] rows,
    const int64_t[::1] first,
    const int32_t[::1] event,
    const uint8_t[::1] kind,
    const int64_t[::1] lots,
    int32_t[:, ::1] pairs,
) -> int:
    """Write the places of arrival and cancellation of every cancelled order whose arrival is known.

    Args:
        rows: Rows, level after level.
        first: Place of the first row of each level, and the end of the last.
        event: Event of each row.
        kind: Kind of each event.
        lots: Lots of each row.
        pairs: Output, int32[room, 2]; has room for half of the rows.

    Returns:
        The number of pairs.
    """
    cdef QueueChanges queue = QueueChanges()
    cdef Py_ssize_t level, at, found = 0
    cdef int64_t shown, printed, now
    cdef uint8_t row_kind
    cdef bint follows
    cdef Change change
    for level in range(first.shape[0] - 1):
        shown = printed = 0
        follows = False
        for at in range(first[level], first[level + 1]):
            if at + AHEAD < rows.shape[0]:
                prefetch(&event[rows[at + AHEAD]])
                prefetch(&lots[rows[at + AHEAD]])
            row_kind, now = kind[event[rows[at]]], lots[rows[at]]
            if row_kind == TRADE:
                printed += now
                change = Change(now, printed, shown, <int32_t> at, -1, True)
                queue.add(&change)
                follows = False
                continue
            if follows and row_kind == DEPTH and now != shown:
                change = Change(abs(now - shown), printed, shown, <int32_t> at, 1 if now > shown else -1, False)
                queue.add(&change)
            shown, follows = now, True
            if now == 0:
                found = queue.take(pairs, found)
        found = queue.take(pairs, found)
    return found
