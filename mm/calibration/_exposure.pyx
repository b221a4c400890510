# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Resting time of simulated orders at each distance, in one pass over the orders."""

from libc.stdint cimport int64_t, uint64_t

import numpy as np
from numpy.typing import NDArray


cdef enum:
    BLOCK_AT = 38   # bits below the block in a key
    SIDE_AT = 62    # and below the side
    FIRST_CELLS = 1 << 12

cdef int64_t NONE = -1
cdef int64_t DISTANCES = <int64_t> 1 << BLOCK_AT    # distances are below, in steps
cdef int64_t BLOCKS = 1 << (SIDE_AT - BLOCK_AT)     # and block indices


cdef inline int64_t row_at(const int64_t* us, int64_t width, int64_t rows, int64_t instant, int64_t at) noexcept nogil:
    """Return the last of ascending rows (*width* cells each) that begins at or before *instant*; -1 before the first.

    The search starts from the row *at* (-1: none). Four rows are compared without a branch: the number of rows between
    two instants is random, and a mispredicted branch costs more than all four.
    """
    cdef int64_t step
    cdef const int64_t* row
    while at >= 0 and us[width * at] > instant:
        at -= 1
    while at + 4 < rows:
        row = us + width * (at + 1)
        step = (row[0] <= instant) + (row[width] <= instant) + (row[2 * width] <= instant) + (row[3 * width] <= instant)
        at += step
        if step < 4:
            return at
    while at + 1 < rows and us[width * (at + 1)] <= instant:
        at += 1
    return at


cdef class _Sums:
    """Sums by key in a hash table that is at most half full; keys are 0 or more."""

    cdef int64_t[::1] keys, sums
    cdef int64_t used, bits

    def __init__(self) -> None:
        self.keys, self.sums = np.full(FIRST_CELLS, NONE), np.zeros(FIRST_CELLS, np.int64)
        self.bits = 12

    cdef inline int64_t cell(self, int64_t key) noexcept nogil:
        """The cell of a key, or the free one for it; keys are hashed by Knuth's multiplier."""
        cdef int64_t last = self.keys.shape[0] - 1
        cdef int64_t at = <int64_t> ((<uint64_t> key * <uint64_t> 0x9E3779B97F4A7C15) >> (64 - self.bits))
        while self.keys[at] != key and self.keys[at] != NONE:
            at = (at + 1) & last
        return at

    cdef int add(self, int64_t key, int64_t value) except -1 nogil:
        cdef int64_t at = self.cell(key)
        if self.keys[at] == NONE:
            self.keys[at] = key
            self.used += 1
        self.sums[at] += value
        if 2 * self.used > self.keys.shape[0]:
            with gil:
                self.grow()
        return 0

    cdef int grow(self) except -1:
        cdef const int64_t[::1] keys = self.keys, sums = self.sums
        cdef int64_t i, at
        self.bits += 1
        self.keys, self.sums = np.full(1 << self.bits, NONE), np.zeros(1 << self.bits, np.int64)
        for i in range(keys.shape[0]):
            if keys[i] != NONE:
                at = self.cell(keys[i])
                self.keys[at], self.sums[at] = keys[i], sums[i]
        return 0

    cdef tuple sorted(self):
        used = np.flatnonzero(np.asarray(self.keys) != NONE)
        used = used[np.argsort(np.asarray(self.keys)[used])]
        return np.asarray(self.keys)[used], np.asarray(self.sums)[used]


def keys_of(side: NDArray[np.int64], block: NDArray[np.int64], distance: NDArray[np.int64]) -> NDArray[np.int64]:
    """One key per place (side, block, distance; all 0 or more), in this sort order."""
    keys: NDArray[np.int64] = (side == 1).astype(np.int64) << SIDE_AT | block << BLOCK_AT | distance
    return keys


def places_of(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Side (+1, -1), block and distance of each key."""
    side = np.where(keys >> SIDE_AT == 1, 1, -1)
    return side, keys >> BLOCK_AT & (BLOCKS - 1), keys & (DISTANCES - 1)


def resting_time(
    orders: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    const int64_t[::1] own,
    path: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    per_tick: int,
    window: tuple[int, int, int],
    *,
    anywhere: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the resting time of orders in a window, by place: side, block and distance.

    Args:
        orders: Side, price in ticks, and the instants from and until which each order rests, in µs.
        own: Distance of each order, in steps; empty for the distance from the current reference.
        path: Start of each row, µs; reference prices of sells and of buys, and distances of their own best prices, in
            steps, -1 without a valid book.
        per_tick: Steps in a tick.
        window: First instant, first instant after it, and the length of its blocks.
        anywhere: Whether orders nearer than the touch count, down to the reference.

    Returns:
        Ascending keys of the places (`keys_of`), and the µs of each.

    Raises:
        OverflowError: If a distance or the number of a block does not fit a key.
    """
    cdef const int64_t[:] side = orders[0], ticks = orders[1], begins = orders[2], ends = orders[3]
    cdef const int64_t[::1] us = path[0], sell = path[1], buy = path[2], sell_touch = path[3], buy_touch = path[4]
    cdef int64_t start_us = window[0], end_us = window[1], length = window[2], steps = per_tick, rows = us.shape[0]
    cdef int64_t i, at, row = -1, begin, stop, until, block, block_end, touch, current, distance
    cdef bint near = anywhere, anchored = own.shape[0] > 0
    cdef _Sums sums = _Sums()
    if (end_us - start_us) // length >= BLOCKS:
        raise OverflowError(f"{(end_us - start_us) // length} blocks; the limit is {BLOCKS}")
    with nogil:
        for i in range(side.shape[0]):
            begin, stop = max(begins[i], start_us), min(ends[i], end_us)
            if begin >= stop:
                continue
            row = row_at(&us[0], 1, rows, begin, row)
            at, block = row, (begin - start_us) // length
            block_end = start_us + (block + 1) * length
            while begin < stop:
                until = min(stop, block_end)
                if at + 1 < rows:
                    until = min(until, us[at + 1])
                if until > begin:
                    touch = buy_touch[at] if side[i] > 0 else sell_touch[at]
                    current = buy[at] - steps * ticks[i] if side[i] > 0 else steps * ticks[i] - sell[at]
                    if touch >= 0 and current >= (0 if near else touch):
                        distance = own[i] if anchored else current
                        if distance >= DISTANCES:
                            with gil:
                                raise OverflowError(f"{distance} steps from a reference; the limit is {DISTANCES}")
                        sums.add(<int64_t> (side[i] > 0) << SIDE_AT | block << BLOCK_AT | distance, until - begin)
                    begin = until
                if begin >= block_end:
                    block += 1
                    block_end += length
                if at + 1 < rows and us[at + 1] <= begin:
                    at += 1
    return sums.sorted()
