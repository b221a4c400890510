"""From settled messages to the columns of a tape: events in order, and where the rows of each lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm.tape.mapped import give_back
from mm.tape.ordering import Keys
from mm.tape.places import Event
from mm.tape.row_source import Rows, RowSource
from mm.tape.settle import AS_BEFORE, Settled
from mm.tape.tables import Ints, Snapshot, Stream
from mm.tape.tape import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE

Whole = tuple[int, NDArray[np.int8], Ints, Ints]  # an event, and the rows of the whole book behind it

KEYFRAME_US = 15 * 60 * 1_000_000
_PER_EVENT = ("event_us", "event_exch_us", "recv_seq", "event_id", "kind", "start", "size")


@dataclass(slots=True)
class Stack:
    """The columns of a tape in the making; names as in `Tape`.

    Attributes:
        start, size: The rows of event e are ``start[e]`` and the ``size[e] - 1`` behind it, of *source*.
        source: The rows, not yet in order.
        tops: The columns that `tape.TOP_COLUMNS` names.
    """

    event_us: Ints
    event_exch_us: Ints
    recv_seq: Ints
    event_id: Ints
    kind: NDArray[np.uint8]
    start: Ints
    size: Ints
    source: RowSource
    tops: list[Ints]

    def event(self, at: int) -> Event:
        """Return what names event *at*."""
        return Event(int(self.kind[at]), int(self.recv_seq[at]), int(self.event_id[at]), int(self.event_us[at]))

    def keep_events(self, kept: NDArray[np.bool_], with_rows: NDArray[np.bool_]) -> None:
        """Drop the events that are not *kept*, and the rows of those that are not *with_rows*."""
        self.size = self.size * with_rows
        self.tops[0] = (np.cumsum(kept) - 1)[self.tops[0]]
        for name in _PER_EVENT:
            setattr(self, name, getattr(self, name)[kept])

    def clear(self) -> None:
        """Let go of all columns and rows."""
        for name in _PER_EVENT:
            setattr(self, name, getattr(self, name)[:0].copy())
        self.tops.clear()
        self.source = RowSource(self.source.steps)

    def insert_keyframes(self, frames: Sequence[Whole]) -> None:
        """Insert a KEYFRAME with its rows behind each event that *frames* names, in order."""
        if not frames:
            return
        at = np.array([book[0] for book in frames], np.int64)
        rows: list[Rows] = [(side, ticks, lots) for _, side, ticks, lots in frames]
        own: dict[str, Any] = {
            "event_id": 0,
            "kind": KEYFRAME,
            "start": [self.source.add((*book, *self.source.steps)) for book in rows],
            "size": [len(side) for side, *_ in rows],
        }
        self.tops[0] += np.searchsorted(at, self.tops[0])
        for name in _PER_EVENT:
            column = getattr(self, name)
            setattr(self, name, np.insert(column, at + 1, own.get(name, column[at])))


@dataclass(frozen=True, slots=True)
class Day:
    """All that was read of a day, in order.

    Attributes:
        keys: The order.
        book: Depth messages or, where *whole_books*, frames.
        trades: Trades, no id twice.
        trade_keys: Their keys.
        snapshots: Those that were loaded.
        settled: What becomes of each message.
        steps: Tick and lot in 1e-8 that divide every price and quantity.
    """

    keys: Keys
    book: Stream
    whole_books: bool
    trades: Stream
    trade_keys: Ints
    snapshots: Sequence[Snapshot]
    settled: Settled
    steps: tuple[int, int]


def stacked(day: Day) -> tuple[Stack, Ints]:
    """Return the day's columns without tops and keyframes, and which events got the instant of their predecessor.

    Rows and columns of book and trades are moved, one after another: both are empty afterwards.
    """
    applied = day.settled.applied_at()
    source, first_trade_row, snapshot_rows = _source(day)
    turns, turn_keys = _turns(day, snapshot_rows)
    order = np.argsort(np.concatenate((turn_keys, day.keys.book[applied], day.trade_keys)), kind="stable")
    trades = len(day.trades)
    for unused in ("run", "first_id", "repeats"):
        day.book.give(unused)
        day.trades.give(unused)

    def ordered(place: int, of_book: NDArray[Any], of_trades: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate((turns[:, place].astype(of_book.dtype), of_book, of_trades))[order]

    def column(name: str, place: int) -> Ints:
        give_back()  # the columns before it, which are too small for this one
        return ordered(place, day.book.give(name)[applied], day.trades.give(name))

    raw_us = column("recv_us", 1)
    event_us = np.maximum.accumulate(raw_us)
    raised = np.flatnonzero((raw_us < event_us) & (raw_us != AS_BEFORE))
    del raw_us
    codes = [(SNAPSHOT if day.whole_books else DEPTH, len(applied)), (TRADE, trades)]
    sizes = [(stream.end - stream.start) for stream in (day.book, day.trades)]
    stack = Stack(
        event_us=event_us,
        event_exch_us=column("exchange_us", 2),
        recv_seq=column("recv_seq", 3),
        event_id=column("last_id", 4),
        kind=ordered(0, *(np.full(count, code, np.uint8) for code, count in codes)),
        start=ordered(5, day.book.give("start")[applied], day.trades.give("start") + first_trade_row),
        size=ordered(6, sizes[0][applied], sizes[1]),
        source=source,
        tops=[],
    )
    day.book.give("end")
    day.trades.give("end")
    return stack, raised


def _source(day: Day) -> tuple[RowSource, int, list[int]]:
    """Return all rows, those of the book first, and the numbers of the first row of trades and of each snapshot."""
    source = RowSource(day.steps)
    firsts = []
    for stream in (day.book, day.trades):
        firsts.append(source.end)
        while stream.rows:
            source.add(stream.rows.pop(0))
    return source, firsts[1], [source.add(snapshot.rows) for snapshot in day.snapshots]


def _turns(day: Day, snapshot_rows: Sequence[int]) -> tuple[Ints, Ints]:
    """Return the events that are no message of their own place, and their keys.

    Columns: kind, instant, exchange's instant, number, id, first row and how many there are.
    """
    events, keys = [], []
    book = day.book
    for mark, waiting in day.settled.turns:
        keys += [mark.key] * (1 + len(waiting))
        if mark.kind != "snapshot":
            events.append((GAP, mark.recv_us, 0, mark.recv_seq, 0, 0, 0))
            continue
        snapshot, first = day.snapshots[mark.snapshot], snapshot_rows[mark.snapshot]
        rows = first, len(snapshot.rows[0])
        events.append((SNAPSHOT, mark.recv_us, 0, mark.recv_seq, snapshot.last_update_id, *rows))
        for at in waiting:
            rows = int(book.start[at]), int(book.end[at] - book.start[at])
            what = (book.exchange_us[at], book.recv_seq[at], book.last_id[at])
            events.append((DEPTH, mark.recv_us, *what, *rows))
    return np.array(events, np.int64).reshape(-1, 7), np.array(keys, np.int64)


def quarter_hours(stack: Stack) -> NDArray[np.uint8]:
    """Return a mark for each event that is the last before a full quarter of an hour."""
    last = np.zeros(len(stack.kind), np.uint8)
    last[np.flatnonzero(np.diff(stack.event_us // KEYFRAME_US) > 0)] = 1
    return last
