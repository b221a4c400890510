# Generated from mm/backtest/metrics/_market_paths.pyx by `make stubs`; edit that file instead.

"""Order flow of a side and exponentially decaying values as step functions of time: the paths of ``market_paths.py``.

Why compiled: each value depends on the one before, a million times per day.
"""

import numpy as np
from numpy.typing import NDArray

SINCE_S: tuple[float, ...]
FLOW_WINDOWS_S: tuple[float, ...]
LEAST_FLOW: int
MOST_FLOW: int
MOST_CLASS: int

def flow_levels(us: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the instants at which the flow changes, and its number from each on; the first row is before all data.

    The number is the class of the time since the last aggressive order times the number of levels, plus the level above
    the lowest. An aggressive order counts from 1 µs after it. Averages decay in steps of a second.

    Args:
        us: Instants of aggressive orders, ascending.
    """

def decaying_classes(
    us: NDArray[np.int64], added: NDArray[np.int64], window_s: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the instants at which the class of an exponentially decaying value changes, and the class from then on.

    The class is 0 below 1 and grows by one whenever the value doubles; for negative values it is negative.

    Args:
        us: Instants at which the value jumps, ascending.
        added: Size of each jump.
        window_s: Time constant of the decay (a factor of 1/e).
    """
