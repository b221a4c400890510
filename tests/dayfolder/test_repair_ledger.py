"""Repair of the ledger: its lost end, orphan snapshots, and the run of the repair."""

import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mended_days import assert_repaired, kinds, repaired, rows, table

from day_files import defects_of
from mm import DayFolder
from mm.dayfolder.manifest import read_manifest
from scribe import Scribe


def test_orphan_snapshot_is_removed(recorded_day):
    """No event refers to the snapshot, and none was pending."""
    recorded_day.snapshot(3, "initial").write_text("run_id,event_id,side,price,qty,lastUpdateId\n")
    result = repaired(recorded_day)
    assert result.repairs[0] == "snapshots/snapshot_3_initial.csv: an orphan, removed"
    assert_repaired(recorded_day)


def test_snapshot_without_its_event_is_removed_from_crashed_day(tmp_path):
    """A recorder killed between the file of a snapshot and its event: its messages stay, without a book."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    scribe = Scribe(folder, "R1", 1_767_600_000_000_000)
    scribe.event("window_start")
    scribe.event("snapshot_request", attempt=1)
    scribe.diff(101, 102, [("99.99", "2.5")], frame=False)
    scribe.writer.close()
    folder.snapshots.mkdir(exist_ok=True)
    folder.snapshot(4, "initial").write_text("run_id,event_id,side,price,qty,lastUpdateId\nR1,4,bid,99,1,101\n")
    assert "snapshots/snapshot_4_initial.csv: an orphan, removed" in repaired(folder).repairs
    assert (len(rows(folder.diffs)), len(rows(folder.frames))) == (1, 1)
    assert_repaired(folder)


def test_crashed_day_is_closed_and_sealed(tmp_path):
    """A day whose recorder was killed and not restarted is closed and sealed."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    scribe = Scribe(folder, "R1", 1_767_600_000_000_000)
    scribe.event("window_start")
    scribe.load("initial", 100)
    scribe.diff(101, 101, [("99.99", "9")])
    scribe.writer.close()
    result = repaired(folder)
    assert result.repairs == ["run R1, which had crashed, is closed", "sealed"]
    assert kinds(folder) == ["run_start", "crash_recovered", "run_stop"]
    assert read_manifest(folder).runs == ["R1", "FIX"]
    assert_repaired(folder)


def test_gaps_file_is_rebuilt_from_ledger(recorded_day):
    """The gaps file only repeats the ledger."""
    whole = rows(recorded_day.gaps)
    recorded_day.gaps.write_bytes(b"\n".join(whole[:2]) + b"\n")
    assert repaired(recorded_day).changed
    assert set(whole) <= set(rows(recorded_day.gaps))
    assert_repaired(recorded_day)


@pytest.fixture(scope="module")
def one_run_day(tmp_path_factory):
    """Return a day of one run: a start, a gap and its resync, missing trades, an end."""
    folder = DayFolder(tmp_path_factory.mktemp("one"), "SIMUSDT", "20260105")
    scribe = Scribe(folder, "R1", 1_767_600_000_000_000)
    scribe.event("window_start")
    scribe.event("snapshot_request", attempt=1)
    scribe.diff(99, 101, frame=False)
    scribe.load("initial", 101)
    scribe.diff(102, 102, [("99.99", "4")])
    scribe.trade(1)
    scribe.diff(110, 110, frame=False)
    scribe.gap("gap", 103, 109)
    scribe.writer.gap(scribe.tick(), "resync_start", scribe.epoch, {"cause": "gap"})
    scribe.event("snapshot_request", attempt=1)
    scribe.trade(5)
    scribe.gap("trade_gap", 2, 4)
    scribe.load("resync", 110)
    scribe.event("resync_done", last_update_id=110)
    scribe.diff(111, 111, [("99.98", "8")])
    scribe.trade(6)
    scribe.diff(112, 113, [("99.97", "1")])
    scribe.event("run_stop", reason="SIGTERM")
    scribe.writer.seal()
    scribe.writer.close()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kept", range(2, 12))
@pytest.mark.parametrize("torn", [0, 9])
def test_lost_end_of_ledger_is_restored_from_other_files(one_run_day, tmp_path, kept, torn):
    """Frames are unchanged, and events that the gaps file and the snapshots repeat are restored."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    shutil.copytree(one_run_day.path, folder.path)
    assert defects_of(folder) == []
    lines = folder.events.read_bytes().splitlines(keepends=True)
    assert len(lines) == 12
    folder.events.write_bytes(b"".join(lines[:kept]) + lines[kept][:torn])
    frames, before = folder.frames.read_bytes(), table(one_run_day.events)
    repaired(folder)
    assert folder.frames.read_bytes() == frames
    after = {row["event_id"]: row for row in table(folder.events) if row["run_id"] == "R1"}
    for row in before:
        if row["type"] in ("gap", "trade_gap", "resync_start", "snapshot_loaded") or int(row["event_id"]) < kept:
            restored = after[row["event_id"]]
            assert [restored[name] for name in ("recv_seq", "type", "epoch_id", "details_json")] == [
                row[name] for name in ("recv_seq", "type", "epoch_id", "details_json")
            ]
    assert_repaired(folder)


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_ledger_cut_anywhere_is_repaired_if_it_has_rows(one_run_day, tmp_path_factory, data):
    """Without any ledger row the runs are unknown: the data rows are kept, and the check reports it."""
    folder = DayFolder(tmp_path_factory.mktemp("cut"), "SIMUSDT", "20260105")
    shutil.copytree(one_run_day.path, folder.path)
    lines = folder.events.read_bytes().splitlines(keepends=True)
    cut = data.draw(st.integers(0, sum(map(len, lines)) - 1))
    os.truncate(folder.events, cut)
    diffs, trades = rows(folder.diffs), rows(folder.trades)
    result = repaired(folder)
    assert (rows(folder.diffs), rows(folder.trades)) == (diffs, trades)
    if cut >= len(lines[0]) + len(lines[1]):
        assert rows(folder.frames) == rows(one_run_day.frames)
        assert_repaired(folder)
    else:
        assert not result.after.ok


@pytest.mark.slow
@pytest.mark.parametrize("torn", [0, 3, 20, 60])
@pytest.mark.parametrize("at", range(1, 12))
def test_torn_row_within_ledger_loses_no_data_rows(one_run_day, tmp_path, at, torn):
    """Such a row once caused a TypeError; all data rows are kept, and other defects are only in the ledger and gaps."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    shutil.copytree(one_run_day.path, folder.path)
    lines = folder.events.read_bytes().splitlines()
    lines[at] = lines[at][:torn]
    folder.events.write_bytes(b"\n".join(lines) + b"\n")
    diffs, trades = rows(folder.diffs), rows(folder.trades)
    result = repaired(folder)
    assert (rows(folder.diffs), rows(folder.trades)) == (diffs, trades)
    if not result.after.ok:
        assert {defect.file for defect in result.after.defects} <= {folder.events.name, folder.gaps.name}
