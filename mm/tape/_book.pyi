# Generated from mm/tape/_book.pyx by `make stubs`; edit that file instead.

"""The compiled book and the path of best prices; ``market_data.local_orderbook`` is its plain twin."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

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

def replay_tops(
    kind: NDArray[np.uint8],
    first_row: NDArray[np.int64],
    row_side: NDArray[np.int8],
    row_ticks: NDArray[np.int64],
    row_lots: NDArray[np.int64],
    keyframe_after: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], int, list[tuple[int, NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]]]:
    """Play the book of a tape's events once.

    Args:
        kind: Kinds of the events; TRADE and KEYFRAME events are passed over.
        first_row: int64[n+1], where each event's rows begin.
        row_side, row_ticks, row_lots: The rows.
        keyframe_after: uint8[n], 1 where the whole book after that event is wanted.

    Returns:
        ``(tops, crossed, frames)``: int64[t, 5] of (event, bid, ask, bid lots, ask lots) at every
        change, a GAP giving zeros; the first event after which a valid book is crossed or locked,
        or -1 (the replay stops there); and for every wanted keyframe with a valid book
        ``(event, side, ticks, lots)`` as arrays, bids first, best first.
    """
