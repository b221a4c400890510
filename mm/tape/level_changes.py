"""The displayed lots of each price level, event by event: an index of a tape's rows by side and price.

A queue position depends on the changes of one level since an order joined it. With this index a queue model can run on
best prices and trades alone (`mm.tape.streams`): the level is read when an order joins it, and its changes are
processed when a trade reaches the order's price, instead of at every message.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from mm.tape._book import EVERY, count_levels, place_levels
from mm.tape._book import LEVEL_PAGE as PAGE
from mm.tape.columns import GAP, KEYFRAME, PIECE, ROW_COLUMNS, SNAPSHOT, Ints, in_pieces, release
from mm.tape.tape import Tape

MOST_PAGES = 1 << 24  # maximum range of pages for which a table of all pages is built
MOST_EVENTS = 2**31 - 1
MOST_ROWS = 1 << 23  # in memory while they are written by level, unless one level has more
BLOCK = 1 << 16  # rows that are processed together; their columns stay in the CPU cache
CHANGE = np.dtype([("event", np.int32), ("lots", np.int64)])
KEPT = ("page", "begin", "change", "mark")


@dataclass(frozen=True, eq=False, kw_only=True)
class LevelIndex:
    """The changes of every price level of a tape, and of windows of it.

    Attributes:
        page: Pages of `PAGE` prices that have any changes, ``ticks // PAGE``, ascending, int64[pages].
        begin: Start of the changes of the asks at a price, and then of the bids there, for all prices of the pages,
            int64[2 * PAGE * pages + 1].
        change: Position in the whole tape of the changing event, ascending within a level, and displayed lots after it,
            `CHANGE`[n]; of several changes in one event the last one applies. Reads of it are mostly cache misses.
        mark: The event of each `EVERY`-th change, int32: few enough for the CPU cache, and searched first.
        fresh: Positions of the events before whose rows the book is empty, int64[m].
        events: Number of events of the whole tape.
        base: Position in the whole tape of the window's first event.
    """

    page: Ints
    begin: Ints
    change: NDArray[np.void]
    mark: NDArray[np.int32]
    fresh: Ints
    events: int
    base: int

    def part(self, begin: int) -> Self:
        """Return the part for the events from *begin* of this window on."""
        return replace(self, base=self.base + begin)

    def faults(self) -> Iterator[str]:
        """Yield a sentence for each violated invariant."""
        begin, size = self.begin, len(self.change)
        if len(begin) != 2 * PAGE * len(self.page) + 1 or begin[0] or begin[-1] != size or (np.diff(begin) < 0).any():
            yield f"the change offsets of {len(self.page)} pages of prices are not ascending from 0 to {size}"
            return
        falls = bool((np.diff(self.page) <= 0).any())
        other, outside = len(self.mark) != -(-size // EVERY), False
        for first, change in in_pieces(self.change, 1):
            event, marked = change["event"], change["event"][::EVERY]
            fell = event[1:] < event[:-1]
            edges = begin[slice(*np.searchsorted(begin, (first + 1, first + len(event))))]  # from one level to the next
            fell[edges - first - 1] = False
            mark = self.mark[first // EVERY :][: len(marked)]
            falls |= bool(fell.any())
            other |= not np.array_equal(marked[: len(mark)], mark) or bool((change["lots"] < 0).any())
            outside |= bool(((event < 0) | (event >= self.events)).any())
        if falls:
            yield "pages, or the changes of a level, are not ascending"
        if other:
            yield "marks are not the events of their changes, or lots are negative"
        if outside:
            yield f"a change lies outside of the {self.events} events of the tape"

    def release(self) -> None:
        """Release the memory of all changes, if they are mapped; it is read again on use."""
        release(self.change)

    def in_lots(self, times: int) -> Self:
        """Return the changes in lots that are *times* as fine."""
        change = self.change.copy()
        change["lots"] *= times
        return replace(self, change=change)


def opened(tape: Tape, _entry: dict[str, int], arrays: dict[str, Any]) -> LevelIndex:
    """Return the changes of the levels of *tape* from the arrays of a file; they are not checked."""
    own = {"fresh": fresh_events(tape), "events": len(tape), "base": 0}
    return LevelIndex(**arrays | own | {"change": arrays["change"].view(CHANGE)})


def level_changes(tape: Tape) -> LevelIndex:
    """Return the changes of every price level of *tape*; raises ValueError if it has more than 2³¹ events."""
    making = LevelIndexBuilder.of(tape)
    change = np.concatenate([np.empty(0, CHANGE), *(change.copy() for _, change in making.pieces())])
    arrays = {"page": making.page, "begin": making.begin, "change": change, "mark": change["event"][::EVERY].copy()}
    return opened(tape, {}, arrays)


@dataclass(frozen=True)
class LevelIndexBuilder:
    """Computes the changes of every price level of a tape, in pieces: counts its rows, then writes them by level.

    Attributes:
        tape: The tape; its rows are released after each reading.
        page, begin: As in `LevelIndex`.
        least: The lowest page.
        number: For each page from the lowest on, the number of earlier pages with changes; empty if too far apart.
    """

    slots: ClassVar[int] = PAGE
    """Number of prices of a page that are told apart."""

    tape: Tape
    page: Ints
    begin: Ints
    least: int
    number: Ints

    @classmethod
    def of(cls, tape: Tape) -> Self:
        """Count the rows of each level; raises ValueError if *tape* has more than 2³¹ events."""
        if len(tape) > MOST_EVENTS:
            raise ValueError(f"the tape has {len(tape):,} events; level changes hold at most {MOST_EVENTS:,}")
        spans = [(int(ticks.min()), int(ticks.max())) for _, ticks in in_pieces(tape.row_ticks)]
        least = min((low for low, _ in spans), default=0) // PAGE
        pages = max((high for _, high in spans), default=-PAGE) // PAGE - least + 1
        page, number = np.empty(0, np.int64), np.empty(0, np.int64)
        if pages <= MOST_PAGES:
            used = np.zeros(max(pages, 0), bool)
            for _, ticks in in_pieces(tape.row_ticks):
                used[ticks // PAGE - least] = True
            page, number = np.flatnonzero(used) + least, np.cumsum(used) - used
        else:
            for _, ticks in in_pieces(tape.row_ticks):
                page = np.union1d(page, ticks // PAGE)
        making = cls(tape, page, np.zeros(2 * cls.slots * len(page) + 1, np.int64), least, number)
        for first, stop, page_number, rows in making._blocks():
            columns = tape.kind[first:stop], *making._rows(first, stop), making._slots(page_number, rows)
            count_levels(*columns, first == 0 and _framed(tape), making.begin[1:])
        np.cumsum(making.begin, out=making.begin)
        return making

    def pieces(self) -> Iterator[tuple[int, NDArray[np.void]]]:
        """Yield the changes of groups of levels, in reused memory, with the position of the first change."""
        begin, first_level, last = self.begin, 0, len(self.begin) - 1
        room = np.empty(0, CHANGE)
        while begin[first_level] < begin[last]:
            stop = int(np.searchsorted(begin, begin[first_level] + MOST_ROWS, side="right")) - 1
            stop = min(max(stop, first_level + 1), last)
            size = int(begin[stop] - begin[first_level])
            room = room if size <= len(room) else np.empty(max(size, min(MOST_ROWS, int(begin[last]))), CHANGE)
            change = room[:size]
            place = begin[first_level:stop] - begin[first_level]
            for a, b, page_number, rows in self._blocks():
                framed = a == 0 and _framed(self.tape)
                keys = self._slots(page_number, rows), self._values(rows)
                columns = self.tape.kind[a:b], *self._rows(a, b), *keys
                place_levels(*columns, framed, a, first_level, place, change)
            yield int(begin[first_level]), change
            first_level = stop

    def _blocks(self) -> Iterator[tuple[int, int, Ints, slice]]:
        """Yield spans of events, the number of the page of each of their rows, and the rows; memory is released."""
        first_row, a, unreleased = self.tape.first_row, 0, 0
        while a < len(self.tape):
            b = max(int(np.searchsorted(first_row, first_row[a] + BLOCK, side="right")) - 1, a + 1)
            rows = slice(int(first_row[a]), int(first_row[b]))
            tick_page = self.tape.row_ticks[rows] // PAGE
            page = self.number[tick_page - self.least] if len(self.number) else np.searchsorted(self.page, tick_page)
            yield a, b, page, rows
            a = b
            if first_row[a] - first_row[unreleased] >= PIECE or a == len(self.tape):
                self._release(unreleased, a)
                unreleased = a

    def _slots(self, page: Ints, rows: slice) -> Ints:
        """Return the slot of each of *rows*, given the number of its page."""
        return page * self.slots + self.tape.row_ticks[rows] % self.slots

    def _values(self, rows: slice) -> Ints:
        """Return the value to write for each of *rows*."""
        return self.tape.row_lots[rows]

    def _release(self, a: int, b: int) -> None:
        """Release the memory of the events ``a:b`` of the tape and of their rows."""
        rows = slice(int(self.tape.first_row[a]), int(self.tape.first_row[b]))
        for name in ROW_COLUMNS:
            release(getattr(self.tape, name)[rows])
        for name in ("kind", "first_row"):
            release(getattr(self.tape, name)[a:b])

    def _rows(self, a: int, b: int) -> tuple[Ints, NDArray[np.int8]]:
        """Return the first rows of the events ``a:b``, counted from that of event *a*, and the sides of the rows."""
        first_row = self.tape.first_row[a : b + 1]
        return first_row - first_row[0], self.tape.row_side[first_row[0] : first_row[-1]]


def _framed(tape: Tape) -> bool:
    """Return whether the tape begins with a KEYFRAME, which is its first book."""
    return bool(len(tape)) and int(tape.kind[0]) == KEYFRAME


def fresh_events(tape: Tape) -> Ints:
    """Return the events before whose rows the book is empty."""
    fresh = np.flatnonzero((tape.kind == SNAPSHOT) | (tape.kind == GAP))
    return np.concatenate(([0], fresh)) if _framed(tape) else fresh
