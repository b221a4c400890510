# Generated from mm/backtest/metrics/_flow_levels.pyx by `make stubs`; edit that file instead.

"""The levels of the flow from instant to instant, in one pass: what ``flow_levels.py`` has of each side.

Why compiled: each instant's average follows from that of the one before, a million times a day.
"""

import numpy as np
from numpy.typing import NDArray

FLOW_WINDOWS_S: tuple[float, ...]
LEAST_FLOW: int
MOST_FLOW: int

def flow_levels(us: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when the level of the flow changes, and the level from then on, that before all first.

    An aggressive order counts from the µs after it on. Averages decay in steps of a second.

    Args:
        us: When aggressive orders came, rising.
    """
