"""From settled messages to the columns of a tape: events in order, rows beside them, best prices, keyframes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm.backtest._book import replay_tops
from mm.backtest._lines import place_rows
from mm.backtest.day_tables import Ints, Rows, Snapshot, Stream
from mm.backtest.ordering import Keys
from mm.backtest.places import Event
from mm.backtest.settle import AS_BEFORE, Settled
from mm.backtest.tape import DEPTH, EVENT_COLUMNS, GAP, KEYFRAME, SNAPSHOT, TOP_COLUMNS, TRADE, Tape, TapeMeta
from mm.instrument import Instrument

Whole = tuple[int, NDArray[np.int8], Ints, Ints]  # an event, and the rows of the whole book behind it

KEYFRAME_US = 15 * 60 * 1_000_000
_SPARE_ROWS = 1 << 14  # for each keyframe; untouched, they cost no memory

_NO_ROWS, _BOOK, _TRADES, _SNAPSHOTS = range(4)  # where an event's rows come from


@dataclass(slots=True)
class Stack:
    """The columns of a tape in the making; names as in `Tape`.

    *rows* are side, ticks and lots, with rows to spare behind the last that *first_row* speaks of.
    """

    event_us: Ints
    event_exch_us: Ints
    recv_seq: Ints
    event_id: Ints
    kind: NDArray[np.uint8]
    first_row: Ints
    rows: list[NDArray[Any]]
    tops: Ints

    def event(self, at: int) -> Event:
        """Return what names event *at*."""
        return Event(int(self.kind[at]), int(self.recv_seq[at]), int(self.event_id[at]), int(self.event_us[at]))

    def used_rows(self) -> list[NDArray[Any]]:
        """Return side, ticks and lots without the spare rows."""
        return [column[: self.first_row[-1]] for column in self.rows]

    def keep_events(self, kept: NDArray[np.bool_], with_rows: NDArray[np.bool_]) -> None:
        """Drop the events that are not *kept*, and the rows of those that are not *with_rows*."""
        sizes = np.diff(self.first_row)
        rows = np.repeat(with_rows, sizes)
        self.rows = [column[rows] for column in self.used_rows()]
        self.first_row = _bounds((sizes * with_rows)[kept])
        self.tops[:, 0] = (np.cumsum(kept) - 1)[self.tops[:, 0]]
        for name in ("event_us", "event_exch_us", "recv_seq", "event_id", "kind"):
            setattr(self, name, getattr(self, name)[kept])

    def insert_keyframes(self, frames: Sequence[Whole]) -> None:
        """Insert a KEYFRAME with its rows behind each event that *frames* names, in order."""
        if not frames:
            return
        at = np.array([book[0] for book in frames], np.int64)
        cuts = self.first_row[at + 1].tolist()
        sizes = np.insert(np.diff(self.first_row), at + 1, [len(book[1]) for book in frames])
        end = int(self.first_row[-1])
        for i in range(3):
            self.rows[i] = _inserted(self.rows[i], end, cuts, [book[i + 1] for book in frames])
        self.first_row = _bounds(sizes)
        self.tops[:, 0] += np.searchsorted(at, self.tops[:, 0])
        for name in ("event_us", "event_exch_us", "recv_seq"):
            column = getattr(self, name)
            setattr(self, name, np.insert(column, at + 1, column[at]))
        self.event_id = np.insert(self.event_id, at + 1, 0)
        self.kind = np.insert(self.kind, at + 1, KEYFRAME)

    def tape(self, instrument: Instrument, day: str, *, step_lots: int = 1, meta: TapeMeta | None = None) -> Tape:
        """Return the finished tape, which speaks from its first event to its last."""
        named = dict(zip(TOP_COLUMNS, self.tops.T, strict=True))
        side, ticks, lots = self.used_rows()
        return Tape(
            symbol=instrument.symbol,
            days=(day,),
            instrument=instrument,
            step_lots=step_lots,
            **{name: getattr(self, name) for name in (*EVENT_COLUMNS, "kind", "first_row")},
            row_side=side,
            row_ticks=ticks,
            row_lots=lots,
            **named,
            start_us=int(self.event_us[0]) if len(self.event_us) else 0,
            end_us=int(self.event_us[-1]) if len(self.event_us) else 0,
            meta=meta or TapeMeta(),
        )


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

    The rows of book and trades are moved, block by block: the lists in *day* are empty afterwards.
    """
    applied = day.settled.applied_at()
    turns, turn_keys = _turns(day)
    order = np.argsort(np.concatenate((turn_keys, day.keys.book[applied], day.trade_keys)), kind="stable")

    def column(name: str, place: int) -> Ints:
        return np.concatenate((turns[:, place], getattr(day.book, name)[applied], getattr(day.trades, name)))[order]

    def codes(place: int, of_book: int, of_trade: int) -> NDArray[np.uint8]:
        own = np.repeat(np.array([of_book, of_trade], np.uint8), [len(applied), len(day.trades)])
        return np.concatenate((turns[:, place].astype(np.uint8), own))[order]

    raw_us = column("recv_us", 2)
    event_us = np.maximum.accumulate(raw_us)
    raised = np.flatnonzero((raw_us < event_us) & (raw_us != AS_BEFORE))
    start, end = column("start", 6), column("end", 7)
    first_row = _bounds(end - start)
    spare = min(len(_quarter_ends(event_us)) * _SPARE_ROWS, int(first_row[-1]))
    stack = Stack(
        event_us=event_us,
        event_exch_us=column("exchange_us", 3),
        recv_seq=column("recv_seq", 4),
        event_id=column("last_id", 5),
        kind=codes(0, SNAPSHOT if day.whole_books else DEPTH, TRADE),
        first_row=first_row,
        rows=list(_placed(day, codes(1, _BOOK, _TRADES), (start, end, first_row), spare)),
        tops=np.empty((0, 5), np.int64),
    )
    return stack, raised


def _turns(day: Day) -> tuple[Ints, Ints]:
    """Return the events that are no message of their own place, and their keys.

    Columns: kind, origin of the rows, instant, exchange's instant, number, id, start and end of the rows.
    """
    events, keys = [], []
    ends = np.cumsum([len(snapshot.rows[0]) for snapshot in day.snapshots]).tolist()
    book = day.book
    for mark, waiting in day.settled.turns:
        keys += [mark.key] * (1 + len(waiting))
        if mark.kind != "snapshot":
            events.append((GAP, _NO_ROWS, mark.recv_us, 0, mark.recv_seq, 0, 0, 0))
            continue
        snapshot, end = day.snapshots[mark.snapshot], ends[mark.snapshot]
        bounds = (end - len(snapshot.rows[0]), end)
        events.append((SNAPSHOT, _SNAPSHOTS, mark.recv_us, 0, mark.recv_seq, snapshot.last_update_id, *bounds))
        for at in waiting:
            what = (book.exchange_us[at], book.recv_seq[at], book.last_id[at], book.start[at], book.end[at])
            events.append((DEPTH, _BOOK, mark.recv_us, *what))
    return np.array(events, np.int64).reshape(-1, 8), np.array(keys, np.int64)


def _placed(day: Day, origin: NDArray[np.uint8], bounds: tuple[Ints, Ints, Ints], spare: int) -> Rows:
    """Return all rows in the order of their events, in ticks and lots, and behind them *spare* that are not set.

    Args:
        day: Whose rows are moved.
        origin: Where the rows of each event come from.
        bounds: Where they start and end there, and where they belong.
    """
    total = int(bounds[2][-1]) + spare
    rows = np.empty(total, np.int8), np.empty(total, np.int64), np.empty(total, np.int64)
    sources = {
        _BOOK: day.book.rows,
        _TRADES: day.trades.rows,
        _SNAPSHOTS: [snapshot.rows for snapshot in day.snapshots],
    }
    for place, blocks in sources.items():
        at = np.flatnonzero(origin == place)
        start, end, where = bounds[0][at], bounds[1][at], bounds[2][at]
        first = 0
        while blocks:
            block = blocks.pop(0)
            last = first + len(block[0])
            here = (start >= first) & (start < last)
            place_rows(start[here] - first, end[here] - first, where[here], block, rows, day.steps)
            first = last
    return rows


def quarter_hours(stack: Stack) -> NDArray[np.uint8]:
    """Return a mark for each event that is the last before a full quarter of an hour."""
    last = np.zeros(len(stack.kind), np.uint8)
    last[_quarter_ends(stack.event_us)] = 1
    return last


def _quarter_ends(event_us: Ints) -> NDArray[np.intp]:
    return np.flatnonzero(np.diff(event_us // KEYFRAME_US) > 0)


def settle_tops(stack: Stack, keyframe_after: NDArray[np.uint8]) -> list[Event]:
    """Play the book once: fill in the tops, and turn into a GAP whatever leaves the book crossed or locked.

    Args:
        stack: The columns, changed in place.
        keyframe_after: 1 for each event behind which a KEYFRAME is wanted, where there is a valid book.

    Returns:
        The events that left the book crossed.
    """
    kept = np.ones(len(stack.kind), bool)
    tops, frames, crossed = [], [], []
    begin = 0
    while begin < len(stack.kind):
        side, ticks, lots = stack.used_rows()
        path, bad, books = replay_tops(
            stack.kind[begin:], stack.first_row[begin:], side, ticks, lots, keyframe_after[begin:]
        )
        path[:, 0] += begin
        tops.append(path)
        frames += [(book[0] + begin, book[1], book[2], book[3]) for book in books]
        if bad < 0:
            break
        bad += begin
        crossed.append(bad)
        tops.append(np.array([[bad, 0, 0, 0, 0]]))
        snapshots = np.flatnonzero(stack.kind[bad + 1 :] == SNAPSHOT)
        begin = bad + 1 + int(snapshots[0]) if len(snapshots) else len(stack.kind)
        kept[bad + 1 : begin] = stack.kind[bad + 1 : begin] == TRADE
    stack.tops = tops[0] if len(tops) == 1 else _changes(np.concatenate([stack.tops, *tops]))
    events = [stack.event(at) for at in crossed]
    if crossed:
        frames = _void(stack, crossed, kept, frames)
    stack.insert_keyframes(frames)
    return events


def _void(stack: Stack, crossed: list[int], kept: NDArray[np.bool_], frames: list[Whole]) -> list[Whole]:
    """Turn *crossed* events into gaps, drop what is not *kept*, and return *frames* with the new event numbers."""
    with_rows = kept.copy()
    with_rows[crossed] = False
    stack.kind[crossed] = GAP
    stack.event_id[crossed] = stack.event_exch_us[crossed] = 0
    place = np.cumsum(kept) - 1
    stack.keep_events(kept, with_rows)
    return [(int(place[event]), side, ticks, lots) for event, side, ticks, lots in frames]


def _changes(tops: Ints) -> Ints:
    """Return *tops* without the rows that repeat the one before (a gap behind a gap)."""
    new = np.ones(len(tops), bool)
    new[1:] = (tops[1:, 1:] != tops[:-1, 1:]).any(axis=1)
    return tops[new]


def _bounds(sizes: Ints) -> Ints:
    """Return where each run begins, and where the last one ends."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)))


def _inserted(column: NDArray[Any], end: int, cuts: Sequence[int], pieces: Sequence[Any]) -> NDArray[Any]:
    """Return *column*, of which the first *end* rows count, with each of *pieces* inserted at its cut.

    Where it has rows to spare it grows in place, for the rows are most of the memory.
    """
    shift = sum(map(len, pieces))
    if end + shift > len(column):
        column = np.concatenate((column[:end], np.empty(shift, column.dtype)))
    for cut, piece in zip(reversed(cuts), reversed(pieces), strict=True):
        column[cut + shift : end + shift] = column[cut:end]
        shift -= len(piece)
        column[cut + shift : cut + shift + len(piece)] = piece
        end = cut
    return column
