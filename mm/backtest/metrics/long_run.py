"""Confidence intervals of bursty counts.

Order arrivals are self-exciting, so fills come in bursts, and a Poisson interval is too narrow for them. The intervals
here use the residuals (observed minus expected fills) of blocks of five minutes, and their autocorrelation.
"""

import math

import numpy as np

from mm.backtest.metrics.arithmetic import mean_interval
from mm.base.arrays import Floats, Ints
from mm.base.estimate import Ends, cosines, slow_variance, student_quantile
from mm.base.numbers import NORMAL
from mm.clock import US_PER_S

BLOCK_US = 300 * US_PER_S


def fill_intervals(fills: Floats, expected: Floats) -> list[Ends]:
    """Return the 95 % confidence interval of the mean fill count of each column, for bursty fills.

    The variance is that of the residuals: the fills of a block minus its expected fills scaled to the level of the
    column (total fills / total expected fills). Blocks of a column without either are skipped. The interval is never
    narrower than the Poisson interval. The ends are None below two blocks.

    Args:
        fills: float64[blocks, columns], in order of time.
        expected: Fills that a model expects, or anything that fills should be proportional to, in the same shape.
    """
    variance, degrees, total = _variances(fills, expected)
    return [
        count_interval(count, each / count if count else 0.0, cosine)
        for count, each, cosine in zip(total.tolist(), variance.tolist(), degrees.tolist(), strict=True)
    ]


def stretch_intervals(fills: Floats, expected: Floats, stretch: Ints, hour: Ints) -> list[Ends]:
    """Return the 95 % confidence interval of the mean fill count of each stretch of time, for bursty fills.

    One stretch has too few blocks to estimate the size of bursts, so the variance per fill is pooled within hours: a
    level that changes from one hour to the next does not widen the intervals. The ends are None if no hour has two
    blocks.

    Args:
        fills: float64[blocks], in order of time.
        expected: Fills that a model expects, in the same shape.
        stretch: The number of each block's stretch, from 0 on.
        hour: The number of each block's hour, from 0 on, ascending.
    """
    if not len(hour):
        return []
    place = np.arange(len(hour)) - np.searchsorted(hour, hour)
    tables = np.zeros((2, int(place.max()) + 1, int(hour[-1]) + 1))
    tables[:, place, hour] = fills, expected
    variance, degrees, total = _variances(*tables)
    known = degrees > 0
    seen, freedom = float(total[known].sum()), int(degrees.sum())
    size = float(variance[known].sum()) / seen if seen else 0.0
    return [count_interval(count, size, freedom) for count in np.bincount(stretch, fills).tolist()]


def _variances(fills: Floats, expected: Floats) -> tuple[Floats, Ints, Floats]:
    """Return the variance of the fill count of each column, its degrees of freedom, and the total fills."""
    used = (fills > 0) | (expected > 0)
    degrees = np.array([cosines(blocks) for blocks in used.sum(axis=0).tolist()], np.int64)
    total, mean = fills.sum(axis=0), expected.sum(axis=0)
    level = np.divide(total, mean, out=np.zeros(len(mean)), where=mean > 0)
    residual = fills - level * expected
    variance = [float(slow_variance(column[counts])) for column, counts in zip(residual.T, used.T, strict=True)]
    return np.array(variance), degrees, total


def count_interval(fills: float, size: float, degrees: int) -> Ends:
    """Return the 95 % confidence interval of the mean of a count, as if it were independent bursts of *size* fills.

    The number of bursts has a Poisson interval (Byar's approximation: Breslow and Day, Statistical Methods in Cancer
    Research II (1987), 69), which is multiplied by their size; the result is never narrower than the interval of single
    fills. The ends are None without degrees of freedom.

    Args:
        fills: The count.
        size: Variance of the count over its mean.
        degrees: Degrees of freedom of the estimate of *size*; Student's t with these replaces the normal quantile.
    """
    if degrees == 0:
        return None, None
    low, high = mean_interval(fills)
    size *= (student_quantile(degrees) / NORMAL) ** 2
    if size > 1:
        bursts = fills / size
        lower = bursts * max(1 - 1 / (9 * bursts) - NORMAL / (3 * math.sqrt(bursts)), 0.0) ** 3 if bursts else 0.0
        upper = (bursts + 1) * (1 - 1 / (9 * (bursts + 1)) + NORMAL / (3 * math.sqrt(bursts + 1))) ** 3
        low, high = min(low, size * lower), max(high, size * upper)
    return low, high
