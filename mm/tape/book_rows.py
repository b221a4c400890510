"""Book rows of a tape sorted by page of prices, for models of the whole book that run on best prices and trades alone.

Such a model (`mm.tape.top_of_book`) needs the levels only when it reads them, and reads few of them: the rows of a page
are then stored up to that event, in sequence. Those of pages that are not read again are never stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from mm.tape._book import LEVEL_PAGE as PAGE
from mm.tape.columns import Column, Ints, in_pieces, release
from mm.tape.level_changes import CHANGE, MOST_EVENTS, LevelIndexBuilder, fresh_events
from mm.tape.tape import Tape

CELL_BITS = PAGE.bit_length()
"""Number of low bits that hold the price within its page, and the side."""
TOO_LARGE = 1 << 63 - CELL_BITS
"""Exclusive upper limit of lots; a tape beyond it has no such rows."""
KEPT = ("page", "begin", "change")


@dataclass(frozen=True, eq=False, kw_only=True)
class BookRows:
    """The rows of a tape, and of windows of it, except those of trades and of keyframes that repeat a book.

    Attributes:
        page: Pages of `PAGE` prices that have any rows, ``ticks // PAGE``, ascending, int64[pages].
        begin: First row of each page, and the end of the last page's rows, int64[pages + 1].
        change: `mm.tape.level_changes.CHANGE`[rows]: position in the whole tape of the event, ascending within a page,
            and lots · 2^`CELL_BITS` + 2 · price within the page, + 1 for a bid; the lots are those now displayed.
        fresh: Positions of the events before whose rows the book is empty, int64[m].
        kind: The kind of each event of the whole tape, uint8[events].
        base: Position in the whole tape of the window's first event.
    """

    page: Ints
    begin: Ints
    change: NDArray[np.void]
    fresh: Ints
    kind: NDArray[np.uint8]
    base: int = 0

    def part(self, begin: int) -> Self:
        """Return the part for the events from *begin* of this window on."""
        return replace(self, base=self.base + begin)

    def in_lots(self, times: int) -> Self | None:
        """Return the rows in lots *times* as fine; None if the lots of a row are then too large."""
        value = self.change["lots"]
        lots = value >> CELL_BITS
        if int(lots.max(initial=0)) * times >= TOO_LARGE:
            return None
        change = self.change.copy()
        change["lots"] = (lots * times << CELL_BITS) | (value & (1 << CELL_BITS) - 1)
        return replace(self, change=change)

    def release(self) -> None:
        """Release the memory of all rows if they are mapped; it is read again on use."""
        release(self.change)

    def faults(self) -> Iterator[str]:
        """Yield a sentence for each violated invariant."""
        begin, size = self.begin, len(self.change)
        if len(begin) != len(self.page) + 1 or begin[0] or begin[-1] != size or (begin[1:] < begin[:-1]).any():
            yield f"the row offsets of {len(self.page)} pages of prices are not ascending from 0 to {size}"
            return
        falls, negative, outside = bool((np.diff(self.page) <= 0).any()), False, False
        for first, change in in_pieces(self.change, 1):
            event = change["event"]
            fell = event[1:] < event[:-1]
            edges = begin[slice(*np.searchsorted(begin, (first + 1, first + len(event))))]  # from one page to the next
            fell[edges - first - 1] = False
            falls |= bool(fell.any())
            negative |= bool((change["lots"] < 0).any())
            outside |= bool(((event < 0) | (event >= len(self.kind))).any())
        if falls:
            yield "pages, or the events of a page, are not ascending"
        if negative:
            yield "a row has negative lots"
        if outside:
            yield f"a row lies outside of the {len(self.kind)} events of the tape"


class BookRowsBuilder(LevelIndexBuilder):
    """Sorts the rows of a tape by page, in pieces, as `LevelIndexBuilder` sorts them by level.

    Sides are not told apart: each second item of *begin* repeats the one before.
    """

    slots: ClassVar[int] = 1

    def _values(self, rows: slice) -> Ints:
        side, ticks, lots = self.tape.row_side[rows], self.tape.row_ticks[rows], self.tape.row_lots[rows]
        return lots << CELL_BITS | ticks % PAGE << 1 | (side > 0)

    def _rows(self, a: int, b: int) -> tuple[Ints, NDArray[np.int8]]:
        first_row, sides = super()._rows(a, b)
        return first_row, np.zeros(len(sides), np.int8)


def opened(tape: Tape, _entry: dict[str, int], arrays: dict[str, Any]) -> BookRows:
    """Return the rows of *tape* from the arrays of a file; they are not checked."""
    return BookRows(**arrays | {"change": arrays["change"].view(CHANGE)}, fresh=fresh_events(tape), kind=tape.kind)


def fits(tape: Tape) -> bool:
    """Return whether *tape* can have such rows."""
    return len(tape) <= MOST_EVENTS and all(int(piece.max()) < TOO_LARGE for _, piece in in_pieces(tape.row_lots))


def sorted_pieces(tape: Tape) -> tuple[dict[str, tuple[Any, int]], Iterator[tuple[str, int, Column]]]:
    """Return type and length of each array of *tape*, and all arrays in pieces: (name, position, items)."""
    making = BookRowsBuilder.of(tape)
    begin = making.begin[::2].copy()
    words = CHANGE.itemsize // 4
    shapes = {"page": (np.int64, len(making.page)), "begin": (np.int64, len(begin))}

    def pieces() -> Iterator[tuple[str, int, Column]]:
        yield from (("page", 0, making.page), ("begin", 0, begin))
        for at, change in making.pieces():
            yield "change", at * words, change.view(np.int32)

    return shapes | {"change": (np.int32, int(begin[-1]) * words)}, pieces()


def book_rows(tape: Tape) -> BookRows | None:
    """Return the rows of *tape*, in memory; None if one has too many lots."""
    if not fits(tape):
        return None
    shapes, pieces = sorted_pieces(tape)
    arrays = {name: np.empty(size, dtype) for name, (dtype, size) in shapes.items()}
    for name, at, items in pieces:
        arrays[name][at : at + len(items)] = items
    return opened(tape, {}, arrays)
