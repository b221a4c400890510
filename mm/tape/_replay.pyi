# Generated from mm/tape/_replay.pyx by `make stubs`; edit that file instead.

"""Replays the book of a day, for the path of its best prices and for complete books."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

Rows = tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]

class TopPath:
    """Appends to the path of best prices: one row whenever bid, ask or the lots at either change."""
    def __new__(cls) -> Self: ...

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
