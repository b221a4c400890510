"""The variance of sums over blocks of time that depend on each other, and intervals of counts that come in bursts.

Orders excite each other, so fills come in bursts, and the interval of a Poisson count is too narrow for them. The
intervals here are taken from the sums of fills seen less fills expected, in blocks of five minutes, and from how these
depend on their neighbours; a calibration takes the errors of A and k from the same estimator.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.metrics._passes import slow_variance
from mm.backtest.metrics.arithmetic import NORMAL, Ends, mean_interval, student_quantile
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.int64]
    Floats = NDArray[np.float64]

BLOCK_US = 300 * US_PER_S
SHARE = 0.4  # of B^(2/3) cosines


def cosines(blocks: int) -> int:
    """Return how many cosines the variance of so many blocks is taken from: 0.4·B^(2/3), as Lazarus et al. advise.

    At least 2 where there are three blocks, at most B - 1; 0 below two blocks.
    """
    return 0 if blocks < 2 else min(max(round(SHARE * blocks ** (2 / 3)), 2), blocks - 1)


def long_run_error(values: "Floats") -> "Floats":
    """Return the standard error of the sum of *values* in order of time, which may depend on their neighbours.

    The equal-weighted cosine estimator of Lazarus, Lewis, Stock and Watson (JBES 36 (2018) 541-559), to be referred to
    the t distribution with as many degrees of freedom as there are `cosines`.

    Args:
        values: One a block; of several columns, each has its error.
    """
    columns = np.ascontiguousarray(values, np.float64).reshape(len(values), -1)
    degrees = np.full(columns.shape[1], cosines(len(values)))
    found: Floats = np.sqrt(slow_variance(columns, np.ones(columns.shape, np.uint8), degrees))
    return found.reshape(values.shape[1:])


def fill_intervals(fills: "Floats", expected: "Floats") -> list[Ends]:
    """Return the 95 % interval of the mean of the fills of each column, where fills come in bursts.

    What varies is the fills of a block less those expected at the level of the column, all fills over all expected
    ones. Blocks of a column without either are passed over. The interval is never narrower than that of a Poisson
    count. No ends where there are fewer than two blocks.

    Args:
        fills: float64[blocks, columns], in order of time.
        expected: The same of the fills that a model expects, or of anything that they should be proportional to.
    """
    variance, degrees, total = _variances(fills, expected)
    return [
        count_interval(count, each / count if count else 0.0, cosine)
        for count, each, cosine in zip(total.tolist(), variance.tolist(), degrees.tolist(), strict=True)
    ]


def stretch_intervals(fills: "Floats", expected: "Floats", stretch: "Column", hour: "Column") -> list[Ends]:
    """Return the 95 % interval of the mean of the fills of each stretch of time, where fills come in bursts.

    A stretch alone has too few blocks to show how large bursts are, so the variance per fill is that within all hours
    together: a level that changes from one hour to the next does not widen the intervals. No ends where no hour has two
    blocks.

    Args:
        fills: float64[blocks], in order of time.
        expected: The same of the fills that a model expects.
        stretch: The number of each block's stretch, from 0 on.
        hour: The number of each block's hour, from 0 on, rising.
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
    return [count_interval(one, size, freedom) for one in np.bincount(stretch, fills).tolist()]


def _variances(fills: "Floats", expected: "Floats") -> "tuple[Floats, Column, Floats]":
    """Return the variance of the fills of each column, its degrees of freedom, and the fills."""
    used = (fills > 0) | (expected > 0)
    degrees = np.array([cosines(blocks) for blocks in used.sum(axis=0).tolist()], np.int64)
    total, mean = fills.sum(axis=0), expected.sum(axis=0)
    level = np.divide(total, mean, out=np.zeros(len(mean)), where=mean > 0)
    surprise = np.ascontiguousarray(fills - level * expected)
    return slow_variance(surprise, used.view(np.uint8), degrees), degrees, total


def count_interval(fills: float, size: float, degrees: int) -> Ends:
    """Return the 95 % interval of the mean of a count, as if its fills came in independent bursts of *size* fills.

    So many bursts have the interval of a Poisson count (Byar's approximation: Breslow and Day, Statistical Methods in
    Cancer Research II (1987), 69), which is stretched by their size; the interval of single fills is the least. No ends
    without degrees of freedom.

    Args:
        fills: How many there were.
        size: Variance of the count over its mean.
        degrees: Of freedom, of the estimate of *size*; Student's t with these replaces the normal quantile.
    """
    if degrees == 0:
        return None, None
    low, high = mean_interval(fills)
    size *= (student_quantile(degrees) / NORMAL) ** 2
    if size > 1:
        few = fills / size
        near = few * max(1 - 1 / (9 * few) - NORMAL / (3 * math.sqrt(few)), 0.0) ** 3 if few else 0.0
        far = (few + 1) * (1 - 1 / (9 * (few + 1)) + NORMAL / (3 * math.sqrt(few + 1))) ** 3
        low, high = min(low, size * near), max(high, size * far)
    return low, high
