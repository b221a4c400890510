"""Adverse moves of the mid after fills, by distance, in any window of the days.

No data at or after the end of the window is used: a fill counts only if the window includes the `SETTLED_S` after it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Self

import numpy as np

from mm.calibration.distance_grid import DistanceGrid
from mm.calibration.fit_result import Line
from mm.calibration.reference import CLOSED, OWN_BEST, within
from mm.calibration.sweeps import Reached
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.calibration.calibrator import Calibrator
    from mm.calibration.depth_counts import DepthCounts
    from mm.calibration.exposure import RestingOrders
    from mm.calibration.reference import ReferencePath

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SETTLED_S = 5  # seconds after a fill at which the move of the mid is measured
LEAST_HITS = 20  # minimum number of fills for a mean move
REACHED = tuple(Reached.__slots__)
DAYS = 2  # last days of a window, whose fills are used: of earlier days only sums are available


class WindowMoves:
    """Moves after fills in windows in order of time; the sweeps of a day are evaluated once for all windows.

    Args:
        calibrator: Measures the days.
    """

    def __init__(self, calibrator: "Calibrator") -> None:
        self._calibrator = calibrator
        self._days: dict[int, dict[int, SettledSweeps]] = {}

    def between(self, start_us: int, end_us: int) -> Line:
        """Return distance and mean adverse move 5 s after orders were hit there in ``[start, end)``, in ticks.

        From the marks, or from the fills under a fill model. In a window of many days, the last two are used.
        """
        calibrator = self._calibrator.known_at(end_us)
        if calibrator is not self._calibrator:
            return WindowMoves(calibrator).between(start_us, end_us)
        parts = calibrator.parts(start_us, end_us)[-DAYS:]
        if calibrator.config.fills is None:
            for day in {day for day, *_ in parts} - set(self._days):
                marks = calibrator.marks[day]
                self._days[day] = {side: SettledSweeps.of(marks, side) for side in marks.sweeps}
            self._days = {day: self._days[day] for day, *_ in parts}
            return self._by_marks(parts)
        found = [
            _after_fills(calibrator.marks[day].path, run.resting, span)
            for day, *span in parts
            for run in calibrator.played.values()
        ]
        distance, moves = (np.concatenate(each) for each in zip(*found, strict=True))
        distance = np.maximum(distance, min(calibrator.config.distances))
        means = ((delta, moves[distance == delta]) for delta in np.unique(distance).tolist())
        return tuple((delta, float(each.mean())) for delta, each in means if each.size >= LEAST_HITS)

    def _by_marks(self, parts: list[tuple[int, int, int]]) -> Line:
        """Return the mean moves after sweeps at each distance that was reached by 20 of them."""
        calibrator = self._calibrator
        per_tick = calibrator.marks[parts[-1][0]].path.per_tick
        grid = DistanceGrid.of(calibrator.reach(parts[0][1], parts[-1][2]), per_tick)
        size = per_tick * (grid.last // per_tick + 2)
        sums = np.zeros((2, size))  # sweeps, and the moves after them, by step
        for day, start_us, end_us in parts:
            for settled in self._days[day].values():
                touch, beyond, move = settled.between(start_us, end_us, grid.last)
                for row, weights in enumerate((np.ones(len(move)), move)):
                    sums[row] += np.bincount(touch, weights, size) - np.bincount(beyond, weights, size)
        # a sweep hits every tick from its touch to its depth
        hits, moved = sums.reshape(2, -1, per_tick).cumsum(axis=1).reshape(2, -1)
        near = grid.near[grid.near <= grid.last]
        near = near[hits[near] >= LEAST_HITS]
        return tuple(zip((near / per_tick).tolist(), (moved[near] / hits[near]).tolist(), strict=True))


def move_of_best_distance(
    moves: Line, rates: "Callable[[Floats], Floats | list[float]]", offset_ticks: float = 0.0
) -> float | None:
    """Return the adverse move at the distance with the highest expected profit; None without moves.

    Args:
        moves: Distances from the reference price, and the moves.
        rates: λ at distances from the reference price.
        offset_ticks: Mean distance of that price from the mid; the profit rate at δ is λ(δ)·(δ + offset - move).
    """
    if not moves:
        return None
    delta, move = np.fromiter(chain.from_iterable(moves), np.float64).reshape(-1, 2).T
    return float(move[np.argmax(rates(delta) * (delta + offset_ticks - move))])


def offset_ticks(reference: str | None, half_spread_ticks: float | None) -> float:
    """Return the mean distance of the mid from a reference price, in ticks, for this mean half-spread."""
    return half_spread_ticks or 0.0 if reference in OWN_BEST else 0.0


@dataclass(frozen=True)
class SettledSweeps:
    """Sweeps of one side of a day, and the adverse move of the mid in the 5 s after each.

    Attributes:
        marks: Marks of the day.
        side: Side of the probes.
        move: The moves after the whole sweeps of the day, in ticks; NaN after an invalid book.
    """

    marks: "DepthCounts"
    side: int
    move: "Floats"

    @classmethod
    def of(cls, marks: "DepthCounts", side: int) -> Self:
        """Return the moves after all sweeps of a side."""
        return cls(marks, side, _moves_after(marks.path, side, marks.sweeps[side].whole))

    def between(self, start_us: int, end_us: int, last: int) -> "tuple[Ints, Ints, Floats]":
        """Return the first distance that each sweep of a part of the day hits, the first one beyond, and the move.

        Distances are in steps, and those beyond *last* are not hit. Sweeps less than 5 s before the end of the part
        are left out.
        """
        start_us, end_us = within(self.marks.span, start_us, end_us)
        sweeps, path = self.marks.sweeps[self.side], self.marks.path
        reached, begun = sweeps.between(start_us, end_us), sweeps.begun(start_us, end_us)
        move = self.move[begun]
        if len(move) < len(reached.us):  # the rest of a sweep that began before
            move = np.append(
                _moves_after(path, self.side, Reached(*(getattr(reached, name)[:1] for name in REACHED))), move
            )
        touch, depth = path.touch[self.side][reached.row], np.minimum(reached.depth, last)
        kept = (touch != CLOSED) & (depth >= touch) & ~np.isnan(move) & (reached.us + SETTLED_S * US_PER_S <= end_us)
        touch, depth = touch[kept], depth[kept]
        return touch, depth + path.per_tick - (depth - touch) % path.per_tick, move[kept]


def _moves_after(path: "ReferencePath", side: int, sweeps: Reached) -> "Floats":
    """Return the adverse move of the mid after each of *sweeps*, in ticks; NaN after an invalid book."""
    then, valid = later(path, sweeps.us, sweeps.row)
    moves: Floats = np.where(valid, side * (path.mid2[sweeps.row] - path.mid2[then]) / 2, np.nan)
    return moves


def later(path: "ReferencePath", us: "Ints", row: "Ints", after_s: int = SETTLED_S) -> "tuple[Ints, NDArray[np.bool_]]":
    """Return the rows of the path *after_s* after instants, and whether the book was valid from *row* until then."""
    then = np.searchsorted(path.us, us + after_s * US_PER_S, side="right") - 1
    if not len(row):
        return then, np.zeros(0, bool)
    first = int(row.min())
    breaks = np.cumsum(path.touch[1][first : int(then.max()) + 1] == CLOSED)
    return then, (breaks[then - first] == breaks[row - first]) & (path.touch[1][row] != CLOSED)


def _after_fills(path: "ReferencePath", orders: "RestingOrders", span: list[int]) -> "tuple[Floats, Floats]":
    """Return the distance of the fills of a part of a day from the reference, and the moves after them, in ticks."""
    order, us, mid2 = np.empty((3, 0), np.int64) if orders.fills is None else orders.fills
    settled = (us >= span[0]) & (us + SETTLED_S * US_PER_S <= span[1])
    order, us, mid2 = order[settled], us[settled], mid2[settled]
    side, ticks = orders.side[order], orders.ticks[order]
    row = path.row_at(us, mid2)
    us, side, row, ticks = (column[row >= 0] for column in (us, side, row, ticks))
    then, valid = later(path, us, row)
    reference = np.where(side == 1, path.reference[1][row], path.reference[-1][row])
    distance = side * (reference - path.per_tick * ticks) / path.per_tick
    return distance[valid], (side * (path.mid2[row] - path.mid2[then]) / 2)[valid]
