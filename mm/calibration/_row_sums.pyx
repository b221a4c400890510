# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Sums over the rows of a fit: by distance, side and block, added in the order of numpy.

Why compiled: a fit sums some thousand points a dozen times, and each numpy call reads them again.
"""

from libc.math cimport isfinite
from libc.stdint cimport int8_t, int64_t

import numpy as np
from numpy.typing import NDArray


def sound(
    const double[:] delta, const double[:] width, const double[:] exposure, const double[:] fills, double largest
) -> bool:
    """Return whether all rows are valid: distances and counts within the summable range, no fill without exposure.

    Args:
        delta: Distances.
        width: Widths, above 0.
        exposure: Seconds, 0 or more.
        fills: Counts, 0 or more.
        largest: The largest allowed number.
    """
    cdef Py_ssize_t row
    cdef bint valid = True
    for row in range(delta.shape[0]):  # NaN fails all of these comparisons
        valid &= -largest <= delta[row] <= largest
        valid &= width[row] > 0
        valid &= 0 <= exposure[row] <= largest
        valid &= 0 <= fills[row] <= largest
        valid &= exposure[row] > 0 or fills[row] == 0
    return valid


def distinct_numbers(const int64_t[::1] keys, int64_t most) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct keys, ascending, and the index of each key among them.

    Args:
        keys: Whole numbers from 0.
        most: The largest key.
    """
    place_array = np.zeros(most + 1, np.int64)
    places_array = np.empty(keys.shape[0], np.int64)
    cdef int64_t[::1] place = place_array, places = places_array
    cdef int64_t key, count = 0
    cdef Py_ssize_t row
    for row in range(keys.shape[0]):
        if not 0 <= keys[row] <= most:
            raise ValueError(f"rows: key {keys[row]}, beyond 0 to {most}")
        place[keys[row]] = 1
    values_array = np.flatnonzero(place_array)
    cdef const int64_t[::1] values = values_array
    for row in range(values.shape[0]):
        place[values[row]] = row
    for row in range(keys.shape[0]):
        places[row] = place[keys[row]]
    return values_array, places_array


def sums_by_row(
    const int64_t[::1] row, const double[:] exposure, const double[:] fills, Py_ssize_t count
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums of exposure and fills of each of *count* rows, added in the order of the points.

    Args:
        row: Row index of each point.
        exposure: Seconds of each point.
        fills: Fills of each point.
        count: Number of rows.
    """
    found = np.zeros((2, count))
    cdef double[::1] spent = found[0], hits = found[1]
    cdef Py_ssize_t point
    if not row.shape[0] == exposure.shape[0] == fills.shape[0]:
        raise ValueError("rows: columns of unequal length")
    for point in range(row.shape[0]):
        if not 0 <= row[point] < count:
            raise ValueError(f"rows: row {row[point]} of {count}")
        spent[row[point]] += exposure[point]
        hits[row[point]] += fills[point]
    return found[0], found[1]


def pooled(const double[:] expected, double least) -> NDArray[np.int64]:
    """Return the pool of each row: neighbours are joined until they expect *least*; the last pool includes a remainder.

    Args:
        expected: float64[n], expected count of each row.
        least: Minimum expected count of a pool.
    """
    found = np.empty(expected.shape[0], np.int64)
    cdef int64_t[::1] pool = found
    cdef double total = 0
    cdef int64_t number = 0
    cdef Py_ssize_t row
    for row in range(expected.shape[0]):
        if total >= least:
            total, number = 0, number + 1
        total += expected[row]
        pool[row] = number
    if number and total < least:
        for row in range(expected.shape[0] - 1, -1, -1):
            if pool[row] < number:
                break
            pool[row] -= 1
    return found


def scaled_rows(
    const double[:] delta, const double[:] width, const double[:] exposure, const double[:] fills
) -> tuple[
    float, float, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float, bool
]:
    """Return the exposed rows of ascending distances, in units of their span.

    These are the nearest distance and the span, both in ticks; distance, width, exposure and fills of each row; all
    fills, added in the order of numpy; and whether any row is a cell of finite width.

    Args:
        delta: Distance of a row, or near edge of its cell, in ticks.
        width: Width of its cell, in ticks; inf for an order resting at delta.
        exposure: Its exposure, in s.
        fills: Its fills.
    """
    cdef Py_ssize_t row, rows = 0, last = 0, count = delta.shape[0]
    cdef double near = 0.0, span = 0.0, unit
    cdef bint cells = False
    if not width.shape[0] == exposure.shape[0] == fills.shape[0] == count:
        raise ValueError("rows: columns of unequal length")
    for row in range(count):
        if exposure[row] > 0:
            near = near if rows else delta[row]
            rows, last = rows + 1, row
    table = np.empty((4, rows))
    if not rows:
        return 0.0, 0.0, table[0], table[1], table[2], table[3], 0.0, False
    span = delta[last] - near
    unit, rows = span or 1.0, 0
    cdef double[:, ::1] found = table
    for row in range(count):
        if exposure[row] > 0:
            found[0, rows], found[1, rows] = (delta[row] - near) / unit, width[row] / unit
            found[2, rows], found[3, rows] = exposure[row], fills[row]
            cells |= isfinite(found[1, rows])
            rows += 1
    return near, span, table[0], table[1], table[2], table[3], pairwise(&found[3, 0], rows), cells


def total_of(const int64_t[::1] row, const double[:] exposure, const double[:] rate) -> float:
    """Return the sum over points of exposure times the rate of the point's row, added in the order of numpy.

    Args:
        row: Row index of each point.
        exposure: Seconds of each point.
        rate: Rate of each row.
    """
    cdef Py_ssize_t point, count = row.shape[0]
    cdef double[::1] products = np.empty(count + 1)
    if exposure.shape[0] != count:
        raise ValueError("rows: columns of unequal length")
    for point in range(count):
        if not 0 <= row[point] < rate.shape[0]:
            raise ValueError(f"rows: row {row[point]} of {rate.shape[0]}")
        products[point] = exposure[point] * rate[row[point]]
    return pairwise(&products[0], count)


def dispersed(
    place: tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.int64]],
    const double[:] exposure,
    const double[:] fills,
    const double[::1] rate,
    Py_ssize_t blocks,
) -> tuple[float, float]:
    """Return the summed squared deviation of block fills from expectation, and its expected value for Poisson flow.

    The expectation of a block is a share of all fills of its side, in proportion to the exposure times rate of its
    points. Sums over blocks are added in the order of numpy.

    Args:
        place: Block index, side and row index of each point.
        exposure: Seconds of each point.
        fills: Fills of each point.
        rate: Fills per second of each row.
        blocks: Number of blocks.
    """
    cdef const int64_t[::1] block = place[0], row = place[2]
    cdef const int8_t[:] side = place[1]
    cdef double[:, :, ::1] sums = np.zeros((2, 3, blocks))
    cdef double* means = &sums[0, 0, 0] if blocks else NULL
    cdef double* counts = &sums[1, 0, 0] if blocks else NULL
    cdef Py_ssize_t point, at, side_index
    cdef double expected, total, share, deviation, squares = 0, poisson = 0
    if not block.shape[0] == side.shape[0] == row.shape[0] == exposure.shape[0] == fills.shape[0]:
        raise ValueError("rows: columns of unequal length")
    for point in range(block.shape[0]):
        if not (0 <= block[point] < blocks and -1 <= side[point] <= 1 and 0 <= row[point] < rate.shape[0]):
            raise ValueError(f"rows: point {point} is in no block, side or row")
        at = (side[point] + 1) * blocks + block[point]
        means[at] += exposure[point] * rate[row[point]]
        counts[at] += fills[point]
    for side_index in (2, 0, 1):
        expected, total = pairwise(&sums[0, side_index, 0], blocks), pairwise(&sums[1, side_index, 0], blocks)
        if not (expected > 0 and total > 0):
            continue
        for at in range(blocks):
            share = sums[0, side_index, at] / expected
            deviation = sums[1, side_index, at] - total * share
            sums[0, side_index, at], sums[1, side_index, at] = share * (1 - share), deviation * deviation
        squares += pairwise(&sums[1, side_index, 0], blocks)
        poisson += total * pairwise(&sums[0, side_index, 0], blocks)
    return squares, poisson


cdef double pairwise(const double* values, Py_ssize_t count) noexcept:
    """Return the pairwise sum of values, as numpy adds a column."""
    cdef double[8] part
    cdef double found = 0
    cdef Py_ssize_t at, lane, half
    if count > 128:
        half = count // 2
        half -= half % 8
        return pairwise(values, half) + pairwise(values + half, count - half)
    if count < 8:
        for at in range(count):
            found += values[at]
        return found
    for lane in range(8):
        part[lane] = values[lane]
    for at in range(8, count - count % 8, 8):
        for lane in range(8):
            part[lane] += values[at + lane]
    found = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]))
    for at in range(count - count % 8, count):
        found += values[at]
    return found


def weighted_sums(
    const double[:, ::1] exposure, const double[:, ::1] fills, const double[::1] weight
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Return sums over blocks by column, the fills of each block, and the number of blocks up to the last exposed one.

    The sums are float64[4, c]: exposure and fills, then both weighted by block; added in the order of the blocks.

    Args:
        exposure: float64[b, c], in s.
        fills: float64[b, c], whole numbers.
        weight: float64[b], weight of each block.
    """
    cdef Py_ssize_t block, column, used = 0, blocks = exposure.shape[0], columns = exposure.shape[1]
    if not blocks == fills.shape[0] == weight.shape[0] or fills.shape[1] != columns:
        raise ValueError("rows: blocks or columns of unequal number")
    found, counted = np.zeros((4, columns)), np.zeros(blocks)
    cdef double[:, ::1] sums = found
    cdef double[::1] by_block = counted
    for block in range(blocks):
        add_row(&sums[0, 0], &exposure[block, 0], 1.0, columns)
        add_row(&sums[1, 0], &fills[block, 0], 1.0, columns)
        add_row(&sums[2, 0], &exposure[block, 0], weight[block], columns)
        add_row(&sums[3, 0], &fills[block, 0], weight[block], columns)
        for column in range(columns):
            by_block[block] += fills[block, column]
    for used in range(blocks, 0, -1):
        for column in range(columns):
            if exposure[used - 1, column] > 0:
                return found, counted, used
    return found, counted, 0


cdef inline void add_row(double* sums, const double* row, double weight, Py_ssize_t columns) noexcept:
    """Add a row times its weight."""
    cdef Py_ssize_t column
    for column in range(columns):
        sums[column] += weight * row[column]


def expected_by_block(const double[:, ::1] exposure, const double[::1] gain, Py_ssize_t blocks) -> NDArray[np.float64]:
    """Return the sums of exposure times gain over the columns of the first *blocks*, added in the order of numpy.

    Args:
        exposure: float64[b, c], in s.
        gain: float64[c], gain of each column.
        blocks: Number of blocks.
    """
    cdef Py_ssize_t block, column, columns = gain.shape[0]
    if exposure.shape[1] != columns or not 0 <= blocks <= exposure.shape[0]:
        raise ValueError("rows: blocks or columns of unequal number")
    found = np.zeros(blocks)
    cdef double[::1] sums = found, row = np.zeros(columns + 1)
    for block in range(blocks):
        for column in range(columns):
            row[column] = exposure[block, column] * gain[column]
        sums[block] = pairwise(&row[0], columns)
    return found
