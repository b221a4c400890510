"""The time and the sweeps of one side of a day, summed once by block: a window then costs its blocks, not its events.

Windows that begin a whole number of blocks apart share their blocks. What is summed is where the touch stood, for how
long, and how deep the sweeps reached that met it there: whole numbers, from which the cells of any window follow. The
cells of a block, its exposure and sweeps by column of a grid, are counted once too (`BlockCells`).
"""

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mm.calibration._cells import BlockSums, Tally, added_cells, cell_rows, reach_steps
from mm.calibration.points import Points
from mm.calibration.reference import CLOSED
from mm.clock import US_PER_S
from mm.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mm.calibration.depth_counts import DistanceGrid
    from mm.calibration.points import Ints
    from mm.calibration.reference import ReferencePath
    from mm.calibration.sweeps import Sweeps

    Times = NDArray[np.float64]

SideCells = dict[int, "tuple[Times, Times]"]  # of each side of a window, by block and column: µs of exposure, sweeps
REACHED = 0.999  # quantile of the depths of sweeps at which the last cell begins
LEAST_TICKS = 5  # minimum of cells beyond the median distance of the best price
FARTHEST = 1e9
HALF = 0.5  # up to which a place between two is counted from the lower one, beyond from the upper one
MOST_STEPS = 1 << 17  # up to which values are counted, not sorted
STOOD, SWEPT = ("stood", "stood_block", "us"), ("touch", "depth", "block", "count")  # columns of a tally


def block_sums(path: "ReferencePath", side: int, sweeps: "Sweeps", span: tuple[int, int], block_us: int) -> BlockSums:
    """Return the sums of one side of a day over the blocks that follow each other in *span*, in µs, from its start."""
    edges, rows, block = path.segments(*span, block_us)
    touch = path.touch[side][rows]
    (stood_block, stood), us = summed((block, touch), np.diff(edges))
    whole = sweeps.whole
    begun = (whole.us >= span[0]) & (whole.us < span[1])
    met, first = path.touch[side][whole.row[begun]], (whole.us[begun] - span[0]) // block_us
    (swept, met, depth), count = summed((first, met, whole.depth[begun]), np.ones(len(met), np.int64))
    rows_by_block = Tally((stood, stood_block, us), (met, depth, swept, count))
    return BlockSums(rows_by_block, span[0], block_us, -((span[0] - span[1]) // block_us))


@dataclass(frozen=True, slots=True)
class SpreadTally:
    """What one side of a window saw, each place of a block and each spread once: a state of the spread picks from it.

    Attributes:
        tally: Of all spreads.
        stood_spread: The spread in ticks while the touch stood in each row of *tally*; 0 without a book.
        met_spread: The spread in ticks that the sweeps of each row met.
    """

    tally: Tally
    stood_spread: "Ints"
    met_spread: "Ints"

    @classmethod
    def of(
        cls, path: "ReferencePath", side: int, sweeps: "Sweeps", window: tuple[int, int], block_us: int
    ) -> "SpreadTally":
        """Return the tally of a *window*, in µs, whose blocks count from its start."""
        edges, rows, block = path.segments(*window, block_us)
        keys = path.spread[rows], block, path.touch[side][rows]
        (stood_spread, stood_block, stood), us = summed(keys, np.diff(edges))
        swept = sweeps.between(*window)
        hits = path.spread[swept.row], (swept.us - window[0]) // block_us, path.touch[side][swept.row], swept.depth
        (met_spread, met_block, met, depth), count = summed(hits, np.ones(len(swept.us), np.int64))
        tally = Tally((stood, stood_block, us), (met, depth, met_block, count))
        return cls(tally, stood_spread, met_spread)

    def state(self, low: int, high: int) -> Tally:
        """Return what was seen while the spread was from *low* to *high* ticks."""
        stood, met = ((low <= one) & (one <= high) for one in (self.stood_spread, self.met_spread))
        one = self.tally
        return Tally(
            (one.stood[stood], one.stood_block[stood], one.us[stood]),
            (one.touch[met], one.depth[met], one.block[met], one.count[met]),
        )


Column = TypeVar("Column", "NDArray[np.int64]", "NDArray[np.float64]")


def summed(keys: "tuple[Column, ...]", values: "Ints") -> "tuple[tuple[Column, ...], Ints]":
    """Return the distinct rows of *keys* in ascending order, and the sums of *values* over each."""
    if not len(values):
        return keys, values
    order = np.lexsort(keys[::-1])
    keys = tuple(key[order] for key in keys)
    new = np.any([np.diff(key, prepend=key[0] - 1) != 0 for key in keys], axis=0)
    first = np.flatnonzero(new)
    return tuple(key[first] for key in keys), np.add.reduceat(values[order], first)


def joined_tallies(one: Tally, other: Tally) -> Tally:
    """Return the rows of two tallies of one window in one."""
    stood, at, us, touch, depth, block, count = (
        np.concatenate((getattr(one, name), getattr(other, name))) for name in (*STOOD, *SWEPT)
    )
    return Tally((stood, at, us), (touch, depth, block, count))


def reach_of(swept: "Sequence[Tally]", per_tick: int) -> float:
    """Return the reach of the flow of days, in whole ticks: the `REACHED` quantile of the depths of its sweeps.

    It is at least `LEAST_TICKS` beyond the median distance of the best price.

    Args:
        swept: The sweeps of the days, in parts.
        per_tick: Steps of distance in one tick.
    """
    count, deep, near = reach_steps(swept, REACHED, 0.5, MOST_STEPS) or _sorted_reach(swept)
    if not count:
        return float(LEAST_TICKS)
    return min(float(np.ceil(max(deep / per_tick, near / per_tick + LEAST_TICKS))), FARTHEST)


def _sorted_reach(swept: "Sequence[Tally]") -> tuple[int, float, float]:
    """Return the same as `reach_steps`, by sorting."""
    columns = [(one.touch, one.depth, one.count) for one in swept]
    touch, depth, count = (np.concatenate(column) for column in zip(*columns, strict=True))
    hit = (touch != CLOSED) & (depth >= touch)
    touch, depth, count = touch[hit], depth[hit], count[hit]
    return int(count.sum()), quantile(depth, count, REACHED), quantile(touch, count, 0.5)


def quantile(values: "Ints", count: "Ints", share: float) -> float:
    """Return the quantile of values of which each occurs so often, on a straight line between neighbours."""
    (distinct,), count = summed((values,), count)
    until = count.cumsum()
    place = (int(until[-1]) - 1) * share
    below, above = distinct[np.searchsorted(until, (int(place), int(np.ceil(place))), side="right")].tolist()
    part = place - int(place)
    found: float = below + (above - below) * part if part < HALF else above - (above - below) * (1 - part)
    return found


def points_of(grid: "DistanceGrid", cells: SideCells) -> Points:
    """Return the points of a window, from µs of exposure and sweeps of each side by block and column of *grid*."""
    rows = [(side, *one) for side, one in cells.items()]
    columns = cell_rows(grid.lookup, rows, float(US_PER_S))
    return Points.counted(columns[:6], *columns[6:])


def both_sides(found: "Sequence[tuple[Times, Times]]") -> "tuple[Times, Times]":
    """Return exposure in s and sweeps of all sides together, from the µs and sweeps of each by block and column."""
    exposure_s, fills = added_cells(found, float(US_PER_S))
    return exposure_s, fills
