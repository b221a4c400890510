"""What the book displayed at a price just before an event: any number of questions, one sort of the book's rows."""

from typing import TYPE_CHECKING

import numpy as np

from mm.tape.tape import KEYFRAME, SNAPSHOT, TRADE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Tape

    Ints = NDArray[np.int64]


class Displayed:
    """The lots displayed on one side of the book, at the prices that were asked for when it was made."""

    def __init__(self, tape: "Tape", side: int, ticks: "Ints") -> None:
        """Sort what *tape* says of *side* (+1 bids, -1 asks) at the prices *ticks*."""
        event = np.repeat(np.arange(len(tape)), np.diff(tape.first_row))
        rows = slice(int(tape.first_row[0]), int(tape.first_row[-1]))  # a window shares the rows of its day
        row_ticks = tape.row_ticks[rows]
        told = (tape.row_side[rows] == side) & (tape.kind[event] != TRADE) & np.isin(row_ticks, ticks)
        self._stride = len(tape) + 1
        self._low = int(ticks.min(initial=0))
        keys = self._keys(row_ticks[told], event[told])
        order = np.argsort(keys, kind="stable")
        self._sorted, self._lots = keys[order], tape.row_lots[rows][told][order]
        whole = (tape.kind == SNAPSHOT) | (tape.kind == KEYFRAME)
        self._whole = np.append(0, np.flatnonzero(whole))

    def lots(self, ticks: "Ints", events: "Ints") -> "Ints":
        """Return the lots displayed at each of *ticks* just before each of *events* of the tape; 0 for none."""
        if not self._lots.size:
            return np.zeros(ticks.size, np.int64)
        at = np.searchsorted(self._sorted, self._keys(ticks, events)) - 1
        since = self._whole[np.searchsorted(self._whole, events) - 1]  # an older row says nothing of this book
        told = (at >= 0) & (self._sorted[at] >= self._keys(ticks, since))
        return np.where(told, self._lots[at], 0)

    def _keys(self, ticks: "Ints", events: "Ints") -> "Ints":
        """Return one number for each price and event, in the order of price, then event."""
        keys: Ints = (ticks - self._low) * self._stride + events
        return keys
