"""The displayed lots of each price level, event by event: an index of a tape's rows by side and price.

A queue position depends on one level's changes since the order joined. So a queue model runs on best prices and trades
alone (`mm.tape.streams`): it reads the level when an order joins, and its changes when a trade reaches the order's
price, instead of every message.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from mm.tape._book import EVERY, place_levels
from mm.tape._book import LEVEL_PAGE as PAGE
from mm.tape.columns import (
    DEPTH,
    GAP,
    KEYFRAME,
    ROW_COLUMNS,
    SNAPSHOT,
    Column,
    Ints,
    growing,
    in_pieces,
    release,
    windows,
)

if TYPE_CHECKING:
    from mm.tape.events import TapeEvents

MOST_PAGES = 1 << 24  # maximum range of pages for which a table of all pages is built
MOST_EVENTS = 2**31 - 1
MOST_ROWS = 1 << 23  # in memory while they are written by level, unless one level has more
CHANGE = np.dtype([("event", np.int32), ("lots", np.int64)])
KEPT = {"page": np.int64, "begin": np.int64, "change": CHANGE, "mark": np.int32}
"""The arrays of an index, and their types."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LevelIndex:
    """The changes of every price level of a tape, and of windows of it.

    Attributes:
        page: Pages of `PAGE` prices with changes, ``ticks // PAGE``, ascending, int64[pages].
        begin: Start of the changes of a price's asks, then bids, for all prices of the pages, int64[2 * PAGE * pages +
            1].
        change: `CHANGE`[n]: position of the event in the whole tape, ascending within a level, and lots after it; of
            several in one event the last applies. Reads are mostly cache misses.
        mark: Event of each `EVERY`-th change, int32: small enough for the CPU cache, searched first.
    """

    page: Ints
    begin: Ints
    change: NDArray[np.void]
    mark: NDArray[np.int32]
    fresh: Ints
    events: int
    base: int

    @classmethod
    def of(cls, tape: "TapeEvents", _entry: dict[str, Any], arrays: dict[str, Column]) -> Self:
        fresh = np.flatnonzero((tape.kind == SNAPSHOT) | (tape.kind == GAP))
        if _framed(tape):
            fresh = np.concatenate(([0], fresh))
        return cls(**arrays, fresh=fresh, events=len(tape), base=0)

    def part(self, begin: int) -> Self:
        return replace(self, base=self.base + begin)

    def faults(self) -> Iterator[str]:
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
        release(self.change)

    def in_lots(self, times: int) -> Self:
        change = self.change.copy()
        change["lots"] *= times
        return replace(self, change=change)


def level_changes(tape: "TapeEvents", folder: Path | None = None) -> LevelIndex:
    """Raises ValueError above 2³¹ events, or OSError."""
    if len(tape) > MOST_EVENTS:
        raise ValueError(f"the tape has {len(tape):,} events; level changes hold at most {MOST_EVENTS:,}")
    page, slot_of = _pages(tape)
    begin = np.zeros(2 * PAGE * len(page) + 1, np.int64)
    for _, level, _ in _changes(tape, slot_of):
        begin[1:] += np.bincount(level, minlength=len(begin) - 1)
    np.cumsum(begin, out=begin)
    first = 0
    with growing({"change": CHANGE}, folder) as columns:
        while begin[first] < begin[-1]:
            stop = int(np.searchsorted(begin, begin[first] + MOST_ROWS, side="right")) - 1
            stop = min(max(stop, first + 1), len(begin) - 1)
            part, place = np.empty(begin[stop] - begin[first], CHANGE), begin[first:stop] - begin[first]
            for event, level, lots in _changes(tape, slot_of):
                place_levels(event, level, lots, first, place, part)
            columns.add(part)
            first = stop
        change = columns.whole()["change"]
    marks = [piece["event"][-at % EVERY :: EVERY].copy() for at, piece in in_pieces(change)]
    mark = np.concatenate([np.empty(0, np.int32), *marks])
    return LevelIndex.of(tape, {}, {"page": page, "begin": begin, "change": change, "mark": mark})


def _pages(tape: "TapeEvents") -> tuple[Ints, Callable[[Ints], Ints]]:
    ends = [end for _, ticks in in_pieces(tape.row_ticks) for end in (int(ticks.min()), int(ticks.max()))]
    least, most = min(ends, default=0) // PAGE, max(ends, default=-PAGE) // PAGE
    if most - least >= MOST_PAGES:
        page = reduce(np.union1d, (ticks // PAGE for _, ticks in in_pieces(tape.row_ticks)), np.empty(0, np.int64))
        return page, lambda ticks: ticks + (np.searchsorted(page, ticks // PAGE) - ticks // PAGE) * PAGE
    used = np.zeros(most - least + 1, bool)
    for _, ticks in in_pieces(tape.row_ticks):
        used[ticks // PAGE - least] = True
    shift = (np.cumsum(used) - used - np.arange(len(used)) - least) * PAGE  # from the ticks of a page to its slots
    return np.flatnonzero(used) + least, lambda ticks: ticks + shift[ticks // PAGE - least]


def _changes(tape: "TapeEvents", slot_of: Callable[[Ints], Ints]) -> Iterator[tuple[Ints, Ints, Ints]]:
    for begin, stop in windows(tape.first_row):
        kind, first_row = tape.kind[begin:stop], tape.first_row[begin : stop + 1]
        of_book = (kind == DEPTH) | (kind == SNAPSHOT)
        of_book[:1] |= begin == 0 and _framed(tape)
        size, rows = np.diff(first_row), slice(int(first_row[0]), int(first_row[-1]))
        taken = np.repeat(of_book, size)
        side, ticks, lots = (getattr(tape, name)[rows] for name in ROW_COLUMNS)
        level = 2 * slot_of(ticks[taken]) + (side[taken] > 0)
        yield np.repeat(np.arange(begin, stop)[of_book], size[of_book]), level, lots[taken]
        for column in (kind, first_row, side, ticks, lots):
            release(column)


def _framed(tape: "TapeEvents") -> bool:
    return bool(len(tape)) and int(tape.kind[0]) == KEYFRAME
