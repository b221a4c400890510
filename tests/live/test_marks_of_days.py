"""The marks of equity that a run leaves to the next one: in a file, and a row of the audit log for each day."""

import pytest

from audit_story import BTC
from mm.base.audit_chain import read_rows
from mm.clock import day_of, midnight_us
from mm.errors import BrokenFile
from mm.instrument import E8
from mm.live.audit.books import AuditBooks
from mm.live.audit.history import MARK, MARKS_EVERY_US, DayMarks, EquityFile, EquityMarks, RunHistory
from mm.live.audit.log import AuditLog

NOON_US, DAY_US = 1_795_176_000_000_000, 86_400_000_000


class Desk:
    """A run's marks in a folder."""

    def __init__(self, folder, venue="box"):
        self.folder, self.us = folder, NOON_US
        self.audit = AuditLog(folder / "log.ndjson", sync=False, clock=lambda: self.us)
        self.audit.start(BTC, "1", venue=venue, initial_inventory="0", knobs={})
        self.file = EquityFile(folder, "BTCUSDT", venue)
        self.days = DayMarks(venue, self.file, self.audit)

    def keep(self, us, equity, day, peak, transfers=0, *, at_once=True):
        self.us = us
        marks = (equity * E8, day * E8, peak * E8, transfers * E8)
        self.days.keep(us, marks, us, at_once=at_once)

    def rows(self):
        self.audit.close()
        return [row for row in read_rows(self.folder / "log.ndjson") if row["type"] == MARK]


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_each_day_of_a_run_has_a_row_with_its_first_equity(desk):
    """A start without the file takes the loss of the day from it: after a second midnight as after the first."""
    for day in range(4):
        for hour in range(3):
            us = NOON_US + day * DAY_US + hour * 3_600_000_000
            desk.keep(us, 100 + day + hour, 100 + day, 100 + day + hour)
    rows = desk.rows()
    assert [row["day"] for row in rows] == [day_of(NOON_US + day * DAY_US) for day in range(4)]
    assert [row["equity"] for row in rows] == [f"{100 + day}.00000000" for day in range(4)]
    assert [row["peak"] for row in rows] == [f"{100 + day}.00000000" for day in range(4)]


def test_file_has_the_latest_marks_and_how_far_the_log_was_written(desk):
    desk.keep(NOON_US, 100, 90, 120, 7)
    desk.audit.close()
    desk.file.log_ended(desk.audit.end)
    again = EquityFile(desk.folder, "BTCUSDT", "box")
    assert again.read(NOON_US) == (90 * E8, 120 * E8)
    assert (again.marks.equity_e8, again.marks.transfers_e8) == (100 * E8, 7 * E8)
    end = desk.audit.end
    assert (again.written.file, again.written.rows, again.written.hash) == (end.file, 2, end.hash)
    assert again.read(NOON_US + DAY_US) == (None, 120 * E8)


def test_marks_of_another_venue_do_not_count(desk):
    desk.keep(NOON_US, 100, 90, 120)
    other = EquityFile(desk.folder, "BTCUSDT", "testnet")
    assert other.read(NOON_US) == (None, None)
    assert other.marks is other.written is None


def test_marks_are_written_every_few_seconds_and_at_the_end(desk):
    """A thread writes them, so the newest may be missing after a kill, but not for long."""
    for step in range(5):
        desk.keep(NOON_US + step * MARKS_EVERY_US // 4, 100 + step, 90, 120, at_once=False)
        desk.file._settle()
    again = EquityFile(desk.folder, "BTCUSDT", "box")
    again.read(NOON_US)
    assert again.marks.equity_e8 == 104 * E8
    desk.keep(NOON_US + MARKS_EVERY_US + 1, 105, 90, 120, at_once=False)
    desk.file._settle()
    again.read(NOON_US)
    assert again.marks.equity_e8 == 104 * E8
    desk.keep(NOON_US + MARKS_EVERY_US + 2, 106, 90, 120)
    again.read(NOON_US)
    assert again.marks.equity_e8 == 106 * E8


def test_a_file_that_cannot_be_read_ends_the_start(desk):
    """Without it a loss of this day would not count."""
    desk.keep(NOON_US, 100, 90, 120)
    (desk.folder / "risk" / "BTCUSDT.equity.json").write_text("{")
    with pytest.raises(BrokenFile):
        EquityFile(desk.folder, "BTCUSDT", "box").read(NOON_US)


def test_nothing_is_added_to_a_log_that_the_disk_refuses(desk):
    desk.audit.failure = OSError(28, "No space left on device")
    desk.keep(NOON_US, 100, 90, 120)
    desk.audit.failure = None
    desk.keep(NOON_US + 1, 100, 90, 120)
    assert len(desk.rows()) == 1


@pytest.mark.parametrize(
    ("days", "clean"),
    [
        ({}, 0),
        ({"20260105": True}, 0),
        ({"20260104": True, "20260105": True}, 1),
        ({"20260102": True, "20260103": False, "20260104": True}, 1),
        ({"20260103": True, "20260104": True, "20260105": False}, 0),
        ({"20251231": True, "20260103": True, "20260104": True, "20260105": True}, 3),
    ],
)
def test_days_without_a_breach_count_before_today_and_since_the_last_breach(days, clean):
    """They make the orders of a size ramp larger; the days are in any order."""
    shuffled = dict(reversed(days.items()))
    now = midnight_us("20260105") + DAY_US // 2
    for given in (days, shuffled):
        assert RunHistory(AuditBooks("SIMUSDT"), None, given, now).clean_days == clean


@pytest.mark.parametrize(
    ("equity", "peak", "transfer", "after"), [(80, 100, 80, 200), (80, 100, -40, 50), (0, 5, 7, 12)]
)
def test_drawdown_is_the_same_share_of_the_peak_after_a_transfer(equity, peak, transfer, after):
    """The day's loss is the same amount; without an equity there is no share."""
    marks = EquityMarks("box", "20260105", 90 * E8, peak * E8, equity_e8=equity * E8, transfers_e8=3 * E8)
    moved = marks.moved((3 + transfer) * E8)
    assert (moved.peak_equity_e8, moved.equity_e8) == (after * E8, (equity + transfer) * E8)
    assert moved.day_equity_e8 == (90 + transfer) * E8
    assert moved.transfers_e8 == (3 + transfer) * E8
