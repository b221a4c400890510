"""Rebuild the books of a day from its snapshots and diffs, and compare the recorded frames with them.

The rule of ids is `SyncEngine`'s, the book is `LocalOrderBook`. Without diffs, frames are checked by themselves.
"""

from collections.abc import Iterator
from itertools import chain, pairwise, takewhile
from pathlib import Path
from typing import NamedTuple

import msgspec

from mm.clock import US_PER_S, checked_stamp
from mm.dayfolder import layout, rows
from mm.dayfolder.layout import DayFolder, existing
from mm.dayfolder.ledger import Event, LedgerView, with_events
from mm.dayfolder.rows import Arrival, DefectList, RowOrder, Stamp
from mm.errors import OffGrid
from mm.ids import Follow, IdSequence, MissingIds
from mm.market_data.grid import Grid
from mm.market_data.local_orderbook import Level, LocalOrderBook, SnapshotDepth
from mm.market_data.sync_engine import HORIZON, SyncEngine, Verdict
from mm.market_data.venue import Number

OPTIONAL_COLUMNS = 2
LOST_AT_MOST_US = 60 * US_PER_S


class Coverage:
    """Add up the time in which the book is valid."""

    def __init__(self) -> None:
        self.total_us = 0
        self._from_us: int | None = None
        self._to_us = 0

    def mark(self, us: int) -> None:
        """The book is valid at *us*, and was since the last mark if there was one since `stop`."""
        if self._from_us is None:
            self._from_us = self._to_us = us
        self._to_us = max(self._to_us, us)

    def stop(self) -> None:
        """The book is valid no longer."""
        if self._from_us is not None:
            self.total_us += self._to_us - self._from_us
            self._from_us = None


class Wanted(NamedTuple):
    """The frame that an applied diff must have left."""

    stamp: Stamp
    run_id: str
    epoch_id: int
    bids: list[Level]
    asks: list[Level]

    def line(self, top_n: int) -> str:
        """Return the line of the frame."""
        return rows.frame_row(self.stamp, self.run_id, self.epoch_id, rows.level_cells(self.bids, self.asks, top_n))


class FrameSink:
    """Takes the frames that the books of a day must have left; this one has no use for them.

    Attributes:
        top_n: Levels per side.
    """

    top_n = 1

    def expect(self, wanted: Wanted) -> None:
        """Take the next frame."""

    def end_run(self, *, stopped: bool) -> None:
        """A run is over; *stopped* in order, or not."""

    def finish(self) -> None:
        """The day is over."""


class _FrameRow(NamedTuple):
    row: int
    at: Arrival
    cells: list[str]


class FrameFile(FrameSink):
    """The frames in their order.

    Args:
        path: The file.
        findings: Takes what is wrong.
        order: Checks arrival.

    Attributes:
        top_n: levels per side, as the header has them.
    """

    def __init__(self, path: Path, findings: DefectList, order: RowOrder) -> None:
        self.path = path
        self._findings = findings
        self._order = order
        head = next(rows.lines_of(path, findings, first_row=0), (0, ""))[1].split(",")
        self.top_n = max(1, layout.levels_shown(head))
        self._columns = layout.frame_columns(self.top_n)
        self._frames = self._read()
        self._next = next(self._frames, None)
        self._missing: list[Wanted] = []

    def expect(self, wanted: Wanted) -> None:
        """Compare the next frame with the one that must be there; those before it should not be there."""
        self._refuse_before(wanted.stamp.recv_seq)
        frame = self._next
        if frame is None or frame.at.seq != wanted.stamp.recv_seq:
            self._missing.append(wanted)
            return
        self._report_missing()
        wrong = self._difference(frame, wanted)
        if wrong:
            self._add(frame.row, "frame_differs", wrong)
        self._next = next(self._frames, None)

    def end_run(self, *, stopped: bool) -> None:
        """A run is over: only where it crashed, frames at its end may be missing, a minute of them at most."""
        if not stopped and self._missing:
            until_us = self._missing[-1].stamp.recv_us - LOST_AT_MOST_US
            self._missing = [wanted for wanted in self._missing if wanted.stamp.recv_us < until_us]
        self._report_missing()

    def finish(self) -> None:
        """The day is over: no frame may be left."""
        self._refuse_before(None)

    def check_alone(self, grid: Grid, epochs: frozenset[int], coverage: Coverage) -> None:
        """Check frames without diffs: they are ordered, never crossed, and of an epoch that was opened."""
        epoch = 0
        while self._next:
            row, at, cells = self._next
            try:
                self._check_levels(cells, grid)
            except (ValueError, OffGrid) as error:
                self._add(row, "levels", str(error))
            if int(cells[4]) not in epochs:
                self._add(row, "epoch", f"epoch {cells[4]} was not opened by a snapshot_loaded")
            if int(cells[4]) != epoch:
                coverage.stop()
            epoch = int(cells[4])
            coverage.mark(at.recv_us)
            self._next = next(self._frames, None)
        coverage.stop()

    def _read(self) -> Iterator[_FrameRow]:
        for row, cells in rows.table(self.path, self._columns, OPTIONAL_COLUMNS, self._findings):
            try:
                at = rows.arrival(cells[2], cells[3], cells[1], cells[-2])
                rows.stamp_ms(cells[0], "event_time_ms")
                rows.whole(cells[4], "epoch_id")
            except ValueError as error:
                self._add(row, "type", str(error))
                continue
            self._order.see(row, at)
            yield _FrameRow(row, at, cells)

    def _refuse_before(self, seq: int | None) -> None:
        while self._next and (seq is None or self._next.at.seq < seq):
            at, epoch = self._next.at, self._next.cells[4]
            self._add(self._next.row, "frame_unexpected", f"no diff of recv_seq {at.seq} was applied in epoch {epoch}")
            self._next = next(self._frames, None)

    def _report_missing(self) -> None:
        row = self._next.row if self._next else None
        for wanted in self._missing:
            at = wanted.stamp
            message = f"the frame of recv_seq {at.recv_seq} (update id {at.last_id}) should stand before this row"
            self._add(row, "frame_missing", message)
        self._missing.clear()

    def _difference(self, frame: _FrameRow, wanted: Wanted) -> str | None:
        """Return the first cell that is not what the rebuilt book has, or None."""
        cells, found = wanted.line(self.top_n).removesuffix("\n").split(","), frame.cells
        if found == cells:
            return None
        every = zip(self._columns, found, cells, strict=True)
        # The trailing columns are empty where an older day has none of them.
        wrong = (
            (name, has, must)
            for n, (name, has, must) in enumerate(every)
            if has != must and (has or n < len(found) - 2)
        )
        name, has, must = next(wrong, ("", "", ""))
        return f"{name} is {has!r}, the rebuilt book has {must!r}" if name else None

    def _check_levels(self, cells: list[str], grid: Grid) -> None:
        sides = []
        for first, sign in ((layout.FRAME_FIRST_LEVEL, -1), (layout.FRAME_FIRST_LEVEL + 2, 1)):
            prices, quantities = cells[first:-2:4], cells[first + 1 : -2 : 4]
            depth = next((n for n, price in enumerate(prices) if not price), len(prices))
            if any(prices[depth:]) or any(quantities[depth:]):
                raise ValueError(f"level {depth + 1} is missing, and one behind it is not")
            for qty in quantities[:depth]:
                rows.decimal(qty, "qty")
            keys = [sign * grid.price(price) for price in prices[:depth]]
            if any(better >= worse for better, worse in pairwise(keys)):
                raise ValueError(f"{'bid' if sign < 0 else 'ask'} prices do not run away from the best")
            off = grid.off_tick(prices[:depth])
            if off:
                raise ValueError(f"price {off} is off the tick")
            sides.append(keys)
        if all(sides) and -sides[0][0] >= sides[1][0]:
            bid, _, ask = cells[layout.FRAME_FIRST_LEVEL :][:3]
            raise ValueError(f"the frame is crossed: bid {bid}, ask {ask}")

    def _add(self, row: int | None, kind: str, message: str) -> None:
        self._findings.add(self.path, row, kind, message)


class DiffLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A line of the diffs file, with exactly the keys of the contract."""

    recv_ms: Number
    recv_us: Number
    recv_seq: Number
    run_id: str
    E: Number
    U: Number
    u: Number
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


_Numbered = tuple[int, DiffLine]


def read_diffs(path: Path, findings: DefectList, order: RowOrder) -> Iterator[_Numbered]:
    """Yield the depth messages with their rows; what cannot be read is a finding and left out."""
    decode = msgspec.json.Decoder(DiffLine).decode
    for row, line in rows.lines_of(path, findings):
        try:
            diff = decode(line)
            checked_stamp(diff.E, "E")
            if diff.u < diff.U:
                raise ValueError(f"U is {diff.U}, behind u {diff.u}")
            for _, qty in chain(diff.b, diff.a):
                rows.decimal(qty, "qty")
        except (ValueError, msgspec.MsgspecError) as error:
            findings.add(path, row, "type", str(error))
            continue
        order.see(row, Arrival(diff.recv_seq, diff.run_id, diff.recv_ms, diff.recv_us))
        yield row, diff


class Replay:
    """Play the ledger and the diffs in the order of `recv_seq`.

    Args:
        folder: The day.
        view: Its ledger.
        frames: Takes the frames that must be there.
        grid: Reads prices.
        findings: Takes what is wrong.

    Attributes:
        coverage: The time in which the book was valid.
        undeclared: Update ids that are missing and that the ledger does not declare.
        seen: The ids that diffs and snapshots have brought.
    """

    def __init__(
        self, folder: DayFolder, view: LedgerView, frames: FrameSink, grid: Grid, findings: DefectList
    ) -> None:
        self.coverage = Coverage()
        self.undeclared: list[MissingIds] = []
        self._seen_us = 0
        self._folder = folder
        self._view = view
        self._frames = frames
        self._grid = grid
        self._findings = findings
        self._holes = view.holes("gap")
        self._stopped = view.runs_with("run_stop")
        self._off_tick = _off_tick_levels(view)
        self._beyond = _ids_beyond(view)
        self._limit: int | None = None
        self._horizons: list[tuple[int, int]] = []
        self._diffs = folder.diffs
        self._engine: SyncEngine[_Numbered] = SyncEngine()
        self._book = LocalOrderBook(grid.price)
        self._run = ""
        self._epoch = 0
        self._loaded_seq = 0
        self.seen = IdSequence()

    def play(self, diffs: Iterator[_Numbered], path: Path) -> None:
        """Check the whole day; *path* is the file of the *diffs*."""
        self._diffs = path
        for item in with_events(diffs, self._view.events, lambda numbered: numbered[1].recv_seq):
            if isinstance(item, Event):
                self._event(item)
            else:
                self._diff(*item)
        self._end_run()
        self._frames.finish()

    def _event(self, event: Event) -> None:
        self._begin_run(event.at.run_id)
        if event.kind == "snapshot_loaded":
            self._load(event)
        elif event.kind == "run_start":
            self._limit = _snapshot_limit(event)
        elif event.kind == "resync_start":
            self._void()

    def _diff(self, row: int, diff: DiffLine) -> None:
        self._begin_run(diff.run_id)
        self._check_ids(row, diff)
        self._seen_us = diff.recv_us
        verdict = self._engine.diff(diff.U, diff.u, (row, diff))
        if verdict is Verdict.APPLY:
            self._apply(row, diff)
        elif verdict in (Verdict.GAP, Verdict.RESET):
            self.coverage.stop()

    def _load(self, event: Event) -> None:
        levels = read_snapshot(self._folder, self._view, event, self._findings)
        last_id = event.details.get("last_update_id")
        if levels is None or not isinstance(last_id, int):
            return
        bridge = self._engine.snapshot(last_id)
        if bridge.verdict in (Verdict.STALE, Verdict.TOO_OLD):
            message = f"snapshot of update id {last_id} is {bridge.verdict.value} for the diffs around it"
            self._findings.add(self._view.path, event.row, "snapshot", message)
            return
        if not self._on_grid(self._view.path, event.row, levels):
            return
        if self.seen.last_id is None or bridge.verdict is Verdict.RESET or last_id > self.seen.last_id:
            self.seen = IdSequence(last_id)
        self._book = LocalOrderBook.of(*levels, key=self._grid.price)
        self._epoch, self._loaded_seq = event.epoch_id, event.at.seq
        carried = str(event.details.get("path")).endswith("_carried.csv")
        depth = SnapshotDepth.of(*levels, key=self._grid.price)
        self._horizons = depth.horizons(self._limit) if self._limit and not carried else []
        if self._crossed(event.at.seq, self._view.path, event.row):
            return
        for row, diff in bridge.updates:
            if self._engine.synced:
                self._apply(row, diff)

    def _apply(self, row: int, diff: DiffLine) -> None:
        declared = self._off_tick.get(diff.u)
        if declared is None and not self._on_grid(self._diffs, row, self._holding(diff)):
            return
        for side, levels in ((1, diff.b), (-1, diff.a)):
            for price, qty in levels:
                self._book.apply(side, price, qty)
        if declared is not None and not self._leave_out(row, declared):
            return
        if self._crossed(diff.recv_seq, self._diffs, row):
            return
        if diff.u in self._beyond:
            self._void()
            return
        self._check_horizon(row)
        self.coverage.mark(diff.recv_us)
        stamp = Stamp(diff.recv_us, diff.recv_seq, diff.E, diff.u)
        self._frames.expect(Wanted(stamp, diff.run_id, self._epoch, *self._book.top(self._frames.top_n)))

    def _holding(self, diff: DiffLine) -> tuple[list[Level], list[Level]]:
        """Return the levels of *diff* whose prices must be on the tick.

        Where the ledger declares levels that were left out, their removal is none of them.
        """
        if not self._off_tick:
            return diff.b, diff.a
        bids, asks = ([level for level in side if level[1].strip("0.")] for side in (diff.b, diff.a))
        return bids, asks

    def _leave_out(self, row: int, declared: list[tuple[str, str, str]]) -> bool:
        """Take the levels that the ledger *declared* off the tick out of the book; with none, it is invalid."""
        for side, price, _ in declared:
            self._book.apply(1 if side == "bid" else -1, price, "0")
        if not declared:
            self._void()
        return bool(declared) and self._on_grid(self._diffs, row, self._book.top(self._frames.top_n))

    def _on_grid(self, path: Path, row: int, sides: tuple[list[Level], list[Level]]) -> bool:
        """Return True if all prices are such and on the tick; where one is not, the book is invalid."""
        try:
            off = self._grid.off_tick(price for price, _ in chain(*sides))
            trouble = f"price {off} is not a multiple of the tick in instrument.json" if off else None
        except OffGrid as error:
            trouble = str(error)
        if trouble:
            self._findings.add(path, row, "off_tick", trouble)
            self._void()
        return not trouble

    def _crossed(self, seq: int, path: Path, row: int) -> bool:
        """Return True if the book is crossed: it is invalid then, and the ledger must report it."""
        if not self._book.crossed():
            return False
        self._void()
        later = (event for event in self._view.events if event.at.seq > max(seq, self._loaded_seq))
        until_next = takewhile(lambda event: event.kind != "snapshot_loaded", later)
        if not any(map(_reports_crossing, until_next)):
            message = "the rebuilt book is crossed here, and the ledger does not report it"
            self._findings.add(path, row, "crossed", message)
        return True

    def _check_horizon(self, row: int) -> None:
        """Check, once a snapshot, that the frame shows no level beyond those that the snapshot has shown."""
        top_n = self._frames.top_n
        if any(self._book.levels_to(side, edge) < top_n for side, edge in self._horizons):
            self._horizons = []
            message = f"the best {top_n} levels reach beyond those of the snapshot, and the ledger does not report it"
            self._findings.add(self._diffs, row, HORIZON, message)

    def _check_ids(self, row: int, diff: DiffLine) -> None:
        """Check that ids that neither a diff nor a snapshot brought are declared missing."""
        hole = self.seen.missing_before(diff.U)
        if self.seen.take(diff.U, diff.u) is Follow.GAP and hole and not self._holes.covers(*hole):
            message = f"update ids {hole.first} to {hole.last} are missing before this row, and the ledger has no gap"
            self._findings.add(self._diffs, row, "hole", f"{message} for them")
            self.undeclared.append(MissingIds(*hole, self._seen_us, diff.recv_us))

    def _void(self) -> None:
        if self._engine.synced:
            self._engine.lose()
            self.coverage.stop()

    def _begin_run(self, run_id: str) -> None:
        if run_id != self._run:
            self._end_run()
            self._run = run_id
            self._engine = SyncEngine()

    def _end_run(self) -> None:
        self.coverage.stop()
        if self._run:
            self._frames.end_run(stopped=self._run in self._stopped)


def _off_tick_levels(view: LedgerView) -> dict[int, list[tuple[str, str, str]]]:
    """Return, by update id, the levels that the ledger reports as left out; none where the book was dropped for it."""
    declared = (event.details for event in view.of_kind("anomaly"))
    return {
        details["last_id"]: msgspec.convert(details.get("left_out", []), list[tuple[str, str, str]])
        for details in declared
        if details.get("kind") == "off_tick" and isinstance(details.get("last_id"), int)
    }


def _ids_beyond(view: LedgerView) -> set[object]:
    """Return the update ids at which, as the ledger reports, the best levels reached beyond the horizon."""
    return {event.details.get("last_id") for event in view.of_kind("anomaly") if event.details.get("kind") == HORIZON}


def _snapshot_limit(event: Event) -> int | None:
    """Return the levels per side that a run requested in snapshots; None where it does not say so."""
    knobs = event.details.get("knobs")
    limit = knobs.get("snapshot_limit") if isinstance(knobs, dict) else None
    return limit if isinstance(limit, int) else None


def _reports_crossing(event: Event) -> bool:
    return event.kind == "resync_start" or (event.kind == "anomaly" and event.details.get("kind") == "crossed")


def read_snapshot(
    folder: DayFolder, view: LedgerView, event: Event, findings: DefectList
) -> tuple[list[Level], list[Level]] | None:
    """Return the bids and asks that *event* loaded, or None where they cannot be read; a finding has the reason."""
    named = str(event.details.get("path"))
    proper = (folder.snapshot(event.event_id, tag) for tag in layout.SNAPSHOT_TAGS)
    path = next((existing(path) for path in proper if folder.relative(path) == named), None)
    if path is None:
        wanted = f"snapshots/snapshot_{event.event_id}_<tag>.csv"
        findings.add(view.path, event.row, "snapshot", f"{named!r} is not there or not named {wanted}")
        return None
    sides: dict[str, list[Level]] = {"bid": [], "ask": []}
    wanted_cells = [event.at.run_id, str(event.event_id), str(event.details.get("last_update_id"))]
    head, lines = rows.under_header(path, layout.SNAPSHOT_COLUMNS, 0, findings)
    if not head:
        return None
    for row, line in lines:
        cells = line.split(",")
        try:
            if len(cells) != len(head) or [*cells[:2], cells[5]] != wanted_cells or cells[2] not in sides:
                raise ValueError(f"{line!r} is no level of run, event, lastUpdateId {wanted_cells}")
            sides[cells[2]].append((rows.decimal(cells[3], "price"), rows.decimal(cells[4], "qty")))
        except ValueError as error:
            findings.add(path, row, "type", str(error))
    return sides["bid"], sides["ask"]
