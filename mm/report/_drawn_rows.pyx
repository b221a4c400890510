# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""One pass each over the rows of a chart, where numpy would take many: of a million prints a day few are drawn."""

from libc.math cimport INFINITY, isnan, rint
from libc.stdint cimport int8_t, int64_t, uint8_t

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
            rank = farthest
            while rank and apart <= spans_us[rank - 1]:
                rank -= 1
            ranks[i] = rank
            if i:
                ranks[i - 1] = min(ranks[i - 1], rank)  # the last before one still holds
                counts[ranks[i - 1] + 1] += 1
        if us.shape[0]:
            counts[ranks[us.shape[0] - 1] + 1] += 1
    return found, np.cumsum(below)


def parted(const uint8_t[::1] ranks, rank: int, inside: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows whose rank is below *rank*, which are *inside* many, and the others."""
    rows, others = np.empty(inside + 1, np.intp), np.empty(ranks.shape[0] - inside + 1, np.intp)
    cdef int64_t[::1] near = rows, far = others
    cdef int64_t i, below = 0
    cdef uint8_t bound = rank
    with nogil:
        for i in range(ranks.shape[0]):  # both are written, and one of them moves on: no branch is guessed
            near[below], far[i - below] = i, i
            below += ranks[i] < bound
    return rows[:inside], others[: len(ranks) - inside]


def least_and_greatest(
    const int64_t[:] values, const int64_t[::1] rows, const int64_t[::1] first
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of the least and of the greatest value of each share of *rows*, the first of equal ones.

    Values that are too far apart for `VALUE_BITS` are cut by as many bits, counted from the least and the greatest.

    Args:
        values: What is compared.
        rows: Rows of it, one at least.
        first: The first place of each share, rising from 0.
    """
    least, greatest = np.empty(first.shape[0], np.intp), np.empty(first.shape[0], np.intp)
    cdef int64_t[::1] lows = least, highs = greatest
    cdef int64_t i, share, stop, low, high, bottom, top, value, cut = 0
    with nogil:
        low = high = values[rows[0]]
        for i in range(rows.shape[0]):
            low, high = min(low, values[rows[i]]), max(high, values[rows[i]])
        while (high - low) >> (VALUE_BITS + cut):
            cut += 1
        for share in range(first.shape[0]):
            stop = first[share + 1] if share + 1 < first.shape[0] else rows.shape[0]
            bottom = top = FAR
            for i in range(first[share], stop):
                value = values[rows[i]]
                if (value - low) >> cut < bottom:
                    bottom, lows[share] = (value - low) >> cut, i
                if (high - value) >> cut < top:
                    top, highs[share] = (high - value) >> cut, i
    return least, greatest


def pick_prints(
    const uint8_t[::1] kind,
    const int64_t[::1] event_us,
    const int64_t[::1] first_row,
    const int8_t[::1] row_side,
    const int64_t[::1] row_ticks,
    const int64_t[::1] row_lots,
    int64_t[:, ::1] us_ticks_lots,
    int8_t[::1] side,
    done: int,
    begin: int,
    stop: int,
) -> int:
    """Copy instant, ticks, lots and side of the prints among the events *begin* to *stop*.

    They go behind the *done* first ones of both results; what is returned is how many there are by then.
    """
    cdef int64_t event, row, at = done, first = begin, last = stop
    with nogil:
        for event in range(first, last):
            if kind[event] == TRADE:
                row = first_row[event]
                us_ticks_lots[0, at], us_ticks_lots[1, at] = event_us[event], row_ticks[row]
                us_ticks_lots[2, at], side[at] = row_lots[row], row_side[row]
                at += 1
    return at


def prints_of(
    const int8_t[::1] side, sign: int, const int64_t[::1] us, const double[::1] price, const double[::1] qty
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return instants, prices and quantities of the prints of one *side*, +1 or -1."""
    cdef int64_t i, at = 0, count = 0
    cdef int8_t wanted = sign
    with nogil:
        for i in range(side.shape[0]):
            count += side[i] == wanted
    found = np.empty((3, count + 1), np.int64)  # in one piece, for which the system has large pages
    us_found, price_found, qty_found = found[0], found[1].view(np.float64), found[2].view(np.float64)
    cdef int64_t[::1] when = us_found
    cdef double[::1] prices = price_found, quantities = qty_found
    with nogil:
        for i in range(side.shape[0]):  # what is not wanted is written over: no branch is guessed
            when[at], prices[at], quantities[at] = us[i], price[i], qty[i]
            at += side[i] == wanted
    return us_found[:at], price_found[:at], qty_found[:at]
