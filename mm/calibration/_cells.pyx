# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Exposure and sweeps of a window by block and column, and the reach of its sweeps, in one pass over its tallies.

Why compiled: a schedule computes the cells of every window several times from a few thousand rows; some thirty numpy
calls would take ten times as long (docs/performance.md, "The calibration").
"""

from collections.abc import Sequence

from libc.math cimport INFINITY
from libc.stdint cimport int8_t, int64_t

import numpy as np
from numpy.typing import NDArray

from mm.calibration._search cimport first_from

cdef int64_t CLOSED = -1  # in place of a distance: no valid book
cdef int64_t MAX_KEPT_STEPS = 4096  # up to this depth, hits are cached by depth
cdef Py_ssize_t MIN_KEPT_ROWS = 500  # windows with more rows update the hits of the previous window
Stood = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
Swept = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


cdef class Tally:
    """Time at each touch, and sweeps, of one side of a window; rows may have equal keys, and their values add up.

    Attributes:
        stood: int64[n], distance of the own best price (touch) from the reference, in steps; ``CLOSED`` without a book.
        stood_block: int64[n], block of the window.
        us: int64[n], duration at this touch, in µs.
        touch: int64[m], distance of the touch just before the sweeps, in steps.
        depth: int64[m], distance of the deepest price that they hit, in steps.
        block: int64[m], block in which they began.
        count: int64[m], number of sweeps; negative to subtract sweeps that a window border cuts.
    """

    cdef const int64_t[::1] time_touches, time_blocks, times_us, touches, depths, blocks, counts
    cdef int64_t first  # block number in the rows that is block 0 of the tally
    cdef BlockSums sums  # sums that the sweeps are rows of, from sums_begin to sums_end; or None
    cdef Py_ssize_t sums_begin, sums_end

    def __init__(self, stood: Stood, swept: Swept) -> None:
        """Take the columns, in the order of the attributes."""
        self.time_touches, self.time_blocks, self.times_us = stood
        self.touches, self.depths, self.blocks, self.counts = swept
        if not self.time_touches.shape[0] == self.time_blocks.shape[0] == self.times_us.shape[0]:
            raise ValueError("cells: touch columns of unequal length")
        if not self.touches.shape[0] == self.depths.shape[0] == self.blocks.shape[0] == self.counts.shape[0]:
            raise ValueError("cells: sweep columns of unequal length")

    @staticmethod
    def of_sweeps(
        touch: NDArray[np.int64], depth: NDArray[np.int64], count: NDArray[np.int64]
    ) -> Tally:
        """Return a tally of sweeps alone, all in block 0."""
        none = np.zeros(0, np.int64)
        return Tally((none, none, none), (touch, depth, np.zeros(len(touch), np.int64), count))

    @property
    def stood(self) -> NDArray[np.int64]:
        return np.asarray(self.time_touches)

    @property
    def stood_block(self) -> NDArray[np.int64]:
        return np.asarray(self.time_blocks) - self.first

    @property
    def us(self) -> NDArray[np.int64]:
        return np.asarray(self.times_us)

    @property
    def touch(self) -> NDArray[np.int64]:
        return np.asarray(self.touches)

    @property
    def depth(self) -> NDArray[np.int64]:
        return np.asarray(self.depths)

    @property
    def block(self) -> NDArray[np.int64]:
        return np.asarray(self.blocks) - self.first

    @property
    def count(self) -> NDArray[np.int64]:
        return np.asarray(self.counts)

    def __bool__(self) -> bool:
        """Return whether there is any row."""
        return self.times_us.shape[0] > 0 or self.counts.shape[0] > 0

    cdef Tally part(self, Py_ssize_t stood, Py_ssize_t stood_end, Py_ssize_t swept, Py_ssize_t swept_end, int64_t first):
        """Return ranges of the rows; their blocks count from *first*."""
        cdef Tally tally = Tally.__new__(Tally)
        tally.time_touches, tally.time_blocks = self.time_touches[stood:stood_end], self.time_blocks[stood:stood_end]
        tally.times_us = self.times_us[stood:stood_end]
        tally.touches, tally.depths = self.touches[swept:swept_end], self.depths[swept:swept_end]
        tally.blocks, tally.counts = self.blocks[swept:swept_end], self.counts[swept:swept_end]
        tally.first = first
        return tally

    cdef bint has_rows_before(self, int64_t blocks) noexcept:
        """Return whether any row is in the first *blocks* blocks."""
        cdef Py_ssize_t row
        for row in range(self.time_blocks.shape[0]):
            if self.time_blocks[row] - self.first < blocks:
                return True
        for row in range(self.blocks.shape[0]):
            if self.blocks[row] - self.first < blocks:
                return True
        return False


cdef void count_hits(
    Tally rows, Py_ssize_t begin, Py_ssize_t end, int64_t sign, int64_t[:, ::1] hits
) noexcept:
    """Add the sweeps in a range of rows that hit a probe, times *sign*, to *hits* by depth and by touch."""
    cdef const int64_t[::1] touch = rows.touches, depth = rows.depths, count = rows.counts
    cdef Py_ssize_t row
    for row in range(begin, end):
        if touch[row] != CLOSED and depth[row] >= touch[row]:
            hits[0, depth[row]] += sign * count[row]
            hits[1, touch[row]] += sign * count[row]


cdef class CellColumns:
    """Maps distances to columns of a grid of cells, which are equal for each fraction of a tick.

    Args:
        begin: int64[c], starts of the cells, in whole ticks.
        per_tick: Steps of distance in one tick.
        last: Largest distance at which a cell may begin, in steps.
    """

    cdef const int64_t[::1] begin
    cdef Py_ssize_t cells, width
    cdef const double[::1] delta_ticks, width_ticks  # of each column
    cdef int64_t per_tick, last
    cdef int shift  # per_tick is 2 to this power
    cdef bint plain  # every cell is a tick wide

    def __cinit__(self, const int64_t[::1] begin, int64_t per_tick, int64_t last) -> None:
        self.begin, self.per_tick, self.last = begin, per_tick, last
        self.cells = begin.shape[0]
        self.width = self.cells * per_tick
        self.plain = begin[self.cells - 1] == self.cells - 1
        while self.shift < 62 and (<int64_t> 1 << self.shift) < per_tick:
            self.shift += 1
        if <int64_t> 1 << self.shift != per_tick:
            raise ValueError(f"cells: {per_tick} steps in a tick, not a power of two")
        self.delta_ticks = np.array([self.near(column) / <double> per_tick for column in range(self.width)])
        self.width_ticks = np.array([self.wide(column) for column in range(self.width)])

    cdef Py_ssize_t of(self, int64_t steps) noexcept:
        """Return the column of a distance of 0 or more; beyond the limit, the open one of its fraction of a tick.

        Negative if there is none.
        """
        cdef int64_t ticks = steps >> self.shift, part = steps & (self.per_tick - 1)
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
        low = (low << self.shift) + part
        return low - self.per_tick if self.near(low) > self.last else low

    cdef int64_t near(self, Py_ssize_t column) noexcept:
        """Return the start of a column, in steps."""
        return (self.begin[column >> self.shift] << self.shift) + (column & (self.per_tick - 1))

    cdef bint is_open(self, Py_ssize_t column) noexcept:
        """Return whether a column that starts within the limit is open."""
        cdef Py_ssize_t after = column + self.per_tick
        return after >= self.width or self.near(after) > self.last

    cdef double wide(self, Py_ssize_t column) noexcept:
        """Return the width of a column, in ticks."""
        if self.is_open(column):
            return INFINITY
        return <double> (self.near(column + self.per_tick) - self.near(column)) / self.per_tick

    cdef int add_times(self, Tally rows, double[:, ::1] exposed, double[:, ::1] near) except -1:
        """Add the time at each touch to its column; to *near*, the share of the column's nearer prices."""
        cdef const int64_t[::1] touch = rows.time_touches, in_block = rows.time_blocks, us = rows.times_us
        cdef Py_ssize_t row, column, block
        cdef double excess, share
        for row in range(touch.shape[0]):
            if touch[row] == CLOSED or touch[row] > self.last:
                continue
            block = in_block[row] - rows.first
            if not 0 <= block < exposed.shape[0]:
                raise ValueError(f"cells: block {block} of {exposed.shape[0]}")
            column = self.of(touch[row])
            exposed[block, column] += us[row]
            if self.plain:
                continue
            excess = <double> (touch[row] - self.near(column)) / self.per_tick
            if excess:
                share = 0.0 if self.is_open(column) else 1.0 - excess / self.wide(column)
                near[block, column] += us[row] * (1.0 - share)
        return 0

    cdef int add_sweeps(self, Tally rows, double[:, ::1] hit) except -1:
        """Add sweeps to the columns in which they end."""
        cdef const int64_t[::1] touch = rows.touches, depth = rows.depths, begun = rows.blocks, count = rows.counts
        cdef Py_ssize_t row, block, column
        for row in range(touch.shape[0]):
            if touch[row] != CLOSED and depth[row] >= touch[row] and touch[row] <= self.last:
                block, column = begun[row] - rows.first, self.of(depth[row])
                if not 0 <= block < hit.shape[0]:
                    raise ValueError(f"cells: block {block} of {hit.shape[0]}")
                if column >= 0:
                    hit[block, column] += count[row]
        return 0

    cdef int fill(self, list parts, double[:, ::1] exposed, double[:, ::1] hit) except -1:
        """Compute the cells of blocks, all 0 before, from *parts*, whose rows add up."""
        cdef double[:, ::1] near = np.zeros((0 if self.plain else exposed.shape[0], self.width))
        cdef Tally tally
        for tally in parts:
            self.add_times(tally, exposed, near)
            self.add_sweeps(tally, hit)
        self.reach(exposed, near)
        return 0

    cdef void reach(self, double[:, ::1] exposed, double[:, ::1] near) noexcept:
        """Accumulate the time at each touch over all touches as near or nearer."""
        cdef Py_ssize_t block, column
        for block in range(exposed.shape[0]):
            for column in range(self.per_tick, self.width):
                exposed[block, column] += exposed[block, column - self.per_tick]
            for column in range(self.width):
                if self.near(column) > self.last:
                    exposed[block, column] = 0
                elif not self.plain:
                    exposed[block, column] -= near[block, column]


cdef class BlockSums:
    """Tallies of the blocks of one side of a day; a window uses a range of blocks.

    Args:
        rows: Rows of all blocks, in block order.
        begin_us: First instant of the first block.
        block_us: Length of a block.
        blocks: Number of blocks.
    """

    cdef Tally rows
    cdef readonly int64_t begin_us, block_us, blocks
    cdef const int64_t[::1] stood, swept  # the first row of each block, and the end
    # Hits by depth and by touch of the rows from begin to end; the next window adds and subtracts the difference.
    cdef int64_t[:, ::1] hits
    cdef Py_ssize_t begin, end

    def __init__(self, Tally rows, int64_t begin_us, int64_t block_us, int64_t blocks) -> None:
        """Find the rows of each block."""
        self.rows, self.begin_us, self.block_us, self.blocks = rows, begin_us, block_us, blocks
        edges = np.arange(blocks + 1)
        self.stood, self.swept = (np.searchsorted(block, edges) for block in (rows.stood_block, rows.block))
        touch, depth = rows.touch, rows.depth
        hit = (touch != CLOSED) & (depth >= touch)
        deepest = depth[hit].max(initial=0)
        self.hits = np.zeros((2, deepest + 1 if (touch[hit] >= 0).all() and deepest < MAX_KEPT_STEPS else 0), np.int64)

    def between(self, int64_t start_us, int64_t blocks) -> Tally:
        """Return whole blocks from *start_us* on, which is the start of a block."""
        return self.block_range((start_us - self.begin_us) // self.block_us, blocks)

    cdef Tally block_range(self, int64_t first, int64_t blocks):
        if not 0 <= first <= first + blocks <= self.blocks:
            raise ValueError(f"cells: {blocks} blocks from {first} of {self.blocks}")
        cdef Py_ssize_t begin = self.swept[first], end = self.swept[first + blocks]
        cdef Tally found = self.rows.part(self.stood[first], self.stood[first + blocks], begin, end, first)
        if self.hits.shape[1] and end - begin > MIN_KEPT_ROWS:
            found.sums, found.sums_begin, found.sums_end = self, begin, end
        return found

    cdef void update_hits(self, Py_ssize_t begin, Py_ssize_t end) noexcept:
        """Update the hits to those of the rows from *begin* to *end*."""
        if not (self.begin <= begin < self.end and 2 * (begin - self.begin) < self.end - self.begin):
            self.hits[...] = 0
            self.begin = self.end = begin
        count_hits(self.rows, self.begin, begin, -1, self.hits)
        count_hits(self.rows, self.end, end, 1, self.hits)
        count_hits(self.rows, end, self.end, -1, self.hits)
        self.begin, self.end = begin, end


cdef class BlockCells:
    """The cells of one side of a day by block and column of one grid; a window adds the missing blocks.

    Args:
        sums: The blocks.
        columns: The columns.

    Attributes:
        counted: Number of rows counted so far.
    """

    cdef BlockSums sums
    cdef CellColumns columns
    cdef readonly int64_t counted
    cdef object exposure_us, fills
    cdef double[:, ::1] exposed, hit
    cdef Py_ssize_t begin, until  # range of the counted blocks

    def __init__(self, BlockSums sums, CellColumns columns) -> None:
        """Start without any block."""
        self.sums, self.columns = sums, columns
        self.exposure_us, self.fills = np.zeros((2, sums.blocks, columns.width))
        self.exposed, self.hit = self.exposure_us, self.fills

    def fits(self, BlockSums sums, CellColumns columns) -> bool:
        """Return whether these are the cells of *sums* in *columns*, compared by limit and step."""
        return self.sums is sums and self.columns.last == columns.last and self.columns.per_tick == columns.per_tick

    def window(
        self, int64_t start_us, Py_ssize_t whole, own: Sequence[Tally], Py_ssize_t blocks
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the result of `block_cells` for a window; it must not be modified.

        Args:
            start_us: Start of the window and of a block.
            whole: Number of blocks taken from the sums; later ones are not read.
            own: Further rows: time in later blocks, and sweeps in any block, with negative counts to subtract.
            blocks: Number of blocks of the window.
        """
        cdef Py_ssize_t first = self.shared(start_us, whole), after = 0 if overlaps_blocks(own, whole) else whole
        shared = self.exposure_us[first : first + whole], self.fills[first : first + whole]
        if blocks == whole == after:
            return shared
        found = np.zeros((2, blocks, self.columns.width))
        self.beside(own, after, found[0, after:], found[1, after:])
        for cells, seen in zip(found, shared):
            cells[:whole] += seen
        return found[0], found[1]

    cdef Py_ssize_t shared(self, int64_t start_us, Py_ssize_t whole) except -1:
        """Count the missing ones of *whole* blocks, and return the first block; a gap discards all previous blocks."""
        cdef Py_ssize_t begin = (start_us - self.sums.begin_us) // self.sums.block_us, until = begin + whole
        cdef Tally new
        if not self.begin <= begin <= self.until:
            self.begin = self.until = begin
            self.exposed[begin:], self.hit[begin:] = 0.0, 0.0
        if until > self.until:
            new = self.sums.block_range(self.until, until - self.until)
            self.counted += new.times_us.shape[0]
            self.columns.fill([new], self.exposed[self.until : until], self.hit[self.until : until])
            self.until = until
        return begin

    cdef int beside(self, own: Sequence[Tally], Py_ssize_t after, double[:, ::1] exposed, double[:, ::1] hit) except -1:
        """Compute the cells of the blocks from *after* on, all 0 before, from rows outside the sums."""
        cdef Tally tally
        cdef list later = []
        for tally in own:
            self.counted += tally.times_us.shape[0]
            later.append(tally.part(0, tally.times_us.shape[0], 0, tally.counts.shape[0], tally.first + after))
        return self.columns.fill(later, exposed, hit)


cdef bint overlaps_blocks(own: Sequence[Tally], Py_ssize_t whole) except -1:
    """Return whether any rows are in the first *whole* blocks; only if a window border cuts a sweep."""
    cdef Tally tally
    for tally in own:
        if tally.has_rows_before(whole):
            return True
    return False


cdef class AddedCells:
    """Cells of all sides of a day together, as from `added_cells`, with each block added once.

    Args:
        sides: Cells of each side.
        second: Number of µs in a second.
    """

    cdef list sides
    cdef double second
    cdef object exposure_s, fills
    cdef Py_ssize_t width, begin, until  # range of the added blocks

    def __init__(self, sides: Sequence[BlockCells], double second) -> None:
        """Start without any block."""
        cdef BlockCells cells = sides[0]
        self.sides, self.second, self.width = list(sides), second, cells.columns.width
        self.exposure_s, self.fills = np.zeros((2, cells.sums.blocks, self.width))

    def window(
        self, int64_t start_us, Py_ssize_t whole, own: Sequence[Sequence[Tally]], Py_ssize_t blocks
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return exposure in s and sweeps of a window, float64[b, c] each, valid until the next call.

        Args:
            start_us, whole, blocks: As for `BlockCells.window`.
            own: Further rows of each side, as for `BlockCells.window`.
        """
        cdef BlockCells cells
        cdef Py_ssize_t first = 0, last
        if any([overlaps_blocks(beside, whole) for beside in own]):
            found = [cells.window(start_us, whole, beside, blocks) for cells, beside in zip(self.sides, own)]
            return added_cells(found, self.second)
        for cells in self.sides:
            first = cells.shared(start_us, whole)
        if not self.begin <= first <= self.until:
            self.begin = self.until = first
        last = first + whole
        if last > self.until:
            parts = [(cells.exposure_us[self.until : last], cells.fills[self.until : last]) for cells in self.sides]
            self.set(self.until, last, parts)
            self.until = last
        if blocks > whole:
            parts = [np.zeros((2, blocks - whole, self.width)) for _ in self.sides]
            for cells, beside, (exposed, hit) in zip(self.sides, own, parts):
                cells.beside(beside, whole, exposed, hit)
            self.set(last, first + blocks, parts)
            self.until = last  # the later blocks are of this window only
        return self.exposure_s[first : first + blocks], self.fills[first : first + blocks]

    cdef int set(self, Py_ssize_t begin, Py_ssize_t end, list parts) except -1:
        """Set the cells of the blocks from *begin* to *end*."""
        self.exposure_s[begin:end], self.fills[begin:end] = added_cells(parts, self.second)
        return 0


def block_cells(
    CellColumns columns, parts: Sequence[Tally], Py_ssize_t blocks
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return exposure in µs and number of sweeps, float64[b, c] each.

    The exposure of a column is the mean over its prices of the time at touches as near or nearer; for an open column,
    it is that at its start.

    Args:
        columns: Columns of the cells.
        parts: Tallies whose rows add up.
        blocks: Number of blocks.
    """
    exposure_us, fills = np.zeros((blocks, columns.width)), np.zeros((blocks, columns.width))
    columns.fill(list(parts), exposure_us, fills)
    return exposure_us, fills


def added_cells(
    sides: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], double second
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return exposure in s and sweeps of all sides together, float64[b, c] each; no sweeps of a side without exposure.

    Args:
        sides: Result of `block_cells` for each side.
        second: Number of µs in a second.
    """
    spent, counted = (np.zeros(sides[0][0].shape) for _ in range(2))
    cdef double[:, ::1] exposure = spent, fills = counted
    cdef const double[:, ::1] exposed, hit
    cdef Py_ssize_t block, column
    for exposed, hit in sides:
        if not exposed.shape[0] == hit.shape[0] == fills.shape[0] or not (
            exposed.shape[1] == hit.shape[1] == fills.shape[1]
        ):
            raise ValueError("cells: blocks or columns of unequal number")
        for block in range(fills.shape[0]):
            for column in range(fills.shape[1]):
                exposure[block, column] += exposed[block, column]
                fills[block, column] += hit[block, column] if exposed[block, column] > 0 else 0
    for block in range(fills.shape[0]):
        for column in range(fills.shape[1]):
            exposure[block, column] /= second
    return spent, counted


def cell_rows(
    CellColumns columns, sides: Sequence[tuple[int, NDArray[np.float64], NDArray[np.float64]]], double second
) -> tuple[
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.int8],
    NDArray[np.int64],
    tuple[NDArray[np.int64], NDArray[np.int64]],
    tuple[NDArray[np.int64], NDArray[np.int64]],
]:
    """Return the exposed cells, one row each, by side, block and column, as the columns of points.

    These are the near edge of the cell and its width in ticks, its exposure in s, the sweeps that ended in it, int8
    side and int64 block. The grouping by column follows: the last row of each non-empty column, and the index of each
    row's column among these; then that by block: the blocks with a row, and the index of each row's block among these.

    Args:
        columns: Columns of the cells.
        sides: Each side with its result of `block_cells`.
        second: Number of µs in a second.
    """
    cdef Py_ssize_t row = 0, block, column, full = 0, most = 0, blocks = 0
    cdef int8_t sign
    cdef const double[:, ::1] exposed, hit
    for _, exposed, hit in sides:
        if not exposed.shape[0] == hit.shape[0] or not exposed.shape[1] == hit.shape[1] == columns.width:
            raise ValueError("cells: blocks or columns of unequal number")
        most += exposed.shape[0] * columns.width
        blocks = max(blocks, exposed.shape[0])
    numbers, signs, whole = np.empty((4, most)), np.empty(most, np.int8), np.empty((2, most), np.int64)
    last_row, places = np.full(columns.width, -1), np.zeros(columns.width, np.int64)
    cdef double[:, ::1] number = numbers
    cdef int8_t[::1] side = signs
    cdef int64_t[:, ::1] blocked = whole
    cdef const double[::1] delta = columns.delta_ticks, wide = columns.width_ticks
    cdef int64_t[::1] last = last_row, index = places, number_of = np.zeros(blocks, np.int64)
    for sign, exposed, hit in sides:
        for block in range(exposed.shape[0]):
            for column in range(columns.width):
                if exposed[block, column] == 0:
                    continue
                if not (exposed[block, column] > 0 and hit[block, column] >= 0):
                    raise ValueError(f"cells: {hit[block, column]} sweeps in {exposed[block, column]} µs")
                number[0, row], number[1, row] = delta[column], wide[column]
                number[2, row], number[3, row] = exposed[block, column] / second, hit[block, column]
                side[row], blocked[0, row], blocked[1, row] = sign, block, column
                last[column], number_of[block] = row, 1
                row += 1
    for column in range(columns.width):
        if last[column] >= 0:
            last[full], index[column] = last[column], full
            full += 1
    for most in range(row):
        blocked[1, most] = index[blocked[1, most]]
    with_rows = np.flatnonzero(number_of)
    in_block = whole[0, :row]
    if len(with_rows) < blocks:  # usually, every block has a row
        number_of = np.cumsum(number_of) - 1
        in_block = np.asarray(number_of)[in_block]
    groups = (last_row[:full], whole[1, :row]), (with_rows, in_block)
    return (*numbers[:, :row], signs[:row], whole[0, :row], *groups)


def reach_steps(
    parts: Sequence[Tally], double far, double near, int64_t most
) -> tuple[int, float, float] | None:
    """Return the number of sweeps that hit a probe, a quantile of their depths, and a quantile of their touches.

    Quantiles are interpolated linearly, in steps, and 0 without sweeps. None if a sweep is deeper than *most*.

    Args:
        parts: The sweeps.
        far: Probability of the first quantile.
        near: Probability of the second quantile.
        most: The largest depth that is counted.
    """
    cdef const int64_t[::1] touch, depth
    cdef Tally tally
    cdef Py_ssize_t row, axis
    cdef int64_t deepest = 0, total = 0
    for tally in parts:
        if tally.sums is not None and tally.sums.hits.shape[1] <= most:
            deepest = max(deepest, tally.sums.hits.shape[1] - 1)
            continue
        touch, depth = tally.touches, tally.depths
        for row in range(touch.shape[0]):
            if touch[row] != CLOSED and depth[row] >= touch[row]:
                deepest = max(deepest, depth[row])
                if touch[row] < 0 or deepest > most:
                    return None
    cdef int64_t[:, ::1] hits = np.zeros((2, deepest + 1), np.int64)
    for tally in parts:
        if tally.sums is None or tally.sums.hits.shape[1] > most:
            count_hits(tally, 0, tally.touches.shape[0], 1, hits)
            continue
        tally.sums.update_hits(tally.sums_begin, tally.sums_end)
        for axis in range(2):
            for row in range(tally.sums.hits.shape[1]):
                hits[axis, row] += tally.sums.hits[axis, row]
    for row in range(deepest + 1):
        total += hits[0, row]
    return total, quantile_of(hits[0], total, far), quantile_of(hits[1], total, near)


cdef double quantile_of(const int64_t[::1] counts, int64_t total, double share) noexcept:
    """Return the quantile of the indices, weighted by their counts."""
    cdef double place = max(total - 1, 0) * share
    cdef int64_t first = <int64_t> place, until = 0
    cdef double part = place - first
    cdef Py_ssize_t at, below = -1
    for at in range(counts.shape[0]):
        until += counts[at]
        if below < 0 and until > first:
            below = at
        if until > first + (part > 0):
            return below + (at - below) * part if part < 0.5 else at - (at - below) * (1 - part)
    return 0.0


def touch_times(
    const int64_t[::1] begins, const int64_t[::1] touch, span: tuple[int, int], int64_t block_us, int64_t first_block
) -> Stood:
    """Return touch, block and duration in µs of each piece of a span, split at rows and blocks.

    Args:
        begins: int64[n], start of each row, µs; the first applies from the start of the span.
        touch: int64[n], touch, in steps.
        span: Start and end, µs.
        block_us: Length of a block; blocks count from the start.
        first_block: Index of the first block.
    """
    cdef int64_t start_us = span[0], end_us = span[1], at, until, cut, block = 0, edge = start_us + block_us
    cdef Py_ssize_t row, rows = begins.shape[0], found = 0
    if touch.shape[0] != rows:
        raise ValueError("cells: touch columns of unequal length")
    table = np.empty((3, rows + max(end_us - start_us, 0) // block_us), np.int64)
    cdef int64_t[:, ::1] stood = table
    for row in range(rows):
        at = start_us if row == 0 else begins[row]
        until = begins[row + 1] if row + 1 < rows else end_us
        while at < until:
            if at >= edge:
                block = (at - start_us) // block_us
                edge = start_us + (block + 1) * block_us
            cut = min(edge, until)
            stood[0, found], stood[1, found], stood[2, found] = touch[row], first_block + block, cut - at
            at = cut
            found += 1
    return table[0, :found], table[1, :found], table[2, :found]


def add_seconds(stood: Stood, double[:, ::1] seconds) -> None:
    """Add the durations of `touch_times`, in s, by block and state (instead of touch; below 0: none)."""
    cdef const int64_t[::1] state = stood[0], block = stood[1], us = stood[2]
    cdef Py_ssize_t row
    for row in range(us.shape[0]):
        if state[row] >= 0:
            seconds[block[row], state[row]] += us[row] / 1e6


def rows_before(const int64_t[::1] begins, const int64_t[::1] events) -> NDArray[np.int64]:
    """Return the last row that begins before each event, -1 for none; one pass, as both are mostly ascending.

    Args:
        begins: int64[n], the event after which each row applies, ascending.
        events: int64[m], usually ascending.
    """
    found = np.empty(events.shape[0], np.int64)
    cdef int64_t[::1] rows = found
    cdef Py_ssize_t at = 0, event
    for event in range(events.shape[0]):
        if event and events[event] < events[event - 1]:
            at = first_from(begins, 0, at, events[event])
        while at < begins.shape[0] and begins[at] < events[event]:
            at += 1
        rows[event] = at - 1
    return found


def ends_by_block(
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    begins: NDArray[np.int64],
    start_us: int,
    block_us: int,
    double[:, :, ::1] fills,
) -> None:
    """Count sweeps by block, state and distance beyond the touch.

    Args:
        swept: int64[n] each: instant, index of the state (below 0: none), and ticks beyond the touch at which they
            ended.
        begins: int64[c], starts of cells, in ticks beyond the touch, from 0; the last one is open.
        start_us: Start of the first block.
        block_us: Length of a block.
        fills: float64[b, s, c].
    """
    cdef const int64_t[::1] us = swept[0], state = swept[1], beyond = swept[2], edges = begins
    cdef int64_t begin_us = start_us, length = block_us
    cdef Py_ssize_t row, cell
    if not us.shape[0] == state.shape[0] == beyond.shape[0]:
        raise ValueError("cells: sweep columns of unequal length")
    for row in range(us.shape[0]):
        if state[row] >= 0:
            cell = first_from(edges, 0, edges.shape[0], beyond[row] + 1) - 1
            fills[(us[row] - begin_us) // length, state[row], cell] += 1.0
