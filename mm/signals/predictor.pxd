# Predictions from signals: dense networks, the scaling of inputs, and one kernel per side.

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t

cdef enum:
    CLIP = 5                            # LARGEST_SCALED

cdef class Head:
    cdef readonly int inputs
    cdef int outputs

    cdef void forward(self, const double* x, double* y) noexcept nogil

cdef class Network(Head):
    cdef readonly tuple shape           # type: tuple[int, ...]
    cdef readonly tuple activations     # type: tuple[str, ...]
    cdef int64_t layers
    cdef int64_t* sizes                 # int64[layers + 1]
    cdef int* functions                 # int[layers], an Activation each
    cdef double* weights                # of each layer: its biases, then a row of weights per input
    cdef double* now                    # the current layer, and the previous one
    cdef double* before

cdef class Predictor:
    cdef readonly tuple heads           # type: tuple[Head, ...]
    cdef readonly int inputs            # including the distance, if it has one
    cdef PyObject** each                # borrowed from *heads*
    cdef double tick
    cdef double* mean
    cdef double* scale
    cdef bint* priced
    cdef double* scaled                 # the current row

    cdef double compute(self, const double* row, double mid_ticks, int head) noexcept nogil
