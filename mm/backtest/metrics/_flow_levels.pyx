# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The levels of the flow from instant to instant, in one pass: what ``flow_levels.py`` has of each side.

Why compiled: each instant's average follows from that of the one before, a million times a day.
"""

from libc.math cimport exp, floor, log2
from libc.stdint cimport int64_t

import numpy as np
from numpy.typing import NDArray

FLOW_WINDOWS_S = (2.0, 30.0, 300.0)  # over which aggressive orders are averaged, older ones less by e a window
LEAST_FLOW = -12  # level: up to 2^(level + 1) aggressive orders a second, and none
MOST_FLOW = 7  # level: from 2^level aggressive orders a second on

cdef double[3] WINDOW_US = [1e6 * one for one in FLOW_WINDOWS_S]
cdef int64_t LOW = LEAST_FLOW, HIGH = MOST_FLOW, STEP_US = 1_000_000


def flow_levels(const int64_t[::1] us) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when the level of the flow changes, and the level from then on, that before all first.

    An aggressive order counts from the µs after it on. Averages decay in steps of a second.

    Args:
        us: When aggressive orders came, rising.
    """
    cdef double[3] seen = [0.0, 0.0, 0.0]  # aggressive orders, older ones less, at the last instant
    cdef int64_t i, window, last_us = 0, level = LOW
    at, levels = [np.iinfo(np.int64).min], [level]
    for i in range(us.shape[0]):
        if i:
            level = decayed(seen, &last_us, us[i], level, at, levels)
        else:
            last_us = us[i]
        for window in range(3):
            seen[window] = seen[window] * exp((last_us - us[i]) / WINDOW_US[window]) + 1.0
        last_us = us[i]
        level = changed(flow_of(seen), level, us[i] + 1, at, levels)
    if us.shape[0]:
        decayed(seen, &last_us, np.iinfo(np.int64).max, level, at, levels)
    return np.array(at, np.int64), np.array(levels, np.int64)


cdef int64_t decayed(double* seen, int64_t* last_us, int64_t until_us, int64_t level, list at, list levels) except? -99:
    """Let a second after the other go by until an instant, or until nothing is left; return the level then."""
    cdef int64_t window
    while level > LOW and last_us[0] < until_us - STEP_US:
        last_us[0] += STEP_US
        for window in range(3):
            seen[window] *= exp(-STEP_US / WINDOW_US[window])
        level = changed(flow_of(seen), level, last_us[0], at, levels)
    return level


cdef int64_t flow_of(const double* seen) noexcept nogil:
    """Return the level of the mean of the averages."""
    cdef double per_s = (seen[0] / WINDOW_US[0] + seen[1] / WINDOW_US[1] + seen[2] / WINDOW_US[2]) * 1e6 / 3
    return LOW if per_s <= 0 else <int64_t> min(max(floor(log2(per_s)), LOW), HIGH)


cdef int64_t changed(int64_t level, int64_t before, int64_t us, list at, list levels) except? -99:
    """Note a level from an instant on where it is another one than before; return it."""
    if level == before:
        return level
    if at[len(at) - 1] == us:
        levels[len(levels) - 1] = level
    else:
        at.append(us)
        levels.append(level)
    return level
