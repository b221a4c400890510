"""Day folders written row by row, and what a check finds in them."""

from pathlib import Path

from mm import DayFolder
from mm.dayfolder.check import check_day
from mm.dayfolder.coverage import cover
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.rows import Stamp
from mm.markets.records import Trade


class RowWriter(DayWriter):
    """A writer that takes the fields of a trade, and those of a depth message as a tuple."""

    def trade(self, recv_us, *fields):
        return super().trade(recv_us, Trade(*fields))

    def frame(self, stamp, epoch, bids, asks):
        return super().frame(Stamp(*stamp), epoch, bids, asks)


def check(day):
    """Return the report of a check of a day, given as its folder or as a path."""
    return check_day(DayFolder.at(day) if isinstance(day, str | Path) else day)


def defects_of(day):
    """Return the defects that a check finds."""
    return check(day).defects


def covered(day):
    """Return what a day's recording covers."""
    return cover(DayFolder.at(day) if isinstance(day, str | Path) else day)
