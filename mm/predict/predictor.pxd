# Predictions from signals: the scaling and one kernel per side.

from cpython.ref cimport PyObject

cdef enum:
    CLIP = 5                            # LARGEST_SCALED

cdef class Predictor:
    cdef readonly tuple heads           # type: tuple[Network | Forest, ...]
    cdef readonly int inputs            # including the distance, if it has one
    cdef PyObject** each                # borrowed from *heads*
    cdef bint trees
    cdef double tick
    cdef double* mean
    cdef double* scale
    cdef bint* priced
    cdef double* scaled                 # the current row

    cdef double compute(self, const double* row, double mid_ticks, int head) noexcept nogil
