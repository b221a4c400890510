"""Time and sweeps of one side of a day, summed once per block: the cost of a window is its blocks, not its events.

Windows whose starts are a whole number of blocks apart share their blocks. The sums are the time at each touch (the
distance of the own best price), and the sweeps by touch and depth; all are integers, and give the cells of any window.
The cells of a block, its exposure and sweeps by column of a grid, are computed once too (`BlockCells`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mm.calibration._cells import BlockSums, Tally, added_cells, cell_rows, reach_steps
from mm.calibration.points import Points
from mm.calibration.reference import CLOSED
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mm.calibration.depth_counts import DistanceGrid
    from mm.calibration.points import Ints
    from mm.calibration.reference import ReferencePath
    from mm.calibration.sweeps import Sweeps

    Times = NDArray[np.float64]

SideCells = dict[int, "tuple[Times, Times]"]  # per side of a window: exposure in µs and sweeps, by block and column
REACHED = 0.999  # quantile of the depths of sweeps at which the last cell begins
LEAST_TICKS = 5  # minimum reach beyond the median distance of the best price
FARTHEST = 1e9
HALF = 0.5  # below this weight a quantile is computed from its lower neighbour, else from the upper one
MOST_STEPS = 1 << 17  # up to this depth values are counted, not sorted
STOOD, SWEPT = ("stood", "stood_block", "us"), ("touch", "depth", "block", "count")  # columns of a tally


def block_sums(path: "ReferencePath", side: int, sweeps: "Sweeps", span: tuple[int, int], block_us: int) -> BlockSums:
    """Return the sums of one side of a day over consecutive blocks of *span*, in µs, from its start."""
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
    """Tally of one side of a window with the spread of each row, from which states of the spread are selected.

    Attributes:
        tally: The tally of all spreads.
        stood_spread: Spread of each row of time in *tally*, in ticks; 0 without a book.
        met_spread: Spread just before the sweeps of each row, in ticks.
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
        """Return the tally at spreads from *low* to *high* ticks, inclusive."""
        stood, met = ((low <= spread) & (spread <= high) for spread in (self.stood_spread, self.met_spread))
        tally = self.tally
        return Tally(
            (tally.stood[stood], tally.stood_block[stood], tally.us[stood]),
            (tally.touch[met], tally.depth[met], tally.block[met], tally.count[met]),
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
    """Return one tally with the rows of two tallies of one window."""
    stood, at, us, touch, depth, block, count = (
        np.concatenate((getattr(one, name), getattr(other, name))) for name in (*STOOD, *SWEPT)
    )
    return Tally((stood, at, us), (touch, depth, block, count))


def reach_of(swept: "Sequence[Tally]", per_tick: int) -> float:
    """Return the reach of the trade flow, in whole ticks: the `REACHED` quantile of the depths of the sweeps.

    It is at least `LEAST_TICKS` beyond the median distance of the best price.

    Args:
        swept: Tallies with the sweeps.
        per_tick: Steps of distance in one tick.
    """
    count, deep, near = reach_steps(swept, REACHED, 0.5, MOST_STEPS) or _sorted_reach(swept)
    if not count:
        return float(LEAST_TICKS)
    return min(float(np.ceil(max(deep / per_tick, near / per_tick + LEAST_TICKS))), FARTHEST)


def _sorted_reach(swept: "Sequence[Tally]") -> tuple[int, float, float]:
    """Return the same as `reach_steps`, by sorting."""
    columns = [(tally.touch, tally.depth, tally.count) for tally in swept]
    touch, depth, count = (np.concatenate(column) for column in zip(*columns, strict=True))
    hit = (touch != CLOSED) & (depth >= touch)
    touch, depth, count = touch[hit], depth[hit], count[hit]
    return int(count.sum()), quantile(depth, count, REACHED), quantile(touch, count, 0.5)


def quantile(values: "Ints", count: "Ints", share: float) -> float:
    """Return the quantile of values that occur *count* times each, linear between neighbours."""
    (distinct,), count = summed((values,), count)
    until = count.cumsum()
    place = (int(until[-1]) - 1) * share
    below, above = distinct[np.searchsorted(until, (int(place), int(np.ceil(place))), side="right")].tolist()
    part = place - int(place)
    found: float = below + (above - below) * part if part < HALF else above - (above - below) * (1 - part)
    return found


def points_of(grid: "DistanceGrid", cells: SideCells) -> Points:
    """Return the points of a window, from exposure in µs and sweeps of each side by block and column of *grid*."""
    rows = [(side, *arrays) for side, arrays in cells.items()]
    columns = cell_rows(grid.lookup, rows, float(US_PER_S))
    return Points(*columns[:6])


def both_sides(found: "Sequence[tuple[Times, Times]]") -> "tuple[Times, Times]":
    """Return exposure in s and sweeps of all sides together, from those of each side, in µs, by block and column."""
    exposure_s, fills = added_cells(found, float(US_PER_S))
    return exposure_s, fills
