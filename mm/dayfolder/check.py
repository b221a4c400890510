"""Check a recorded day on the disk, independently of its writer."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mm.clock import US_PER_S
from mm.dayfolder import layout, rows
from mm.dayfolder.check_books import Replay, read_diffs
from mm.dayfolder.check_frames import FrameFile, FrameSink
from mm.dayfolder.check_trades import TradeRange, check_trades
from mm.dayfolder.check_whole import WholeDay, schema_difference
from mm.dayfolder.coverage import ValidTime, missing_in
from mm.dayfolder.day_grids import DayGrids
from mm.dayfolder.layout import DayFolder, day_folder, existing
from mm.dayfolder.ledger import EVENT_KEYS, LOST, Event, LedgerView, is_hole, read_gaps
from mm.dayfolder.line_files import FileTail
from mm.dayfolder.manifest import FileEntry, contents, day_files, read_manifest, trades_provable
from mm.dayfolder.recovery import readable_market
from mm.dayfolder.rows import CheckedLines, Defect, DefectList, FileRows, RowOrder
from mm.dayfolder.seal import differing
from mm.errors import BrokenFile, OffGrid
from mm.ids import MissingIds
from mm.instrument import e8

if TYPE_CHECKING:
    from mm.dayfolder.check_orders import OrderLogCheck


class CheckReport(msgspec.Struct, frozen=True):
    """The result of a check.

    Attributes:
        gaps: Declared gaps of update ids, which are no defects.
        trade_gaps: Spans with missing trades, which are no time with a market.
        standing_s: Spans in which trades print through a standing book, if given.
        trades_provable: As in the manifest; None where `trade_id` shows which are missing.
    """

    ok: bool
    sealed: bool
    defects: list[Defect]
    covered_s: float
    gaps: int
    trades: int = 0
    trade_gaps: int = 0
    trade_gaps_s: float = 0.0
    standing_s: float = 0.0
    order_log: str = ""
    fifo_consistency: float | None = None
    trades_provable: bool | None = None


def check_day(folder: DayFolder, standing: Sequence[tuple[int, int]] = ()) -> CheckReport:
    """Read every file and report the defects; raises MissingDay."""
    day_folder(folder.root, folder.symbol, folder.day)  # it must exist
    return _DayCheck(folder).report(standing)


class _DayCheck:
    def __init__(self, folder: DayFolder) -> None:
        self._folder = folder
        self._findings = DefectList(folder)
        self._view = LedgerView.of(folder, self._findings)
        self._numbered: list[RowOrder] = []
        self._frame_rows: RowOrder | None = None
        self._top_n: int | None = None
        self._lines: list[CheckedLines] = []
        self._log: OrderLogCheck | None = None
        if folder.order_log.is_file():
            from mm.dayfolder import check_orders  # a recorder's machine has no numpy

            self._log = check_orders.OrderLogCheck(folder, self._findings)

    def report(self, standing: Sequence[tuple[int, int]]) -> CheckReport:
        folder, findings = self._folder, self._findings
        if self._required(folder.events):
            check_events(self._view, findings, self._order(self._view.path, counts=True))
        if gap_rows := existing(folder.gaps):
            check_gap_rows(self._view, findings, self._order(gap_rows))
        check_snapshot_files(folder, self._view, findings)
        grids = DayGrids.of(folder, self._view, findings)
        valid, prices_e8 = self._check_books(grids)
        trades = self._required(folder.trades)
        count, holes = 0, list[MissingIds]()
        if trades:
            source, within = self._source(trades, 0), TradeRange.of(folder, prices_e8)
            market = readable_market(folder, self._view)
            missing = check_trades(self._view, grids, findings, source, within, market)
            count = max(source.lines.row, 0)
            if missing or self._view.of_kind("trade_gap"):
                holes = missing_in(folder, self._view, max((end for _, end in valid.stretches), default=0))
        for path in (folder.contract, folder.best):
            if present := existing(path):
                self._check_contract(present, folder.columns_of(path) or ())
        self._check_quarantine()
        rows.check_numbers(self._numbered, findings)
        WholeDay(folder, self._view, self._numbered, self._frame_rows, findings).check()
        self._check_schema()
        orders = self._log.report() if self._log else None
        sealed = self._check_manifest()
        defects = findings.defects()
        gaps = len(self._view.of_kind("gap"))
        lost_s = sum(hole.to_us - hole.from_us for hole in holes) / US_PER_S
        covered_s = valid.without_us([*(hole[2:] for hole in holes), *standing]) / US_PER_S
        standing_s = sum(end - begin for begin, end in standing) / US_PER_S
        return CheckReport(
            not defects,
            sealed,
            defects,
            covered_s,
            gaps,
            count,
            len(holes),
            lost_s,
            standing_s,
            *((orders.line(), orders.fifo_consistency) if orders else ("", None)),
            trades_provable(folder),
        )

    def _required(self, path: Path) -> Path | None:
        present = existing(path)
        if present is None:
            self._findings.add(path, None, "missing_file", "a day must have this file")
        return present

    def _order(self, path: Path, *, counts: bool = False) -> RowOrder:
        view = self._view
        order = RowOrder(path, self._findings, self._folder.day, view.runs or None, view.runs_with("clock_step"))
        if counts:
            self._numbered.append(order)
        return order

    def _source(self, path: Path, first_row: int) -> FileRows:
        lines = CheckedLines(path, self._findings, first_row)
        self._lines.append(lines)
        return FileRows(lines, self._order(path, counts=True))

    def _check_books(self, grids: DayGrids) -> tuple[ValidTime, tuple[int, int] | None]:
        folder, findings = self._folder, self._findings
        diffs, frames = existing(folder.diffs), existing(folder.frames)
        if not diffs and not frames:
            findings.add(folder.diffs, None, "missing_file", "a day must have diffs or frames")
        frame_file = None
        if frames:
            self._frame_rows = self._order(frames)
            frame_file = FrameFile(frames, findings, self._frame_rows)
            self._lines.append(frame_file.lines)
            self._top_n = frame_file.top_n
        sink = frame_file if frame_file and diffs else FrameSink()
        replay = Replay(folder, self._view, sink, grids, findings, self._log)
        if diffs:
            replay.play(read_diffs(self._source(diffs, 1), findings), diffs)
        else:
            replay.play(iter(()), folder.diffs)
        if frame_file and not diffs:
            opened = frozenset(event.epoch_id for event in self._view.of_kind("snapshot_loaded"))
            frame_file.check_alone(grids, opened, replay.coverage)
        return replay.coverage, replay.prices_e8

    def _check_contract(self, path: Path, columns: tuple[str, ...]) -> None:
        lines, order = CheckedLines(path, self._findings, 0), self._order(path, counts=True)
        self._lines.append(lines)
        _, head = next(lines, (0, ""))
        if tuple(head.split(",")) != columns:
            self._findings.add(path, 0, "header", f"the columns are {head}; they must be {','.join(columns)}")
            return
        for row, line in lines:
            cells = line.split(",")
            if len(cells) != len(columns):
                self._findings.add(path, row, "columns", f"{len(cells)} cells; there must be {len(columns)}")
                continue
            named = dict(zip(columns, cells, strict=True))
            try:
                recv_ms, recv_us = int(named["recv_time_ms"]), int(named["recv_time_us"])
                at = rows.Arrival(int(named["recv_seq"]), named["run_id"], recv_ms, recv_us)
                for name, text in named.items():
                    _check_cell(name, text)
            except (ValueError, OffGrid) as error:
                self._findings.add(path, row, "type", str(error))
                continue
            order.check_row(row, at)

    def _check_quarantine(self) -> None:
        path = existing(self._folder.quarantine)
        if not path:
            return
        order = RowOrder(path, self._findings, self._folder.day, None, ())
        self._numbered.append(order)
        decode = msgspec.json.Decoder(dict[str, int | str]).decode
        for row, line in CheckedLines(path, self._findings):
            try:
                kept = decode(line)
                if tuple(kept) != layout.QUARANTINE_KEYS:
                    raise ValueError(
                        f"the keys are {', '.join(kept)}; they must be {', '.join(layout.QUARANTINE_KEYS)}"
                    )
                msgspec.convert(kept["raw_base64"], bytes)
                seq = msgspec.convert(kept["recv_seq"], int)
            except (ValueError, msgspec.MsgspecError) as error:
                self._findings.add(path, row, "type", str(error))
                continue
            order.check_number(row, seq, -1)  # its time may be broken as well

    def _check_schema(self) -> None:
        path = self._folder.schema
        if not path.is_file():
            return
        try:
            schema = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
        except (ValueError, msgspec.MsgspecError) as error:
            self._findings.add(path, None, "schema", f"not a JSON object: {error}")
            return
        version = schema.get("schema_version")
        if not isinstance(version, int) or not 1 <= version <= layout.SEQUENCED_SCHEMA_VERSION:
            self._findings.add(
                path,
                None,
                "schema",
                f"schema_version is {version!r}; known versions are 1 to {layout.SEQUENCED_SCHEMA_VERSION}",
            )
        elif self._top_n is not None and (trouble := schema_difference(schema, self._folder, self._top_n)):
            self._findings.add(path, None, "schema", trouble)

    def _check_manifest(self) -> bool:
        try:
            manifest = read_manifest(self._folder)
        except BrokenFile as error:
            self._findings.add(self._folder.manifest, None, "manifest", str(error))
            return False
        if manifest is None or not manifest.sealed:
            return False
        tails = {lines.path: lines.whole_tail() for lines in self._lines}
        altered = {file.path: file.what for file in differing(self._folder, manifest, day_files(self._folder))}
        for entry in manifest.files:
            path = self._folder.path / entry.path
            if path not in altered and (trouble := _row_difference(self._folder, path, entry, tails.get(path))):
                altered[path] = trouble
        for path, trouble in altered.items():
            self._findings.add(path, None, "manifest", trouble)
        return True


def _row_difference(folder: DayFolder, path: Path, entry: FileEntry, tail: FileTail | None) -> str:
    try:
        actual = contents(folder, path, tail)
    except BrokenFile as error:
        return str(error)
    sealed = (entry.rows, entry.first_id, entry.last_id)
    if (actual.rows, actual.first_id, actual.last_id) == sealed:
        return ""
    return f"rows, first_id, last_id are {actual.rows}, {actual.first_id}, {actual.last_id}, in the manifest {sealed}"


_FIRST_EVENTS = ("run_start", "crash_recovered", "tail_recovered")


def check_events(view: LedgerView, findings: DefectList, order: RowOrder) -> None:
    last_id, last_run, epoch = 0, "", 0
    for event in view.events:
        order.check_row(event.row, event.at)
        new_run = event.at.run_id != last_run
        if event.event_id <= last_id or (not new_run and event.event_id != last_id + 1):
            message = f"event {event.event_id} follows {last_id}; ids must increase, within a run by 1"
            findings.add(view.path, event.row, "event_id", message)
        for trouble in _invalid_details(event):
            findings.add(view.path, event.row, "event", trouble)
        loaded = event.kind == "snapshot_loaded"
        if event.epoch_id > epoch + loaded or (loaded and event.epoch_id != epoch + 1):
            expected = f"{epoch + 1}" if loaded else f"at most {epoch}"
            findings.add(view.path, event.row, "epoch", f"{event.kind} is in epoch {event.epoch_id}, not {expected}")
        last_id, last_run, epoch = max(last_id, event.event_id), event.at.run_id, max(epoch, event.epoch_id)
    _check_runs(view, findings)


def check_gap_rows(view: LedgerView, findings: DefectList, order: RowOrder) -> None:
    events = {event.at.seq: event for event in view.events}
    repeats = set()
    for repeated in read_gaps(order.path, findings):
        order.check_row(repeated.row, repeated.at)
        event = events.get(repeated.at.seq)
        repeats.add((repeated.at.run_id, repeated.kind))
        same = (repeated.at, repeated.epoch_id, repeated.kind, repeated.details)
        if event is None or (event.at, event.epoch_id, event.kind, event.details) != same:
            message = f"no such {repeated.kind} of recv_seq {repeated.at.seq} in the ledger"
            findings.add(order.path, repeated.row, "event", message)
    numbers, stopped = set(order.seqs), view.runs_with("run_stop")
    left_out = {start.at.run_id for start in view.of_kind("run_start") if not _kept_gaps(start)}
    for event in view.events:
        run = event.at.run_id
        repeats_it = event.kind in ("gap", "trade_gap") or (
            event.kind == "resync_start" and (run, event.kind) in repeats
        )
        if repeats_it and event.at.seq not in numbers and run in stopped and run not in left_out:
            message = f"the {event.kind} of recv_seq {event.at.seq} is in the ledger (row {event.row}), but not here"
            findings.add(order.path, None, "gap_row", message)


def _kept_gaps(start: Event) -> bool:
    knobs = start.details.get("knobs")
    return not isinstance(knobs, dict) or knobs.get("write_gaps", True) is not False


def check_snapshot_files(folder: DayFolder, view: LedgerView, findings: DefectList) -> None:
    loaded = view.loaded_names
    for path in sorted(folder.snapshots.glob("*")):
        if path.name.removesuffix(layout.PACKED) not in loaded:
            findings.add(path, None, "orphan", "no snapshot_loaded event refers to this file; remove it")


def _invalid_details(event: Event) -> Iterator[str]:
    keys = EVENT_KEYS.get(event.kind)
    if keys is None:
        yield f"{event.kind!r} is not an event type"
        return
    missing = [key for key in keys if key not in event.details]
    if missing:
        yield f"{event.kind} lacks {', '.join(missing)} in its details"
    elif event.kind in ("gap", "trade_gap") and event.details["from_id"] is not None and not is_hole(event.details):
        yield f"{event.kind} from {event.details['from_id']} to {event.details['to_id']} is not a valid range of ids"


def _check_runs(view: LedgerView, findings: DefectList) -> None:
    runs: dict[str, list[Event]] = {}
    for event in view.events:
        runs.setdefault(event.at.run_id, []).append(event)
    recovered = {event.details.get("previous_run_id") for event in view.events if event.kind == "crash_recovered"}
    last_run = next(reversed(runs), None)
    for run_id, events in runs.items():
        for event, trouble in _invalid_sequence(events):
            findings.add(view.path, event.row, "state", f"run {run_id}: {trouble}")
        if run_id not in (last_run, *recovered, *view.runs_with("run_stop")):
            message = f"run {run_id} has neither run_stop nor its crash_recovered, but another run follows"
            findings.add(view.path, events[-1].row, "state", message)


def _invalid_sequence(events: list[Event]) -> Iterator[tuple[Event, str]]:
    kinds = [event.kind for event in events]
    if "run_start" not in kinds or kinds[0] not in _FIRST_EVENTS:
        yield events[0], f"begins with {kinds[0]}, not with run_start"
    lost = any(event.details.get("kind") == LOST for event in events)  # it may have been a request
    has_requests = "snapshot_request" in kinds and not lost  # imports have snapshots without a request
    seen: set[str] = set()
    waiting, loaded_id = False, None
    for event in events:
        kind = event.kind
        if kind in seen and kind in ("run_start", "run_stop", "window_start", "window_end"):
            yield event, f"second {kind}"
        if "run_stop" in seen and kind != "run_stop":
            yield event, f"{kind} after run_stop"
        if kind == "window_end" and "window_start" not in seen:
            yield event, "window_end without window_start"
        if kind == "resync_done" and "resync_start" not in seen:
            yield event, "resync_done without resync_start"
        if kind == "resync_done" and loaded_id not in (None, event.details.get("last_update_id")):
            yield event, f"resync_done with another last_update_id than the snapshot, which has {loaded_id}"
        if kind == "snapshot_loaded":
            loaded_id = event.details.get("last_update_id")
        if kind == "snapshot_request" and waiting:
            yield event, "snapshot_request while another one is neither loaded nor failed"
        if kind in ("snapshot_loaded", "snapshot_failed"):
            carried = str(event.details.get("path", "")).endswith(("_carried.csv", "_carried.csv.gz"))
            if has_requests and not waiting and not carried:
                yield event, f"{kind} without snapshot_request"
        waiting = kind == "snapshot_request" or (waiting and kind not in ("snapshot_loaded", "snapshot_failed"))
        seen = seen - {"resync_start"} if kind == "resync_done" else seen | {kind}


_DECIMALS = ("_price", "price", "_rate", "qty", "open_interest")
_KINDS = (layout.MARK, layout.LIQUIDATION, layout.OPEN_INTEREST)


def _check_cell(name: str, text: str) -> None:
    if name == "kind" and text not in _KINDS:
        raise ValueError(f"kind is {text!r}; it must be one of {', '.join(_KINDS)}")
    if name == "event_time_ms" or (text and name.endswith("_ms")):
        int(text)
    elif text and name.endswith(_DECIMALS):
        e8(text)
