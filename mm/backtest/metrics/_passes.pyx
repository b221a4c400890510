# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""One pass each over fills, marks or draws, where numpy would take many: what the summary of a run adds up."""

from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t

import numpy as np


def mid2_at(const int64_t[:, :] mids, const int64_t[:] us) -> NDArray[np.int64]:
    """Return the ``mid2_ticks`` of *mids* (a row for each change) in force at each instant; 0 before the first row.

    Each is looked for from the place of the one before it: *us* should rise, or nearly.
    """
    found = np.zeros(us.shape[0], np.int64)
    cdef int64_t[::1] mid2 = found
    cdef int64_t i, at = -1, rows = mids.shape[0]
    with nogil:
        for i in range(us.shape[0]):
            while at + 1 < rows and mids[at + 1, 0] <= us[i]:
                at += 1
            while at >= 0 and mids[at, 0] > us[i]:
                at -= 1
            if at >= 0:
                mid2[i] = mids[at, 1]
    return found


def block_sums(
    const int64_t[:, :] fills,
    const int64_t[::1] half_ticks,
    const uint8_t[::1] known,
    const int64_t[:, ::1] places,
    blocks: int,
    groups: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return sums over the *known* fills by group and by block of time.

    Args:
        fills: The table of a journal.
        half_ticks: What each fill is measured by: how far bid + ask went.
        known: Whether it is.
        places: Block of each fill, from 0 on, and then the groups that it belongs to; -1 for none.
        blocks: How many blocks there are.
        groups: How many groups.

    Returns:
        Fills, int64[groups]; lots, float64[blocks, groups]; lots times *half_ticks* our way, likewise; lots times the
        half ticks earned against the mid, float64[groups]. Sums of whole numbers: exact below 2^53.
    """
    cdef int64_t i, j, block, group
    cdef double lots, moved, earned
    counts, earned_by = np.zeros(groups, np.int64), np.zeros(groups)
    lots_by, moved_by = np.zeros((blocks, groups)), np.zeros((blocks, groups))
    cdef int64_t[::1] count = counts
    cdef double[::1] all_earned = earned_by
    cdef double[:, ::1] all_lots = lots_by, all_moved = moved_by
    with nogil:
        for i in range(fills.shape[0]):
            if not known[i]:
                continue
            lots, block = <double> fills[i, 4], places[i, 0]
            moved = lots * <double> (fills[i, 2] * half_ticks[i])
            earned = lots * <double> (fills[i, 2] * (fills[i, 7] - 2 * fills[i, 3]))
            for j in range(1, places.shape[1]):
                group = places[i, j]
                if group >= 0:
                    count[group] += 1
                    all_lots[block, group] += lots
                    all_moved[block, group] += moved
                    all_earned[group] += earned
    return counts, lots_by, moved_by, earned_by


def first_in_first_out(const int64_t[:, :] fills) -> NDArray[np.int64]:
    """Return lots bought and sold again, first in, first out, int64[3, pairs]: row that bought, row that sold, lots."""
    pairs = np.empty((3, fills.shape[0]), np.int64)
    cdef int64_t[:, ::1] found = pairs
    cdef int64_t buy = -1, sell = -1, bought = 0, sold = 0, lots, count = 0, fill_count = fills.shape[0]
    with nogil:
        while True:
            while bought == 0 and buy < fill_count:
                buy += 1
                if buy < fill_count and fills[buy, 2] > 0:
                    bought = fills[buy, 4]
            while sold == 0 and sell < fill_count:
                sell += 1
                if sell < fill_count and fills[sell, 2] < 0:
                    sold = fills[sell, 4]
            if buy >= fill_count or sell >= fill_count:
                break
            lots = min(bought, sold)
            found[0, count], found[1, count], found[2, count] = buy, sell, lots
            bought -= lots
            sold -= lots
            count += 1
    return pairs[:, :count]


def on_grid(const int64_t[:] us, const int64_t[:] values, step_us: int) -> NDArray[np.float64]:
    """Return *values* as they stood every *step_us* from the first instant to the last; there must be one."""
    cdef int64_t step = step_us, first = us[0], rows = us.shape[0], at = 0, i
    grid = np.empty((us[rows - 1] - first) // step + 1)
    cdef double[::1] found = grid
    with nogil:
        for i in range(found.shape[0]):
            while at + 1 < rows and us[at + 1] <= first + i * step:
                at += 1
            found[i] = <double> values[at]
    return grid


def edge_counts(const int64_t[::1] values, const int64_t[::1] edges) -> NDArray[np.int64]:
    """Return how many *values* are at most each of the rising *edges* and above the one before; the last: above all."""
    counts = np.zeros(edges.shape[0] + 1, np.int64)
    cdef int64_t[::1] count = counts
    cdef int64_t i, at = 0
    with nogil:
        for i in range(values.shape[0]):
            while at < edges.shape[0] and values[i] > edges[at]:
                at += 1
            while at > 0 and values[i] <= edges[at - 1]:
                at -= 1
            count[at] += 1
    return counts


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
        first: The first period of each block of each draw; the last block of a draw has a length of its own.
        sums: Sums of a block's values and of their squares, by its first period.
        last_sums: The same of a last block.
        block: Length of a block, in periods.
        last_block: That of a last one.
        centre: What is added to the mean of a draw.
    """
    cdef int64_t draws = first.shape[0], last = first.shape[1] - 1, i, j
    cdef double length = block, last_length = last_block, periods = last * length + last_length
    cdef double mean, variance, deviation, ratio, value, square, per_value, per_square, per_period, influence, spread
    cdef const double* pair
    ratios, errors = np.empty(draws), np.zeros(draws)
    cdef double[::1] all_ratios = ratios, error = errors
    with nogil:
        for i in range(draws):
            pair = &last_sums[first[i, last], 0]
            value, square = pair[0], pair[1]
            for j in range(last):
                pair = &sums[first[i, j], 0]
                value += pair[0]
                square += pair[1]
            mean = value / periods
            variance = square / periods - mean * mean
            if variance <= 1e-12:
                all_ratios[i] = centre + mean
                continue
            deviation = sqrt(variance)
            ratio = (centre + mean) / deviation
            # (Σ − n·mean)/deviation − ratio/2·((Σ² − 2·mean·Σ + n·mean²)/variance − n), by what it multiplies
            per_value, per_square = 1 / deviation + ratio * mean / variance, -0.5 * ratio / variance
            per_period = -mean / deviation - 0.5 * ratio * (mean * mean / variance - 1)
            pair = &last_sums[first[i, last], 0]
            influence = per_value * pair[0] + per_square * pair[1] + per_period * last_length
            spread = influence * influence
            for j in range(last):
                pair = &sums[first[i, j], 0]
                influence = per_value * pair[0] + per_square * pair[1] + per_period * length
                spread += influence * influence
            spread = sqrt(spread) / periods
            all_ratios[i], error[i] = ratio, spread if spread > 1e-12 else 0.0
    return ratios, errors
