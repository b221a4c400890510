"""Read a day folder, and settle when its book is valid."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

import numpy as np

from mm.dayfolder.layout import DayFolder, existing
from mm.errors import BrokenFile, NeverSynced
from mm.tape import findings
from mm.tape.draft import Draft
from mm.tape.grid import GridOptions, KnownGrid, known_grid
from mm.tape.inflate import FileRead
from mm.tape.ledger import LedgerRow, read_ledger
from mm.tape.mapped import give_back
from mm.tape.ordering import in_order, unique_trades
from mm.tape.places import FEW, Event, Place, named
from mm.tape.settle import Settled, ledger_marks, marks_by_id, settle_diffs, settle_frames
from mm.tape.settle_books import settle_tops
from mm.tape.stack import Day, Stack, quarter_hours, stacked
from mm.tape.tables import (
    Snapshot,
    Steps,
    Stream,
    read_diffs,
    read_frames,
    read_snapshot,
    read_trades,
    snapshot_files,
)
from mm.tape.tape import DEPTH, GAP, SNAPSHOT, TRADE, TapeMeta

__all__ = ["GridOptions", "read_day"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a day folder holds, as it lies there.

    Attributes:
        ledger: Rows of the ledger; none without one.
        book: Depth messages, else frames.
        whole_books: *book* is frames.
        trades: Trades.
        snapshots: Those that the ledger loads; without a ledger all, in the order of their event ids.
        loaded: Index in *snapshots* of the one that each `snapshot_loaded` event, by its id, names.
        reads: The files read.
    """

    ledger: list[LedgerRow]
    book: Stream
    whole_books: bool
    trades: Stream
    snapshots: list[Snapshot]
    loaded: dict[int, int]
    reads: list[FileRead]

    def steps(self) -> Steps:
        """Return the greatest steps that divide everything recorded."""
        streams = self.book.steps.joined(self.trades.steps)
        return reduce(Steps.joined, (snapshot.steps for snapshot in self.snapshots), streams)

    def sources(self, folder: DayFolder) -> "Sources":
        """Return what tells which file an event comes from."""
        return Sources(
            book=self.book.read.path,
            trades=self.trades.read.path,
            ledger=folder.events,
            ledger_seqs=frozenset(row.recv_seq for row in self.ledger),
            snapshots={snapshot.last_update_id: snapshot.read.path for snapshot in self.snapshots},
        )


@dataclass(frozen=True, slots=True)
class Sources:
    """Which file an event of the tape comes from: snapshots by their last update id, gaps of the ledger by number."""

    book: Path
    trades: Path
    ledger: Path
    ledger_seqs: frozenset[int]
    snapshots: dict[int, Path]

    def places(self, events: Iterable[Event]) -> list[Place]:
        """Return where *events* are found."""
        return [Place(self._path(event), named(event.recv_seq, event.last_id, event.recv_us)) for event in events]

    def _path(self, event: Event) -> Path:
        if event.kind == TRADE:
            return self.trades
        if event.kind == SNAPSHOT:
            return self.snapshots.get(event.last_id, self.book)
        return self.ledger if event.kind == GAP and event.recv_seq in self.ledger_seqs else self.book


@dataclass(slots=True)
class Found:
    """What is known of a day beside its columns; *counts*, and *places* of the first few counted, grow on the way."""

    steps: Steps
    reads: list[FileRead]
    sources: Sources
    counts: Counter[str] = field(default_factory=Counter)
    places: defaultdict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))
    carried_from: int | None = None

    def note(self, name: str, count: int, places: list[Place]) -> None:
        """Count what was mended, and keep where the first few are."""
        self.counts[name] = count
        self.places[name] = places[:FEW]


def read_day(folder: DayFolder, options: GridOptions) -> Draft:
    """Return what the tape of *folder* is made of; `mm.backtest.io.load_day` says the rest.

    Raises:
        DataError: As `load_day`.
    """
    grid = known_grid(folder, options)
    stack, found = _settled(folder, grid)
    give_back()
    crossed = settle_tops(stack, quarter_hours(stack))
    give_back()
    counts = found.counts
    counts["crossed"] = len(crossed)
    found.places["crossed"] = found.sources.places(crossed[:FEW])
    counts["gaps"] = int(np.count_nonzero(stack.kind == GAP))
    if not (stack.kind == SNAPSHOT).any():
        raise NeverSynced(findings.never_synced(folder, counts))
    instrument, step_lots, warnings = grid.instrument(folder.symbol, found.steps)
    reads = [*([grid.read] if grid.read else []), *found.reads]
    lost = findings.lost_lines(folder, reads)
    counts["lost_lines"] = sum(lost.values())
    meta = TapeMeta(
        inputs=tuple(
            sorted((read.path.relative_to(folder.root).as_posix(), read.bytes, read.sha256) for read in reads)
        ),
        counts={name: count for name, count in sorted(counts.items()) if count},
        warnings=(*warnings, *findings.sentences(folder, counts, found.places), *findings.lost_sentences(reads, lost)),
        last_update_id=_last_update_id(stack),
        carried_from=found.carried_from,
    )
    return Draft(stack, instrument, folder.day, step_lots, meta)


def _settled(folder: DayFolder, grid: KnownGrid) -> tuple[Stack, Found]:
    """Read and settle a day; what was read is no longer held when this returns."""
    recorded = _recorded(folder, grid)
    found = Found(recorded.steps(), recorded.reads, recorded.sources(folder))
    keys, book, trades, moved = in_order(recorded.ledger, recorded.book, recorded.trades)
    found.note("misplaced", sum(map(len, moved)), recorded.book.places(moved[0]) + recorded.trades.places(moved[1]))
    kept = unique_trades(trades)
    trade_keys = keys.trades
    if not kept.all():
        repeated = np.flatnonzero(~kept)
        found.note("duplicate_trades", len(repeated), trades.places(repeated))
        trades, trade_keys = trades.taken(np.flatnonzero(kept)), trade_keys[kept]
    if recorded.ledger:
        marks = ledger_marks(recorded.ledger, keys, recorded.loaded, recorded.whole_books)
    else:
        marks = marks_by_id(book, keys, recorded.snapshots)
    if recorded.whole_books:
        settled = settle_frames(book, keys, marks)
    else:
        settled = settle_diffs(book, keys, marks, [snapshot.last_update_id for snapshot in recorded.snapshots])
    found.carried_from = _carried_from(settled, recorded.snapshots)
    found_steps = (found.steps.tick_e8 or 1, found.steps.lot_e8 or 1)
    day = Day(keys, book, recorded.whole_books, trades, trade_keys, recorded.snapshots, settled, found_steps)
    stack, raised = stacked(day)
    found.note("clock_raised", len(raised), found.sources.places(map(stack.event, raised[:FEW].tolist())))
    found.note("off_tick_left_out", book.left_out, [Place(book.read.path, f"line {book.first_left_out}")])
    unused = [recorded.snapshots[index] for index in settled.unused[:FEW]]
    settled.places["snapshots_unused"] = [Place(one.read.path, f"id {one.last_update_id}") for one in unused]
    found.counts.update(settled.counts, ordered_by_time=keys.by_time)
    found.places.update(settled.places)
    return stack, found


def _recorded(folder: DayFolder, grid: KnownGrid) -> Recorded:
    """Read all files of a day; trades in a thread of their own.

    Levels off the tick are an error, unless the ledger tells that the recorder met and left out such: orders older
    than a change of the tick.
    """
    steps = grid.steps
    ledger, ledger_read = read_ledger(folder)
    lenient = grid.as_recorded and any(row.details.get("kind") == "off_tick" for row in ledger)
    diffs, frames, trades = existing(folder.diffs), existing(folder.frames), existing(folder.trades)
    if trades is None:
        raise BrokenFile(f"{folder.trades}: the file is missing; restore it, or record or import the day again")
    if diffs is None and frames is None:
        raise BrokenFile(f"{folder.diffs}: the file is missing, and so are frames ({folder.frames.name}); restore one")
    with ThreadPoolExecutor(1) as other:
        coming = other.submit(read_trades, trades, steps)
        book = read_diffs(diffs, steps, lenient=lenient) if diffs else read_frames(frames or folder.frames, steps)
        trade_stream = coming.result()
    named = _snapshot_paths(folder, ledger) if diffs else []
    snapshots = [read_snapshot(path, steps, last_id) for _, path, last_id in named]
    reads = [book.read, trade_stream.read, *(snapshot.read for snapshot in snapshots)]
    if ledger_read:
        reads.append(ledger_read)
    return Recorded(
        ledger=ledger,
        book=book,
        whole_books=diffs is None,
        trades=trade_stream,
        snapshots=snapshots,
        loaded={event_id: index for index, (event_id, _, _) in enumerate(named)},
        reads=reads,
    )


def _snapshot_paths(folder: DayFolder, ledger: Sequence[LedgerRow]) -> list[tuple[int, Path, int | None]]:
    """Return event id, file and (from the ledger) last update id of each snapshot to read, in order."""
    there = snapshot_files(folder)
    if not ledger:
        return [(event_id, path, None) for event_id, path in there.items()]
    named = []
    for row in ledger:
        if row.kind == "snapshot_loaded":
            # Older ledgers name a path relative to another folder: its last part is what counts.
            told = Path(str(row.details.get("path", ""))).name
            path = (existing(folder.snapshots / told) if told else None) or there.get(row.event_id)
            if path is None:
                raise BrokenFile(
                    f"{folder.snapshots / (told or f'snapshot_{row.event_id}_*.csv')}: the file is missing, but event "
                    f"{row.event_id} of {folder.events.name} loads it; restore it, or take the event out"
                )
            last_id = row.details.get("last_update_id")
            named.append((row.event_id, path, int(last_id) if last_id is not None else None))
    return named


def _carried_from(settled: Settled, snapshots: Sequence[Snapshot]) -> int | None:
    """Return the id of the book that was carried over from the day before, if the day begins with one."""
    first = settled.turns[0][0] if settled.turns else None
    if first is None or first.kind != "snapshot" or snapshots[first.snapshot].tag != "carried":
        return None
    return snapshots[first.snapshot].last_update_id


def _last_update_id(stack: Stack) -> int | None:
    """Return the id of the book at the end; None where it is not valid."""
    turns = np.flatnonzero((stack.kind == SNAPSHOT) | (stack.kind == DEPTH) | (stack.kind == GAP))
    last = int(stack.event_id[turns[-1]])
    return last if last > 0 else None
