# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Time at rest of orders by state, in one pass over the orders of a run.

Why compiled: a run of simulated orders has half a million stretches of constant state, and a ladder has one for each distance.
"""

from libc.stdint cimport int64_t, uint64_t

import numpy as np
from numpy.typing import NDArray

from mm.backtest.metrics._rows_at cimport row_at

cdef enum:
    PERIOD_AT = 42    # bits below the period in the first word of a key: the state of the market is below LONG_AT
    LONG_AT = 41
    TOUCH_AT = 39     # ``MARKET_BITS``
    DISTANCE_AT = 32  # and below the distance when sent in the second word
    FIRST_CELLS = 1 << 14

cdef int64_t FREE = -1
cdef int64_t FOREVER = (<int64_t> 1) << 62
cdef int64_t MARKET = ((<int64_t> 1) << TOUCH_AT) - 1, DISTANCE = ((<int64_t> 1) << DISTANCE_AT) - 1  # bits
cdef int64_t HALF = (<int64_t> 1) << 30  # distances are above -HALF and below HALF, in half ticks
MARKET_BITS = 39


cdef class _PairSums:
    """Sums by key, two words of 0 or more, in a hash table that is at most half full."""

    cdef int64_t[:, ::1] cells  # two words of the key, and the sum
    cdef int64_t used
    cdef int bits

    def __init__(self) -> None:
        self.bits = 14
        self.cells = np.full((FIRST_CELLS, 3), FREE)

    cdef inline int64_t cell(self, int64_t first, int64_t second) noexcept nogil:
        """Return the cell of a key, or the free cell for it; keys are hashed by Knuth's multiplier."""
        cdef int64_t last = self.cells.shape[0] - 1
        cdef uint64_t mixed = (<uint64_t> first * <uint64_t> 0x9E3779B97F4A7C15) ^ <uint64_t> second
        cdef int64_t at = <int64_t> ((mixed * <uint64_t> 0x9E3779B97F4A7C15) >> (64 - self.bits))
        while self.cells[at, 0] != FREE and (self.cells[at, 0] != first or self.cells[at, 1] != second):
            at = (at + 1) & last
        return at

    cdef inline int add(self, int64_t first, int64_t second, int64_t value) except -1 nogil:
        cdef int64_t at = self.cell(first, second)
        if self.cells[at, 0] == FREE:
            self.cells[at, 0], self.cells[at, 1], self.cells[at, 2] = first, second, 0
            self.used += 1
        self.cells[at, 2] += value
        if 2 * self.used > self.cells.shape[0]:
            with gil:
                self.grow()
        return 0

    cdef int grow(self) except -1:
        """Double the table."""
        cdef const int64_t[:, ::1] cells = self.cells
        cdef int64_t i, at
        self.bits += 1
        self.cells = np.full((1 << self.bits, 3), FREE)
        for i in range(cells.shape[0]):
            if cells[i, 0] != FREE:
                at = self.cell(cells[i, 0], cells[i, 1])
                self.cells[at, 0], self.cells[at, 1], self.cells[at, 2] = cells[i, 0], cells[i, 1], cells[i, 2]
        return 0


def time_by_state(
    orders: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    side: int,
    start_us: int,
    market: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    const int64_t[::1] borders,
    rested_us: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the time at rest of the orders of one side by state; time without a valid book is left out.

    Args:
        orders: Distance when sent, in half ticks, price in ticks, and begin and end of the time at rest of each, µs.
        side: +1 for buy orders, -1 for sell orders.
        start_us: First instant that counts, also of orders that began to rest before it.
        market: The market from each of its changes on: instant in µs, bid + ask (0: no valid book), spread, both in
            ticks, and the number of its state, below 2 to the power of ``MARKET_BITS``.
        borders: Ascending instants, the borders of the periods.
        rested_us: Time at rest from which on an order counts as rested for long.

    Returns:
        By state: the period times 2, plus 1 if rested for long; the number of the market's state times 4, plus 0 inside
        the spread, 1 at the side's best price, 2 behind it; distance when sent, and current distance, in half ticks,
        int64[n, 2]; and the µs.

    Raises:
        OverflowError: If a distance does not fit a key.
    """
    cdef const int64_t[::1] sent = orders[0], ticks = orders[1], begins = orders[2], ends = orders[3]
    cdef const int64_t[::1] us = market[0], mid2 = market[1], spread = market[2], number = market[3]
    cdef int64_t sign = side, first_us = start_us, length = rested_us, rows = us.shape[0], periods = borders.shape[0]
    cdef int64_t i, at, row = -1, begin, end, until, late, period, border, stands, touch, is_long, far = 0
    cdef _PairSums sums = _PairSums()
    with nogil:
        for i in range(sent.shape[0] if rows else 0):
            begin, end, late = max(begins[i], max(first_us, us[0])), ends[i], begins[i] + length
            if begin >= end:
                continue
            row = row_at(&us[0], 1, rows, begin, row)
            at = row
            period = row_at(&borders[0], 1, periods, begin, -1) + 1 if periods else 0
            while begin < end:
                is_long = begin >= late
                border = borders[period] if period < periods else FOREVER
                until = min(end, min(border, us[at + 1] if at + 1 < rows else FOREVER))
                if not is_long:
                    until = min(until, late)
                if mid2[at] > 0:
                    stands = sign * (mid2[at] - 2 * ticks[i])
                    if not (-HALF < stands < HALF and -HALF < sent[i] < HALF):
                        far = max(max(stands, -stands), max(sent[i], -sent[i]))
                        break
                    touch = (stands > spread[at]) - (stands < spread[at]) + 1
                    sums.add(
                        period << PERIOD_AT | is_long << LONG_AT | touch << TOUCH_AT | number[at],
                        (sent[i] + HALF) << DISTANCE_AT | (stands + HALF),
                        until - begin,
                    )
                begin = until
                if at + 1 < rows and us[at + 1] <= begin:
                    at += 1
                if border <= begin:
                    period += 1
            if far:
                break
    if far:
        raise OverflowError(f"an order {far} half ticks from the mid; the limit is {HALF}")
    cells = np.asarray(sums.cells)
    cells = cells[cells[:, 0] != FREE]
    first, second, spent_us = cells.T
    states = (first & MARKET) << 2 | first >> TOUCH_AT & 3
    distances = np.stack(((second >> DISTANCE_AT) - HALF, (second & DISTANCE) - HALF), axis=1)
    return first >> LONG_AT, states, distances, spent_us
