# A dense network of a few layers, as plain arrays.

from libc.stdint cimport int64_t

cdef class Network:
    cdef readonly tuple shape           # type: tuple[int, ...]
    cdef readonly tuple activations     # type: tuple[str, ...]
    cdef int64_t layers, inputs, outputs
    cdef int64_t* sizes                 # int64[layers + 1]
    cdef int* functions                 # int[layers], an Activation each
    cdef double* weights                # of each layer: its biases, then a row of weights per input
    cdef double* now                    # the current layer, and the previous one
    cdef double* before

    cdef void forward(self, const double* x, double* y) noexcept nogil
