# Random draws, with one stream per purpose: the draws of one purpose do not affect those of others.
#
# splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): the state is incremented by an
# odd constant, so that it does not repeat within 2**64 draws, and each draw is a hash of the state.

from libc.math cimport exp, fabs, floor, lgamma, log, log1p, sqrt
from libc.stdint cimport int64_t, uint64_t

cdef struct Draws:
    uint64_t state


cdef inline double unit(Draws* draws) noexcept nogil:
    """Return a uniform draw between 0 and 1, both excluded."""
    cdef uint64_t z
    draws.state += <uint64_t> 0x9E3779B97F4A7C15
    z = draws.state
    z = (z ^ (z >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t> 0x94D049BB133111EB
    z = z ^ (z >> 31)
    return (<double> (z >> 11) + 0.5) / 9007199254740992.0


cdef inline double exponential(Draws* draws) noexcept nogil:
    """Return an exponential draw with mean 1."""
    return -log(unit(draws))


cdef inline int64_t below(Draws* draws, int64_t count) noexcept nogil:
    """Return a uniform draw from 0 … count - 1; *count* is below 2**50."""
    return <int64_t> (unit(draws) * <double> count)


cdef inline int64_t geometric(Draws* draws, double mean) noexcept nogil:
    """Return a geometric draw from 1, 2, …; 1 if *mean* is at most 1."""
    if mean <= 1.0:
        return 1
    return 1 + <int64_t> (log(unit(draws)) / log1p(-1.0 / mean))


cdef inline int64_t poisson(Draws* draws, double mean) noexcept nogil:
    """Return a Poisson draw, by inversion if the mean is below 10, else by transformed rejection.

    W. Hörmann, The transformed rejection method for generating Poisson random variables, 1993 (PTRS).
    """
    cdef double u, v, us, a, b, log_inverse_alpha, v_r, log_mean, term, total
    cdef int64_t k
    if mean < 10.0:
        u = unit(draws)
        k = 0
        total = term = exp(-mean)
        while u > total and term > 1e-300:
            k += 1
            term *= mean / k
            total += term
        return k
    b = 0.931 + 2.53 * sqrt(mean)
    a = -0.059 + 0.02483 * b
    log_inverse_alpha = log(1.1239 + 1.1328 / (b - 3.4))
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    log_mean = log(mean)
    while True:
        u = unit(draws) - 0.5
        v = unit(draws)
        us = 0.5 - fabs(u)
        k = <int64_t> floor((2.0 * a / us + b) * u + mean + 0.43)
        if us >= 0.07 and v <= v_r:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        if log(v) + log_inverse_alpha - log(a / (us * us) + b) <= -mean + k * log_mean - lgamma(k + 1.0):
            return k
