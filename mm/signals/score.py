"""Scores of signals against the next move of the mid: rank correlations by horizon, with intervals and stability.

The move from t to t + h is the difference of the mids in force. A row counts if signal and both mids are defined and
the book has no gap in between. Correlations are Spearman's. Rows say no more than their moves: intervals are from
blocks of equally many moves, several horizons long, by Student's t; none below `LEAST_MOVES`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from mm.base.estimate import estimated
from mm.clock import US_PER_S
from mm.errors import UsageError
from mm.signals.compute import NO_OTHERS, compute
from mm.signals.families import QUOTE, SIGNALS
from mm.signals.micro_price import MicroPriceFit
from mm.signals.other_feed import OtherFeed
from mm.tape.tape import GAP, Tape

HORIZONS_S = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0)
BLOCKS, LEAST_BLOCKS = 40, 8
BLOCK_HORIZONS = 6  # the least length of a block
LEAST_ROWS, LEAST_MOVES = 50, 100
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SignalScore:
    """Score of one signal against the move over one horizon.

    Attributes:
        rho: Spearman's; None for a constant column or too few rows.
        ci95: From blocks of moves; None with too few.
        stable: Both halves have rho's sign; None if one is unknown.
    """

    signal: str
    horizon_s: float
    rows: int
    rho: float | None
    ci95: tuple[float, float] | None = None
    first_half: float | None = None
    second_half: float | None = None
    stable: bool | None = None
    moves: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def score(
    tape: Tape,
    names: Sequence[str],
    micro_price: MicroPriceFit | None = None,
    horizons_s: Sequence[float] = HORIZONS_S,
    *,
    others: Mapping[str, OtherFeed] = NO_OTHERS,
) -> list[SignalScore]:
    """Return each signal's score at each horizon. Price signals count by their distance from the mid."""

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
    moved = moves_by(mid)
    scores: dict[str, list[SignalScore]] = {name: [] for name in wanted}
    for horizon_s in horizons_s:
        move = move_of(us, mid, gaps, round(horizon_s * US_PER_S))
        for place, name in enumerate(wanted):
            scores[name].append(_score(name, horizon_s, us, values[place], move, moved))
    return [signal_score for name in wanted for signal_score in scores[name]]


def move_of(us: Ints, mid: Floats, gaps: Ints, horizon_us: int) -> Floats:
    return move_to(us, mid, gaps, np.arange(len(us)), us + horizon_us)


def move_to(us: Ints, mid: Floats, gaps: Ints, row: Ints, then_us: Ints) -> Floats:
    at = np.searchsorted(us, then_us, side="right") - 1
    unbroken = np.searchsorted(gaps, us[row], side="right") == np.searchsorted(gaps, then_us, side="right")
    known = unbroken & (then_us <= us[-1]) if len(us) else unbroken
    return np.where(known, mid[at] - mid[row], np.nan)


def moves_by(mid: Floats) -> Ints:
    known = np.flatnonzero(~np.isnan(mid))
    moved = np.zeros(len(mid), np.int64)
    moved[known[1:]] = np.diff(mid[known]) != 0
    return np.cumsum(moved)


def _score(name: str, horizon_s: float, us: Ints, values: Floats, move: Floats, moved: Ints) -> SignalScore:
    known = ~(np.isnan(values) | np.isnan(move))
    us, x, y, moved = us[known], values[known], move[known], moved[known]
    moves = int(moved[-1] - moved[0]) if len(us) else 0
    rho = rank_correlation(x, y)
    if rho is None:
        return SignalScore(name, horizon_s, len(us), None, moves=moves)
    middle = (us[0] + us[-1]) // 2
    early = us <= middle
    halves = rank_correlation(x[early], y[early]), rank_correlation(x[~early], y[~early])
    stable = None if None in halves else all(half is not None and half * rho > 0 for half in halves)
    return SignalScore(
        name, horizon_s, len(us), rho, interval(x, y, blocks_of(us, moved, horizon_s)), *halves, stable, moves
    )


def rank_correlation(x: Floats, y: Floats) -> float | None:
    if len(x) < LEAST_ROWS:
        return None
    a, b = rankdata(x), rankdata(y)
    spread = float(np.std(a) * np.std(b))
    return float(np.mean((a - a.mean()) * (b - b.mean())) / spread) if spread > 0 else None


def interval(x: Floats, y: Floats, begins: Ints) -> tuple[float, float] | None:
    """Return an interval by Student's t over blocks; None with too few.

    A block's deviation sums its rows' influence: a·b - ρ/2·(a² + b²) of the standardised ranks a and b.
    """
    count = len(begins)
    if count < LEAST_BLOCKS:
        return None
    a, b = ((ranks - ranks.mean()) / ranks.std() for ranks in (rankdata(x), rankdata(y)))
    rho = float((a * b).mean())
    sums = np.add.reduceat(a * b - rho / 2 * (a * a + b * b), begins) / len(a)
    ends = estimated(sums, independent=True).times(count).ends  # the influences add up to 0
    return None if ends is None else (rho + ends[0], rho + ends[1])


def blocks_of(us: Ints, moved: Ints, horizon_s: float) -> Ints:
    """Return each block's first row: equally many moves, at least `BLOCK_HORIZONS` long."""
    total = int(moved[-1] - moved[0]) if len(moved) else 0
    if total < LEAST_MOVES:
        return np.empty(0, np.int64)
    number = np.minimum((moved - moved[0]) * BLOCKS // total, BLOCKS - 1)
    least_us, begins = BLOCK_HORIZONS * horizon_s * US_PER_S, list[int]()
    for row in np.flatnonzero(np.diff(number, prepend=-1)).tolist():
        if not begins or us[row] - us[begins[-1]] >= least_us:
            begins.append(row)
    if len(begins) > 1 and us[-1] - us[begins[-1]] < least_us / 2:
        begins.pop()  # the rest is part of the block before it
    return np.array(begins, np.int64)


def half_life_s(scores: Iterable[SignalScore]) -> float | None:
    known = [each for each in scores if each.rho is not None]
    if not known:
        return None
    best = max(known, key=lambda each: abs(each.rho or 0.0))
    later = (
        each for each in known if each.horizon_s > best.horizon_s and abs(each.rho or 0.0) <= 0.5 * abs(best.rho or 0.0)
    )
    return next((each.horizon_s for each in later), None)
