# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Exposure and sweeps of a window by block and column, and the reach of its sweeps, in one pass over its tallies.

Why compiled: a schedule counts the cells of every window several times, from a few thousand rows, where some thirty
numpy calls cost ten times their work (docs/performance.md, "The calibration").
"""

from collections.abc import Sequence

from libc.math cimport INFINITY, exp, isnan
from libc.stdint cimport int8_t, int64_t

import numpy as np
from numpy.typing import NDArray

cdef int64_t CLOSED = -1  # instead of a distance: no valid book


cdef class CellColumns:
    """Maps distances to columns of a grid of cells, which are equal for each fraction of a tick.

    Args:
        begin: int64[c], starts of the cells, in whole ticks.
        per_tick: Steps of distance in one tick.
        last: Distance of the farthest cell that may begin, in steps.
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
        """Return the column of a distance of 0 or more; beyond the limit, the open one of its fraction of a tick."""
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

    cdef int stand(
        self,
        const int64_t[::1] touch,
        const int64_t[::1] in_block,
        const int64_t[::1] us,
        double[:, ::1] exposed,
        double[:, ::1] near,
    ) except -1:
        """Add the time of each touch to its column; to *near*, the part that nearer prices of the column miss."""
        cdef Py_ssize_t row, column
        cdef double late, share
        if not touch.shape[0] == in_block.shape[0] == us.shape[0]:
            raise ValueError("cells: columns of unequal length where the touch stood")
        for row in range(touch.shape[0]):
            if touch[row] == CLOSED or touch[row] > self.last:
                continue
            if not 0 <= in_block[row] < exposed.shape[0]:
                raise ValueError(f"cells: block {in_block[row]} of {exposed.shape[0]}")
            column = self.of(touch[row])
            exposed[in_block[row], column] += us[row]
            if self.plain:
                continue
            late = <double> (touch[row] - self.near(column)) / self.per_tick
            if late:
                share = 0.0 if self.is_open(column) else 1.0 - late / self.wide(column)
                near[in_block[row], column] += us[row] * (1.0 - share)
        return 0

    cdef int sweep(
        self,
        const int64_t[::1] met,
        const int64_t[::1] depth,
        const int64_t[::1] begun,
        const int64_t[::1] count,
        double[:, ::1] hit,
    ) except -1:
        """Add sweeps to the column that they end in."""
        cdef Py_ssize_t row
        if not met.shape[0] == depth.shape[0] == begun.shape[0] == count.shape[0]:
            raise ValueError("cells: columns of unequal length of the sweeps")
        for row in range(met.shape[0]):
            if met[row] != CLOSED and depth[row] >= met[row] and met[row] <= self.last:
                if not 0 <= begun[row] < hit.shape[0]:
                    raise ValueError(f"cells: block {begun[row]} of {hit.shape[0]}")
                hit[begun[row], self.of(depth[row])] += count[row]
        return 0

    cdef void reach(self, double[:, ::1] exposed, double[:, ::1] near) noexcept:
        """Accumulate the time at each touch over all touches as near or nearer."""
        cdef Py_ssize_t block, column
        for block in range(exposed.shape[0]):
            for column in range(self.per_tick, self.width):
                exposed[block, column] += exposed[block, column - self.per_tick]
            for column in range(self.width):
                exposed[block, column] = (
                    exposed[block, column] - near[block, column] if self.near(column) <= self.last else 0
                )


Stood = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
Swept = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def block_cells(
    CellColumns columns, parts: Sequence[tuple[Stood, Swept]], Py_ssize_t blocks
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return float64[b, c] of µs of exposure and float64[b, c] of sweeps.

    The exposure of a column is the mean over its prices of the time of all touches as near or nearer; that of an open
    one is at its start.

    Args:
        columns: The cells.
        parts: Parts whose rows add up; each has int64[n]: touch in steps, block, µs; and int64[m]: touch at the sweep,
            depth of the sweep in steps, block, number of sweeps.
        blocks: Number of blocks.
    """
    exposure_us, fills = np.zeros((blocks, columns.width)), np.zeros((blocks, columns.width))
    cdef double[:, ::1] exposed = exposure_us, hit = fills, near = np.zeros((blocks, columns.width))
    for (touch, in_block, us), (met, depth, begun, count) in parts:
        columns.stand(touch, in_block, us, exposed, near)
        columns.sweep(met, depth, begun, count, hit)
    columns.reach(exposed, near)
    return exposure_us, fills


def added_cells(
    sides: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], double second
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return exposure in s and sweeps of all sides together, float64[b, c] each; no sweeps of a side without exposure.

    Args:
        sides: What `block_cells` returns of each.
        second: µs of one.
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
]:
    """Return the cells that were exposed, a row each, by side, block and column, as the columns of points.

    They are the near edge of the cell and its width in ticks, its exposure in s, the sweeps that ended in it, int8
    side and int64 block. They are followed by the grouping of the cells: the last row of each non-empty column, and
    the index of each row's column among these.

    Args:
        columns: The cells.
        sides: Each side with what `block_cells` returns of it.
        second: µs of one.
    """
    cdef Py_ssize_t row = 0, block, column, rows = 0, full = 0
    cdef int8_t sign
    cdef const double[:, ::1] exposed, hit
    last_row = np.zeros(columns.width, np.int64)
    cdef int64_t[::1] last = last_row, index = np.zeros(columns.width, np.int64)
    for _, exposed, hit in sides:
        if not exposed.shape[0] == hit.shape[0] or not exposed.shape[1] == hit.shape[1] == columns.width:
            raise ValueError("cells: blocks or columns of unequal number")
        for block in range(exposed.shape[0]):
            for column in range(columns.width):
                rows += exposed[block, column] != 0
                index[column] |= exposed[block, column] != 0
    for column in range(columns.width):
        if index[column]:
            index[column], full = full, full + 1
    table = (*(np.empty(rows) for _ in range(4)), np.empty(rows, np.int8), np.empty(rows, np.int64))
    place = np.empty(rows, np.int64)
    cdef int64_t[::1] group = place
    cdef double[::1] delta = table[0], width = table[1], exposure_s = table[2], fills = table[3]
    cdef int8_t[::1] side = table[4]
    cdef int64_t[::1] blocked = table[5]
    for sign, exposed, hit in sides:
        for block in range(exposed.shape[0]):
            for column in range(columns.width):
                if exposed[block, column] != 0:
                    delta[row], width[row] = columns.delta_ticks[column], columns.width_ticks[column]
                    exposure_s[row] = exposed[block, column] / second
                    fills[row], side[row], blocked[row] = hit[block, column], sign, block
                    last[index[column]], group[row] = row, index[column]
                    row += 1
    return (*table, (last_row[:full], place))


def reach_steps(
    swept: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]],
    double far,
    double near,
    int64_t most,
) -> tuple[int, float, float] | None:
    """Return the number of sweeps that hit a probe, a quantile of their depths, and one of the touch at the sweep.

    Quantiles are interpolated linearly, in steps, and 0 without sweeps. None if a sweep is deeper than can be counted.

    Args:
        swept: int64[n] each: touch at the sweep, depth, and number of sweeps.
        far: Probability of the first quantile.
        near: Probability of the second quantile.
        most: The largest depth that is counted.
    """
    cdef const int64_t[::1] met, depth, count
    cdef Py_ssize_t row
    cdef int64_t deepest = 0, total = 0
    for met, depth, count in swept:
        if not met.shape[0] == depth.shape[0] == count.shape[0]:
            raise ValueError("cells: columns of unequal length of the sweeps")
        for row in range(met.shape[0]):
            if met[row] != CLOSED and depth[row] >= met[row]:
                deepest = max(deepest, depth[row])
                if met[row] < 0 or deepest > most:
                    return None
    cdef int64_t[::1] deep = np.zeros(deepest + 1, np.int64), touched = np.zeros(deepest + 1, np.int64)
    for met, depth, count in swept:
        for row in range(met.shape[0]):
            if met[row] != CLOSED and depth[row] >= met[row]:
                deep[depth[row]] += count[row]
                touched[met[row]] += count[row]
                total += count[row]
    return total, quantile_of(deep, total, far), quantile_of(touched, total, near)


cdef double quantile_of(const int64_t[::1] counts, int64_t total, double share) noexcept:
    """Return the quantile of the indices with these counts."""
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


def add_moves(
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
    double[:, ::1] sums,
    int64_t last,
    int64_t per_tick,
    double sign,
) -> None:
    """Add sweeps, and the moves after them, to difference sums: at the first distance hit, subtracted beyond the last.

    Args:
        swept: Touch at the sweep, depth in steps, and the move after each.
        sums: float64[2, steps], of sweeps and of moves.
        last: The largest distance used, in steps.
        per_tick: Steps of distance in one tick: a sweep hits distances with this spacing.
        sign: Weight of a sweep.
    """
    cdef const int64_t[::1] touch = swept[0], depth = swept[1]
    cdef const double[::1] move = swept[2]
    cdef Py_ssize_t row
    cdef int64_t met, beyond
    if not touch.shape[0] == depth.shape[0] == move.shape[0] or sums.shape[1] <= last + per_tick:
        raise ValueError("cells: columns of unequal length of the moves")
    for row in range(touch.shape[0]):
        met = touch[row]
        if not 0 <= met <= last:
            continue
        beyond = max(min(depth[row], last), met)
        beyond += per_tick - (beyond - met) % per_tick  # the first distance of its grid that is not hit
        sums[0, met] += sign
        sums[0, beyond] -= sign
        sums[1, met] += sign * move[row]
        sums[1, beyond] -= sign * move[row]


def probe_moves(
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    move: NDArray[np.float64],
    places: NDArray[np.int64],
    per_tick: int,
    blocks: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the moves of the mid after sweeps, by the probes hit.

    They are int64[p, b], the number of moves of a probe by block; float64[p], their mean; and float64[p, b], the summed
    deviations of a block from the mean, in the order of the sweeps.

    Args:
        swept: int64[n] each: touch at the sweep, depth in steps, and block.
        move: float64[n], half ticks; NaN if unknown.
        places: int64[p], distances of probes, in steps, ascending; each is hit from whole ticks nearer.
        per_tick: Steps of distance in one tick.
        blocks: Number of blocks.
    """
    cdef const int64_t[::1] touch = swept[0], depth = swept[1], block = swept[2]
    cdef const double[::1] moves = move
    part = np.asarray(places) % per_tick
    order_array = np.lexsort((places, part))
    cdef const int64_t[::1] order = order_array, steps = np.asarray(places)[order_array]
    cdef const int64_t[::1] begins = np.searchsorted(part[order_array], np.arange(per_tick + 1))
    counts_array = np.zeros((len(places), blocks), np.int64)
    means_array, off_array = np.zeros(len(places)), np.zeros((len(places), blocks))
    cdef int64_t[:, ::1] counts = counts_array
    cdef double[::1] means = means_array
    cdef double[:, ::1] off = off_array
    cdef Py_ssize_t row, at, stop
    cdef int64_t ticks = per_tick
    cdef bint means_known
    if not touch.shape[0] == depth.shape[0] == block.shape[0] == moves.shape[0]:
        raise ValueError("cells: columns of unequal length of the moves")
    for means_known in range(2):
        for row in range(touch.shape[0]):
            if isnan(moves[row]):
                continue
            stop = begins[touch[row] % ticks + 1]
            at = first_from(steps, begins[touch[row] % ticks], stop, touch[row])
            while at < stop and steps[at] <= depth[row]:
                if means_known:
                    off[order[at], block[row]] += moves[row] - means[order[at]]
                else:
                    counts[order[at], block[row]] += 1
                    means[order[at]] += moves[row]
                at += 1
        if not means_known:
            with np.errstate(invalid="ignore"):
                means_array /= counts_array.sum(axis=1)
    return counts_array, means_array, off_array


cdef Py_ssize_t first_from(const int64_t[::1] steps, Py_ssize_t low, Py_ssize_t high, int64_t least) noexcept:
    """Return the first index from *low* to *high* of ascending *steps* with *least* or more; *high* if there is none."""
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) >> 1
        if steps[middle] < least:
            low = middle + 1
        else:
            high = middle
    return low


def stood_between(
    const int64_t[::1] begins, const int64_t[::1] touch, span: tuple[int, int], int64_t block_us, int64_t first_block
) -> Stood:
    """Return touch, block and duration in µs of each piece of a span, split at rows and blocks.

    Args:
        begins: int64[n], start of each row, µs; the first is in force at the start of the span.
        touch: int64[n], touch, in steps.
        span: Start and end, µs.
        block_us: Length of a block; blocks count from the start.
        first_block: Index of the first block.
    """
    cdef int64_t start_us = span[0], end_us = span[1], at, until, cut, block
    cdef Py_ssize_t row, rows = begins.shape[0], found = 0
    if touch.shape[0] != rows:
        raise ValueError("cells: columns of unequal length of where the touch stood")
    table = np.empty((3, rows + max(end_us - start_us, 0) // block_us), np.int64)
    cdef int64_t[:, ::1] stood = table
    for row in range(rows):
        at = start_us if row == 0 else begins[row]
        until = begins[row + 1] if row + 1 < rows else end_us
        while at < until:
            block = (at - start_us) // block_us
            cut = min(start_us + (block + 1) * block_us, until)
            stood[0, found], stood[1, found], stood[2, found] = touch[row], first_block + block, cut - at
            at = cut
            found += 1
    return table[0, :found], table[1, :found], table[2, :found]


def rows_before(const int64_t[::1] begins, const int64_t[::1] events) -> NDArray[np.int64]:
    """Return the last row that begins before each event, -1 for none; one pass, as both are mostly ascending.

    Args:
        begins: int64[n], the event after which each row is in force, ascending.
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


cdef class TouchRows:
    """The touch of one side of a day and the sweeps that may hit its probes; windows use parts of them.

    Args:
        stood_us: int64[n], start of each touch, µs; the first row is before everything.
        touch: int64[n], touch, in steps.
        prints_us: int64[p], instants of the prints of the sweeps, ascending.
        opens: int64[s], index of the first print of each sweep.
        sweeps: int64[s] each: start of the complete sweep, row of the touch at the sweep, and depth in steps.
    """

    cdef const int64_t[::1] stood_us, touch, prints_us, opens, begun, row, depth

    def __cinit__(
        self,
        const int64_t[::1] stood_us,
        const int64_t[::1] touch,
        const int64_t[::1] prints_us,
        const int64_t[::1] opens,
        sweeps: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    ) -> None:
        self.stood_us, self.touch, self.prints_us, self.opens = stood_us, touch, prints_us, opens
        self.begun, self.row, self.depth = sweeps
        if touch.shape[0] != stood_us.shape[0] or not (
            self.begun.shape[0] == self.row.shape[0] == self.depth.shape[0] == opens.shape[0]
        ):
            raise ValueError("cells: columns of unequal length of a day")

    def beside(
        self, int64_t start_us, int64_t rest_us, int64_t end_us, int64_t block_us
    ) -> tuple[Stood, Swept | None]:
        """Return the part of a window outside the whole blocks before *rest_us*, and the sweeps that begin in these.

        The sweeps are None if a window border cuts one.

        Args:
            start_us: First instant of the window.
            rest_us: End of its whole blocks.
            end_us: First instant after the window.
            block_us: Length of a block.
        """
        cdef Py_ssize_t later = self.sweep_from(rest_us), end = self.sweep_from(end_us)
        cdef Py_ssize_t low = first_from(self.stood_us, 0, self.stood_us.shape[0], rest_us + 1) - 1
        cdef Py_ssize_t high = max(first_from(self.stood_us, low, self.stood_us.shape[0], end_us), low + 1)
        stood = stood_between(
            self.stood_us[low:high], self.touch[low:high], (rest_us, end_us), block_us, (rest_us - start_us) // block_us
        )
        if self.cut(start_us, end_us):
            return stood, None
        table = np.empty((4, end - later), np.int64)
        cdef int64_t[:, ::1] swept = table
        cdef Py_ssize_t one
        for one in range(later, end):
            swept[0, one - later], swept[1, one - later] = self.touch[self.row[one]], self.depth[one]
            swept[2, one - later], swept[3, one - later] = (self.begun[one] - start_us) // block_us, 1
        return stood, (table[0], table[1], table[2], table[3])

    def hits(self, int64_t start_us, int64_t end_us, int64_t last) -> NDArray[np.int64] | None:
        """Return when sweeps of a window hit a probe no farther than *last*; None where a border cuts a sweep.

        Args:
            start_us: First instant of the window.
            end_us: First instant after it.
            last: In steps.
        """
        if self.cut(start_us, end_us):
            return None
        cdef Py_ssize_t begin = self.sweep_from(start_us), end = self.sweep_from(end_us), sweep, count = 0
        found = np.empty(max(end - begin, 0), np.int64)
        cdef int64_t[::1] us = found
        cdef int64_t touch
        for sweep in range(begin, end):
            touch = self.touch[self.row[sweep]]
            if CLOSED != touch <= last and self.depth[sweep] >= touch:
                us[count] = self.begun[sweep]
                count += 1
        return found[:count]

    def cut(self, int64_t start_us, int64_t end_us) -> bool:
        """Return whether a sweep has prints on both sides of a window border, in µs."""
        cdef Py_ssize_t prints = self.prints_us.shape[0], count = self.opens.shape[0]
        cdef int64_t first = first_from(self.prints_us, 0, prints, start_us)
        cdef int64_t last = first_from(self.prints_us, first, prints, end_us)
        cdef Py_ssize_t begin = first_from(self.opens, 0, count, first), end = first_from(self.opens, 0, count, last)
        if first < min(self.opens[begin] if begin < count else prints, last):
            return True
        return begin < end and (self.opens[end] if end < count else prints) > last

    cdef Py_ssize_t sweep_from(self, int64_t us) noexcept:
        """Return the index of the first sweep that begins with a print at or after an instant."""
        cdef int64_t first = first_from(self.prints_us, 0, self.prints_us.shape[0], us)
        return first_from(self.opens, 0, self.opens.shape[0], first)


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
        raise ValueError("cells: columns of unequal length of the sweeps")
    for row in range(us.shape[0]):
        if state[row] >= 0:
            cell = first_from(edges, 0, edges.shape[0], beyond[row] + 1) - 1
            fills[(us[row] - begin_us) // length, state[row], cell] += 1.0


def hit_waits(
    path: tuple[NDArray[np.int64], NDArray[np.int64]],
    span: tuple[int, int],
    rates: tuple[float, float],
    int64_t last,
    const int64_t[::1] hits,
) -> tuple[NDArray[np.float64], float]:
    """Return how many hits were expected before each one that came in a stretch, and after the last one.

    Before the first from the begin of the stretch, before others from the one before; after the last to its end.

    Args:
        path: int64[n] each: when the touch came to stand, and where, in steps; a first row that begins after the
            stretch holds from its begin.
        span: Begin and end, µs.
        rates: A in 1/µs, and k by step: a touch at d is hit A·exp(-k·d) times in a µs.
        last: A touch farther away is not hit.
        hits: int64[m], when hits came, in order of time.
    """
    cdef const int64_t[::1] us = path[0], touch = path[1]
    cdef int64_t begin = span[0], end = span[1], until
    cdef double A = rates[0], k = rates[1], clock = 0.0, rate = 0.0, at, before = 0.0
    cdef Py_ssize_t row, hit = 0, count = hits.shape[0], first, rows
    if touch.shape[0] != us.shape[0]:
        raise ValueError("cells: columns of unequal length of the path")
    first = max(first_from(us, 0, us.shape[0], begin + 1) - 1, 0)
    rows = min(max(first_from(us, first, us.shape[0], end), first + 1), us.shape[0])
    found = np.empty(count)
    cdef double[::1] between = found
    for row in range(first, rows):
        until = us[row + 1] if row + 1 < rows else end
        if row == first or touch[row] != touch[row - 1]:
            rate = A * exp(-k * touch[row]) if CLOSED != touch[row] <= last else 0.0
        while hit < count and hits[hit] < until:
            at = clock + rate * (hits[hit] - begin)
            between[hit], before = at - before, at
            hit += 1
        clock += rate * (until - begin)
        begin = until
    for hit in range(hit, count):
        between[hit], before = clock - before, clock
    return found, clock - before
