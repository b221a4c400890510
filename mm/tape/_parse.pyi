from enum import IntEnum

from mm.tape._lines import Block, Column, LineParser

class Cell(IntEnum):
    SKIP = 0
    INT = 1
    PRICE = 2
    QTY = 3
    FLAG = 4
    WORD = 5
    OPTIONAL = 8

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
