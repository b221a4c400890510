"""How far the mid moves: the signature plot's numbers, and a volatility that the bounce does not bend.

A mid is a price plus a bounce (a level that comes and goes moves it by half a tick and back). Sampled
every τ seconds, the squared moves per second of a walk of variance σ² with an independent bounce of
variance ω² are σ² + 2ω²/τ: the signature plot falls to σ². The two-scale estimator takes the bounce
out with the finest scale (Zhang, Mykland, Aït-Sahalia, JASA 100 (2005) 1394-1411).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mm.calibration.reference import CLOSED, ReferencePath
from mm.clock import US_PER_S

STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300)
SLOW_S = 60
BLOCK_S = 1800
FEWEST_BLOCKS = 4


@dataclass(frozen=True, slots=True)
class Signature:
    """One point of the signature plot.

    Attributes:
        step_s: Time between two looks at the mid.
        variance_per_s: Mean squared move, in ticks² per second.
        moves: How many moves, which overlap.
    """

    step_s: float
    variance_per_s: float
    moves: int


@dataclass(frozen=True, slots=True)
class Volatility:
    """What the mid did.

    Attributes:
        sigma_ticks_per_sqrt_s: Two-scale volatility; None where there is too little, or the bounce is all.
        se_sigma: Its standard error, from half hours; None with fewer than four of them.
        bounce_ticks: Standard deviation of the bounce; 0 where the plot does not fall.
        fast_s, slow_s: The two scales.
        signature: The plot, finest step first.
    """

    sigma_ticks_per_sqrt_s: float | None
    se_sigma: float | None
    bounce_ticks: float | None
    fast_s: float
    slow_s: float
    signature: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class _Moves:
    """Squared moves of one step, by half hour: their sums and numbers."""

    squares: NDArray[np.float64]
    count: NDArray[np.int64]

    def per_s(self, step_s: float) -> float:
        """Return the variance in ticks² per second; NaN without a move."""
        total = int(self.count.sum())
        return float(self.squares.sum()) / total / step_s if total else math.nan


def volatility(stretches: Iterable[tuple[ReferencePath, int, int]]) -> Volatility:
    """Return what the mid did in *stretches* of (path, start, end in µs); moves over a break of the book do not count.

    The mid is looked at every second, and moves of m seconds at every second too.
    """
    sampled = [_sample(*stretch) for stretch in stretches]
    moves = {step: _moves(sampled, step) for step in sorted({*STEPS_S, SLOW_S})}
    signature = tuple(
        Signature(step, moves[step].per_s(step), int(moves[step].count.sum()))
        for step in STEPS_S
        if moves[step].count.any()
    )
    fast, slow = moves[STEPS_S[0]], moves[SLOW_S]
    variance = _two_scale(fast.per_s(1), slow.per_s(SLOW_S))
    bounce = math.sqrt(max(fast.per_s(1) - variance, 0.0) / 2) if slow.count.any() else None
    sigma = math.sqrt(variance) if variance > 0 else None
    return Volatility(sigma, _error(fast, slow, sigma), bounce, STEPS_S[0], SLOW_S, signature)


def sigma_ticks(stretches: Iterable[tuple[ReferencePath, int, int]]) -> float | None:
    """Return the volatility of the mid in *stretches*, in ticks/√s; None where it was never seen to last a second.

    That of `volatility`; where the bounce is all that is seen, or no minute is whole, the plain one of a scale.
    """
    sampled = [_sample(*stretch) for stretch in stretches]
    fast, slow = (_moves(sampled, step).per_s(step) for step in (STEPS_S[0], SLOW_S))
    variance = _two_scale(fast, slow)
    found = next((one for one in (variance, slow, fast) if one > 0), fast)
    return math.sqrt(found) if math.isfinite(found) else None


def _two_scale(fast: float, slow: float) -> float:
    """Return σ² of the variances per second at both scales: the bounce in *slow* is a 60th of that in *fast*."""
    share = STEPS_S[0] / SLOW_S
    return (slow - share * fast) / (1 - share)


def _sample(path: ReferencePath, start_us: int, end_us: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the mid at every second, in ticks, and the number of the unbroken stretch it stands in; -1 for none."""
    rows = np.searchsorted(path.us, np.arange(start_us, end_us, US_PER_S), side="right") - 1
    closed = path.touch[1] == CLOSED
    return path.mid2[rows] / 2, np.where(closed[rows], -1, np.cumsum(closed)[rows])


def _moves(sampled: list[tuple[NDArray[np.float64], NDArray[np.int64]]], step: int) -> _Moves:
    """Return the moves of *step* seconds; each belongs to the half hour in which it begins."""
    squares: list[NDArray[np.float64]] = [np.zeros(1)]
    counts: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
    for mid, stretch in sampled:
        whole = (stretch[step:] == stretch[:-step]) & (stretch[step:] >= 0)
        at = np.flatnonzero(whole)
        block = at // BLOCK_S
        blocks = len(mid) // BLOCK_S + 1
        squares.append(np.bincount(block, (mid[at + step] - mid[at]) ** 2, blocks).astype(np.float64))
        counts.append(np.bincount(block, minlength=blocks).astype(np.int64))
    return _Moves(np.concatenate(squares), np.concatenate(counts))


def _error(fast: _Moves, slow: _Moves, sigma: float | None) -> float | None:
    """Return the standard error of *sigma* from the scatter of σ² over half hours of equal weight."""
    full = (fast.count >= BLOCK_S // 2) & (slow.count >= BLOCK_S // 2)
    if sigma is None or full.sum() < FEWEST_BLOCKS:
        return None
    share = STEPS_S[0] / SLOW_S
    each_slow = slow.squares[full] / slow.count[full] / SLOW_S
    each = (each_slow - share * fast.squares[full] / fast.count[full]) / (1 - share)
    return float(np.std(each, ddof=1)) / math.sqrt(len(each)) / (2 * sigma)
