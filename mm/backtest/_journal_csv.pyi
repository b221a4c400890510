# Generated from mm/backtest/_journal_csv.pyx by `make stubs`; edit that file instead.

"""Write a journal's tables as CSV files: exact decimals, directly from integers.

- Layers: number formatting on raw pointers; one row function per table; one loop for all tables.
- A decimal has eight places; a column has more only if its unit (tick·lot, half a tick) needs
  them, and then the same number in every row. No value is converted to a float.
- Amounts are computed in 128 bits: exact up to 10**20 units of the asset.
- Empty fields: an instant below 0, a code of -1, a side of 0, and an amount that needs a mid
  while there is none.
"""

from collections.abc import Iterable
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from mm.code_identity import HashedFile

ORDER_FILE: tuple[str, ...]
FILL_FILE: tuple[str, ...]
STATE_FILE: tuple[str, ...]

class Labels:
    """The names of one code column, in memory that C can read."""
    @property
    def count(self) -> int: ...
    @property
    def longest(self) -> int: ...
    def __new__(cls, labels: Iterable[str]) -> Self: ...

def places_of(unit: int, places: int) -> tuple[int, int]:
    """Return *unit*, in 10**-places, and *places*, reduced to as few as it needs, but at least eight."""

def write_orders(file: BinaryIO | HashedFile, pieces: Iterable[NDArray[np.int64]], tick_e8: int, lot_e8: int) -> int:
    """Write the order rows of a journal, given in *pieces*, to *file*; return the number of rows."""

def write_fills(
    file: BinaryIO | HashedFile, fills: NDArray[np.int64], tick_e8: int, lot_e8: int, reasons: Iterable[str]
) -> None:
    """Write the fill rows of a journal to *file*; *reasons* are the names of their codes."""

def write_state(
    file: BinaryIO | HashedFile,
    pieces: Iterable[NDArray[np.int64]],
    tick_e8: int,
    lot_e8: int,
    start_cash_e8: int,
    multiplier: int = 1,
) -> None:
    """Write the state rows of a journal, given in *pieces*, to *file*; cash starts at *start_cash_e8*."""
