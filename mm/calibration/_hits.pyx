# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Sweeps of a day by window: their tallies, the moves of the mid after them, and expected hits between hits.

Why compiled: each is a sequential loop over the sweeps or rows of a day, which no numpy call replaces.
"""

from libc.math cimport exp, isnan, rint
from libc.stdint cimport int64_t

import numpy as np
from numpy.typing import NDArray

from mm.calibration._cells import Stood, Swept, Tally, touch_times

from mm.calibration._search cimport first_from

cdef int64_t CLOSED = -1  # in place of a distance: no valid book


cdef class TouchRows:
    """The touch of one side of a day and the sweeps that may hit its probes; windows use ranges of them.

    Args:
        stood_us: int64[n], start of each touch, µs; the first row starts before all data.
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
            raise ValueError("cells: day columns of unequal length")

    def beside(self, int64_t start_us, int64_t rest_us, int64_t end_us, int64_t block_us) -> Tally | None:
        """Return the tally of a window outside its whole blocks before *rest_us*; None if a window border cuts a sweep.

        Args:
            start_us: First instant of the window.
            rest_us: End of its whole blocks.
            end_us: First instant after the window.
            block_us: Length of a block.
        """
        if self.cut(start_us, end_us):
            return None
        cdef Py_ssize_t later = self.sweep_from(rest_us), end = self.sweep_from(end_us), one
        found = np.empty((4, end - later), np.int64)
        cdef int64_t[:, ::1] table = found
        for one in range(later, end):
            table[0, one - later], table[1, one - later] = self.touch[self.row[one]], self.depth[one]
            table[2, one - later], table[3, one - later] = (self.begun[one] - start_us) // block_us, 1
        return self.with_sweeps(start_us, rest_us, end_us, block_us, (found[0], found[1], found[2], found[3]))

    def with_sweeps(
        self, int64_t start_us, int64_t rest_us, int64_t end_us, int64_t block_us, swept: Swept
    ) -> Tally:
        """Return the same tally with the given sweeps *swept*, some of which borders may cut."""
        cdef Py_ssize_t low = first_from(self.stood_us, 0, self.stood_us.shape[0], rest_us + 1) - 1
        cdef Py_ssize_t high = max(first_from(self.stood_us, low, self.stood_us.shape[0], end_us), low + 1)
        stood = touch_times(
            self.stood_us[low:high], self.touch[low:high], (rest_us, end_us), block_us, (rest_us - start_us) // block_us
        )
        return Tally(stood, swept)

    def hits(self, int64_t start_us, int64_t end_us, int64_t last) -> NDArray[np.int64] | None:
        """Return the instants at which sweeps of a window hit a probe, µs; None if a border cuts a sweep.

        Args:
            start_us: First instant of the window.
            end_us: First instant after it.
            last: Largest touch distance that counts, in steps.
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


cdef class SettledRows:
    """Sweeps in order of time, with the move of the mid after each; ranges of them are added to difference sums.

    The sums of the last range are cached: the next range adds and subtracts the difference. Moves are multiples of half
    a tick, so sums are exact in any order.

    Args:
        us: int64[n], start of each sweep, µs.
        touch: int64[n], distance of the touch just before it, in steps.
        depth: int64[n], distance of the deepest price that it hit, in steps.
        move: float64[n], move of the mid after it, in ticks.
        per_tick: Steps of distance in one tick: a sweep hits distances with this spacing.
    """

    cdef const int64_t[::1] us, touch, depth
    cdef const double[::1] move
    cdef int64_t per_tick
    cdef double[:, ::1] kept
    cdef Py_ssize_t begin, end  # range of the rows in the kept sums

    def __init__(
        self,
        const int64_t[::1] us,
        const int64_t[::1] touch,
        const int64_t[::1] depth,
        const double[::1] move,
        int64_t per_tick,
    ) -> None:
        """Start with the sums of no sweep."""
        self.us, self.touch, self.depth, self.move, self.per_tick = us, touch, depth, move, per_tick
        if not us.shape[0] == touch.shape[0] == depth.shape[0] == move.shape[0]:
            raise ValueError("hits: move columns of unequal length")
        self.kept = np.zeros((2, 0))

    def part(self, double[:, ::1] sums, int64_t start_us, int64_t end_us, int64_t last) -> None:
        """Add the sweeps that begin in ``[start, end)`` to difference sums, as `each` does."""
        cdef Py_ssize_t begin = first_from(self.us, 0, self.us.shape[0], start_us)
        cdef Py_ssize_t end = max(first_from(self.us, begin, self.us.shape[0], end_us), begin)
        cdef Py_ssize_t row, column
        if self.kept.shape[1] != sums.shape[1] or not self.begin <= begin <= self.end:
            self.kept, self.begin, self.end = np.zeros((2, sums.shape[1])), begin, begin
        self.add(self.kept, self.begin, begin, last, -1.0)
        self.add(self.kept, self.end, end, last, 1.0)
        self.add(self.kept, end, self.end, last, -1.0)
        self.begin, self.end = begin, end
        for row in range(2):
            for column in range(sums.shape[1]):
                sums[row, column] += self.kept[row, column]

    def each(self, double[:, ::1] sums, int64_t last, double sign) -> None:
        """Add all sweeps, and the moves after them, to difference sums, or subtract them.

        A sweep counts at the first distance that it hits, and is subtracted beyond the last of the same spacing.

        Args:
            sums: float64[2, steps], of sweeps and of moves.
            last: The largest distance used, in steps.
            sign: 1 to add, -1 to subtract.
        """
        self.add(sums, 0, self.us.shape[0], last, sign)

    cdef int add(self, double[:, ::1] sums, Py_ssize_t begin, Py_ssize_t end, int64_t last, double sign) except -1:
        """Add the sweeps of the rows from *begin* to *end*."""
        cdef Py_ssize_t row
        cdef int64_t met, beyond
        if sums.shape[1] <= last + self.per_tick:
            raise ValueError("hits: too few distances for the moves")
        for row in range(begin, end):
            met = self.touch[row]
            if not 0 <= met <= last:
                continue
            beyond = max(min(self.depth[row], last), met)
            beyond += self.per_tick - (beyond - met) % self.per_tick  # the first distance of its grid that is not hit
            sums[0, met] += sign
            sums[0, beyond] -= sign
            sums[1, met] += sign * self.move[row]
            sums[1, beyond] -= sign * self.move[row]
        return 0


def mean_moves(
    double[:, ::1] sums, const int64_t[::1] places, int64_t last, int64_t per_tick, double least
) -> tuple[tuple[float, float], ...]:
    """Return the distances in ticks that enough sweeps hit, each with the mean move after these sweeps.

    Args:
        sums: Difference sums of `SettledRows`; replaced by the sweeps that hit each distance, and their summed moves.
        places: Distances, in steps, ascending.
        last: The largest distance that counts, in steps.
        per_tick: Steps of distance in one tick.
        least: Minimum number of sweeps.
    """
    cdef Py_ssize_t row, column
    cdef double hits
    cdef list found = []
    for row in range(2):
        for column in range(per_tick, sums.shape[1]):
            sums[row, column] += sums[row, column - per_tick]
    for row in range(places.shape[0]):
        if places[row] > last:
            break
        hits = rint(sums[0, places[row]])
        if hits >= least:
            found.append((places[row] / <double> per_tick, sums[1, places[row]] / hits))
    return tuple(found)


def probe_moves(
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    move: NDArray[np.float64],
    places: NDArray[np.int64],
    per_tick: int,
    blocks: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the moves of the mid after sweeps, by the probes hit.

    They are int64[p, b], the number of moves of a probe by block; float64[p], their mean in ticks; and float64[p, b],
    the summed deviations of a block from the mean, in the order of the sweeps.

    Args:
        swept: int64[n] each: touch at the sweep, depth in steps, and block.
        move: float64[n], in ticks; NaN if unknown.
        places: int64[p], distances of probes, in steps, ascending; sweeps hit those whole ticks beyond their touch.
        per_tick: Steps of distance in one tick.
        blocks: Number of blocks.
    """
    cdef const int64_t[::1] touch = swept[0], depth = swept[1], block = swept[2]
    cdef const double[::1] moves = move
    fraction = np.asarray(places) % per_tick
    order_array = np.lexsort((places, fraction))
    cdef const int64_t[::1] order = order_array, steps = np.asarray(places)[order_array]
    cdef const int64_t[::1] begins = np.searchsorted(fraction[order_array], np.arange(per_tick + 1))
    counts_array = np.zeros((len(places), blocks), np.int64)
    means_array, deviations_array = np.zeros(len(places)), np.zeros((len(places), blocks))
    cdef int64_t[:, ::1] counts = counts_array
    cdef double[::1] means = means_array
    cdef double[:, ::1] deviations = deviations_array
    cdef Py_ssize_t row, at, stop
    cdef int64_t ticks = per_tick
    cdef bint means_known
    if not touch.shape[0] == depth.shape[0] == block.shape[0] == moves.shape[0]:
        raise ValueError("cells: move columns of unequal length")
    for means_known in range(2):
        for row in range(touch.shape[0]):
            if isnan(moves[row]):
                continue
            stop = begins[touch[row] % ticks + 1]
            at = first_from(steps, begins[touch[row] % ticks], stop, touch[row])
            while at < stop and steps[at] <= depth[row]:
                if means_known:
                    deviations[order[at], block[row]] += moves[row] - means[order[at]]
                else:
                    counts[order[at], block[row]] += 1
                    means[order[at]] += moves[row]
                at += 1
        if not means_known:
            with np.errstate(invalid="ignore"):
                means_array /= counts_array.sum(axis=1)
    return counts_array, means_array, deviations_array


def expected_between_hits(
    path: tuple[NDArray[np.int64], NDArray[np.int64]],
    span: tuple[int, int],
    rates: tuple[float, float],
    int64_t last,
    const int64_t[::1] hits,
) -> tuple[NDArray[np.float64], float]:
    """Return the number of hits expected before each hit of a span, float64[m], and after the last one.

    Counted from the previous hit, for the first one from the start of the span; after the last one up to its end.

    Args:
        path: int64[n] each: start of each touch, µs, and its distance, in steps; a first row with a later start applies
            from the start of the span.
        span: Start and end, µs.
        rates: A in 1/µs, and k per step: a touch at d is hit A·exp(-k·d) times per µs.
        last: Largest distance of a touch that is hit, in steps.
        hits: int64[m], instants of the hits, µs, ascending.
    """
    cdef const int64_t[::1] us = path[0], touch = path[1]
    cdef int64_t begin = span[0], end = span[1], until
    cdef double A = rates[0], k = rates[1], reached = 0.0, rate = 0.0, expected, before = 0.0
    cdef Py_ssize_t row, hit = 0, count = hits.shape[0], first, rows
    if touch.shape[0] != us.shape[0]:
        raise ValueError("cells: path columns of unequal length")
    first = max(first_from(us, 0, us.shape[0], begin + 1) - 1, 0)
    rows = min(max(first_from(us, first, us.shape[0], end), first + 1), us.shape[0])
    found = np.empty(count)
    cdef double[::1] between = found
    for row in range(first, rows):
        until = us[row + 1] if row + 1 < rows else end
        if row == first or touch[row] != touch[row - 1]:
            rate = A * exp(-k * touch[row]) if CLOSED != touch[row] <= last else 0.0
        while hit < count and hits[hit] < until:
            expected = reached + rate * (hits[hit] - begin)
            between[hit], before = expected - before, expected
            hit += 1
        reached += rate * (until - begin)
        begin = until
    for hit in range(hit, count):
        between[hit], before = reached - before, reached
    return found, reached - before
