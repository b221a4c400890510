# Generated from mm/calibration/_cells.pyx by `make stubs`; edit that file instead.

"""Exposure and sweeps of a window by block and column, and the reach of its sweeps, in one pass over its tallies.

Why compiled: a schedule counts the cells of every window several times, from a few thousand rows, where some thirty
numpy calls cost ten times their work (docs/performance.md, "The calibration").
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

class CellColumns:
    """Maps distances to columns of a grid of cells, which are equal for each fraction of a tick.

    Args:
        begin: int64[c], starts of the cells, in whole ticks.
        per_tick: Steps of distance in one tick.
        last: Distance of the farthest cell that may begin, in steps.
    """
    def __new__(cls, begin: NDArray[np.int64], per_tick: int, last: int) -> Self: ...

Stood = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
Swept = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

def block_cells(
    columns: CellColumns, parts: Sequence[tuple[Stood, Swept]], blocks: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return float64[b, c] of µs of exposure and float64[b, c] of sweeps.

    The exposure of a column is the mean over its prices of the time of all touches as near or nearer; that of an open
    one is at its start.

    Args:
        columns: The cells.
        parts: Parts whose rows add up; each has int64[n]: touch in steps, block, µs; and int64[m]: touch at the sweep,
            depth of the sweep in steps, block, number of sweeps.
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
]:
    """Return the cells that were exposed, a row each, by side, block and column, as the columns of points.

    They are the near edge of the cell and its width in ticks, its exposure in s, the sweeps that ended in it, int8
    side and int64 block. They are followed by the grouping of the cells: the last row of each non-empty column, and
    the index of each row's column among these.

    Args:
        columns: The cells.
        sides: Each side with what `block_cells` returns of it.
        second: µs of one.
    """

def reach_steps(
    swept: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]], far: float, near: float, most: int
) -> tuple[int, float, float] | None:
    """Return the number of sweeps that hit a probe, a quantile of their depths, and one of the touch at the sweep.

    Quantiles are interpolated linearly, in steps, and 0 without sweeps. None if a sweep is deeper than can be counted.

    Args:
        swept: int64[n] each: touch at the sweep, depth, and number of sweeps.
        far: Probability of the first quantile.
        near: Probability of the second quantile.
        most: The largest depth that is counted.
    """

def add_moves(
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
    sums: NDArray[np.float64],
    last: int,
    per_tick: int,
    sign: float,
) -> None:
    """Add sweeps, and the moves after them, to difference sums: at the first distance hit, subtracted beyond the last.

    Args:
        swept: Touch at the sweep, depth in steps, and the move after each.
        sums: float64[2, steps], of sweeps and of moves.
        last: The largest distance used, in steps.
        per_tick: Steps of distance in one tick: a sweep hits distances with this spacing.
        sign: Weight of a sweep.
    """

def probe_moves(
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    move: NDArray[np.float64],
    places: NDArray[np.int64],
    per_tick: int,
    blocks: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the moves of the mid after sweeps, by the probes hit.

    They are int64[p, b], the number of moves of a probe by block; float64[p], their mean; and float64[p, b], the summed
    deviations of a block from the mean, in the order of the sweeps.

    Args:
        swept: int64[n] each: touch at the sweep, depth in steps, and block.
        move: float64[n], half ticks; NaN if unknown.
        places: int64[p], distances of probes, in steps, ascending; each is hit from whole ticks nearer.
        per_tick: Steps of distance in one tick.
        blocks: Number of blocks.
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

class TouchRows:
    """The touch of one side of a day and the sweeps that may hit its probes; windows use parts of them.

    Args:
        stood_us: int64[n], start of each touch, µs; the first row is before everything.
        touch: int64[n], touch, in steps.
        prints_us: int64[p], instants of the prints of the sweeps, ascending.
        opens: int64[s], index of the first print of each sweep.
        sweeps: int64[s] each: start of the complete sweep, row of the touch at the sweep, and depth in steps.
    """
    def __new__(
        cls,
        stood_us: NDArray[np.int64],
        touch: NDArray[np.int64],
        prints_us: NDArray[np.int64],
        opens: NDArray[np.int64],
        sweeps: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    ) -> Self: ...
    def beside(self, start_us: int, rest_us: int, end_us: int, block_us: int) -> tuple[Stood, Swept | None]:
        """Return the part of a window outside the whole blocks before *rest_us*, and the sweeps that begin in these.

        The sweeps are None if a window border cuts one.

        Args:
            start_us: First instant of the window.
            rest_us: End of its whole blocks.
            end_us: First instant after the window.
            block_us: Length of a block.
        """
    def hits(self, start_us: int, end_us: int, last: int) -> NDArray[np.int64] | None:
        """Return when sweeps of a window hit a probe no farther than *last*; None where a border cuts a sweep.

        Args:
            start_us: First instant of the window.
            end_us: First instant after it.
            last: In steps.
        """
    def cut(self, start_us: int, end_us: int) -> bool:
        """Return whether a sweep has prints on both sides of a window border, in µs."""

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

def hit_waits(
    path: tuple[NDArray[np.int64], NDArray[np.int64]],
    span: tuple[int, int],
    rates: tuple[float, float],
    last: int,
    hits: NDArray[np.int64],
) -> tuple[NDArray[np.float64], float]:
    """Return how many hits were expected before each one that came in a stretch, and after the last one.

    Before the first from the begin of the stretch, before others from the one before; after the last to its end.

    Args:
        path: int64[n] each: when the touch came to stand, and where, in steps; a first row that begins after the
            stretch holds from its begin.
        span: Begin and end, µs.
        rates: A in 1/µs, and k by step: a touch at d is hit A·exp(-k·d) times in a µs.
        last: A touch farther away is not hit.
        hits: int64[m], when hits came, in order of time.
    """
