# Values of the inventory levels of a maker with an inventory bound: steps of ln v from one level to the next.

from libc.stdint cimport int64_t

cdef class InventoryLevels:
    cdef readonly int64_t bound     # levels run from -bound to bound
    cdef int64_t count              # of levels
    cdef double value               # last computed smallest eigenvalue
    cdef double* memory
    cdef double* diagonal           # arrays of one entry per level, plus one before the first and one after the last
    cdef double* left
    cdef double* right
    cdef double* up
    cdef double* down
    cdef double* scale
    cdef double* log_v
    cdef double* term
    cdef double* after
    cdef double* total
    cdef double* limit

    cdef void stationary(self, double rho, double tilt, double* steps) noexcept nogil
    cdef void finite(
        self, double rho, double tilt, double time, double bend, int64_t low, int64_t high, double* steps
    ) noexcept nogil
    cdef double* array(self, int64_t which) noexcept nogil
    cdef void rise(self, double rho, double tilt) noexcept nogil
    cdef double twist(self, double value, int64_t* at, bint* positive, bint* below) noexcept nogil
    cdef bint alone(self, double gap) noexcept nogil
    cdef double norm2(self, int64_t at) noexcept nogil
    cdef void window(self, double rho, double tilt, int64_t* low, int64_t* high) noexcept nogil
    cdef void stage(self, double length, double top, int64_t first, int64_t last) noexcept nogil
    cdef void set_scale(self, double length, int64_t first, int64_t last) noexcept nogil
    cdef bint arrived(self, int64_t low, int64_t high) noexcept nogil
