"""Sums, quotients and quantiles that are the same on every machine, and Garwood's exact interval of a Poisson count.

The interval and Student's t are computed here because importing scipy takes longer than computing a summary.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics._statistics import around

if TYPE_CHECKING:
    from numpy.typing import NDArray

    # int64, float64, or Python integers where 64 bits are too few
    Numbers = NDArray[Any]

ENOUGH = 1e-15
STEPS = 60
MANY = 4_096  # values
NORMAL = 1.959963984540054  # the two-sided 95 % quantile of the normal distribution

Ends = tuple[float | None, float | None]  # of an interval; None if it is undefined


def dot(first: "Numbers", second: "Numbers") -> float:
    """Return the sum of the products.

    Not ``first @ second``: BLAS sums in an order that depends on the machine and its cores, so the same run would
    differ in its last digits elsewhere, and its idle threads spin for longer than a whole summary takes.
    """
    return float((first * second).sum())


def quotient(over: float, under: float) -> float | None:
    """Return over/under, or None if *under* is 0."""
    return over / under if under else None


def quantiles(values: "Numbers", shares: Sequence[float]) -> list[float]:
    """Return the quantiles of *values* at *shares*, linearly interpolated as by np.quantile.

    np.quantile and np.median import numpy.ma, which takes longer than all charts of a page.
    """
    ranks = ranks_of(len(values), shares)
    if len(values) < MANY:
        inside, places = values, ranks
    else:  # a partition moves values several times, so most are excluded first
        inside, rows = around(np.ascontiguousarray(values, np.float64), np.array(ranks))
        places = rows.tolist()
    return between((inside, places), ranks, len(values), shares)


def median(values: "Numbers") -> float:
    """Return the median of at least one value."""
    return quantiles(values, [0.5])[0]


def distinct_values(values: "Numbers") -> "Numbers":
    """Return the distinct values, ascending, like np.unique, which would import numpy.ma; none may be NaN."""
    ascending = np.sort(values, axis=None)
    found: Numbers = ascending[changes(ascending)]
    return found


def ranks_of(count: int, shares: Sequence[float]) -> list[int]:
    """Return the ranks among *count* values between which the quantiles at *shares* lie, ascending."""
    return sorted({min(int(share * (count - 1)) + beyond, count - 1) for share in shares for beyond in (0, 1)})


def between(
    some: "tuple[Numbers, Sequence[int]]", ranks: Sequence[int], count: int, shares: Sequence[float]
) -> list[float]:
    """Return quantiles of *count* values from *some* of them: values, and the place of each of *ranks* in these."""
    inside, places = np.partition(*some), some[1]
    at = {rank: float(inside[place]) for rank, place in zip(ranks, places, strict=True)}
    found = []
    for share in shares:
        low = int(share * (count - 1))
        near, far = at[low], at[min(low + 1, count - 1)]
        found.append(near + (far - near) * (share * (count - 1) - low))
    return found


def ratio_interval(count: float, expected: float, ends: Ends) -> tuple[float | None, float | None, float | None]:
    """Return *count* / *expected*, and the *ends* of the interval of its mean divided likewise.

    All are None if nothing was expected, or so little that the ratio overflows a float; only the ends are None if there
    is no interval.
    """
    if not 0 < expected < math.inf or not max(count, ends[1] or 0.0) / expected < math.inf:
        return None, None, None
    low, high = (None if end is None else end / expected for end in ends)
    return count / expected, low, high


@lru_cache(maxsize=1 << 14)  # the points of a sweep have mostly the same counts
def mean_interval(count: float, level: float = 0.95) -> tuple[float, float]:
    """Return Garwood's exact interval of the mean of a Poisson *count*, at a *level* of confidence."""
    tail = (1 - level) / 2
    low = gamma_quantile(count, tail) if count > 0 else 0.0
    return low, gamma_quantile(count + 1, 1 - tail)


@lru_cache(maxsize=1 << 10)
def student_quantile(degrees: int, level: float = 0.95) -> float:
    """Return the two-sided quantile of Student's t distribution with 1 or more *degrees* of freedom.

    Newton's method from the normal quantile, which is smaller, on the finite sums of Abramowitz and Stegun, 26.7.3-4.
    """
    value = NormalDist().inv_cdf((1 + level) / 2)
    height = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - math.log(degrees * math.pi) / 2
    for _ in range(STEPS):
        density = 2 * math.exp(height - (degrees + 1) / 2 * math.log1p(value * value / degrees))
        step = (level - _student_share(degrees, value)) / density
        value += step
        if abs(step) <= 1e-13 * value:
            break
    return value


def _student_share(degrees: int, value: float) -> float:
    """Return the probability that the absolute value of a t variable is at most *value*."""
    angle, odd = math.atan(value / math.sqrt(degrees)), degrees % 2
    sine, cosine = math.sin(angle), math.cos(angle)
    term, total = (cosine if odd else 1.0), 0.0
    for at in range(2 + odd, degrees + 1, 2):
        total += term
        term *= cosine * cosine * (at - 1) / at
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def poisson_mid_p(count: int, mean: float) -> float | None:
    """Return the mid-P value of a *count* under a Poisson distribution of this *mean*: P(fewer) + ½·P(as many).

    Over many counts of a correct model these are uniform between 0 and 1 (the mid-P form of the probability integral
    transform). None if nothing was expected.
    """
    if not mean > 0:
        return None
    fewer = 1 - gamma_share(count, mean) if count else 0.0
    return fewer + math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)) / 2


def gamma_quantile(shape: float, share: float) -> float:
    """Return the quantile at probability *share* of a gamma variable of this *shape* and scale 1.

    Newton's method from the approximation of Wilson and Hilferty (1931); a step to 0 or below halves the value instead.
    """
    root = 1 - 1 / (9 * shape) + NormalDist().inv_cdf(share) / (3 * math.sqrt(shape))
    value = shape * root**3 if root > 0.2 else (share * math.gamma(shape + 1)) ** (1 / shape)
    for _ in range(STEPS):
        density = math.exp((shape - 1) * math.log(value) - value - math.lgamma(shape))
        step = (gamma_share(shape, value) - share) / density
        value = value - step if step < value else value / 2
        if abs(step) <= 1e-13 * value:
            break
    return value


def gamma_share(shape: float, value: float) -> float:
    """Return the probability that a gamma variable of this *shape* and scale 1 is at most *value*."""
    scale = math.exp(shape * math.log(value) - value - math.lgamma(shape))
    if value < shape + 1:
        term = total = 1 / shape
        at = shape
        while term > ENOUGH * total:
            at += 1
            term *= value / at
            total += term
        return scale * total
    return 1 - scale * _fraction(shape, value)


def _fraction(shape: float, value: float) -> float:
    """Return the continued fraction of the upper tail, by Lentz's method."""
    last = value + 1 - shape
    upper, lower = 1e300, 1 / last
    total = lower
    for i in range(1, 100_000):
        factor, last = -i * (i - shape), last + 2
        lower = 1 / (factor * lower + last)
        upper = last + factor / upper
        total *= upper * lower
        if abs(upper * lower - 1) < ENOUGH:
            break
    return total


def changes(values: "Numbers") -> "NDArray[np.intp]":
    """Return the indices at which *values*, or rows of them, differ from the one before; 0 is always included."""
    if len(values) < 2:
        return np.arange(len(values))
    differ = (values[1:] != values[:-1]).reshape(len(values) - 1, -1).any(axis=1)
    return np.flatnonzero(np.concatenate(([True], differ)))
