"""Coverage of a day: times with and without a valid book, and received ids, also as text."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import msgspec

from mm.base.numbers import noun
from mm.clock import US_PER_S, iso
from mm.dayfolder.contract_rows import ContractCoverage, cover_contract
from mm.dayfolder.layout import DayFolder, day_folder, existing, optional_trade_columns, trade_columns
from mm.dayfolder.ledger import Event, LedgerView, excused_trades, halts, ids_begin_anew, is_hole, with_events
from mm.dayfolder.manifest import trades_provable
from mm.dayfolder.recovery import readable_market
from mm.dayfolder.rows import CheckedLines, DefectList, table
from mm.errors import MissingDay
from mm.ids import (
    ConsecutiveIds,
    Follow,
    IdRange,
    IdRanges,
    IdSequence,
    MissingIds,
    missing_trades,
)
from mm.markets.market import Market
from mm.markets.records import Number
from mm.markets.sequence import SequenceRule, SyncEngine, Verdict

# Causes of an invalid book, the most informative first.
CAUSES = (
    "disk_full",
    "crash_recovered",
    "clock_step",
    "gap",
    "stall",
    "ws_disconnected",
    "resync_start",
    "snapshot_failed",
)


class IdRow(msgspec.Struct, gc=False):
    """The cells of a line of the diffs file that give its position in the day."""

    recv_us: Number
    recv_seq: Number
    run_id: str
    U: Number
    u: Number


@dataclass(frozen=True, slots=True)
class Stretch:
    from_us: int
    to_us: int
    cause: str
    from_id: int | None = None
    to_id: int | None = None


@dataclass(slots=True)
class Ids:
    rows: int = 0
    first_id: int | None = None
    last_id: int | None = None
    gaps: int = 0
    missing: int = 0
    undeclared: int = 0
    rest: int = 0

    def take(self, first_id: int, last_id: int, *, rest: bool = False) -> None:
        self.rows += 1
        self.rest += rest
        self.first_id = first_id if self.first_id is None else self.first_id
        self.last_id = last_id if self.last_id is None else max(self.last_id, last_id)

    def declare(self, holes: Iterable[Event]) -> None:
        for event in holes:
            self.gaps += 1
            if is_hole(event.details):
                self.missing += event.details["to_id"] - event.details["from_id"] + 1

    def miss(self, hole: IdRange) -> None:
        self.gaps += 1
        self.undeclared += 1
        self.missing += hole.size


@dataclass(frozen=True, slots=True)
class DayCoverage:
    """One day folder.

    Attributes:
        excluded_s: The rest of the window, which a backtest leaves out.
        trades_provable: Whether the exchange's ids show that no trade is missing; None: `trade_id` does.
    """

    symbol: str
    day: str
    from_us: int
    to_us: int
    covered_s: float
    excluded_s: float
    excluded: list[Stretch]
    epochs: int
    runs: int
    depth: Ids
    trades: Ids
    unreadable: int
    contract: ContractCoverage | None = None
    trades_provable: bool | None = None


def cover(folder: DayFolder, standing: Sequence[tuple[int, int]] = ()) -> DayCoverage:
    """*standing* as in `check_day`; MissingDay without a ledger."""
    day_folder(folder.root, folder.symbol, folder.day)  # it must exist
    if existing(folder.events) is None:
        raise MissingDay(f"{folder.path}: no {folder.events.name}; give a day folder with its ledger")
    findings, times, depth, trades = DefectList(folder), _Times(), Ids(), Ids()
    view = LedgerView.of(folder, findings)
    market = readable_market(folder, view)
    _play(view, _diffs(existing(folder.diffs), findings), times, depth, market.rule)
    runs = list(trade_runs(existing(folder.trades), findings, trades, market))
    window = _window(view, times)
    holes = missing_trades(runs, view.holes("trade_gap"), excused_trades(view.events), window[1])
    depth.declare(view.of_kind("gap"))
    trades.declare(view.of_kind("trade_gap"))
    for hole in missing_trades(runs, view.holes("trade_gap")):
        trades.miss(hole.ids)
    halted = [MissingIds(0, 0, from_us, to_us or times.last_us) for from_us, to_us, _ in halts(view.events)]
    still = [MissingIds(0, 0, *span) for span in standing]
    covered_us, excluded = _split(window, times.cut_out([*holes, *halted, *still]), view.events, (holes, still))
    return DayCoverage(
        symbol=folder.symbol,
        day=folder.day,
        from_us=window[0],
        to_us=window[1],
        covered_s=covered_us / US_PER_S,
        excluded_s=sum(stretch.to_us - stretch.from_us for stretch in excluded) / US_PER_S,
        excluded=excluded,
        epochs=len(view.of_kind("snapshot_loaded")),
        runs=len(view.runs),
        depth=depth,
        trades=trades,
        unreadable=len(findings.defects()),
        contract=cover_contract(folder),
        trades_provable=trades_provable(folder),
    )


class ClockJumps:
    """Rows between which a clock was set forward; the ledger reports the step up to a few rows later."""

    def __init__(self) -> None:
        self._last_us = 0
        self._widest = (0, 0)

    def add(self, us: int) -> None:
        if self._last_us and us - self._last_us > self._widest[1] - self._widest[0]:
            self._widest = self._last_us, us
        self._last_us = us

    def locate(self, step: Event) -> tuple[int, int]:
        (before_us, after_us), self._widest = self._widest, (0, 0)
        by_us = step.details.get("by_us")
        if not isinstance(by_us, int) or by_us <= 0 or 2 * (after_us - before_us) < by_us:
            return 0, 0
        return max(before_us, after_us - by_us), after_us


class ValidTime:
    """Time with a valid book, row by row, without clock steps."""

    def __init__(self) -> None:
        self.total_us = 0
        self.stretches: list[tuple[int, int]] = []
        self._from_us = 0
        self._last_us: int | None = None
        self._jumps = ClockJumps()

    def mark(self, us: int) -> None:
        if self._last_us is not None:
            self._jumps.add(us)
            self.total_us += max(us - self._last_us, 0)
        else:
            self._jumps = ClockJumps()
            self._jumps.add(us)
            self._from_us = us
        self._last_us = max(us, self._last_us or 0)

    def stop(self) -> None:
        if self._last_us is not None:
            self.stretches.append((self._from_us, self._last_us))
        self._last_us = None

    def without_us(self, holes: Iterable[tuple[int, int]]) -> int:
        left_us, last_us = self.total_us, 0
        for from_us, to_us in sorted(holes):
            shared = (min(to_us, end) - max(from_us, last_us, begin) for begin, end in self.stretches)
            left_us -= sum(us for us in shared if us > 0)
            last_us = max(last_us, to_us)
        return left_us

    def stepped(self, step: Event) -> None:
        """A forward step does not count; after a backward step time continues from there."""
        if self._last_us is not None:
            self.mark(step.at.recv_us)
            self._last_us = step.at.recv_us
        from_us, to_us = self._jumps.locate(step)
        self.total_us -= to_us - from_us


class _Times:
    def __init__(self) -> None:
        self.stretches: list[tuple[int, int]] = []
        self.last_us = 0
        self._from_us: int | None = None
        self._jumps = ClockJumps()

    def add(self, us: int) -> None:
        self.last_us = max(self.last_us, us)
        self._jumps.add(us)

    def stepped(self, step: Event) -> None:
        jump = MissingIds(0, 0, *self._jumps.locate(step))
        if jump.from_us < jump.to_us:
            valid = self._from_us is not None
            self.stop(self.last_us)
            self.stretches = self.cut_out([jump])
            if valid:
                self.start(max(self.last_us, jump.to_us))

    def start(self, us: int) -> None:
        if self._from_us is None:
            self._from_us = us

    def stop(self, us: int) -> None:
        if self._from_us is not None:
            self.stretches.append((self._from_us, max(us, self._from_us)))
            self._from_us = None

    def cut_out(self, holes: Iterable[MissingIds]) -> list[tuple[int, int]]:
        left = self.stretches
        for hole in holes:
            pieces = [((a, min(b, hole.from_us)), (max(a, hole.to_us), b)) for a, b in left]
            left = [(a, b) for a, b in chain.from_iterable(pieces) if a < b]
        return left


def _play(view: LedgerView, diffs: Iterator[IdRow], times: _Times, ids: Ids, rule: SequenceRule) -> None:
    engine: SyncEngine[None] = SyncEngine(rule=rule)
    open_: set[object] = set()
    run, seen, declared = "", IdSequence(), view.holes("gap")
    known_us = 0  # arrival of the last depth message or snapshot
    lost_us: int | None = None  # end of the last connection
    for item in with_events(diffs, view.events, lambda diff: diff.recv_seq):
        at = item.at if isinstance(item, Event) else item
        if at.run_id != run:
            times.stop(times.last_us if lost_us is None else lost_us)
            run, engine, open_, lost_us = at.run_id, SyncEngine(rule=rule), set(), None
        times.add(at.recv_us)
        if isinstance(item, IdRow):
            ids.take(item.U, item.u)
            hole = seen.missing_before(item.U)
            if seen.take(item.U, item.u) is Follow.GAP and hole and not declared.covers(*hole):
                ids.miss(hole)
            if engine.diff(item.U, item.u, None) in (Verdict.GAP, Verdict.RESET):
                times.stop(known_us)
            known_us = at.recv_us
        elif item.kind == "snapshot_loaded":
            last_id = item.details["last_update_id"]
            verdict = engine.snapshot(last_id).verdict
            if verdict in (Verdict.APPLY, Verdict.RESET):
                times.start(at.recv_us)
                known_us = at.recv_us
            if seen.last_id is None or verdict is Verdict.RESET or last_id > seen.last_id:
                seen = IdSequence(last_id)
        elif item.kind in ("gap", "resync_start"):
            anew = ids_begin_anew(item)
            forget, seen = (engine.start_again, IdSequence()) if anew else (engine.lose, seen)
            forget()
            times.stop(known_us if item.kind == "gap" else at.recv_us)
        elif item.kind == "ws_connected":
            open_.add(item.details["conn"])
            lost_us = None
        elif item.kind == "ws_disconnected":
            open_.discard(item.details["conn"])
            lost_us = None if open_ else at.recv_us
        elif item.kind == "clock_step":
            times.stepped(item)
    times.stop(times.last_us if lost_us is None else lost_us)


def _diffs(path: Path | None, findings: DefectList) -> Iterator[IdRow]:
    if path is None:
        return
    decode = msgspec.json.Decoder(IdRow).decode
    for row, line in CheckedLines(path, findings):
        try:
            yield decode(line)
        except msgspec.MsgspecError as error:
            findings.add(path, row, "type", str(error))


def trade_runs(path: Path | None, findings: DefectList, ids: Ids, market: Market) -> Iterator[ConsecutiveIds]:
    """Each id once; all are counted in *ids*."""
    if path is None:
        return
    columns = trade_columns(market), optional_trade_columns(market)
    seen = IdRanges()
    for row, cells in table(CheckedLines(path, findings, 0), *columns, findings):
        try:
            trade_id, us = int(cells[4]), int(cells[9] or int(cells[1]) * 1000)
        except ValueError as error:
            findings.add(path, row, "type", str(error))
            continue
        ids.take(trade_id, trade_id, rest=cells[12] == "rest")
        if trade_id not in seen:
            seen.add(trade_id, trade_id)
            yield ConsecutiveIds(trade_id, trade_id, us, us)


def missing_in(folder: DayFolder, view: LedgerView, until_us: int) -> list[MissingIds]:
    """Missing trades with the arrivals around them (the last ones until *until_us*), except those lost with a
    connection.
    """
    runs = trade_runs(existing(folder.trades), DefectList(folder), Ids(), readable_market(folder, view))
    return missing_trades(runs, view.holes("trade_gap"), excused_trades(view.events), until_us)


def _window(view: LedgerView, times: _Times) -> tuple[int, int]:
    opened = [event.at.recv_us for event in view.of_kind("window_start")]
    closed = [event.at.recv_us for event in view.of_kind("window_end")]
    first = min(opened, default=view.events[0].at.recv_us if view.events else 0)
    end = max(closed, default=times.last_us)
    return first, end if end >= first else times.last_us  # a clock that was set back by more than the day has lasted


def _split(
    window: tuple[int, int],
    covered: Sequence[tuple[int, int]],
    events: Sequence[Event],
    holes: tuple[Sequence[MissingIds], Sequence[MissingIds]],
) -> tuple[int, list[Stretch]]:
    (at, end_us), covered_us, excluded = window, 0, []
    for start, end in [*covered, (end_us, end_us)]:
        low, high = min(max(start, at), end_us), min(end, end_us)
        if low > at:
            excluded.append(_explained(at, low, events, *holes))
        covered_us += max(high - low, 0)
        at = max(at, high)
    return covered_us, excluded


def _explained(
    from_us: int, to_us: int, events: Sequence[Event], trades: Sequence[MissingIds], still: Sequence[MissingIds]
) -> Stretch:
    of_trades = next((hole for hole in trades if from_us <= hole.to_us and hole.from_us <= to_us), None)
    if of_trades:
        return Stretch(from_us, to_us, "trades missing", *of_trades.ids)
    if any(span.from_us < to_us and from_us < span.to_us for span in still):
        return Stretch(from_us, to_us, "the book stands still while trades print through it")
    inside = [event for event in events if from_us <= event.at.recv_us <= to_us]
    explaining = next((event for kind in CAUSES for event in inside if event.kind == kind), None)
    holes = [event.details for event in inside if event.kind == "gap" and is_hole(event.details)]
    ids = (holes[0]["from_id"], holes[-1]["to_id"]) if holes else (None, None)
    if explaining is None:
        return Stretch(from_us, to_us, "no book yet" if not inside else inside[0].kind, *ids)
    cause = str(explaining.details.get("cause") or explaining.details.get("reason") or "")
    return Stretch(from_us, to_us, f"{explaining.kind}: {cause}" if cause else explaining.kind, *ids)


MOST_STRETCHES = 20


def coverage_text(coverage: DayCoverage) -> str:
    window_us, count = coverage.to_us - coverage.from_us, len(coverage.excluded)
    share = 100 * coverage.covered_s * US_PER_S / window_us if window_us else 0.0
    lines = [
        f"{coverage.symbol} {coverage.day}  {_time(coverage.from_us)} to {_time(coverage.to_us)} UTC, "
        f"{_duration(window_us)}",
        f"  covered   {_duration(round(coverage.covered_s * US_PER_S))} ({share:.2f} %), "
        f"{coverage.epochs} {noun(coverage.epochs, 'epoch')}, {coverage.runs} {noun(coverage.runs, 'run')}",
        f"  excluded  {_duration(round(coverage.excluded_s * US_PER_S))} in {count} {noun(count, 'span')}",
        *(f"    {_stretch(stretch)}" for stretch in coverage.excluded[:MOST_STRETCHES]),
    ]
    if count > MOST_STRETCHES:
        lines.append(f"    and {count - MOST_STRETCHES} more; --json lists all")
    lines.append(f"  depth     {_ids(coverage.depth)}")
    lines.append(f"  trades    {_trades(coverage)}")
    if (of := coverage.contract) is not None:
        told = f"{of.liquidations:,} liquidations, {of.open_interests:,} open interests, {of.best_prices:,} best prices"
        marked = f"{of.marks:,} marks over {_duration(round(of.marked_s * US_PER_S))}"
        lines.append(f"  contract  {marked}, longest pause {of.longest_pause_s:.1f} s; {told}")
    if coverage.unreadable:
        lines.append(
            f"  {coverage.unreadable} {noun(coverage.unreadable, 'row')} cannot be read; mm data check lists them"
        )
    return "\n".join(lines)


def _stretch(span: Stretch) -> str:
    ids = "" if span.from_id is None else f", ids {span.from_id} to {span.to_id} missing"
    return f"{_time(span.from_us)} to {_time(span.to_us)}  {_duration(span.to_us - span.from_us)}  {span.cause}{ids}"


PROVABLE = {
    True: "the exchange's own ids have no hole, though it does not promise that they count",
    False: "not provable that none is missing: the exchange's ids do not count",
}
"""What is said of a day's trades where `trade_id` is only their count."""


def _trades(coverage: DayCoverage) -> str:
    told = _ids(coverage.trades)
    return told if coverage.trades_provable is None else f"{told}; {PROVABLE[coverage.trades_provable]}"


def _ids(ids: Ids) -> str:
    if not ids.rows:
        return "no rows"
    rest = f", {ids.rest:,} of them from REST" if ids.rest else ""
    gaps = f"{ids.gaps} {noun(ids.gaps, 'gap')}"
    gaps += f" of {ids.missing:,} {noun(ids.missing, 'id')}" if ids.gaps else ""
    gaps += f", {ids.undeclared} of them not in the ledger" if ids.undeclared else ""
    return f"{ids.rows:,} {noun(ids.rows, 'message')}{rest}, ids {ids.first_id} to {ids.last_id}, {gaps}"


def _time(us: int) -> str:
    return iso(us)[11:23]


def _duration(us: int) -> str:
    minutes, rest_us = divmod(us, 60 * US_PER_S)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest_us / US_PER_S:.1f} s"
    return f"{hours} h {minutes:02d} min {seconds}" if hours else f"{minutes} min {seconds}" if minutes else seconds
