import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

def read_lives(orders: Ints) -> tuple[int, Ints, int]: ...
def reach(lives: Ints, cuts: Ints, mid2: Ints, last_us: int) -> tuple[int, int]: ...
def rest(
    lives: Ints, cuts: Ints, mid2: Ints, rates: Floats, window: Ints, last_us: int, bins: tuple[int, int, int]
) -> tuple[Floats, Floats]: ...
