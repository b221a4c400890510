# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Turns of expectation and maximisation for a falling curve of any steps (`mm.calibration.shapes.monotone`).

Why compiled: a curve takes some hundred turns, each a few sums over fewer than a hundred rows, and a schedule compares
shapes once an hour (docs/performance.md, "The calibration").
"""

from libc.stdint cimport int64_t

import numpy as np
from numpy.typing import NDArray


def climb(
    spans: tuple[NDArray[np.int64], NDArray[np.int64]],
    const double[::1] counts,
    const double[::1] seconds,
    double[::1] steps,
    int turns,
) -> None:
    """Take so many turns, in place: each step by the mean of counts over expectations of the rows that hold it.

    Args:
        spans: int64[r] each, the first step that each row holds and the first beyond it.
        counts: float64[r], of each row.
        seconds: float64[n], waited by the rows that hold each step, together; a step without any stays.
        steps: float64[n], 0 or more.
        turns: How many.
    """
    cdef const int64_t[::1] begin = spans[0], end = spans[1]
    cdef Py_ssize_t row, at, rows = begin.shape[0], size = steps.shape[0]
    cdef int turn
    cdef double reached, share, moved
    if not end.shape[0] == counts.shape[0] == rows or seconds.shape[0] != size:
        raise ValueError("steps: columns of unequal length")
    for row in range(rows):
        if not 0 <= begin[row] <= end[row] <= size:
            raise ValueError(f"steps: a row from {begin[row]} to {end[row]}, of {size}")
    cdef double[::1] total = np.zeros(size + 1), first = np.zeros(size + 1), beyond = np.zeros(size + 1)
    for turn in range(turns):
        moved = 0.0
        for at in range(size):
            moved += steps[at]
            total[at + 1] = moved
            first[at] = beyond[at] = 0.0
        first[size] = beyond[size] = 0.0
        for row in range(rows):
            reached = max(total[end[row]] - total[begin[row]], 1e-300)
            share = counts[row] / reached
            first[begin[row]] += share
            beyond[end[row]] += share
        moved = 0.0
        for at in range(size):
            moved += first[at] - beyond[at]
            if seconds[at] > 0:
                steps[at] = steps[at] * max(moved, 0.0) / seconds[at]
