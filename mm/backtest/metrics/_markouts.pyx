# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Moves of the mid after fills, and their sums by group of fills, in single passes."""

from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

from mm.backtest.metrics._rows_at cimport TimeIndex, index_of, indexed_row_at, row_at

import numpy as np

# Groups of fills: all, by side, by change of the inventory, and from BY_DISTANCE on by distance.
cdef enum:
    BY_DISTANCE = 5
    EARNED_US = -1

EARNED = EARNED_US  # type: int  # instead of a horizon: half-spread captured relative to the mid at the fill


def mid2_at(const int64_t[:, ::1] mids, const int64_t[:] us) -> NDArray[np.int64]:
    """Return the ``mid2_ticks`` of *mids* (a row for each change) in force at each instant; 0 before the first row.

    Each search begins at the previous result: *us* should be ascending, or nearly so.
    """
    found = np.zeros(us.shape[0], np.int64)
    cdef int64_t[::1] mid2 = found
    cdef int64_t i, at = -1
    with nogil:
        for i in range(us.shape[0]):
            at = row_at(&mids[0, 0], 2, mids.shape[0], us[i], at)
            if at >= 0:
                mid2[i] = mids[at, 1]
    return found


def moves_after(
    const int64_t[:, ::1] fills, const int64_t[:, ::1] mids, horizon_us: int, last_us: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the change of bid + ask over *horizon_us* after each fill, 0 if unknown, and whether it is known.

    It is unknown if the data end first, at *last_us*, or the book is not valid at either instant.
    """
    moved, known = np.zeros(fills.shape[0], np.int64), np.zeros(fills.shape[0], np.bool_)
    cdef int64_t[::1] move = moved
    cdef uint8_t[::1] is_known = known.view(np.uint8)
    cdef int64_t i, horizon = horizon_us, last = last_us
    cdef int32_t[::1] room = np.empty(mids.shape[0] + 1, np.int32)
    cdef TimeIndex index = index_of(&mids[0, 0], 2, mids.shape[0], fills.shape[0], &room[0])
    with nogil:
        for i in range(fills.shape[0]):
            is_known[i] = _moved(&fills[i, 0], &index, horizon, last, &move[i])
    return moved, known


def group_sums(
    const int64_t[:, ::1] fills,
    const int64_t[:, ::1] mids,
    const int64_t[::1] horizons_us,
    const int64_t[::1] bands,
    block_us: int,
    last_us: int,
    first_us: int = 0,
    target: int = 0,
    after: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return sums over the fills with a known move, by horizon and by group, in one pass.

    The groups: all, buys, sells, fills that add to the inventory or open one, fills that unwind it, and for each of
    *bands* those at this distance from the mid or more, and less than the next one.

    Args:
        fills: The table of a journal.
        mids: Its path of the mid.
        horizons_us: Time from a fill to the end of its move; ``EARNED`` for the half-spread captured at the fill.
        bands: Ascending distances, in half ticks.
        block_us: Length of a block.
        last_us: End of the data.
        first_us: Start of a block.
        target: Target inventory, from which adding and unwinding is counted.
        after: Bid + ask just after the event of each fill, for the horizon 0; None for that in force at its instant.

    Returns:
        Fills, int64[horizons, groups]; and float64[6, horizons, groups]: lots; lots times half ticks in our favour;
        lots times the half ticks captured relative to the mid; blocks with a fill; the sum over blocks of the
        squared deviation of lots times half ticks from lots times the mean; and that of their squared lots. Whole sums
        are exact below 2^53.
    """
    cdef int64_t count = horizons_us.shape[0], cells = 4 * (bands.shape[0] + 1), length = block_us, last = last_us
    cdef int64_t i, j, cell, earned, half, first = 0, blocks = 0, begun = -1, begun_us = 0
    cdef int64_t origin = first_us, held = target
    cdef double lots
    cdef bint has_after = after is not None, is_known
    cdef const int64_t[::1] event = np.empty(0, np.int64) if after is None else after
    if fills.shape[0]:
        first = blocks = fills[0, 0]
        for i in range(fills.shape[0]):
            first, blocks = min(first, fills[i, 0]), max(blocks, fills[i, 0])
        first = (first - origin) // length
        blocks = (blocks - origin) // length - first + 1
    shape = (count, BY_DISTANCE + bands.shape[0])
    counts, sums = np.zeros(shape, np.int64), np.zeros((6, *shape))
    cdef int64_t[:, ::1] all_counts = counts
    cdef double[:, :, ::1] totals = sums
    cdef double[:, :, :, ::1] by_block = np.zeros((blocks, 2, *shape))  # lots, and lots times half ticks in our favour
    # Sums of one block by side, change and distance, added once per fill: fills, lots, lots times half ticks earned.
    # By horizon: lots times half ticks in our favour, and the negative sums of the fills with an unknown move.
    cdef double[:, ::1] taken = np.zeros((cells, 3))
    cdef double[:, :, ::1] later = np.zeros((count, cells, 4))
    cdef int32_t[::1] room = np.empty(mids.shape[0] + 1, np.int32)
    cdef TimeIndex index = index_of(&mids[0, 0], 2, mids.shape[0], count * fills.shape[0], &room[0])
    cdef double* sum
    with nogil:
        for i in range(fills.shape[0]):
            if fills[i, 7] <= 0:
                continue
            if begun < 0 or not 0 <= fills[i, 0] - begun_us < length:
                if begun >= 0:
                    _close_block(taken, later, all_counts, totals, by_block[begun])
                begun = (fills[i, 0] - origin) // length - first
                begun_us = (begun + first) * length + origin
            earned = fills[i, 2] * (fills[i, 7] - 2 * fills[i, 3])
            cell = 0
            for j in range(bands.shape[0]):
                cell += earned >= bands[j]
            cell = 4 * cell + 2 * (fills[i, 2] < 0) + (
                (fills[i, 8] - held - fills[i, 2] * fills[i, 4]) * fills[i, 2] < 0
            )
            lots = <double> fills[i, 4]
            taken[cell, 0] += 1.0
            taken[cell, 1] += lots
            taken[cell, 2] += lots * <double> earned
            for j in range(count):
                sum = &later[j, cell, 0]
                if has_after and horizons_us[j] == 0:
                    half, is_known = event[i] - fills[i, 7], event[i] > 0
                else:
                    is_known = _moved(&fills[i, 0], &index, horizons_us[j], last, &half)
                if is_known:
                    sum[3] += lots * <double> (fills[i, 2] * half)
                else:
                    sum[0] -= 1.0
                    sum[1] -= lots
                    sum[2] -= lots * <double> earned
        if begun >= 0:
            _close_block(taken, later, all_counts, totals, by_block[begun])
        for i in range(blocks):
            _add_squares(by_block[i], totals)
    return counts, sums


cdef void _close_block(
    double[:, ::1] taken,
    double[:, :, ::1] later,
    int64_t[:, ::1] counts,
    double[:, :, ::1] totals,
    double[:, :, ::1] block,
) noexcept nogil:
    """Add the sums of a *block* by side, change and distance to those of the groups, and reset them to 0."""
    cdef int64_t j, cell, place, group
    cdef double fills, lots, earned
    for cell in range(taken.shape[0]):
        if taken[cell, 0] == 0:
            continue
        for j in range(later.shape[0]):
            fills, lots = taken[cell, 0] + later[j, cell, 0], taken[cell, 1] + later[j, cell, 1]
            earned = taken[cell, 2] + later[j, cell, 2]
            for place in range(4 if cell >= 4 else 3):  # below 4: nearer than the first distance
                group = 0
                if place == 1:
                    group = 1 + (cell >> 1 & 1)
                elif place == 2:
                    group = 3 + (cell & 1)
                elif place == 3:
                    group = BY_DISTANCE + (cell >> 2) - 1
                counts[j, group] += <int64_t> fills
                totals[0, j, group] += lots
                totals[1, j, group] += later[j, cell, 3]
                totals[2, j, group] += earned
                block[0, j, group] += lots
                block[1, j, group] += later[j, cell, 3]
            later[j, cell, 0] = later[j, cell, 1] = later[j, cell, 2] = later[j, cell, 3] = 0
        taken[cell, 0] = taken[cell, 1] = taken[cell, 2] = 0


cdef void _add_squares(double[:, :, ::1] block, double[:, :, ::1] totals) noexcept nogil:
    """Count a *block* in the groups with a fill in it, and add its squared deviations from the means of the groups."""
    cdef int64_t j, group
    cdef double away
    for j in range(block.shape[1]):
        for group in range(block.shape[2]):
            away = block[1, j, group] - totals[1, j, group] / totals[0, j, group] * block[0, j, group]
            totals[3, j, group] += block[0, j, group] != 0
            totals[4, j, group] += away * away
            totals[5, j, group] += block[0, j, group] * block[0, j, group]


cdef inline bint _moved(
    const int64_t* fill, const TimeIndex* mids, int64_t horizon_us, int64_t last_us, int64_t* half
) noexcept nogil:
    """Store the change of bid + ask after a fill, and return whether it is known."""
    cdef int64_t later_us = fill[0] + horizon_us, at
    if fill[7] <= 0:
        return False
    if horizon_us == EARNED_US:
        half[0] = fill[7] - 2 * fill[3]
        return True
    if later_us > last_us:
        return False
    at = indexed_row_at(mids, later_us)
    if at < 0 or mids.us[2 * at + 1] <= 0:
        return False
    half[0] = mids.us[2 * at + 1] - fill[7]
    return True
