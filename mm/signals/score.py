"""Scores of signals against the next move of the mid: rank correlations by horizon, with intervals and stability.

The move from t to t + h is the mid in force at t + h less the mid at t. A row is used if the signal and both mids are
defined and the book has no gap between t and t + h. Correlations are Spearman's, with confidence intervals from a block
bootstrap; a block is at least twice as long as the horizon, so that most of its moves end within it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from mm.clock import US_PER_S
from mm.errors import UsageError
from mm.signals.compute import NO_OTHERS, compute
from mm.signals.families import QUOTE, SIGNALS
from mm.signals.micro_price import MicroPriceFit
from mm.signals.other_feed import OtherFeed
from mm.tape.tape import GAP, Tape

HORIZONS_S = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0)
DRAWS = 400
BLOCK_S, LEAST_BLOCKS = 300.0, 8
LEAST_ROWS = 50
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SignalScore:
    """Score of one signal against the move over one horizon.

    Attributes:
        signal: Name of the signal.
        horizon_s: Horizon, s.
        rows: Number of rows used.
        rho: Spearman's rank correlation, -1 to 1; None if a column is constant or there are too few rows.
        ci95: 95 % confidence interval of rho from a block bootstrap; None if there are too few blocks.
        first_half, second_half: rho of the rows before and after the midpoint in time.
        stable: Whether both halves have the sign of rho; None if one is unknown.
    """

    signal: str
    horizon_s: float
    rows: int
    rho: float | None
    ci95: tuple[float, float] | None = None
    first_half: float | None = None
    second_half: float | None = None
    stable: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the score as JSON values."""
        return asdict(self)


def score(
    tape: Tape,
    names: Sequence[str],
    micro_price: MicroPriceFit | None = None,
    horizons_s: Sequence[float] = HORIZONS_S,
    seed: int = 0,
    *,
    others: Mapping[str, OtherFeed] = NO_OTHERS,
) -> list[SignalScore]:
    """Return the score of each signal at each horizon.

    Price signals are used as their distance from the mid.

    Args:
        tape: A day.
        names: Names of the signals.
        micro_price: The fit of ``micro_price``.
        horizons_s: Horizons, s.
        seed: Seed of the bootstrap.
        others: The other markets that signals read, by name.

    Raises:
        UsageError: If the tape has no rows.
    """

    wanted = [name for name in names if name != "mid"]
    pieces = list(compute(tape, [*wanted, "mid"], micro_price, others=others))
    if not pieces:
        raise UsageError(f"{tape.symbol} {','.join(tape.days)}: no diff changes the book, so there is nothing to score")
    us = np.concatenate([piece.recv_us for piece in pieces])
    values = np.concatenate([piece.values for piece in pieces], axis=1)
    mid = values[-1]
    for place, name in enumerate(wanted):
        if SIGNALS.described(name)["unit"] == QUOTE:  # of another market too: its distance from our mid
            values[place] -= mid
    values[:, us < tape.start_us] = np.nan  # a window's tape also has earlier events
    gaps = np.sort(tape.event_us[tape.kind == GAP])
    draw = np.random.default_rng(seed)
    scores: dict[str, list[SignalScore]] = {name: [] for name in wanted}
    for horizon_s in horizons_s:
        move = move_of(us, mid, gaps, round(horizon_s * US_PER_S))
        for place, name in enumerate(wanted):
            scores[name].append(_score(name, horizon_s, us, values[place], move, draw))
    return [signal_score for name in wanted for signal_score in scores[name]]


def move_of(us: Ints, mid: Floats, gaps: Ints, horizon_us: int) -> Floats:
    """Return the move of the mid from each row over a horizon, NaN if unknown.

    Args:
        us: Timestamps of the rows, ascending, µs.
        mid: The mid after each row, NaN if undefined.
        gaps: Timestamps of the gaps of the book, ascending, µs.
        horizon_us: Horizon, µs.
    """
    return move_to(us, mid, gaps, np.arange(len(us)), us + horizon_us)


def move_to(us: Ints, mid: Floats, gaps: Ints, row: Ints, then_us: Ints) -> Floats:
    """Return the move of the mid from given rows to later times, NaN if unknown.

    Args:
        us: Timestamps of the rows, ascending, µs.
        mid: The mid after each row, NaN if undefined.
        gaps: Timestamps of the gaps of the book, ascending, µs.
        row: Index of the row at the start of each move.
        then_us: End of each move, µs.
    """
    at = np.searchsorted(us, then_us, side="right") - 1
    unbroken = np.searchsorted(gaps, us[row], side="right") == np.searchsorted(gaps, then_us, side="right")
    known = unbroken & (then_us <= us[-1]) if len(us) else unbroken
    return np.where(known, mid[at] - mid[row], np.nan)


def _score(
    name: str, horizon_s: float, us: Ints, values: Floats, move: Floats, draw: np.random.Generator
) -> SignalScore:
    known = ~(np.isnan(values) | np.isnan(move))
    us, x, y = us[known], values[known], move[known]
    rho = rank_correlation(x, y)
    if rho is None:
        return SignalScore(name, horizon_s, len(us), None)
    middle = (us[0] + us[-1]) // 2
    early = us <= middle
    halves = rank_correlation(x[early], y[early]), rank_correlation(x[~early], y[~early])
    stable = None if None in halves else all(half is not None and half * rho > 0 for half in halves)
    return SignalScore(name, horizon_s, len(us), rho, interval(us, x, y, horizon_s, draw), *halves, stable)


def rank_correlation(x: Floats, y: Floats) -> float | None:
    """Return Spearman's rank correlation; None if there are too few rows, or a column is constant."""
    if len(x) < LEAST_ROWS:
        return None
    a, b = rankdata(x), rankdata(y)
    spread = float(np.std(a) * np.std(b))
    return float(np.mean((a - a.mean()) * (b - b.mean())) / spread) if spread > 0 else None


def interval(us: Ints, x: Floats, y: Floats, horizon_s: float, draw: np.random.Generator) -> tuple[float, float] | None:
    """Return the 95 % interval of a rank correlation from a block bootstrap; None if there are too few blocks.

    Ranks are over all rows; blocks of equal time are drawn with replacement.
    """
    block, count = blocks_of(us, horizon_s)
    if count < LEAST_BLOCKS:
        return None
    a, b = rankdata(x), rankdata(y)
    a, b = a - a.mean(), b - b.mean()
    sums = np.column_stack([np.bincount(block, part, count) for part in (np.ones(len(a)), a, b, a * a, b * b, a * b)])
    drawn = sums[draw.integers(0, count, (DRAWS, count))].sum(axis=1)
    n, sa, sb, saa, sbb, sab = drawn.T
    with np.errstate(all="ignore"):
        rho = (sab - sa * sb / n) / np.sqrt((saa - sa * sa / n) * (sbb - sb * sb / n))
    rho = rho[np.isfinite(rho)]
    if len(rho) < DRAWS // 2:
        return None
    low, high = np.quantile(rho, (0.025, 0.975))
    return float(low), float(high)


def blocks_of(us: Ints, horizon_s: float) -> tuple[Ints, int]:
    """Return the bootstrap block of each row, and the number of blocks; blocks have equal durations."""
    span_us = int(us[-1] - us[0]) + 1
    length_us = max(min(BLOCK_S * US_PER_S, span_us / 40), 2 * horizon_s * US_PER_S)
    block = ((us - us[0]) // length_us).astype(np.int64)
    return block, int(block[-1]) + 1


def half_life_s(scores: Iterable[SignalScore]) -> float | None:
    """Return the first horizon after the strongest with at most half of its absolute correlation; None if none has."""
    known = [each for each in scores if each.rho is not None]
    if not known:
        return None
    best = max(known, key=lambda each: abs(each.rho or 0.0))
    later = (
        each for each in known if each.horizon_s > best.horizon_s and abs(each.rho or 0.0) <= 0.5 * abs(best.rho or 0.0)
    )
    return next((each.horizon_s for each in later), None)
