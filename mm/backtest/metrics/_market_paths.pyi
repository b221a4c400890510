# Generated from mm/backtest/metrics/_market_paths.pyx by `make stubs`; edit that file instead.

"""The flow of a side, and values that jump and decay, from instant to instant: the paths of ``market_paths.py``.

Why compiled: each value follows from the one before, a million times a day.
"""

import numpy as np
from numpy.typing import NDArray

SINCE_S: tuple[float, ...]
FLOW_WINDOWS_S: tuple[float, ...]
LEAST_FLOW: int
MOST_FLOW: int
MOST_CLASS: int

def flow_levels(us: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when the flow changes, and its number from then on, that before all first.

    The number is the class of the time since the last aggressive order times the number of levels, plus the level above
    the lowest. An aggressive order counts from the µs after it on. Averages decay in steps of a second.

    Args:
        us: When aggressive orders came, rising.
    """

def decaying_classes(
    us: NDArray[np.int64], added: NDArray[np.int64], window_s: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when the class of a value changes that decays by e per window, and the class from then on.

    The class is 0 below 1 and grows by one whenever the value doubles; of values below 0 it is negative.

    Args:
        us: When the value jumps, rising.
        added: By how much.
        window_s: The window.
    """
