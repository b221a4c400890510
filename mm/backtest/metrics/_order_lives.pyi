# Generated from mm/backtest/metrics/_order_lives.pyx by `make stubs`; edit that file instead.

"""Order lifetimes read from a journal; single-pass kernels for ``order_lives.py``."""

import numpy as np
from numpy.typing import NDArray

from mm.backtest.fills.intensity import Intensity

def read_lives(orders: NDArray[np.int64]) -> tuple[int, NDArray[np.int64], int, NDArray[np.int64]]:
    """Return the id of the first order sent, a row per order, the number of cancel requests, and counts of rows.

    Columns: sent_us, active_us, side, ticks, lots, end_us (-1 for an open order) and whether it was rejected. Counts
    are of all rows of *orders*, int64[16, 64], by action and reject reason.
    """

def rest(
    lives: NDArray[np.int64],
    cuts: NDArray[np.int64],
    mid2: NDArray[np.int64],
    offsets: NDArray[np.int64],
    intensity: Intensity,
    piece: NDArray[np.int64],
    block_us: int,
    blocks: tuple[int, int],
    last_us: int,
    bins: tuple[int, int, int],
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None, tuple[int, int], NDArray[np.int64] | None]:
    """Return time at rest and predicted fills, by block of time and by distance.

    Args:
        lives: As ``read_lives`` returns them.
        cuts: Starts of stretches; each lasts until the next one, the last one until *last_us*.
        mid2: Bid + ask of each stretch, in ticks; 0 without a valid book.
        offsets: Distance of the mid from the intensity's reference price of bids and of asks in each stretch, in 1/8
            tick; empty if that is the mid.
        intensity: Predicts fills.
        piece: Index of its piece in each stretch; -1 for none.
        block_us: Length of a block; no stretch crosses the end of a block.
        blocks: Number of the first block since 1970, and number of blocks.
        last_us: End of the data.
        bins: First distance in half ticks, width of a bin, and number of bins; the outermost two include all nearer or
            farther distances.

    Returns:
        Total µs of orders, int64[blocks, bins]; predicted fills of the same shape, None for an empty intensity; and the
        minimum and maximum distance at which an order rested, (0, -1) if none did. The last array has what the
        outermost two bins, or those wider than one distance, add up: a row per stretch with the number of its block,
        its distance and its µs; None if they are too many.
    """

def waits(
    lives: NDArray[np.int64], fills: NDArray[np.int64], first_id: int, last_us: int
) -> tuple[int, int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the lots of all orders, the number of orders with a partial fill, and four arrays of times in µs.

    From rest to end, of orders that rested and ended; from sending to arrival, of those that arrived; from rest and
    from sending to the first fill, of those with a fill. *lives* are as ``read_lives`` returns them, of orders from
    *first_id* on.
    """

def rested(lives: NDArray[np.int64], last_us: int) -> NDArray[np.bool_]:
    """Return for each order whether it rested: it arrived by the end of the data, and was not rejected."""

def any_rested(lives: NDArray[np.int64], last_us: int) -> bool:
    """Return whether any order rested."""

def cut_at(mids: NDArray[np.int64], instants: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the instants of *mids* merged with ascending *instants* after its first row, and bid + ask from each on.

    An instant equal to that of a row comes after it.
    """

def count_fills(
    fills: NDArray[np.int64], block_us: int, blocks: tuple[int, int], bins: tuple[int, int, int]
) -> NDArray[np.float64]:
    """Return the number of fills with a mid by block and by distance, float64[blocks, bins].

    The distance is that of the order from the fill's mid, the last valid one before the event that filled it. *blocks*
    and *bins* are as for ``rest``; the outermost blocks include all earlier or later fills.
    """

def outside(
    lives: NDArray[np.int64],
    cuts: NDArray[np.int64],
    mid2: NDArray[np.int64],
    offsets: NDArray[np.int64],
    ranges: NDArray[np.float64],
    last_us: int,
) -> tuple[float, float]:
    """Return the order-seconds with a range of distances, and those at distances outside it.

    Args:
        lives: As ``read_lives`` returns them.
        cuts: Starts of stretches; each lasts until the next one, the last one until *last_us*.
        mid2: Bid + ask of each stretch, in ticks; 0 without a valid book.
        offsets: As for ``rest``.
        ranges: Minimum and maximum distance of each stretch, in ticks; NaN for none.
        last_us: End of the data.
    """
