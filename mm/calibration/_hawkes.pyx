# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The likelihood of a two-dimensional Hawkes process, its gradient and its Hessian, in one pass.

The intensity of process i at t is

    mu_i + sum over j, m of n_ijm · beta_m · sum over events u < t of j: exp(-beta_m · (t - u)).

The sums over events are carried from instant to instant (Ozaki, Maximum likelihood estimation of Hawkes' self-exciting
point processes, Ann. Inst. Statist. Math. 31, 1979), with those weighted by (t - u) and (t - u)², which are their
derivatives by beta; a pass costs the number of instants.
"""

from libc.math cimport exp, log
from libc.stdint cimport int8_t, int64_t

import numpy as np

MOST_KERNELS = 6

BEGIN = 2   # an instant at which exposure begins
END = 3     # … at which it ends; 0 and 1 are events of the processes
PROBE = 4   # … whose row `rescaled` returns; no event

cdef enum:
    MOST = 6            # MOST_KERNELS
    ROOM = 1 + 3 * MOST


cdef struct Sums:
    # by source and decay: sums of exp(-beta (t - u)), of (t - u) exp(…), of (t - u)² exp(…)
    double s[2][MOST]
    double d[2][MOST]
    double q[2][MOST]
    double new[2]           # events of the current instant, which count from the next one on


cdef void clear(Sums* sums) noexcept nogil:
    cdef int j, m
    for j in range(2):
        sums.new[j] = 0.0
        for m in range(MOST):
            sums.s[j][m] = sums.d[j][m] = sums.q[j][m] = 0.0


cdef void decay_sums(Sums* sums, Sums* before, const double[::1] beta, int kernels, double dt) noexcept nogil:
    """*before* receives the sums at the start of *dt*, in seconds."""
    cdef int j, m
    cdef double decay
    for j in range(2):
        for m in range(kernels):
            sums.s[j][m] += sums.new[j]
        sums.new[j] = 0.0
    before[0] = sums[0]
    for m in range(kernels):
        decay = exp(-beta[m] * dt)
        for j in range(2):
            sums.q[j][m] = decay * (sums.q[j][m] + dt * (2.0 * sums.d[j][m] + dt * sums.s[j][m]))
            sums.d[j][m] = decay * (sums.d[j][m] + dt * sums.s[j][m])
            sums.s[j][m] = decay * sums.s[j][m]


def likelihood(
    at_s: NDArray[np.float64], kind: NDArray[np.int8], mu: NDArray[np.float64], branching: NDArray[np.float64],
    beta: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return the log-likelihood, its gradient and its Hessian, by mu_i, n_ijm and ln beta_m, in this order.

    Events count only while exposed, but always excite. Events of one instant do not excite each other. If an intensity
    is zero at an event the likelihood is -inf, with zero gradient and Hessian.

    Args:
        at_s: float64[n], instants in s, non-decreasing.
        kind: int8[n], 0 and 1 for an event of that process, ``BEGIN`` and ``END`` of exposure.
        mu: float64[2], 1/s.
        branching: float64[2, 2, m], mean number of events of i excited by one event of j through kernel m.
        beta: float64[m], 1/s; at most ``MOST_KERNELS``.
    """
    cdef int kernels = beta.shape[0], size = 2 + 5 * kernels, used = 1 + 3 * kernels, i, j, m, a, b
    cdef int64_t row, rows = at_s.shape[0]
    cdef const double[::1] at = at_s, mus = mu, betas = beta
    cdef const int8_t[::1] kinds = kind
    cdef const double[:, :, ::1] n = branching
    gradient_array, hessian_array = np.zeros(size), np.zeros((size, size))
    cdef double[::1] gradient = gradient_array
    cdef double[:, ::1] hessian = hessian_array
    cdef Sums sums, before
    cdef double slope[ROOM]
    cdef int place[ROOM]
    cdef double total = 0.0, now, dt, rate, integral, first, second, bend, bsum, weight
    cdef bint exposed = False, impossible = False
    check(kernels)
    with nogil:
        clear(&sums)
        now = at[0] if rows else 0.0
        for row in range(rows):
            dt = at[row] - now
            if dt > 0.0:
                decay_sums(&sums, &before, betas, kernels, dt)
                now = at[row]
                if exposed:
                    for i in range(2):
                        total -= mus[i] * dt
                        gradient[i] -= dt
                    for m in range(kernels):
                        b = 2 + 4 * kernels + m
                        for j in range(2):
                            integral = before.s[j][m] - sums.s[j][m]
                            first = betas[m] * (sums.d[j][m] - before.d[j][m])
                            second = first + betas[m] * betas[m] * (before.q[j][m] - sums.q[j][m])
                            for i in range(2):
                                a = 2 + (2 * i + j) * kernels + m
                                total -= n[i, j, m] * integral
                                gradient[a] -= integral
                                gradient[b] -= n[i, j, m] * first
                                hessian[a, b] -= first
                                hessian[b, b] -= n[i, j, m] * second
            if kinds[row] == 2:
                exposed = True
                continue
            if kinds[row] == 3:
                exposed = False
                continue
            i = kinds[row]
            sums.new[i] += 1.0
            if not exposed:
                continue
            rate = mus[i]
            place[0], slope[0] = i, 1.0
            for m in range(kernels):
                first = 0.0
                for j in range(2):
                    weight = betas[m] * sums.s[j][m]
                    rate += n[i, j, m] * weight
                    place[1 + j * kernels + m], slope[1 + j * kernels + m] = 2 + (2 * i + j) * kernels + m, weight
                    first += n[i, j, m] * (weight - betas[m] * betas[m] * sums.d[j][m])
                place[1 + 2 * kernels + m], slope[1 + 2 * kernels + m] = 2 + 4 * kernels + m, first
            if not rate > 0.0:
                impossible = True
                break
            total += log(rate)
            weight = rate * rate
            for a in range(used):
                gradient[place[a]] += slope[a] / rate
                for b in range(a, used):
                    hessian[place[a], place[b]] -= slope[a] * slope[b] / weight
            for m in range(kernels):
                b = 2 + 4 * kernels + m
                for j in range(2):
                    bend = betas[m] * betas[m] * sums.d[j][m]
                    bsum = betas[m] * sums.s[j][m]
                    hessian[2 + (2 * i + j) * kernels + m, b] += (bsum - bend) / rate
                    hessian[b, b] += n[i, j, m] * (bsum - 3.0 * bend + betas[m] ** 3 * sums.q[j][m]) / rate
    if impossible:
        return -np.inf, np.zeros(size), np.zeros((size, size))
    for a in range(size):
        for b in range(a + 1, size):
            hessian[b, a] = hessian[a, b]
    return total, gradient_array, hessian_array


def rescaled(
    at_s: NDArray[np.float64], kind: NDArray[np.int8], mu: NDArray[np.float64], branching: NDArray[np.float64],
    beta: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return at each row the integrated intensity of both processes, float64[n, 2].

    The integral covers the exposed time up to the row; parameters as in ``likelihood``, and *kind* may also be
    ``PROBE``.
    """
    cdef int kernels = beta.shape[0], i, j, m
    cdef int64_t row, rows = at_s.shape[0]
    cdef const double[::1] at = at_s, mus = mu, betas = beta
    cdef const int8_t[::1] kinds = kind
    cdef const double[:, :, ::1] n = branching
    clock_array = np.zeros((rows, 2))
    cdef double[:, ::1] clock = clock_array
    cdef Sums sums, before
    cdef double reached[2]
    cdef double now, dt
    cdef bint exposed = False
    check(kernels)
    with nogil:
        clear(&sums)
        reached[0] = reached[1] = 0.0
        now = at[0] if rows else 0.0
        for row in range(rows):
            dt = at[row] - now
            if dt > 0.0:
                decay_sums(&sums, &before, betas, kernels, dt)
                now = at[row]
                if exposed:
                    for i in range(2):
                        reached[i] += mus[i] * dt
                        for j in range(2):
                            for m in range(kernels):
                                reached[i] += n[i, j, m] * (before.s[j][m] - sums.s[j][m])
            clock[row, 0], clock[row, 1] = reached[0], reached[1]
            if kinds[row] < 2:
                sums.new[kinds[row]] += 1.0
            elif kinds[row] < 4:
                exposed = kinds[row] == 2
    return clock_array


cdef int check(int kernels) except -1:
    if not 1 <= kernels <= MOST:
        raise ValueError(f"a process of {kernels} kernels cannot be evaluated; give 1 to {MOST} decays")
    return 0
