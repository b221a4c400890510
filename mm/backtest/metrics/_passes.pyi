# Generated from mm/backtest/metrics/_passes.pyx by `make stubs`; edit that file instead.

"""One pass each over fills, marks or draws, where numpy would take many: what the summary of a run adds up."""

import numpy as np
from numpy.typing import NDArray

def mid2_at(mids: NDArray[np.int64], us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the ``mid2_ticks`` of *mids* (a row for each change) in force at each instant; 0 before the first row.

    Each is looked for from the place of the one before it: *us* should rise, or nearly.
    """

def block_sums(
    fills: NDArray[np.int64],
    half_ticks: NDArray[np.int64],
    known: NDArray[np.uint8],
    places: NDArray[np.int64],
    blocks: int,
    groups: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return sums over the *known* fills by group and by block of time.

    Args:
        fills: The table of a journal.
        half_ticks: What each fill is measured by: how far bid + ask went.
        known: Whether it is.
        places: Block of each fill, from 0 on, and then the groups that it belongs to; -1 for none.
        blocks: How many blocks there are.
        groups: How many groups.

    Returns:
        Fills, int64[groups]; lots, float64[blocks, groups]; lots times *half_ticks* our way, likewise; lots times the
        half ticks earned against the mid, float64[groups]. Sums of whole numbers: exact below 2^53.
    """

def first_in_first_out(fills: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return lots bought and sold again, first in, first out, int64[3, pairs]: row that bought, row that sold, lots."""

def on_grid(us: NDArray[np.int64], values: NDArray[np.int64], step_us: int) -> NDArray[np.float64]:
    """Return *values* as they stood every *step_us* from the first instant to the last; there must be one."""

def edge_counts(values: NDArray[np.int64], edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many *values* are at most each of the rising *edges* and above the one before; the last: above all."""

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
