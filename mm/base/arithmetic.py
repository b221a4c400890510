"""Sums, quotients and quantiles that are equal on every machine, and Garwood's exact Poisson interval."""

import math
from collections.abc import Sequence

import numpy as np

from mm.base.arrays import Ints, Numbers, Rows
from mm.base.estimate import LEVEL, Ends

MOST_CODES, TABLE_PER_ROW = 2**63 - 1, 4


def dot(first: Numbers, second: Numbers) -> float:
    return float((first * second).sum())


def greatest(values: Numbers) -> int:
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))


def whole_sum(values: Numbers) -> int:
    return int(values.sum()) if greatest(values) * len(values) < 2**63 else sum(values.tolist())


def quotient(over: float, under: float) -> float | None:
    return over / under if under else None


def quantiles(values: Numbers, shares: Sequence[float]) -> list[float]:
    at_shares: list[float] = np.quantile(values, shares).tolist()
    return at_shares


def median(values: Numbers) -> float:
    return float(np.median(values))


def ratio_interval(count: float, expected: float, ends: Ends) -> tuple[float | None, float | None, float | None]:
    """*count* / *expected*, and the interval's *ends* divided alike.

    All are None if nothing was expected or the ratio overflows, the ends also without an interval.
    """
    if not 0 < expected < math.inf or not max(count, ends[1] or 0.0) / expected < math.inf:
        return None, None, None
    low, high = (None if end is None else end / expected for end in ends)
    return count / expected, low, high


def mean_interval(count: float) -> tuple[float, float]:
    from mm.base.special import gammaincinv

    tail = (1 - LEVEL) / 2
    low = float(gammaincinv(count, tail)) if count > 0 else 0.0
    return low, float(gammaincinv(count + 1, 1 - tail))


def poisson_mid_p(count: int, mean: float) -> float | None:
    if not mean > 0:
        return None
    from mm.base.special import gammaincc

    fewer = float(gammaincc(count, mean)) if count else 0.0
    return fewer + math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)) / 2


def changes(values: Numbers) -> Rows:
    """Rows of *values* that differ from the previous row; 0 is included."""
    if len(values) < 2:
        return np.arange(len(values))
    differ = values[1:] != values[:-1]
    if differ.ndim > 1:
        differ = differ.any(axis=1)
    return np.flatnonzero(np.concatenate(([True], differ)))


def distinct(rows: Numbers) -> tuple[Ints, Rows]:
    if not len(rows):
        return rows.astype(np.int64), np.empty(0, np.intp)
    whole = rows.astype(np.int64, copy=False).T
    low = whole.min(axis=1)
    sizes = whole.max(axis=1) - low + 1
    size, code = math.prod(sizes.tolist()), np.zeros(len(rows), np.int64)
    if size > MOST_CODES:
        raise ValueError(f"distinct: {len(rows)} rows have {size:,} combinations of values, more than 64 bits encode")
    for column, least, count in zip(whole, low, sizes, strict=True):
        code = code * count + (column - least)
    if size <= TABLE_PER_ROW * len(rows):
        known = np.zeros(size, np.bool_)
        known[code] = True
        codes, into = np.flatnonzero(known), np.cumsum(known)[code] - 1
    else:
        codes, into = np.unique(code, return_inverse=True)
    return np.stack(np.unravel_index(codes, sizes), axis=1) + low, into
