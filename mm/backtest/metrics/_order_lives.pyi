# Generated from mm/backtest/metrics/_order_lives.pyx by `make stubs`; edit that file instead.

"""The lives of orders off a journal, in one pass each: what ``order_lives.py`` adds up."""

import numpy as np
from numpy.typing import NDArray

from mm.backtest.fills.intensity import Intensity

def read_lives(orders: NDArray[np.int64]) -> tuple[int, NDArray[np.int64], int, NDArray[np.int64]]:
    """Return the id of the first order that was sent, a row for each, how many cancel requests there were, and counts.

    The columns: sent_us, active_us, side, ticks, lots, end_us (-1 while open) and whether it was rejected. Counts are
    of all rows, int64[16, 64], by action and reject reason.
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
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return how long orders rested and how many fills were predicted, by block of time and by distance.

    Args:
        lives: As ``read_lives`` returns them.
        cuts: Instants at which something changes; each stretch lasts until the next, the last one until *last_us*.
        mid2: Bid + ask of each stretch, in ticks; 0 for no valid book.
        offsets: Distance of the mid from the intensity's reference price of bids and of asks in each stretch, in 1/8
            tick; empty if that is the mid.
        intensity: What predicts fills.
        piece: Its piece that each stretch lies in; -1 for none.
        block_us: Length of a block; a stretch lies in one.
        blocks: The number of the first one since 1970, and how many there are.
        last_us: End of the data.
        bins: The first distance in half ticks, the width of a bin, and how many there are; the outermost two hold what
            is nearer or farther, too.

    Returns:
        float64[blocks, bins, 2]: order-seconds and predicted fills, the first alone where nothing predicts any; and the
        least and the greatest distance at which an order rested, (0, -1) where none did.
    """

def waits(
    lives: NDArray[np.int64], fills: NDArray[np.int64], first_id: int, last_us: int
) -> tuple[int, int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the lots of all orders, how many have a fill smaller than themselves, and how long they took, in µs.

    From rest to end, of orders that rested and ended; from sending to arriving, of those that arrived; from rest and
    from sending to the first fill, of those that had one. *lives* are as ``read_lives`` returns them, of orders from
    *first_id* on.
    """

def rested(lives: NDArray[np.int64], last_us: int) -> NDArray[np.bool_]:
    """Return of each order whether it came to rest: it arrived by the end of the data, and was not rejected."""

def any_rested(lives: NDArray[np.int64], last_us: int) -> bool:
    """Return whether one of the orders came to rest."""

def cut_at(mids: NDArray[np.int64], instants: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the instants of *mids* and the rising *instants* after the first of them, and bid + ask from each on.

    One at the same instant as a row comes after it.
    """

def count_fills(
    fills: NDArray[np.int64],
    mids: NDArray[np.int64],
    block_us: int,
    blocks: tuple[int, int],
    bins: tuple[int, int, int],
) -> NDArray[np.float64]:
    """Return how many fills with a mid there were by block and by distance before, float64[blocks, bins].

    The distance is that of the order from the mid until its fill, also if the book moved onto it. Before the first row
    of *mids* that counts, and where no book was valid until then, the fill's own mid does. *blocks* and *bins* are as
    ``rest`` takes them; the outermost blocks hold what is earlier or later, too.
    """

def outside(
    lives: NDArray[np.int64],
    cuts: NDArray[np.int64],
    mid2: NDArray[np.int64],
    offsets: NDArray[np.int64],
    ranges: NDArray[np.float64],
    last_us: int,
) -> tuple[float, float]:
    """Return the order-seconds that had a range, and those of them in which the order stood outside it.

    Args:
        lives: As ``read_lives`` returns them.
        cuts: Instants at which something changes; each stretch lasts until the next, the last one until *last_us*.
        mid2: Bid + ask of each stretch, in ticks; 0 for no valid book.
        offsets: As for ``rest``.
        ranges: The nearest and the farthest distance of each stretch, in ticks; NaN where there is none.
        last_us: End of the data.
    """
