"""Selection bias of Sharpe ratios: probabilistic and deflated Sharpe ratio, probability of backtest overfitting."""

import math
from collections.abc import Callable
from itertools import combinations
from statistics import NormalDist

import numpy as np

from mm.base.arrays import Floats, Ints
from mm.base.estimate import student_quantile
from mm.errors import MMError

NORMAL = NormalDist()
EULER_GAMMA = 0.5772156649015329
LOWER95 = "pnl_lower95"
_AT_ONCE = 128  # halves per chunk


def probabilistic_sharpe(
    sharpe: float, *, benchmark: float = 0.0, periods: int, skew: float, kurtosis: float, inflation: float = 1.0
) -> float | None:
    """The probability that the true Sharpe ratio exceeds *benchmark*: Bailey, López de Prado (2012).

    *inflation* is the long-run variance of the mean over its variance for independent periods; at least 1.
    """
    variance = (1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2) * max(inflation, 1.0)
    if periods < 2 or variance <= 0:
        return None
    return NORMAL.cdf((sharpe - benchmark) * math.sqrt(periods - 1) / math.sqrt(variance))


def expected_best_sharpe(variance: float, trials: int) -> float:
    """The expected maximum Sharpe ratio of *trials* without skill: Bailey, López de Prado, "The deflated Sharpe ratio"
    (2014).

    *variance* is of Sharpe ratios over independent trials.
    """
    if not variance >= 0 or trials < 1:
        raise MMError(f"best of {trials} trials, variance {variance}: need one trial or more and a variance from 0 on")
    if trials == 1:
        return 0.0
    best = (1 - EULER_GAMMA) * NORMAL.inv_cdf(1 - 1 / trials)
    return math.sqrt(variance) * (best + EULER_GAMMA * NORMAL.inv_cdf(1 - 1 / (trials * math.e)))


def deflated_sharpe(sharpe: float, *, variance: float, trials: int, periods: int, **shape: float) -> float | None:
    """``probabilistic_sharpe`` (arguments *shape*) of the best trial with ``expected_best_sharpe`` as benchmark."""
    benchmark = expected_best_sharpe(variance, trials)
    return probabilistic_sharpe(sharpe, benchmark=benchmark, periods=periods, **shape)


def backtest_overfitting(performance: Floats, blocks: int = 16, rank_by: str = LOWER95) -> float | None:
    """The probability that the best trial in sample is at most the median out of sample; None below two trials.

    Combinatorially symmetric cross-validation: Bailey, Borwein, López de Prado, Zhu (2017). Rows are cut into equal
    *blocks* (the first that fill none are left out; fewer rows make fewer blocks); each half of the blocks selects the
    best by *rank_by*, the other half ranks it. In-sample ties get equal weights; out-of-sample ties share their rank.

    Args:
        performance: PnL, periods by trials.
        rank_by: ``pnl_lower95`` (lower bound of the mean of a row), ``pnl_quoting`` (the sum) or ``max_drawdown``.
    """
    if blocks < 2 or blocks % 2:
        raise MMError(f"cross-validation in {blocks} blocks: they must be even in number, such as 16")
    if not np.isfinite(performance).all():
        raise MMError("cross-validation: a performance is not finite; leave its period out of every trial")
    periods, trials = performance.shape
    blocks = min(blocks, periods // 2 * 2)
    length = periods // blocks if blocks else 0
    if trials < 2 or length * blocks // 2 < 2:
        return None
    cut = np.ascontiguousarray(performance[periods - length * blocks :]).reshape(blocks, length, trials)
    score = _drawdowns(cut) if rank_by.startswith("max_drawdown") else _bounds(cut, rank_by)
    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    shares, others = np.empty(len(halves)), halves[::-1]  # in reverse, each row is the complement of the half
    for begin in range(0, len(halves) // 2, _AT_ONCE):
        rows = slice(begin, min(begin + _AT_ONCE, len(halves) // 2))
        first, second = score(halves[rows]), score(others[rows])
        shares[rows], shares[::-1][rows] = _missed(first, second), _missed(second, first)
    total = 0.0
    for begin in range(0, len(halves), _AT_ONCE):
        total += float(shares[begin : begin + _AT_ONCE].sum())
    return total / len(halves)


Score = Callable[[Ints], Floats]
"""Of halves (rows of block numbers): what each trial is worth there."""


def _bounds(cut: Floats, rank_by: str) -> Score:
    """The mean, or its lower 95 % bound by Student's t."""
    length = cut.shape[1]
    means, squares = cut.mean(axis=1), ((cut - cut.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)

    def score(halves: Ints) -> Floats:
        inside = means[halves]
        mean: Floats = inside.mean(axis=1)
        if rank_by != LOWER95:
            return mean
        count = length * halves.shape[1]
        variance = squares[halves].sum(axis=1) + length * ((inside - mean[:, None]) ** 2).sum(axis=1)
        bound: Floats = mean - student_quantile(count - 1) * np.sqrt(variance / (count - 1) / count)
        return bound

    return score


def _drawdowns(cut: Floats) -> Score:
    """The deepest drawdown of the blocks in order, negative."""
    level = np.cumsum(np.concatenate([np.zeros_like(cut[:, :1]), cut], axis=1), axis=1)
    total, highest, lowest = level[:, -1], level.max(axis=1), level.min(axis=1)
    inner = (np.maximum.accumulate(level, axis=1) - level).max(axis=1)

    def score(halves: Ints) -> Floats:
        shape = len(halves), cut.shape[2]
        reached, peak, deepest = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for block in halves.T:
            deepest = np.maximum(np.maximum(deepest, inner[block]), peak - (reached + lowest[block]))
            peak = np.maximum(peak, reached + highest[block])
            reached += total[block]
        return -deepest

    return score


def _missed(chosen: Floats, other: Floats) -> Floats:
    best = chosen == chosen.max(axis=1, keepdims=True)
    ranked = other[np.arange(len(other)), best.argmax(axis=1)][:, None]
    twice = (other < ranked).sum(axis=1) + (other <= ranked).sum(axis=1)  # equal values share a rank; minus one
    shares: Floats = (twice <= chosen.shape[1]).astype(np.float64)
    for half in np.flatnonzero(best.sum(axis=1) > 1):
        values, ordered = other[half, best[half]], np.sort(other[half])
        twice = np.searchsorted(ordered, values) + np.searchsorted(ordered, values, side="right")
        shares[half] = (twice <= chosen.shape[1]).mean()
    return shares
