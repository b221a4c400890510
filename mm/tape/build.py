"""Converts synced events into the columns of a tape.

If the day will be kept, they and all columns are in files (`mm.tape.columns.growing`), and memory holds one window.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mm.tape._book import TapeReplay
from mm.tape.columns import (
    AS_BEFORE,
    DEPTH,
    DTYPES,
    EVENT_COLUMNS,
    GAP,
    KEYFRAME,
    KIND_NAMES,
    MARK_COLUMNS,
    ROW_COLUMNS,
    SNAPSHOT,
    TOP_COLUMNS,
    TRADE,
    Column,
    EventName,
    Ints,
    Rows,
    ahead,
    bounds,
    growing,
    in_pieces,
    none,
    release,
    stored,
    trim_heap,
    windows,
)

if TYPE_CHECKING:
    from mm.tape.sync import SyncedDay

KEYFRAME_US = 15 * 60 * 1_000_000
PER_EVENT = (*EVENT_COLUMNS, "kind", "start", "size")
_KIND_CODES = {name: code for code, name in KIND_NAMES.items()}

Frame = tuple[int, Rows]  # an event, and the rows of the complete book after it


class RecordedRows:
    """Rows as they were read, in parts, numbered from 0 across all parts.

    Args:
        steps: Tick and lot in 1e-8 that divide every price and quantity.
    """

    def __init__(self, steps: tuple[int, int]) -> None:
        self.end = 0
        self._steps = (1, *steps)
        self._parts: list[Rows] = []
        self._firsts: list[int] = []

    def add(self, part: Rows) -> int:
        first = self.end
        self._parts.append(part)
        self._firsts.append(first)
        self.end += len(part[0])
        return first

    def add_book(self, book: Rows) -> int:
        side, ticks, lots = book
        return self.add((side, ticks * self._steps[1], lots * self._steps[2]))

    def ordered(self, start: Ints, size: Ints) -> Rows:
        """Runs of *size* rows from *start*, one after the other, in ticks and lots; each run is in one part."""
        count = int(size.sum())
        ordered: tuple[Column, ...] = np.empty(count, np.int8), np.empty(count, np.int64), np.empty(count, np.int64)
        part_of = np.where(size > 0, np.searchsorted(self._firsts, start, "right"), 0)
        for number in np.flatnonzero(np.bincount(part_of, minlength=1)[1:]).tolist():
            runs = part_of == number + 1
            begins, sizes = start[runs] - self._firsts[number], size[runs]
            at: slice | Ints = slice(int(begins[0]), int(begins[-1] + sizes[-1]))
            if (begins[1:] != begins[:-1] + sizes[:-1]).any():
                at = np.arange(sizes.sum()) + np.repeat(begins - bounds(sizes)[:-1], sizes)
            to = np.repeat(runs, size)
            part: tuple[Column, ...] = self._parts[number]
            for target, column, step in zip(ordered, part, self._steps, strict=True):
                target[to] = column[at] if step == 1 else column[at] // step
                release(column)
        return ordered[0], ordered[1], ordered[2]


@dataclass(slots=True)
class EventColumns:
    """Events in order, with unordered rows; names as in `Tape`.

    Attributes:
        start, size: The rows of event e are the ``size[e]`` rows from ``start[e]`` on in `RecordedRows`.
    """

    event_us: Ints
    event_exch_us: Ints
    recv_seq: Ints
    event_id: Ints
    kind: NDArray[np.uint8]
    start: Ints
    size: Ints
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.kind)

    def name(self, at: int) -> EventName:
        return EventName(int(self.kind[at]), int(self.recv_seq[at]), int(self.event_id[at]), int(self.event_us[at]))

    def change(self, how: Callable[[str, Column], Column]) -> None:
        for name in PER_EVENT:
            setattr(self, name, stored(how(name, getattr(self, name)), self.folder))

    def void(self, crossed: list[int], kept: NDArray[np.bool_]) -> list[EventName]:
        names = [self.name(at) for at in crossed]
        own = {"kind": GAP, "event_id": 0, "event_exch_us": 0, "size": 0}

        def voided(name: str, column: Column) -> Column:
            if name in own:
                column = column.copy()
                column[crossed] = own[name]
            return column[kept]

        self.change(voided)
        return names

    def release(self) -> None:
        for name in PER_EVENT:
            release(getattr(self, name))


class TapeBuilder:
    """Replays the book of a day once, and then returns the arrays of its tape, once.

    Events that leave the book crossed or locked become GAPs, events up to the next SNAPSHOT are left out (except
    trades), and KEYFRAMEs are inserted.
    """

    def __init__(self, events: EventColumns, rows: RecordedRows, keyframe_after: NDArray[np.uint8]) -> None:
        self.events, self._rows = events, rows
        self.marks = (none(), none(), none())
        events.release()
        trim_heap()  # memory of the parsed files
        self.crossed, self._tops = self._play(keyframe_after)
        events.release()

    @property
    def span(self) -> tuple[int, int]:
        stamps = self.events.event_us
        return (int(stamps[0]), int(stamps[-1])) if len(stamps) else (0, 0)

    def doubtful_trades(self, least: int, share: float, times: int) -> tuple[Ints, Ints]:
        """Trades whose aggressor contradicts the book before them, where they are too many; and trades far off.

        Too many: in the whole day or a quarter of an hour, more than *share* of at least *least* trades at or beyond
        the touch; trades between the best prices say nothing about their side. Far off: above *times* the day's highest
        best ask, or below its lowest best bid divided by *times*.
        """
        trades: Ints = np.flatnonzero(self.events.kind == TRADE)
        side, ticks, _ = self._rows.ordered(self.events.start[trades], self.events.size[trades])
        top_event, bids, asks, *_ = self._tops
        lowest = bids.min(initial=np.iinfo(np.int64).max, where=bids > 0)
        far = trades[(ticks < lowest // times) | (ticks > asks.max(initial=0) * times)] if asks.any() else trades[:0]
        trades_at = np.searchsorted(top_event, trades)
        bid, ask = (np.concatenate(([0], column))[trades_at] for column in (bids, asks))
        at_touch = (bid > 0) & (ask > 0) & ((ticks <= bid) | (ticks >= ask))
        contrary = side[at_touch] != np.where(ticks[at_touch] >= ask[at_touch], 1, -1)
        trades = trades[at_touch]
        if len(trades) >= least and np.count_nonzero(contrary) > share * len(trades):
            return trades[contrary], far
        _, quarter = np.unique(self.events.event_us[trades] // KEYFRAME_US, return_inverse=True)
        total, against = np.bincount(quarter), np.bincount(quarter, contrary)
        return trades[contrary & ((total >= least) & (against > share * total))[quarter]], far

    def first_book_lots(self) -> tuple[int, int]:
        first = np.flatnonzero(self.events.kind == SNAPSHOT)[:1]
        _, _, lots = self._rows.ordered(self.events.start[first], self.events.size[first])
        return (int(np.gcd.reduce(lots)), len(lots)) if len(lots) else (0, 0)

    def arrays(self) -> dict[str, Column]:
        folder = self.events.folder
        with growing({name: DTYPES[name] for name in ROW_COLUMNS}, folder) as columns:
            with closing(ahead(self._ordered())) as ordered:
                for _, rows in ordered:
                    columns.add(*rows)
            rows_of_all = columns.whole()
        return {
            **{name: getattr(self.events, name) for name in (*EVENT_COLUMNS, "kind")},
            "first_row": stored(bounds(self.events.size), folder),
            **rows_of_all,
            **dict(zip(TOP_COLUMNS, self._tops, strict=True)),
            **dict(zip(MARK_COLUMNS, self.marks, strict=True)),
        }

    def _ordered(self) -> Generator[tuple[slice, Rows], None, None]:
        for begin, stop in windows(bounds(self.events.size)):
            start, size = self.events.start[begin:stop], self.events.size[begin:stop]
            yield slice(begin, stop), self._rows.ordered(start, size)
            release(start)
            release(size)

    def _play(self, keyframe_after: NDArray[np.uint8]) -> tuple[list[EventName], list[Ints]]:
        events, replay = self.events, TapeReplay()
        kept, path = np.ones(len(events), np.uint8), [np.empty((0, 5), np.int64)]
        with closing(ahead(self._ordered())) as ordered:
            for part, rows in ordered:
                first_row = bounds(events.size[part])
                path.append(replay.play(events.kind[part], first_row, rows, keyframe_after[part], kept[part]))
        tops = [np.concatenate([piece[:, place] for piece in path]) for place in range(5)]
        crossed, frames = list[EventName](), replay.frames
        if replay.crossed:
            stays = kept.astype(bool)
            place = np.cumsum(stays) - 1  # the new number of each kept event
            tops[0] = place[tops[0]]
            frames = [(int(place[event]), rows) for event, rows in frames]
            crossed = events.void(replay.crossed, stays)
        if frames:
            tops[0] += np.searchsorted([event for event, _ in frames], tops[0])
            self._insert_keyframes(frames)
        return crossed, [stored(column, events.folder) for column in tops]

    def _insert_keyframes(self, frames: Sequence[Frame]) -> None:
        at = np.array([event for event, _ in frames], np.int64)
        own: dict[str, Any] = {
            "event_id": 0,
            "kind": KEYFRAME,
            "start": [self._rows.add_book(rows) for _, rows in frames],
            "size": [len(rows[0]) for _, rows in frames],
        }
        self.events.change(lambda name, column: np.insert(column, at + 1, own.get(name, column[at])))


def merged(day: "SyncedDay", folder: Path | None) -> tuple[EventColumns, RecordedRows, Ints, Ints]:
    """Ordered events, rows, positions of events with a raised instant, and keys; columns are stored in *folder*."""
    book, trades, applied = day.book, day.trades, day.events.applied
    rows = RecordedRows((day.steps.tick_e8 or 1, day.steps.lot_e8 or 1))
    rows.add(book.rows)
    first_trade = rows.add(trades.rows)
    changes, change_keys = _changes(day, [rows.add(snapshot.rows) for snapshot in day.snapshots])
    keys = np.concatenate((change_keys, book.key[applied], trades.key))
    order = np.argsort(keys, kind="stable")

    def ordered(place: int, of_book: Column, of_trades: Column) -> Column:
        joined = np.concatenate((changes[:, place].astype(of_book.dtype), of_book[applied], of_trades))
        release(of_book)
        release(of_trades)
        return stored(joined[order], folder)

    kinds = (SNAPSHOT if day.whole_books else DEPTH, TRADE)
    recv_us = ordered(1, book.recv_us, trades.recv_us)
    event_us = np.maximum.accumulate(recv_us)
    raised = np.flatnonzero((recv_us < event_us) & (recv_us != AS_BEFORE))
    events = EventColumns(
        event_us=stored(event_us, folder),
        event_exch_us=ordered(2, book.exchange_us, trades.exchange_us),
        recv_seq=ordered(3, book.recv_seq, trades.recv_seq),
        event_id=ordered(4, book.last_id, trades.last_id),
        kind=ordered(
            0, *(np.full(len(stream), kind, np.uint8) for stream, kind in zip((book, trades), kinds, strict=True))
        ),
        start=ordered(5, book.start, trades.start + first_trade),
        size=ordered(6, book.size, trades.size),
        folder=folder,
    )
    return events, rows, raised, keys[order]


def _changes(day: "SyncedDay", snapshot_rows: Sequence[int]) -> tuple[Ints, Ints]:
    events, keys = [], []
    book = day.book
    for change, buffered in day.events.changes:
        keys += [change.key] * (1 + len(buffered))
        if change.kind != "snapshot":
            events.append((GAP, change.recv_us, 0, change.recv_seq, 0, 0, 0))
            continue
        snapshot, first = day.snapshots[change.snapshot], snapshot_rows[change.snapshot]
        rows = first, len(snapshot.rows[0])
        events.append((SNAPSHOT, change.recv_us, 0, change.recv_seq, snapshot.last_update_id, *rows))
        for at in buffered:
            rows = int(book.start[at]), int(book.size[at])
            what = (book.exchange_us[at], book.recv_seq[at], book.last_id[at])
            events.append((DEPTH, change.recv_us, *what, *rows))
    return np.array(events, np.int64).reshape(-1, 7), np.array(keys, np.int64)


def built_from_events(events: Sequence[tuple[Any, ...]]) -> TapeBuilder:
    played = [event for event in events if event[1] != "keyframe"]
    frames = [place for place, event in enumerate(events) if event[1] == "keyframe"]
    after = np.zeros(len(played), np.uint8)
    after[[place - 1 - nth for nth, place in enumerate(frames)]] = 1
    rows = [_rows_of(event) for event in played]
    flat = np.array([row for group in rows for row in group], np.int64).reshape(-1, 3)
    sizes = np.array([len(group) for group in rows], np.int64)
    recorded = RecordedRows((1, 1))
    recorded.add((flat[:, 0].astype(np.int8), flat[:, 1].copy(), flat[:, 2].copy()))
    columns = EventColumns(
        event_us=np.array([event[0] for event in played], np.int64),
        event_exch_us=np.array([event[5] if len(event) > 5 else event[0] for event in played], np.int64),
        recv_seq=np.arange(1, len(played) + 1),
        event_id=np.array([0 if event[1] == "gap" else place for place, event in enumerate(played, 1)], np.int64),
        kind=np.array([_KIND_CODES[event[1]] for event in played], np.uint8),
        start=np.cumsum(sizes) - sizes,
        size=sizes,
    )
    builder = TapeBuilder(columns, recorded, after)
    if builder.crossed:
        place = builder.crossed[0].recv_seq - 1
        raise ValueError(f"event {place} leaves the book crossed or locked: {played[place]}")
    return builder


def _rows_of(event: tuple[Any, ...]) -> list[tuple[int, int, int]]:
    match event:
        case (_, "snapshot" | "depth", bids, asks):
            return [(side, *level) for side, levels in ((1, bids), (-1, asks)) for level in levels]
        case (_, "trade", side, ticks, lots, *_):
            return [(side, ticks, lots)]
        case (_, "gap"):
            return []
    raise ValueError(f"{event!r} is not an event; write (us, kind, …) as `Tape.of` shows")


def quarter_hours(event_us: Ints) -> NDArray[np.uint8]:
    last = np.zeros(len(event_us), np.uint8)
    for begin, stamps in in_pieces(event_us, 1):
        last[begin : begin + len(stamps) - 1] = np.diff(stamps // KEYFRAME_US) > 0
    return last
