# Generated from mm/evaluate/_price_levels.pyx by `make stubs`; edit that file instead.

"""Rows of a tape by price, and the cancellations of orders with known arrival (see `queue_exponent`).

A day has millions of rows and some ten thousand prices, so rows are placed by counting, not sorting; only the changes
of one queue are sorted, by size.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

class PriceNumbers:
    """Numbers the levels of a tape: prices of a side within one book.

    Attributes:
        count: Number of levels.
    """
    @property
    def count(self) -> int: ...
    def __new__(cls) -> Self: ...
    def number(
        self,
        kind: NDArray[np.uint8],
        first_row: NDArray[np.int64],
        side: NDArray[np.int8],
        ticks: NDArray[np.int64],
        level: NDArray[np.int32],
        event: NDArray[np.int32],
    ) -> None:
        """Write the number of each row's level, and its event; −1 for rows that repeat a book.

        Args:
            kind: Kind of each event.
            first_row: First row of each event, and the end of the last; rows count from the first one.
            side, ticks: Side and price of each row.
            level, event: Outputs, one entry per row.
        """
    def prices_of(self) -> bytes:
        """Return price, book and rows of each level, as 64 bits each."""

def place_rows(level: NDArray[np.int32], free: NDArray[np.int64], rows: NDArray[np.int32]) -> None:
    """Write each row into the next free place of its level, and advance *free*."""

class QueueChanges:
    """The changes of a queue until it is empty."""
    def __new__(cls) -> Self: ...

def known_cancellations(
    rows: NDArray[np.int32],
    first: NDArray[np.int64],
    event: NDArray[np.int32],
    kind: NDArray[np.uint8],
    lots: NDArray[np.int64],
    pairs: NDArray[np.int32],
) -> int:
    """Write the places of arrival and cancellation of every cancelled order whose arrival is known.

    Args:
        rows: Rows, level after level.
        first: Place of the first row of each level, and the end of the last.
        event: Event of each row.
        kind: Kind of each event.
        lots: Lots of each row.
        pairs: Output, int32[room, 2]; has room for half of the rows.

    Returns:
        The number of pairs.
    """
