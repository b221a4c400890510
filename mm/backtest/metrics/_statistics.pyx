# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Statistics in single passes, where numpy would need many: autocovariance, ranks, exact sums, resampled ratios."""

from libc.math cimport INFINITY, copysign, cos, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

import numpy as np

cdef enum:
    FINE_BITS = 6  # bits of a time after its leading one that select its bucket
    FRACTION_BITS = 52  # of a double
    NO_BUCKET = (1023 << FINE_BITS) - 1  # leading bits of 1.0, minus one
    HALVES = 2 * ((64 << FINE_BITS) + 2)
    ABREAST = 4  # draws that are computed together

cdef int64_t LOW_HALF = 0xFFFFFFFF
cdef double PI = 3.141592653589793


def on_grid(const int64_t[:] us, const int64_t[:] values, step_us: int) -> NDArray[np.float64]:
    """Return *values* sampled every *step_us* from the first instant to the last; at least one is required."""
    cdef int64_t step = step_us, first = us[0], rows = us.shape[0], at, i
    cdef int64_t cells = (us[rows - 1] - first) // step + 1, grid_us = first, next_us, here
    grid = np.empty(cells + 1)
    cdef double[::1] found = grid
    i = 0
    with nogil:
        for at in range(rows):  # always written; the index advances only if a grid point is before the next row
            next_us = us[at + 1] if at + 1 < rows else us[at] + 1
            found[i] = <double> values[at]
            here = grid_us < next_us
            i += here
            grid_us += here * step
            while grid_us < next_us:
                found[i] = <double> values[at]
                i += 1
                grid_us += step
    return grid[:cells]


def lagged(const double[::1] values, int64_t lag) -> float:
    """Return the sum of the products of *values* with those *lag* rows later; *lag* is below the number of values."""
    cdef double[4] sums = [0.0, 0.0, 0.0, 0.0]
    cdef const double* later = &values[lag]
    cdef int64_t i = 0, j, rows = values.shape[0] - lag
    while i + 4 <= rows:
        for j in range(4):
            sums[j] += values[i + j] * later[i + j]
        i += 4
    while i < rows:
        sums[0] += values[i] * later[i]
        i += 1
    return (sums[0] + sums[1]) + (sums[2] + sums[3])


def half_lag(const int64_t[:] us, const int64_t[:] values, step_us: int, most: int) -> int:
    """Return the first lag, in steps, at which the autocovariance of ``on_grid`` is below half of that at lag 0.

    It is computed from the changes on the grid: the second difference of the autocovariance is minus the
    autocovariance of the changes. For few changes this is much faster than a transform, and whole sums are exact.

    Args:
        us: Ascending instants, at least one.
        values: Values from each of them on.
        step_us: Width of the grid.
        most: Maximum number of changes on the grid.

    Returns:
        The lag; 0 if the value never changes on the grid, and -1 if there are too many changes, or the sums could
        exceed 64 bits.
    """
    cdef int64_t step = step_us, rows = us.shape[0], cells = (us[rows - 1] - us[0]) // step + 1, room = most
    cdef int64_t runs = 1, at, cell, i, j, held = 0, largest = 0, sum = 0, twice, lag, front = 0, back
    cdef int64_t last, now, later
    cdef double mean, half, centred
    cdef int64_t[::1] begins = np.zeros(room + 2, np.int64), levels = np.zeros(room + 2, np.int64)
    with nogil:
        for at in range(1, rows):
            if values[at] - values[0] == held:
                continue
            held = values[at] - values[0]
            cell = (us[at] - us[0] + step - 1) // step
            if cell >= cells:
                break
            if begins[runs - 1] == cell:  # the previous run contains no point of the grid
                runs -= 1
            if runs and levels[runs - 1] == held:
                continue
            if runs > room:
                with gil:
                    return -1
            begins[runs], levels[runs] = cell, held
            runs += 1
        held = levels[0]
        for i in range(runs):  # relative to the first level, so that they are 0 before the first and after the last run
            levels[i] -= held
            largest = max(largest, levels[i] if levels[i] > 0 else -levels[i])
    if runs == 1:
        return 0
    if float(largest) * largest * cells >= 2.0**60:
        return -1
    begins[runs], levels[runs] = cells, 0
    cdef int64_t[::1] of_changes = np.zeros(cells + 1, np.int64)  # autocovariance of the changes, by lag
    with nogil:
        now = 0
        for i in range(runs):
            sum += levels[i] * (begins[i + 1] - begins[i])
            now += levels[i] * levels[i] * (begins[i + 1] - begins[i])
        for i in range(1, runs + 1):
            for j in range(1, i + 1):
                of_changes[begins[i] - begins[j]] += (levels[i] - levels[i - 1]) * (levels[j] - levels[j - 1])
        mean = <double> sum / <double> cells
        half = 0.5 * (<double> now - mean * <double> sum)
        twice, lag, back = 2 * sum, 0, runs - 1
        last = now - of_changes[0] // 2  # at lag -1, as at lag 1
        while True:
            later = 2 * now - last - of_changes[lag]
            twice -= levels[front] + levels[back]
            last, now = now, later
            lag += 1
            while begins[front + 1] <= lag:
                front += 1
            while begins[back] > cells - 1 - lag:
                back -= 1
            centred = <double> now - mean * <double> twice + mean * mean * <double> (cells - lag)
            if centred < half:
                break
    return lag


def spread(
    const int64_t[::1] times, const int64_t[::1] edges, const int64_t[::1] ranks
) -> tuple[int, int, int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return minimum and maximum of *times*, at least one, their sum, counts between *edges*, and a subset by rank.

    Counts are of times up to each of the ascending edges and above the previous one; the last: above all. Each edge is
    at least twice the previous one, and none is negative; a time may be, if clocks disagree. The subset is
    some of the times, including those of the ascending *ranks* in order of size, and their ranks in it.
    """
    cdef int64_t i = 0, at, n = times.shape[0], time = times[0], least = time, most = time, low = 0, high = 0
    cdef int64_t bucket, before = 0, kept = 0, left_out = 0
    cdef int64_t[::1] edge_of = np.full(HALVES // 2, np.iinfo(np.int64).max)  # edge in a bucket, at most one
    cdef uint32_t[:, ::1] count = np.zeros((2, HALVES), np.uint32)  # in turn: no waits for equal times
    cdef uint8_t[::1] wanted = np.zeros(HALVES, np.uint8)
    cdef uint16_t[::1] half = np.empty(n, np.uint16)  # of each time
    counts, places = np.zeros(edges.shape[0] + 1, np.int64), np.zeros(ranks.shape[0], np.int64)
    cdef int64_t[::1] between = counts, place = places
    while i < n and times[i] == time:
        i += 1
    if i == n:
        between[<int64_t> np.searchsorted(edges, least)] = n
        return least, most, int(least) * n, counts, np.full(1, least), places
    with nogil:
        for i in range(edges.shape[0]):
            edge_of[bucket_of(edges[i])] = edges[i]
        for i in range(n):
            time = times[i]
            least, most = min(least, time), max(most, time)
            low += time & LOW_HALF
            high += time >> 32
            half[i] = <uint16_t> half_of(time, &edge_of[0])
            count[i & 1, half[i]] += 1
        at = 0
        for bucket in range(2 * bucket_of(least), 2 * bucket_of(most) + 2):
            while at < edges.shape[0] and bucket > 2 * bucket_of(edges[at]):
                at += 1
            count[0, bucket] += count[1, bucket]
            between[at] += count[0, bucket]
        bucket = 0
        for i in range(ranks.shape[0]):
            while before + count[0, bucket] <= ranks[i]:
                before += count[0, bucket]
                if not wanted[bucket]:
                    left_out += count[0, bucket]
                bucket += 1
            if not wanted[bucket]:
                wanted[bucket] = True
                kept += count[0, bucket]
            place[i] = ranks[i] - left_out
    found = np.empty(kept + 1, np.int64)
    cdef int64_t[::1] kept_times = found
    at = 0
    with nogil:
        for i in range(n):  # written unconditionally; the index advances only if it is wanted
            kept_times[at] = times[i]
            at += wanted[half[i]]
    return least, most, (int(high) << 32) + int(low), counts, found[:kept], places


cdef inline int64_t bucket_of(int64_t time) noexcept nogil:
    """Return the bucket of a time: its leading bits as a double, which increase with it; 0 for 0 and below."""
    cdef double value = <double> max(time, 0)
    cdef uint64_t bits
    memcpy(&bits, &value, sizeof(bits))
    return max(<int64_t> (bits >> (FRACTION_BITS - FINE_BITS)) - NO_BUCKET, 0)


cdef inline int64_t half_of(int64_t time, const int64_t* edge_of) noexcept nogil:
    """Return twice the bucket of a time, plus one if it is above the edge in it."""
    cdef int64_t bucket = bucket_of(time)
    return 2 * bucket + (time > edge_of[bucket])


def whole_sum(const int64_t[:] values) -> int:
    """Return the sum of whole numbers, also if it exceeds 64 bits."""
    cdef int64_t i, low = 0, high = 0
    with nogil:
        for i in range(values.shape[0]):
            low += values[i] & LOW_HALF
            high += values[i] >> 32
    return (int(high) << 32) + int(low)


def draw_ratios(
    const int32_t[:, ::1] first,
    const double[:, ::1] sums,
    const double[:, ::1] last_sums,
    block: int,
    last_block: int,
    double centre,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ratio of each draw and its standard error, from the influence of its blocks; 0 without variation.

    Args:
        first: First period of each block of each draw; the last block of a draw has a different length.
        sums: Sums of a block's values and of their squares, by its first period.
        last_sums: The same for last blocks.
        block: Length of a block, in periods.
        last_block: Length of a last block, in periods.
        centre: Constant added to the mean of a draw.
    """
    cdef int64_t draws = first.shape[0], last = first.shape[1] - 1, i, j, many
    cdef int d
    cdef double length = block, last_length = last_block, periods = last * length + last_length
    cdef double mean, variance, deviation, ratio, influence
    cdef double[ABREAST] value, square, per_value, per_square, per_period, spread
    cdef const double* pair
    ratios, errors = np.empty(draws), np.zeros(draws)
    cdef double[::1] all_ratios = ratios, error = errors
    with nogil:
        i = 0
        while i < draws:  # several draws together, as the additions to one sum depend on each other
            many = min(<int64_t> ABREAST, draws - i)
            for d in range(many):
                pair = &last_sums[first[i + d, last], 0]
                value[d], square[d] = pair[0], pair[1]
            for j in range(last):
                for d in range(many):
                    pair = &sums[first[i + d, j], 0]
                    value[d] += pair[0]
                    square[d] += pair[1]
            for d in range(many):
                mean = value[d] / periods
                variance = square[d] / periods - mean * mean
                if variance <= 1e-12:
                    all_ratios[i + d] = centre + mean
                    per_value[d] = per_square[d] = per_period[d] = 0
                else:
                    deviation = sqrt(variance)
                    ratio = (centre + mean) / deviation
                    # (Σ − n·mean)/deviation − ratio/2·((Σ² − 2·mean·Σ + n·mean²)/variance − n), by factor
                    per_value[d], per_square[d] = 1 / deviation + ratio * mean / variance, -0.5 * ratio / variance
                    per_period[d] = -mean / deviation - 0.5 * ratio * (mean * mean / variance - 1)
                    all_ratios[i + d] = ratio
                pair = &last_sums[first[i + d, last], 0]
                influence = per_value[d] * pair[0] + per_square[d] * pair[1] + per_period[d] * last_length
                spread[d] = influence * influence
            for j in range(last):
                for d in range(many):
                    pair = &sums[first[i + d, j], 0]
                    influence = per_value[d] * pair[0] + per_square[d] * pair[1] + per_period[d] * length
                    spread[d] += influence * influence
            for d in range(many):
                spread[d] = sqrt(spread[d]) / periods
                error[i + d] = spread[d] if spread[d] > 1e-12 else 0.0
            i += many
    return ratios, errors


def half_sharpes(
    const double[:, ::1] means, const double[:, ::1] squares, const int64_t[:, :] halves, length: int
) -> NDArray[np.float64]:
    """Return the Sharpe ratio of each trial (columns) over the blocks of each half (rows).

    Without variation it is 0 if the mean is 0, else infinite.

    Args:
        means: Mean by block and trial.
        squares: Sum of squared deviations from that mean, by block and trial.
        halves: The blocks of each half.
        length: Values in a block.
    """
    cdef int64_t trials = means.shape[1], count = halves.shape[1], i, j, trial, block
    cdef double values = length, freedom = length * count - 1, away
    ratios = np.zeros((halves.shape[0], trials))
    cdef double[:, ::1] mean = ratios
    cdef double[::1] variance = np.empty(trials)
    with nogil:
        for i in range(halves.shape[0]):
            for j in range(count):
                block = halves[i, j]
                for trial in range(trials):
                    mean[i, trial] += means[block, trial]
            for trial in range(trials):
                mean[i, trial] /= <double> count
                variance[trial] = 0.0
            for j in range(count):
                block = halves[i, j]
                for trial in range(trials):
                    away = means[block, trial] - mean[i, trial]
                    variance[trial] += squares[block, trial] + values * (away * away)
            for trial in range(trials):
                away = sqrt(variance[trial] / freedom)
                if away > 0.0:
                    mean[i, trial] /= away
                elif mean[i, trial] != 0.0:
                    mean[i, trial] = copysign(INFINITY, mean[i, trial])
    return ratios


def missed(const double[:, ::1] chosen, const double[:, ::1] other) -> NDArray[np.float64]:
    """Return the share of the best trials of each half (rows) by *chosen* that *other* ranks at the median or below."""
    cdef int64_t trials = chosen.shape[1], i, trial, each, twice = 0, best, below
    cdef double most, ranked = 0.0
    shares = np.empty(chosen.shape[0])
    cdef double[::1] share = shares
    with nogil:
        for i in range(chosen.shape[0]):
            most, best, below = chosen[i, 0], 0, 0
            for trial in range(1, trials):
                most = max(most, chosen[i, trial])
            for trial in range(trials):
                if chosen[i, trial] != most:
                    continue
                if best == 0 or other[i, trial] != ranked:  # equal values share a rank
                    ranked = other[i, trial]
                    twice = 0  # twice the rank, minus one
                    for each in range(trials):
                        twice += (other[i, each] < ranked) + (other[i, each] <= ranked)
                best += 1
                below += twice <= trials
            share[i] = <double> below / <double> best
    return shares


def add_spectra(const double[:, :, ::1] each, double[:, ::1] spectrum) -> None:
    """Add to *spectrum* the cross spectra of each stretch of values with itself and with the next stretch.

    Rows of *each* are transforms of stretches zero-padded to twice their length. Shifting the next stretch by its
    length changes the sign at every second frequency. The last axis is real and imaginary part.
    """
    cdef int64_t i, k
    cdef double real, imaginary
    cdef const double* own
    with nogil:
        for i in range(each.shape[0] - 1):
            for k in range(each.shape[1]):
                own = &each[i, k, 0]
                real = own[0] - each[i + 1, k, 0] if k & 1 else own[0] + each[i + 1, k, 0]
                imaginary = own[1] - each[i + 1, k, 1] if k & 1 else own[1] + each[i + 1, k, 1]
                spectrum[k, 0] += own[0] * real + own[1] * imaginary
                spectrum[k, 1] += own[0] * imaginary - own[1] * real


def slow_variance(
    const double[:, ::1] values, const uint8_t[:, ::1] used, const int64_t[::1] degrees
) -> NDArray[np.float64]:
    """Return the variance of the sum of each column of *values*, float64[columns], from its slowest cosines.

    Args:
        values: One per block and column, in chronological order; blocks that are not *used* are skipped.
        used: Whether a block counts in a column.
        degrees: Number of cosines of each column; the variance is 0 without any.
    """
    cdef int64_t i, j, wave, at, last, known = 0, blocks = values.shape[0], columns = values.shape[1]
    cdef int64_t most = max(degrees) if columns else 0
    cdef double once, before, here, value
    found = np.zeros(columns)
    cdef double[::1] variance = found, sums = np.empty(most), waves = np.empty(blocks)  # the slowest cosine
    with nogil:
        for j in range(columns):
            last = 0
            for i in range(blocks):
                last += used[i, j] != 0
            if last != known:  # most columns have the same number
                known = last
                for i in range(last):
                    waves[i] = cos(PI * (<double> i + 0.5) / <double> last)
            sums[:] = 0.0
            at = 0
            for i in range(blocks):
                if not used[i, j]:
                    continue
                # cos(n x) = 2 cos(x) cos((n - 1) x) - cos((n - 2) x)
                once = waves[at]
                before, here, value = 1.0, once, values[i, j]
                for wave in range(degrees[j]):
                    sums[wave] += here * value
                    before, here = here, 2.0 * once * here - before
                at += 1
            for i in range(degrees[j]):
                variance[j] += sums[i] * sums[i]
            if degrees[j] > 0:
                variance[j] *= 2.0 / <double> degrees[j]
    return found
