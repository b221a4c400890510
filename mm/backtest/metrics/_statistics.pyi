# Generated from mm/backtest/metrics/_statistics.pyx by `make stubs`; edit that file instead.

"""Statistics in single passes, where numpy would need many: autocovariance, ranks, exact sums, resampled ratios."""

import numpy as np
from numpy.typing import NDArray

def on_grid(us: NDArray[np.int64], values: NDArray[np.int64], step_us: int) -> NDArray[np.float64]:
    """Return *values* sampled every *step_us* from the first instant to the last; at least one is required."""

def lagged(values: NDArray[np.float64], lag: int) -> float:
    """Return the sum of the products of *values* with those *lag* rows later; *lag* is below the number of values."""

def half_lag(us: NDArray[np.int64], values: NDArray[np.int64], step_us: int, most: int) -> int:
    """Return the first lag, in steps, at which the autocovariance of ``on_grid`` is below half of that at lag 0.

    It is computed from the changes on the grid: the second difference of the autocovariance is minus the
    autocovariance of the changes. For few changes this is much faster than a transform, and whole sums are exact.

    Args:
        us: Ascending instants, at least one.
        values: Values from each of them on.
        step_us: Width of the grid.
        most: Maximum number of changes on the grid.

    Returns:
        The lag; 0 if the value never changes on the grid, and -1 if there are too many changes, or the sums could
        exceed 64 bits.
    """

def spread(
    times: NDArray[np.int64], edges: NDArray[np.int64], ranks: NDArray[np.int64]
) -> tuple[int, int, int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return minimum and maximum of *times*, at least one, their sum, counts between *edges*, and a subset by rank.

    Counts are of times up to each of the ascending edges and above the previous one; the last: above all. Each edge is
    at least twice the previous one, and none is negative; a time may be, if clocks disagree. The subset is as for
    ``around``: some of the times, including those of the ascending *ranks* in order of size, and their ranks in it.
    """

def around(values: NDArray[np.float64], ranks: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return a subset of *values* including those of the ascending *ranks* in order of size, and their ranks in it.

    Values are counted by their leading bits, from minimum to maximum; those that share them with a wanted one are kept.
    """

def whole_sum(values: NDArray[np.int64]) -> int:
    """Return the sum of whole numbers, also if it exceeds 64 bits."""

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
        first: First period of each block of each draw; the last block of a draw has a different length.
        sums: Sums of a block's values and of their squares, by its first period.
        last_sums: The same for last blocks.
        block: Length of a block, in periods.
        last_block: Length of a last block, in periods.
        centre: Constant added to the mean of a draw.
    """

def half_sharpes(
    means: NDArray[np.float64], squares: NDArray[np.float64], halves: NDArray[np.int64], length: int
) -> NDArray[np.float64]:
    """Return the Sharpe ratio of each trial (columns) over the blocks of each half (rows).

    Without variation it is 0 if the mean is 0, else infinite.

    Args:
        means: Mean by block and trial.
        squares: Sum of squared deviations from that mean, by block and trial.
        halves: The blocks of each half.
        length: Values in a block.
    """

def missed(chosen: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the best trials of each half (rows) by *chosen* that *other* ranks at the median or below."""

def add_spectra(each: NDArray[np.float64], spectrum: NDArray[np.float64]) -> None:
    """Add to *spectrum* the cross spectra of each stretch of values with itself and with the next stretch.

    Rows of *each* are transforms of stretches zero-padded to twice their length. Shifting the next stretch by its
    length changes the sign at every second frequency. The last axis is real and imaginary part.
    """

def slow_variance(
    values: NDArray[np.float64], used: NDArray[np.uint8], degrees: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the variance of the sum of each column of *values*, float64[columns], from its slowest cosines.

    Args:
        values: One per block and column, in chronological order; blocks that are not *used* are skipped.
        used: Whether a block counts in a column.
        degrees: Number of cosines of each column; the variance is 0 without any.
    """
