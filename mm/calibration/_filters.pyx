# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The filters of `mm.calibration.state_space`, block by block.

Why compiled: a schedule filters 180 combinations for each of its windows, and each numpy call on so short columns costs
more than its work (docs/performance.md, "The calibration").
"""

from libc.math cimport exp, fabs, log

import numpy as np

cdef int NEWTON = 50        # steps to the peak of a block, at most; they converge quadratically
cdef double CLOSE = 1e-6       # a last step so short leaves an error of its square


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
    cdef double phi, own, spread, rate, curve, step, along_m, along_z, off, exposed, seen
    if not fills.shape[0] == blocks or not grid.shape[1] == mean.shape[1] == cov.shape[1] == count:
        raise ValueError("filters: columns of unequal length")
    cdef double[::1] logs = np.zeros(blocks)  # ln of expected
    cdef double[::1] level = np.zeros(blocks)  # ln of the rate that the count says
    for block in range(blocks):
        if expected[block] > 0.0:
            logs[block] = log(expected[block])
            level[block] = log(fills[block] + 0.5) - logs[block]
    cdef double[::1] stir = np.empty(count), centre = np.empty(count), prior = np.empty(count), peak = np.empty(count)
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
                # Newton's method begins at the mean of what the count says and of what was predicted (`highest`)
                peak[one] = (seen * level[block] + centre[one] / prior[one]) / (seen + 1.0 / prior[one])
            if exposed <= 0.0:
                continue
            highest(exposed, seen, &centre[0], &prior[0], &peak[0], &rest[0], count)
            for one in range(count):
                rate = exposed * exp(peak[one])
                curve = rate + 1.0 / prior[one]
                off = peak[one] - centre[one]
                evidence[one] += (
                    seen * (logs[block] + peak[one]) - rate
                    - off * off / (2.0 * prior[one]) - log(prior[one] * curve) / 2.0
                )
                # the peak is a Gaussian observation of the block's u; m and z follow by what they share with it
                along_m, along_z = (mm[one] + mz[one]) / prior[one], (mz[one] + zz[one]) / prior[one]
                m[one], z[one] = m[one] + along_m * off, z[one] + along_z * off
                spread = prior[one] - 1.0 / curve
                mm[one] -= spread * along_m * along_m
                mz[one] -= spread * along_m * along_z
                zz[one] -= spread * along_z * along_z


cdef void highest(
    double expected, double count, double* centre, double* prior, double* peak, Py_ssize_t* rest, Py_ssize_t left
) noexcept nogil:
    """Move each *peak* to where the posterior of a block's u peaks, by Newton's method; *rest* names the *left* ones.

    The slope that falls through 0 there is concave in u, so a step from any side ends where the rate is too high, and
    further steps never leave that side.
    """
    cdef Py_ssize_t at, one, still
    cdef double rate, step
    cdef int turn
    for turn in range(NEWTON):
        still = 0
        for at in range(left):
            one = rest[at]
            rate = expected * exp(peak[one])
            step = (rate - count + (peak[one] - centre[one]) / prior[one]) / (rate + 1.0 / prior[one])
            peak[one] -= step
            rest[still] = one
            still += fabs(step) >= CLOSE
        left = still
        if not left:
            break
