# cython: cdivision=True
# The volatility for quote models, from samples of the mid, one per second; docs/models.md describes each method.

from libc.math cimport NAN, exp2, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from mm.backtest.engine._account cimport wide

# Indices into SIGMA_METHODS of rules.py.
cdef enum SigmaMethod:
    ROLLING = 0
    EWMA = 1
    TWO_SCALE = 2

cdef enum:
    FEWEST = 30                         # minimum number of changes of the mid, if the window can hold as many

# Changes of mid2 over a window without their sign, one slot per second, -1 for none; and the sum of their squares, which
# of a tick of 1e-8 does not fit into 64 bits.
cdef struct Changes:
    int64_t* sizes
    wide total
    int64_t count

cdef struct Volatility:
    int method
    int64_t window_s
    int64_t at                          # the slot of the next sample
    int64_t sampled_mid2                # at the last sample, 0 if the mid was interrupted since
    Changes fast                        # changes over a second; for EWMA only their count
    # two scales
    int64_t slow_s
    Changes slow                        # changes over slow_s seconds
    int64_t* mids                       # mid2 of each sample
    int64_t unbroken_s                  # seconds without an interruption up to the last sample
    # exponential weights
    double half_life_s, decay
    double squares, weights
    int64_t idle_s                      # seconds without a change up to the last sample
    # everything since the run began
    double all_squares
    int64_t all_count


cdef inline int volatility_open(Volatility* volatility, int method, int64_t window_s, double half_life_s) except -1:
    cdef int64_t i
    volatility.method, volatility.window_s = method, window_s
    volatility.half_life_s, volatility.decay = half_life_s, exp2(-1.0 / half_life_s)
    volatility.slow_s = max(window_s // 30, 2)
    volatility.at = volatility.sampled_mid2 = volatility.unbroken_s = volatility.idle_s = 0
    volatility.squares = volatility.weights = volatility.all_squares = 0.0
    volatility.all_count = 0
    volatility.fast = volatility.slow = Changes(NULL, 0, 0)
    volatility.fast.sizes = <int64_t*> calloc(window_s, sizeof(int64_t))
    volatility.slow.sizes = <int64_t*> calloc(window_s, sizeof(int64_t))
    volatility.mids = <int64_t*> calloc(window_s, sizeof(int64_t))
    if volatility.fast.sizes is NULL or volatility.slow.sizes is NULL or volatility.mids is NULL:
        raise MemoryError("no memory for the volatility window")
    for i in range(window_s):
        volatility.fast.sizes[i] = volatility.slow.sizes[i] = -1
    return 0


cdef inline void volatility_close(Volatility* volatility) noexcept nogil:
    free(volatility.fast.sizes)
    free(volatility.slow.sizes)
    free(volatility.mids)


cdef inline void changes_set(Changes* changes, int64_t slot, int64_t size) noexcept nogil:
    """-1 for none."""
    if changes.sizes[slot] >= 0:
        changes.total -= <wide> changes.sizes[slot] * changes.sizes[slot]
        changes.count -= 1
    if size >= 0:
        changes.total += <wide> size * size
        changes.count += 1
    changes.sizes[slot] = size


cdef inline void volatility_sample(Volatility* volatility, int64_t mid2) noexcept nogil:
    cdef int64_t size = -1
    if mid2 and volatility.sampled_mid2:
        size = mid2 - volatility.sampled_mid2 if mid2 > volatility.sampled_mid2 else volatility.sampled_mid2 - mid2
        volatility.all_squares += <double> (<wide> size * size)
        volatility.all_count += 1
    if volatility.method == EWMA:
        volatility_weigh(volatility, size)
    else:
        changes_set(&volatility.fast, volatility.at, size)
        if volatility.method == TWO_SCALE:
            volatility_stretch(volatility, size, mid2)
        volatility.at = volatility.at + 1 if volatility.at + 1 < volatility.window_s else 0
    volatility.sampled_mid2 = mid2


cdef inline void volatility_weigh(Volatility* volatility, int64_t size) noexcept nogil:
    """Decay the weights by a second, with or without a change; a pause of ten half-lives resets all."""
    volatility.squares *= volatility.decay
    volatility.weights *= volatility.decay
    if size >= 0:
        volatility.squares += <double> (<wide> size * size)
        volatility.weights += 1.0
        volatility.fast.count += 1
        volatility.idle_s = 0
        return
    volatility.idle_s += 1
    if <double> volatility.idle_s > 10.0 * volatility.half_life_s:
        volatility.squares = volatility.weights = 0.0
        volatility.fast.count = 0


cdef inline void volatility_stretch(Volatility* volatility, int64_t size, int64_t mid2) noexcept nogil:
    """Over the slow scale; the change that began before the window is removed."""
    cdef int64_t slow_s = volatility.slow_s, window_s = volatility.window_s, begun
    volatility.unbroken_s = volatility.unbroken_s + 1 if size >= 0 else 0
    size = -1
    if volatility.unbroken_s >= slow_s:
        begun = volatility.mids[(volatility.at + window_s - slow_s) % window_s]
        size = mid2 - begun if mid2 > begun else begun - mid2
    changes_set(&volatility.slow, volatility.at, size)
    changes_set(&volatility.slow, (volatility.at + slow_s - 1) % window_s, -1)
    volatility.mids[volatility.at] = mid2


cdef inline double volatility_sigma(const Volatility* volatility) noexcept nogil:
    """In ticks per root second, NaN while unknown."""
    cdef double variance
    if volatility.method == EWMA:
        if volatility.fast.count < FEWEST and <double> volatility.fast.count < volatility.half_life_s:
            return NAN
        return sqrt(volatility.squares / (4.0 * volatility.weights))
    if volatility.method == TWO_SCALE:
        if volatility.slow.count < min(FEWEST, volatility.window_s - volatility.slow_s + 1):
            return NAN
        variance = <double> volatility.slow.total / <double> volatility.slow.count
        variance -= <double> volatility.fast.total / <double> volatility.fast.count
        return sqrt(max(variance, 0.0) / (4.0 * <double> (volatility.slow_s - 1)))
    if volatility.fast.count < min(FEWEST, volatility.window_s):
        return NAN
    return sqrt(<double> volatility.fast.total / (4.0 * <double> volatility.fast.count))


cdef inline double volatility_run_sigma(const Volatility* volatility) noexcept nogil:
    """In ticks per root second from all changes over a second since the run began."""
    if volatility.all_count < FEWEST:
        return NAN
    return sqrt(volatility.all_squares / (4.0 * <double> volatility.all_count))
