"""Snapshots that no event names: a crash came between the file and its ledger row."""

import os
from pathlib import Path

from mm.market_data.check_books import Replay, read_diffs
from mm.market_data.check_ledger import Event, LedgerView, read_events, read_snapshot
from mm.market_data.check_rows import Arrival, Findings, RowOrder
from mm.market_data.grid import Grid
from mm.market_data.layout import PACKED, DayFolder, existing, snapshot_event_id
from mm.market_data.ledger import Ledger
from mm.market_data.lost_events import last_update_id
from mm.market_data.repair_files import lines_of_file, seq_of

_REQUEST = "snapshot_request"


def tend_orphans(folder: DayFolder) -> list[tuple[str, bool]]:
    """Give each orphan its event, where it can only have been the next one, or remove it; return which was done.

    It is adopted where the ledger ends with the request that it answers, its id is the next one, its rows are of that
    run, it is whole, and it bridges. Its number is the day's next one: the run was over with it.
    """
    findings, path = Findings(folder), existing(folder.events)
    events = read_events(path, findings) if path else []
    loaded = {Path(str(event.details.get("path"))).name for event in events if event.kind == "snapshot_loaded"}
    tended = []
    for orphan in sorted(folder.snapshots.glob("*"), key=lambda path: (snapshot_event_id(path) or 0, path.name)):
        if orphan.name.removesuffix(PACKED) in loaded:
            continue
        adopted = bool(events) and not orphan.name.endswith(PACKED) and _adopted(folder, events[-1], orphan)
        if not adopted:
            orphan.unlink()
        tended.append((folder.relative(orphan), adopted))
    return tended


def _adopted(folder: DayFolder, last: Event, orphan: Path) -> bool:
    """Write the event of *orphan* behind the *last* one, if it belongs there."""
    if last.kind != _REQUEST or snapshot_event_id(orphan) != last.event_id + 1:
        return False
    details = {"last_update_id": last_update_id(orphan), "path": folder.relative(orphan)}
    seq, recv_us = _next_number(folder, last), last.at.recv_us
    at = Arrival(seq, last.at.run_id, recv_us // 1000, recv_us)
    event = Event(0, last.event_id + 1, at, "snapshot_loaded", last.epoch_id + 1, details)
    findings = Findings(folder)
    levels = read_snapshot(folder, LedgerView(folder.events, ()), event, findings)
    if findings.defects() or levels is None or not all(levels):
        return False

    def add(line: str) -> None:
        with folder.events.open("ab") as stream:
            stream.write(line.encode())

    size = folder.events.stat().st_size
    Ledger(add, None, last.at.run_id, event.event_id).event(recv_us, seq, event.kind, event.epoch_id, details)
    bridges = _bridges(folder)
    if not bridges:
        os.truncate(folder.events, size)
    return bridges


def _bridges(folder: DayFolder) -> bool:
    """Tell whether the books of the day can be rebuilt with the last event of the ledger in it."""
    findings, diffs = Findings(folder), existing(folder.diffs)
    view = LedgerView(folder.events, tuple(read_events(folder.events, findings)))
    replay = Replay(folder, view, None, Grid(), findings)
    order = RowOrder(folder.diffs, Findings(folder), folder.day, None, frozenset())
    replay.play(read_diffs(diffs, findings, order) if diffs else iter(()), folder.diffs)
    return not any(defect.row == view.events[-1].row and defect.kind == "snapshot" for defect in findings.defects())


def _next_number(folder: DayFolder, last: Event) -> int:
    """Return the first `recv_seq` that no row has."""
    used = last.at.seq
    for path in (folder.diffs, folder.trades, folder.quarantine):
        packed = path.name.endswith(PACKED)
        for at, line in enumerate(lines_of_file(path)):
            if packed or at:
                used = max(used, seq_of(line, packed=packed))
    return used + 1
