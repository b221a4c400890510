# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Exposure and sweeps of a window by block and column, and how far its sweeps reached, in one pass over its tallies.

Why compiled: a schedule counts the cells of every window several times, from a few thousand rows, where some thirty
numpy calls cost ten times their work (docs/performance.md, "The calibration").
"""

from collections.abc import Sequence

from libc.math cimport INFINITY, exp, isnan
from libc.stdint cimport int8_t, int64_t

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
            raise ValueError(f"cells: {per_tick} steps in a tick, which is no power of two")
        self.delta_ticks = np.array([self.near(column) / <double> per_tick for column in range(self.width)])
        self.width_ticks = np.array([self.wide(column) for column in range(self.width)])

    cdef Py_ssize_t of(self, int64_t steps) noexcept:
        """Return the column of a distance of 0 or more; beyond the limit, the open one of its part of a tick."""
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
        """Return where a column begins, in steps."""
        return (self.begin[column >> self.shift] << self.shift) + (column & (self.per_tick - 1))

    cdef bint is_open(self, Py_ssize_t column) noexcept:
        """Return whether a column that begins no farther than the limit has no end."""
        cdef Py_ssize_t after = column + self.per_tick
        return after >= self.width or self.near(after) > self.last

    cdef double wide(self, Py_ssize_t column) noexcept:
        """Return how wide a column is, in ticks."""
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
        """Add where the touch stood to the column that it stood in; to *near*, what nearer prices of that had not."""
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
        """Make the time at each touch that of all touches as near or nearer."""
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
    one counts from where it begins.

    Args:
        columns: The cells.
        parts: Whose rows add up; of each, int64[n]: where the touch stood, in steps, in which block, and for how many
            µs; and int64[m]: touch that sweeps met, depth of them, in steps, block, and how many.
        blocks: How many there are.
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

    Those are the near edge of the cell and its width in ticks, its exposure in s, the sweeps that ended in it, int8
    side and int64 block. Behind them comes what `group` says of the cells: the last row of each column that has any,
    and the number of each row's column among these.

    Args:
        columns: The cells.
        sides: Each side with what `block_cells` returns of it.
        second: µs of one.
    """
    cdef Py_ssize_t row = 0, block, column, rows = 0
    cdef int8_t sign
    cdef const double[:, ::1] exposed, hit
    for _, exposed, hit in sides:
        if not exposed.shape[0] == hit.shape[0] or not exposed.shape[1] == hit.shape[1] == columns.width:
            raise ValueError("cells: blocks or columns of unequal number")
        for block in range(exposed.shape[0]):
            for column in range(columns.width):
                rows += exposed[block, column] != 0
    table = (*(np.empty(rows) for _ in range(4)), np.empty(rows, np.int8), np.empty(rows, np.int64))
    last_row, place = np.full(columns.width, -1, np.int64), np.empty(rows, np.int64)
    cdef int64_t[::1] last = last_row, in_column = place
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
                    last[column], in_column[row] = row, column
                    row += 1
    seen = last_row >= 0
    return (*table, (last_row[seen], (np.cumsum(seen) - 1)[place]))


def reach_steps(
    swept: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]],
    double far,
    double near,
    int64_t most,
) -> tuple[int, float, float] | None:
    """Return how many sweeps hit a probe, a quantile of how deep they reached, and one of the touch that they met.

    On a straight line between neighbours; in steps, and 0 where there are no sweeps. None where one reached deeper than
    can be counted.

    Args:
        swept: int64[n] each: touch that sweeps met, depth of them, and how many.
        far: Share of the sweeps that reached no deeper than the first quantile.
        near: The same of the second one.
        most: The depth up to which places are counted.
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
    """Return the quantile of places of which each occurs so often."""
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
    """Add sweeps, and the moves after them, to sums by the first distance that is hit, and take them back beyond.

    Args:
        swept: Touch that sweeps met, their depth in steps, and the move after each.
        sums: float64[2, steps], of sweeps and of moves.
        last: The farthest distance that counts, in steps.
        per_tick: Steps of distance in one tick: a sweep hits every so many of them.
        sign: What a sweep counts.
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
        beyond += per_tick - (beyond - met) % per_tick  # the first distance of its row that is not hit
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
    """Return what the mid moved after sweeps, by the probes that they hit.

    That is int64[p, b], how many moves a probe has by block; float64[p], their mean; and float64[p, b], what the moves
    of a block are off the mean together, summed in the order of the sweeps.

    Args:
        swept: int64[n] each: touch that sweeps met, their depth in steps, and their block.
        move: float64[n], half ticks; NaN where it is not known.
        places: int64[p], where probes stand, in steps, rising; each is hit from whole ticks nearer.
        per_tick: Steps of distance in one tick.
        blocks: How many there are.
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
    """Return the first of rising *steps* from *low* to *high* that is *least* or more; *high* where there is none."""
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
    """Return where the touch stood, in which block, and for how many µs, cut where a row or a block begins.

    Args:
        begins: int64[n], when it came to stand so, µs; the first row holds when the span begins.
        touch: int64[n], where, in steps.
        span: Begin and end, µs.
        block_us: Length of a block; they count from the begin.
        first_block: Number of the first block.
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
    """Return the last row that begins before each event, -1 where none does: both mostly rise, so one pass finds them.

    Args:
        begins: int64[n], the event after which each row holds, rising.
        events: int64[m], in order as a rule.
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
    """The touch of one side of a day and the sweeps that may hit its probes: a window takes a part of them.

    Args:
        stood_us: int64[n], when the touch came to stand where it stands, µs; the first row before everything.
        touch: int64[n], where, in steps.
        prints_us: int64[p], when the prints of the sweeps came, in order of time.
        opens: int64[s], the number of the print that begins each sweep.
        sweeps: int64[s] each: when a whole sweep began, the row of the touch that it met, and its depth in steps.
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
        """Return what a window holds beside the whole blocks before *rest_us*, and the sweeps that begin in these.

        Of the sweeps it is None where a border of the window cuts one.

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
        """Return whether a sweep has prints on both sides of an end of a window, which is in µs."""
        cdef Py_ssize_t prints = self.prints_us.shape[0], count = self.opens.shape[0]
        cdef int64_t first = first_from(self.prints_us, 0, prints, start_us)
        cdef int64_t last = first_from(self.prints_us, first, prints, end_us)
        cdef Py_ssize_t begin = first_from(self.opens, 0, count, first), end = first_from(self.opens, 0, count, last)
        if first < min(self.opens[begin] if begin < count else prints, last):
            return True
        return begin < end and (self.opens[end] if end < count else prints) > last

    cdef Py_ssize_t sweep_from(self, int64_t us) noexcept:
        """Return the number of the first sweep that begins with a print at an instant or later."""
        cdef int64_t first = first_from(self.prints_us, 0, self.prints_us.shape[0], us)
        return first_from(self.opens, 0, self.opens.shape[0], first)


def ends_by_block(
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    begins: NDArray[np.int64],
    start_us: int,
    block_us: int,
    double[:, :, ::1] fills,
) -> None:
    """Count sweeps by block, state and how far beyond the touch they ended.

    Args:
        swept: int64[n] each: when they came, number of the state that they met, below 0 of none, and how many ticks
            beyond the touch they ended.
        begins: int64[c], where cells begin, in ticks beyond the touch, from 0; the last one is open.
        start_us: Begin of the first block.
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
