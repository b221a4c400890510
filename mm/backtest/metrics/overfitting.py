"""How much of a Sharpe ratio is skill, and how much is selection bias: the best of many trials was picked.

Sharpe ratios are per period here, never of a year; their variance over trials is too. Kurtosis is the raw
fourth moment, 3 for a normal distribution. What is undefined is None.
"""

import math
from collections.abc import Iterator
from itertools import combinations, islice
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from mm.errors import MMError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

NORMAL = NormalDist()
EULER_GAMMA = 0.5772156649015329
_AT_ONCE = 1024  # halves


def probabilistic_sharpe(
    sharpe: float, *, benchmark: float = 0.0, periods: int, skew: float, kurtosis: float
) -> float | None:
    """Return the probability that the true Sharpe ratio is above the *benchmark*: Bailey, López de Prado (2012).

    None under two periods, or where the moments leave the estimate no variance.
    """
    spread = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if periods < 2 or spread <= 0:
        return None
    return NORMAL.cdf((sharpe - benchmark) * math.sqrt(periods - 1) / math.sqrt(spread))


def expected_best_sharpe(variance: float, trials: int) -> float:
    """Return the Sharpe ratio that the best of so many worthless *trials* is expected to show.

    *variance* is that of the Sharpe ratios over independent trials; one trial has no selection bias: 0.
    Bailey, López de Prado, "The deflated Sharpe ratio" (2014).

    Raises:
        MMError: With a variance below 0 or no trial.
    """
    if not variance >= 0 or trials < 1:
        raise MMError(f"best of {trials} trials, variance {variance}: need one trial or more and a variance from 0 on")
    if trials == 1:
        return 0.0
    best = (1 - EULER_GAMMA) * NORMAL.inv_cdf(1 - 1 / trials)
    return math.sqrt(variance) * (best + EULER_GAMMA * NORMAL.inv_cdf(1 - 1 / (trials * math.e)))


def deflated_sharpe(
    sharpe: float, *, variance: float, trials: int, periods: int, skew: float, kurtosis: float
) -> float | None:
    """Return the probability that a Sharpe ratio picked as the best of *trials* is better than selection bias explains.

    It is ``probabilistic_sharpe`` above ``expected_best_sharpe``; None where that is.

    Raises:
        MMError: With a variance below 0 or no trial.
    """
    benchmark = expected_best_sharpe(variance, trials)
    return probabilistic_sharpe(sharpe, benchmark=benchmark, periods=periods, skew=skew, kurtosis=kurtosis)


def backtest_overfitting(performance: "Floats", blocks: int = 16) -> float | None:
    """Return the probability that the best trial in sample is no better than the median out of sample.

    Combinatorially symmetric cross-validation: Bailey, Borwein, López de Prado, Zhu (2017). Periods are cut into
    equal *blocks* in time (the first ones that do not fill a block are left out); each half of the blocks picks the
    trial with the best Sharpe ratio, and the other half ranks it. Trials equally good in sample count in equal parts,
    equal ones out of sample share their rank. A half without variation has Sharpe 0 if it has no gain, else ±∞.

    Args:
        performance: PnL by period (rows) and trial (columns).
        blocks: An even number; 16 make 12 870 halves.

    Returns:
        The share of halves whose pick ranks at the median or below; None under two trials, or where half the blocks
        hold fewer than two periods.

    Raises:
        MMError: If *blocks* is odd or below 2, or a performance is not finite.
    """
    if blocks < 2 or blocks % 2:
        raise MMError(f"cross-validation in {blocks} blocks: they must be even in number, such as 16")
    if not np.isfinite(performance).all():
        raise MMError("cross-validation: a performance is not finite; leave its period out of every trial")
    periods, trials = performance.shape
    length = periods // blocks
    if trials < 2 or length * blocks // 2 < 2:
        return None
    cut = performance[periods - length * blocks :].reshape(blocks, length, trials)
    means, squares = cut.mean(axis=1), ((cut - cut.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    missed = 0.0
    for halves in _halves(blocks):
        chosen = _half_sharpes(means, squares, halves, length)
        missed += _missed(chosen, _half_sharpes(means, squares, ~halves, length))
    return missed / math.comb(blocks, blocks // 2)


def _halves(blocks: int) -> "Iterator[Flags]":
    """Yield every half of the blocks as a row of flags, some thousand rows at a time."""
    rows = combinations(range(blocks), blocks // 2)
    while chunk := list(islice(rows, _AT_ONCE)):
        flags = np.zeros((len(chunk), blocks), dtype=bool)
        np.put_along_axis(flags, np.array(chunk), True, axis=1)
        yield flags


def _half_sharpes(means: "Floats", squares: "Floats", halves: "Flags", length: int) -> "Floats":
    """Return the Sharpe ratio of each trial (columns) over the blocks of each half (rows), from means and squares."""
    count = halves.shape[1] // 2
    mean = _over(halves, means) / count
    variance = np.zeros_like(mean)
    for block, taken in enumerate(halves.T):
        variance += taken[:, None] * (squares[block] + length * (means[block] - mean) ** 2)
    deviation = np.sqrt(variance / (length * count - 1))
    sharpe: Floats = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))
    np.divide(mean, deviation, out=sharpe, where=deviation > 0)
    return sharpe


def _over(halves: "Flags", values: "Floats") -> "Floats":
    """Return the sum of the blocks' *values* over each half; not a product of matrices, see ``arithmetic.dot``."""
    total = np.zeros((len(halves), values.shape[1]))
    for block, taken in enumerate(halves.T):
        total += taken[:, None] * values[block]
    return total


def _missed(chosen: "Floats", other: "Floats") -> float:
    """Return, summed over halves, the share of the best by *chosen* that rank at the median or below by *other*."""
    best = chosen == chosen.max(axis=1, keepdims=True)
    missed, trials = np.zeros(len(chosen)), chosen.shape[1]
    for trial in np.flatnonzero(best.any(axis=0)):
        picked = other[:, trial, None]
        rank = ((other < picked).sum(axis=1) + (other <= picked).sum(axis=1) + 1) / 2
        missed += best[:, trial] & (rank <= (trials + 1) / 2)
    return float((missed / best.sum(axis=1)).sum())
