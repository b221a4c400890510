# The volatility that quote models see: squared changes of the mid per second, over the last seconds.

from libc.math cimport NAN, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

cdef struct Volatility:
    int64_t* squares        # of mid2, one a second; -1 where a second saw no valid mid
    int64_t window_s
    int64_t at
    int64_t total
    int64_t count
    int64_t sampled_mid2    # at the last sample, 0 where the mid broke since


cdef inline int volatility_open(Volatility* volatility, int64_t window_s) except -1:
    """Make an empty window."""
    cdef int64_t i
    volatility.squares = <int64_t*> malloc(window_s * sizeof(int64_t))
    if volatility.squares is NULL:
        raise MemoryError("no memory for the volatility window")
    for i in range(window_s):
        volatility.squares[i] = -1
    volatility.window_s = window_s
    volatility.at = volatility.total = volatility.count = volatility.sampled_mid2 = 0
    return 0


cdef inline void volatility_close(Volatility* volatility) noexcept nogil:
    free(volatility.squares)


cdef inline void volatility_sample(Volatility* volatility, int64_t mid2) noexcept nogil:
    """Take one second's change into the window."""
    cdef int64_t square = -1, gone = volatility.squares[volatility.at]
    if mid2 and volatility.sampled_mid2:
        square = (mid2 - volatility.sampled_mid2) * (mid2 - volatility.sampled_mid2)
    if gone >= 0:
        volatility.total -= gone
        volatility.count -= 1
    if square >= 0:
        volatility.total += square
        volatility.count += 1
    volatility.squares[volatility.at] = square
    volatility.at = volatility.at + 1 if volatility.at + 1 < volatility.window_s else 0
    volatility.sampled_mid2 = mid2


cdef inline double volatility_sigma(const Volatility* volatility) noexcept nogil:
    """Return sigma in ticks per root second, NaN while unknown."""
    if volatility.count < min(30, volatility.window_s):
        return NAN
    return sqrt(<double> volatility.total / (4.0 * <double> volatility.count))
