# Generated from mm/backtest/metrics/_markouts.pyx by `make stubs`; edit that file instead.

"""Moves of the mid after fills, and their sums by group of fills, in single passes."""

import numpy as np
from numpy.typing import NDArray

EARNED: int  # instead of a horizon: half-spread captured relative to the mid at the fill

def mid2_at(mids: NDArray[np.int64], us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the ``mid2_ticks`` of *mids* (a row for each change) in force at each instant; 0 before the first row.

    Each search begins at the previous result: *us* should be ascending, or nearly so.
    """

def moves_after(
    fills: NDArray[np.int64], mids: NDArray[np.int64], horizon_us: int, last_us: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the change of bid + ask over *horizon_us* after each fill, 0 if unknown, and whether it is known.

    It is unknown if the data end first, at *last_us*, or the book is not valid at either instant.
    """

def group_sums(
    fills: NDArray[np.int64],
    mids: NDArray[np.int64],
    horizons_us: NDArray[np.int64],
    bands: NDArray[np.int64],
    block_us: int,
    last_us: int,
    first_us: int = 0,
    target: int = 0,
    after: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return sums over the fills with a known move, by horizon and by group, in one pass.

    The groups: all, buys, sells, fills that add to the inventory or open one, fills that unwind it, and for each of
    *bands* those at this distance from the mid or more, and less than the next one.

    Args:
        fills: The table of a journal.
        mids: Its path of the mid.
        horizons_us: Time from a fill to the end of its move; ``EARNED`` for the half-spread captured at the fill.
        bands: Ascending distances, in half ticks.
        block_us: Length of a block.
        last_us: End of the data.
        first_us: Start of a block.
        target: Target inventory, from which adding and unwinding is counted.
        after: Bid + ask just after the event of each fill, for the horizon 0; None for that in force at its instant.

    Returns:
        Fills, int64[horizons, groups]; and float64[6, horizons, groups]: lots; lots times half ticks in our favour;
        lots times the half ticks captured relative to the mid; blocks with a fill; the sum over blocks of the
        squared deviation of lots times half ticks from lots times the mean; and that of their squared lots. Whole sums
        are exact below 2^53.
    """
