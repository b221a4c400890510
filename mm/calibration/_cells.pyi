# Generated from mm/calibration/_cells.pyx by `make stubs`; edit that file instead.

"""Exposure and sweeps of a window by block and column, and the reach of its sweeps, in one pass over its tallies.

Why compiled: a schedule computes the cells of every window several times from a few thousand rows; some thirty numpy
calls would take ten times as long (docs/performance.md, "The calibration").
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

Stood = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
Swept = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

class Tally:
    """Time at each touch, and sweeps, of one side of a window; rows may have equal keys, and their values add up.

    Attributes:
        stood: int64[n], distance of the own best price (touch) from the reference, in steps; ``CLOSED`` without a book.
        stood_block: int64[n], block of the window.
        us: int64[n], duration at this touch, in µs.
        touch: int64[m], distance of the touch just before the sweeps, in steps.
        depth: int64[m], distance of the deepest price that they hit, in steps.
        block: int64[m], block in which they began.
        count: int64[m], number of sweeps; negative to subtract sweeps that a window border cuts.
    """
    def __init__(self, stood: Stood, swept: Swept) -> None:
        """Take the columns, in the order of the attributes."""
    @staticmethod
    def of_sweeps(touch: NDArray[np.int64], depth: NDArray[np.int64], count: NDArray[np.int64]) -> Tally:
        """Return a tally of sweeps alone, all in block 0."""
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
        last: Largest distance at which a cell may begin, in steps.
    """
    def __new__(cls, begin: NDArray[np.int64], per_tick: int, last: int) -> Self: ...

class BlockSums:
    """Tallies of the blocks of one side of a day; a window uses a range of blocks.

    Args:
        rows: Rows of all blocks, in block order.
        begin_us: First instant of the first block.
        block_us: Length of a block.
        blocks: Number of blocks.
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
        """Return whole blocks from *start_us* on, which is the start of a block."""

class BlockCells:
    """The cells of one side of a day by block and column of one grid; a window adds the missing blocks.

    Args:
        sums: The blocks.
        columns: The columns.

    Attributes:
        counted: Number of rows counted so far.
    """
    @property
    def counted(self) -> int: ...
    def __init__(self, sums: BlockSums, columns: CellColumns) -> None:
        """Start without any block."""
    def fits(self, sums: BlockSums, columns: CellColumns) -> bool:
        """Return whether these are the cells of *sums* in *columns*, compared by limit and step."""
    def window(
        self, start_us: int, whole: int, own: Sequence[Tally], blocks: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the result of `block_cells` for a window; it must not be modified.

        Args:
            start_us: Start of the window and of a block.
            whole: Number of blocks taken from the sums; later ones are not read.
            own: Further rows: time in later blocks, and sweeps in any block, with negative counts to subtract.
            blocks: Number of blocks of the window.
        """

class AddedCells:
    """Cells of all sides of a day together, as from `added_cells`, with each block added once.

    Args:
        sides: Cells of each side.
        second: Number of µs in a second.
    """
    def __init__(self, sides: Sequence[BlockCells], second: float) -> None:
        """Start without any block."""
    def window(
        self, start_us: int, whole: int, own: Sequence[Sequence[Tally]], blocks: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return exposure in s and sweeps of a window, float64[b, c] each, valid until the next call.

        Args:
            start_us, whole, blocks: As for `BlockCells.window`.
            own: Further rows of each side, as for `BlockCells.window`.
        """

def block_cells(
    columns: CellColumns, parts: Sequence[Tally], blocks: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return exposure in µs and number of sweeps, float64[b, c] each.

    The exposure of a column is the mean over its prices of the time at touches as near or nearer; for an open column,
    it is that at its start.

    Args:
        columns: Columns of the cells.
        parts: Tallies whose rows add up.
        blocks: Number of blocks.
    """

def added_cells(
    sides: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], second: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return exposure in s and sweeps of all sides together, float64[b, c] each; no sweeps of a side without exposure.

    Args:
        sides: Result of `block_cells` for each side.
        second: Number of µs in a second.
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
    """Return the exposed cells, one row each, by side, block and column, as the columns of points.

    These are the near edge of the cell and its width in ticks, its exposure in s, the sweeps that ended in it, int8
    side and int64 block. The grouping by column follows: the last row of each non-empty column, and the index of each
    row's column among these; then that by block: the blocks with a row, and the index of each row's block among these.

    Args:
        columns: Columns of the cells.
        sides: Each side with its result of `block_cells`.
        second: Number of µs in a second.
    """

def reach_steps(parts: Sequence[Tally], far: float, near: float, most: int) -> tuple[int, float, float] | None:
    """Return the number of sweeps that hit a probe, a quantile of their depths, and a quantile of their touches.

    Quantiles are interpolated linearly, in steps, and 0 without sweeps. None if a sweep is deeper than *most*.

    Args:
        parts: The sweeps.
        far: Probability of the first quantile.
        near: Probability of the second quantile.
        most: The largest depth that is counted.
    """

def touch_times(
    begins: NDArray[np.int64], touch: NDArray[np.int64], span: tuple[int, int], block_us: int, first_block: int
) -> Stood:
    """Return touch, block and duration in µs of each piece of a span, split at rows and blocks.

    Args:
        begins: int64[n], start of each row, µs; the first applies from the start of the span.
        touch: int64[n], touch, in steps.
        span: Start and end, µs.
        block_us: Length of a block; blocks count from the start.
        first_block: Index of the first block.
    """

def add_seconds(stood: Stood, seconds: NDArray[np.float64]) -> None:
    """Add the durations of `touch_times`, in s, by block and state (instead of touch; below 0: none)."""

def rows_before(begins: NDArray[np.int64], events: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the last row that begins before each event, -1 for none; one pass, as both are mostly ascending.

    Args:
        begins: int64[n], the event after which each row applies, ascending.
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
