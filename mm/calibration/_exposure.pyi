# Generated from mm/calibration/_exposure.pyx by `make stubs`; edit that file instead.

"""Resting time of simulated orders at each distance, in one pass over the orders."""

import numpy as np
from numpy.typing import NDArray

class _Sums:
    """Sums by key, in a table of twice as many cells or more; keys are 0 or more."""
    def __init__(self) -> None: ...

def keys_of(side: NDArray[np.int64], block: NDArray[np.int64], distance: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one number per place, ordered by side, block and distance; none may be below 0."""

def places_of(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return side (+1, -1), block and distance of each of ``keys_of``."""

def resting_time(
    orders: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    own: NDArray[np.int64],
    path: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    per_tick: int,
    window: tuple[int, int, int],
    *,
    anywhere: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64], int, int]:
    """Return the resting time of orders in a window, by place.

    Args:
        orders: Side, price in ticks, and the instants from and until which each rests.
        own: The distance of each, in steps; empty to use that from the current reference.
        path: Start of each row; reference prices of sells and of buys, and the distances of their touch, in steps; a
            distance of -1 is no book.
        per_tick: Steps in a tick.
        window: First instant, first instant after it, and the length of its blocks.
        anywhere: Whether orders nearer than the touch count, down to the reference.

    Returns:
        Ascending keys of the places (`keys_of`) and µs; the µs of orders outside of all places; and the number of
        orders that rested.

    Raises:
        OverflowError: If a distance or the number of a block does not fit a key.
    """
