"""What the mid moved against orders after they were filled, by distance, in any window of the days.

Nothing at or after the end of the window is read: a fill counts once the mid of `SETTLED_S` later is inside it.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.journal import FILL_COLUMNS
from mm.calibration.depth_counts import DistanceGrid
from mm.calibration.fit_result import Line
from mm.calibration.reference import CLOSED
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.calibration.calibrator import Calibrator
    from mm.calibration.depth_counts import DepthCounts
    from mm.calibration.reference import ReferencePath

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SETTLED_S = 5  # after a fill the mid has made its move
LEAST_HITS = 20  # behind a mean move that quotes count with
DAYS = 2  # of a window, its last ones, whose fills count: earlier days are at hand as sums alone


def adverse_moves(calibrator: "Calibrator", start_us: int, end_us: int) -> Line:
    """Return distance and mean move against the orders that were hit there in ``[start, end)``, 5 s later, in ticks.

    By the marks; where a fill model measured, after the fills of its orders. Of a window of many days the last two
    count.
    """
    parts = calibrator.parts(start_us, end_us)[-DAYS:]
    if calibrator.config.fills is None:
        return _by_marks(calibrator, parts)
    found = [
        _after_fills(calibrator.marks[day].path, run.journal.fills, span)
        for day, *span in parts
        for run in calibrator.played.values()
    ]
    distance, moves = (np.concatenate(each) for each in zip(*found, strict=True))
    distance = np.maximum(distance, min(calibrator.config.deltas))
    means = ((delta, moves[distance == delta]) for delta in np.unique(distance).tolist())
    return tuple((delta, float(each.mean())) for delta, each in means if each.size >= LEAST_HITS)


def dearest(moves: Line, rate: Callable[[float], float]) -> float | None:
    """Return the move after fills where an order is worth most by its *rate*, λ(δ)·(δ - move); None without moves."""
    return max(moves, key=lambda one: rate(one[0]) * (one[0] - one[1]))[1] if moves else None


def _by_marks(calibrator: "Calibrator", parts: list[tuple[int, int, int]]) -> Line:
    """Return the mean moves after sweeps at each distance that 20 of them reached."""
    per_tick = calibrator.marks[parts[-1][0]].path.per_tick
    grid = DistanceGrid.of(calibrator.reach(parts[0][1], parts[-1][2]), per_tick)
    sums = np.zeros((2, grid.last + per_tick + 1))
    for day, *span in parts:
        for side in (1, -1):
            touch, depth, move = _settled(calibrator.marks[day], side, (span[0], span[1]), grid.last)
            beyond = depth - (depth - touch) % per_tick + per_tick  # the first distance of its row that is not hit
            add = partial(np.bincount, minlength=sums.shape[1])
            for row, worth in enumerate((np.ones(len(move)), move)):
                sums[row] += add(touch, worth) - add(beyond, worth)
    for first in range(per_tick):
        sums[:, first::per_tick] = np.cumsum(sums[:, first::per_tick], axis=1)
    places = grid.near[grid.near <= grid.last].astype(np.int64)
    places = np.unique(places[np.rint(sums[0, places]) >= LEAST_HITS])
    return tuple((int(place) / per_tick, float(sums[1, place] / np.rint(sums[0, place]))) for place in places)


def _settled(marks: "DepthCounts", side: int, span: tuple[int, int], last: int) -> "tuple[Ints, Ints, Floats]":
    """Return from where to where each sweep of a part of a day hit orders, in steps, and the move of the mid after it.

    Left out are sweeps after which the book broke or the part ended.
    """
    path, (hits, touch) = marks.path, marks.hits(side, *span)
    then_us = hits.us + SETTLED_S * US_PER_S
    near = (touch <= last) & (then_us <= span[1])
    us, row, depth, touch = hits.us[near], hits.row[near], hits.depth[near], touch[near]
    then, whole = later(path, us, row)
    move = side * (path.mid2[row] - path.mid2[then]) / 2
    return touch[whole], np.minimum(depth[whole], last), move[whole]


def later(path: "ReferencePath", us: "Ints", row: "Ints", after_s: int = SETTLED_S) -> "tuple[Ints, NDArray[np.bool_]]":
    """Return the rows of the path so long after instants, and whether the book was whole from *row* until then."""
    then = np.searchsorted(path.us, us + after_s * US_PER_S, side="right") - 1
    if not len(row):
        return then, np.zeros(0, bool)
    first = int(row.min())
    breaks = np.cumsum(path.touch[1][first : int(then.max()) + 1] == CLOSED)
    return then, (breaks[then - first] == breaks[row - first]) & (path.touch[1][row] != CLOSED)


def _after_fills(path: "ReferencePath", fills: "Ints", span: list[int]) -> "tuple[Floats, Floats]":
    """Return the distance of the fills of a part of a day from the reference, and the moves after them, in ticks."""
    fills = fills[(fills[:, 0] >= span[0]) & (fills[:, 0] + SETTLED_S * US_PER_S <= span[1])]
    column = dict(zip(FILL_COLUMNS, fills.T, strict=True))
    us, side = column["us"], column["side"]
    row = np.searchsorted(path.us, us, side="left") - 1
    us, side, row, ticks = (one[row >= 0] for one in (us, side, row, column["ticks"]))
    then, seen = later(path, us, row)
    reference = np.where(side == 1, path.reference[1][row], path.reference[-1][row])
    distance = side * (reference - path.per_tick * ticks) / path.per_tick
    return distance[seen], (side * (path.mid2[row] - path.mid2[then]) / 2)[seen]
