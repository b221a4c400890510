"""Volatility of the mid price: the two-scale estimate for whole days and for windows, and the signature plot."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.base.arrays import Floats
from mm.base.estimate import NO_ESTIMATE, Estimate, estimated
from mm.calibration.reference import CLOSED
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from mm.calibration.reference import ReferencePath

Moves = dict[int, Floats]  # by step in s: squared moves in ticks² and their count, by half hour, float64[2, half hours]

STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300)
FAST_S, SLOW_S = SCALES_S = (1, 60)  # of the two-scale volatility
HALF_HOUR_S = 1800
FEWEST_HALF_HOURS = 4


def moves_of(path: "ReferencePath", start_us: int, end_us: int, steps: Iterable[int] = SCALES_S) -> Moves:
    """Moves of the mid by step (s), one from every second, in the half hour of its begin; none spans a gap."""
    rows = np.searchsorted(path.us, np.arange(start_us, end_us, US_PER_S), side="right") - 1
    first, last = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 0)
    closed = path.touch[1][first:last] == CLOSED
    # the number of the gapless period of each sample; -1 for none
    stretch = np.where(closed[rows - first], -1, np.cumsum(closed)[rows - first])
    mid = path.mid2[rows] / 2
    size = len(mid) // HALF_HOUR_S + 1
    moves = {}
    for step in steps:
        at = np.flatnonzero((stretch[step:] == stretch[:-step]) & (stretch[step:] >= 0))
        half_hour, squares = at // HALF_HOUR_S, (mid[at + step] - mid[at]) ** 2
        sums = [np.bincount(half_hour, each, size).astype(np.float64) for each in (squares, np.ones(at.size))]
        moves[step] = np.stack(sums)
    return moves


def volatility(stretches: Iterable[tuple["ReferencePath", int, int]]) -> dict[str, Any]:
    """The block ``volatility`` of ``poisson_fit.json`` over *stretches* (path, start, end in µs).

    ``sigma_ticks_per_sqrt_s``: two-scale volatility; None with too few data, or if there is only bid-ask bounce.
    ``se_sigma``, ``ci95_sigma``: its error and interval from half hours; None with fewer than four. ``bounce_ticks``:
    standard deviation of the bounce; 0 if the plot does not fall. ``signature``: by sampling step, ticks² per second
    and number of moves.
    """
    parts = [moves_of(*stretch, steps=STEPS_S) for stretch in stretches]
    moves = {step: np.hstack([part[step] for part in parts]) for step in STEPS_S}
    fast, slow = moves[FAST_S], moves[SLOW_S]
    variance = _two_scale(per_s(fast, FAST_S), per_s(slow, SLOW_S))
    sigma = math.sqrt(variance) if variance > 0 else None
    found = _by_half_hours(fast, slow, sigma)
    return {
        "sigma_ticks_per_sqrt_s": sigma,
        "se_sigma": found.error,
        "ci95_sigma": found.ends,
        "bounce_ticks": math.sqrt(max(per_s(fast, FAST_S) - variance, 0.0) / 2) if slow[1].any() else None,
        "fast_s": FAST_S,
        "slow_s": SLOW_S,
        "signature": [
            {"step_s": step, "variance_per_s": per_s(move, step), "moves": int(move[1].sum())}
            for step, move in moves.items()
            if move[1].any()
        ],
    }


def sigma_of(stretches: Sequence[Moves]) -> float | None:
    """Volatility (ticks/√s) over stretches; None without a move of one second.

    As in `volatility`; with only bounce, or without a move of a minute, a single scale's estimate.
    """
    fast, slow = (per_s(np.hstack([part[step] for part in stretches]), step) for step in SCALES_S)
    variance_per_s = next((value for value in (_two_scale(fast, slow), slow, fast) if value > 0), fast)
    return math.sqrt(variance_per_s) if math.isfinite(variance_per_s) else None


def per_s(moves: Floats, step_s: float) -> float:
    """Variance in ticks² per second of moves of one step; NaN without a move."""
    squares, count = moves.sum(axis=1).tolist()  # squares are multiples of a quarter: exact in any order
    return squares / count / step_s if count else math.nan


def _two_scale(fast: float, slow: float) -> float:
    share = FAST_S / SLOW_S
    return (slow - share * fast) / (1 - share)


def _by_half_hours(fast: Floats, slow: Floats, sigma: float | None) -> Estimate:
    full = (fast[1] >= HALF_HOUR_S // 2) & (slow[1] >= HALF_HOUR_S // 2)
    if sigma is None or full.sum() < FEWEST_HALF_HOURS:
        return NO_ESTIMATE
    (quick, quick_count), (long, long_count) = fast[:, full], slow[:, full]
    each = (long / long_count / SLOW_S - FAST_S / SLOW_S * quick / quick_count) / (1 - FAST_S / SLOW_S)
    squared = estimated(each)
    half = 0.0 if squared.ends is None else (squared.ends[1] - squared.ends[0]) / 2
    low, high = (math.sqrt(max(sigma**2 + side * half, 0.0)) for side in (-1, 1))
    return Estimate(sigma, (squared.error or 0.0) / (2 * sigma), low, high, len(each))
