from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mm.sim.matching._core import Matching

class RegularFlow:
    def __init__(
        self,
        matching: Matching,
        clock: tuple[int, int, int],
        book: tuple[int, int, int, int],
        laws: NDArray[np.float64],
        excitation: tuple[float, float],
        key: Callable[[str], int],
    ) -> None: ...
    def advance(self, until_us: int) -> None: ...
    def counts(self) -> dict[str, object]: ...
