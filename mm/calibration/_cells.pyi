# Generated from mm/calibration/_cells.pyx by `make stubs`; edit that file instead.

"""Exposure and sweeps of one side of a window by block and column, in one pass over its tally.

Why compiled: a schedule counts the cells of every window several times, from a few thousand rows, where some thirty
numpy calls cost ten times their work (docs/performance.md, "The calibration").
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

class CellColumns:
    """Where a distance lies in a grid of cells, which are the same from each part of a tick.

    Args:
        begin: int64[c], where the cells begin, in whole ticks.
        per_tick: Steps of distance in one tick.
        last: Distance of the farthest cell that may begin, in steps.
    """
    def __new__(cls, begin: NDArray[np.int64], per_tick: int, last: int) -> Self: ...

def block_cells(
    columns: CellColumns,
    stood: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    blocks: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return float64[b, c] of µs of exposure and float64[b, c] of sweeps.

    The exposure of a column is the mean over its prices of the time of all touches as near or nearer; that of an open
    one counts from where it begins.

    Args:
        columns: The cells.
        stood: int64[n] each: where the touch stood, in steps, in which block, and for how many µs.
        swept: int64[m] each: touch that sweeps met, depth of them, in steps, block, and how many.
        blocks: How many there are.
    """
