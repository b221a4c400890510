"""The ledger of a day: what happened to the recording, and to which ids; its vocabulary, its writer and its reader.

`EVENT_KEYS` is the whole vocabulary; an event of another type, or with other details, cannot be written.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mm.dayfolder.layout import EVENT_COLUMNS, GAP_COLUMNS, PACKED, SNAPSHOT_COLUMNS, SNAPSHOT_TAGS, DayFolder, existing
from mm.dayfolder.rows import Arrival, DefectList, RowOrder, arrival, decimal, header_fits, lines_of, whole
from mm.ids import IdRanges
from mm.market_data.local_orderbook import Level

Details = Mapping[str, Any]

_HOLE = ("from_id", "to_id", "from_us", "to_us", "cause")

EVENT_KEYS: dict[str, tuple[str, ...]] = {
    "run_start": ("version", "knobs"),
    "run_stop": ("reason",),
    "crash_recovered": ("previous_run_id",),
    "tail_recovered": ("path", "bytes", "lost_s"),
    "window_start": (),
    "window_end": (),
    "ws_connected": ("url", "conn"),
    "ws_disconnected": ("conn", "code", "reason"),
    "resync_start": ("cause",),
    "resync_done": ("last_update_id",),
    "snapshot_request": ("attempt",),
    "snapshot_loaded": ("last_update_id", "path"),
    "snapshot_failed": ("cause", "http_status"),
    "gap": _HOLE,
    "trade_gap": _HOLE,
    "backfill": ("from_id", "to_id", "rows"),
    "anomaly": ("kind",),
    "stall": ("stream", "silent_s"),
    "clock_step": ("by_us",),
    "clock_offset": ("median_us", "p99_us", "stream"),
    "disk_full": ("errno",),
    "exchange_info": ("status",),
}
"""Event types with the keys of their details. An anomaly may say more than its kind."""

OPEN_ENDED = ("anomaly",)


class LedgerWriter:
    """Number the events of a day and write them, and the gaps file, row by row.

    Args:
        add_event: Takes a line of the events file.
        add_gap: Takes a line of the gaps file; None where the day keeps none.
        run_id: The run that writes.
        next_event_id: The first id to give out; ids count over the day.

    Attributes:
        counts: Events written, by type.
        last: Time and details of the last one of each type.
    """

    def __init__(
        self,
        add_event: Callable[[str], None],
        add_gap: Callable[[str], None] | None,
        run_id: str,
        next_event_id: int,
    ) -> None:
        self._add_event = add_event
        self._add_gap = add_gap
        self._run_id = run_id
        self.next_event_id = next_event_id
        self.counts: Counter[str] = Counter()
        self.last: dict[str, tuple[int, Details]] = {}

    def event(self, recv_us: int, recv_seq: int, kind: str, epoch_id: int, details: Details) -> int:
        """Write one event and return its id; raises ValueError where it is not in the vocabulary."""
        check_details(kind, details)
        event_id, self.next_event_id = self.next_event_id, self.next_event_id + 1
        self.counts[kind] += 1
        self.last[kind] = recv_us, details
        text = _quoted(details)
        self._add_event(f"{event_id},{recv_us // 1000},{recv_seq},{self._run_id},{kind},{epoch_id},{text},{recv_us}\n")
        return event_id

    def gap(self, recv_us: int, recv_seq: int, kind: str, epoch_id: int, details: Details) -> int:
        """Write one event and its row in the gaps file, and return the event's id."""
        event_id = self.event(recv_us, recv_seq, kind, epoch_id, details)
        if self._add_gap:
            self._add_gap(f"{gap_row(recv_us, recv_seq, self._run_id, kind, epoch_id, details)}\n")
        return event_id


def gap_row(recv_us: int, recv_seq: int, run_id: str, kind: str, epoch_id: int, details: Details) -> str:
    """Return the row of the gaps file that repeats an event."""
    return f"{recv_us // 1000},{recv_seq},{run_id},{epoch_id},{kind},{_quoted(details)},{recv_us}"


def check_details(kind: str, details: Details) -> None:
    """Raise ValueError where *kind* is no event type, or *details* has not the keys of its type."""
    keys = EVENT_KEYS.get(kind)
    if keys is None:
        raise ValueError(f"{kind!r} is not an event type; the types are {', '.join(EVENT_KEYS)}")
    missing = [key for key in keys if key not in details]
    unknown = [] if kind in OPEN_ENDED else [key for key in details if key not in keys]
    if missing or unknown:
        raise ValueError(f"event {kind} has the details {list(details)}; its keys are {list(keys)}")


def _quoted(details: Details) -> str:
    """Return *details* as JSON inside one quoted CSV field."""
    return '"' + msgspec.json.encode(details).decode().replace('"', '""') + '"'


_FIRST_EVENTS = ("run_start", "crash_recovered", "tail_recovered")


class Event(msgspec.Struct, frozen=True):
    """One row of the ledger."""

    row: int
    event_id: int
    at: Arrival
    kind: str
    epoch_id: int
    details: dict[str, Any]


@dataclass(frozen=True)
class LedgerView:
    """The ledger as the other checks need it.

    Attributes:
        path: Its file.
        events: Its rows, in order.
    """

    path: Path
    events: tuple[Event, ...]

    @property
    def runs(self) -> frozenset[str]:
        """Runs that have events."""
        return frozenset(event.at.run_id for event in self.events)

    @property
    def stopped(self) -> frozenset[str]:
        """Runs that ended as they should: what they had to write is written."""
        return self._runs_with("run_stop")

    @property
    def stepping(self) -> frozenset[str]:
        """Runs in which the clock was set."""
        return self._runs_with("clock_step")

    def holes(self, kind: str) -> IdRanges:
        """Return the ids that events of *kind* (``gap``, ``trade_gap``) declare missing."""
        found = (event.details for event in self.events if event.kind == kind)
        return IdRanges((gap["from_id"], gap["to_id"]) for gap in found if is_hole(gap))

    def knob(self, name: str, default: Any) -> Any:
        """Return what the last run that had the knob *name* recorded with; *default* where none says it."""
        starts = (event.details.get("knobs") for event in reversed(self.events) if event.kind == "run_start")
        return next((knobs[name] for knobs in starts if isinstance(knobs, dict) and name in knobs), default)

    def _runs_with(self, kind: str) -> frozenset[str]:
        return frozenset(event.at.run_id for event in self.events if event.kind == kind)


def is_hole(details: dict[str, Any]) -> bool:
    """Return True if the details of a gap name a range of ids."""
    first, last = details.get("from_id"), details.get("to_id")
    return isinstance(first, int) and isinstance(last, int) and first <= last


def read_events(path: Path, findings: DefectList) -> list[Event]:
    """Return the rows of the ledger; what cannot be read is a finding and left out."""
    lines = lines_of(path, findings, first_row=0)
    head = next(lines, (0, ""))[1].split(",")
    if not header_fits(path, head, EVENT_COLUMNS, 1, findings):
        return []
    return [event for event in _parsed(path, lines, len(head), findings) if event]


def check_events(view: LedgerView, findings: DefectList, order: RowOrder) -> None:
    """Check ids, vocabulary, epochs and the life of each run."""
    last_id, last_run, epoch = 0, "", 0
    for event in view.events:
        order.see(event.row, event.at)
        new_run = event.at.run_id != last_run
        if event.event_id <= last_id or (not new_run and event.event_id != last_id + 1):
            findings.add(
                view.path, event.row, "event_id", f"event {event.event_id} follows {last_id}; it must count on"
            )
        for trouble in _vocabulary(event):
            findings.add(view.path, event.row, "event", trouble)
        loaded = event.kind == "snapshot_loaded"
        if event.epoch_id > epoch + loaded or (loaded and event.epoch_id != epoch + 1):
            wanted = f"opens {epoch + 1}" if loaded else f"is in {epoch} at most"
            findings.add(view.path, event.row, "epoch", f"{event.kind} is in epoch {event.epoch_id}; it {wanted}")
        last_id, last_run, epoch = max(last_id, event.event_id), event.at.run_id, max(epoch, event.epoch_id)
    _check_runs(view, findings)


def check_gap_rows(view: LedgerView, findings: DefectList, order: RowOrder) -> None:
    """Check that each row of the gaps file repeats an event."""
    path = order.path
    lines = lines_of(path, findings, first_row=0)
    if not header_fits(path, next(lines, (0, ""))[1].split(","), GAP_COLUMNS, 1, findings):
        return
    events = {event.at.seq: event for event in view.events}
    for row, line in lines:
        try:
            repeated = gap_event(row, line)
        except (ValueError, msgspec.MsgspecError) as error:
            findings.add(path, row, "type", str(error))
            continue
        order.see(row, repeated.at)
        event = events.get(repeated.at.seq)
        said = (repeated.at.run_id, repeated.epoch_id, repeated.kind, repeated.details)
        if event is None or (event.at.run_id, event.epoch_id, event.kind, event.details) != said:
            findings.add(path, row, "event", f"no such {repeated.kind} of recv_seq {repeated.at.seq} in the ledger")


def gap_event(row: int, line: str) -> Event:
    """Return the event that a line of the gaps file repeats, without its id; raises ValueError where it is none."""
    cells = _quoted_cells(line)
    if len(cells) not in (len(GAP_COLUMNS) - 1, len(GAP_COLUMNS)):
        raise ValueError(f"{len(cells)} cells under {len(GAP_COLUMNS)} columns")
    at = arrival(cells[1], cells[2], cells[0], "".join(cells[6:]))
    details = msgspec.json.decode(cells[5], type=dict[str, Any])
    return Event(row, 0, at, cells[4], whole(cells[3], "epoch_id"), details)


def check_snapshot_files(folder: DayFolder, view: LedgerView, findings: DefectList) -> None:
    """Check that every snapshot on the disk was loaded by an event; the books check the other direction."""
    named = {Path(str(event.details.get("path"))).name for event in view.events if event.kind == "snapshot_loaded"}
    for path in sorted(folder.snapshots.glob("*")):
        if path.name.removesuffix(PACKED) not in named:
            findings.add(path, None, "orphan", "no snapshot_loaded event names this file; remove it")


def read_snapshot(
    folder: DayFolder, view: LedgerView, event: Event, findings: DefectList
) -> tuple[list[Level], list[Level]] | None:
    """Return the bids and asks that *event* loaded, or None where they cannot be read; a finding has the reason."""
    named = str(event.details.get("path"))
    proper = (folder.snapshot(event.event_id, tag) for tag in SNAPSHOT_TAGS)
    path = next((existing(path) for path in proper if folder.relative(path) == named), None)
    if path is None:
        wanted = f"snapshots/snapshot_{event.event_id}_<tag>.csv"
        findings.add(view.path, event.row, "snapshot", f"{named!r} is not there or not named {wanted}")
        return None
    sides: dict[str, list[Level]] = {"bid": [], "ask": []}
    wanted_cells = [event.at.run_id, str(event.event_id), str(event.details.get("last_update_id"))]
    lines = lines_of(path, findings, first_row=0)
    if not header_fits(path, next(lines, (0, ""))[1].split(","), SNAPSHOT_COLUMNS, 0, findings):
        return None
    for row, line in lines:
        cells = line.split(",")
        try:
            if len(cells) != len(SNAPSHOT_COLUMNS) or [*cells[:2], cells[5]] != wanted_cells or cells[2] not in sides:
                raise ValueError(f"{line!r} is no level of run, event, lastUpdateId {wanted_cells}")
            sides[cells[2]].append((decimal(cells[3], "price"), decimal(cells[4], "qty")))
        except ValueError as error:
            findings.add(path, row, "type", str(error))
    return sides["bid"], sides["ask"]


def _parsed(path: Path, lines: Iterator[tuple[int, str]], width: int, findings: DefectList) -> Iterator[Event | None]:
    for row, line in lines:
        cells = _quoted_cells(line)
        try:
            if len(cells) != width:
                raise ValueError(f"{len(cells)} cells under {width} columns")
            at = arrival(cells[2], cells[3], cells[1], "".join(cells[7:]))
            details = msgspec.json.decode(cells[6], type=dict[str, Any])
            yield Event(row, whole(cells[0], "event_id"), at, cells[4], whole(cells[5], "epoch_id"), details)
        except (ValueError, msgspec.MsgspecError) as error:
            findings.add(path, row, "type", str(error))


def _quoted_cells(line: str) -> list[str]:
    return next(csv.reader([line]), [])


def _vocabulary(event: Event) -> Iterator[str]:
    """Yield what is wrong with the type and the details of *event*."""
    keys = EVENT_KEYS.get(event.kind)
    if keys is None:
        yield f"{event.kind!r} is not an event type"
        return
    missing = [key for key in keys if key not in event.details]
    if missing:
        yield f"{event.kind} lacks {', '.join(missing)} in its details"
    elif event.kind in ("gap", "trade_gap") and event.details["from_id"] is not None and not is_hole(event.details):
        yield f"{event.kind} from {event.details['from_id']} to {event.details['to_id']} is no range of ids"


def _check_runs(view: LedgerView, findings: DefectList) -> None:
    """Check that runs follow each other, and that what a run begins it also ends."""
    runs: dict[str, list[Event]] = {}
    for event in view.events:
        runs.setdefault(event.at.run_id, []).append(event)
    recovered = {event.details.get("previous_run_id") for event in view.events if event.kind == "crash_recovered"}
    last_run = next(reversed(runs), None)
    for run_id, events in runs.items():
        for event, trouble in _life(events):
            findings.add(view.path, event.row, "state", f"run {run_id}: {trouble}")
        if run_id not in (last_run, *recovered, *view.stopped):
            message = f"run {run_id} has neither run_stop nor a crash_recovered that names it, and another run follows"
            findings.add(view.path, events[-1].row, "state", message)


def _life(events: list[Event]) -> Iterator[tuple[Event, str]]:
    """Yield the events of one run that come when they cannot."""
    kinds = [event.kind for event in events]
    if "run_start" not in kinds or kinds[0] not in _FIRST_EVENTS:
        yield events[0], f"begins with {kinds[0]}, not with run_start"
    asks = "snapshot_request" in kinds  # an import has snapshots without a request
    seen: set[str] = set()
    waiting = False
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
        if kind == "snapshot_request" and waiting:
            yield event, "snapshot_request while another one is neither loaded nor failed"
        if kind in ("snapshot_loaded", "snapshot_failed"):
            carried = str(event.details.get("path", "")).endswith(("_carried.csv", "_carried.csv.gz"))
            if asks and not waiting and not carried:
                yield event, f"{kind} without snapshot_request"
        waiting = kind == "snapshot_request" or (waiting and kind not in ("snapshot_loaded", "snapshot_failed"))
        seen = seen - {"resync_start"} if kind == "resync_done" else seen | {kind}
