# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Exposure and sweeps of one side of a window by block and column, in one pass over its tally.

Why compiled: a schedule counts the cells of every window several times, from a few thousand rows, where some thirty
numpy calls cost ten times their work (docs/performance.md, "The calibration").
"""

from libc.stdint cimport int64_t

import numpy as np
from numpy.typing import NDArray

cdef int64_t CLOSED = -1  # in place of a distance: no valid book


cdef class CellColumns:
    """Where a distance lies in a grid of cells, which are the same from each part of a tick.

    Args:
        begin: int64[c], where the cells begin, in whole ticks.
        per_tick: Steps of distance in one tick.
        last: Distance of the farthest cell that may begin, in steps.
    """

    cdef const int64_t[::1] begin
    cdef Py_ssize_t cells
    cdef int64_t per_tick, last
    cdef bint plain  # every cell is a tick wide

    def __cinit__(self, const int64_t[::1] begin, int64_t per_tick, int64_t last) -> None:
        self.begin, self.per_tick, self.last = begin, per_tick, last
        self.cells = begin.shape[0]
        self.plain = begin[self.cells - 1] == self.cells - 1

    cdef Py_ssize_t of(self, int64_t steps) noexcept:
        """Return the column of a distance of 0 or more; beyond the limit, the open one of its part of a tick."""
        cdef int64_t ticks = steps // self.per_tick, part = steps % self.per_tick
        cdef Py_ssize_t low = 0, high = self.cells, middle
        if self.plain:
            low = min(ticks, self.cells - 1)
        else:
            while high - low > 1:
                middle = (low + high) // 2
                if self.begin[middle] <= ticks:
                    low = middle
                else:
                    high = middle
        low = low * self.per_tick + part
        return low - self.per_tick if self.near(low) > self.last else low

    cdef int64_t near(self, Py_ssize_t column) noexcept:
        """Return where a column begins, in steps."""
        return self.begin[column // self.per_tick] * self.per_tick + column % self.per_tick

    cdef bint is_open(self, Py_ssize_t column) noexcept:
        """Return whether a column that begins no farther than the limit has no end."""
        cdef Py_ssize_t after = column + self.per_tick
        return after >= self.cells * self.per_tick or self.near(after) > self.last


def block_cells(
    CellColumns columns,
    stood: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    Py_ssize_t blocks,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return float64[b, c] of µs of exposure and float64[b, c] of sweeps.

    The exposure of a column is the mean over its prices of the time of all touches as near or nearer; that of an open
    one counts from where it begins.

    Args:
        columns: The cells.
        stood: int64[n] each: where the touch stood, in steps, in which block, and for how many µs.
        swept: int64[m] each: touch that sweeps met, depth of them, in steps, block, and how many.
        blocks: How many there are.
    """
    cdef const int64_t[::1] touch = stood[0], in_block = stood[1], us = stood[2]
    cdef const int64_t[::1] met = swept[0], depth = swept[1], begun = swept[2], count = swept[3]
    cdef Py_ssize_t width = columns.cells * columns.per_tick, row, column, block
    cdef int64_t per_tick = columns.per_tick, last = columns.last
    cdef double late, wide, share
    if not touch.shape[0] == in_block.shape[0] == us.shape[0]:
        raise ValueError("cells: columns of unequal length where the touch stood")
    if not met.shape[0] == depth.shape[0] == begun.shape[0] == count.shape[0]:
        raise ValueError("cells: columns of unequal length of the sweeps")
    exposure_us, fills = np.zeros((blocks, width)), np.zeros((blocks, width))
    cdef double[:, ::1] exposed = exposure_us, hit = fills, near = np.zeros((blocks, width))
    for row in range(touch.shape[0]):
        if touch[row] == CLOSED or touch[row] > last:
            continue
        if not 0 <= in_block[row] < blocks:
            raise ValueError(f"cells: block {in_block[row]} of {blocks}")
        column = columns.of(touch[row])
        exposed[in_block[row], column] += us[row]
        late = <double> (touch[row] - columns.near(column)) / per_tick
        if late:
            share = 0.0
            if not columns.is_open(column):
                wide = <double> (columns.near(column + per_tick) - columns.near(column)) / per_tick
                share = 1.0 - late / wide
            near[in_block[row], column] += us[row] * (1.0 - share)
    for block in range(blocks):
        for column in range(per_tick, width):
            exposed[block, column] += exposed[block, column - per_tick]
        for column in range(width):
            exposed[block, column] = exposed[block, column] - near[block, column] if columns.near(column) <= last else 0
    for row in range(met.shape[0]):
        if met[row] != CLOSED and depth[row] >= met[row] and met[row] <= last:
            if not 0 <= begun[row] < blocks:
                raise ValueError(f"cells: block {begun[row]} of {blocks}")
            hit[begun[row], columns.of(depth[row])] += count[row]
    return exposure_us, fills
