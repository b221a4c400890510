# Generated from mm/calibration/_row_sums.pyx by `make stubs`; edit that file instead.

"""Sums over the rows of a fit: by distance, side and block, added in the order of numpy.

Why compiled: a fit sums some thousand points a dozen times, and each numpy call reads them again.
"""

import numpy as np
from numpy.typing import NDArray

def sound(
    delta: NDArray[np.float64],
    width: NDArray[np.float64],
    exposure: NDArray[np.float64],
    fills: NDArray[np.float64],
    largest: float,
) -> bool:
    """Return whether all rows are valid: distances and counts within the summable range, no fill without exposure.

    Args:
        delta: Distances.
        width: Widths, above 0.
        exposure: Seconds, 0 or more.
        fills: Counts, 0 or more.
        largest: The largest allowed number.
    """

def distinct_numbers(keys: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct keys, ascending, and the index of each key among them.

    Args:
        keys: Whole numbers from 0.
        most: The largest key.
    """

def sums_by_row(
    row: NDArray[np.int64], exposure: NDArray[np.float64], fills: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums of exposure and fills of each of *count* rows, added in the order of the points.

    Args:
        row: Row index of each point.
        exposure: Seconds of each point.
        fills: Fills of each point.
        count: Number of rows.
    """

def pooled(expected: NDArray[np.float64], least: float) -> NDArray[np.int64]:
    """Return the pool of each row: neighbours are joined until they expect *least*; the last pool includes a remainder.

    Args:
        expected: float64[n], expected count of each row.
        least: Minimum expected count of a pool.
    """

def scaled_rows(
    delta: NDArray[np.float64], width: NDArray[np.float64], exposure: NDArray[np.float64], fills: NDArray[np.float64]
) -> tuple[
    float, float, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float, bool
]:
    """Return the exposed rows of ascending distances, in units of their span.

    These are the nearest distance and the span, both in ticks; distance, width, exposure and fills of each row; all
    fills, added in the order of numpy; and whether any row is a cell of finite width.

    Args:
        delta: Distance of a row, or near edge of its cell, in ticks.
        width: Width of its cell, in ticks; inf for an order resting at delta.
        exposure: Its exposure, in s.
        fills: Its fills.
    """

def total_of(row: NDArray[np.int64], exposure: NDArray[np.float64], rate: NDArray[np.float64]) -> float:
    """Return the sum over points of exposure times the rate of the point's row, added in the order of numpy.

    Args:
        row: Row index of each point.
        exposure: Seconds of each point.
        rate: Rate of each row.
    """

def dispersed(
    place: tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.int64]],
    exposure: NDArray[np.float64],
    fills: NDArray[np.float64],
    rate: NDArray[np.float64],
    blocks: int,
) -> tuple[float, float]:
    """Return the summed squared deviation of block fills from expectation, and its expected value for Poisson flow.

    The expectation of a block is a share of all fills of its side, in proportion to the exposure times rate of its
    points. Sums over blocks are added in the order of numpy.

    Args:
        place: Block index, side and row index of each point.
        exposure: Seconds of each point.
        fills: Fills of each point.
        rate: Fills per second of each row.
        blocks: Number of blocks.
    """

def weighted_sums(
    exposure: NDArray[np.float64], fills: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Return sums over blocks by column, the fills of each block, and the number of blocks up to the last exposed one.

    The sums are float64[4, c]: exposure and fills, then both weighted by block; added in the order of the blocks.

    Args:
        exposure: float64[b, c], in s.
        fills: float64[b, c], whole numbers.
        weight: float64[b], weight of each block.
    """

def expected_by_block(exposure: NDArray[np.float64], gain: NDArray[np.float64], blocks: int) -> NDArray[np.float64]:
    """Return the sums of exposure times gain over the columns of the first *blocks*, added in the order of numpy.

    Args:
        exposure: float64[b, c], in s.
        gain: float64[c], gain of each column.
        blocks: Number of blocks.
    """
