# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""One pass each over the rows of a chart, where numpy would take many: of a million prints a day few are drawn."""

from libc.math cimport INFINITY, isnan, rint
from libc.stdint cimport INT64_MAX, INT64_MIN, int8_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport llabs
from libc.string cimport memcpy

from mm.tape._kinds cimport TRADE

import numpy as np

cdef extern from *:
    """
    /* Rounded to even, as rint; below 2**51 two additions do it, which compilers turn into vectors. */
    #define MM_TURN 6755399441055744.0
    static inline double mm_nearest(double value) { return value + MM_TURN - MM_TURN; }
    """
    double nearest "mm_nearest"(double value) noexcept nogil

cdef enum:
    LANES = 4
    VALUE_BITS = 38

cdef double MOST_NEAREST = 1e15
cdef int64_t FAR = 1 << 62
cdef int64_t FAR_BYTES = 12  # of a difference that is kept apart: its place and its value
cdef int64_t[3] HALF = [1 << 7, 1 << 15, <int64_t> 1 << 31]  # of what 1, 2 and 4 bytes hold


def whole_units(const double[::1] values, unit: float) -> tuple[NDArray[np.int64], float]:
    """Return *values* as whole *units* above the least of them, plus one, with 0 for NaN; and the least, or 0."""
    found = np.empty(values.shape[0], np.int64)
    cdef int64_t[::1] codes = found
    cdef double low, high, step = unit
    cdef int64_t i
    cdef bint near
    with nogil:
        span_of(values, &low, &high)
        near = (high - low) / step < MOST_NEAREST
        for i in range(values.shape[0]):
            if isnan(values[i]):
                codes[i] = 0
            elif near:
                codes[i] = <int64_t> nearest((values[i] - low) / step) + 1
            else:
                codes[i] = <int64_t> (rint((values[i] - low) / step) + 1)
    return found, low


cdef void span_of(const double[::1] values, double* least, double* greatest) noexcept nogil:
    """Find the least and the greatest of *values* but NaN; 0 where there is none."""
    cdef double[LANES] low, high  # none waits for the one before it
    cdef int64_t i = 0, k, width
    for k in range(LANES):
        low[k], high[k] = INFINITY, -INFINITY
    while i < values.shape[0]:
        width = LANES if i + LANES <= values.shape[0] else 1
        for k in range(width):
            low[k] = values[i + k] if values[i + k] < low[k] else low[k]
            high[k] = values[i + k] if values[i + k] > high[k] else high[k]
        i += width
    for k in range(1, LANES):
        low[0], high[0] = min(low[0], low[k]), max(high[0], high[k])
    least[0], greatest[0] = (low[0], high[0]) if low[0] <= high[0] else (0.0, 0.0)


def ranks_near(
    const int64_t[:] us, const int64_t[::1] near, const int64_t[::1] spans_us
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return of each row how many of *spans_us* hold neither it nor the row after it around one of *near*.

    And how many rows have a rank below each: 0, 1, …, one more than there are spans.

    Args:
        us, near, spans_us: Rising.
    """
    spans = spans_us.shape[0]
    found, below = np.empty(us.shape[0], np.uint8), np.zeros(spans + 2, np.int64)
    cdef uint8_t[::1] ranks = found
    cdef int64_t[::1] counts = below
    cdef int64_t i, apart, j = 0
    cdef uint8_t rank, farthest = spans
    with nogil:
        for i in range(us.shape[0]):
            while j < near.shape[0] and near[j] < us[i]:
                j += 1
            apart = near[j] - us[i] if j < near.shape[0] else FAR
            if j:
                apart = min(apart, us[i] - near[j - 1])
            rank = 0
            while rank < farthest and apart > spans_us[rank]:
                rank += 1
            ranks[i] = rank
            if i:
                ranks[i - 1] = min(ranks[i - 1], rank)  # the last before one still holds
                counts[ranks[i - 1] + 1] += 1
        if us.shape[0]:
            counts[ranks[us.shape[0] - 1] + 1] += 1
    return found, np.cumsum(below)


def far_extremes(
    const uint8_t[::1] ranks, rank: int, const int64_t[:] values, const int64_t[::1] first
) -> NDArray[np.intp]:
    """Return of each share of the rows that have *rank* or more: first, least, greatest and last row, each once.

    Of equal values the first counts. Values that are too far apart for `VALUE_BITS` are cut by as many bits, counted
    from the least and the greatest.

    Args:
        ranks: Of all rows.
        rank: The least.
        values: Of all rows, what is compared.
        first: Which of these rows each share begins with, rising from 0; the last one ends with them.
    """
    found = np.empty(4 * first.shape[0], np.intp)
    cdef int64_t[::1] kept = found
    cdef int64_t i, count = 0, share = 0, stop, at = 0, cut = 0, begin = 0, least = 0, greatest = 0
    cdef int64_t low = INT64_MAX, high = INT64_MIN, bottom = FAR, top = FAR, last = 0
    cdef uint8_t bound = rank
    with nogil:
        for i in range(ranks.shape[0]):
            if ranks[i] >= bound:
                low, high, last = min(low, values[i]), max(high, values[i]), i
        while last and (high - low) >> (VALUE_BITS + cut):
            cut += 1
        stop = first[1] if first.shape[0] > 1 else INT64_MAX
        for i in range(ranks.shape[0]):
            if ranks[i] < bound:
                continue
            if bottom == FAR:
                begin = i
            if (values[i] - low) >> cut < bottom:
                bottom, least = (values[i] - low) >> cut, i
            if (high - values[i]) >> cut < top:
                top, greatest = (high - values[i]) >> cut, i
            count += 1
            if count == stop or i == last:
                at = put_distinct(kept, at, begin, min(least, greatest), max(least, greatest), i)
                share += 1
                stop = first[share + 1] if share + 1 < first.shape[0] else INT64_MAX
                bottom = top = FAR
    return found[:at]


cdef inline int64_t put_distinct(int64_t[::1] kept, int64_t at, int64_t a, int64_t b, int64_t c, int64_t d) noexcept nogil:
    """Put rows, which do not fall, at a place and behind it, each once; return the place behind the last."""
    cdef int64_t[3] rest = [b, c, d]
    cdef int i
    kept[at] = a
    for i in range(3):
        at += rest[i] != kept[at]
        kept[at] = rest[i]
    return at + 1


def packed_steps(const int64_t[::1] numbers) -> tuple[int, NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float64]]:
    """Return *numbers* as their differences, the first being from 0, in the width that takes the fewest bytes.

    Returns:
        The bytes of a difference: 1, 2 or 4; the differences, little-endian, 0 where one is not below half the range
        of the width; the places of those, and their values.
    """
    cdef int64_t[3] large = [0, 0, 0]
    cdef int64_t i, step, last = 0, count = numbers.shape[0], put = 0, size
    cdef int best = 0, k
    with nogil:
        for i in range(count):
            size = llabs(numbers[i] - last)
            last = numbers[i]
            for k in range(3):
                large[k] += size >= HALF[k]
    for k in range(1, 3):
        if (count << k) + large[k] * FAR_BYTES < (count << best) + large[best] * FAR_BYTES:
            best = k
    near = np.empty(count << best, np.uint8)
    places, values = np.empty(large[best], np.uint32), np.empty(large[best], np.float64)
    cdef uint8_t[::1] steps = near
    cdef uint32_t[::1] at = places
    cdef double[::1] far = values
    cdef int64_t half = HALF[best]
    cdef uint8_t* to = &steps[0] if count else NULL
    last = 0
    with nogil:
        for i in range(count):
            step = numbers[i] - last
            last = numbers[i]
            if llabs(step) >= half:
                at[put], far[put] = <uint32_t> i, <double> step
                put += 1
                step = 0
            memcpy(to + (i << best), &step, <size_t> 1 << best)
    return 1 << best, near, places, values


def pick_prints(
    const uint8_t[::1] kind,
    const int64_t[::1] event_us,
    const int64_t[::1] first_row,
    const int8_t[::1] row_side,
    const int64_t[::1] row_ticks,
    const int64_t[::1] row_lots,
    int64_t[:, ::1] bought,
    int64_t[:, ::1] sold,
    done: tuple[int, int],
    begin: int,
    stop: int,
) -> tuple[int, int]:
    """Copy instant, ticks and lots of the prints among the events *begin* to *stop*, by the side of their aggressors.

    They go behind the *done* first columns of each result; what is returned is how many there are by then.
    """
    cdef int64_t event, row, buys, sells, first = begin, last = stop
    buys, sells = done
    with nogil:
        for event in range(first, last):
            if kind[event] != TRADE:
                continue
            row = first_row[event]
            if row_side[row] > 0:
                bought[0, buys], bought[1, buys], bought[2, buys] = event_us[event], row_ticks[row], row_lots[row]
                buys += 1
            elif row_side[row] < 0:
                sold[0, sells], sold[1, sells], sold[2, sells] = event_us[event], row_ticks[row], row_lots[row]
                sells += 1
    return buys, sells
