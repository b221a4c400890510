"""Rebuild the books of a day from its snapshots and diffs, and compare the recorded frames with them."""

from collections.abc import Iterator
from itertools import chain, takewhile
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mm.clock import checked_stamp
from mm.dayfolder import layout, rows
from mm.dayfolder.check_frames import FrameSink, Wanted
from mm.dayfolder.coverage import ValidTime
from mm.dayfolder.day_grids import DayGrids
from mm.dayfolder.layout import DayFolder, existing
from mm.dayfolder.ledger import Event, LedgerView, ids_begin_anew, is_halt, is_hole, with_events
from mm.dayfolder.recovery import readable_market
from mm.dayfolder.rows import Arrival, CheckedLines, DefectList, DiffLine, FileRows, Stamp
from mm.errors import OffGrid
from mm.ids import Follow, IdRanges, IdSequence, MissingIds
from mm.markets import local_orderbook
from mm.markets.local_orderbook import Level, LocalOrderBook, SnapshotDepth
from mm.markets.records import Levels
from mm.markets.sequence import HORIZON, SyncEngine, Verdict

if TYPE_CHECKING:
    from mm.dayfolder.check_orders import OrderLogCheck

OFF_STEP = "not a multiple of the quantity step at this row (see instrument.json and the ledger)"
OFF_TICK = "not a multiple of the tick size at this row (see instrument.json and the ledger)"


class ReadDiff(NamedTuple):
    """A depth message and its row.

    Attributes:
        tick_e8, lot_e8: Greatest common divisors of prices and quantities, 1e-8; 0 without any, -1 if unknown.
    """

    row: int
    diff: DiffLine
    tick_e8: int = -1
    lot_e8: int = -1


class _RawDiff(DiffLine):
    b: msgspec.Raw  # type: ignore[assignment]
    a: msgspec.Raw  # type: ignore[assignment]


_LINE, _RAW = msgspec.json.Decoder(DiffLine), msgspec.json.Decoder(_RawDiff)


def read_diffs(source: FileRows, findings: DefectList) -> Iterator[ReadDiff]:
    """An unreadable row is a finding and skipped."""
    path, order = source.lines.path, source.order
    for row, line in source.lines:
        try:
            diff, *steps = _parsed(line)
            checked_stamp(diff.E, "E")
            if diff.T is not msgspec.UNSET:
                checked_stamp(diff.T, "T")
            if diff.u < diff.U:
                raise ValueError(f"U is {diff.U}, greater than u {diff.u}")
            for price, qty in chain(diff.b, diff.a) if not steps else ():
                rows.decimal(qty, "qty")
                if not price.strip("0."):
                    raise ValueError(f"price is {price!r}; it must be above 0")
        except (ValueError, msgspec.MsgspecError) as error:
            findings.add(path, row, "type", str(error))
            continue
        order.check_row(row, Arrival(diff.recv_seq, diff.run_id, diff.recv_ms, diff.recv_us))
        yield ReadDiff(row, diff, *steps)


def _parsed(line: str) -> tuple[DiffLine] | tuple[DiffLine, int, int]:
    if local_orderbook.kernel:
        try:
            raw = _RAW.decode(line)
        except (ValueError, msgspec.MsgspecError):
            return (_LINE.decode(line),)  # its message names the place
        bids, asks = map(local_orderbook.kernel.read_levels, (raw.b, raw.a))
        if bids is not None and asks is not None:
            raw.b, raw.a = bids, asks
            return raw, gcd(bids.step_e8, asks.step_e8), gcd(bids.lot_e8, asks.lot_e8)
    return (_LINE.decode(line),)


class Replay:
    """Replays ledger and diffs in order of `recv_seq`.

    Attributes:
        prices_e8: Lowest best bid and highest best ask; None if no book had both.
    """

    def __init__(
        self,
        folder: DayFolder,
        view: LedgerView,
        frames: FrameSink,
        grids: DayGrids,
        findings: DefectList,
        log: "OrderLogCheck | None" = None,
    ) -> None:
        self._log = log
        self.coverage = ValidTime()
        self.undeclared: list[MissingIds] = []
        self._seen_us = 0
        self._folder = folder
        self._view = view
        self._frames = frames
        self._grids = grids
        self._findings = findings
        self._holes = view.holes("gap")
        self._stopped = view.runs_with("run_stop")
        self._off_tick = _off_tick_levels(view)
        self._beyond = _ids_beyond(view)
        self._halted = False
        self._limit: int | None = None
        self._horizons: list[tuple[int, int]] = []
        self._received = IdRanges()
        self._reread = any(event.details.get("kind") == "reread" for event in view.of_kind("anomaly"))
        self.prices_e8: tuple[int, int] | None = None
        self._diffs = folder.diffs
        self._rule = readable_market(folder, view).rule
        self._engine: SyncEngine[ReadDiff] = SyncEngine(rule=self._rule)
        self._book = LocalOrderBook(grids.price, in_e8=True)
        self._run = ""
        self._epoch = 0
        self._loaded_seq = 0
        self.seen = IdSequence()

    def play(self, diffs: Iterator[ReadDiff], path: Path) -> None:
        self._diffs = path
        for item in with_events(diffs, self._view.events, lambda read: read.diff.recv_seq):
            if isinstance(item, Event):
                self._event(item)
            else:
                self._diff(item)
        self._end_run()
        self._frames.finish()

    def _event(self, event: Event) -> None:
        self._begin_run(event.at.run_id)
        if event.kind == "snapshot_loaded":
            self._load(event)
        elif event.kind == "run_start":
            self._limit = _snapshot_limit(event)
        elif event.kind == "resync_start":
            self._invalidate()
            if ids_begin_anew(event):
                self._engine.start_again()
                self._received, self.seen = IdRanges(), IdSequence()
        elif event.kind == "clock_step":
            self.coverage.stepped(event)
        elif event.kind == "exchange_info":
            self._halted = is_halt(event)
            if self._halted:
                self.coverage.stop()
        elif event.kind == "gap" and not self._reread:
            self._check_hole(event)

    def _diff(self, read: ReadDiff) -> None:
        row, diff, _, lot_e8 = read
        self._begin_run(diff.run_id)
        self._check_ids(row, diff)
        self._seen_us = diff.recv_us
        self._received.add(diff.U, diff.u)
        off = None
        if not self._grids.are_lots(lot_e8, diff.recv_seq):
            off = self._grids.off_step((qty for _, qty in chain(diff.b, diff.a)), diff.recv_seq)
        if off:
            self._findings.add(self._diffs, row, "off_step", f"quantity {off} is {OFF_STEP}")
        if self._log is not None:
            self._log.follow(row, diff)
        verdict = self._engine.diff(diff.U, diff.u, read)
        if verdict is Verdict.APPLY:
            self._apply(read)
        elif verdict in (Verdict.GAP, Verdict.RESET):
            if verdict is Verdict.RESET:
                self._received = IdRanges([(diff.U, diff.u)])
            self.coverage.stop()

    def _load(self, event: Event) -> None:
        levels = read_snapshot(self._folder, self._view, event, self._findings)
        last_id = event.details.get("last_update_id")
        if levels is None or not isinstance(last_id, int):
            return
        if self._log is not None:
            self._log.whole(last_id, *levels, event.at.recv_us)
        bridge = self._engine.snapshot(last_id)
        if bridge.verdict is Verdict.RESET:
            self._received = IdRanges()
        if bridge.verdict in (Verdict.STALE, Verdict.TOO_OLD):
            message = f"snapshot of update id {last_id} is {bridge.verdict.value} for the diffs around it"
            self._findings.add(self._view.path, event.row, "snapshot", message)
            return
        if not self._on_grid(self._view.path, event.row, event.at.seq, levels):
            return
        if self.seen.last_id is None or bridge.verdict is Verdict.RESET or last_id > self.seen.last_id:
            self.seen = IdSequence(last_id)
        self._book = LocalOrderBook.of(*levels, key=self._grids.price, in_e8=True)
        self._epoch, self._loaded_seq = event.epoch_id, event.at.seq
        carried = str(event.details.get("path")).endswith("_carried.csv")
        depth = SnapshotDepth.of(*levels, key=self._grids.price)
        self._horizons = depth.horizons(self._limit) if self._limit and not carried else []
        if self._crossed(event.at.seq, self._view.path, event.row):
            return
        for read in bridge.updates:
            if self._engine.synced:
                self._apply(read)

    def _apply(self, read: ReadDiff) -> None:
        row, diff, tick_e8, _ = read
        declared = self._off_tick.get(diff.u)
        on_tick = declared is not None or self._grids.are_ticks(tick_e8, diff.recv_seq)
        if not on_tick and not self._on_grid(self._diffs, row, diff.recv_seq, self._tick_checked(diff)):
            return
        self._book.change(diff.b, diff.a)
        if declared is not None and not self._leave_out(row, diff.recv_seq, declared):
            return
        if self._crossed(diff.recv_seq, self._diffs, row):
            return
        if diff.u in self._beyond:
            self._invalidate()
            return
        self._check_horizon(row)
        if not self._halted:
            self.coverage.mark(diff.recv_us)
        stamp = Stamp(diff.recv_us, diff.recv_seq, diff.E, diff.u)
        bid, ask = self._book.best()
        if bid is not None and ask is not None:
            low, high = self.prices_e8 or (bid, ask)
            self.prices_e8 = min(low, bid), max(high, ask)
        self._frames.expect(Wanted(stamp, diff.run_id, self._epoch, self._book.cells(self._frames.top_n)))

    def _check_hole(self, event: Event) -> None:
        details = event.details
        if is_hole(details) and (received := self._received & IdRanges([(details["from_id"], details["to_id"])])):
            first, last = next(iter(received))
            message = f"update ids {first} to {last} are in the diffs, but this gap declares them missing"
            self._findings.add(self._view.path, event.row, "gap", message)

    def _tick_checked(self, diff: DiffLine) -> tuple[Levels, Levels]:
        """Levels whose prices must be on the tick, without removals that may concern an omitted level."""
        if not self._off_tick:
            return diff.b, diff.a
        bids, asks = ([level for level in side if level[1].strip("0.")] for side in (diff.b, diff.a))
        return bids, asks

    def _leave_out(self, row: int, seq: int, declared: list[tuple[str, str, str]]) -> bool:
        """Remove levels that the ledger *declared* off the tick; without any, the book is invalid."""
        for side, price, _ in declared:
            self._book.apply(1 if side == "bid" else -1, price, "0")
        if not declared:
            self._invalidate()
        return bool(declared) and self._on_grid(self._diffs, row, seq, self._book.top(self._frames.top_n))

    def _on_grid(self, path: Path, row: int, seq: int, sides: tuple[Levels, Levels]) -> bool:
        try:
            off = self._grids.off_tick((price for price, _ in chain(*sides)), seq)
            trouble = f"price {off} is {OFF_TICK}" if off else None
        except OffGrid as error:
            trouble = str(error)
        if trouble:
            self._findings.add(path, row, "off_tick", trouble)
            self._invalidate()
        return not trouble

    def _crossed(self, seq: int, path: Path, row: int) -> bool:
        """A crossed book becomes invalid, and the ledger must report it."""
        if not self._book.crossed():
            return False
        self._invalidate()
        later = (event for event in self._view.events if event.at.seq > max(seq, self._loaded_seq))
        until_next = takewhile(lambda event: event.kind != "snapshot_loaded", later)
        if not any(map(_reports_crossing, until_next)):
            message = "the rebuilt book is crossed here, but the ledger does not report it"
            self._findings.add(path, row, "crossed", message)
        return True

    def _check_horizon(self, row: int) -> None:
        """Report once per snapshot that the frame has levels beyond the snapshot's."""
        top_n = self._frames.top_n
        if any(self._book.levels_to(side, edge) < top_n for side, edge in self._horizons):
            self._horizons = []
            message = f"the best {top_n} levels reach beyond the snapshot's, but the ledger does not report it"
            self._findings.add(self._diffs, row, HORIZON, message)

    def _check_ids(self, row: int, diff: DiffLine) -> None:
        """Ids in no diff and no snapshot must be declared missing."""
        hole = self.seen.missing_before(diff.U)
        if self.seen.take(diff.U, diff.u) is Follow.GAP and hole and not self._holes.covers(*hole):
            message = f"update ids {hole.first} to {hole.last} are missing before this row, and the ledger has no gap"
            self._findings.add(self._diffs, row, "hole", f"{message} for them")
            self.undeclared.append(MissingIds(*hole, self._seen_us, diff.recv_us))

    def _invalidate(self) -> None:
        if self._engine.synced:
            self._engine.lose()
            self.coverage.stop()

    def _begin_run(self, run_id: str) -> None:
        if run_id != self._run:
            self._end_run()
            self._run = run_id
            self._engine = SyncEngine(rule=self._rule)
            self._received = IdRanges()

    def _end_run(self) -> None:
        self.coverage.stop()
        if self._run:
            self._frames.end_run(stopped=self._run in self._stopped)


def _off_tick_levels(view: LedgerView) -> dict[int, list[tuple[str, str, str]]]:
    """Return the declared levels off the grid by update id; none if the book was dropped instead."""
    declared = (event.details for event in view.of_kind("anomaly"))
    return {
        details["last_id"]: msgspec.convert(details.get("left_out", []), list[tuple[str, str, str]])
        for details in declared
        if details.get("kind") == "off_tick" and isinstance(details.get("last_id"), int)
    }


def _ids_beyond(view: LedgerView) -> set[object]:
    return {event.details.get("last_id") for event in view.of_kind("anomaly") if event.details.get("kind") == HORIZON}


def _snapshot_limit(event: Event) -> int | None:
    knobs = event.details.get("knobs")
    limit = knobs.get("snapshot_limit") if isinstance(knobs, dict) else None
    return limit if isinstance(limit, int) else None


def _reports_crossing(event: Event) -> bool:
    return event.kind == "resync_start" or (event.kind == "anomaly" and event.details.get("kind") == "crossed")


def read_snapshot(
    folder: DayFolder, view: LedgerView, event: Event, findings: DefectList
) -> tuple[list[Level], list[Level]] | None:
    """None if unreadable; a finding has the reason."""
    named = str(event.details.get("path"))
    expected = (folder.snapshot(event.event_id, tag) for tag in layout.SNAPSHOT_TAGS)
    path = next((existing(path) for path in expected if folder.relative(path) == named), None)
    if path is None:
        wanted = f"snapshots/snapshot_{event.event_id}_<tag>.csv"
        findings.add(view.path, event.row, "snapshot", f"{named!r} does not exist, or its name is not {wanted}")
        return None
    sides: dict[str, list[Level]] = {"bid": [], "ask": []}
    by_exchange = view.knob("snapshot_limit", None) is not None  # a capture may have any content
    prices: set[tuple[str, str]] = set()
    expected_cells = [event.at.run_id, str(event.event_id), str(event.details.get("last_update_id"))]
    head, lines = rows.under_header(CheckedLines(path, findings, 0), layout.SNAPSHOT_COLUMNS, 0, findings)
    if not head:
        return None
    for row, line in lines:
        cells = line.split(",")
        try:
            if len(cells) != len(head) or [*cells[:2], cells[5]] != expected_cells or cells[2] not in sides:
                raise ValueError(f"{line!r} is not a level of run, event, lastUpdateId {expected_cells}")
            if by_exchange and (cells[2], cells[3]) in prices:
                raise ValueError(f"{cells[2]} {cells[3]} occurs twice")
            prices.add((cells[2], cells[3]))
            qty = (rows.positive if by_exchange else rows.decimal)(cells[4], "qty")
            sides[cells[2]].append((rows.positive(cells[3], "price"), qty))
        except ValueError as error:
            findings.add(path, row, "type", str(error))
    return sides["bid"], sides["ask"]
