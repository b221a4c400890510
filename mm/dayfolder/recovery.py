"""What earlier runs of a day left: counters, missing trades, torn tails."""

import csv
import errno
import itertools
import zlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mm.dayfolder.buffered_writer import require_appendable
from mm.dayfolder.layout import (
    DAMAGED,
    EVENT_COLUMNS,
    GAP_COLUMNS,
    PACKED,
    SCHEMA_VERSION,
    SEQUENCED_SCHEMA_VERSION,
    TRADE_COLUMNS,
    DayFolder,
    snapshot_event_id,
)
from mm.dayfolder.ledger import Details, LedgerView, whole_events
from mm.dayfolder.line_files import FileTail, appendable_tail, first_lines, last_line, whole_rows
from mm.dayfolder.manifest import contents, is_unfinished, proved_tails
from mm.dayfolder.rows import number_in
from mm.errors import BrokenFile, UsageError
from mm.ids import IdRanges, MissingIds, went_back
from mm.markets.market import Market
from mm.markets.registry import DEFAULT, MARKETS
from mm.markets.trade_ids import KNOWN_PRINTS

USUAL_TOP_N = 20
_SEQ_COLUMN = TRADE_COLUMNS.index("recv_seq")  # as in events and frames
_GAP_SEQ_COLUMN = GAP_COLUMNS.index("recv_seq")
_RUN_COLUMN = EVENT_COLUMNS.index("run_id")
_TRADE_ID_COLUMN = TRADE_COLUMNS.index("trade_id")
_TRADE_US_COLUMN = TRADE_COLUMNS.index("recv_time_us")


@dataclass(frozen=True, slots=True)
class RecoveredState:
    """The state of a day folder before a run.

    Attributes:
        next_event_id: First free, after an orphaned snapshot's.
        last_diff_id: Last update id in the diffs, perhaps of a stale row. Without diffs, of the last snapshot or frame;
            also of the last snapshot if it reset the ids.
        lost: Bytes of torn tails, not cut yet: the ledger must report them first.
    """

    next_seq: int = 1
    next_event_id: int = 1
    epoch_id: int = 0
    runs: tuple[str, ...] = ()
    open_runs: tuple[str, ...] = ()
    last_diff_id: int | None = None
    last_diff_us: int = 0
    last_diff_sent: int = 0
    last_trade_id: int | None = None
    last_trade_us: int = 0
    last_trade_sent: int = 0
    trade_holes: tuple[MissingIds, ...] = ()
    known_prints: tuple[str, ...] = ()
    knobs: Mapping[str, Any] = field(default_factory=dict)
    exchange_units: frozenset[str] = frozenset()
    lost: dict[Path, int] = field(default_factory=dict)
    tails: Mapping[Path, FileTail] = field(default_factory=dict)


def recover(folder: DayFolder) -> RecoveredState:
    """Remove what never reached the ledger; torn tails are not cut."""
    for path in folder.streams():
        require_appendable(path)
    proved = proved_tails(folder)
    tails = {path: appendable_tail(path, proved.get(path, FileTail())) for path in folder.streams()}
    rows = whole_rows(folder.events, tails[folder.events])
    view = LedgerView(folder.events, tuple(whole_events(folder.events, rows)))
    last_diff, trades = _last_diff(tails[folder.diffs], view), tails[folder.trades]
    last_trade_id = _last_cell(folder.trades, trades, _TRADE_ID_COLUMN)
    trade_us = _last_cell(folder.trades, trades, _TRADE_US_COLUMN) or 0
    first_trade_id = _cell(folder.trades, trades.head[1], _TRADE_ID_COLUMN) if trades.lines > 1 else None
    if trades.last.endswith(FROM_REST):
        last_trade_id = last_streamed_id(whole_rows(folder.trades, trades))
    starts = view.of_kind("run_start")
    knobs = dict(starts[-1].details.get("knobs", {})) if starts else {}
    ended = view.runs_with("run_stop") | {event.details["previous_run_id"] for event in view.of_kind("crash_recovered")}
    return RecoveredState(
        next_seq=1 + max(_last_seq(folder, path, tail) for path, tail in tails.items()),
        next_event_id=1 + max([0, *(event.event_id for event in view.events), *_sweep(folder, view)]),
        epoch_id=max([0, *(event.epoch_id for event in view.events)]),
        runs=view.runs,
        open_runs=tuple(run for run in view.runs if run not in ended),
        last_diff_id=_reached(last_diff.get("u"), tails[folder.frames]),
        last_diff_us=last_diff.get("recv_us", 0),
        last_diff_sent=last_diff.get("E", last_diff.get("recv_us", 0)),
        last_trade_id=last_trade_id,
        last_trade_us=trade_us,
        last_trade_sent=trade_us if trades.last.startswith(b",") else _last_cell(folder.trades, trades, 0) or 0,
        trade_holes=still_open(
            open_holes(((event.kind, event.details) for event in view.events), last_trade_id, first_trade_id),
            whole_rows(folder.trades, trades),
            aggregates=knobs.get("trade_stream") == "aggTrade",
        ),
        known_prints=_known_prints(trades, whole_rows(folder.trades, trades)),
        knobs=knobs,
        exchange_units=_exchange_units(folder),
        lost={path: tail.lost_bytes for path, tail in tails.items() if tail.lost_bytes},
        tails={path: tail for path, tail in tails.items() if tail.good_bytes},
    )


def _known_prints(tail: FileTail, rows: "_Rows") -> tuple[str, ...]:
    """Return the exchange's ids of the latest prints, where `trade_id` only counts them."""
    if not tail.head or b"venue_trade_id" not in tail.head[0]:
        return ()
    return tuple(deque((row["venue_trade_id"] for row in rows), KNOWN_PRINTS))


def require_ledger(folder: DayFolder) -> None:
    if not runs_of(folder):
        for path in folder.streams()[1:]:
            if path.is_file() and len(first_lines(path)) > (path.suffix != PACKED):
                raise BrokenFile(f"{folder.events}: the ledger has no run, but there are rows in {path.name}")


def require_sealable(folder: DayFolder, earlier: RecoveredState) -> None:
    """BrokenFile if a file's first or last ids are unreadable: no later run could seal the day."""
    for path, tail in earlier.tails.items():
        contents(folder, path, tail)
    for path in folder.snapshots.glob("*.csv"):
        contents(folder, path, FileTail(2, first_lines(path), last_line(path)))


def runs_of(folder: DayFolder) -> frozenset[str]:
    if not folder.events.exists():
        return frozenset()
    with folder.events.open("rb") as stream:
        rows = [line.split(b",", _RUN_COLUMN + 1) for line in stream][1:]
    return frozenset(row[_RUN_COLUMN].decode(errors="replace") for row in rows if len(row) > _RUN_COLUMN + 1)


def _sweep(folder: DayFolder, view: LedgerView) -> list[int]:
    ids = []
    for path in filter(is_unfinished, sorted(folder.path.rglob("*"))):
        path.unlink()
    loaded = {event.event_id for event in view.of_kind("snapshot_loaded")}
    for path in sorted(folder.snapshots.glob("*")):
        event_id = snapshot_event_id(path)
        if event_id is not None:
            ids.append(event_id)
            if event_id not in loaded:
                path.unlink()
    return ids


def _last_seq(folder: DayFolder, path: Path, tail: FileTail) -> int:
    if path.suffix == PACKED:
        return int(msgspec.json.decode(tail.last)["recv_seq"]) if tail.lines else 0
    return _last_cell(path, tail, _GAP_SEQ_COLUMN if path == folder.gaps else _SEQ_COLUMN) or 0


def _last_cell(path: Path, tail: FileTail, at: int) -> int | None:
    return _cell(path, tail.last, at) if tail.lines > 1 else None


def _cell(path: Path, row: bytes, at: int) -> int:
    try:
        return number_in(row, at)
    except (ValueError, IndexError) as error:
        raise BrokenFile(f"{path}: row {row[:80]!r} has no number in column {at + 1}; run `mm data check`") from error


def _last_diff(tail: FileTail, view: LedgerView) -> dict[str, Any]:
    diff = msgspec.json.decode(tail.last, type=dict[str, Any]) if tail.lines else {}
    for event in view.of_kind("snapshot_loaded")[-1:]:
        last_id = event.details["last_update_id"]
        if not diff or (event.at.seq > diff["recv_seq"] and went_back(diff["u"], last_id)):
            return {"u": last_id, "recv_us": event.at.recv_us}
    return diff


def _reached(last_diff_id: int | None, frames: FileTail) -> int | None:
    head, last = frames.head[:1], frames.last.rpartition(b",")[2]
    if last_diff_id is None or not head or not head[0].endswith(b",last_update_id") or not last.isdigit():
        return last_diff_id
    frame_id = int(last)
    return last_diff_id if went_back(frame_id, last_diff_id) else max(frame_id, last_diff_id)


def _exchange_units(folder: DayFolder) -> frozenset[str]:
    return frozenset((read_schema(folder).time_unit or "").split(" and ")) - {""}


class _SchemaRead(msgspec.Struct):
    schema_version: int = SCHEMA_VERSION
    time_unit: str | None = None
    venue: str | None = None
    top_n: int = USUAL_TOP_N
    book_depth: int | None = None


def read_schema(folder: DayFolder) -> _SchemaRead:
    if not folder.schema.is_file():
        return _SchemaRead()
    try:
        schema = msgspec.json.decode(folder.schema.read_bytes(), type=_SchemaRead)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise BrokenFile(
            f"{folder.schema}: not the schema of a day ({error}); restore it, or remove it: the next run writes it"
        ) from error
    if not 1 <= schema.schema_version <= SEQUENCED_SCHEMA_VERSION:
        raise BrokenFile(
            f"{folder.schema}: schema_version is {schema.schema_version}, and this version of mm reads 1 to "
            f"{SEQUENCED_SCHEMA_VERSION}; install the version that wrote the day, or a newer one"
        )
    return schema


def market_of_day(folder: DayFolder, knobs: Mapping[str, Any]) -> Market:
    """Return the market that the schema names, else the first run's *knobs*; older days name none.

    Raises:
        BrokenFile: If the schema is not readable, or this version of mm does not know the market.
    """
    named, knob = read_schema(folder).venue, knobs.get("market")
    try:
        return MARKETS.of_venue(named) if named else MARKETS[knob] if knob else DEFAULT
    except UsageError as error:
        raise BrokenFile(f"{folder.schema if named else folder.events}: {error}") from error


def readable_market(folder: DayFolder, view: LedgerView) -> Market:
    """Return the market of a day whose schema may be damaged: then the ledger's knobs name it."""
    knobs = {"market": view.knob("market", None)}
    try:
        return market_of_day(folder, knobs)
    except BrokenFile:
        return MARKETS[knobs["market"]] if knobs["market"] in MARKETS else DEFAULT  # noqa: SIM401 - no KeyError


def damage_of(error: Exception) -> str | None:
    """The damage behind *error* of opening a writer; None for a wrong knob, a lock, no space."""
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error}" if error.errno in _BAD_FILES else None
    return (str(error) or type(error).__name__) if isinstance(error, _DAMAGE) else None


_DAMAGE = (
    *(BrokenFile, ValueError, LookupError, TypeError, AttributeError, RecursionError, EOFError),
    *(csv.Error, zlib.error, msgspec.MsgspecError),
)
_BAD_FILES = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EACCES, errno.ELOOP)


def set_aside(folder: DayFolder) -> Path:
    """Move *folder*, not in use, below ``damaged``."""
    for count in itertools.count(1):
        name = folder.day if count == 1 else f"{folder.day}_{count}"
        place = folder.root / DAMAGED / folder.symbol / name
        if not place.exists():
            break
    place.parent.mkdir(parents=True, exist_ok=True)
    folder.path.rename(place)
    return place


FROM_REST = b",rest"
_Rows = Iterable[Mapping[str, str]]


def last_streamed_id(rows: _Rows) -> int | None:
    last = None
    for row in rows:
        if row["source"] != "rest":
            last = int(row["trade_id"])
    return last


def open_holes(
    events: Iterable[tuple[str, Details]], last_id: int | None, first_id: int | None = None
) -> tuple[MissingIds, ...]:
    """Reported missing trades that were not filled; *events* are types and details."""
    holes: list[MissingIds] = []
    least = 0 if first_id is None else first_id - 1
    for kind, details in events:
        if kind not in ("trade_gap", "backfill"):
            continue
        first, last = details["from_id"], details["to_id"]
        filled = kind == "backfill"
        if filled or (last_id is not None and first <= last < last_id and last >= least):
            received = IdRanges([(first, last)])
            holes = [left for hole in holes for left in hole.subtract(received)]
            holes += [] if filled else [MissingIds(first, last, details["from_us"], details["to_us"])]
    return tuple(sorted(holes))


def still_open(holes: Sequence[MissingIds], rows: _Rows, *, aggregates: bool) -> tuple[MissingIds, ...]:
    """The parts of *holes* that no row from REST fills: a killed run may not have reported the last rows."""
    if not holes:
        return ()
    first, last = ("trade_id", "trade_id") if aggregates else ("first_trade_id", "last_trade_id")
    received = IdRanges((int(row[first]), int(row[last])) for row in rows if row["source"] == "rest")
    return tuple(left for hole in holes for left in hole.subtract(received))
