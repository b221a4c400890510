# cython: language_level=3, boundscheck=False, wraparound=False
"""Binary search in ascending instants or distances, shared by the kernels of the marks."""

from libc.stdint cimport int64_t


cdef inline Py_ssize_t first_from(const int64_t[::1] steps, Py_ssize_t low, Py_ssize_t high, int64_t least) noexcept:
    """Return the first index in ``[low, high)`` at which ascending *steps* reach *least*; *high* if there is none."""
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) >> 1
        if steps[middle] < least:
            low = middle + 1
        else:
            high = middle
    return low
