# Generated from mm/calibration/_filters.pyx by `make stubs`; edit that file instead.

"""The filters of `mm.calibration.state_space`, block by block.

Why compiled: a schedule filters 180 combinations for each of its windows, and each numpy call on such short columns
costs more than its work (docs/performance.md, "The calibration").

Filters are processed `LANES` at a time: such short columns are local variables without aliasing, so the compiler
vectorises over filters. No digit depends on it.
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
    """Run each filter over all blocks, in place.

    Args:
        expected: float64[b], expected fills of each block at A = 1; 0 without exposure.
        fills: float64[b], actual fills.
        grid: float64[3, g], parameters of each filter: decay of z per block, standard deviations of z and e.
        mean: float64[2, g], of m and z; before the first block, then after the last.
        cov: float64[3, g], variance of m, covariance, variance of z.
        evidence: float64[g], increased by the log predictive density of the blocks.
    """
