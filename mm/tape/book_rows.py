"""Book rows of a tape in 8 bytes each, for models of the whole book that run on best prices and trades alone.

Such a model (`mm.tape.top_of_book`) needs the levels only when it reads them: the rows since its last read are then
stored in one pass, limited by memory bandwidth. These rows take less than half the memory of those of the tape, and
contain no trades.
"""

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mm.dataclass import dataclass, replace
from mm.tape.columns import ROW_COLUMNS, TRADE, Column, Ints, in_pieces, release
from mm.tape.tape import Tape
from mm.tape.top_of_book import SPAN

TOO_LARGE = 2**31
"""Exclusive upper limit of prices in ticks and of lots; a tape beyond it has no such rows."""
KEPT = ("begin", "row")


@dataclass(frozen=True, eq=False, kw_only=True)
class BookRows:
    """The rows of all events of a tape, or of a window of one, except trades.

    Attributes:
        begin: First row of each event, and the end of the last event's rows, int64[events + 1]. Rows of a KEYFRAME are
            included: storing them again changes nothing, and a window may begin with one.
        kind: The kind of each event, uint8[events].
        row: int64[rows]; the upper half is the lots now displayed, the lower half twice the price, plus 1 for a bid.
    """

    begin: Ints
    kind: NDArray[np.uint8]
    row: Ints

    def part(self, begin: int, stop: int) -> Self:
        """Return the rows of the events ``begin:stop``."""
        return replace(self, begin=self.begin[begin : stop + 1], kind=self.kind[begin:stop])

    def in_lots(self, times: int) -> Self | None:
        """Return the rows in lots *times* as fine; None if the lots of a row are then too large."""
        lots = self.row >> 32
        if int(lots.max(initial=0)) * times >= TOO_LARGE:
            return None
        return replace(self, row=lots * times << 32 | self.row & (2**32 - 1))

    def release(self) -> None:
        """Release the memory of all rows if they are mapped; it is read again on use."""
        release(self.row)

    def faults(self) -> Iterator[str]:
        """Yield a sentence for each violated invariant."""
        begin, size = self.begin, len(self.kind)
        if len(begin) != size + 1 or begin[0] or begin[-1] != len(self.row) or (begin[1:] < begin[:-1]).any():
            yield f"the row offsets of {size} events are not ascending from 0 to {len(self.row)}"
        if any(int(row.min()) < 0 for _, row in in_pieces(self.row)):
            yield "a row has negative lots"


def opened(tape: Tape, _entry: dict[str, int], arrays: dict[str, Any]) -> BookRows:
    """Return the rows of *tape* from the arrays of a file; they are not checked."""
    return BookRows(kind=tape.kind, **arrays)


def fits(tape: Tape) -> bool:
    """Return whether all prices and lots of *tape* are small enough."""
    columns = (tape.row_ticks, tape.row_lots)
    return all(int(piece.max()) < TOO_LARGE for column in columns for _, piece in in_pieces(column))


def shapes(tape: Tape) -> dict[str, tuple[Any, int]]:
    """Return type and length of each array of *tape*."""
    rows = int(tape.first_row[-1] - tape.first_row[0]) - int(np.count_nonzero(tape.kind == TRADE))
    return {"begin": (np.int64, len(tape) + 1), "row": (np.int64, rows)}


def pieces(tape: Tape) -> Iterator[tuple[str, int, Column]]:
    """Yield all arrays of *tape* in pieces, one span of events after the other: (name, position, items)."""
    done = 0
    for first in range(0, len(tape), SPAN):
        trades = tape.kind[first : first + SPAN] == TRADE
        first_row = tape.first_row[first : first + len(trades) + 1]
        rows = slice(int(first_row[0]), int(first_row[-1]))
        begin = first_row - first_row[0]
        of_book = np.ones(rows.stop - rows.start, bool)
        of_book[begin[:-1][trades]] = False
        yield "begin", first, done + begin[:-1] - (np.cumsum(trades) - trades)
        side, ticks, lots = (getattr(tape, name)[rows][of_book] for name in ROW_COLUMNS)
        yield "row", done, lots << 32 | ticks << 1 | (side > 0)
        done += len(side)
        for name in ROW_COLUMNS:
            release(getattr(tape, name)[rows])
    yield "begin", len(tape), np.array([done])


def book_rows(tape: Tape) -> BookRows | None:
    """Return the rows of *tape*, in memory; None if one is too large."""
    if not fits(tape):
        return None
    arrays = {name: np.empty(size, dtype) for name, (dtype, size) in shapes(tape).items()}
    for name, at, items in pieces(tape):
        arrays[name][at : at + len(items)] = items
    return opened(tape, {}, arrays)
