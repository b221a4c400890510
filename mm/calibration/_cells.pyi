# Generated from mm/calibration/_cells.pyx by `make stubs`; edit that file instead.

"""Exposure and sweeps of a window by block and column, and the reach of its sweeps, in one pass over its tallies.

Why compiled: a schedule counts the cells of every window several times, from a few thousand rows, where some thirty
numpy calls cost ten times their work (docs/performance.md, "The calibration").
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

Stood = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
Swept = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

class Tally:
    """What one side of a window saw; rows of one place may repeat, and their counts add up.

    Attributes:
        stood: int64[n], where the touch stood, in steps from the reference; ``CLOSED`` without a book.
        stood_block: In which block of the window.
        us: For how long.
        touch: int64[m], the touch that sweeps met.
        depth: Distance of the deepest price that they hit, in steps.
        block: In which block they began.
        count: How many; below 0 what a border takes back.
    """
    def __init__(self, stood: Stood, swept: Swept) -> None:
        """Take the columns, in the order of the attributes."""
    @staticmethod
    def of_sweeps(touch: NDArray[np.int64], depth: NDArray[np.int64], count: NDArray[np.int64]) -> Tally:
        """Return sweeps of no block in particular."""
    @property
    def stood(self) -> NDArray[np.int64]: ...
    @property
    def stood_block(self) -> NDArray[np.int64]: ...
    @property
    def us(self) -> NDArray[np.int64]: ...
    @property
    def touch(self) -> NDArray[np.int64]: ...
    @property
    def depth(self) -> NDArray[np.int64]: ...
    @property
    def block(self) -> NDArray[np.int64]: ...
    @property
    def count(self) -> NDArray[np.int64]: ...
    def __bool__(self) -> bool:
        """Return whether there is any row."""

class CellColumns:
    """Maps distances to columns of a grid of cells, which are equal for each fraction of a tick.

    Args:
        begin: int64[c], starts of the cells, in whole ticks.
        per_tick: Steps of distance in one tick.
        last: Distance of the farthest cell that may begin, in steps.
    """
    def __new__(cls, begin: NDArray[np.int64], per_tick: int, last: int) -> Self: ...

class BlockSums:
    """The blocks of one side of a day, of which windows take some.

    Args:
        rows: Of all blocks, in their order.
        begin_us: First instant of the first block.
        block_us: Length of a block.
        blocks: How many there are.
    """
    @property
    def begin_us(self) -> int: ...
    @property
    def block_us(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    def __init__(self, rows: Tally, begin_us: int, block_us: int, blocks: int) -> None:
        """Find the rows of each block."""
    def between(self, start_us: int, blocks: int) -> Tally:
        """Return so many whole blocks from *start_us* on, with which a block begins."""

class BlockCells:
    """The cells of one side of a day by block and column of one grid; a window adds the blocks that are not there yet.

    Args:
        sums: The blocks.
        columns: The columns.

    Attributes:
        counted: Number of rows that were counted.
    """
    @property
    def counted(self) -> int: ...
    def __init__(self, sums: BlockSums, columns: CellColumns) -> None:
        """Begin without a block."""
    def fits(self, sums: BlockSums, columns: CellColumns) -> bool:
        """Return whether these are the cells of *sums* in *columns*, which their limit tells."""
    def window(
        self, start_us: int, whole: int, own: Sequence[Tally], blocks: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what `block_cells` returns of a window, to be read alone.

        Args:
            start_us: Its begin, with which a block begins.
            whole: How many blocks of the sums it takes; nothing behind them is looked at.
            own: What it saw beside them: time in later blocks, and sweeps, also of these, maybe taken back.
            blocks: How many blocks it has.
        """

class AddedCells:
    """The cells of all sides of a day together: what `added_cells` returns, with each block added once.

    Args:
        sides: Those of each side.
        second: µs of one.
    """
    def __init__(self, sides: Sequence[BlockCells], second: float) -> None:
        """Begin without a block."""
    def window(
        self, start_us: int, whole: int, own: Sequence[Sequence[Tally]], blocks: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return exposure in s and sweeps of a window, float64[b, c] each, which hold until the next call.

        Args:
            start_us, whole, blocks: As `BlockCells.window` takes them.
            own: Of each side, what it saw beside the whole blocks.
        """

def block_cells(
    columns: CellColumns, parts: Sequence[Tally], blocks: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return float64[b, c] of µs of exposure and float64[b, c] of sweeps.

    The exposure of a column is the mean over its prices of the time of all touches as near or nearer; that of an open
    one is at its start.

    Args:
        columns: The cells.
        parts: Parts whose rows add up.
        blocks: Number of blocks.
    """

def added_cells(
    sides: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], second: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return exposure in s and sweeps of all sides together, float64[b, c] each; no sweeps of a side without exposure.

    Args:
        sides: What `block_cells` returns of each.
        second: µs of one.
    """

def cell_rows(
    columns: CellColumns, sides: Sequence[tuple[int, NDArray[np.float64], NDArray[np.float64]]], second: float
) -> tuple[
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.int8],
    NDArray[np.int64],
    tuple[NDArray[np.int64], NDArray[np.int64]],
    tuple[NDArray[np.int64], NDArray[np.int64]],
]:
    """Return the cells that were exposed, a row each, by side, block and column, as the columns of points.

    They are the near edge of the cell and its width in ticks, its exposure in s, the sweeps that ended in it, int8
    side and int64 block. They are followed by the grouping of the cells: the last row of each non-empty column, and
    the index of each row's column among these; and by that of the blocks: each with a row, and the index of each row's.

    Args:
        columns: The cells.
        sides: Each side with what `block_cells` returns of it.
        second: µs of one.
    """

def reach_steps(parts: Sequence[Tally], far: float, near: float, most: int) -> tuple[int, float, float] | None:
    """Return the number of sweeps that hit a probe, a quantile of their depths, and one of the touch at the sweep.

    Quantiles are interpolated linearly, in steps, and 0 without sweeps. None if a sweep is deeper than can be counted.

    Args:
        parts: The sweeps.
        far: Probability of the first quantile.
        near: Probability of the second quantile.
        most: The largest depth that is counted.
    """

def stood_between(
    begins: NDArray[np.int64], touch: NDArray[np.int64], span: tuple[int, int], block_us: int, first_block: int
) -> Stood:
    """Return touch, block and duration in µs of each piece of a span, split at rows and blocks.

    Args:
        begins: int64[n], start of each row, µs; the first is in force at the start of the span.
        touch: int64[n], touch, in steps.
        span: Start and end, µs.
        block_us: Length of a block; blocks count from the start.
        first_block: Index of the first block.
    """

def rows_before(begins: NDArray[np.int64], events: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the last row that begins before each event, -1 for none; one pass, as both are mostly ascending.

    Args:
        begins: int64[n], the event after which each row is in force, ascending.
        events: int64[m], usually ascending.
    """

def ends_by_block(
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    begins: NDArray[np.int64],
    start_us: int,
    block_us: int,
    fills: NDArray[np.float64],
) -> None:
    """Count sweeps by block, state and distance beyond the touch.

    Args:
        swept: int64[n] each: instant, index of the state (below 0: none), and ticks beyond the touch at which they
            ended.
        begins: int64[c], starts of cells, in ticks beyond the touch, from 0; the last one is open.
        start_us: Start of the first block.
        block_us: Length of a block.
        fills: float64[b, s, c].
    """
