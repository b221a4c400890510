# Generated from mm/tape/_book.pyx by `make stubs`; edit that file instead.

"""The compiled book and the path of best prices; ``market_data.local_orderbook`` is its plain twin."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

Rows = tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]
LEVEL_PAGE: int
EVERY: int

class TopPath:
    """Grows the path of best prices: one row whenever bid, ask or the lots at either change."""
    def __new__(cls) -> Self: ...

class CompiledBook:
    """The compiled book with a Python face: what tests hold against its plain twin.

    Prices are ticks, quantities lots, ``side`` +1 for bids and -1 for asks; a price of 0 means none.
    """
    def __new__(cls, lo: int, hi: int) -> Self: ...
    def apply(self, side: NDArray[np.int8], ticks: NDArray[np.int64], lots: NDArray[np.int64]) -> None:
        """Apply the rows of one message: lots now displayed at each price, 0 removes it."""
    def clear(self) -> None:
        """Empty the book."""
    def best(self) -> tuple[int, int]:
        """Return best bid and best ask in ticks."""
    def lots_at(self, side: int, ticks: int) -> int:
        """Return the displayed lots at a price."""
    def levels(self, side: int) -> list[tuple[int, int]]:
        """Return all levels of a side as (ticks, lots), best first."""
    def check(self) -> None:
        """Raise AssertionError where an invariant of the book does not hold."""

class TapeReplay:
    """Plays the book of a day once, a window of events after the other.

    A snapshot begins the book, a gap ends it; trades and keyframes are passed over. An event that leaves the book
    crossed or locked ends it too: what follows up to the next snapshot is left out, but for trades.

    Attributes:
        crossed: The events that leave the book crossed. All events are counted from the first one played.
        frames: For each wanted keyframe, where there is a valid book, the event and the whole book after it.
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
        """Play the next events.

        Args:
            kind: Their kinds.
            first_row: int64[n+1], where the rows of each begin.
            rows: The rows: side, ticks and lots.
            keyframe_after: uint8[n], 1 where the whole book after that event is wanted.
            kept: uint8[n], set to 0 for the events that are left out.

        Returns:
            int64[t, 5] of (event, bid, ask, bid lots, ask lots) at every change; all zeros where the book ends.
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
        kind, first_row, row_side: Columns of some events; ``first_row`` counts from the first one's.
        slot: Of each row, the number of its price.
        framed: Whether the rows of the first event count, whatever its kind.
        count: The count of ``2 * slot + is_bid`` is added to.
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
    """Write the rows that `count_levels` counts to the places of their levels, for a span of levels.

    Args:
        kind, first_row, row_side, slot, row_lots, framed: As there.
        begin_event: The number of the first event.
        begin_level: The first level of the span, as ``2 * slot + is_bid``.
        place: Of each level of the span where its next row goes; is moved on.
        change: The rows by level: event and lots.
    """
