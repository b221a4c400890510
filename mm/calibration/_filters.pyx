# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The filters of `mm.calibration.state_space`, block by block.

Why compiled: a schedule filters 180 combinations for each of its windows, and each numpy call on so short columns costs
more than its work (docs/performance.md, "The calibration").
"""

from libc.math cimport exp, fabs, log

import numpy as np

cdef int NEWTON = 50        # steps to the peak of a block, at most; they converge quadratically
cdef double CLOSE = 1e-10


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
        evidence: float64[g], raised by how well each filter foresaw the blocks.
    """
    cdef Py_ssize_t one, block, blocks = expected.shape[0]
    cdef double phi, stir, own, m, z, mm, mz, zz, centre, spread, prior, peak, curve, along_m, along_z, left, at, rate
    if not fills.shape[0] == blocks or not grid.shape[1] == mean.shape[1] == cov.shape[1] == evidence.shape[0]:
        raise ValueError("filters: columns of unequal length")
    cdef double[::1] logs = np.zeros(blocks)  # ln of expected
    cdef double[::1] level = np.zeros(blocks)  # ln of the rate that the count says
    for block in range(blocks):
        if expected[block] > 0.0:
            logs[block] = log(expected[block])
            level[block] = log(fills[block] + 0.5) - logs[block]
    with nogil:
        for one in range(evidence.shape[0]):
            phi, own = grid[0, one], grid[2, one] * grid[2, one]
            stir = (1.0 - phi * phi) * grid[1, one] * grid[1, one]
            m, z, mm, mz, zz = mean[0, one], mean[1, one], cov[0, one], cov[1, one], cov[2, one]
            for block in range(blocks):
                z, mz, zz = phi * z, phi * mz, phi * phi * zz + stir
                at = expected[block]
                if at <= 0.0:
                    continue
                centre, spread = m + z, mm + 2.0 * mz + zz
                prior = spread + own
                peak = highest(at, fills[block], level[block], centre, prior)
                rate = at * exp(peak)
                curve = rate + 1.0 / prior
                evidence[one] += (
                    fills[block] * (logs[block] + peak) - rate
                    - (peak - centre) * (peak - centre) / (2.0 * prior) - log(prior * curve) / 2.0
                )
                # the peak is a Gaussian observation of the block's u; m and z follow by what they share with it
                along_m, along_z = (mm + mz) / prior, (mz + zz) / prior
                m, z = m + along_m * (peak - centre), z + along_z * (peak - centre)
                left = prior - 1.0 / curve
                mm, mz, zz = mm - left * along_m * along_m, mz - left * along_m * along_z, zz - left * along_z * along_z
            mean[0, one], mean[1, one], cov[0, one], cov[1, one], cov[2, one] = m, z, mm, mz, zz


cdef double highest(double expected, double count, double level, double centre, double prior) noexcept nogil:
    """Return where the posterior of a block's u peaks, by Newton's method.

    The slope that falls through 0 there is concave in u, so a step from any side ends where the rate is too high, and
    further steps never leave that side. They start from the mean of what the count says and of what was foreseen.
    """
    cdef double u = (count * level + centre / prior) / (count + 1.0 / prior), rate, step
    cdef int turn
    for turn in range(NEWTON):
        rate = expected * exp(u)
        step = (rate - count + (u - centre) / prior) / (rate + 1.0 / prior)
        u -= step
        if fabs(step) < CLOSE:
            break
    return u
