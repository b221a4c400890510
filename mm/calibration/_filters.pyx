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
    LANES = 20  # of 180; fewer are unrolled and not vectorised

cdef int NEWTON = 50        # maximum steps to the peak of a block; convergence is quadratic
cdef double CLOSE = 1e-6       # size of the last step; the error is its square
cdef double NEAR = 1.0 / 64.0   # after steps below this the rate is updated from the previous one, to the last digit
cdef double LARGE = 1e250      # products beyond this are replaced by their logarithm

ctypedef double[LANES] Lanes


cdef struct Filters:
    Lanes phi     # decay of z over a block
    Lanes square  # of phi
    Lanes stir    # variance added to z per block
    Lanes own     # variance of e
    Lanes m
    Lanes z
    Lanes mm
    Lanes mz
    Lanes zz
    Lanes evidence
    Lanes gain    # reduction of the prior variance by blocks, as a product


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
    cdef Py_ssize_t part, at, one, lane, block, blocks = expected.shape[0], count = evidence.shape[0]
    cdef Filters some
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
            at = part * LANES
            for lane in range(LANES):
                one = min(at + lane, count - 1)  # unused lanes repeat the last filter
                some.phi[lane], some.square[lane] = grid[0, one], grid[0, one] * grid[0, one]
                some.stir[lane] = (1.0 - grid[0, one] * grid[0, one]) * grid[1, one] * grid[1, one]
                some.own[lane] = grid[2, one] * grid[2, one]
                some.m[lane], some.z[lane] = mean[0, one], mean[1, one]
                some.mm[lane], some.mz[lane], some.zz[lane] = cov[0, one], cov[1, one], cov[2, one]
                some.evidence[lane], some.gain[lane] = evidence[one], 1.0
            for block in range(blocks):
                take_block(&some, expected[block], fills[block], logs[block], level[block])
            for lane in range(min(LANES, count - at)):
                one = at + lane
                mean[0, one], mean[1, one] = some.m[lane], some.z[lane]
                cov[0, one], cov[1, one], cov[2, one] = some.mm[lane], some.mz[lane], some.zz[lane]
                evidence[one] = some.evidence[lane] - log(some.gain[lane]) / 2.0


cdef inline void take_block(Filters* now, double exposed, double seen, double logs, double level) noexcept nogil:
    """Update the filters by one block."""
    cdef Lanes centre, prior, sharp, peak, rate
    cdef double spread, curve, along_m, along_z, off
    cdef int one
    for one in range(LANES):
        now.z[one] = now.phi[one] * now.z[one]
        now.mz[one] = now.phi[one] * now.mz[one]
        now.zz[one] = now.square[one] * now.zz[one] + now.stir[one]
    if exposed <= 0.0:
        return
    for one in range(LANES):
        spread = now.mm[one] + 2.0 * now.mz[one] + now.zz[one]
        centre[one], prior[one] = now.m[one] + now.z[one], spread + now.own[one]
        sharp[one] = 1.0 / prior[one]
        # Newton's method begins at the mean of observation and prediction (`highest`)
        peak[one] = (seen * level + centre[one] * sharp[one]) / (seen + sharp[one])
    for one in range(LANES):
        rate[one] = exposed * exp(peak[one])
    highest(exposed, seen, centre, sharp, peak, rate)
    for one in range(LANES):
        curve = rate[one] + sharp[one]
        off = peak[one] - centre[one]
        now.evidence[one] += seen * (logs + peak[one]) - rate[one] - off * off * sharp[one] / 2.0
        now.gain[one] *= prior[one] * curve
        # the peak is a Gaussian observation of the block's u; m and z follow by their covariance with it
        along_m, along_z = (now.mm[one] + now.mz[one]) * sharp[one], (now.mz[one] + now.zz[one]) * sharp[one]
        now.m[one], now.z[one] = now.m[one] + along_m * off, now.z[one] + along_z * off
        spread = prior[one] - 1.0 / curve
        now.mm[one] -= spread * along_m * along_m
        now.mz[one] -= spread * along_m * along_z
        now.zz[one] -= spread * along_z * along_z
    for one in range(LANES):
        if now.gain[one] > LARGE:
            now.evidence[one] -= log(now.gain[one]) / 2.0
            now.gain[one] = 1.0


cdef inline void highest(
    double expected, double count, double* centre, double* sharp, double* peak, double* rates
) noexcept nogil:
    """Move each *peak*, with its rate, to the mode of the posterior of a block's u.

    By Newton's method: the derivative is concave in u, so the first step from any side ends where the rate is too high,
    and further steps stay on that side. After a short enough step, further ones are 0.
    """
    cdef Lanes step, moves
    cdef double far, longest
    cdef int turn, one
    for one in range(LANES):
        moves[one] = 1.0
    for turn in range(NEWTON):
        longest = far = 0.0
        for one in range(LANES):
            step[one] = moves[one] * (
                (rates[one] - count + (peak[one] - centre[one]) * sharp[one]) / (rates[one] + sharp[one])
            )
            peak[one] -= step[one]
        for one in range(LANES):
            moves[one] = moves[one] if fabs(step[one]) >= CLOSE else 0.0
            longest += moves[one]
            far += fabs(step[one]) >= NEAR
        if far:
            for one in range(LANES):
                if fabs(step[one]) >= NEAR:
                    rates[one] = expected * exp(peak[one])
                else:
                    rates[one] = rates[one] * exp_near_0(-step[one])
        else:
            for one in range(LANES):
                rates[one] = rates[one] * exp_near_0(-step[one])
        if not longest:
            break


cdef inline double exp_near_0(double x) noexcept nogil:
    """Return exp(x) within `NEAR` of 0: the first term that is left out of the series is below half a last digit."""
    return 1.0 + x * (
        1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0)))))
    )
