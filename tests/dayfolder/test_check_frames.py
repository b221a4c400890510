"""Time that is covered, and frames that a crash may take."""

from mm.dayfolder.check import check_day
from mm.dayfolder.check_books import LOST_AT_MOST_US, Coverage
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.rows import Stamp

T = 1_767_600_000_000_000


def test_only_the_time_between_valid_marks_is_covered():
    """A gap costs the time from the last update before it to the first one behind it."""
    coverage = Coverage()
    coverage.stop()
    for us in (10, 30, 20):
        coverage.mark(us)
    coverage.stop()
    coverage.mark(100)
    coverage.mark(105)
    coverage.stop()
    coverage.stop()
    assert coverage.total_us == 25


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
