# Generated from mm/calibration/_filters.pyx by `make stubs`; edit that file instead.

"""The filters of `mm.calibration.state_space`, block by block.

Why compiled: a schedule filters 180 combinations for each of its windows, and each numpy call on so short columns costs
more than its work (docs/performance.md, "The calibration").

Filters are taken `LANES` at a time: columns of so few are local, so the compiler knows that they do not overlap, and
counts two filters or more in one instruction. No digit depends on it.
"""

import numpy as np
from numpy.typing import NDArray

def run_filters(
    expected: NDArray[np.float64],
    fills: NDArray[np.float64],
    grid: NDArray[np.float64],
    mean: NDArray[np.float64],
    cov: NDArray[np.float64],
    evidence: NDArray[np.float64],
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
