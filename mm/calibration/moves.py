"""Adverse moves of the mid after hits, by distance: the table of whole days, and the means of any window.

A sweep hits the probes at every tick from the touch to its depth. A hit counts only if the window includes the time
until the later mid, so nothing at or after its end is used.
"""

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from mm.base.arrays import Floats, Ints
from mm.base.estimate import estimated
from mm.calibration.calibrator import Calibrator, first_blocks
from mm.calibration.fit_result import Line
from mm.calibration.reference import BLOCK_US, OWN_BEST, PER_TICK, SETTLED_S, later
from mm.calibration.tally import DistanceGrid
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mm.calibration.depth_counts import DepthCounts


HORIZONS_S = (1, 5, 30)
LEAST_HITS = 20  # minimum number of fills for a mean move
LEAST_BLOCKS = 5  # with hits, for an interval
DAYS = 2  # last days of a window, whose fills are used: of earlier days only sums are available
SIDES = (("bid", (1,)), ("ask", (-1,)), ("both", (1, -1)))


@dataclass(frozen=True, slots=True)
class AdverseMove:
    delta_ticks: float
    side: str
    horizon_s: int
    hits: int
    mean_move_ticks: float
    se_ticks: float | None
    kept_ticks: float
    low_ticks: float | None = None
    high_ticks: float | None = None


class Hits(NamedTuple):
    """Sweeps that hit the probes from *touch* to *depth*, in steps, and the moves of the mid after them."""

    touch: Ints
    depth: Ints
    block: Ints
    moves: Floats  # a column per horizon, in ticks; NaN after a gap or the end of the window

    @classmethod
    def of(
        cls, marks: "DepthCounts", side: int, span: "Sequence[int]", last: int, horizons_s: "Sequence[int]"
    ) -> "Hits":
        path, (start_us, end_us) = marks.path, span
        hits, touch = marks.hits(side, start_us, end_us)
        near = touch <= last
        us, row = hits.us[near], hits.row[near]
        moves = np.empty((us.size, len(horizons_s)))
        for column, horizon_s in enumerate(horizons_s):
            then, whole = later(path, us, row, horizon_s)
            whole &= us + horizon_s * US_PER_S <= end_us
            moves[:, column] = np.where(whole, side * (path.mid2[row] - path.mid2[then]) / 2, np.nan)
        return cls(touch[near], np.minimum(hits.depth[near], last), (us - start_us) // BLOCK_US, moves)

    @classmethod
    def joined(cls, parts: "Iterable[Hits]") -> Self:
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    def at_probes(self, column: int, places: Ints, per_tick: int) -> tuple[Floats, Floats]:
        moves = self.moves[:, column]
        size = int(self.block.max(initial=0)) + 1, len(places)
        both = np.zeros((2, *size))
        for fraction in range(per_tick):  # probes are whole ticks from the touch
            at = np.flatnonzero(places % per_tick == fraction)
            hit = (self.touch % per_tick == fraction) & ~np.isnan(moves)
            block, move, columns = self.block[hit], moves[hit], len(at) + 1
            first, beyond = (np.searchsorted(places[at], ends) for ends in (self.touch[hit], self.depth[hit] + 1))
            for sums, weights in zip(both, (np.ones(len(move)), move), strict=True):
                change = np.bincount(block * columns + first, weights, size[0] * columns)
                change = change - np.bincount(block * columns + beyond, weights, size[0] * columns)
                sums[:, at] = change.reshape(size[0], columns).cumsum(axis=1)[:, :-1]
        return both[0], both[1]


def adverse_selection(calibrator: Calibrator) -> list[AdverseMove]:
    hits: dict[int, list[Hits]] = {1: [], -1: []}
    for marks, day, first in zip(calibrator.marks, calibrator.days, first_blocks(calibrator.days), strict=True):
        for side, of_days in hits.items():
            of_day = Hits.of(marks, side, day, marks.grid.last, HORIZONS_S)
            of_days.append(of_day._replace(block=first + of_day.block))
    per_tick = PER_TICK[calibrator.config.reference]
    places = np.unique([near for marks in calibrator.marks for near in marks.grid.near if near <= marks.grid.last])
    rows: list[AdverseMove] = []
    for name, sides in SIDES:
        pooled = Hits.joined(chain.from_iterable(hits[side] for side in sides))
        for column, horizon_s in enumerate(HORIZONS_S):
            sums = pooled.at_probes(column, places, per_tick)
            rows += _table(sums, places / per_tick, name, horizon_s)
    return sorted(rows, key=lambda row: (row.delta_ticks, row.horizon_s))


def _table(moves: tuple[Floats, Floats], delta: Floats, side: str, horizon_s: int) -> Iterator[AdverseMove]:
    counts, sums = moves
    for at in np.flatnonzero(counts.any(axis=0)).tolist():
        count, near = int(counts[:, at].sum()), float(delta[at])
        mean = float(sums[:, at].sum()) / count
        found = estimated(sums[:, at], counts[:, at], independent=True)
        low, high = (found.low, found.high) if found.n >= LEAST_BLOCKS else (None, None)
        yield AdverseMove(near, side, horizon_s, count, mean, found.error, near - mean, low, high)


def write_adverse_selection(path: Path, rows: list[AdverseMove]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [field.name for field in fields(AdverseMove)]
        writer.writerow(names)
        writer.writerows(map(attrgetter(*names), rows))  # None is written as an empty cell


def moves_between(calibrator: Calibrator, start_us: int, end_us: int) -> Line:
    known = calibrator.known_at(end_us)
    parts = known.parts(start_us, end_us)[-DAYS:]
    if known.config.fills is None:
        grid = DistanceGrid.of(known.reach(parts[0][1], parts[-1][2]), PER_TICK[known.config.reference])
        hits = Hits.joined(
            Hits.of(known.marks[day], side, span, grid.last, (SETTLED_S,)) for day, *span in parts for side in (1, -1)
        )
        places = grid.near[grid.near <= grid.last]
        counts, sums = (column.sum(axis=0) for column in hits.at_probes(0, places, grid.per_tick))
        often = counts >= LEAST_HITS
        delta, means = places[often] / grid.per_tick, sums[often] / counts[often]
        return tuple(zip(delta.tolist(), means.tolist(), strict=True))
    fills = [known.day_orders(day).fills_between(*span) for day, *span in parts]
    steps, moves = (np.concatenate(each) for each in zip(*fills, strict=True))
    near, per_tick = min(known.config.distances), PER_TICK[known.config.reference]
    first = math.floor(near * per_tick)
    row = np.maximum(steps - first, 0)  # nearer ones count at the nearest distance
    counts, sums = np.bincount(row), np.bincount(row, moves)
    often = np.flatnonzero(counts >= LEAST_HITS)
    delta, means = np.maximum((first + often) / per_tick, near), sums[often] / counts[often]
    return tuple(zip(delta.tolist(), means.tolist(), strict=True))


def move_of_best_distance(
    moves: Line, rates: Callable[[Floats], Floats | list[float]], offset_ticks: float = 0.0
) -> float | None:
    """Return the adverse move at the distance of the highest expected profit, λ(δ)·(δ + offset - move)."""
    if not moves:
        return None
    delta, move = np.array(moves).T
    return float(move[np.argmax(rates(delta) * (delta + offset_ticks - move))])


def offset_ticks(reference: str | None, half_spread_ticks: float | None) -> float:
    return half_spread_ticks or 0.0 if reference in OWN_BEST else 0.0
