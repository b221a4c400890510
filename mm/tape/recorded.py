"""A day folder as it lies there: grid, ledger, messages and snapshots; nothing is concluded from them yet."""

import csv
import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from mm.clock import US_PER_MS
from mm.dayfolder.layout import EVENT_COLUMNS, DayFolder, existing, snapshot_event_id
from mm.errors import BrokenFile, Mismatch
from mm.instrument import Filters, Instrument, from_exchange_info, short_text
from mm.tape.files import FileRead, read_small
from mm.tape.findings import EventSources
from mm.tape.tables import Snapshot, Steps, Stream, read_diffs, read_frames, read_snapshot, read_trades


@dataclass(frozen=True, slots=True)
class GridOptions:
    """What the caller says about the grid; None leaves it to ``instrument.json`` or to the recorded numbers."""

    instrument: Instrument | None = None
    tick_size_e8: int | None = None
    qty_step_e8: int | None = None
    min_notional_e8: int | None = None


@dataclass(frozen=True, slots=True)
class KnownGrid:
    """What is known of the grid before a price is read.

    Attributes:
        steps: Tick and the exchange's quantity step; 0 where they are to be inferred.
        min_notional_e8: Least notional of an order, 0 where none is known.
        assets: Base and quote asset; empty where nothing names them.
        read: ``instrument.json``, where it was read.
        as_recorded: The tick is that of ``instrument.json``, by which the recorder judged prices.
    """

    steps: Steps
    min_notional_e8: int
    assets: tuple[str, str]
    filters: Filters
    read: FileRead | None
    as_recorded: bool

    def instrument(self, symbol: str, found: Steps) -> tuple[Instrument, int, list[str]]:
        """Return the tape's grid, the exchange's quantity step in its lots, and a warning for what was inferred.

        Args:
            symbol: The symbol.
            found: The greatest steps that divide all that was recorded, and the known steps.
        """
        lot = found.lot_e8 or 1
        step = self.steps.lot_e8 or lot
        inferred = {"tick size": (self.steps.tick_e8, found.tick_e8), "quantity step": (self.steps.lot_e8, step)}
        named = [f"{name} {short_text(used)}" for name, (known, used) in inferred.items() if not known]
        warnings = (
            [f"no instrument.json: {' and '.join(named)} inferred; set --tick-size and --qty-step"] if named else []
        )
        grid = Instrument(symbol, found.tick_e8 or 1, lot, self.min_notional_e8, *self.assets, self.filters)
        return grid, step // lot, warnings


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One event of the ledger; *recv_seq* is -1 where the file has none."""

    event_id: int
    recv_us: int
    recv_seq: int
    run_id: str
    kind: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RecordedDay:
    """What a day folder holds.

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

    def sources(self, folder: DayFolder) -> EventSources:
        """Return which file an event comes from."""
        return EventSources(
            book=self.book.read.path,
            trades=self.trades.read.path,
            ledger=folder.events,
            ledger_seqs=frozenset(row.recv_seq for row in self.ledger),
            snapshots={snapshot.last_update_id: snapshot.read.path for snapshot in self.snapshots},
        )


def known_grid(folder: DayFolder, options: GridOptions) -> KnownGrid:
    """Return what *options* and, beneath them, ``instrument.json`` say.

    Raises:
        BrokenFile: If ``instrument.json`` is not what the exchange sends.
        Mismatch: If it, or the instrument given, is of another symbol.
    """
    base, read, source = options.instrument, None, "the instrument given"
    if base is None and existing(folder.instrument):
        data, read = read_small(folder.instrument)
        source = str(folder.instrument)
        base = from_exchange_info(_entry(data, source), source)
    if base is not None and base.symbol != folder.symbol:
        raise Mismatch(
            f"{source} is of {base.symbol}, but {folder.path} is a day of {folder.symbol}; put the right one there"
        )
    tick, step, notional = (base.tick_e8, base.lot_e8, base.min_notional_e8) if base else (0, 0, 0)
    given = options.min_notional_e8
    return KnownGrid(
        steps=Steps(options.tick_size_e8 or tick, options.qty_step_e8 or step),
        min_notional_e8=notional if given is None else given,
        assets=(base.base_asset, base.quote_asset) if base else ("", ""),
        filters=base.filters if base else Filters(),
        read=read,
        as_recorded=read is not None and options.tick_size_e8 is None,
    )


def _entry(data: bytes, source: str) -> dict[str, Any]:
    """Return the entry of a symbol, which may stand in the ``symbols`` of a whole exchangeInfo answer."""
    try:
        entry = json.loads(data)
        return dict(entry["symbols"][0] if "symbols" in entry else entry)
    except (ValueError, TypeError, LookupError) as error:
        raise BrokenFile(f"{source}: not JSON of an exchangeInfo entry ({error}); restore it, or remove it") from error


def read_folder(folder: DayFolder, grid: KnownGrid) -> RecordedDay:
    """Read all files of a day; trades in a thread of their own.

    Levels off the tick are an error, unless the ledger says that the recorder left such levels out: they belong to
    orders older than a change of the tick.
    """
    steps = grid.steps
    ledger, ledger_read = _read_ledger(folder)
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
    return RecordedDay(
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
    there = _snapshot_files(folder)
    if not ledger:
        return [(event_id, path, None) for event_id, path in there.items()]
    named = []
    for row in ledger:
        if row.kind == "snapshot_loaded":
            # Older ledgers name a path relative to another folder: its last part is what counts.
            name = Path(str(row.details.get("path", ""))).name
            path = (existing(folder.snapshots / name) if name else None) or there.get(row.event_id)
            if path is None:
                raise BrokenFile(
                    f"{folder.snapshots / (name or f'snapshot_{row.event_id}_*.csv')}: the file is missing, but event "
                    f"{row.event_id} of {folder.events.name} loads it; restore it, or take the event out"
                )
            last_id = row.details.get("last_update_id")
            named.append((row.event_id, path, int(last_id) if last_id is not None else None))
    return named


def _snapshot_files(folder: DayFolder) -> dict[int, Path]:
    """Return the snapshot files by their event ids, in order."""
    found = {snapshot_event_id(path): path for path in folder.snapshots.glob("*")}
    return {event_id: found[event_id] for event_id in sorted(key for key in found if key is not None)}


def _read_ledger(folder: DayFolder) -> tuple[list[LedgerRow], FileRead | None]:
    """Read the ledger; a day without one has no rows. A last row that a crash cut short is left out and counted."""
    path = existing(folder.events)
    if path is None:
        return [], None
    data, read = read_small(path)
    if not data:
        raise BrokenFile(f"{path}: the file is empty (0 bytes); restore it, or remove it to go by the snapshot files")
    text = data.decode("utf-8", "replace")
    try:
        return _ledger_rows(path, text), read
    except BrokenFile:
        whole = text[: text.rfind("\n") + 1]
        if whole == text:
            raise
        return _ledger_rows(path, whole), replace(read, torn_lines=1)


def _ledger_rows(path: Path, text: str) -> list[LedgerRow]:
    table = csv.DictReader(io.StringIO(text, newline=""))
    rows = []
    for row in table:
        try:
            stamp = row.get("recv_time_us") or int(row["recv_time_ms"]) * US_PER_MS
            rows.append(
                LedgerRow(
                    event_id=int(row["event_id"]),
                    recv_us=int(stamp),
                    recv_seq=int(row.get("recv_seq") or -1),
                    run_id=row["run_id"],
                    kind=row["type"],
                    details=dict(json.loads(row.get("details_json") or "{}")),
                )
            )
        except (KeyError, ValueError, TypeError) as error:
            raise BrokenFile(
                f"{path}:{table.line_num}: not a row of the ledger ({type(error).__name__}: {error}); "
                f"its columns are {','.join(EVENT_COLUMNS)}"
            ) from error
    return rows
