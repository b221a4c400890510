# Decision trees, as plain arrays.

from libc.stdint cimport int64_t

cdef struct Node:
    int64_t feature         # -1: a leaf
    int64_t left, right     # for inputs up to the threshold, and above it
    double threshold
    double value            # of a leaf

cdef class Forest:
    cdef readonly int inputs
    cdef int64_t trees
    cdef int64_t* roots
    cdef Node* nodes

    cdef double forward(self, const double* x) noexcept nogil
