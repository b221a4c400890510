# Generated from benchmarks/_clocked.pyx by `make stubs`; edit that file instead.

"""A clock around every command of the matching core, in process, called from another kernel."""

import numpy as np
from numpy.typing import NDArray

from mm.sim.matching._core import Matching

def clocked(matching: Matching, commands: NDArray[np.int64], took_ns: NDArray[np.int64]) -> None:
    """Execute rows as ``Matching.run`` does, and record the duration of each in ns, including the clock's own.

    Args:
        matching: The book.
        commands: int64[n, 8], as for `Matching.run`.
        took_ns: int64[n], filled.
    """

def clock_alone(took_ns: NDArray[np.int64]) -> None:
    """Record the time between two consecutive readings of the clock, in ns."""
