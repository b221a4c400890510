"""Converts synced events into the columns of a tape. All decisions about memory are made here.

A busy day has millions of rows. They stay in the blocks in which they were read, with two or three bytes for each eight
bytes of the tape's columns, until they are copied in order, one window at a time; a block is released after the last
window that needs it. Event columns are replaced one at a time, so that there are never two complete sets. If the day
will be kept, blocks and columns are stored in files (`mm.tape.spill`), and memory contains only one window of them.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mm.tape._parse import place_rows
from mm.tape._replay import TapeReplay
from mm.tape.columns import (
    ARRAYS,
    AS_BEFORE,
    DEPTH,
    EVENT_COLUMNS,
    GAP,
    KEYFRAME,
    KIND_NAMES,
    ROW_COLUMNS,
    SNAPSHOT,
    TOP_COLUMNS,
    TRADE,
    Column,
    EventName,
    Ints,
    Rows,
    bounds,
    fresh,
    in_pieces,
    release,
    trim_heap,
)
from mm.tape.spill import Spill

if TYPE_CHECKING:
    from mm.tape._parse import Block
    from mm.tape.sync import SyncedDay

KEYFRAME_US = 15 * 60 * 1_000_000
WINDOW_ROWS = 1 << 19
"""Number of rows that are ordered at a time: little memory, but many compared with the levels of a book."""
LARGE_ROWS = 1 << 18
"""A block with at least this many rows is released early."""
PER_EVENT = (*EVENT_COLUMNS, "kind", "start", "size")
_KIND_CODES = {name: code for code, name in KIND_NAMES.items()}

Frame = tuple[int, Rows]  # an event, and the rows of the complete book after it


class RowBlocks:
    """Rows as they were read, in blocks, numbered from 0 across all blocks.

    Args:
        steps: Tick and lot in 1e-8 that divide every price and quantity.

    Attributes:
        end: Number of rows.
    """

    def __init__(self, steps: tuple[int, int]) -> None:
        self.steps = steps
        self.end = 0
        self._blocks: list[Block | None] = []
        self._firsts: list[int] = []

    def add(self, block: "Block") -> int:
        """Append a block, and return the number of its first row."""
        first = self.end
        self._blocks.append(block)
        self._firsts.append(first)
        self.end += len(block[0])
        return first

    def copy(self, start: Ints, size: Ints, target: Rows) -> None:
        """Write runs of *size* rows from *start* on to *target*, in ticks and lots; no run is in two blocks."""
        where = bounds(size)[:-1]
        block_of = np.searchsorted(self._firsts, start, "right") - 1
        for number in np.flatnonzero(np.bincount(block_of[size > 0])).tolist():
            block = self._blocks[number]
            if block is None:
                raise ValueError(f"the rows of block {number} have been released")
            begin = start - self._firsts[number]
            place_rows(begin, begin + size, where, block, target, self.steps)
            for column in block[:3]:
                release(column)

    def consumed(self, start: Ints, size: Ints) -> Iterator[tuple[int, int]]:
        """Yield bounds of runs, one window at a time; release each large block after the last window that needs it."""
        first_row = bounds(size)
        last: dict[int, int] = {}
        for begin, stop in windows(first_row):
            used = np.searchsorted(self._firsts, start[begin:stop][size[begin:stop] > 0], "right") - 1
            last.update(dict.fromkeys(np.flatnonzero(np.bincount(used)).tolist(), begin))
        for begin, stop in windows(first_row):
            yield begin, stop
            done = [
                number
                for number, block in enumerate(self._blocks)
                if block is not None and len(block[0]) >= LARGE_ROWS and last.get(number, -1) <= begin
            ]
            for number in done:
                self._blocks[number] = None


@dataclass(slots=True)
class EventColumns:
    """Events in order, with unordered rows; names as in `Tape`.

    Attributes:
        start, size: The rows of event e are the ``size[e]`` rows from ``start[e]`` on in `RowBlocks`.
        spill: Storage of the columns, also for replaced ones.
    """

    event_us: Ints
    event_exch_us: Ints
    recv_seq: Ints
    event_id: Ints
    kind: NDArray[np.uint8]
    start: Ints
    size: Ints
    spill: Spill = field(default_factory=Spill)

    def __len__(self) -> int:
        return len(self.kind)

    def name(self, at: int) -> EventName:
        """Return the name of event *at*."""
        return EventName(int(self.kind[at]), int(self.recv_seq[at]), int(self.event_id[at]), int(self.event_us[at]))

    def change(self, how: Callable[[str, Column], Column]) -> None:
        """Replace each column by the result of *how* for its name and items."""
        for name in PER_EVENT:
            setattr(self, name, self.spill.kept(how(name, getattr(self, name))))

    def void(self, crossed: list[int], kept: NDArray[np.bool_]) -> list[EventName]:
        """Convert *crossed* events into gaps, drop those that are not *kept*, and return the names of the crossed."""
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
        """Release the memory of columns that are in files."""
        for name in PER_EVENT:
            release(getattr(self, name))


class TapeBuilder:
    """Replays the book of a day once, and then returns the arrays of its tape, once.

    Events that leave the book crossed or locked become GAPs, further events up to the next SNAPSHOT are left out
    (except trades), and KEYFRAMEs are inserted.

    Args:
        events: The events, which are modified.
        rows: Their rows.
        keyframe_after: 1 for each event to be followed by a KEYFRAME if there is a valid book.

    Attributes:
        events: The events of the tape.
        crossed: The events that left the book crossed.
    """

    def __init__(self, events: EventColumns, rows: RowBlocks, keyframe_after: NDArray[np.uint8]) -> None:
        self.events, self._rows = events, rows
        events.release()
        trim_heap()  # memory of the parsed files
        self.crossed, self._tops = self._play(keyframe_after)
        trim_heap()

    @property
    def span(self) -> tuple[int, int]:
        """Instants of the first and the last event, in µs; 0, 0 without events."""
        stamps = self.events.event_us
        return (int(stamps[0]), int(stamps[-1])) if len(stamps) else (0, 0)

    def contrary_trades(self) -> tuple[Ints, int]:
        """Return the trades at or beyond the opposite touch for their aggressor's side, and the number at either touch.

        The touch is that of the book before each trade; trades between the best prices show nothing about their side.
        """
        trades = np.flatnonzero(self.events.kind == TRADE)
        side, ticks, _ = rows = new_rows(len(trades))
        self._rows.copy(self.events.start[trades], self.events.size[trades], rows)
        top_event, bid, ask, *_ = self._tops
        trades_at = np.searchsorted(top_event, trades)
        bid, ask = (np.concatenate(([0], column))[trades_at] for column in (bid, ask))
        at_touch = (bid > 0) & (ask > 0) & ((ticks <= bid) | (ticks >= ask))
        return trades[at_touch & (side != np.where(ticks >= ask, 1, -1))], int(np.count_nonzero(at_touch))

    def lengths(self) -> dict[str, int]:
        """Return the number of items of each of `ARRAYS`."""
        events, rows, tops = len(self.events), int(self.events.size.sum()), len(self._tops[0])
        sizes = dict.fromkeys(ARRAYS, events) | dict.fromkeys(TOP_COLUMNS, tops) | dict.fromkeys(ROW_COLUMNS, rows)
        return sizes | {"first_row": events + 1}

    def arrays(self) -> dict[str, Column]:
        """Return all arrays, in memory; rows are released meanwhile, so this can be done once."""
        rows, first_row = new_rows(int(self.events.size.sum())), bounds(self.events.size)

        def place(begin: int, stop: int) -> None:
            at, end = int(first_row[begin]), int(first_row[stop])
            self._place(begin, stop, (rows[0][at:end], rows[1][at:end], rows[2][at:end]))

        with ThreadPoolExecutor(1) as executor:
            for begin, stop in self._rows.consumed(self.events.start, self.events.size):
                middle = int(np.searchsorted(first_row, (first_row[begin] + first_row[stop]) // 2))
                first_half = executor.submit(place, begin, middle)
                place(middle, stop)
                first_half.result()
        return self._columns(first_row) | dict(zip(ROW_COLUMNS, rows, strict=True))

    def pieces(self) -> Iterator[tuple[str, int, Column]]:
        """Yield all arrays in pieces, one window of rows at a time: (name, position, items).

        The builder is empty after the last piece.
        """
        for name, column in self._columns(bounds(self.events.size)).items():
            yield name, 0, column
            release(column)
        at = 0
        with closing(self._ordered(self._rows.consumed(self.events.start, self.events.size))) as ordered:
            for _, rows in ordered:
                columns: tuple[Column, ...] = rows
                yield from ((name, at, column) for name, column in zip(ROW_COLUMNS, columns, strict=True))
                at += len(rows[0])
        self._tops = []
        self._rows = RowBlocks(self._rows.steps)
        self.events.change(lambda _, column: column[:0].copy())
        trim_heap()

    def _columns(self, first_row: Ints) -> dict[str, Column]:
        """Return all arrays except those of rows."""
        events: dict[str, Column] = {name: getattr(self.events, name) for name in (*EVENT_COLUMNS, "kind")}
        return events | {"first_row": first_row} | dict(zip(TOP_COLUMNS, self._tops, strict=True))

    def _ordered(self, spans: Iterator[tuple[int, int]]) -> Generator[tuple[slice, Rows], None, None]:
        """Yield spans of events with ordered rows, which another thread places; they are valid until the next one."""
        rooms = [new_rows(0), new_rows(0)]  # used alternately: new memory for each span would cost as much as its rows

        def placed(span: tuple[int, int]) -> tuple[slice, Rows]:
            part = slice(*span)
            size = int(self.events.size[part].sum())
            rooms.reverse()
            if len(rooms[0][0]) < size:
                rooms[0] = new_rows(max(size, WINDOW_ROWS))
            rows = rooms[0][0][:size], rooms[0][1][:size], rooms[0][2][:size]
            self._place(*span, rows)
            return part, rows

        with ThreadPoolExecutor(1) as executor:
            ready = None
            while True:
                span = next(spans, None)  # this may release the rows before it: all of them have been placed
                pending = executor.submit(placed, span) if span else None
                if ready:
                    yield ready
                if pending is None:
                    return
                ready = pending.result()

    def _place(self, begin: int, stop: int, target: Rows) -> None:
        """Write the rows of the events ``begin:stop`` to *target*, in order."""
        start, size = self.events.start[begin:stop], self.events.size[begin:stop]
        self._rows.copy(start, size, target)
        release(start)
        release(size)

    def _play(self, keyframe_after: NDArray[np.uint8]) -> tuple[list[EventName], list[Ints]]:
        """Replay the book; return the events that left it crossed, and the columns of best prices."""
        events, replay = self.events, TapeReplay()
        kept, path = np.ones(len(events), np.uint8), [np.empty((0, 5), np.int64)]
        with closing(self._ordered(windows(bounds(events.size)))) as ordered:
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
        return crossed, tops

    def _insert_keyframes(self, frames: Sequence[Frame]) -> None:
        """Insert a KEYFRAME with its rows after each event of *frames*, in order."""
        at = np.array([event for event, _ in frames], np.int64)
        own: dict[str, Any] = {
            "event_id": 0,
            "kind": KEYFRAME,
            "start": [self._rows.add((*rows, *self._rows.steps)) for _, rows in frames],
            "size": [len(rows[0]) for _, rows in frames],
        }
        self.events.change(lambda name, column: np.insert(column, at + 1, own.get(name, column[at])))


def merged(day: "SyncedDay", spill: Spill) -> tuple[EventColumns, RowBlocks, Ints]:
    """Return the ordered events of a synced day, their rows, and the positions of the events with a raised instant.

    The columns and rows of book and trades are moved, one after another, to *spill*: both streams are empty afterwards.
    """
    book, trades, applied = day.book, day.trades, day.events.applied
    rows = RowBlocks((day.steps.tick_e8 or 1, day.steps.lot_e8 or 1))
    firsts = [rows.end]
    for stream in (book, trades):
        while stream.rows:
            rows.add(stream.rows.pop(0))
        firsts.append(rows.end)
    changes, change_keys = _changes(day, [rows.add(snapshot.rows) for snapshot in day.snapshots])
    codes = [(SNAPSHOT if day.whole_books else DEPTH, int(np.count_nonzero(applied))), (TRADE, len(trades))]
    order = np.argsort(np.concatenate((change_keys, book.give("key")[applied], trades.give("key"))), kind="stable")
    for unused in ("run", "first_id", "repeats"):
        book.give(unused)
        trades.give(unused)

    unordered = np.empty(len(order), np.int64)  # reused for each column: new memory for each costs as much

    def ordered(place: int, of_book: Column, of_trades: Column) -> Column:
        trim_heap()  # memory of previous columns, too small for this one
        joined = unordered.view(of_book.dtype)[: len(order)]
        return spill.kept(
            np.concatenate((changes[:, place].astype(of_book.dtype), of_book, of_trades), out=joined)[order]
        )

    def column(name: str, place: int) -> Ints:
        return ordered(place, book.give(name)[applied], trades.give(name))

    event_us, raised = _rising(column("recv_us", 1), spill)
    sizes = [stream.give("end") - stream.start for stream in (book, trades)]
    events = EventColumns(
        event_us=event_us,
        event_exch_us=column("exchange_us", 2),
        recv_seq=column("recv_seq", 3),
        event_id=column("last_id", 4),
        kind=ordered(0, *(np.full(count, code, np.uint8) for code, count in codes)),
        start=ordered(5, book.give("start")[applied], trades.give("start") + firsts[1]),
        size=ordered(6, sizes[0][applied], sizes[1]),
        spill=spill,
    )
    return events, rows, raised


def _rising(raw_us: Ints, spill: Spill) -> tuple[Ints, Ints]:
    """Return instants that never fall, and the positions of those that were raised."""
    raised, latest_us = [np.empty(0, np.int64)], AS_BEFORE
    with closing(spill.growing(np.int64, len(raw_us))) as event_us:
        for begin, stamps in in_pieces(raw_us):
            rising = np.maximum(np.maximum.accumulate(stamps), latest_us)
            raised.append(np.flatnonzero((stamps < rising) & (stamps != AS_BEFORE)) + begin)
            event_us.add(rising)
            latest_us = int(rising[-1])
        return event_us.whole(), np.concatenate(raised)


def _changes(day: "SyncedDay", snapshot_rows: Sequence[int]) -> tuple[Ints, Ints]:
    """Return the events of epoch changes, and their keys.

    Columns: kind, instant, exchange's instant, number, id, first row and number of rows. Messages that were
    buffered for a snapshot come after it, at its instant.
    """
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
            rows = int(book.start[at]), int(book.end[at] - book.start[at])
            what = (book.exchange_us[at], book.recv_seq[at], book.last_id[at])
            events.append((DEPTH, change.recv_us, *what, *rows))
    return np.array(events, np.int64).reshape(-1, 7), np.array(keys, np.int64)


def built_from_events(events: Sequence[tuple[Any, ...]]) -> TapeBuilder:
    """Return a builder for events in the forms of `Tape.of`; raises ValueError as it does."""
    played = [event for event in events if event[1] != "keyframe"]
    frames = [place for place, event in enumerate(events) if event[1] == "keyframe"]
    after = np.zeros(len(played), np.uint8)
    after[[place - 1 - nth for nth, place in enumerate(frames)]] = 1
    rows = [_rows_of(event) for event in played]
    flat = np.array([row for group in rows for row in group], np.int64).reshape(-1, 3)
    sizes = np.array([len(group) for group in rows], np.int64)
    blocks = RowBlocks((1, 1))
    blocks.add((flat[:, 0].astype(np.int8), flat[:, 1].copy(), flat[:, 2].copy(), 1, 1))
    columns = EventColumns(
        event_us=np.array([event[0] for event in played], np.int64),
        event_exch_us=np.array([event[5] if len(event) > 5 else event[0] for event in played], np.int64),
        recv_seq=np.arange(1, len(played) + 1),
        event_id=np.array([0 if event[1] == "gap" else place for place, event in enumerate(played, 1)], np.int64),
        kind=np.array([_KIND_CODES[event[1]] for event in played], np.uint8),
        start=np.cumsum(sizes) - sizes,
        size=sizes,
    )
    builder = TapeBuilder(columns, blocks, after)
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
    """Return a flag per event: 1 for the last one before a full quarter of an hour (UTC)."""
    last = np.zeros(len(event_us), np.uint8)
    for begin, stamps in in_pieces(event_us, 1):
        last[begin : begin + len(stamps) - 1] = np.diff(stamps // KEYFRAME_US) > 0
    return last


def windows(first_row: Ints) -> Iterator[tuple[int, int]]:
    """Yield the bounds of successive groups of events with at most `WINDOW_ROWS` rows, but at least one event."""
    begin, events = 0, len(first_row) - 1
    while begin < events:
        stop = int(np.searchsorted(first_row, first_row[begin] + WINDOW_ROWS, "right")) - 1
        yield begin, (stop := max(stop, begin + 1))
        begin = stop


def new_rows(count: int) -> Rows:
    """Return uninitialised arrays for *count* rows."""
    return fresh(count, np.int8), fresh(count, np.int64), fresh(count, np.int64)
