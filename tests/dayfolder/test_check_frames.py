"""Covered time, and frames lost in a crash."""

import pytest

from day_files import RowWriter, check, defects_of
from mm import DayFolder
from mm.dayfolder.check_frames import LOST_AT_MOST_US
from mm.dayfolder.coverage import ValidTime, cover
from mm.dayfolder.ledger import Event
from mm.dayfolder.rows import Arrival

T = 1_767_600_000_000_000


def test_only_time_between_valid_marks_is_covered():
    """A gap excludes the time from the last update before it to the first update after it."""
    coverage = ValidTime()
    coverage.stop()
    for us in (10, 30, 20):
        coverage.mark(us)
    coverage.stop()
    coverage.mark(100)
    coverage.mark(105)
    coverage.stop()
    coverage.stop()
    assert coverage.total_us == 25


HOUR_US = 3_600_000_000


@pytest.mark.parametrize("by_us", [HOUR_US, -HOUR_US, 0])
@pytest.mark.parametrize("rows_until_reported", [0, 1, 5])
def test_clock_step_covers_no_time(tmp_path, by_us, rows_until_reported):
    """Twenty updates, one every 100 ms; the ledger reports a step forward up to several rows later."""
    folder, us = DayFolder(tmp_path, "A", "20260105"), T
    with RowWriter(folder, "R1", top_n=1) as writer:
        writer.event(us, "run_start", 0, {"version": "0", "knobs": {}})
        writer.event(us, "window_start", 0, {})
        writer.snapshot(us, "initial", 10, [["1", "1"]], [["2", "1"]], 1)
        for number in range(20):
            us += 100_000 + (by_us if number == 10 else 0)
            is_reported = number == 10 if by_us < 0 else number == 10 + rows_until_reported
            if by_us and is_reported:
                writer.event(us, "clock_step", 1, {"by_us": by_us})
            bids = [("1", f"{number + 1}")]
            writer.diff(us, us, 11 + number, 11 + number, bids, [])
            writer.frame((us, writer.last_seq, us, 11 + number), 1, bids, [("2", "1")])
        writer.event(us, "window_end", 1, {})
        writer.event(us, "run_stop", 1, {"reason": "window_end"})
    report, coverage = check(folder), cover(folder)
    assert report.defects == []
    assert report.covered_s == pytest.approx(1.9, abs=0.11)
    if by_us < 0:  # the window ends before it begins
        assert 0 <= coverage.covered_s <= 2
        return
    assert coverage.covered_s == pytest.approx(1.9, abs=0.11)
    assert coverage.excluded_s == pytest.approx(by_us / 1e6 if by_us > 0 else 0.0, abs=1.1)


def test_clock_step_without_book_subtracts_nothing(tmp_path):
    """Without a valid book, no time was counted."""
    valid = ValidTime()
    for us in (T, T + 1_000_000):
        valid.mark(us)
    valid.stop()
    at = Arrival(9, "R1", (T + HOUR_US) // 1000, T + HOUR_US)
    valid.stepped(Event(1, 1, at, "clock_step", 1, {"by_us": HOUR_US}))
    assert valid.total_us == 1_000_000


def test_crash_explains_at_most_one_minute_of_missing_frames(tmp_path):
    """A run without frames for longer than a minute lost more than its last flush."""
    folder = DayFolder(tmp_path, "A", "20260105")
    with RowWriter(folder, "R1", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
        writer.snapshot(T, "initial", 5, [("1", "2")], [("2", "2")], 1)
        for n in range(5):
            us = T + n * LOST_AT_MOST_US // 2
            seq = writer.diff(us, us // 1000, 6 + n, 6 + n, [], [])
            if n == 0:
                writer.frame((us, seq, us // 1000, 6), 1, [("1", "2")], [("2", "2")])
    defects = [(defect.kind, defect.message[:27]) for defect in defects_of(folder)]
    assert defects == [("frame_missing", "the frame of recv_seq 4 (up")]
