"""What a day covers: when its book was valid and when not, which ids came, and the same as text.

The ids of the depth messages and the ledger are enough for that; the books themselves are `check`'s.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mm.clock import US_PER_S, iso
from mm.dayfolder.layout import OPTIONAL_TRADE_COLUMNS, TRADE_COLUMNS, DayFolder, existing
from mm.dayfolder.ledger import Event, LedgerView, is_hole, with_events
from mm.dayfolder.rows import DefectList, lines_of, table
from mm.errors import MissingDay
from mm.market_data.sync_engine import SyncEngine, Verdict
from mm.market_data.venue import Number

# What explains that the book was not valid, the most telling first.
CAUSES = ("disk_full", "crash_recovered", "gap", "stall", "ws_disconnected", "resync_start", "snapshot_failed")


class IdRow(msgspec.Struct, gc=False):
    """The cells of a line of the diffs file that place it in the day."""

    recv_us: Number
    recv_seq: Number
    run_id: str
    U: Number
    u: Number


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time without a valid book.

    Attributes:
        from_us: When it began.
        to_us: When it ended.
        cause: The event of the ledger that explains it.
        from_id: First update id that is missing, None where none is.
        to_id: Last one.
    """

    from_us: int
    to_us: int
    cause: str
    from_id: int | None = None
    to_id: int | None = None


@dataclass(slots=True)
class Ids:
    """The ids of one stream over the day.

    Attributes:
        rows: Messages.
        first_id: The first id, None where there is no row.
        last_id: The last one.
        gaps: Ranges that the ledger declares missing.
        missing: How many ids they hold.
        rest: Rows that came from REST.
    """

    rows: int = 0
    first_id: int | None = None
    last_id: int | None = None
    gaps: int = 0
    missing: int = 0
    rest: int = 0

    def take(self, first_id: int, last_id: int, *, rest: bool = False) -> None:
        """Count one row; *rest* is one from REST."""
        self.rows += 1
        self.rest += rest
        self.first_id = first_id if self.first_id is None else self.first_id
        self.last_id = last_id if self.last_id is None else max(self.last_id, last_id)

    def declare(self, holes: Iterable[Event]) -> None:
        """Count the ranges that events declare missing."""
        for event in holes:
            self.gaps += 1
            if is_hole(event.details):
                self.missing += event.details["to_id"] - event.details["from_id"] + 1


@dataclass(frozen=True, slots=True)
class DayCoverage:
    """One day folder.

    Attributes:
        symbol: Upper case.
        day: ``YYYYMMDD``.
        from_us: When the recording window opened, or the day's first row came.
        to_us: When it closed, or the last row came.
        covered_s: Seconds in which the book is valid.
        excluded_s: The rest of the window: what a backtest leaves out.
        excluded: Its stretches.
        epochs: Books that were opened.
        runs: Recordings or imports that made the day.
        depth: Update ids.
        trades: Trade ids.
        unreadable: Rows that could not be read; ``mm data check`` names them.
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


def cover(folder: DayFolder) -> DayCoverage:
    """Return what the day of *folder* covers.

    Raises:
        MissingDay: If there is no ledger, without which nobody can tell when the book was valid.
    """
    if existing(folder.events) is None:
        raise MissingDay(f"{folder.path}: no {folder.events.name}; give a day folder with its ledger")
    findings, times, depth = DefectList(folder), _Times(), Ids()
    view = LedgerView.of(folder, findings)
    _play(view.events, _diffs(existing(folder.diffs), findings), times, depth)
    trades = _trade_ids(existing(folder.trades), findings)
    depth.declare(view.of_kind("gap"))
    trades.declare(view.of_kind("trade_gap"))
    window = _window(view, times)
    covered_us, excluded = _split(window, times.stretches, view.events)
    return DayCoverage(
        symbol=folder.symbol,
        day=folder.day,
        from_us=window[0],
        to_us=window[1],
        covered_s=covered_us / US_PER_S,
        excluded_s=sum(one.to_us - one.from_us for one in excluded) / US_PER_S,
        excluded=excluded,
        epochs=len(view.of_kind("snapshot_loaded")),
        runs=len(view.runs),
        depth=depth,
        trades=trades,
        unreadable=len(findings.defects()),
    )


class _Times:
    """The stretches in which the book was valid."""

    def __init__(self) -> None:
        self.stretches: list[tuple[int, int]] = []
        self.last_us = 0
        self._from_us: int | None = None

    def see(self, us: int) -> None:
        self.last_us = max(self.last_us, us)

    def start(self, us: int) -> None:
        if self._from_us is None:
            self._from_us = us

    def stop(self, us: int) -> None:
        if self._from_us is not None:
            self.stretches.append((self._from_us, max(us, self._from_us)))
            self._from_us = None


def _play(events: Sequence[Event], diffs: Iterator[IdRow], times: _Times, ids: Ids) -> None:
    """Walk through ledger and depth messages in the order of their numbers."""
    engine: SyncEngine[None] = SyncEngine()
    run = ""
    for item in with_events(diffs, events, lambda diff: diff.recv_seq):
        at = item.at if isinstance(item, Event) else item
        if at.run_id != run:
            times.stop(times.last_us)
            run, engine = at.run_id, SyncEngine()
        times.see(at.recv_us)
        if isinstance(item, IdRow):
            ids.take(item.U, item.u)
            if engine.diff(item.U, item.u, None) in (Verdict.GAP, Verdict.RESET):
                times.stop(at.recv_us)
        elif item.kind == "snapshot_loaded":
            if engine.snapshot(item.details["last_update_id"]).verdict in (Verdict.APPLY, Verdict.RESET):
                times.start(at.recv_us)
        elif item.kind == "resync_start" and engine.synced:
            engine.lose()
            times.stop(at.recv_us)
    times.stop(times.last_us)


def _diffs(path: Path | None, findings: DefectList) -> Iterator[IdRow]:
    if path is None:
        return
    decode = msgspec.json.Decoder(IdRow).decode
    for row, line in lines_of(path, findings):
        try:
            yield decode(line)
        except msgspec.MsgspecError as error:
            findings.add(path, row, "type", str(error))


def _trade_ids(path: Path | None, findings: DefectList) -> Ids:
    ids = Ids()
    if path is None:
        return ids
    for row, cells in table(path, TRADE_COLUMNS, OPTIONAL_TRADE_COLUMNS, findings):
        try:
            ids.take(int(cells[4]), int(cells[4]), rest=cells[12] == "rest")
        except ValueError as error:
            findings.add(path, row, "type", str(error))
    return ids


def _window(view: LedgerView, times: _Times) -> tuple[int, int]:
    """Return the bounds of the window, or of what was written where the ledger does not name them."""
    opened = [event.at.recv_us for event in view.of_kind("window_start")]
    closed = [event.at.recv_us for event in view.of_kind("window_end")]
    first = min(opened, default=view.events[0].at.recv_us if view.events else 0)
    return first, max(closed, default=times.last_us)


def _split(
    window: tuple[int, int], covered: Sequence[tuple[int, int]], events: Sequence[Event]
) -> tuple[int, list[Stretch]]:
    """Return how much of the window is covered, in µs, and its other stretches, explained."""
    (at, end_us), covered_us, excluded = window, 0, []
    for start, end in [*covered, (end_us, end_us)]:
        low, high = min(max(start, at), end_us), min(end, end_us)
        if low > at:
            excluded.append(_explained(at, low, events))
        covered_us += max(high - low, 0)
        at = max(at, high)
    return covered_us, excluded


def _explained(from_us: int, to_us: int, events: Sequence[Event]) -> Stretch:
    """Return a stretch with the event that explains it best."""
    inside = [event for event in events if from_us <= event.at.recv_us <= to_us]
    explaining = next((event for kind in CAUSES for event in inside if event.kind == kind), None)
    holes = [event.details for event in inside if event.kind == "gap" and is_hole(event.details)]
    ids = (holes[0]["from_id"], holes[-1]["to_id"]) if holes else (None, None)
    if explaining is None:
        return Stretch(from_us, to_us, "no book yet" if not inside else inside[0].kind, *ids)
    cause = str(explaining.details.get("cause") or explaining.details.get("reason") or "")
    return Stretch(from_us, to_us, f"{explaining.kind}: {cause}" if cause else explaining.kind, *ids)


MOST_STRETCHES = 20


def coverage_text(found: DayCoverage) -> str:
    """Return the coverage of a day for a terminal."""
    window_us = found.to_us - found.from_us
    share = 100 * found.covered_s * US_PER_S / window_us if window_us else 0.0
    lines = [
        f"{found.symbol} {found.day}  {_time(found.from_us)} to {_time(found.to_us)} UTC, {_lasting(window_us)}",
        f"  covered   {_lasting(round(found.covered_s * US_PER_S))} ({share:.2f} %), "
        f"{found.epochs} epochs, {found.runs} runs",
        f"  excluded  {_lasting(round(found.excluded_s * US_PER_S))} in {len(found.excluded)} stretches",
        *(f"    {_stretch(one)}" for one in found.excluded[:MOST_STRETCHES]),
    ]
    if len(found.excluded) > MOST_STRETCHES:
        lines.append(f"    and {len(found.excluded) - MOST_STRETCHES} more; --json has them all")
    lines.append(f"  depth     {_ids(found.depth)}")
    lines.append(f"  trades    {_ids(found.trades)}")
    if found.unreadable:
        lines.append(f"  {found.unreadable} rows cannot be read; mm data check names them")
    return "\n".join(lines)


def _stretch(one: Stretch) -> str:
    ids = "" if one.from_id is None else f", ids {one.from_id} to {one.to_id} missing"
    return f"{_time(one.from_us)} to {_time(one.to_us)}  {_lasting(one.to_us - one.from_us)}  {one.cause}{ids}"


def _ids(ids: Ids) -> str:
    if not ids.rows:
        return "no rows"
    rest = f", {ids.rest:,} of them from REST" if ids.rest else ""
    gaps = f"{ids.gaps} gaps" + (f" of {ids.missing:,} ids" if ids.gaps else "")
    return f"{ids.rows:,} messages{rest}, ids {ids.first_id} to {ids.last_id}, {gaps}"


def _time(us: int) -> str:
    return iso(us)[11:23]


def _lasting(us: int) -> str:
    minutes, rest_us = divmod(us, 60 * US_PER_S)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest_us / US_PER_S:.1f} s"
    return f"{hours} h {minutes:02d} min {seconds}" if hours else f"{minutes} min {seconds}" if minutes else seconds
