# Generated from mm/calibration/_exposure.pyx by `make stubs`; edit that file instead.

"""Resting time of simulated orders at each distance, in one pass over the orders."""

import numpy as np
from numpy.typing import NDArray

class _Sums:
    """Sums by key in a hash table that is at most half full; keys are 0 or more."""
    def __init__(self) -> None: ...

def keys_of(side: NDArray[np.int64], block: NDArray[np.int64], distance: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one key per place (side, block, distance), in this sort order; all three must be 0 or more."""

def places_of(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return side (+1, -1), block and distance of each key of `keys_of`."""

def resting_time(
    orders: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    own: NDArray[np.int64],
    path: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    per_tick: int,
    window: tuple[int, int, int],
    *,
    anywhere: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64], int, int]:
    """Return the resting time of orders in a window, by place: side, block and distance.

    Args:
        orders: Side, price in ticks, and the instants from and until which each order rests, in µs.
        own: Distance of each order, in steps; empty for the distance from the current reference.
        path: Start of each row, µs; reference prices of sells and of buys, and distances of their own best prices, in
            steps, -1 without a valid book.
        per_tick: Steps in a tick.
        window: First instant, first instant after it, and the length of its blocks.
        anywhere: Whether orders nearer than the touch count, down to the reference.

    Returns:
        Ascending keys of the places (`keys_of`) and the µs of each; the µs that do not count; and the number of orders
        that rested.

    Raises:
        OverflowError: If a distance or the number of a block does not fit a key.
    """
