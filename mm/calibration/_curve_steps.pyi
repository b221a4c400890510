# Generated from mm/calibration/_curve_steps.pyx by `make stubs`; edit that file instead.

"""Maximum likelihood of curves (`mm.calibration.shapes`): parametric ones, step functions, and tilted shares.

Why compiled: a comparison of shapes evaluates some three hundred curves of fewer than a hundred rows, and some hundred
updates of steps; each evaluation is thirty sums, each cheaper than a numpy call (docs/performance.md, "The
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
    """Return ln λ of a curve at distances beyond the smallest, and its derivatives by parameter, a column each.

    Args:
        kind: Index of the curve.
        shape: Its parameters besides the height.
        x: Distances, in units of 1/k of the exponential.
    """

def fit_curve(
    kind: int,
    start: NDArray[np.float64],
    x: NDArray[np.float64],
    spans: tuple[NDArray[np.int64], NDArray[np.int64]],
    exposure_s: NDArray[np.float64],
    fills: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """Return the shape at a local maximum of the likelihood, and its height, by damped Fisher scoring.

    Args:
        kind: Index of the curve.
        start: The initial shape.
        x: The edges, as for `curve_at`.
        spans: int64[r] each, index of the edge at which each row begins and at which it ends; the number of edges for
            an open row.
        exposure_s: float64[r], above 0.
        fills: float64[r].
    """

class _Ascent:
    """The likelihood of the distribution of a window's fills over its rows, as a function of a curve's shape."""
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
    """Update steps in place (EM): multiply each by the mean ratio of counts to expectations of its rows.

    Args:
        spans: int64[r] each, the first step of each row and the first beyond it.
        counts: float64[r], count of each row.
        waited: float64[r], seconds of each row; a step without seconds is unchanged.
        steps: float64[n], 0 or more.
        turns: Maximum number of updates; the likelihood is evaluated after every tenth.
        enough: The iteration ends when ten updates gain less than this, in nats.
    """

def tilted(offset: NDArray[np.float64], delta: NDArray[np.float64], fills: NDArray[np.float64], degree: int) -> float:
    """Return the maximum log-likelihood of shares ∝ exp(offset + b·delta [+ c·delta²]), by damped Newton steps.

    Args:
        offset: Ln of the base shares, up to a constant.
        delta: Distances, of the order of 1.
        fills: Counts.
        degree: 1 for b alone, 2 for b and c.
    """
