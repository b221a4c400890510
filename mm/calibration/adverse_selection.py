"""What a fill costs afterwards: how far the mid moves against an order that was hit at each distance."""

import csv
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mm.calibration.reference import BLOCK_S, CLOSED, block_length_us
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.calibration.marks import Marks
    from mm.calibration.meter import Meter

    Ints = NDArray[np.int64]

HORIZONS_S = (1, 5, 30)
SIDES = (("bid", (1,)), ("ask", (-1,)), ("both", (1, -1)))


@dataclass(frozen=True, slots=True)
class AdverseMove:
    """The mean move of the mid against the probes at one distance.

    Attributes:
        delta_ticks: Distance of the probes from the reference.
        side: ``bid``, ``ask`` or ``both``.
        horizon_s: From the hit to the second look at the mid.
        hits: Those whose second look fell into the same stretch of valid book.
        mean_move_ticks: From the mid before the sweep; above 0 is against the order (a bought price fell).
        se_ticks: Its standard error, by blocks of five minutes; None with fewer than two of them.
        kept_ticks: What is left of the distance: delta less the move, before fees (from the mid only).
    """

    delta_ticks: float
    side: str
    horizon_s: int
    hits: int
    mean_move_ticks: float
    se_ticks: float | None
    kept_ticks: float


@dataclass(frozen=True)
class _Hits:
    """The sweeps of one side and day that hit the probes from *touch* to *depth*, and the moves after them."""

    touch: "Ints"
    depth: "Ints"
    block: "Ints"
    moves: "dict[int, NDArray[np.float64]]"  # by horizon, in ticks; NaN where the book broke or the day ended


def adverse_selection(meter: "Meter") -> list[AdverseMove]:
    """Return the moves at every distance that was hit, by the marks of all days whatever the method."""
    hits: dict[int, list[_Hits]] = {1: [], -1: []}
    behind = 0
    for marks, (start_us, end_us) in zip(meter.marks, meter.days, strict=True):
        for side, found in hits.items():
            found.append(_hits(marks, side, start_us, end_us, behind))
        behind += (end_us - start_us) // block_length_us(BLOCK_S) + 1
    per_tick = meter.marks[0].path.per_tick
    places = sorted({int(near) for marks in meter.marks for near in marks.grid.near if near <= marks.grid.last})
    rows: list[AdverseMove] = []
    for name, sides in SIDES:
        rows += _rows(_pooled([one for side in sides for one in hits[side]]), name, per_tick, places)
    return sorted(rows, key=lambda row: (row.delta_ticks, row.horizon_s))


def write_adverse_selection(path: Path, rows: list[AdverseMove]) -> None:
    """Write ``adverse_selection.csv``; an empty ``se_ticks`` is not known."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(AdverseMove)])
        writer.writerows(["" if value is None else value for value in astuple(row)] for row in rows)


def _hits(marks: "Marks", side: int, start_us: int, end_us: int, behind: int) -> _Hits:
    path = marks.path
    reached = marks.sweeps[side].between(start_us, end_us)
    touch = path.touch[side][reached.row]
    hit = (touch != CLOSED) & (reached.depth >= touch) & (touch <= marks.grid.last)
    us, row = reached.us[hit], reached.row[hit]
    breaks = np.cumsum(path.touch[1] == CLOSED)
    moves = {}
    for horizon_s in HORIZONS_S:
        then_us = us + horizon_s * US_PER_S
        then = np.searchsorted(path.us, then_us, side="right") - 1
        whole = (breaks[then] == breaks[row]) & (then_us <= end_us)
        moves[horizon_s] = np.where(whole, side * (path.mid2[row] - path.mid2[then]) / 2, np.nan)
    depth = np.minimum(reached.depth[hit], marks.grid.last)
    return _Hits(touch[hit], depth, behind + (us - start_us) // block_length_us(BLOCK_S), moves)


def _pooled(parts: list[_Hits]) -> _Hits:
    return _Hits(
        touch=np.concatenate([part.touch for part in parts]),
        depth=np.concatenate([part.depth for part in parts]),
        block=np.concatenate([part.block for part in parts]),
        moves={horizon: np.concatenate([part.moves[horizon] for part in parts]) for horizon in HORIZONS_S},
    )


def _rows(hits: _Hits, side: str, per_tick: int, places: list[int]) -> Iterator[AdverseMove]:
    """Yield a row for each distance and horizon with a move; probes stand whole ticks from the touch."""
    for distance in places:
        met = (hits.touch <= distance) & (distance <= hits.depth) & ((distance - hits.touch) % per_tick == 0)
        for horizon_s, moves in hits.moves.items():
            known = met & ~np.isnan(moves)
            if not known.any():
                continue
            delta, mean = distance / per_tick, float(moves[known].mean())
            error = _error(moves[known] - mean, hits.block[known])
            yield AdverseMove(delta, side, horizon_s, int(known.sum()), mean, error, delta - mean)


def _error(off: "NDArray[np.float64]", block: "Ints") -> float | None:
    """Return the standard error of a mean from what its blocks are off together; None with fewer than two."""
    blocks, into = np.unique(block, return_inverse=True)
    count = len(blocks)
    if count < 2:
        return None
    together = np.bincount(into, off)
    return float(np.sqrt(count / (count - 1) * (together**2).sum())) / len(off)
