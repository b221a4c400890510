# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The flow of a side, and values that jump and decay, from instant to instant: the paths of ``market_paths.py``.

Why compiled: each value follows from the one before, a million times a day.
"""

from array import array

from libc.math cimport ceil, exp, fabs, floor, log, log2
from libc.stdint cimport int64_t

import numpy as np
from numpy.typing import NDArray

SINCE_S = (0.0, 0.3, 3.0)  # classes of the time since the last aggressive order: from so many s on
FLOW_WINDOWS_S = (30.0, 300.0)  # over which aggressive orders are averaged, older ones less by e a window
LEAST_FLOW = -12  # level: up to 2^(level + 1) aggressive orders a second, and none
MOST_FLOW = 7  # level: from 2^level aggressive orders a second on
MOST_CLASS = 12  # of a decaying value

cdef int64_t[3] SINCE_US = [round(1e6 * one) for one in SINCE_S]
cdef double[2] WINDOW_US = [1e6 * one for one in FLOW_WINDOWS_S]
cdef int64_t LOW = LEAST_FLOW, HIGH = MOST_FLOW, STEP_US = 1_000_000
cdef int64_t LEVELS = MOST_FLOW - LEAST_FLOW + 1, LAST = len(SINCE_S) - 1
cdef int64_t HIGHEST = MOST_CLASS


def flow_levels(const int64_t[::1] us) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when the flow changes, and its number from then on, that before all first.

    The number is the class of the time since the last aggressive order times the number of levels, plus the level above
    the lowest. An aggressive order counts from the µs after it on. Averages decay in steps of a second.

    Args:
        us: When aggressive orders came, rising.
    """
    cdef double[2] seen = [0.0, 0.0]  # aggressive orders, older ones less, at the last step
    cdef int64_t i, window, count = us.shape[0], last_us = us[0] if count else 0
    at, numbers = array("q", [np.iinfo(np.int64).min]), array("q", [LAST * LEVELS])
    for i in range(count):
        for window in range(2):
            seen[window] = seen[window] * exp((last_us - us[i]) / WINDOW_US[window]) + 1.0
        last_us = followed(seen, us[i], us[i + 1] if i + 1 < count else np.iinfo(np.int64).max, at, numbers)
    return np.frombuffer(at, np.int64), np.frombuffer(numbers, np.int64)


cdef int64_t followed(double* seen, int64_t hit_us, int64_t until_us, object at, object numbers) except? -1:
    """Note the flow from an aggressive order until an instant, or until nothing changes; return the last step."""
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
    """Note the flow from an instant on where it is another one than before."""
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
    """Return when the class of a value changes that decays by e per window, and the class from then on.

    The class is 0 below 1 and grows by one whenever the value doubles; of values below 0 it is negative.

    Args:
        us: When the value jumps, rising.
        added: By how much.
        window_s: The window.
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
