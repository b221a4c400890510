# Generated from mm/calibration/_cells.pyx by `make stubs`; edit that file instead.

"""Exposure and sweeps of a window by block and column, and how far its sweeps reached, in one pass over its tallies.

Why compiled: a schedule counts the cells of every window several times, from a few thousand rows, where some thirty
numpy calls cost ten times their work (docs/performance.md, "The calibration").
"""

from collections.abc import Sequence
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

Stood = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
Swept = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

def block_cells(
    columns: CellColumns, parts: Sequence[tuple[Stood, Swept]], blocks: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return float64[b, c] of µs of exposure and float64[b, c] of sweeps.

    The exposure of a column is the mean over its prices of the time of all touches as near or nearer; that of an open
    one counts from where it begins.

    Args:
        columns: The cells.
        parts: Whose rows add up; of each, int64[n]: where the touch stood, in steps, in which block, and for how many
            µs; and int64[m]: touch that sweeps met, depth of them, in steps, block, and how many.
        blocks: How many there are.
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

    Those are the near edge of the cell and its width in ticks, its exposure in s, the sweeps that ended in it, int8
    side and int64 block. Behind them comes what `group` says of the cells: the last row of each column that has any,
    and the number of each row's column among these.

    Args:
        columns: The cells.
        sides: Each side with what `block_cells` returns of it.
        second: µs of one.
    """

def reach_steps(
    swept: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]], far: float, near: float, most: int
) -> tuple[int, float, float] | None:
    """Return how many sweeps hit a probe, a quantile of how deep they reached, and one of the touch that they met.

    On a straight line between neighbours; in steps, and 0 where there are no sweeps. None where one reached deeper than
    can be counted.

    Args:
        swept: int64[n] each: touch that sweeps met, depth of them, and how many.
        far: Share of the sweeps that reached no deeper than the first quantile.
        near: The same of the second one.
        most: The depth up to which places are counted.
    """

def add_moves(
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
    sums: NDArray[np.float64],
    last: int,
    per_tick: int,
    sign: float,
) -> None:
    """Add sweeps, and the moves after them, to sums by the first distance that is hit, and take them back beyond.

    Args:
        swept: Touch that sweeps met, their depth in steps, and the move after each.
        sums: float64[2, steps], of sweeps and of moves.
        last: The farthest distance that counts, in steps.
        per_tick: Steps of distance in one tick: a sweep hits every so many of them.
        sign: What a sweep counts.
    """

def probe_moves(
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    move: NDArray[np.float64],
    places: NDArray[np.int64],
    per_tick: int,
    blocks: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return what the mid moved after sweeps, by the probes that they hit.

    That is int64[p, b], how many moves a probe has by block; float64[p], their mean; and float64[p, b], what the moves
    of a block are off the mean together, summed in the order of the sweeps.

    Args:
        swept: int64[n] each: touch that sweeps met, their depth in steps, and their block.
        move: float64[n], half ticks; NaN where it is not known.
        places: int64[p], where probes stand, in steps, rising; each is hit from whole ticks nearer.
        per_tick: Steps of distance in one tick.
        blocks: How many there are.
    """

def stood_between(
    begins: NDArray[np.int64], touch: NDArray[np.int64], span: tuple[int, int], block_us: int, first_block: int
) -> Stood:
    """Return where the touch stood, in which block, and for how many µs, cut where a row or a block begins.

    Args:
        begins: int64[n], when it came to stand so, µs; the first row holds when the span begins.
        touch: int64[n], where, in steps.
        span: Begin and end, µs.
        block_us: Length of a block; they count from the begin.
        first_block: Number of the first block.
    """

def rows_before(begins: NDArray[np.int64], events: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the last row that begins before each event, -1 where none does: both mostly rise, so one pass finds them.

    Args:
        begins: int64[n], the event after which each row holds, rising.
        events: int64[m], in order as a rule.
    """

class TouchRows:
    """The touch of one side of a day and the sweeps that may hit its probes: a window takes a part of them.

    Args:
        stood_us: int64[n], when the touch came to stand where it stands, µs; the first row before everything.
        touch: int64[n], where, in steps.
        prints_us: int64[p], when the prints of the sweeps came, in order of time.
        opens: int64[s], the number of the print that begins each sweep.
        sweeps: int64[s] each: when a whole sweep began, the row of the touch that it met, and its depth in steps.
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
        """Return what a window holds beside the whole blocks before *rest_us*, and the sweeps that begin in these.

        Of the sweeps it is None where a border of the window cuts one.

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
        """Return whether a sweep has prints on both sides of an end of a window, which is in µs."""

def ends_by_block(
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    begins: NDArray[np.int64],
    start_us: int,
    block_us: int,
    fills: NDArray[np.float64],
) -> None:
    """Count sweeps by block, state and how far beyond the touch they ended.

    Args:
        swept: int64[n] each: when they came, number of the state that they met, below 0 of none, and how many ticks
            beyond the touch they ended.
        begins: int64[c], where cells begin, in ticks beyond the touch, from 0; the last one is open.
        start_us: Begin of the first block.
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
