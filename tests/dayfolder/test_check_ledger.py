"""The sequence of a run's events in the ledger."""

import pytest

from mm import DayFolder
from mm.dayfolder.check import check_events
from mm.dayfolder.ledger import EVENT_KEYS, Event, LedgerView
from mm.dayfolder.rows import Arrival, DefectList, RowOrder

T = 1_767_600_000_000_000


def defects_of(tmp_path, *runs):
    """Return row and kind of the defects of runs, each given as its event types."""
    folder, events = DayFolder(tmp_path, "A", "20260105"), []
    for number, kinds in enumerate(runs, 1):
        for kind in kinds:
            details = dict.fromkeys(EVENT_KEYS[kind], f"R{number - 1}" if kind == "crash_recovered" else None)
            row = len(events) + 1
            events.append(Event(row, row, Arrival(row, f"R{number}", T // 1000, T), kind, 0, details))
    findings, view = DefectList(folder), LedgerView(folder.events, tuple(events))
    order = RowOrder(folder.events, findings, folder.day, view.runs, view.runs_with("clock_step"))
    check_events(view, findings, order)
    return [(defect.row, defect.kind) for defect in findings.defects()]


@pytest.mark.parametrize(
    "runs",
    [
        [["run_start", "run_stop"]],
        [["run_start"]],
        [["run_start", "snapshot_request"]],
        [["run_start"], ["run_start", "crash_recovered", "run_stop"], ["run_start"]],
        [["run_start"], ["tail_recovered", "crash_recovered", "run_start"]],
        [["run_start", "resync_start", "gap", "resync_start", "snapshot_request", "snapshot_failed", "resync_done"]],
        [["run_start", "snapshot_failed"]],
    ],
)
def test_valid_event_sequences_have_no_defects(tmp_path, runs):
    """The last run may be active, a crash may occur at any point, and an import does not request its snapshots."""
    assert defects_of(tmp_path, *runs) == []


@pytest.mark.parametrize(
    ("runs", "row"),
    [
        ([["stall"]], 1),
        ([["stall", "run_start"]], 1),
        ([["run_start", "run_start"]], 2),
        ([["run_start", "run_stop", "stall"]], 3),
        ([["run_start", "window_end"]], 2),
        ([["run_start", "window_start", "window_end", "window_end"]], 4),
        ([["run_start", "resync_start", "resync_done", "resync_done"]], 4),
        ([["run_start", "snapshot_request", "snapshot_request"]], 3),
        ([["run_start", "snapshot_request", "snapshot_failed", "snapshot_failed"]], 4),
        ([["run_start", "stall"], ["run_start"]], 2),
    ],
)
def test_invalid_event_sequences_are_reported(tmp_path, runs, row):
    """Events must be opened before they are closed, once and in order."""
    assert defects_of(tmp_path, *runs) == [(row, "state")]
