# Generated from mm/calibration/_curve_steps.pyx by `make stubs`; edit that file instead.

"""Climbs to the highest likelihood of a curve (`mm.calibration.shapes`): of a few parameters, and of any steps.

Why compiled: a comparison of shapes looks at some three hundred curves of fewer than a hundred rows, and takes some
hundred turns of steps; each look is thirty sums, of which each costs less than a numpy call (docs/performance.md, "The
calibration").
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

KINDS: tuple[str, ...]
NEVER: float

def curve_at(
    kind: int, shape: NDArray[np.float64], x: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ln λ of a curve at distances beyond the nearest, and its slopes by each parameter, a column each.

    Args:
        kind: Which curve.
        shape: Its parameters beside the height.
        x: Distances, in units of 1/k of the exponential.
    """

def climb_curve(
    kind: int,
    start: NDArray[np.float64],
    x: NDArray[np.float64],
    spans: tuple[NDArray[np.int64], NDArray[np.int64]],
    exposure_s: NDArray[np.float64],
    fills: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """Return the shape at the top of a hill of the likelihood, and its height: Fisher's scoring, damped.

    Args:
        kind: Which curve.
        start: The shape to begin from.
        x: The edges, as `curve_at` takes them.
        spans: int64[r] each, the edge at which each row begins and the one at which it ends; no edge, but their number,
            if it is open.
        exposure_s: float64[r], of each row, above 0.
        fills: float64[r], of each row.
    """

class _Ascent:
    """The likelihood of how the fills of a window are spread over its rows, by the shape of a curve."""
    def __new__(
        cls,
        kind: int,
        count: int,
        x: NDArray[np.float64],
        spans: tuple[NDArray[np.int64], NDArray[np.int64]],
        exposure_s: NDArray[np.float64],
        fills: NDArray[np.float64],
    ) -> Self: ...

def climb(
    spans: tuple[NDArray[np.int64], NDArray[np.int64]],
    counts: NDArray[np.float64],
    waited: NDArray[np.float64],
    steps: NDArray[np.float64],
    turns: int,
    enough: float,
) -> None:
    """Take turns, in place: each step by the mean of counts over expectations of the rows that hold it.

    Args:
        spans: int64[r] each, the first step that each row holds and the first beyond it.
        counts: float64[r], of each row.
        waited: float64[r], seconds of each row; a step without any stays.
        steps: float64[n], 0 or more.
        turns: How many at most; after every tenth of them it is seen how high the likelihood is.
        enough: The turns end where ten of them raise it by less, in nats.
    """
