# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The filters of `mm.calibration.state_space`, block by block.

Why compiled: a schedule filters 180 combinations for each of its windows, and each numpy call on such short columns
costs more than its work (docs/performance.md, "The calibration").

Filters are processed `LANES` at a time: such short columns are local variables without aliasing, so the compiler
vectorises over filters. No digit depends on it.
"""

from libc.math cimport exp, fabs, log

import numpy as np

cdef enum:
    LANES = 20  # of 180 filters; loops over fewer lanes are unrolled instead of vectorised

cdef int MAX_STEPS = 50     # of Newton's method to the mode of a block; convergence is quadratic
cdef double CLOSE = 1e-6       # size of the last step; the error is its square
cdef double NEAR = 1.0 / 64.0   # after smaller steps the rate is updated from the previous one, to the last digit
cdef double LARGE = 1e250      # products beyond this are replaced by their logarithm

ctypedef double[LANES] Lanes


cdef struct Filters:
    Lanes phi     # decay of z over a block
    Lanes square  # of phi
    Lanes drift   # variance added to z per block
    Lanes noise   # variance of e
    Lanes m
    Lanes z
    Lanes mm
    Lanes mz
    Lanes zz
    Lanes evidence
    Lanes shrinkage  # reduction of the prior variance by blocks, as a product


def run_filters(
    const double[::1] expected,
    const double[::1] fills,
    const double[:, ::1] grid,
    double[:, ::1] mean,
    double[:, ::1] cov,
    double[::1] evidence,
) -> None:
    """Run each filter over all blocks, in place.

    Args:
        expected: float64[b], expected fills of each block at A = 1; 0 without exposure.
        fills: float64[b], actual fills.
        grid: float64[3, g], parameters of each filter: decay of z per block, standard deviations of z and e.
        mean: float64[2, g], of m and z; before the first block, then after the last.
        cov: float64[3, g], variance of m, covariance, variance of z.
        evidence: float64[g], increased by the log predictive density of the blocks.
    """
    cdef Py_ssize_t part, first, number, lane, block, blocks = expected.shape[0], count = evidence.shape[0]
    cdef Filters filters
    if not fills.shape[0] == blocks or not grid.shape[1] == mean.shape[1] == cov.shape[1] == count:
        raise ValueError("filters: columns of unequal length")
    cdef double[::1] logs = np.zeros(blocks)  # ln of expected
    cdef double[::1] level = np.zeros(blocks)  # ln of the observed rate
    with nogil:
        for block in range(blocks):
            if expected[block] > 0.0:
                logs[block] = log(expected[block])
                level[block] = log(fills[block] + 0.5) - logs[block]
        for part in range((count + LANES - 1) // LANES):
            first = part * LANES
            for lane in range(LANES):
                number = min(first + lane, count - 1)  # unused lanes repeat the last filter
                filters.phi[lane], filters.square[lane] = grid[0, number], grid[0, number] * grid[0, number]
                filters.drift[lane] = (1.0 - grid[0, number] * grid[0, number]) * grid[1, number] * grid[1, number]
                filters.noise[lane] = grid[2, number] * grid[2, number]
                filters.m[lane], filters.z[lane] = mean[0, number], mean[1, number]
                filters.mm[lane], filters.mz[lane], filters.zz[lane] = cov[0, number], cov[1, number], cov[2, number]
                filters.evidence[lane], filters.shrinkage[lane] = evidence[number], 1.0
            for block in range(blocks):
                update(&filters, expected[block], fills[block], logs[block], level[block])
            for lane in range(min(LANES, count - first)):
                number = first + lane
                mean[0, number], mean[1, number] = filters.m[lane], filters.z[lane]
                cov[0, number], cov[1, number], cov[2, number] = filters.mm[lane], filters.mz[lane], filters.zz[lane]
                evidence[number] = filters.evidence[lane] - log(filters.shrinkage[lane]) / 2.0


cdef inline void update(Filters* f, double expected, double count, double logs, double level) noexcept nogil:
    """Update the filters by one block."""
    cdef Lanes centre, prior, precision, peak, rate
    cdef double spread, curve, along_m, along_z, deviation
    cdef int lane
    for lane in range(LANES):
        f.z[lane] = f.phi[lane] * f.z[lane]
        f.mz[lane] = f.phi[lane] * f.mz[lane]
        f.zz[lane] = f.square[lane] * f.zz[lane] + f.drift[lane]
    if expected <= 0.0:
        return
    for lane in range(LANES):
        spread = f.mm[lane] + 2.0 * f.mz[lane] + f.zz[lane]
        centre[lane], prior[lane] = f.m[lane] + f.z[lane], spread + f.noise[lane]
        precision[lane] = 1.0 / prior[lane]
        # Newton's method begins at the mean of observation and prediction (`find_modes`)
        peak[lane] = (count * level + centre[lane] * precision[lane]) / (count + precision[lane])
    for lane in range(LANES):
        rate[lane] = expected * exp(peak[lane])
    find_modes(expected, count, centre, precision, peak, rate)
    for lane in range(LANES):
        curve = rate[lane] + precision[lane]
        deviation = peak[lane] - centre[lane]
        f.evidence[lane] += count * (logs + peak[lane]) - rate[lane] - deviation * deviation * precision[lane] / 2.0
        f.shrinkage[lane] *= prior[lane] * curve
        # the peak is a Gaussian observation of the block's u; m and z follow by their covariance with it
        along_m, along_z = (f.mm[lane] + f.mz[lane]) * precision[lane], (f.mz[lane] + f.zz[lane]) * precision[lane]
        f.m[lane], f.z[lane] = f.m[lane] + along_m * deviation, f.z[lane] + along_z * deviation
        spread = prior[lane] - 1.0 / curve
        f.mm[lane] -= spread * along_m * along_m
        f.mz[lane] -= spread * along_m * along_z
        f.zz[lane] -= spread * along_z * along_z
    for lane in range(LANES):
        if f.shrinkage[lane] > LARGE:
            f.evidence[lane] -= log(f.shrinkage[lane]) / 2.0
            f.shrinkage[lane] = 1.0


cdef inline void find_modes(
    double expected, double count, double* centre, double* precision, double* peak, double* rates
) noexcept nogil:
    """Move each *peak*, with its rate, to the mode of the posterior of a block's u.

    By Newton's method: the derivative is concave in u, so the first step from either side ends where the rate is too
    high, and further steps stay on that side. After a step below `CLOSE`, further ones are 0.
    """
    cdef Lanes step, moves
    cdef double far, longest
    cdef int iteration, lane
    for lane in range(LANES):
        moves[lane] = 1.0
    for iteration in range(MAX_STEPS):
        longest = far = 0.0
        for lane in range(LANES):
            step[lane] = moves[lane] * (
                (rates[lane] - count + (peak[lane] - centre[lane]) * precision[lane]) / (rates[lane] + precision[lane])
            )
            peak[lane] -= step[lane]
        for lane in range(LANES):
            moves[lane] = moves[lane] if fabs(step[lane]) >= CLOSE else 0.0
            longest += moves[lane]
            far += fabs(step[lane]) >= NEAR
        if far:
            for lane in range(LANES):
                if fabs(step[lane]) >= NEAR:
                    rates[lane] = expected * exp(peak[lane])
                else:
                    rates[lane] = rates[lane] * exp_near_0(-step[lane])
        else:
            for lane in range(LANES):
                rates[lane] = rates[lane] * exp_near_0(-step[lane])
        if not longest:
            break


cdef inline double exp_near_0(double x) noexcept nogil:
    """Return exp(x) within `NEAR` of 0: the first term that is left out of the series is below half a last digit."""
    return 1.0 + x * (
        1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0)))))
    )
