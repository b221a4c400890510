"""The time and the sweeps of one side of a day, summed once by block: a window then costs its blocks, not its events.

Windows that begin a whole number of blocks apart share their blocks. What is summed is where the touch stood, for how
long, and how deep the sweeps reached that met it there: whole numbers, from which the cells of any window follow. The
cells of a block, its exposure and sweeps by column of a grid, are counted once too (`BlockCells`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mm.calibration import _cells
from mm.calibration.points import Points
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mm.calibration.depth_counts import DistanceGrid
    from mm.calibration.points import Ints
    from mm.calibration.reference import ReferencePath
    from mm.calibration.sweeps import Sweeps

    Times = NDArray[np.float64]

SideCells = dict[int, "tuple[Times, Times]"]  # of each side of a window, by block and column: µs of exposure, sweeps
HALF = 0.5  # up to which a place between two is counted from the lower one, beyond from the upper one
MOST_STEPS = 1 << 17  # up to which values are counted, not sorted


@dataclass(frozen=True, slots=True)
class Tally:
    """What one side of a window saw; rows of one place may repeat, and their counts add up.

    Attributes:
        stood: Where the touch stood, in steps from the reference; ``CLOSED`` without a book.
        stood_block: In which block of the window.
        us: For how long.
        touch: The touch that sweeps met.
        depth: Distance of the deepest price that they hit, in steps.
        block: In which block they began.
        count: How many; below 0 what a border takes back.
        prints: Trade prints in the window.
    """

    stood: "Ints"
    stood_block: "Ints"
    us: "Ints"
    touch: "Ints"
    depth: "Ints"
    block: "Ints"
    count: "Ints"
    prints: int

    def later(self, blocks: int) -> "Tally":
        """Return the same of a window that begins so many blocks later, before which nothing was seen."""
        stood_block, block = self.stood_block - blocks, self.block - blocks
        return Tally(self.stood, stood_block, self.us, self.touch, self.depth, block, self.count, self.prints)


class BlockSums:
    """The blocks of one side of a day.

    Attributes:
        begin_us: First instant of the first block.
    """

    def __init__(
        self, path: "ReferencePath", side: int, sweeps: "Sweeps", span: tuple[int, int], block_us: int
    ) -> None:
        """Sum the blocks that follow each other in *span*, in µs, from its start on."""
        self.begin_us, self._block_us = span[0], block_us
        edges, rows, block = path.segments(*span, block_us)
        touch = path.touch[side][rows]
        (stood_block, stood), us = summed((block, touch), np.diff(edges))
        whole = sweeps.whole
        begun = (whole.us >= span[0]) & (whole.us < span[1])
        met, first = path.touch[side][whole.row[begun]], (whole.us[begun] - span[0]) // block_us
        (swept, met, depth), count = summed((first, met, whole.depth[begun]), np.ones(len(met), np.int64))
        self._stood, self._swept = (stood, stood_block, us), (met, depth, swept, count)
        edges = np.arange(-((span[0] - span[1]) // block_us) + 1)
        self._begins = [np.searchsorted(one, edges).tolist() for one in (stood_block, swept)]  # rows by block

    @property
    def blocks(self) -> int:
        """How many there are."""
        return len(self._begins[0]) - 1

    def number(self, us: int) -> int:
        """Return the number of the block that an instant lies in."""
        return (us - self.begin_us) // self._block_us

    def instant(self, number: int) -> int:
        """Return the first instant of a block."""
        return self.begin_us + number * self._block_us

    def between(self, start_us: int, blocks: int) -> Tally:
        """Return so many whole blocks from *start_us* on, with which a block begins."""
        first = self.number(start_us)
        stood, swept = (slice(begins[first], begins[first + blocks]) for begins in self._begins)
        touch, block, us = (column[stood] for column in self._stood)
        met, depth, begun, count = (column[swept] for column in self._swept)
        if first:
            block, begun = block - first, begun - first
        return Tally(touch, block, us, met, depth, begun, count, 0)


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
        tally = Tally(stood, stood_block, us, met, depth, met_block, count, sweeps.prints(*window))
        return cls(tally, stood_spread, met_spread)

    def state(self, low: int, high: int) -> Tally:
        """Return what was seen while the spread was from *low* to *high* ticks."""
        stood, met = ((low <= one) & (one <= high) for one in (self.stood_spread, self.met_spread))
        one = self.tally
        return Tally(
            one.stood[stood], one.stood_block[stood], one.us[stood],
            one.touch[met], one.depth[met], one.block[met], one.count[met], one.prints,
        )  # fmt: skip


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
    names = [name for name in Tally.__slots__ if name != "prints"]
    columns = {name: np.concatenate((getattr(one, name), getattr(other, name))) for name in names}
    return Tally(**columns, prints=one.prints + other.prints)


def quantile(values: "Ints", count: "Ints", share: float) -> float:
    """Return the quantile of values of which each occurs so often, on a straight line between neighbours."""
    (distinct,), count = summed((values,), count)
    until = count.cumsum()
    place = (int(until[-1]) - 1) * share
    below, above = distinct[np.searchsorted(until, (int(place), int(np.ceil(place))), side="right")].tolist()
    part = place - int(place)
    found: float = below + (above - below) * part if part < HALF else above - (above - below) * (1 - part)
    return found


class BlockCells:
    """The cells of one side of a day by block and column of one grid; a window adds the blocks that are not there yet.

    Args:
        sums: The blocks.
        grid: The columns.
    """

    def __init__(self, sums: BlockSums, grid: "DistanceGrid") -> None:
        self._sums, self._grid = sums, grid
        self._exposure_us, self._fills = np.zeros((2, sums.blocks, grid.columns))
        self._begin = self._until = 0  # the blocks between are counted

    def fits(self, sums: BlockSums, grid: "DistanceGrid") -> bool:
        """Return whether these are the cells of *sums* in the columns of *grid*, which its limit tells."""
        return self._sums is sums and (self._grid.last, self._grid.per_tick) == (grid.last, grid.per_tick)

    def window(self, start_us: int, whole: int, own: "Sequence[Tally]", blocks: int) -> "tuple[Times, Times]":
        """Return what `block_cells` returns of a window, to be read alone.

        Args:
            start_us: Its begin, with which a block begins.
            whole: How many blocks of the sums it takes; nothing behind them is looked at.
            own: What it saw beside them: time in later blocks, and sweeps, also of these, maybe taken back.
            blocks: How many blocks it has.
        """
        first = self._sums.number(start_us)
        self._count(first, first + whole)
        shared = self._exposure_us[first : first + whole], self._fills[first : first + whole]
        if all((one.block >= whole).all() for one in own):  # as a rule: no border cuts a sweep
            if blocks == whole:
                return shared
            exposure_us, fills = block_cells(self._grid, [one.later(whole) for one in own], blocks - whole)
            return np.concatenate((shared[0], exposure_us)), np.concatenate((shared[1], fills))
        exposure_us, fills = block_cells(self._grid, own, blocks)
        exposure_us[:whole] += shared[0]
        fills[:whole] += shared[1]
        return exposure_us, fills

    def _count(self, begin: int, until: int) -> None:
        """Count the blocks from one number to another that were not; those behind a gap are forgotten."""
        if not self._begin <= begin <= self._until:
            self._begin = self._until = begin
        begin, blocks = self._until, until - self._until
        if blocks <= 0:
            return
        new = self._sums.between(self._sums.instant(begin), blocks)
        self._exposure_us[begin:until], self._fills[begin:until] = block_cells(self._grid, (new,), blocks)
        self._until = until


def block_cells(grid: "DistanceGrid", parts: "Sequence[Tally]", blocks: int) -> "tuple[Times, Times]":
    """Return µs of exposure and sweeps of one side of a window, each by block and column of *grid*."""
    exposure_us, fills = _cells.block_cells(grid.lookup, [columns(one) for one in parts], blocks)
    return exposure_us, fills


def columns(one: Tally) -> "tuple[tuple[Ints, Ints, Ints], tuple[Ints, Ints, Ints, Ints]]":
    """Return the columns of a tally as the kernels take them."""
    return (one.stood, one.stood_block, one.us), (one.touch, one.depth, one.block, one.count)


def points_of(grid: "DistanceGrid", cells: SideCells) -> Points:
    """Return the points of a window, from µs of exposure and sweeps of each side by block and column of *grid*."""
    rows = [(side, *one) for side, one in cells.items()]
    delta, width, exposure_s, fills, side, block, groups = _cells.cell_rows(grid.lookup, rows, float(US_PER_S))
    return Points(delta, width, exposure_s, fills, side, block).grouped_as(groups)


def both_sides(found: "Sequence[tuple[Times, Times]]") -> "tuple[Times, Times]":
    """Return exposure in s and sweeps of all sides together, from the µs and sweeps of each by block and column."""
    exposure_s, fills = _cells.added_cells(found, float(US_PER_S))
    return exposure_s, fills
