# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The filters of `mm.calibration.state_space`, block by block.

Why compiled: a schedule filters 180 combinations for each of its windows, and each numpy call on so short columns costs
more than its work (docs/performance.md, "The calibration").
"""

from libc.math cimport exp, fabs, log

import numpy as np

cdef int NEWTON = 50        # steps to the peak of a block, at most; they converge quadratically
cdef double CLOSE = 1e-6       # a last step so short leaves an error of its square
cdef double NEAR = 1.0 / 64.0   # after a step so short the rate follows from the one before, to the last digit
cdef double LARGE = 1e250      # a product up to here is multiplied on before its logarithm is taken


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
    cdef Py_ssize_t one, block, blocks = expected.shape[0], count = evidence.shape[0]
    cdef double phi, own, spread, curve, along_m, along_z, off, exposed, seen
    if not fills.shape[0] == blocks or not grid.shape[1] == mean.shape[1] == cov.shape[1] == count:
        raise ValueError("filters: columns of unequal length")
    cdef double[::1] logs = np.zeros(blocks)  # ln of expected
    cdef double[::1] level = np.zeros(blocks)  # ln of the rate that the count says
    for block in range(blocks):
        if expected[block] > 0.0:
            logs[block] = log(expected[block])
            level[block] = log(fills[block] + 0.5) - logs[block]
    cdef double[::1] stir = np.empty(count), centre = np.empty(count), prior = np.empty(count), peak = np.empty(count)
    cdef double[::1] sharp = np.empty(count)  # 1 / prior
    cdef double[::1] rate = np.empty(count)  # of the block, at the peak
    cdef double[::1] gain = np.ones(count)  # by how much blocks narrowed what was known before them, as a product
    cdef Py_ssize_t[::1] rest = np.empty(count, np.intp)  # the filters that have not come to their peak
    cdef double[::1] m = mean[0], z = mean[1], mm = cov[0], mz = cov[1], zz = cov[2]
    with nogil:
        for one in range(count):
            phi = grid[0, one]
            stir[one] = (1.0 - phi * phi) * grid[1, one] * grid[1, one]
        # Block by block for all filters: they do not wait for each other, as the blocks of one filter do.
        for block in range(blocks):
            exposed, seen = expected[block], fills[block]
            for one in range(count):
                phi, own = grid[0, one], grid[2, one] * grid[2, one]
                z[one], mz[one], zz[one] = phi * z[one], phi * mz[one], phi * phi * zz[one] + stir[one]
                if exposed <= 0.0:
                    continue
                spread = mm[one] + 2.0 * mz[one] + zz[one]
                centre[one], prior[one], rest[one] = m[one] + z[one], spread + own, one
                sharp[one] = 1.0 / prior[one]
                # Newton's method begins at the mean of what the count says and of what was predicted (`highest`)
                peak[one] = (seen * level[block] + centre[one] * sharp[one]) / (seen + sharp[one])
                rate[one] = exposed * exp(peak[one])
            if exposed <= 0.0:
                continue
            highest(exposed, seen, &centre[0], &sharp[0], &peak[0], &rate[0], &rest[0], count)
            for one in range(count):
                curve = rate[one] + sharp[one]
                off = peak[one] - centre[one]
                evidence[one] += seen * (logs[block] + peak[one]) - rate[one] - off * off * sharp[one] / 2.0
                gain[one] *= prior[one] * curve
                if gain[one] > LARGE:
                    evidence[one] -= log(gain[one]) / 2.0
                    gain[one] = 1.0
                # the peak is a Gaussian observation of the block's u; m and z follow by what they share with it
                along_m, along_z = (mm[one] + mz[one]) * sharp[one], (mz[one] + zz[one]) * sharp[one]
                m[one], z[one] = m[one] + along_m * off, z[one] + along_z * off
                spread = prior[one] - 1.0 / curve
                mm[one] -= spread * along_m * along_m
                mz[one] -= spread * along_m * along_z
                zz[one] -= spread * along_z * along_z
        for one in range(count):
            evidence[one] -= log(gain[one]) / 2.0


cdef void highest(
    double expected,
    double count,
    double* centre,
    double* sharp,
    double* peak,
    double* rates,
    Py_ssize_t* rest,
    Py_ssize_t left,
) noexcept nogil:
    """Move each *peak*, with its rate, to where the posterior of a block's u peaks; *rest* names the *left* ones.

    By Newton's method: the slope that falls through 0 there is concave in u, so a step from any side ends where the
    rate is too high, and further steps never leave that side.
    """
    cdef Py_ssize_t at, one, still
    cdef double rate, step
    cdef int turn
    for turn in range(NEWTON):
        still = 0
        for at in range(left):
            one = rest[at]
            rate = rates[one]
            step = (rate - count + (peak[one] - centre[one]) * sharp[one]) / (rate + sharp[one])
            peak[one] -= step
            rates[one] = rate * exp_near_0(-step) if fabs(step) < NEAR else expected * exp(peak[one])
            rest[still] = one
            still += fabs(step) >= CLOSE
        left = still
        if not left:
            break


cdef inline double exp_near_0(double x) noexcept nogil:
    """Return exp(x) within `NEAR` of 0: the first term that is left out of the series is below half a last digit."""
    return 1.0 + x * (
        1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0)))))
    )
