"""The ledger of a day: events of the recording, and the ids they concern; its event types, writer and reader.

`EVENT_KEYS` lists all event types; others, or other details, cannot be written.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mm.dayfolder.layout import EVENT_COLUMNS, GAP_COLUMNS, DayFolder, existing
from mm.dayfolder.rows import Arrival, CheckedLines, DefectList, arrival, integer, under_header
from mm.errors import BrokenFile
from mm.ids import IdRanges

Details = Mapping[str, Any]
Row = TypeVar("Row")

_HOLE = ("from_id", "to_id", "from_us", "to_us", "cause")

EVENT_KEYS: dict[str, tuple[str, ...]] = {
    "run_start": ("version", "knobs"),
    "run_stop": ("reason",),
    "crash_recovered": ("previous_run_id",),
    "tail_recovered": ("path", "bytes", "lost_s"),
    "day_replaced": ("cause", "moved_to"),
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
    "loop_lag": ("lag_s",),
    "exchange_info": ("status",),
    "funding": ("rate", "mark_price", "paid_ms"),
}
"""Event types with the keys of their details. An anomaly may have more than its kind."""

OPEN_ENDED = ("anomaly",)

GRID = "grid"
"""The kind of anomaly for prices or quantities off all grids of the exchange so far; its details:

``tick_size``, ``step_size``: the steps that divide them from this row on; ``from_seq``: the first row, if different.
"""

NO_EXECUTION = "no_execution"
"""The kind of anomaly for a row of the trade stream that was no execution in the order book; its details:

``trade_id``, ``price``, ``qty``, and ``X``, the exchange's word for its kind.
"""

FUNDING_DOUBT = "funding_doubt"
"""The kind of anomaly for a funding payment whose rate or price was not received at its time; its details:

``paid_ms``, and ``why``. A `funding` event of the same time has what was known around it; without one it is unknown.
"""

DUPLICATE = "duplicate"
"""The kind of anomaly for a message that was received again and is not stored again; its details for a trade:

``stream``, ``trade_id``, and what would be in its row: ``trade_time_ms, price, qty, is_buyer_maker``.
"""

LOST = "ledger_lost"
"""The kind of anomaly that stands for a lost event of unknown type; a repair writes it with the event's number."""

OVERLAP = "overlap"
"""The cause of a `resync_start` where an update began inside the previous one of its connection.

One of the two has a wrong id, so the sequence of ids begins anew with the later one: see `ids_begin_anew`.
"""

IDS_AGAIN = "ids_again"
"""The kind of anomaly for an exchange that gives recorded ids again: the day is set aside, and begins anew."""

RESTART, DISCONNECTED = "restart", "disconnected"
"""Causes of missing ids that were lost with the connection, whose time has no book."""

SKIPPED = "ids_skipped"
"""The cause of missing trade ids of a venue that does not count the trades of one symbol by one: none need be lost."""

NOT_TRADED = frozenset(
    (
        "HALT",
        "BREAK",
        "PRE_TRADING",
        "POST_TRADING",
        "END_OF_DAY",
        "AUCTION_MATCH",
        "PENDING_TRADING",
        "SETTLING",
        "CLOSE",
    )
)
"""The statuses of `exchange_info` under which a symbol is not traded continuously."""


class LedgerWriter:
    """Numbers the events of a day and writes them, and the gaps file, row by row."""

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
        check_details(kind, details)
        event_id, self.next_event_id = self.next_event_id, self.next_event_id + 1
        self.counts[kind] += 1
        self.last[kind] = recv_us, details
        text = _quoted(details)
        self._add_event(f"{event_id},{recv_us // 1000},{recv_seq},{self._run_id},{kind},{epoch_id},{text},{recv_us}\n")
        return event_id

    def gap(self, recv_us: int, recv_seq: int, kind: str, epoch_id: int, details: Details) -> int:
        event_id = self.event(recv_us, recv_seq, kind, epoch_id, details)
        if self._add_gap:
            self._add_gap(f"{gap_row(recv_us, recv_seq, self._run_id, kind, epoch_id, details)}\n")
        return event_id


def gap_row(recv_us: int, recv_seq: int, run_id: str, kind: str, epoch_id: int, details: Details) -> str:
    return f"{recv_us // 1000},{recv_seq},{run_id},{epoch_id},{kind},{_quoted(details)},{recv_us}"


def check_details(kind: str, details: Details) -> None:
    """Raise ValueError unless *kind* is an event type with these keys."""
    keys = EVENT_KEYS.get(kind)
    if keys is None:
        raise ValueError(f"{kind!r} is not an event type; the types are {', '.join(EVENT_KEYS)}")
    missing = [key for key in keys if key not in details]
    unknown = [] if kind in OPEN_ENDED else [key for key in details if key not in keys]
    if missing or unknown:
        raise ValueError(f"event {kind} has the details {list(details)}; its keys are {list(keys)}")


def _quoted(details: Details) -> str:
    return '"' + msgspec.json.encode(details).decode().replace('"', '""') + '"'


class Event(msgspec.Struct, frozen=True):
    """A row of the ledger, or of the gaps file, whose rows have no event id (0)."""

    row: int
    event_id: int
    at: Arrival
    kind: str
    epoch_id: int
    details: dict[str, Any]


def event_of(row: int, cells: Mapping[str, str]) -> Event:
    at = arrival(cells.get("recv_seq"), cells["run_id"], cells["recv_time_ms"], cells.get("recv_time_us"))
    event_id, epoch_id = (integer(cells.get(name, "0"), name) for name in ("event_id", "epoch_id"))
    details = msgspec.json.decode(cells.get("details_json", "{}"), type=dict[str, Any])
    return Event(row, event_id, at, cells["type"], epoch_id, details)


def read_gaps(path: Path, findings: DefectList) -> Iterator[Event]:
    """Unreadable events of the gaps file are findings, and left out."""
    in_ledger = {"event": "type", "details": "details_json"}
    yield from _events(path, GAP_COLUMNS, [in_ledger.get(name, name) for name in GAP_COLUMNS], findings)


def _events(path: Path, columns: Sequence[str], names: Sequence[str], findings: DefectList) -> Iterator[Event]:
    head, lines = under_header(CheckedLines(path, findings, 0), columns, 1, findings)
    for row, line in lines:
        cells = next(csv.reader([line]), [])
        try:
            if len(cells) != len(head):
                raise ValueError(f"{len(cells)} cells under {len(head)} columns")
            yield event_of(row, dict(zip(names, cells, strict=False)))
        except (ValueError, msgspec.MsgspecError) as error:
            findings.add(path, row, "type", str(error))


def whole_events(path: Path, rows: Iterable[Mapping[str, str]]) -> list[Event]:
    events = []
    for row, cells in enumerate(rows, 1):
        try:
            events.append(event_of(row, {"run_id": ""} | {name: text for name, text in cells.items() if text}))
        except (KeyError, ValueError, TypeError, msgspec.MsgspecError) as error:
            raise BrokenFile(
                f"{path}:{row + 1}: not a row of the ledger ({type(error).__name__}: {error}); "
                f"its columns are {','.join(EVENT_COLUMNS)}"
            ) from error
    return events


def with_events(rows: Iterable[Row], events: Iterable[Event], seq_of: Callable[[Row], int]) -> Iterator[Row | Event]:
    """Merge rows and events by `recv_seq`."""
    sources: list[Iterable[Row | Event]] = [rows, events]
    return merge(*sources, key=lambda item: item.at.seq if isinstance(item, Event) else seq_of(item))


def is_hole(details: Mapping[str, Any]) -> bool:
    first, last = details.get("from_id"), details.get("to_id")
    return isinstance(first, int) and isinstance(last, int) and first <= last


def is_halt(event: Event) -> bool:
    """Whether an `exchange_info` event reports that the symbol is not traded."""
    return event.details.get("status") in NOT_TRADED


def halts(events: Iterable[Event]) -> list[tuple[int, int | None, str]]:
    """When begin and end (None: not yet) of each halt were reported, µs, and its status."""
    spans: list[tuple[int, int | None, str]] = []
    for event in events:
        if event.kind != "exchange_info":
            continue
        open_ = bool(spans) and spans[-1][1] is None
        if is_halt(event) and not open_:
            spans.append((event.at.recv_us, None, event.details["status"]))
        elif open_ and not is_halt(event):
            spans[-1] = (spans[-1][0], event.at.recv_us, spans[-1][2])
    return spans


def ids_begin_anew(event: Event) -> bool:
    return event.kind == "resync_start" and event.details.get("cause") == OVERLAP


def explained_ids(events: "Iterable[Event]", kind: str) -> IdRanges:
    """Ids in the holes that events of *kind* declare; of trades also rows that were no execution."""
    ids = IdRanges()
    for event in events:
        details, number = event.details, event.details.get("trade_id")
        if event.kind == kind and is_hole(details):
            ids.add(details["from_id"], details["to_id"])
        elif kind == "trade_gap" and details.get("kind") == NO_EXECUTION and isinstance(number, int):
            ids.add(number, number)
    return ids


def excused_trades(events: "Iterable[Event]") -> IdRanges:
    """Ids without a row that exclude no time: no executions, lost with the connection, or skipped by the venue."""
    excused = (RESTART, DISCONNECTED, SKIPPED)
    kept = (event for event in events if event.kind != "trade_gap" or event.details.get("cause") in excused)
    return explained_ids(kept, "trade_gap")


@dataclass(frozen=True)
class LedgerView:
    path: Path
    events: tuple[Event, ...]

    @classmethod
    def of(cls, folder: DayFolder, findings: DefectList) -> "LedgerView":
        path = existing(folder.events)
        return cls(path or folder.events, tuple(_events(path, EVENT_COLUMNS, EVENT_COLUMNS, findings)) if path else ())

    def of_kind(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]

    def runs_with(self, kind: str) -> frozenset[str]:
        return frozenset(event.at.run_id for event in self.of_kind(kind))

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(event.at.run_id for event in self.events))

    @property
    def loaded_names(self) -> frozenset[str]:
        return frozenset(Path(str(event.details.get("path"))).name for event in self.of_kind("snapshot_loaded"))

    def holes(self, kind: str) -> IdRanges:
        return explained_ids(self.events, kind)

    def knob(self, name: str, default: Any) -> Any:
        starts = (event.details.get("knobs") for event in reversed(self.events) if event.kind == "run_start")
        return next((knobs[name] for knobs in starts if isinstance(knobs, dict) and name in knobs), default)
