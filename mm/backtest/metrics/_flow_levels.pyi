# Generated from mm/backtest/metrics/_flow_levels.pyx by `make stubs`; edit that file instead.

"""The flow from instant to instant, in one pass: what ``flow_levels.py`` has of each side.

Why compiled: each instant's average follows from that of the one before, a million times a day.
"""

import numpy as np
from numpy.typing import NDArray

SINCE_S: tuple[float, ...]
FLOW_WINDOWS_S: tuple[float, ...]
LEAST_FLOW: int
MOST_FLOW: int

def flow_levels(us: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when the flow changes, and its number from then on, that before all first.

    The number is the class of the time since the last aggressive order times the number of levels, plus the level above
    the lowest. An aggressive order counts from the µs after it on. Averages decay in steps of a second.

    Args:
        us: When aggressive orders came, rising.
    """
