"""How much of a Sharpe ratio is skill, and how much is selection bias: the best of many trials was picked.

Sharpe ratios are per period here, never of a year; their variance over trials is too. Kurtosis is the raw
fourth moment, 3 for a normal distribution. What is undefined is None.
"""

import math
from itertools import combinations
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.metrics._passes import half_sharpes, missed
from mm.errors import MMError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

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
    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    shares, others = np.empty(len(halves)), halves[::-1]  # each beside its other half
    for begin in range(0, len(halves) // 2, _AT_ONCE):
        rows = slice(begin, min(begin + _AT_ONCE, len(halves) // 2))
        one, other = (half_sharpes(means, squares, some[rows], length) for some in (halves, others))
        shares[rows], shares[::-1][rows] = missed(one, other), missed(other, one)
    total = 0.0
    for begin in range(0, len(halves), _AT_ONCE):
        total += float(shares[begin : begin + _AT_ONCE].sum())
    return total / len(halves)
