"""Orders the messages of a day, and selects those that form a valid book."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mm.dayfolder.ledger import Event, ids_begin_anew
from mm.markets.sequence import CONTIGUOUS, SequenceRule, SyncEngine, Verdict
from mm.tape.columns import AS_BEFORE, Ints
from mm.tape.files import DiffStream, FileRead, FileSteps, Place, Snapshot
from mm.tape.recorded import DayFindings, EventSources, RecordedDay

PER_RUN = 1 << 52
"""Larger than any recv_seq and any instant in µs of this century."""
_END = 1 << 62  # after every key and instant
_COUNTED = {
    Verdict.BUFFER: "unsynced_diffs",
    Verdict.STALE: "stale_diffs",  # older than the snapshot, which is normal
    Verdict.GAP: "id_gaps",
    Verdict.RESET: "id_resets",
}
EPOCH_ENDS = ("gap", "resync_start")


@dataclass(frozen=True, slots=True)
class DayOrder:
    """A day's messages sorted by key; at equal keys ledger, then book, then trades.

    Attributes:
        ranks: Of the runs, in order; empty where rows do not name them.
        misplaced: Positions, in their files, of book messages and trades that directly follow a later one.
    """

    ledger: Ints
    book: DiffStream
    trades: DiffStream
    ranks: Mapping[str, int]
    by_time: bool
    misplaced: tuple[Ints, Ints]

    @property
    def first_of_run(self) -> list[int]:
        """Lowest key of each run but the first."""
        return [rank * PER_RUN for rank in range(1, max(self.ranks.values(), default=0) + 1)]

    def before(self, ledger: Sequence[Event], until_us: int) -> tuple[Self, int]:
        """Messages before the first row received at *until_us* or later, and its key."""
        received = [np.array([row.at.recv_us for row in ledger], np.int64), self.book.recv_us, self.trades.recv_us]
        keys = np.concatenate((self.ledger, self.book.key, self.trades.key))
        end = int(keys[np.concatenate(received) >= until_us].min(initial=_END))
        book, trades = (
            stream.reordered(slice(int(np.searchsorted(stream.key, end)))) for stream in (self.book, self.trades)
        )
        return replace(self, book=book, trades=trades), end


@dataclass(frozen=True, slots=True)
class EpochChange:
    """A point where a book may begin or end."""

    key: int
    recv_us: int
    recv_seq: int
    kind: str
    snapshot: int = -1


@dataclass(frozen=True, slots=True)
class SyncedEvents:
    applied: NDArray[np.bool_]
    changes: list[tuple[EpochChange, tuple[int, ...]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SyncedDay:
    """A day's ordered messages, and the selection that forms a valid book.

    Attributes:
        ranks: A message's key is its run's rank times `PER_RUN`, plus its `recv_seq`.
        end: No message has this key or a larger one.
    """

    book: DiffStream
    whole_books: bool
    trades: DiffStream
    snapshots: Sequence[Snapshot]
    events: SyncedEvents
    steps: FileSteps
    sources: EventSources
    reads: Sequence[FileRead]
    hindsight: Sequence[tuple[int, int]]
    ranks: Mapping[str, int]
    by_time: bool
    end: int

    @property
    def carried_from(self) -> int | None:
        first = self.events.changes[0][0] if self.events.changes else None
        if first is None or first.kind != "snapshot" or self.snapshots[first.snapshot].tag != "carried":
            return None
        return self.snapshots[first.snapshot].last_update_id


def sync_day(
    recorded: RecordedDay,
    findings: DayFindings,
    rule: SequenceRule = CONTIGUOUS,
    *,
    as_received: bool = False,
    until_us: int | None = None,
) -> SyncedDay:
    """*as_received*: a gap begins when it was revealed, not after the last message before it."""
    order, end = in_order(recorded.ledger, recorded.book, recorded.trades), _END
    if until_us is not None:
        order, end = order.before(recorded.ledger, until_us)
    book, trades, snapshots = order.book, order.trades, recorded.snapshots
    for stream, misplaced in zip((recorded.book, recorded.trades), order.misplaced, strict=True):
        findings.note("misplaced", len(misplaced), stream.places(misplaced))
    findings.note("ordered_by_time", order.by_time)
    parts: list[DiffStream | Snapshot] = [recorded.book, recorded.trades, *snapshots]
    for part in parts:
        if part.left_out:
            place = Place(part.read.path, f"line {part.first_left_out}")
            findings.note("off_tick_left_out", part.left_out, [place])
    findings.note("block_trades", recorded.trades.blocks)
    kept = _first_of_id(trades)
    if not kept.all():
        repeated = np.flatnonzero(~kept)
        same = _same_trades(trades, repeated)
        for name, rows in (("duplicate_trades", repeated[same]), ("contradicting_trades", repeated[~same])):
            findings.note(name, len(rows), trades.places(rows))
        trades = trades.reordered(np.flatnonzero(kept))
    trades.release()
    changes = [EpochChange(key, AS_BEFORE, -1, "run") for key in order.first_of_run]
    if recorded.ledger:
        changes += ledger_changes(recorded.ledger, order, recorded.loaded, recorded.whole_books)
        if as_received:
            changes = [replace(change, kind="gap") if change.kind == "hole" else change for change in changes]
    else:
        changes += changes_by_id(order, snapshots, SyncEngine(rule=rule))
    changes = sorted((change for change in changes if change.key < end), key=lambda change: change.key)
    if recorded.whole_books:
        events = sync_frames(book, changes, findings)
    else:
        events = sync_diffs(book, changes, snapshots, findings, rule, as_received=as_received)
    hindsight = _revealed(book, [change for change, _ in events.changes if change.kind != "snapshot"])
    book.release()
    return SyncedDay(
        book=book,
        whole_books=recorded.whole_books,
        trades=trades,
        snapshots=snapshots,
        events=events,
        steps=recorded.steps(),
        sources=recorded.sources,
        reads=recorded.reads,
        hindsight=hindsight,
        ranks=order.ranks,
        by_time=order.by_time,
        end=end,
    )


def _revealed(book: DiffStream, ends: Sequence[EpochChange]) -> list[tuple[int, int]]:
    if not ends:
        return []
    received = np.concatenate(([0], np.maximum.accumulate(book.recv_us), [_END]))
    after = np.searchsorted(book.key, [change.key for change in ends]) + 1
    return list(zip(received[after - 1].tolist(), received[after].tolist(), strict=True))


def in_order(ledger: Sequence[Event], book: DiffStream, trades: DiffStream) -> DayOrder:
    seqs = np.array([row.at.seq for row in ledger], np.int64)
    by_time = any(len(seq) and seq.min() < 0 for seq in (book.recv_seq, trades.recv_seq, seqs))
    ranks = _run_ranks(ledger, book, trades)
    ledger_rank = np.array([ranks.get(row.at.run_id, 0) for row in ledger], np.int64)
    ledger_place = _rising(np.array([row.at.recv_us for row in ledger], np.int64)) if by_time else seqs
    book, book_misplaced = _sorted(book, ranks, by_time)
    trades, trades_misplaced = _sorted(trades, ranks, by_time)
    return DayOrder(
        ledger=ledger_rank * PER_RUN + ledger_place,
        book=book,
        trades=trades,
        ranks=ranks,
        by_time=by_time,
        misplaced=(book_misplaced, trades_misplaced),
    )


def _run_ranks(ledger: Sequence[Event], *streams: DiffStream) -> dict[str, int]:
    if any(len(stream) and stream.run.min() < 0 for stream in streams):
        return {}
    runs = list(dict.fromkeys(row.at.run_id for row in ledger))
    arrivals = [
        (int(stream.recv_us[np.argmax(stream.run == code)]), name)
        for stream in streams
        for code, name in enumerate(stream.runs)
        if (stream.run == code).any()  # the words of a file are not only names of runs
    ]
    runs += [name for _, name in sorted(arrivals)]
    return {name: rank for rank, name in enumerate(dict.fromkeys(runs))}


def _sorted(stream: DiffStream, ranks: dict[str, int], by_time: bool) -> tuple[DiffStream, Ints]:
    key = _rising(stream.recv_us) if by_time else stream.recv_seq
    if ranks:
        key = np.array([ranks.get(name, 0) for name in stream.runs] or [0], np.int64)[stream.run] * PER_RUN + key
    stream = replace(stream, key=key)
    misplaced = np.flatnonzero(key[1:] < key[:-1]) + 1
    return (stream.reordered(np.argsort(key, kind="stable")) if len(misplaced) else stream), misplaced


def _rising(stamps: Ints) -> Ints:
    return np.maximum.accumulate(stamps)


def _first_of_id(trades: DiffStream) -> NDArray[np.bool_]:
    kept = np.ones(len(trades), bool)
    if np.any(trades.first_id[1:] <= trades.first_id[:-1]):
        _, first = np.unique(trades.first_id, return_index=True)
        kept[:] = False
        kept[first] = True
    return kept


def _same_trades(trades: DiffStream, repeated: Ints) -> NDArray[np.bool_]:
    _, first, place = np.unique(trades.first_id, return_index=True, return_inverse=True)
    _, price, qty = trades.rows
    of_first = first[place[repeated]]
    same = trades.exchange_us[repeated] == trades.exchange_us[of_first]
    for column in (price, qty):
        same &= column[trades.start[repeated]] == column[trades.start[of_first]]
    return np.asarray(same)


def ledger_changes(
    ledger: Sequence[Event], order: DayOrder, loaded: Mapping[int, int], whole_books: bool
) -> list[EpochChange]:
    """*whole_books*: the day has frames, which need no snapshot."""
    changes = []
    for place, (row, key) in enumerate(zip(ledger, order.ledger.tolist(), strict=True)):
        if row.kind == "snapshot_loaded" and not whole_books:
            changes.append(EpochChange(key, row.at.recv_us, row.at.seq, "snapshot", loaded[row.event_id]))
        elif row.kind in EPOCH_ENDS:
            kind = "hole" if row.kind == "gap" else "anew" if ids_begin_anew(row) else "gap"
            changes.append(EpochChange(key, row.at.recv_us, row.at.seq, kind))
        elif row.kind == "run_start" and place:
            changes.append(EpochChange(key, AS_BEFORE, -1, "run"))
    return changes


def changes_by_id(order: DayOrder, snapshots: Sequence[Snapshot], engine: "SyncEngine[int]") -> list[EpochChange]:
    """Without a ledger: each snapshot before the first message that changes it."""
    changes = []
    book, at = order.book, 0
    for index, snapshot in enumerate(snapshots):
        last = snapshot.last_update_id
        later = book.last_id[at:] >= last + engine.least
        bridging = np.flatnonzero(later & (book.first_id[at:] <= last + 1))
        newer = bridging if len(bridging) else np.flatnonzero(later)
        at = at + int(newer[0]) if len(newer) else len(book)
        if at < len(book):
            changes.append(EpochChange(int(book.key[at]), int(book.recv_us[at]), -1, "snapshot", index))
        else:
            changes.append(EpochChange(int(book.key[-1]) + 1, AS_BEFORE, -1, "snapshot", index))
    return changes


def sync_diffs(
    book: DiffStream,
    changes: Sequence[EpochChange],
    snapshots: Sequence[Snapshot],
    findings: DayFindings,
    rule: SequenceRule = CONTIGUOUS,
    *,
    as_received: bool = False,
) -> SyncedEvents:
    run = _SyncRun(book, snapshots, findings, (rule, as_received))
    at = 0
    stops = np.searchsorted(book.key, [change.key for change in changes]).tolist()
    for change, stop in zip(changes, stops, strict=True):
        run.take(at, stop)
        run.change(change)
        at = stop
    run.take(at, len(book))
    return run.events


class _SyncRun:
    def __init__(
        self, book: DiffStream, snapshots: Sequence[Snapshot], findings: DayFindings, options: tuple[SequenceRule, bool]
    ) -> None:
        self._rule, self._as_received = options
        self.events = SyncedEvents(np.zeros(len(book), bool))
        self._engine: SyncEngine[int] = SyncEngine(rule=self._rule)
        self._book, self._snapshots, self._findings = book, snapshots, findings
        self._taken = 0  # number of messages processed
        first, last = book.first_id, book.last_id
        continues = (first[1:] == last[:-1] + 1) & (last[1:] >= first[1:])  # `mm.ids.follow`, vectorised
        self._breaks = [*(np.flatnonzero(~continues) + 1).tolist(), len(book)]

    def take(self, at: int, stop: int) -> None:
        first, last = self._book.first_id, self._book.last_id
        while at < stop:
            synced, seen, known = self._engine.synced, self._engine.seen_id, self._engine.known_id
            verdict = self._engine.diff(int(first[at]), int(last[at]), at)
            end = at + 1
            if verdict is Verdict.APPLY:
                end = min(stop, self._breaks[bisect_right(self._breaks, at)])
                if end > at + 1:
                    self._engine.diff(int(first[at + 1]), int(last[end - 1]), at + 1)
                self.events.applied[at:end] = True
            else:
                repeated = verdict is Verdict.STALE and seen is not None and last[at] <= seen
                name = "repeated_diffs" if repeated else _COUNTED[verdict]
                self._findings.note(name, 1, (self._place(message, known) for message in [at]))
                if synced and not self._engine.synced:
                    self._end_book(at)
            at = end
        self._taken = stop

    def _end_book(self, at: int) -> None:
        book = self._book
        gap = EpochChange(self.events.changes[-1][0].key, AS_BEFORE, -1, "gap")
        if self._as_received:
            gap = EpochChange(int(book.key[at]), int(book.recv_us[at]), int(book.recv_seq[at]), "gap")
        elif at and book.key[at - 1] >= gap.key:
            gap = _gap_after(book, at)
        self.events.changes.append((gap, ()))

    def change(self, change: EpochChange) -> None:
        if change.kind == "snapshot":
            snapshot = self._snapshots[change.snapshot]
            bridge = self._engine.snapshot(snapshot.last_update_id)
            if bridge.verdict in (Verdict.APPLY, Verdict.RESET):
                self.events.changes.append((change, bridge.updates))
            else:
                place = Place(snapshot.read.path, f"id {snapshot.last_update_id}")
                self._findings.note("snapshots_unused", 1, [place])
            return
        if self._engine.synced:
            if change.kind == "hole":
                self._end_book(self._taken)
            else:
                self.events.changes.append((change, ()))
            self._engine.lose()
        if change.kind == "anew":
            self._engine.start_again()
        elif change.kind == "run":
            self._engine = SyncEngine(rule=self._rule)

    def _place(self, message: int, known_id: int | None) -> Place:
        book = self._book
        ids = f"U={book.first_id[message]}, u={book.last_id[message]} after {known_id}"
        return Place(book.read.path, f"{book.name(message)}: {ids}")


def sync_frames(book: DiffStream, changes: Sequence[EpochChange], findings: DayFindings) -> SyncedEvents:
    """Each frame is a complete book; repetitions of the previous one are dropped."""
    stops = np.searchsorted(book.key, [change.key for change in changes])
    new = ~book.repeats
    new[stops[stops < len(book)]] = True
    findings.note("frames_unchanged", int(np.count_nonzero(~new)))
    events = SyncedEvents(new)
    before = 0
    for change, stop in zip(changes, stops.tolist(), strict=True):
        if stop > before:
            events.changes.append((_gap_after(book, stop) if change.kind == "hole" else change, ()))
            before = stop
    return events


def _gap_after(book: DiffStream, at: int) -> EpochChange:
    return EpochChange(int(book.key[at - 1]) + 1, int(book.recv_us[at - 1]), -1, "gap")
