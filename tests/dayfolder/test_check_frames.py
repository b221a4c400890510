"""Time that is covered, and frames that a crash may take."""

import pytest

from mm.dayfolder.check import check_day
from mm.dayfolder.check_frames import LOST_AT_MOST_US
from mm.dayfolder.coverage import ValidTime, cover
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.ledger import Event
from mm.dayfolder.rows import Arrival, Stamp

T = 1_767_600_000_000_000


def test_only_the_time_between_valid_marks_is_covered():
    """A gap costs the time from the last update before it to the first one behind it."""
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
@pytest.mark.parametrize("rows_before_it_is_told", [0, 1, 5])
def test_a_clock_that_is_set_covers_no_time(tmp_path, by_us, rows_before_it_is_told):
    """Twenty updates, one every 100 ms; the ledger says of a step forward up to a second later."""
    folder, us = DayFolder(tmp_path, "A", "20260105"), T
    with DayWriter(folder, "R1", top_n=1) as writer:
        writer.event(us, "run_start", 0, {"version": "0", "knobs": {}})
        writer.event(us, "window_start", 0, {})
        writer.snapshot(us, "initial", 10, [["1", "1"]], [["2", "1"]], 1)
        for number in range(20):
            us += 100_000 + (by_us if number == 10 else 0)
            told = number == 10 if by_us < 0 else number == 10 + rows_before_it_is_told
            if by_us and told:
                writer.event(us, "clock_step", 1, {"by_us": by_us})
            bids = [("1", f"{number + 1}")]
            writer.diff(us, us, 11 + number, 11 + number, bids, [])
            writer.frame(Stamp(us, writer.last_seq, us, 11 + number), 1, bids, [("2", "1")])
        writer.event(us, "window_end", 1, {})
        writer.event(us, "run_stop", 1, {"reason": "window_end"})
    report, found = check_day(folder), cover(folder)
    assert report.defects == []
    assert report.covered_s == pytest.approx(1.9, abs=0.11)
    if by_us < 0:  # its window ends before it begins
        assert 0 <= found.covered_s <= 2
        return
    assert found.covered_s == pytest.approx(1.9, abs=0.11)
    assert found.excluded_s == pytest.approx(by_us / 1e6 if by_us > 0 else 0.0, abs=1.1)


def test_a_step_while_there_is_no_book_takes_nothing_away(tmp_path):
    """It was never counted."""
    valid = ValidTime()
    for us in (T, T + 1_000_000):
        valid.mark(us)
    valid.stop()
    at = Arrival(9, "R1", (T + HOUR_US) // 1000, T + HOUR_US)
    valid.stepped(Event(1, 1, at, "clock_step", 1, {"by_us": HOUR_US}))
    assert valid.total_us == 1_000_000


def test_a_crash_takes_a_minute_of_frames_at_most(tmp_path):
    """A run that wrote no frames for an hour did not just lose its last flush."""
    folder = DayFolder(tmp_path, "A", "20260105")
    with DayWriter(folder, "R1", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
        writer.snapshot(T, "initial", 5, [("1", "2")], [("2", "2")], 1)
        for n in range(5):
            us = T + n * LOST_AT_MOST_US // 2
            seq = writer.diff(us, us // 1000, 6 + n, 6 + n, [], [])
            if n == 0:
                writer.frame(Stamp(us, seq, us // 1000, 6), 1, [("1", "2")], [("2", "2")])
    found = [(defect.kind, defect.message[:27]) for defect in check_day(folder).defects]
    assert found == [("frame_missing", "the frame of recv_seq 4 (up")]
