import numpy as np
from numpy.typing import NDArray

from mm.sim.matching._core import Matching

def clocked(matching: Matching, commands: NDArray[np.int64], took_ns: NDArray[np.int64]) -> None: ...
def clock_alone(took_ns: NDArray[np.int64]) -> None: ...
