"""Sums, quotients and quantiles that are the same on every machine, and Garwood's exact interval of a Poisson count.

The interval and Student's t are computed here because scipy takes longer to import than a summary takes.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics._passes import around

if TYPE_CHECKING:
    from numpy.typing import NDArray

    # int64, float64, or Python integers where 64 bits are too few
    Numbers = NDArray[Any]

ENOUGH = 1e-15
STEPS = 60
MANY = 4_096  # values
NORMAL = 1.959963984540054  # the two-sided 95 % quantile of the normal distribution

Ends = tuple[float | None, float | None]  # of an interval; None where there is none


def dot(first: "Numbers", second: "Numbers") -> float:
    """Return the sum of the products.

    Not ``first @ second``: BLAS sums in an order that depends on the machine and its cores, so that the same run would
    have other last digits elsewhere, and its idle threads spin for longer than all of a summary takes.
    """
    return float((first * second).sum())


def quotient(over: float, under: float) -> float | None:
    """Return over/under, or None where there is nothing to divide by."""
    return over / under if under else None


def quantiles(values: "Numbers", shares: Sequence[float]) -> list[float]:
    """Return the values below which these *shares* lie, between two neighbours on their line, as np.quantile does.

    That one imports numpy.ma, for longer than all charts of a page take; so does np.median.
    """
    ranks = ranks_of(len(values), shares)
    if len(values) < MANY:
        inside, places = values, ranks
    else:  # a partition moves them several times; so most are left out of it
        inside, rows = around(np.ascontiguousarray(values, np.float64), np.array(ranks))
        places = rows.tolist()
    return between((inside, places), ranks, len(values), shares)


def median(values: "Numbers") -> float:
    """Return the median of at least one value."""
    return quantiles(values, [0.5])[0]


def distinct_values(values: "Numbers") -> "Numbers":
    """Return the distinct values, rising, as np.unique does, which imports numpy.ma for it; none may be NaN."""
    rising = np.sort(values, axis=None)
    found: Numbers = rising[changes(rising)]
    return found


def ranks_of(count: int, shares: Sequence[float]) -> list[int]:
    """Return the ranks among so many values between which their quantiles lie, rising."""
    return sorted({min(int(share * (count - 1)) + beyond, count - 1) for share in shares for beyond in (0, 1)})


def between(
    some: "tuple[Numbers, Sequence[int]]", ranks: Sequence[int], count: int, shares: Sequence[float]
) -> list[float]:
    """Return quantiles of *count* values, of which there are *some*; the *ranks* have the places beside them."""
    inside, places = np.partition(*some), some[1]
    at = {rank: float(inside[place]) for rank, place in zip(ranks, places, strict=True)}
    found = []
    for share in shares:
        low = int(share * (count - 1))
        near, far = at[low], at[min(low + 1, count - 1)]
        found.append(near + (far - near) * (share * (count - 1) - low))
    return found


def ratio_interval(count: float, expected: float, ends: Ends) -> tuple[float | None, float | None, float | None]:
    """Return *count* over *expected*, and so the *ends* of the interval of its mean.

    All are None where nothing was expected, or so little that a ratio to it is beyond what floats hold; the ends alone
    where there is no interval.
    """
    if not 0 < expected < math.inf or not max(count, ends[1] or 0.0) / expected < math.inf:
        return None, None, None
    low, high = (None if end is None else end / expected for end in ends)
    return count / expected, low, high


@lru_cache(maxsize=1 << 14)  # the points of a sweep have mostly the same counts
def mean_interval(count: float, level: float = 0.95) -> tuple[float, float]:
    """Return the means between which a Poisson *count* leaves its own, at a *level* of confidence."""
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
    """Return the probability that a t variable is at most *value* away from 0."""
    angle, odd = math.atan(value / math.sqrt(degrees)), degrees % 2
    sine, cosine = math.sin(angle), math.cos(angle)
    term, total = (cosine if odd else 1.0), 0.0
    for at in range(2 + odd, degrees + 1, 2):
        total += term
        term *= cosine * cosine * (at - 1) / at
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def poisson_mid_p(count: int, mean: float) -> float | None:
    """Return where a *count* stands among those that a Poisson *mean* makes: P(fewer) + ½·P(as many).

    Over many counts of a right model these are even between 0 and 1 (the mid-P form of the probability integral
    transform). None where nothing was expected.
    """
    if not mean > 0:
        return None
    fewer = 1 - gamma_share(count, mean) if count else 0.0
    return fewer + math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)) / 2


def gamma_quantile(shape: float, share: float) -> float:
    """Return the value below which a gamma variable of this *shape*, of scale 1, lies with probability *share*.

    Newton's method from the approximation of Wilson and Hilferty (1931), halving where a step would leave the axis.
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
    """Return the probability that a gamma variable of this *shape* is at most *value*: a series or a fraction."""
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
    """Return the continued fraction of the upper tail, after Lentz."""
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
    """Return where *values*, or rows of them, differ from the one before; the first always does."""
    if len(values) < 2:
        return np.arange(len(values))
    differ = (values[1:] != values[:-1]).reshape(len(values) - 1, -1).any(axis=1)
    return np.flatnonzero(np.concatenate(([True], differ)))
