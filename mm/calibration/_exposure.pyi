# Generated from mm/calibration/_exposure.pyx by `make stubs`; edit that file instead.

"""How long simulated orders rested at each distance, in one pass over the orders."""

import numpy as np
from numpy.typing import NDArray

class _Sums:
    """Sums by key, in a table of twice as many cells or more; keys are 0 or more."""
    def __init__(self) -> None: ...

def keys_of(side: NDArray[np.int64], block: NDArray[np.int64], distance: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one number for each place, in the order of side, block and distance; none of them may be below 0."""

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
    """Return how long orders rested in a window, by place.

    Args:
        orders: Side, price in ticks, and the instants from and until which each rests.
        own: The distance of each, in steps; empty for that from the current reference.
        path: Instants, from each of which a row holds; reference prices of sells and of buys, and the distances of
            their touch, in steps; a distance of -1 is no book.
        per_tick: Steps in a tick.
        window: First instant, first instant after it, and the length of its blocks.
        anywhere: Whether orders nearer than the touch count, down to the reference.

    Returns:
        Rising keys of the places (`keys_of`) and µs; then the µs of orders that stood in no place, and how many orders
        rested.

    Raises:
        OverflowError: If a distance or the number of a block is more than a key can hold.
    """
