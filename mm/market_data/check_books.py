"""Rebuild the books of a day from its snapshots and diffs, and hold the record against them.

The bridging rule is `SyncEngine`'s, the book is `LocalOrderBook`; what stands here is what the files must say then.
"""

from collections.abc import Iterator
from itertools import chain, takewhile
from pathlib import Path

import msgspec

from mm.clock import checked_stamp, exchange_ms
from mm.errors import OffGrid
from mm.ids import Follow, IdSequence, MissingIds
from mm.market_data.check_frames import Coverage, FrameSink, Wanted
from mm.market_data.check_ledger import Event, LedgerView, read_snapshot
from mm.market_data.check_rows import Arrival, Findings, RowOrder, decimal, lines_of
from mm.market_data.grid import Grid
from mm.market_data.layout import DayFolder
from mm.market_data.local_orderbook import Level, LocalOrderBook
from mm.market_data.messages import Number
from mm.market_data.sync_engine import SyncEngine, Verdict


class DiffRow(msgspec.Struct, forbid_unknown_fields=True, gc=False):
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


_Numbered = tuple[int, DiffRow]


def read_diffs(path: Path, findings: Findings, order: RowOrder) -> Iterator[_Numbered]:
    """Yield the depth messages with their rows; what cannot be read is a finding and left out."""
    decode = msgspec.json.Decoder(DiffRow).decode
    for row, line in lines_of(path, findings):
        try:
            diff = decode(line)
            checked_stamp(diff.E, "E")
            if diff.u < diff.U:
                raise ValueError(f"U is {diff.U}, behind u {diff.u}")
            for _, qty in chain(diff.b, diff.a):
                decimal(qty, "qty")
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
        frames: Takes the frames that must be there; None where the day has none.
        grid: Reads prices.
        findings: Takes what is wrong.

    Attributes:
        coverage: The time in which the book was valid.
        undeclared: Update ids that are missing and that the ledger does not declare.
        seen: The ids that diffs and snapshots have brought.
    """

    def __init__(
        self, folder: DayFolder, view: LedgerView, frames: FrameSink | None, grid: Grid, findings: Findings
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
        self._stopped = view.stopped
        self._off_tick = _told_off_tick(view)
        self._top_n = frames.top_n if frames else 1
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
        events = iter(self._view.events)
        event = next(events, None)
        for row, diff in diffs:
            while event and event.at.seq < diff.recv_seq:
                self._event(event)
                event = next(events, None)
            self._diff(row, diff)
        while event:
            self._event(event)
            event = next(events, None)
        self._end_run()
        if self._frames:
            self._frames.finish()

    def _event(self, event: Event) -> None:
        self._begin_run(event.at.run_id)
        if event.kind == "snapshot_loaded":
            self._load(event)
        elif event.kind == "resync_start":
            self._void()

    def _diff(self, row: int, diff: DiffRow) -> None:
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
        if self._crossed(event.at.seq, self._view.path, event.row):
            return
        for row, diff in bridge.updates:
            if self._engine.synced:
                self._apply(row, diff)

    def _apply(self, row: int, diff: DiffRow) -> None:
        told = self._off_tick.get(diff.u)
        if told is None and not self._on_grid(self._diffs, row, self._holding(diff)):
            return
        for side, levels in ((1, diff.b), (-1, diff.a)):
            for price, qty in levels:
                self._book.apply(side, price, qty)
        if told is not None and not self._leave_out(row, told):
            return
        if self._crossed(diff.recv_seq, self._diffs, row):
            return
        self.coverage.mark(diff.recv_us)
        if self._frames:
            event_ms = exchange_ms(diff.E)
            at = Arrival(diff.recv_seq, diff.run_id, diff.recv_ms, diff.recv_us)
            self._frames.expect(Wanted(at, event_ms, self._epoch, diff.u, *self._book.top(self._top_n)))

    def _holding(self, diff: DiffRow) -> tuple[list[Level], list[Level]]:
        """Return the levels of *diff* whose prices must be on the tick.

        Where the ledger tells of levels that were left out, their removal is none of them.
        """
        if not self._off_tick:
            return diff.b, diff.a
        bids, asks = ([level for level in side if level[1].strip("0.")] for side in (diff.b, diff.a))
        return bids, asks

    def _leave_out(self, row: int, told: list[tuple[str, str, str]]) -> bool:
        """Take the levels that the ledger *told* to be off the tick out of the book; it is void where it names none."""
        for side, price, _ in told:
            self._book.apply(1 if side == "bid" else -1, price, "0")
        if not told:
            self._void()
        return bool(told) and self._on_grid(self._diffs, row, self._book.top(self._top_n))

    def _on_grid(self, path: Path, row: int, sides: tuple[list[Level], list[Level]]) -> bool:
        """Tell whether all prices are such and on the tick; where one is not, the book is void."""
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
        """Tell whether the book is crossed: it is void then, and the ledger must say so."""
        if not self._book.crossed():
            return False
        self._void()
        later = (event for event in self._view.events if event.at.seq > max(seq, self._loaded_seq))
        if not any(_tells_of_crossing(event) for event in takewhile(_is_no_snapshot, later)):
            self._findings.add(path, row, "crossed", "the rebuilt book is crossed here, and the ledger does not say so")
        return True

    def _check_ids(self, row: int, diff: DiffRow) -> None:
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
        if self._frames and self._run:
            self._frames.end_run(stopped=self._run in self._stopped)


def _told_off_tick(view: LedgerView) -> dict[int, list[tuple[str, str, str]]]:
    """Return, by update id, the levels that the ledger says were left out; none where the book was dropped for it."""
    told = (event.details for event in view.events if event.kind == "anomaly")
    return {
        details["last_id"]: msgspec.convert(details.get("left_out", []), list[tuple[str, str, str]])
        for details in told
        if details.get("kind") == "off_tick" and isinstance(details.get("last_id"), int)
    }


def _is_no_snapshot(event: Event) -> bool:
    return event.kind != "snapshot_loaded"


def _tells_of_crossing(event: Event) -> bool:
    return event.kind == "resync_start" or (event.kind == "anomaly" and event.details.get("kind") == "crossed")
