# Generated from mm/calibration/_curve_steps.pyx by `make stubs`; edit that file instead.

"""Turns of expectation and maximisation for a falling curve of any steps (`mm.calibration.shapes.monotone`).

Why compiled: a curve takes some hundred turns, each a few sums over fewer than a hundred rows, and a schedule compares
shapes once an hour (docs/performance.md, "The calibration").
"""

import numpy as np
from numpy.typing import NDArray

def climb(
    spans: tuple[NDArray[np.int64], NDArray[np.int64]],
    counts: NDArray[np.float64],
    seconds: NDArray[np.float64],
    steps: NDArray[np.float64],
    turns: int,
) -> None:
    """Take so many turns, in place: each step by the mean of counts over expectations of the rows that hold it.

    Args:
        spans: int64[r] each, the first step that each row holds and the first beyond it.
        counts: float64[r], of each row.
        seconds: float64[n], waited by the rows that hold each step, together; a step without any stays.
        steps: float64[n], 0 or more.
        turns: How many.
    """
