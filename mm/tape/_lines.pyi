import numpy as np
from numpy.typing import NDArray

Rows = tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]
Whole = NDArray[np.int32] | NDArray[np.int64]
Block = tuple[NDArray[np.int8], Whole, Whole, int, int]

class Column:
    def __init__(self, width: int = 8, room: int = 1024) -> None: ...
    @property
    def values(self) -> NDArray[np.int64]: ...

class LineParser:
    name: str
    lines: int
    def __init__(self, name: str, tick_e8: int = 0, qty_step_e8: int = 0) -> None: ...
    @property
    def tick_e8(self) -> int: ...
    @property
    def lot_e8(self) -> int: ...
    @property
    def words(self) -> list[str]: ...
    def feed(self, piece: bytes | bytearray | memoryview) -> None: ...
    def finish(self, accept_last: bool) -> int: ...

def place_rows(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    where: NDArray[np.int64],
    block: Block,
    target: Rows,
    steps: tuple[int, int],
) -> None: ...
