"""Exposure and sweeps of the blocks of a day by block and column: each block is counted once, whatever the windows."""

from typing import TYPE_CHECKING

import numpy as np

from mm.calibration import _cells
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mm.calibration.block_sums import BlockSums, Tally
    from mm.calibration.depth_counts import DistanceGrid

    Times = NDArray[np.float64]
    Ints = NDArray[np.int64]


class BlockCells:
    """The cells of one side of a day by block and column of one grid; a window adds the blocks that are not there yet.

    Args:
        sums: The blocks.
        grid: The columns.
    """

    def __init__(self, sums: "BlockSums", grid: "DistanceGrid") -> None:
        self._sums, self._grid = sums, grid
        self._exposure_us, self._fills = np.zeros((2, sums.blocks, grid.columns))
        self._until = 0  # the blocks before are counted

    def fits(self, sums: "BlockSums", grid: "DistanceGrid") -> bool:
        """Return whether these are the cells of *sums* in the columns of *grid*, which its limit tells."""
        return self._sums is sums and (self._grid.last, self._grid.per_tick) == (grid.last, grid.per_tick)

    def window(self, start_us: int, whole: int, own: "Sequence[Tally]", blocks: int) -> "tuple[Times, Times]":
        """Return what `block_cells` returns of a window.

        Args:
            start_us: Its begin, with which a block begins.
            whole: How many blocks of the sums it takes; nothing behind them is looked at.
            own: What it saw beside them: time in later blocks, and sweeps, also of these, maybe taken back.
            blocks: How many blocks it has.
        """
        first = self._sums.number(start_us)
        self._count(first + whole)
        exposure_us, fills = block_cells(self._grid, own, blocks)
        exposure_us[:whole] += self._exposure_us[first : first + whole]
        fills[:whole] += self._fills[first : first + whole]
        return exposure_us, fills

    def _count(self, until: int) -> None:
        """Count the blocks that were not, before a number."""
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


def columns(one: "Tally") -> "tuple[tuple[Ints, Ints, Ints], tuple[Ints, Ints, Ints, Ints]]":
    """Return the columns of a tally as the kernels take them."""
    return (one.stood, one.stood_block, one.us), (one.touch, one.depth, one.block, one.count)


def both_sides(found: "Sequence[tuple[Times, Times]]") -> "tuple[Times, Times]":
    """Return exposure in s and sweeps of all sides together, from the µs and sweeps of each by block and column."""
    exposure_s = np.sum([exposure_us for exposure_us, _ in found], axis=0) / US_PER_S
    return exposure_s, np.sum([np.where(exposure_us > 0, fills, 0.0) for exposure_us, fills in found], axis=0)
