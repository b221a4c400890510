"""Volatility of the mid price: the two-scale estimate for whole days and for windows, and the signature plot."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mm.calibration.reference import CLOSED, ReferencePath
from mm.clock import US_PER_S

if TYPE_CHECKING:
    Ints = NDArray[np.int64]

STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300)
SLOW_S = 60
SCALES_S = (STEPS_S[0], SLOW_S)  # of the two-scale volatility
HALF_HOUR_S = 1800
FEWEST_HALF_HOURS = 4


@dataclass(frozen=True, slots=True)
class Signature:
    """One point of the signature plot.

    Attributes:
        step_s: Time between two samples of the mid.
        variance_per_s: Mean squared move, in ticks² per second.
        moves: Number of moves; they overlap.
    """

    step_s: float
    variance_per_s: float
    moves: int


@dataclass(frozen=True, slots=True)
class Volatility:
    """Volatility of the mid.

    Attributes:
        sigma_ticks_per_sqrt_s: Two-scale volatility; None with too few data, or if there is only bid-ask bounce.
        se_sigma: Its standard error, from half hours; None with fewer than four of them.
        bounce_ticks: Standard deviation of the bid-ask bounce; 0 if the plot does not decrease.
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
class Moves:
    """Squared moves of one step, by half hour: their sums in ticks² and their counts."""

    squares: NDArray[np.float64]
    count: NDArray[np.int64]

    def per_s(self, step_s: float) -> float:
        """Return the variance in ticks² per second; NaN without a move."""
        total = sum(self.count.tolist())  # few numbers, and squares are multiples of a quarter: exact in any order
        return sum(self.squares.tolist()) / total / step_s if total else math.nan


def volatility(stretches: Iterable[tuple[ReferencePath, int, int]]) -> Volatility:
    """Return the volatility of the mid in *stretches* (path, start, end in µs), without moves over a gap of the book.

    The mid is sampled every second, and moves of m seconds also start at every second.
    """
    found = [moves_of(*stretch, steps=sorted({*STEPS_S, SLOW_S})) for stretch in stretches]
    moves = {step: _joined([one[step] for one in found]) for step in sorted({*STEPS_S, SLOW_S})}
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
    """Return the volatility of the mid in *stretches*, in ticks/√s; None without any move of one second.

    It is that of `volatility`; with only bounce, or without a move of a minute, the estimate of a single scale.
    """
    return sigma_of([moves_of(*stretch) for stretch in stretches])


def sigma_of(stretches: Sequence[dict[int, Moves]]) -> float | None:
    """Return `sigma_ticks` of the stretches with these moves."""
    fast, slow = (_joined([one[step] for one in stretches]).per_s(step) for step in SCALES_S)
    variance = _two_scale(fast, slow)
    found = next((value for value in (variance, slow, fast) if value > 0), fast)
    return math.sqrt(found) if math.isfinite(found) else None


def _two_scale(fast: float, slow: float) -> float:
    """Return σ² of the variances per second at both scales: the bounce in *slow* is a 60th of that in *fast*."""
    share = STEPS_S[0] / SLOW_S
    return (slow - share * fast) / (1 - share)


def moves_of(path: ReferencePath, start_us: int, end_us: int, steps: Iterable[int] = SCALES_S) -> dict[int, Moves]:
    """Return the moves of the mid in ``[start_us, end_us)`` by step in s, each in the half hour in which it begins."""
    rows = np.searchsorted(path.us, np.arange(start_us, end_us, US_PER_S), side="right") - 1
    first, last = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 0)
    closed = path.touch[1][first:last] == CLOSED
    # the number of the gapless period of each sample; -1 for none
    stretch = np.where(closed[rows - first], -1, np.cumsum(closed)[rows - first])
    mid = path.mid2[rows] / 2
    blocks = len(mid) // HALF_HOUR_S + 1
    found = {}
    for step in steps:
        whole = (stretch[step:] == stretch[:-step]) & (stretch[step:] >= 0)
        at = np.flatnonzero(whole)
        block = at // HALF_HOUR_S
        squares = np.bincount(block, (mid[at + step] - mid[at]) ** 2, blocks).astype(np.float64)
        found[step] = Moves(squares, np.bincount(block, minlength=blocks).astype(np.int64))
    return found


def _joined(parts: Sequence[Moves]) -> Moves:
    """Return the moves of several stretches in one."""
    if len(parts) == 1:
        return parts[0]
    squares, counts = [np.zeros(1), *(part.squares for part in parts)], [part.count for part in parts]
    return Moves(np.concatenate(squares), np.concatenate([np.zeros(1, np.int64), *counts]))


def _error(fast: Moves, slow: Moves, sigma: float | None) -> float | None:
    """Return the standard error of *sigma* from the scatter of σ² over half hours of equal weight."""
    full = (fast.count >= HALF_HOUR_S // 2) & (slow.count >= HALF_HOUR_S // 2)
    if sigma is None or full.sum() < FEWEST_HALF_HOURS:
        return None
    share = STEPS_S[0] / SLOW_S
    each_slow = slow.squares[full] / slow.count[full] / SLOW_S
    each = (each_slow - share * fast.squares[full] / fast.count[full]) / (1 - share)
    return float(np.std(each, ddof=1)) / math.sqrt(len(each)) / (2 * sigma)
