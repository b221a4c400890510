# cython: language_level=3, boundscheck=False, wraparound=False
"""The search in ascending instants and distances that the kernels of the marks share."""

from libc.stdint cimport int64_t


cdef inline Py_ssize_t first_from(const int64_t[::1] steps, Py_ssize_t low, Py_ssize_t high, int64_t least) noexcept:
    """Return the first index from *low* to *high* of ascending *steps* with *least* or more; *high* if there is none."""
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) >> 1
        if steps[middle] < least:
            low = middle + 1
        else:
            high = middle
    return low
