from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Rows = tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]
Whole = NDArray[np.int32] | NDArray[np.int64]
Block = tuple[NDArray[np.int8], Whole, Whole, int, int]

class Cell(IntEnum):
    SKIP = 0
    INT = 1
    PRICE = 2
    QTY = 3
    FLAG = 4
    WORD = 5
    OPTIONAL = 8

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

class DiffParser(LineParser):
    recv_us: Column
    recv_seq: Column
    run_code: Column
    exchange: Column
    first_id: Column
    last_id: Column
    first_row: Column
    @property
    def blocks(self) -> list[Block]: ...
    left_out: int
    first_left_out: int
    def __init__(
        self, name: str, tick_e8: int = 0, qty_step_e8: int = 0, room: int = 1024, lenient: bool = False
    ) -> None: ...

class TableParser(LineParser):
    cells: Column
    def __init__(
        self, name: str, columns: dict[str, int], tick_e8: int = 0, qty_step_e8: int = 0, room: int = 1024
    ) -> None: ...

def place_rows(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    where: NDArray[np.int64],
    block: Block,
    target: Rows,
    steps: tuple[int, int],
) -> None: ...
