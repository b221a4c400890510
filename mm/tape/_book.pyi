# Generated from mm/tape/_book.pyx by `make stubs`; edit that file instead.

"""The compiled book; ``market_data.local_orderbook`` is the Python version."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

WINDOW_MARGIN_TICKS: int
LEVEL_PAGE: int
EVERY: int

class CompiledBook:
    """Python interface of the compiled book, which tests compare with the Python version.

    Prices are ticks, quantities lots, ``side`` +1 for bids and -1 for asks; a price of 0 means none.
    """
    def __new__(cls, lo: int, hi: int) -> Self: ...
    def apply(self, side: NDArray[np.int8], ticks: NDArray[np.int64], lots: NDArray[np.int64]) -> None:
        """Apply the rows of one message: the displayed lots at each price, 0 removes the level."""
    def clear(self) -> None:
        """Empty the book."""
    def best(self) -> tuple[int, int]:
        """Return best bid and best ask in ticks."""
    def lots_at(self, side: int, ticks: int) -> int:
        """Return the displayed lots at a price."""
    def after(self, side: int, ticks: int) -> int:
        """Return a side's next price after *ticks*, away from the market."""
    def take_pages(self, rows: object) -> None:
        """Convert it into a tracked book with the rows of a tape (`mm.tape.book_rows.BookRows`)."""
    def advance(self, stop: int, best_bid: int, best_ask: int) -> None:
        """Advance to the events before *stop*, which end with these best prices."""
    def move(self, lo: int, hi: int) -> None:
        """Move the window; a book with pages then has none."""
    def levels(self, side: int) -> list[tuple[int, int]]:
        """Return all levels of a side as (ticks, lots), best first."""
    def check(self) -> None:
        """Raise AssertionError if an invariant of the book is violated."""

def count_levels(
    kind: NDArray[np.uint8],
    first_row: NDArray[np.int64],
    row_side: NDArray[np.int8],
    slot: NDArray[np.int64],
    framed: bool,
    count: NDArray[np.int64],
) -> None:
    """Count the rows of DEPTH and SNAPSHOT events by slot and side.

    Args:
        kind, first_row, row_side: Columns of consecutive events; ``first_row`` counts from the first row of these.
        slot: Index of the price of each row.
        framed: Whether to count the rows of the first event regardless of its kind.
        count: Counts are added at ``2 * slot + is_bid``.
    """

def place_levels(
    kind: NDArray[np.uint8],
    first_row: NDArray[np.int64],
    row_side: NDArray[np.int8],
    slot: NDArray[np.int64],
    row_lots: NDArray[np.int64],
    framed: bool,
    begin_event: int,
    begin_level: int,
    place: NDArray[np.int64],
    change: NDArray[np.void],
) -> None:
    """Write the rows counted by `count_levels` to the positions of their levels, for a range of levels.

    Args:
        kind, first_row, row_side, slot, row_lots, framed: As in `count_levels`.
        begin_event: The number of the first event.
        begin_level: The first level of the range, as ``2 * slot + is_bid``.
        place: Position of the next row of each level of the range; it is advanced.
        change: The rows by level: event and lots.
    """
