"""Missing data of a day without a manifest is found; complete days, and days with explained losses, are sound."""

import csv
import gzip
import json
import shutil

import mutations
import pytest
from mutations import MUTATIONS, PLAUSIBLE
from test_check import diffs, rewrite

from day_files import RowWriter, defects_of
from mm import DayFolder
from mm.clock import now_us
from support import ROOT

US = 1_767_600_000_000_000
KNOBS = {"top_n": 3, "write_diffs": True, "write_gaps": True, "flush_interval_s": 5.0, "snapshot_limit": 5000}
# Every third, so that CI covers each kind of change; `python tests/dayfolder/mutations.py` runs all.
SOME = [name for name in list(MUTATIONS)[::3] if name not in PLAUSIBLE]


def test_unmutated_day_is_sound(boxed_day, tmp_path):
    """The day has the files that mutations need; without its manifest the only defect is `unsealed`."""
    assert defects_of(boxed_day) == []
    assert {path.name.split("_")[0] for path in boxed_day.path.rglob("*.*")} >= {"snapshot", "frames", "gaps"}
    shutil.copytree(boxed_day.path, tmp_path / "SIMUSDT" / boxed_day.day)
    copy = DayFolder(tmp_path, "SIMUSDT", boxed_day.day)
    copy.manifest.unlink()
    assert [defect.kind for defect in defects_of(copy)] == ["unsealed"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_mutation_is_found_without_manifest(boxed_day, tmp_path, name):
    """The mutation causes a defect besides `unsealed`."""
    assert mutations.found(boxed_day, name, tmp_path, sealed=False)


@pytest.mark.parametrize("name", PLAUSIBLE)
def test_mutation_is_found_with_manifest(boxed_day, tmp_path, name):
    """Hashes reveal changes that no other check finds."""
    assert mutations.found(boxed_day, name, tmp_path, sealed=True)


def test_documented_mutation_counts_match_list():
    """The documented numbers of mutations and of detected ones match the list."""
    total, missed = len(MUTATIONS), len(PLAUSIBLE)
    assert (total - missed) / total >= 106 / 109
    page = (ROOT / "docs" / "evidence" / "measured.md").read_text(encoding="utf-8")
    assert f"{total} of {total} are found in a sealed day, {total - missed} without a manifest" in page


class Writer:
    """A recorded day with one message per second."""

    def __init__(self, root, run_id="R1", us=US, knobs=KNOBS):
        self.folder = DayFolder(root, "SIMUSDT", "20260105")
        self.writer = RowWriter(self.folder, run_id, top_n=3, write_diffs=knobs.get("write_diffs", True))
        self.us = us
        self.event("run_start", version="1", knobs=knobs)

    def event(self, kind, /, **details):
        self.us += 1_000_000
        self.writer.event(self.us, kind, 0, details)

    def trades(self, first, last):
        for number in range(first, last + 1):
            self.us += 1_000_000
            ms = self.us // 1_000
            self.writer.trade(self.us, ms, number, ms, "1.5", "2", True, number, number)
        return self

    def diffs(self, first, last):
        for number in range(first, last + 1):
            self.us += 1_000_000
            self.writer.diff(self.us, self.us // 1_000, number, number, [("1.4", "1")], [])
        return self

    def stop(self, *, seal=True):
        self.event("run_stop", reason="signal")
        if seal:
            self.writer.seal()
        self.writer.close()
        return self.folder

    def kill(self):
        """Close like a killed process that loses no data."""
        self.writer.close()
        return self.folder


def kinds(folder):
    return [(defect.kind, defect.message.partition(":")[0]) for defect in defects_of(folder)]


def drop(path, *rows):
    """Remove data rows, counted from 1, from a file."""
    compressed = path.suffix == ".gz"
    lines = (gzip.decompress(path.read_bytes()) if compressed else path.read_bytes()).splitlines(keepends=True)
    left = b"".join(line for at, line in enumerate(lines, compressed) if at not in rows)
    path.write_bytes(gzip.compress(left) if compressed else left)


def test_missing_recv_seq_is_reported_as_missing_row(tmp_path):
    """A missing recv_seq is reported, also for a depth message before the first snapshot."""
    day = Writer(tmp_path).diffs(1, 3).trades(1, 3).stop()
    assert kinds(day) == []
    day.manifest.unlink()
    drop(day.diffs, 1)
    drop(day.trades, 3)
    assert kinds(day) == [
        ("missing_rows", "recv_seq 2"),
        ("missing_rows", "recv_seq 7"),
        ("unsealed", "run R1 has ended, but there is no manifest; restore it, or seal the day with `mm data repair`"),
    ]


def test_missing_rows_between_two_runs_are_reported(tmp_path):
    """The next run continues after the last row of the previous run."""
    Writer(tmp_path).trades(1, 3).kill()
    later = Writer(tmp_path, "R2", US + 60_000_000)
    later.event("crash_recovered", previous_run_id="R1")
    day = later.trades(4, 5).stop()
    assert kinds(day) == []
    day.manifest.unlink()
    drop(day.trades, 3)
    assert kinds(day)[-2:] == [
        ("missing_rows", "recv_seq 4"),
        ("unsealed", "run R2 has ended, but there is no manifest; restore it, or seal the day with `mm data repair`"),
    ]


@pytest.mark.parametrize("seconds", [10, 55, 200])
def test_killed_run_may_lack_rows_of_its_last_minute(tmp_path, seconds):
    """Files are flushed one after the other; rows older than a minute and two flushes must exist."""
    day = Writer(tmp_path).diffs(1, 5).trades(1, 300).kill()
    drop(day.trades, 301 - seconds)
    lost = [kind for kind, _ in kinds(day)]
    assert ("missing_rows" in lost) == (seconds > 60)
    slow = Writer(tmp_path / "slow", knobs={**KNOBS, "flush_interval_s": 120}).diffs(1, 5).trades(1, 300).kill()
    drop(slow.trades, 301 - seconds)
    assert "missing_rows" not in [kind for kind, _ in kinds(slow)]


@pytest.mark.parametrize("kind", [("disk_full", {"errno": 28}), ("loop_lag", {"lag_s": 900.0})])
def test_killed_run_may_lack_rows_that_waited_for_disk(tmp_path, kind):
    """The ledger has reserved disk space, the other files have not."""
    writer = Writer(tmp_path).trades(1, 200)
    writer.event(kind[0], **kind[1])
    day = writer.trades(201, 300).kill()
    drop(day.trades, *range(100, 200))
    assert "missing_rows" not in [kind for kind, _ in kinds(day)]


def test_day_being_recorded_is_sound(tmp_path):
    """The day is sound after the first event, in the middle, and between its end and its seal."""
    writer = Writer(tmp_path, us=now_us() - 400_000_000)
    writer.writer.flush()
    root, day = writer.folder.root, writer.folder.day
    assert {defect.kind for defect in defects_of(writer.folder)} <= {"time"}  # the folder's day is not today
    writer.trades(1, 100).writer.flush()
    assert {defect.kind for defect in defects_of(DayFolder(root, "SIMUSDT", day))} <= {"time"}
    writer.us = now_us()
    writer.stop(seal=False)
    assert {defect.kind for defect in defects_of(DayFolder(root, "SIMUSDT", day))} <= {"time"}


def test_missing_recv_seq_is_allowed_without_diffs(tmp_path):
    """With WRITE_DIFFS=0, the recv_seq of depth messages may be missing."""
    knobs = {**KNOBS, "write_diffs": False}
    day = Writer(tmp_path, knobs=knobs).trades(1, 2).diffs(1, 5).trades(3, 4).stop()
    assert not day.diffs.exists()
    assert kinds(day) == []


def test_missing_files_are_reported_by_settings(tmp_path):
    """A missing file is reported only for a finished run whose settings include it."""
    day = Writer(tmp_path).diffs(1, 3).stop()
    day.gaps.unlink()
    day.schema.unlink()
    assert [kind for kind, _ in kinds(day)] == ["missing_file", "missing_file", "manifest", "manifest"]
    other = Writer(tmp_path / "off", knobs={**KNOBS, "write_gaps": False}).diffs(1, 3).stop()
    other.gaps.unlink()
    assert [kind for kind, _ in kinds(other)] == ["manifest"]
    unknown = Writer(tmp_path / "unknown", knobs={}).trades(1, 3).stop(seal=False)
    unknown.gaps.unlink()
    unknown.schema.unlink()
    assert kinds(unknown) == []


def test_repair_records_missing_rows_in_ledger(tmp_path):
    """The repair records the lost rows in the ledger, so that the day is sound again."""
    from mended_days import assert_repaired, details, repaired

    day = Writer(tmp_path).diffs(1, 3).trades(1, 3).stop()
    drop(day.diffs, 1)
    day.manifest.unlink()
    result = repaired(day)
    assert any("recv_seq 2: no file has this row" in line for line in result.repairs)
    assert [event["kind"] for event in details(day, "anomaly")] == ["rows_lost"]
    assert_repaired(day)


def test_clock_step_between_files_is_reported(tmp_path):
    """Rows are compared across files, even if each file is ordered."""
    day = Writer(tmp_path).trades(1, 3).diffs(1, 3).stop(seal=False)

    def hour_later(rows):
        rows[-1][1], rows[-1][9] = str(int(rows[-1][1]) + 3_600_000), str(int(rows[-1][9]) + 3_600_000_000)

    rewrite(day.trades, hour_later)
    assert [kind for kind, _ in kinds(day)] == ["clock", "unsealed"]


def test_gap_that_contradicts_diffs_is_reported(unsealed_day):
    """A gap in the ledger that contradicts the diffs is reported."""
    diffs(lambda rows: rows[4].update(U=109))(unsealed_day)
    assert "gap" in [kind for kind, _ in kinds(unsealed_day)]


def test_gap_missing_from_gaps_file_is_reported(unsealed_day):
    """The gaps file repeats the gaps of the ledger."""
    with unsealed_day.gaps.open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert json.loads(rows[1][5])["from_id"] == 106
    rewrite(unsealed_day.gaps, lambda rows: rows.pop(1))
    assert [kind for kind, _ in kinds(unsealed_day)] == ["gap_row"]
