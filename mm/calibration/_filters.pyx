# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The filters of `mm.calibration.state_space`, block by block.

Why compiled: a schedule filters 180 combinations for each of its windows, and each numpy call on so short columns costs
more than its work (docs/performance.md, "The calibration").

Filters are taken `LANES` at a time: columns of so few are local, so the compiler knows that they do not overlap, and
counts two filters or more in one instruction. No digit depends on it.
"""

from libc.math cimport exp, fabs, log

import numpy as np

cdef enum:
    LANES = 20  # of 180; fewer are unrolled one by one, and not joined

cdef int NEWTON = 50        # steps to the peak of a block, at most; they converge quadratically
cdef double CLOSE = 1e-6       # a last step so short leaves an error of its square
cdef double NEAR = 1.0 / 64.0   # after a step so short the rate follows from the one before, to the last digit
cdef double LARGE = 1e250      # a product up to here is multiplied on before its logarithm is taken

ctypedef double[LANES] Lanes


cdef struct Filters:
    Lanes phi     # what is left of z after a block
    Lanes square  # of phi
    Lanes stir    # what a block adds to the variance of z
    Lanes own     # variance of e
    Lanes m
    Lanes z
    Lanes mm
    Lanes mz
    Lanes zz
    Lanes evidence
    Lanes gain    # by how much blocks narrowed what was known before them, as a product


def run_filters(
    const double[::1] expected,
    const double[::1] fills,
    const double[:, ::1] grid,
    double[:, ::1] mean,
    double[:, ::1] cov,
    double[::1] evidence,
) -> None:
    """Take each filter through all blocks, in place.

    Args:
        expected: float64[b], fills of each block expected at A = 1; 0 where nothing was exposed.
        fills: float64[b], those seen.
        grid: float64[3, g], of each filter: what is left of z after a block, standard deviations of z and e.
        mean: float64[2, g], of m and z; before the first block, then after the last.
        cov: float64[3, g], variance of m, covariance, variance of z.
        evidence: float64[g], raised by how well each filter predicted the blocks.
    """
    cdef Py_ssize_t part, at, one, lane, block, blocks = expected.shape[0], count = evidence.shape[0]
    cdef Filters some
    if not fills.shape[0] == blocks or not grid.shape[1] == mean.shape[1] == cov.shape[1] == count:
        raise ValueError("filters: columns of unequal length")
    cdef double[::1] logs = np.zeros(blocks)  # ln of expected
    cdef double[::1] level = np.zeros(blocks)  # ln of the rate that the count says
    with nogil:
        for block in range(blocks):
            if expected[block] > 0.0:
                logs[block] = log(expected[block])
                level[block] = log(fills[block] + 0.5) - logs[block]
        for part in range((count + LANES - 1) // LANES):
            at = part * LANES
            for lane in range(LANES):
                one = min(at + lane, count - 1)  # lanes that are left over repeat the last filter
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
    """Take the filters through one block."""
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
        # Newton's method begins at the mean of what the count says and of what was predicted (`highest`)
        peak[one] = (seen * level + centre[one] * sharp[one]) / (seen + sharp[one])
    for one in range(LANES):
        rate[one] = exposed * exp(peak[one])
    highest(exposed, seen, centre, sharp, peak, rate)
    for one in range(LANES):
        curve = rate[one] + sharp[one]
        off = peak[one] - centre[one]
        now.evidence[one] += seen * (logs + peak[one]) - rate[one] - off * off * sharp[one] / 2.0
        now.gain[one] *= prior[one] * curve
        # the peak is a Gaussian observation of the block's u; m and z follow by what they share with it
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
    """Move each *peak*, with its rate, to where the posterior of a block's u peaks.

    By Newton's method: the slope that falls through 0 there is concave in u, so a step from any side ends where the
    rate is too high, and further steps never leave that side. Where a step was short enough, further ones are 0.
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
