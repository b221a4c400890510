"""The cells of distance in which the depths of aggressive orders are counted."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mm.calibration.points import sum_by
from mm.calibration.reference import CLOSED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.calibration.points import Floats, Ints
    from mm.calibration.tally import Tally

CELLS = 100  # per fraction of a tick; beyond, cells widen
KEPT_GRIDS = 256  # cached grids, one per reach


@dataclass(frozen=True)
class DistanceGrid:
    """The cells of one window, equal for each fraction of a tick at which distances can be.

    A distance in steps is whole ticks plus a fraction of a tick; a column is one cell of one fraction.

    Attributes:
        per_tick: Steps of distance in one tick, a power of two.
        last: Largest distance at which a cell may begin, in steps.
        begin: Starts of the cells, in whole ticks; the last one is open.
    """

    per_tick: int
    last: int
    begin: "Ints"

    @staticmethod
    def of(max_delta_ticks: float, per_tick: int) -> "DistanceGrid":
        """Return the grid up to a distance: cells of a tick, or widening ones if there were more than `CELLS`."""
        return _grid(max_delta_ticks, per_tick, CELLS)

    @property
    def columns(self) -> int:
        """Number of columns: cells over all fractions of a tick."""
        return len(self.begin) * self.per_tick

    @cached_property
    def plain(self) -> bool:
        """Whether every cell is a tick wide."""
        return int(self.begin[-1]) == len(self.begin) - 1

    @cached_property
    def near(self) -> "Ints":
        """Start of each column, in steps."""
        near: Ints = (self.begin[:, None] * self.per_tick + np.arange(self.per_tick)).ravel()
        return near

    @cached_property
    def open(self) -> "NDArray[np.bool_]":
        """The open columns: for each fraction, the last one that begins within the limit."""
        after = np.append(self.near[self.per_tick :], np.full(self.per_tick, self.last + 1))
        found: NDArray[np.bool_] = (self.near <= self.last) & (after > self.last)
        return found

    @cached_property
    def width(self) -> "Floats":
        """Width of each column in ticks; inf of an open one."""
        ticks = np.repeat(np.append(np.diff(self.begin), 1), self.per_tick).astype(np.float64)
        return np.where(self.open, np.inf, ticks)

    @cached_property
    def ends(self) -> "tuple[Floats, Floats]":
        """Start and end of each column, in ticks; inf for the end of an open one."""
        near = self.near / self.per_tick
        return near, near + self.width

    def column(self, steps: "Ints") -> "Ints":
        """Return the column of each distance; beyond the limit, the open one of its fraction; negative if none."""
        ticks = steps >> (self.per_tick.bit_length() - 1)
        if self.plain:
            cell = np.minimum(ticks, len(self.begin) - 1)
        else:
            cell = np.searchsorted(self.begin, ticks, side="right") - 1
        column = cell * self.per_tick + (steps & (self.per_tick - 1))
        found: Ints = column - self.per_tick * (self.near[column] > self.last)
        return found

    def cells(self, tally: "Tally", blocks: int) -> "tuple[Floats, Floats]":
        """Return exposure in µs and number of sweeps by block and column, float64[blocks, columns] each.

        The exposure of a column is the mean over its prices of the time at touches as near or nearer; for an open
        column, it is that at its start. All are whole numbers of µs where cells are a tick wide.
        """
        shape, per_tick = (blocks, self.columns), self.per_tick
        close = (tally.stood != CLOSED) & (tally.stood <= self.last)
        touch, us = tally.stood[close], tally.us[close]
        column = self.column(touch)
        place = tally.stood_block[close] * shape[1] + column
        exposed = sum_by(place, us, shape[0] * shape[1])
        exposed = exposed.reshape(blocks, -1, per_tick).cumsum(axis=1).reshape(shape)
        if not self.plain:  # the prices of its column that are nearer than the touch are not exposed
            beyond = (touch - self.near[column]) / per_tick
            share = np.where(self.open[column], beyond > 0, beyond / self.width[column])
            exposed -= sum_by(place, us * share, shape[0] * shape[1]).reshape(shape)
        exposed[:, self.near > self.last] = 0.0
        counted = (tally.touch != CLOSED) & (tally.depth >= tally.touch) & (tally.touch <= self.last)
        column = self.column(tally.depth[counted])
        place = tally.block[counted] * shape[1] + column
        inside = column >= 0
        fills = sum_by(place[inside], tally.count[counted][inside], shape[0] * shape[1]).reshape(shape)
        return exposed, fills

    def reaching(self, touch: "Ints", depth: "Ints", count: "Ints") -> "Ints":
        """Return by column the number of sweeps that hit a probe at its start: touch no farther, depth no nearer."""
        met, ended = self.column(touch), self.column(depth)
        met = met + self.per_tick * (touch > self.near[met])  # the start of its column is nearer than the touch
        size = self.columns + self.per_tick
        change = np.bincount(met, count, size) - np.bincount(ended + self.per_tick, count, size)
        found: Ints = change.reshape(-1, self.per_tick).cumsum(axis=0).ravel()[: self.columns]
        return found

    def at_begin(self, touch: "Ints", spent: "Ints") -> "Floats":
        """Return the exposure in µs of a probe at the start of each column."""
        close = (touch != CLOSED) & (touch <= self.last)
        column = self.column(touch[close])
        column = column + self.per_tick * (touch[close] > self.near[column])
        time = np.bincount(column, spent[close], self.columns + self.per_tick)
        summed = time.reshape(-1, self.per_tick).cumsum(axis=0).ravel()[: self.columns]
        return np.where(self.near <= self.last, summed, 0.0)


@lru_cache(maxsize=KEPT_GRIDS)
def _grid(max_delta_ticks: float, per_tick: int, cells: int) -> DistanceGrid:
    """Return the result of `DistanceGrid.of`; the last grids are cached, as consecutive windows share them."""
    last = int(max_delta_ticks * per_tick)
    ticks = last // per_tick
    if ticks < cells:
        return DistanceGrid(per_tick, last, np.arange(ticks + 1))
    begin = np.unique(np.rint(np.geomspace(1, ticks, cells)).astype(np.int64))
    return DistanceGrid(per_tick, (ticks + 1) * per_tick - 1, np.concatenate(([0], begin)))
