# Generated from mm/tape/_book.pyx by `make stubs`; edit that file instead.

"""The compiled book and the path of best prices; ``market_data.local_orderbook`` is the Python version."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

Rows = tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]
WINDOW_MARGIN_TICKS: int
LEVEL_PAGE: int
EVERY: int

class TopPath:
    """Appends to the path of best prices: one row whenever bid, ask or the lots at either change."""
    def __new__(cls) -> Self: ...

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
    def levels(self, side: int) -> list[tuple[int, int]]:
        """Return all levels of a side as (ticks, lots), best first."""
    def check(self) -> None:
        """Raise AssertionError if an invariant of the book is violated."""

class TapeReplay:
    """Replays the book of a day once, one window of events after the other.

    A snapshot begins the book, a gap ends it; trades and keyframes are skipped. An event that leaves the book crossed
    or locked ends it, too: further events up to the next snapshot are left out, except trades.

    Attributes:
        crossed: The events that leave the book crossed, counted from the first replayed event.
        frames: For each requested keyframe with a valid book, the event and the complete book after it.
    """
    @property
    def crossed(self) -> list[int]: ...
    @property
    def frames(self) -> list[tuple[int, Rows]]: ...
    def __new__(cls) -> Self: ...
    def play(
        self,
        kind: NDArray[np.uint8],
        first_row: NDArray[np.int64],
        rows: Rows,
        keyframe_after: NDArray[np.uint8],
        kept: NDArray[np.uint8],
    ) -> NDArray[np.int64]:
        """Replay the next events.

        Args:
            kind: uint8[n], their kinds.
            first_row: int64[n+1], the first row of each, and the end of the rows of the last one.
            rows: The rows: side, ticks and lots.
            keyframe_after: uint8[n], 1 to request the complete book after that event.
            kept: uint8[n], set to 0 for the events that are left out.

        Returns:
            int64[t, 5] of (event, bid, ask, bid lots, ask lots) at every change; all zeros at the end of a book.
        """

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
