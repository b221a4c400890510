# Generated from mm/tape/_parse.pyx by `make stubs`; edit that file instead.

"""Bytes to integer columns: the NDJSON of raw depth messages and the plain CSV tables of a day folder.

Both parsers are fed pieces of a file as they are inflated. Decimals become whole units of 1e-8, exactly; `place_rows`
turns the rows that they leave into ticks and lots.
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
    """What a column of a table holds; the cells of WORD columns are positions in ``words``."""

    SKIP = 0
    INT = 1
    PRICE = 2
    QTY = 3
    FLAG = 4
    WORD = 5
    OPTIONAL = 8

class Column:
    """A growing run of int64 (*width* 8), int32 (4) or int8 (1) in memory of numpy.

    With width 4, `put` makes it int64 at the first item that needs it.
    """
    def __init__(self, width: int = 8, room: int = 1024) -> None: ...
    @property
    def values(self) -> NDArray[np.int64]:
        """The items so far; good until the column grows."""

class Words:
    """Numbers words by first appearance."""
    @property
    def words(self) -> list[str]: ...
    def __new__(cls) -> Self: ...

class LineParser:
    """Cuts pieces of a file into lines; a subclass parses one.

    Args:
        name: The file, for messages.
        tick_e8: Price step; a price off it raises OffGrid. 0 finds the greatest that divides all prices.
        qty_step_e8: Quantity step to begin with; finer quantities make it finer. 0 begins with the first quantity.
    """
    @property
    def name(self) -> str: ...
    @property
    def lines(self) -> int: ...
    def __init__(self, name: str, tick_e8: int = 0, qty_step_e8: int = 0) -> None: ...
    @property
    def tick_e8(self) -> int:
        """The price step given, or the greatest that divides all prices; 0 without one."""
    @property
    def lot_e8(self) -> int:
        """The greatest step that divides the quantity step given and all quantities; 0 without one."""
    @property
    def words(self) -> list[str]:
        """The words that the cells of word columns number."""
    def feed(self, piece: bytes | bytearray | memoryview) -> None:
        """Parse the lines that *piece*, any bytes, completes, and keep the one it tears.

        Raises:
            BrokenFile: If a line is not what it should be.
            OffGrid: If a price is off the given step.
        """
    def finish(self, accept_last: bool) -> int:
        """Return how many lines are lost at the end: 1 where the last one is torn.

        Args:
            accept_last: Take a last line that is whole but for its newline.
        """

class DiffParser(LineParser):
    """Parses raw depth messages: one JSON object a line, keys in any order, unknown keys passed over.

    Args:
        name, tick_e8, qty_step_e8: As for `LineParser`.
        room: Messages to expect; more are as welcome, but move what was parsed to larger memory.
        lenient: Leave levels off the tick out, and count them.
        keep: Called with each block that is full; returns it in other memory. None: it stays where it is.

    Attributes:
        recv_us, recv_seq, run, exchange, first_id, last_id: One item a message; -1 where a key is absent.
            ``run`` is a position in ``words``, ``exchange`` is E as received.
        first_row: Where the rows of each message begin, and, last, where they end.
        left_out, first_left_out: Levels that were left out, and the line (from 1) of the first; 0 without one.
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
        """(side, price, quantity, tick, lot) of the rows, block after block; no message stands in two.

        Prices are counted in the block's tick and quantities in its lot, in 1e-8: int32 where that is enough.
        Whoever moves the rows on can let go of them block by block.
        """

class TableParser(LineParser):
    """Parses a CSV file without quotes by its header; columns stand in any order, others are passed over.

    Args:
        name, tick_e8, qty_step_e8: As for `LineParser`.
        columns: Name and Cell of each column that is wanted.
        room: Rows to expect, as for `DiffParser`.

    Attributes:
        cells: Row by row, one item for each of *columns*, since the last time that they were taken.
    """
    @property
    def cells(self) -> Column: ...
    def __init__(
        self, name: str, columns: dict[str, int], tick_e8: int = 0, qty_step_e8: int = 0, room: int = 1024
    ) -> None: ...
    def take(self) -> NDArray[np.int64]:
        """Return the rows since the last time, int64[n, columns]; they are valid until the next piece is fed."""

def place_rows(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    where: NDArray[np.int64],
    block: Block,
    target: Rows,
    steps: tuple[int, int],
) -> None:
    """Copy runs of rows to where they belong, and turn prices and quantities into ticks and lots.

    Args:
        start, end: Bounds of each run in *block*; runs that begin outside of it are passed over.
        where: The row of *target* where each run begins.
        block: The rows as they were read.
        target: (side int8, ticks, lots) arrays.
        steps: Tick and lot in 1e-8; each price and quantity is a whole multiple.
    """
