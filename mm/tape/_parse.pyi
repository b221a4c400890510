# Generated from mm/tape/_parse.pyx by `make stubs`; edit that file instead.

"""Parsers from bytes to integer columns: the NDJSON of raw depth messages and the plain CSV tables of a day folder.

Both parsers process pieces of a file as they are decompressed. Decimals become whole units of 1e-8, exactly;
`place_rows` converts the parsed rows into ticks and lots.
"""

from collections.abc import Callable
from enum import IntFlag
from typing import Self

import numpy as np
from numpy.typing import NDArray

Rows = tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]
Whole = NDArray[np.int32] | NDArray[np.int64]
Block = tuple[NDArray[np.int8], Whole, Whole, int, int]
DTYPES: dict[int, type[np.signedinteger]]

class Cell(IntFlag):
    """The type of a table's column; the cells of WORD columns are positions in ``words``."""

    SKIP = 0
    INT = 1
    PRICE = 2
    QTY = 3
    FLAG = 4
    WORD = 5
    OPTIONAL = 8

class Column:
    """A growing array of int64 (*width* 8), int32 (4) or int8 (1) in memory of numpy.

    With width 4, `put` converts it to int64 at the first item that needs it.
    """
    def __init__(self, width: int = 8, room: int = 1024) -> None: ...
    @property
    def values(self) -> NDArray[np.int64]:
        """The items so far; valid until the column grows."""

class Words:
    """Assigns numbers to words in the order of first appearance."""
    @property
    def words(self) -> list[str]: ...
    def __new__(cls) -> Self: ...

class LineParser:
    """Splits pieces of a file into lines; a subclass parses one line.

    Args:
        name: The file, for messages.
        tick_e8: Price step; a price off it raises OffGrid. 0 infers the greatest step that divides all prices.
        qty_step_e8: Initial quantity step; finer quantities make it finer. 0 starts with the first quantity.
    """
    @property
    def name(self) -> str: ...
    @property
    def lines(self) -> int: ...
    def __init__(self, name: str, tick_e8: int = 0, qty_step_e8: int = 0) -> None: ...
    @property
    def tick_e8(self) -> int:
        """The given price step, or the greatest that divides all prices; 0 without one."""
    @property
    def lot_e8(self) -> int:
        """The greatest step that divides the given quantity step and all quantities; 0 without one."""
    @property
    def words(self) -> list[str]:
        """The words to which the cells of word columns refer."""
    def feed(self, piece: bytes | bytearray | memoryview) -> None:
        """Parse the lines that are complete after *piece*, any bytes, and keep the incomplete rest.

        Raises:
            BrokenFile: If a line is invalid.
            OffGrid: If a price is off the given step.
        """
    def finish(self, accept_last: bool) -> int:
        """Return the number of lines lost at the end: 1 if the last one is incomplete, else 0.

        Args:
            accept_last: Accept a last line that lacks only its newline.
        """

class DiffParser(LineParser):
    """Parses raw depth messages: one JSON object per line, keys in any order, unknown keys are skipped.

    Args:
        name, tick_e8, qty_step_e8: As for `LineParser`.
        room: Expected number of messages; more are accepted, but cause a copy to larger memory.
        lenient: Leave out levels off the tick, and count them.
        keep: Called with each full block; returns it in other memory. None: it stays in the same memory.

    Attributes:
        recv_us, recv_seq, run, exchange, first_id, last_id: One item per message; -1 if a key is absent. ``run`` is a
            position in ``words``, ``exchange`` is T, else E, as received.
        first_row: The first row of each message, and at the end the row after the last.
        left_out, first_left_out: Number of left-out levels, and the line (from 1) of the first; 0 without one.
    """
    @property
    def recv_us(self) -> Column: ...
    @property
    def recv_seq(self) -> Column: ...
    @property
    def run_code(self) -> Column: ...
    @property
    def exchange(self) -> Column: ...
    @property
    def first_id(self) -> Column: ...
    @property
    def last_id(self) -> Column: ...
    @property
    def first_row(self) -> Column: ...
    @property
    def left_out(self) -> int: ...
    @property
    def first_left_out(self) -> int: ...
    def __init__(
        self,
        name: str,
        tick_e8: int = 0,
        qty_step_e8: int = 0,
        room: int = 1024,
        lenient: bool = False,
        keep: Callable[[Block], Block] | None = None,
    ) -> None: ...
    @property
    def blocks(self) -> list[Block]:
        """(side, price, quantity, tick, lot) of the rows, block after block; no message is split between two.

        Prices are in units of the block's tick and quantities of its lot, in 1e-8: int32 if that is enough. A caller
        that copies the rows can release them block by block.
        """

class TableParser(LineParser):
    """Parses a CSV file without quotes by its header; columns are in any order, unknown ones are skipped.

    Args:
        name, tick_e8, qty_step_e8: As for `LineParser`.
        columns: Name and Cell of each requested column.
        room: Expected number of rows, as for `DiffParser`.

    Attributes:
        cells: Row by row, one item for each of *columns*, since the last `take`.
    """
    @property
    def cells(self) -> Column: ...
    def __init__(
        self, name: str, columns: dict[str, int], tick_e8: int = 0, qty_step_e8: int = 0, room: int = 1024
    ) -> None: ...
    def take(self) -> NDArray[np.int64]:
        """Return the rows since the last call, int64[n, columns]; they are valid until the next piece is fed."""

def place_rows(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    where: NDArray[np.int64],
    block: Block,
    target: Rows,
    steps: tuple[int, int],
) -> None:
    """Copy runs of rows to their positions, and convert prices and quantities into ticks and lots.

    Args:
        start, end: Bounds of each run in *block*; runs that begin outside of it are skipped.
        where: The row of *target* where each run begins.
        block: The rows as parsed.
        target: (side int8, ticks, lots) arrays.
        steps: Tick and lot in 1e-8; each price and quantity is a whole multiple.
    """
