# Generated from benchmarks/_clocked.pyx by `make stubs`; edit that file instead.

"""A clock around every command of the matching core, in process, as another kernel calls it."""

import numpy as np
from numpy.typing import NDArray

from mm.sim.matching._core import Matching

def clocked(matching: Matching, commands: NDArray[np.int64], took_ns: NDArray[np.int64]) -> None:
    """Carry out rows as ``Matching.run`` does, and note how many nanoseconds each took, the clock included.

    Args:
        matching: The book.
        commands: int64[n, 8], as for `Matching.run`.
        took_ns: int64[n], filled.
    """

def clock_alone(took_ns: NDArray[np.int64]) -> None:
    """Note how many nanoseconds lie between two looks at the clock with nothing between them."""
