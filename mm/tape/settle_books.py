"""The book of a day, played once: its best prices, whole books at quarter hours, and where it is crossed or locked."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mm.tape._book import replay_tops
from mm.tape.places import Event
from mm.tape.row_source import Ints, Rows, bounds, windows
from mm.tape.stack import Stack, Whole
from mm.tape.tape import GAP, SNAPSHOT, TRADE


def settle_tops(stack: Stack, keyframe_after: NDArray[np.uint8]) -> list[Event]:
    """Play the book once: fill in the tops, and turn into a GAP whatever leaves the book crossed or locked.

    Args:
        stack: The columns, changed in place.
        keyframe_after: 1 for each event behind which a KEYFRAME is wanted, where there is a valid book.

    Returns:
        The events that left the book crossed.
    """
    play = _Play(stack, keyframe_after)
    first_row = bounds(stack.size)
    ends = [*(np.flatnonzero(keyframe_after) + 1).tolist(), len(stack.kind)]  # where the book is taken down anyway
    for quarter, end in pairwise([0, *ends]):
        for begin, stop in windows(first_row[quarter : end + 1]):
            play.window(quarter + begin, quarter + stop)
    stack.tops = [np.concatenate([path[:, place] for path in play.tops]) for place in range(5)]
    events = [stack.event(at) for at in play.crossed]
    if play.crossed:
        _void(stack, play)
    stack.insert_keyframes(play.frames)
    return events


class _Play:
    """The book on its way through the events, a window of them at a time.

    Attributes:
        kept: Which events stay on the tape.
        tops: Pieces of the path of best prices: event, bid, ask, bid lots, ask lots.
        frames: Events behind which a keyframe is wanted, with the whole book there.
        crossed: Events that leave the book crossed.
    """

    def __init__(self, stack: Stack, keyframe_after: NDArray[np.uint8]) -> None:
        self.kept = np.ones(len(stack.kind), bool)
        self.tops: list[Ints] = [np.empty((0, 5), np.int64)]
        self.frames: list[Whole] = []
        self.crossed: list[int] = []
        self._stack, self._wanted = stack, keyframe_after
        self._book: Rows | None = None  # with which the next window begins, where it is valid
        self._void = False  # nothing but trades counts until the next snapshot
        self._top: list[int] = []

    def window(self, begin: int, stop: int) -> None:
        """Play the events ``begin:stop``."""
        rows, first_row = self._rows(begin, stop)
        at = begin
        while at < stop:
            at = self._skip(at, stop) if self._void else self._run(at, stop, rows, first_row[at - begin :])

    def _rows(self, begin: int, stop: int) -> tuple[Rows, Ints]:
        """Return the rows of the book and, behind them, those of the events ``begin:stop``, and where each begins."""
        stack = self._stack
        start, size = stack.start[begin:stop], stack.size[begin:stop]
        ahead = 0 if self._book is None else len(self._book[0])
        first_row = ahead + bounds(size)
        total = int(first_row[-1])
        rows = np.empty(total, np.int8), np.empty(total, np.int64), np.empty(total, np.int64)
        if self._book is not None:
            rows[0][:ahead], rows[1][:ahead], rows[2][:ahead] = self._book
        stack.source.place(start, size, (rows[0][ahead:], rows[1][ahead:], rows[2][ahead:]))
        return rows, first_row

    def _skip(self, at: int, stop: int) -> int:
        """Pass over events up to a snapshot; return where it is, or *stop*."""
        kind = self._stack.kind[at:stop]
        snapshots = np.flatnonzero(kind == SNAPSHOT)
        self._void = not len(snapshots)
        until = stop if self._void else at + int(snapshots[0])
        self.kept[at:until] = kind[: until - at] == TRADE
        return until

    def _run(self, at: int, stop: int, rows: Rows, first_row: Ints) -> int:
        """Play the events ``at:stop`` up to one that leaves the book crossed; return where to go on."""
        kind, wanted = self._stack.kind[at:stop], self._wanted[at:stop].copy()
        wanted[-1] = 1
        before = at
        if self._book is not None:  # it stands before the first of them like a snapshot
            before = at - 1
            kind, wanted, first_row = np.insert(kind, 0, SNAPSHOT), np.insert(wanted, 0, 0), np.insert(first_row, 0, 0)
        path, bad, books = replay_tops(kind, first_row, *rows, wanted)
        path[:, 0] += before
        self._note(path[path[:, 0] >= at])
        self._book = None
        for event, side, ticks, lots in books:
            self._keep(event + before, (side, ticks, lots), stop)
        if bad < 0:
            return stop
        self.crossed.append(bad + before)
        self._note(np.array([[bad + before, 0, 0, 0, 0]]))
        self._void = True
        return bad + before + 1

    def _keep(self, event: int, book: Rows, stop: int) -> None:
        if self._wanted[event]:
            self.frames.append((event, *book))
        if event == stop - 1:
            self._book = book

    def _note(self, path: Ints) -> None:
        """Append a piece to the path, without a first row that changes nothing (a gap behind a gap)."""
        if len(path) and path[0, 1:].tolist() == self._top:
            path = path[1:]
        if len(path):
            self.tops.append(path)
            self._top = path[-1, 1:].tolist()


def _void(stack: Stack, play: _Play) -> None:
    """Turn crossed events into gaps, and drop what is not kept; the frames get the new event numbers."""
    kept, crossed = play.kept, play.crossed
    with_rows = kept.copy()
    with_rows[crossed] = False
    stack.kind[crossed] = GAP
    stack.event_id[crossed] = stack.event_exch_us[crossed] = 0
    place = np.cumsum(kept) - 1
    stack.keep_events(kept, with_rows)
    play.frames = [(int(place[event]), side, ticks, lots) for event, side, ticks, lots in play.frames]
