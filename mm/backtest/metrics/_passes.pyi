# Generated from mm/backtest/metrics/_passes.pyx by `make stubs`; edit that file instead.

"""One pass each over fills, marks or draws, where numpy would take many: what the summary of a run adds up."""

import numpy as np
from numpy.typing import NDArray

EARNED: int  # in place of a horizon: what a fill earned against the mid that it met

def mid2_at(mids: NDArray[np.int64], us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the ``mid2_ticks`` of *mids* (a row for each change) in force at each instant; 0 before the first row.

    Each is looked for from the place of the one before it: *us* should rise, or nearly.
    """

def moves_after(
    fills: NDArray[np.int64], mids: NDArray[np.int64], horizon_us: int, last_us: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return how far bid + ask went in *horizon_us* after each fill, 0 where that is not known, and where it is.

    It is not known where the data end first, at *last_us*, or the book is not valid at either instant.
    """

def group_sums(
    fills: NDArray[np.int64],
    mids: NDArray[np.int64],
    horizons_us: NDArray[np.int64],
    bands: NDArray[np.int64],
    block_us: int,
    last_us: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return sums over the fills whose move is known, by horizon and by group, in one pass.

    The groups: all, buys, sells, fills that add to the inventory or begin one, fills that unwind it, and for each of
    *bands* those at this distance from the mid or farther, and nearer than the next one.

    Args:
        fills: The table of a journal.
        mids: Its path of the mid.
        horizons_us: How long after a fill its move is read; ``EARNED`` for what it earned against its own mid.
        bands: Rising distances, in half ticks.
        block_us: Length of a block; the first one is that of the earliest fill.
        last_us: End of the data.

    Returns:
        Fills, int64[horizons, groups]; and float64[5, horizons, groups]: lots; lots times half ticks our way; lots
        times the half ticks earned against the mid; blocks with a fill; and, added over the blocks, the squares of lots
        times half ticks less those of as many lots at the mean. Sums of whole numbers are exact below 2^53.
    """

def first_in_first_out(fills: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return lots bought and sold again, first in, first out, int64[3, pairs]: row that bought, row that sold, lots."""

def on_grid(us: NDArray[np.int64], values: NDArray[np.int64], step_us: int) -> NDArray[np.float64]:
    """Return *values* as they stood every *step_us* from the first instant to the last; there must be one."""

def lagged(values: NDArray[np.float64], lag: int) -> float:
    """Return the sum of the products of *values* with those *lag* rows later, of which there are some."""

def half_lag(us: NDArray[np.int64], values: NDArray[np.int64], step_us: int, most: int) -> int:
    """Return the first lag, in steps, at which the autocovariance of ``on_grid`` is below half of that at lag 0.

    It is summed from the changes on the grid: the second difference of the autocovariance of whole numbers is that of
    their changes, so few changes take far less than a transform, and nothing is rounded until the comparison.

    Args:
        us: Rising instants, at least one.
        values: What is read from each of them on.
        step_us: Width of the grid.
        most: The most changes on the grid that are worth it.

    Returns:
        The lag; 0 where the value never changes on the grid, and -1 where there are too many changes, or the sums
        could exceed 64 bits.
    """

def spread(
    times: NDArray[np.int64], edges: NDArray[np.int64], ranks: NDArray[np.int64]
) -> tuple[int, int, int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the least and the greatest of *times*, at least one, their sum, and counts between *edges*.

    Counts are of times at most each of the rising edges and above the one before; the last: above all. Each edge is
    twice the one before, or more, and none is below 0; a time may be, where clocks disagree. Behind them, as of
    ``around``: some of the times, those of the rising *ranks* in order of size among them, and where these rank now.
    """

def around(values: NDArray[np.float64], ranks: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return some of the *values*, those of the rising *ranks* in order of size among them, and where these rank now.

    Values are counted by their first bits, within least and greatest; those that share them with a wanted one are kept.
    """

def whole_sum(values: NDArray[np.int64]) -> int:
    """Return the sum of whole numbers, also where 64 bits do not hold it."""

def draw_ratios(
    first: NDArray[np.int32],
    sums: NDArray[np.float64],
    last_sums: NDArray[np.float64],
    block: int,
    last_block: int,
    centre: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ratio of each draw and its standard error, from the influence of its blocks; 0 without variation.

    Args:
        first: The first period of each block of each draw; the last block of a draw has a length of its own.
        sums: Sums of a block's values and of their squares, by its first period.
        last_sums: The same of a last block.
        block: Length of a block, in periods.
        last_block: That of a last one.
        centre: What is added to the mean of a draw.
    """

def half_sharpes(
    means: NDArray[np.float64], squares: NDArray[np.float64], halves: NDArray[np.int64], length: int
) -> NDArray[np.float64]:
    """Return the Sharpe ratio of each trial (columns) over the blocks of each half (rows).

    Without variation it is 0 where the mean is, else infinite.

    Args:
        means: Of each block and trial.
        squares: Sums of the squares of the values less their mean, likewise.
        halves: The blocks of each half.
        length: Values in a block.
    """

def missed(chosen: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the best trials of each half (rows) by *chosen* that *other* ranks at the median or below."""

def add_spectra(each: NDArray[np.float64], spectrum: NDArray[np.float64]) -> None:
    """Add to *spectrum* what stretches of values have in common with themselves and with the one after each.

    Rows of *each* are their transforms, of stretches half as long as what was transformed: the later one's, moved by
    as many values as they have, changes its sign at each second frequency. The last axis is of real and imaginary part.
    """

def slow_variance(
    values: NDArray[np.float64], used: NDArray[np.uint8], degrees: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the variance of the sum of each column of *values*, float64[columns], from its slowest cosines.

    Args:
        values: One a block, in order of time; blocks that are not *used* are passed over, as if they did not exist.
        used: Whether a block counts in a column.
        degrees: How many cosines each column has; the variance is 0 where there is none.
    """
