"""Confidence intervals of bursty counts."""

import math

import numpy as np

from mm.base.arithmetic import mean_interval
from mm.base.arrays import Floats, Ints
from mm.base.estimate import Ends, cosines, slow_variance, student_quantile
from mm.base.numbers import NORMAL
from mm.clock import US_PER_S

BLOCK_US = 300 * US_PER_S


def fill_intervals(fills: Floats, expected: Floats) -> list[Ends]:
    """Each column's 95 % interval of the mean fill count, for bursty fills.

    The variance is of a block's fills minus its expected fills, scaled to the column's level (total fills / total
    expected fills). Blocks without either are skipped; the interval is never narrower than Poisson's.

    Args:
        expected: What fills should be proportional to, in the same shape.
    """
    variance, degrees, total = _variances(fills, expected)
    return [
        count_interval(count, each / count if count else 0.0, cosine)
        for count, each, cosine in zip(total.tolist(), variance.tolist(), degrees.tolist(), strict=True)
    ]


def stretch_intervals(fills: Floats, expected: Floats, stretch: Ints, hour: Ints) -> list[Ends]:
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
    used = (fills > 0) | (expected > 0)
    degrees = np.array([cosines(blocks) for blocks in used.sum(axis=0).tolist()], np.int64)
    total, mean = fills.sum(axis=0), expected.sum(axis=0)
    level = np.divide(total, mean, out=np.zeros(len(mean)), where=mean > 0)
    residual = fills - level * expected
    variance = [float(slow_variance(column[counts])) for column, counts in zip(residual.T, used.T, strict=True)]
    return np.array(variance), degrees, total


def count_interval(fills: float, size: float, degrees: int) -> Ends:
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
