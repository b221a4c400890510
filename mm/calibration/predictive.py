"""How many fills the next segment may bring: an interval for a count, where that of A is one for a mean."""

import math
from typing import TYPE_CHECKING

import numpy as np

from mm.calibration.reference import BLOCK_S

if TYPE_CHECKING:
    from mm.calibration.points import Points

HORIZON_S = 900.0  # of a fit that belongs to no schedule
LEAST_STRETCHES = 3
HALF = 0.5  # of a fill, so that an empty stretch has a logarithm
LEVEL = 0.95


def predictive_ci95(points: "Points", horizon_s: float) -> tuple[float, float] | None:
    """Return the 95 % interval of the fills, of both sides, of the *horizon_s* after the window of *points*.

    The window's blocks are joined to stretches of the horizon's length; the logarithm of the next stretch's count is
    taken for one more draw of those of the window (Student's t, one degree of freedom less than stretches). Bursts
    that make the counts of stretches differ so widen it. It is never narrower than that of a Poisson count.
    None with fewer than three stretches, or without blocks.

    Args:
        points: Of the window, by blocks in order of time.
        horizon_s: Length of what is predicted, in seconds.
    """
    from scipy.special import pdtrik, stdtrit

    if not len(points) or points.block.min() < 0:
        return None
    fills = np.bincount(points.block, points.fills)
    joined = max(round(horizon_s / BLOCK_S), 1)
    stretches = len(fills) // joined
    if stretches < LEAST_STRETCHES:
        return None
    counts = fills[len(fills) - stretches * joined :].reshape(stretches, joined).sum(axis=1)
    share = horizon_s / (joined * BLOCK_S)
    mean = float(counts.mean()) * share
    logs = np.log(counts * share + HALF)
    shorter = max(1 / share - 1, 0.0) / max(float(counts.mean()), HALF)  # the noise of a count of less than a stretch
    # neighbouring stretches are alike, so their mean is known half as well as that of so many independent ones
    spread = math.sqrt((float(logs.var(ddof=1)) + shorter) * (1 + 2 / stretches))
    reach = float(stdtrit(stretches - 1, (1 + LEVEL) / 2)) * spread
    low, high = (math.exp(min(float(logs.mean()) + off, 700.0)) - HALF for off in (-reach, reach))
    if mean > 0:
        tail = (1 - LEVEL) / 2
        low, high = min(low, float(pdtrik(tail, mean))), max(high, float(pdtrik(1 - tail, mean)))
    return max(math.floor(low), 0.0) if math.isfinite(low) else 0.0, math.ceil(high)
