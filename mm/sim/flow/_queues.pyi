from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mm.sim.matching._core import Matching

class QueueFlow:
    def __init__(
        self,
        matching: Matching,
        clock: tuple[int, int],
        limits: NDArray[np.float64],
        rates: tuple[float, float],
        lots: tuple[int, int],
        best_bid: int,
        key: Callable[[str], int],
    ) -> None: ...
    def advance(self, until_us: int) -> None: ...
    def counts(self) -> dict[str, object]: ...
