# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Single passes over the rows of a chart, where numpy would need many: few of a million prints per day are drawn."""

from libc.math cimport INFINITY, ceil, fabs, floor, fma, isnan, rint
from libc.stdint cimport INT32_MAX, INT64_MAX, INT64_MIN, int8_t, int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport llabs
from libc.string cimport memcpy

from mm._decimals cimport put_short
from mm.tape._kinds cimport TRADE

import numpy as np

cdef extern from *:
    """
    /* Rounds half to even, as rint; below 2**51 by two additions, which compilers vectorise. */
    #define MM_TURN 6755399441055744.0
    static inline double mm_nearest(double value) { return value + MM_TURN - MM_TURN; }
    """
    double nearest "mm_nearest"(double value) noexcept nogil

ctypedef fused number_t:
    int32_t
    int64_t

cdef enum:
    LANES = 4
    VALUE_BITS = 38
    MOST_SPANS = 6
    NUMBER = 10  # maximum digits and point of a number in a path

cdef double LEAST_PUT = 0.05, MOST_PUT = 1e7  # range of numbers formatted here; rounded to tenths none is 0
cdef double MOST_NEAREST = 1e15
cdef int64_t FAR = 1 << 62
cdef int64_t FAR_BYTES = 12  # bytes of a difference stored separately: its index and its value
cdef int64_t[3] HALF = [1 << 7, 1 << 15, <int64_t> 1 << 31]  # of the ranges of 1, 2 and 4 bytes


def whole_units(const double[::1] values, unit: float) -> tuple[NDArray[np.int64], float]:
    """Return *values* as whole *units* above their minimum, plus one, with 0 for NaN; and the minimum, or 0."""
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
    """Find the minimum and maximum of *values*, ignoring NaN; 0 if there are none."""
    cdef double[LANES] low, high  # independent of each other
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


def mark_changes(
    const int64_t[:, ::1] state, still_us: int, uint8_t[::1] drawn, int32_t[::1] apart_us
) -> None:
    """Mark consecutive state rows that a page draws: at each change, before and after it, and one per *still_us*.

    A time between two rows above *still_us* counts as a change, so that both ends of a pause are drawn.

    Args:
        state: Rows with the columns ``STATE_COLUMNS``, of which inventory, cash, fees and mid are compared.
        still_us: Time of which one row is drawn if nothing changes.
        drawn: Set to 1 for the rows to draw; other rows are not set.
        apart_us: Set to the times between rows, at most the greatest of the type.
    """
    cdef int64_t step = still_us, i, k, apart
    cdef bint changed
    with nogil:
        for i in range(1, state.shape[0]):
            apart = state[i, 0] - state[i - 1, 0]
            apart_us[i - 1] = <int32_t> min(apart, INT32_MAX)
            changed = apart > step
            for k in range(1, 5):
                changed |= state[i, k] != state[i - 1, k]
            drawn[i - 1] |= changed
            drawn[i] |= changed or state[i, 0] // step != state[i - 1, 0] // step


def ranks_near(
    const int64_t[:] us, const int64_t[::1] near, const int64_t[::1] spans_us
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return a rank per row: the number of *spans_us* around *near* that contain neither it nor the row after it.

    Also return the number of rows below each rank: 0, 1, …, one more than the number of spans.

    Args:
        us, near, spans_us: Ascending.
    """
    found, below = np.empty(us.shape[0], np.uint8), np.zeros(spans_us.shape[0] + 2, np.int64)
    cdef uint8_t[::1] ranks = found
    cdef int64_t[::1] counts = below
    cdef int64_t[MOST_SPANS] spans
    cdef int64_t i, apart, before = -FAR, j = 0
    cdef uint8_t rank = 0, k
    if spans_us.shape[0] > MOST_SPANS:
        raise ValueError(f"{spans_us.shape[0]} spans, {MOST_SPANS} at most")
    for k in range(MOST_SPANS):  # a fixed number of independent steps
        spans[k] = spans_us[k] if k < spans_us.shape[0] else INT64_MAX
    with nogil:
        for i in range(us.shape[0]):
            if not i or us[i] != us[i - 1]:
                while j < near.shape[0] and near[j] < us[i]:
                    before = near[j]
                    j += 1
                apart = min(near[j] - us[i] if j < near.shape[0] else FAR, us[i] - before)
                rank = 0
                for k in range(MOST_SPANS):
                    rank += apart > spans[k]
            ranks[i] = rank
            if i:
                ranks[i - 1] = min(ranks[i - 1], rank)  # the last row before one is still in force
                counts[ranks[i - 1] + 1] += 1
        if us.shape[0]:
            counts[ranks[us.shape[0] - 1] + 1] += 1
    return found, np.cumsum(below)


def far_extremes(
    const uint8_t[::1] ranks, rank: int, const int64_t[:] values, const int64_t[::1] first
) -> NDArray[np.intp]:
    """Return the first, minimum, maximum and last row of each share of the rows of *rank* or more, each once.

    Of equal values the first counts. Values too far apart for `VALUE_BITS` are cut by as many bits, counted from the
    minimum and the maximum.

    Args:
        ranks: Of all rows.
        rank: The lowest rank of the rows.
        values: Values of all rows, which are compared.
        first: Index among these rows of the first row of each share, ascending from 0; the last share ends with them.
    """
    found, ends = np.empty(4 * first.shape[0], np.intp), np.empty((first.shape[0], 4), np.int64)
    cdef int64_t[::1] kept = found
    cdef int64_t[:, ::1] shares = ends  # first and last row, least and greatest value
    cdef int64_t i = 0, n, stop, count, value, at = 0, cut = 0, least, greatest, low = INT64_MAX, high = INT64_MIN
    cdef uint8_t bound = rank
    cdef bint far
    with nogil:
        for n in range(shares.shape[0]):
            while ranks[i] < bound:
                i += 1
            stop = first[n + 1] - first[n] if n + 1 < first.shape[0] else INT64_MAX
            shares[n, 0], least, greatest, count = i, INT64_MAX, INT64_MIN, 0
            while i < ranks.shape[0] and count < stop:  # without branches, which would often be mispredicted
                far, value = ranks[i] >= bound, values[i]
                least, greatest = min(least, value if far else INT64_MAX), max(greatest, value if far else INT64_MIN)
                shares[n, 1] = i if far else shares[n, 1]
                count += far
                i += 1
            shares[n, 2], shares[n, 3] = least, greatest
            low, high = min(low, least), max(high, greatest)
        while (high - low) >> (VALUE_BITS + cut):
            cut += 1
        for n in range(shares.shape[0]):
            least = greatest = shares[n, 0]
            while ranks[least] < bound or (values[least] - low) >> cut > (shares[n, 2] - low) >> cut:
                least += 1
            while ranks[greatest] < bound or (high - values[greatest]) >> cut > (high - shares[n, 3]) >> cut:
                greatest += 1
            at = put_distinct(kept, at, shares[n, 0], min(least, greatest), max(least, greatest), shares[n, 1])
    return found[:at]


cdef inline int64_t put_distinct(int64_t[::1] kept, int64_t at, int64_t a, int64_t b, int64_t c, int64_t d) noexcept nogil:
    """Write non-decreasing rows from a position, each once; return the position after the last."""
    cdef int64_t[3] rest = [b, c, d]
    cdef int i
    kept[at] = a
    for i in range(3):
        at += rest[i] != kept[at]
        kept[at] = rest[i]
    return at + 1


def envelope_rows(
    const double[:] us, const double[:] values, low: float, high: float, count: int
) -> tuple[NDArray[np.int64], list[int]]:
    """Return first, minimum, maximum and last row of each of *count* equal columns from *low* to *high*, each once.

    Also return the rows before which a column contains only NaN. No row is NaN; of equal values the first counts.
    """
    found, holes = np.empty(4 * count + 4, np.int64), []
    cdef int64_t[::1] kept = found
    cdef double start = low, scale = count / (high - low)
    cdef int64_t i, column, at = 0, last_column = -1, number = 0, drawn = 0, most = count - 1
    cdef int64_t begin = -1, least = 0, greatest = 0, last = 0
    for i in range(us.shape[0]):
        column = min(<int64_t> ((us[i] - start) * scale), most)
        number += column != last_column
        last_column = column
        if isnan(values[i]):
            continue
        if begin < 0 or number != drawn:
            if begin >= 0:
                at = put_distinct(kept, at, begin, min(least, greatest), max(least, greatest), last)
                if number > drawn + 1:
                    holes.append(at)
            begin = least = greatest = i
            drawn = number
        if values[i] < values[least]:
            least = i
        if values[i] > values[greatest]:
            greatest = i
        last = i
    if begin >= 0:
        at = put_distinct(kept, at, begin, min(least, greatest), max(least, greatest), last)
    return found[:at], holes


def points_text(const double[:] x, const double[:] y, before: str, between: str, after: str, whole: bool = False) -> str:
    """Return the points as path text: *before*, x, *between*, y and *after* of each, rounded to tenths.

    Args:
        x, y: Equally many.
        before, between, after: ASCII.
        whole: Whether x is rounded to whole numbers.
    """
    cdef bytes a = before.encode(), b = between.encode(), c = after.encode()
    cdef Py_ssize_t i, size = len(a) + len(b) + len(c) + 2 * NUMBER
    cdef bytearray text = bytearray(x.shape[0] * size)
    cdef char* begin = text
    cdef char* p = begin
    for i in range(x.shape[0]):
        if not (LEAST_PUT <= x[i] < MOST_PUT and LEAST_PUT <= y[i] < MOST_PUT):
            shown = f".{0 if whole else 1}f"
            pairs = zip(np.asarray(x).tolist(), np.asarray(y).tolist(), strict=True)
            return "".join(f"{before}{one:{shown}}{between}{other:.1f}{after}" for one, other in pairs)
        p = put_bytes(p, a)
        p = put_short(p, <uint32_t> rint(x[i])) if whole else put_tenths(p, x[i])
        p = put_tenths(put_bytes(p, b), y[i])
        p = put_bytes(p, c)
    return text[: p - begin].decode("ascii")


cdef inline char* put_bytes(char* p, bytes word) noexcept:
    memcpy(p, <const char*> word, len(word))
    return p + len(word)


cdef inline char* put_tenths(char* p, double value) noexcept:
    """Append a value of at least 0.05 with one decimal, rounded by its exact decimals, half to even."""
    cdef double tenths = value * 10, found = rint(tenths), rest
    if fabs(tenths - found) == 0.5:  # a half, or so close to one that the product is one
        rest = fma(value, 10, -tenths)
        found = floor(tenths) if rest < 0 else ceil(tenths) if rest > 0 else found
    p = put_short(p, <uint32_t> found // 10)
    p[0], p[1] = c".", <char> (48 + <uint32_t> found % 10)
    return p + 2


def packed_steps(const int64_t[::1] numbers) -> tuple[int, NDArray[np.uint8], NDArray[np.uint32], NDArray[np.float64]]:
    """Return *numbers* as their differences, the first from 0, in the width with the smallest total.

    Returns:
        Bytes per difference: 1, 2 or 4; the differences, little-endian, 0 for those not below half the range of the
        width; the indices of those, and their values.
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
    tick_times: int,
    lot_times: int,
    int64_t[:, ::1] us,
    number_t[:, ::1] ticks,
    number_t[:, ::1] lots,
    buys: int,
    sells: int,
    begin: int,
    stop: int,
) -> tuple[int, int]:
    """Copy instant, price and quantity of the prints among the events *begin* to *stop*, by side of the aggressor.

    Args:
        kind, event_us, first_row, row_side, row_ticks, row_lots: Columns of the tape.
        tick_times, lot_times: Steps of the copied prices and quantities per tick and lot.
        us, ticks, lots: Prints of buyers, and of sellers.
        buys, sells: Their numbers before.
        begin, stop: Events.

    Returns:
        Their numbers afterwards.

    Raises:
        OverflowError: A price or a quantity does not fit.
    """
    cdef int64_t event, row, first = begin, last = stop, tick = tick_times, lot = lot_times
    cdef int64_t price, quantity, wide = 0
    cdef int64_t[2] used = [buys, sells]
    cdef int sold
    with nogil:
        for event in range(first, last):
            if kind[event] != TRADE:
                continue
            row = first_row[event]
            if row_side[row] == 0:
                continue
            sold = row_side[row] < 0
            price, quantity = row_ticks[row] * tick, row_lots[row] * lot
            us[sold, used[sold]] = event_us[event]
            ticks[sold, used[sold]], lots[sold, used[sold]] = <number_t> price, <number_t> quantity
            wide |= price ^ <number_t> price | quantity ^ <number_t> quantity
            used[sold] += 1
    if wide:
        raise OverflowError("a price or a quantity needs 64 bits")
    return used[0], used[1]
