"""The end of a ledger that was cut off, from what the other files say of it.

All files share one counter, so the numbers that no row has are those of the events that are lost, in order, one each:
number and event id of every one are known. The gaps file repeats some of them whole, a snapshot's name and rows tell
the event that loaded it, and what nobody repeats is put down as lost.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mm.market_data.check_ledger import Event, gap_event, read_events
from mm.market_data.check_rows import Findings
from mm.market_data.layout import DayFolder, existing, snapshot_event_id
from mm.market_data.ledger import Ledger
from mm.market_data.repair_files import lines_of_file

LOST = "ledger_lost"
_CARRIED = "carried"
_TRADE_CELLS = (2, 3, 9)  # recv_seq, run_id, recv_time_us


@dataclass(frozen=True, slots=True)
class _Row:
    """What a row of another file says of itself."""

    seq: int
    run_id: str
    recv_us: int


class _Diff(msgspec.Struct):
    recv_seq: int
    run_id: str
    recv_us: int


class _Kept(msgspec.Struct):
    recv_seq: int
    recv_us: int


def restore_events(folder: DayFolder) -> int:
    """Write the events that are lost behind the last one of the ledger, and return how many they are.

    None is written where the numbers do not add up: rows of another run stand behind it, depth messages were not kept,
    or a snapshot or a gap has a number or an id that none of the lost events can have had.
    """
    path = existing(folder.events)
    events = read_events(path, Findings(folder)) if path else []
    if not events or existing(folder.diffs) is None:
        return 0
    last = events[-1]
    rows = sorted((row for row in _rows(folder, last.at.run_id) if row.seq > last.at.seq), key=lambda row: row.seq)
    gaps = {event.at.seq: event for event in _gaps(folder) if event.at.seq > last.at.seq}
    numbered = ((snapshot_event_id(path) or 0, path) for path in folder.snapshots.glob("*.csv"))
    orphans = {number: path for number, path in numbered if number > last.event_id}
    used = {row.seq for row in rows}
    free = [seq for seq in range(last.at.seq + 1, max([*used, *gaps], default=0) + 1) if seq not in used]
    runs = {row.run_id for row in rows} | {event.at.run_id for event in gaps.values()}
    if runs - {last.at.run_id}:
        return 0
    if not gaps.keys() <= set(free) or any(number > last.event_id + len(free) for number in orphans):
        return 0
    _write(folder, last, free, rows, _Known(gaps, orphans, _requests(events, free, gaps, orphans)))
    return len(free)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of lost events: rows of the gaps file by number, snapshots and their requests by event id."""

    gaps: dict[int, Event]
    orphans: dict[int, Path]
    requests: set[int]


def _write(folder: DayFolder, last: Event, free: list[int], rows: list[_Row], known: _Known) -> None:
    seqs, epoch_id = [row.seq for row in rows], last.epoch_id
    with folder.events.open("ab") as stream:

        def add(line: str) -> None:
            stream.write(line.encode())

        ledger = Ledger(add, None, last.at.run_id, last.event_id + 1)
        for seq in free:
            before, gap = bisect_left(seqs, seq) - 1, known.gaps.get(seq)
            recv_us = gap.at.recv_us if gap else rows[before].recv_us if before >= 0 else last.at.recv_us
            kind, details = _told(folder, known, seq, ledger.next_event_id)
            epoch_id += kind == "snapshot_loaded"
            ledger.event(recv_us, seq, kind, epoch_id, details)


def _requests(events: list[Event], free: list[int], gaps: dict[int, Event], orphans: dict[int, Path]) -> set[int]:
    """Return the ids of lost events that can have asked for the snapshots: the last one before each that is unknown."""
    run_id = events[-1].at.run_id
    asks = [event.kind for event in events if event.at.run_id == run_id and event.kind.startswith("snapshot_")]
    waiting, since, found = asks[-1:] == ["snapshot_request"], events[-1].event_id, set()
    for number in sorted(orphans):
        before = range(number - 1, since, -1)
        unknown = (one for one in before if free[one - events[-1].event_id - 1] not in gaps)
        if not waiting and _CARRIED not in orphans[number].name:
            found |= {one for one in (next(unknown, None),) if one}
        waiting, since = False, number
    return found


def _told(folder: DayFolder, known: _Known, seq: int, event_id: int) -> tuple[str, dict[str, Any]]:
    """Return type and details of a lost event."""
    if seq in known.gaps:
        return known.gaps[seq].kind, known.gaps[seq].details
    if event_id in known.orphans:
        path = known.orphans[event_id]
        return "snapshot_loaded", {"last_update_id": last_update_id(path), "path": folder.relative(path)}
    if event_id in known.requests:
        return "snapshot_request", {"attempt": 1}
    return "anomaly", {"kind": LOST}


def _rows(folder: DayFolder, run_id: str) -> Iterator[_Row]:
    """Yield the rows of the files that share the counter with the ledger; the quarantine names no run: *run_id*."""
    diff_of, kept_of = msgspec.json.Decoder(_Diff).decode, msgspec.json.Decoder(_Kept).decode
    for line in lines_of_file(folder.diffs):
        diff = diff_of(line)
        yield _Row(diff.recv_seq, diff.run_id, diff.recv_us)
    for at, line in enumerate(lines_of_file(folder.trades)):
        if at:
            cells = line.split(b",")
            seq, run, us = (cells[cell] for cell in _TRADE_CELLS)
            yield _Row(int(seq), run.decode(), int(us))
    for line in lines_of_file(folder.quarantine):
        kept = kept_of(line)
        yield _Row(kept.recv_seq, run_id, kept.recv_us)


def _gaps(folder: DayFolder) -> Iterator[Event]:
    for at, line in enumerate(lines_of_file(folder.gaps)):
        if at:
            with suppress(ValueError, msgspec.MsgspecError):
                yield gap_event(at, line.decode())


def last_update_id(path: Path) -> int:
    """Return the update id of a snapshot, as its last row has it; 0 where it has none."""
    (last,) = deque(lines_of_file(path), 1) or (b"",)
    cell = last.rsplit(b",", 1)[-1]
    return int(cell) if cell.isdigit() else 0
