"""A recorded day folder: grid, ledger, messages and snapshots; and the findings in it, as sentences."""

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field, replace
from functools import reduce
from itertools import islice
from math import gcd, lcm
from pathlib import Path
from typing import Any

from mm.clock import US_PER_MS
from mm.dayfolder.day_grids import grid_history, reported_tick_e8
from mm.dayfolder.layout import DayFolder, existing, snapshot_event_id
from mm.dayfolder.ledger import FUNDING_DOUBT, GRID, Event, whole_events
from mm.dayfolder.manifest import read_manifest
from mm.errors import BrokenFile, Mismatch, OffGrid
from mm.instrument import Filters, Instrument, e8, from_exchange_info, inferred_step, short_text
from mm.market_data.message_latency import OFFSET_STREAM
from mm.tape import files, tables
from mm.tape.columns import GAP, SNAPSHOT, TRADE, ClockReading, EventName, Payment
from mm.tape.doubts import CONTRARY_SIDES, FAR_TRADES
from mm.tape.files import FEW, DiffStream, FileRead, FileSteps, Place, Snapshot, read_small


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The options of `mm.load_day`: a grid value of None comes from ``instrument.json`` or is inferred from the data.

    Attributes:
        left_out: Leave out prices off the tick, even a given one, if the ledger reports such prices.
        until_us: No row counts from here on; None for all rows.
    """

    instrument: Instrument | None = None
    tick_size_e8: int | None = None
    qty_step_e8: int | None = None
    min_notional_e8: int | None = None
    left_out: bool = False
    as_received: bool = False
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class KnownGrid:
    """The grid known before any price is read.

    Attributes:
        steps: Greatest steps that divide all grids; 0: to be inferred.
        orders: Their least common multiple, for orders at any instant.
        own: Least common multiple of the exchange's grids, whatever is given.
        lenient: Leave out prices off the tick if the ledger reports such prices: the tick is ``instrument.json``'s,
            with which the recorder checked prices, or the caller asked for it.
    """

    steps: FileSteps
    orders: FileSteps
    own: FileSteps
    min_notional_e8: int
    assets: tuple[str, str]
    filters: Filters
    read: FileRead | None
    lenient: bool

    def instrument(
        self, symbol: str, steps: FileSteps, first_book: tuple[int, int]
    ) -> tuple[Instrument, FileSteps, list[str]]:
        """The tape's grid, order steps in ticks and lots, and warnings if it is inferred or changed.

        Args:
            first_book: Greatest divisor and number of the first book's quantities; an unknown order step comes from
                them: later rows must not count.
        """
        tick, lot = steps.tick_e8 or 1, steps.lot_e8 or 1
        first_e8 = max(first_book[0], 1) * lot
        rounded_e8 = inferred_step(first_e8, first_book[1])
        first_e8 = first_e8 if rounded_e8 % lot else rounded_e8
        step, orders = (
            self.steps.lot_e8 or first_e8,
            FileSteps(lcm(self.orders.tick_e8 or tick, tick), self.orders.lot_e8 or first_e8),
        )
        inferred = {"tick size": (self.steps.tick_e8, steps.tick_e8), "quantity step": (self.steps.lot_e8, step)}
        named = [f"{name} {short_text(used)}" for name, (known, used) in inferred.items() if not known]
        warnings = (
            [f"no instrument.json: {' and '.join(named)} inferred; set --tick-size and --qty-step"] if named else []
        )
        if orders.tick_e8 > tick or self.orders != self.steps:
            warnings.append(
                f"the grid changed in the day: prices are counted in ticks of {short_text(tick)}, and our orders use "
                f"multiples of {short_text(orders.tick_e8)} and {short_text(orders.lot_e8)}, which are on each of "
                f"its grids (instrument.json, history)"
            )
        for name, used, own in zip(inferred, astuple(orders), astuple(self.own), strict=True):
            if own and used % own:
                both = f"{short_text(used)} is not a multiple of the exchange's, {short_text(own)}"
                warnings.append(f"{name} {both}: the exchange rejects orders in between")
        grid = Instrument(symbol, tick, lot, self.min_notional_e8, *self.assets, self.filters)
        return grid, FileSteps(orders.tick_e8 // tick, orders.lot_e8 // lot), warnings


@dataclass(frozen=True, slots=True)
class EventSources:
    book: Path
    trades: Path
    ledger: Path
    ledger_seqs: frozenset[int]
    snapshots: dict[int, Path]

    def places(self, events: Iterable[EventName]) -> list[Place]:
        return [Place(self._path(event), str(event)) for event in events]

    def _path(self, event: EventName) -> Path:
        if event.kind == TRADE:
            return self.trades
        if event.kind == SNAPSHOT:
            return self.snapshots.get(event.last_id, self.book)
        return self.ledger if event.kind == GAP and event.recv_seq in self.ledger_seqs else self.book


@dataclass(frozen=True, slots=True)
class RecordedDay:
    """The content of a day folder.

    Attributes:
        snapshots: As the ledger loads them; without a ledger all, by event id.
        loaded: Index in *snapshots* of each `snapshot_loaded` event, by its id.
    """

    ledger: list[Event]
    book: DiffStream
    whole_books: bool
    trades: DiffStream
    snapshots: list[Snapshot]
    loaded: dict[int, int]
    sources: EventSources
    reads: list[FileRead]

    def steps(self) -> FileSteps:
        streams = self.book.steps.joined(self.trades.steps)
        return reduce(FileSteps.joined, (snapshot.steps for snapshot in self.snapshots), streams)


def known_grid(folder: DayFolder, options: ReadOptions, ledger: Sequence[Event]) -> KnownGrid:
    """The grid of *options*, completed from ``instrument.json``; raises BrokenFile or Mismatch.

    Price steps that *ledger* reports and the exchange does not confirm later are included.
    """
    base, read, source, grids = options.instrument, None, "the instrument given", set[FileSteps]()
    if base is None and existing(folder.instrument):
        data, read = read_small(folder.instrument)
        source = str(folder.instrument)
        base = from_exchange_info(exchange_entry(data, source), source)
        grids = {FileSteps(grid.tick_e8, grid.lot_e8) for grid in grid_history(exchange_entry(data, source), source)}
        grids |= {FileSteps(tick_e8, 0) for tick_e8 in _unconfirmed(ledger)}
    if base is not None and base.symbol != folder.symbol:
        raise Mismatch(
            f"{source} has symbol {base.symbol}, but {folder.path} is a day of {folder.symbol}; replace it with that "
            f"of {folder.symbol}"
        )
    if base and not grids:
        grids = {FileSteps(base.tick_e8, base.lot_e8)}
    own_ticks, own_lots = {grid.tick_e8 for grid in grids}, {grid.lot_e8 for grid in grids if grid.lot_e8}
    ticks = {options.tick_size_e8} if options.tick_size_e8 else own_ticks
    lots = {options.qty_step_e8} if options.qty_step_e8 else own_lots
    notional, given = base.min_notional_e8 if base else 0, options.min_notional_e8
    return KnownGrid(
        steps=FileSteps(gcd(*ticks), gcd(*lots)),
        orders=FileSteps(lcm(*ticks) if ticks else 0, lcm(*lots) if lots else 0),
        own=FileSteps(lcm(*own_ticks) if own_ticks else 0, lcm(*own_lots) if own_lots else 0),
        min_notional_e8=notional if given is None else given,
        assets=(base.base_asset, base.quote_asset) if base else ("", ""),
        filters=base.filters if base else Filters(),
        read=read,
        lenient=options.left_out or (read is not None and options.tick_size_e8 is None),
    )


def _unconfirmed(ledger: Sequence[Event]) -> set[int]:
    confirmed = max((row.at.seq for row in ledger if row.kind == "exchange_info"), default=-1)
    return {tick_e8 for row in ledger if row.at.seq > confirmed and (tick_e8 := reported_tick_e8(row))}


def payments(folder: DayFolder, ledger: Sequence[Event]) -> tuple[Payment, ...]:
    """Each payment once."""
    by_us: dict[int, Payment] = {}
    doubts: dict[int, str] = {}
    for row in ledger:
        doubtful = row.kind == "anomaly" and row.details.get("kind") == FUNDING_DOUBT
        if row.kind != "funding" and not doubtful:
            continue
        try:
            us = int(row.details["paid_ms"]) * US_PER_MS
            if doubtful:
                doubts[us] = str(row.details["why"])
            else:
                doubts.pop(us, None)  # asked for again, and known since
                by_us.setdefault(us, Payment(us, e8(row.details["rate"]), e8(row.details["mark_price"])))
        except (LookupError, TypeError, ValueError, OffGrid) as error:
            raise BrokenFile(
                f"{folder.events}: event {row.event_id} is not a funding payment ({error}); restore the file, or "
                f"remove the row"
            ) from error
    for us, why in doubts.items():
        by_us[us] = by_us.get(us, Payment(us, 0, 0))._replace(doubt=why)
    return tuple(sorted(by_us.values()))


def clock_readings(ledger: Sequence[Event]) -> tuple[ClockReading, ...]:
    """Offsets measured by requests, which know their own error; others do not."""
    measured = [row for row in ledger if row.kind == "clock_offset" and row.details.get("stream") == OFFSET_STREAM]
    offsets = [(row.at.seq, row.details.get("median_us"), row.details.get("p99_us")) for row in measured]
    return tuple(
        ClockReading(seq, 2 * middle - most)
        for seq, middle, most in offsets
        if isinstance(middle, int) and isinstance(most, int)
    )


def exchange_entry(data: bytes, source: str) -> dict[str, Any]:
    """The entry may be inside a complete exchangeInfo response."""
    try:
        entry = json.loads(data)
        return dict(entry["symbols"][0] if "symbols" in entry else entry)
    except (ValueError, TypeError, LookupError) as error:
        raise BrokenFile(f"{source}: not JSON of an exchangeInfo entry ({error}); restore it, or remove it") from error


def read_folder(folder: DayFolder, grid: KnownGrid, ledger: list[Event], work: Path | None) -> RecordedDay:
    """Read all files but the *ledger*, trades in another thread; columns are stored in *work*.

    Prices off the tick are an error unless the ledger reports them: orders older than a tick change, or not the
    exchange's.
    """
    steps = grid.steps
    lenient = grid.lenient and any(row.details.get("kind") in (GRID, "off_tick") for row in ledger)
    diffs, frames, trades = existing(folder.diffs), existing(folder.frames), existing(folder.trades)
    if trades is None:
        raise BrokenFile(f"{folder.trades}: the file is missing; restore it, or record or import the day again")
    if diffs is None and frames is None:
        raise BrokenFile(f"{folder.diffs}: the file is missing, as are the frames ({folder.frames.name}); restore one")
    with ThreadPoolExecutor(1) as executor:
        pending = executor.submit(tables.read_trades, trades, steps, work, lenient=lenient)
        if diffs:
            book = files.read_diffs(diffs, steps, work, lenient=lenient)
        else:
            book = tables.read_frames(frames or folder.frames, FileSteps(0 if lenient else steps.tick_e8, steps.lot_e8))
        trade_stream = pending.result()
    named = _snapshot_paths(folder, ledger) if diffs else []
    snapshots = [tables.read_snapshot(path, steps, last_id, lenient=lenient) for _, path, last_id in named]
    reads = [book.read, trade_stream.read, *(snapshot.read for snapshot in snapshots)]
    return RecordedDay(
        ledger=ledger,
        book=book,
        whole_books=diffs is None,
        trades=trade_stream,
        snapshots=snapshots,
        loaded={event_id: index for index, (event_id, _, _) in enumerate(named)},
        sources=EventSources(
            book=book.read.path,
            trades=trades,
            ledger=folder.events,
            ledger_seqs=frozenset(row.at.seq for row in ledger),
            snapshots={snapshot.last_update_id: snapshot.read.path for snapshot in snapshots},
        ),
        reads=reads,
    )


def _snapshot_paths(folder: DayFolder, ledger: Sequence[Event]) -> list[tuple[int, Path, int | None]]:
    files_by_event = _snapshot_files(folder)
    if not ledger:
        return [(event_id, path, None) for event_id, path in files_by_event.items()]
    named = []
    for row in ledger:
        if row.kind == "snapshot_loaded":
            # Older ledgers contain a path relative to another folder: only its last part is used.
            name = Path(str(row.details.get("path", ""))).name
            path = (existing(folder.snapshots / name) if name else None) or files_by_event.get(row.event_id)
            if path is None:
                raise BrokenFile(
                    f"{folder.snapshots / (name or f'snapshot_{row.event_id}_*.csv')}: the file is missing, but event "
                    f"{row.event_id} of {folder.events.name} loads it; restore it, or remove the event"
                )
            last_id = row.details.get("last_update_id")
            named.append((row.event_id, path, int(last_id) if last_id is not None else None))
    return named


def _snapshot_files(folder: DayFolder) -> dict[int, Path]:
    paths = {snapshot_event_id(path): path for path in folder.snapshots.glob("*")}
    return {event_id: paths[event_id] for event_id in sorted(key for key in paths if key is not None)}


def read_ledger(folder: DayFolder) -> tuple[list[Event], FileRead | None]:
    """A last row cut by a crash is left out and counted."""
    path = existing(folder.events)
    if path is None:
        return [], None
    data, read = read_small(path)
    if not data:
        raise BrokenFile(f"{path}: the file is empty (0 bytes); restore it, or remove it to use the snapshot files")
    text = data.decode("utf-8", "replace")
    try:
        return _events(path, text), read
    except BrokenFile:
        whole = text[: text.rfind("\n") + 1]
        if whole == text:
            raise
        return _events(path, whole), replace(read, torn_lines=1)


def _events(path: Path, text: str) -> list[Event]:
    return whole_events(path, csv.DictReader(io.StringIO(text, newline="")))


# One warning covers a group: a message out of order repeats ids and leaves a gap.
_SENTENCES: tuple[dict[str, str], ...] = (
    {
        "id_gaps": "update ids are missing {n} times{at}; the book is invalid until the next snapshot",
        "id_resets": "the exchange reset its update ids {n} times{at}; the book is invalid until the next snapshot",
        "repeated_diffs": (
            "the update ids of {n} depth messages are not increasing{at}; they contain no new updates and were left out"
        ),
    },
    {"off_tick_left_out": "{n} levels and trades off the tick{at} were left out (see the anomalies in the ledger)"},
    {"block_trades": "{n} trades were agreed outside the book (block) and left out: they fill none of its orders"},
    {"snapshots_unused": "{n} snapshots{at} do not connect to the depth messages around them and were left out"},
    {
        "contradicting_trades": (
            "{n} trades have the id of an earlier one, but another time, price or quantity{at}, and were left out: the "
            "file is damaged; restore it, or import the day again"
        ),
        "duplicate_trades": "{n} trades repeat the id of an earlier one{at} and were left out",
    },
    {"misplaced": "{n} messages are out of order in their file{at} and were sorted"},
    {"clock_raised": "the clock had stepped back at {n} messages{at}; each has the time of the one before it"},
    {"ordered_by_time": "no recv_seq in some file: messages are ordered by receive time, depth before trades"},
    {"contrary_sides": "{n} trades{at} " + CONTRARY_SIDES},
    {"far_trades": "{n} trades{at} " + FAR_TRADES},
    {"crossed": "{n} messages leave the book crossed or locked{at}; it is invalid until the next snapshot"},
)


@dataclass(frozen=True, slots=True)
class DayFindings:
    """Counted findings of a day, with the first few places of each."""

    counts: Counter[str] = field(default_factory=Counter)
    places: defaultdict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))

    def note(self, name: str, count: int, places: Iterable[Place] = ()) -> None:
        self.counts[name] += count
        noted = self.places[name]
        noted += islice(places, FEW - len(noted))

    def warnings(self, folder: DayFolder) -> Iterator[str]:
        for group in _SENTENCES:
            names = [name for name in group if self.counts[name]]
            if names:
                places = self.places.get(names[0])
                parts = [group[name].format(n=self.counts[name], at=self._at(name)) for name in names]
                yield f"{places[0].path if places else folder.path}: {'; '.join(parts)}"

    def never_synced(self, folder: DayFolder) -> str:
        counts = self.counts
        waiting = counts["unsynced_diffs"] + counts["id_gaps"] + counts["id_resets"]
        return (
            f"{folder.path}: the book is never valid: {waiting} depth messages wait for a snapshot, "
            f"{counts['snapshots_unused']} snapshots do not connect to them, {counts['crossed']} books are crossed; "
            f"record or import the day with a snapshot"
        )

    def _at(self, name: str) -> str:
        places = self.places.get(name)
        if not places:
            return ""
        first = places[0].path
        clause = ", ".join(at.what if at.path == first else f"{at.what} of {at.path.name}" for at in places)
        return f" ({clause}{', …' if self.counts[name] > len(places) else ''})"


def lost_lines(folder: DayFolder, reads: Sequence[FileRead]) -> tuple[int, list[str]]:
    damaged = [read for read in reads if read.cut_off or read.torn_lines]
    manifest = read_manifest(folder) if damaged else None
    rows = {entry.path: entry.rows for entry in manifest.files} if manifest else {}
    lost, warnings = 0, []
    for read in damaged:
        header = 1 if ".csv" in read.path.name else 0
        expected = rows.get(folder.relative(read.path), 0) + header
        count = max(expected - read.lines, read.torn_lines)
        how = "ends in the middle of its gzip data" if read.cut_off else "ends in the middle of a line"
        warnings.append(f"{read.path}: the file {how}; its {read.lines} complete lines are used, at least {count} lost")
        lost += count
    return lost, warnings
