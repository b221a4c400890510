# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Order flow of a side and exponentially decaying values as step functions of time: the paths of ``market_paths.py``.

Why compiled: each value depends on the one before, a million times per day.
"""

from array import array

from libc.math cimport ceil, exp, fabs, floor, log, log2
from libc.stdint cimport int64_t

import numpy as np
from numpy.typing import NDArray

SINCE_S = (0.0, 0.3, 3.0)  # classes of the time since the last aggressive order: lower bounds in s
FLOW_WINDOWS_S = (30.0, 300.0)  # time constants of the exponential averages of aggressive orders per second
LEAST_FLOW = -12  # lowest level: fewer than 2^(level + 1) aggressive orders per second, or none
MOST_FLOW = 7  # highest level: 2^level aggressive orders per second or more
MOST_CLASS = 12  # highest class of a decaying value

cdef int64_t[3] SINCE_US = [round(1e6 * seconds) for seconds in SINCE_S]
cdef double[2] WINDOW_US = [1e6 * seconds for seconds in FLOW_WINDOWS_S]
cdef int64_t LOW = LEAST_FLOW, HIGH = MOST_FLOW, STEP_US = 1_000_000
cdef int64_t LEVELS = MOST_FLOW - LEAST_FLOW + 1, LAST = len(SINCE_S) - 1
cdef int64_t HIGHEST = MOST_CLASS


def flow_levels(const int64_t[::1] us) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the instants at which the flow changes, and its number from each on; the first row is before all data.

    The number is the class of the time since the last aggressive order times the number of levels, plus the level above
    the lowest. An aggressive order counts from 1 µs after it. Averages decay in steps of a second.

    Args:
        us: Instants of aggressive orders, ascending.
    """
    cdef double[2] seen = [0.0, 0.0]  # decayed counts of aggressive orders at the last step
    cdef int64_t i, window, count = us.shape[0], last_us = us[0] if count else 0
    at, numbers = array("q", [np.iinfo(np.int64).min]), array("q", [LAST * LEVELS])
    for i in range(count):
        for window in range(2):
            seen[window] = seen[window] * exp((last_us - us[i]) / WINDOW_US[window]) + 1.0
        last_us = followed(seen, us[i], us[i + 1] if i + 1 < count else np.iinfo(np.int64).max, at, numbers)
    return np.frombuffer(at, np.int64), np.frombuffer(numbers, np.int64)


cdef int64_t followed(double* seen, int64_t hit_us, int64_t until_us, object at, object numbers) except? -1:
    """Append the flow from an aggressive order until an instant, or until it is constant; return the last step."""
    cdef int64_t since = 0, last_us = hit_us, level = level_of(seen), window, next_us, edge_us
    changed(since, level, hit_us + 1, at, numbers)
    while level > LOW or since < LAST:
        next_us = last_us + STEP_US
        edge_us = hit_us + SINCE_US[since + 1] if since < LAST else next_us
        if min(next_us, edge_us) >= until_us:
            break
        since += since < LAST and edge_us <= next_us
        if next_us <= edge_us:
            last_us = next_us
            for window in range(2):
                seen[window] *= exp(-STEP_US / WINDOW_US[window])
            level = level_of(seen)
        changed(since, level, min(next_us, edge_us), at, numbers)
    return last_us


cdef int64_t level_of(const double* seen) noexcept nogil:
    """Return the level of the mean of the averages."""
    cdef double per_s = (seen[0] / WINDOW_US[0] + seen[1] / WINDOW_US[1]) * 1e6 / 2
    return LOW if per_s <= 0 else <int64_t> min(max(floor(log2(per_s)), LOW), HIGH)


cdef int changed(int64_t since, int64_t level, int64_t us, object at, object numbers) except -1:
    """Append the flow from an instant on if it differs from the flow before."""
    cdef int64_t number = since * LEVELS + level - LOW, last = len(numbers) - 1
    if at[last] == us:
        numbers[last] = number
    elif numbers[last] != number:
        at.append(us)
        numbers.append(number)
    return 0


def decaying_classes(
    const int64_t[::1] us, const int64_t[::1] added, double window_s
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the instants at which the class of an exponentially decaying value changes, and the class from then on.

    The class is 0 below 1 and grows by one whenever the value doubles; for negative values it is negative.

    Args:
        us: Instants at which the value jumps, ascending.
        added: Size of each jump.
        window_s: Time constant of the decay (a factor of 1/e).
    """
    cdef int64_t i, now_us, until_us, found, count = us.shape[0]
    cdef double value = 0.0, window_us = 1e6 * window_s
    at, classes = array("q", [np.iinfo(np.int64).min]), array("q", [0])
    if added.shape[0] != count:
        raise ValueError("decaying classes: columns of unequal length")
    for i in range(count):
        if i:
            value *= exp((us[i - 1] - us[i]) / window_us)
        value += added[i]
        now_us, until_us = us[i], us[i + 1] if i + 1 < count else np.iinfo(np.int64).max
        found = class_of(value)
        while now_us < until_us:
            if classes[len(classes) - 1] != found:
                at.append(now_us)
                classes.append(found)
            if found == 0:
                break
            now_us = us[i] + <int64_t> ceil(window_us * log(fabs(value) / 2.0 ** (abs(found) - 1)))
            found -= 1 if found > 0 else -1
    return np.frombuffer(at, np.int64), np.frombuffer(classes, np.int64)


cdef int64_t class_of(double value) noexcept nogil:
    """Return the class of a value."""
    cdef double size = fabs(value)
    if size < 1.0:
        return 0
    return (1 if value > 0 else -1) * <int64_t> min(1 + floor(log2(size)), HIGHEST)
