"""Events of files as messages of an import: ids that follow one another, and books that are lost and found."""

import itertools
from pathlib import Path

import pytest
from foreign_days import START_US

from mm.errors import BrokenFile
from mm.formats.feed import BookEdits, FileCapture, FilePlace, FileTrade, LevelChanges, WholeBook
from mm.market_data.captures import BookLoss
from mm.market_data.grid import Grid
from mm.market_data.venue import DepthSnapshot, DepthUpdate, TradePrint


class Told:
    """A reader of events in memory."""

    notes: tuple = ()

    def __init__(self, *events, grows=False):
        self.place, self.grows, self.events = FilePlace(Path("x"), 1), grows, events

    def __iter__(self):
        yield from self.events


def messages(*events, grows=False):
    reader = Told(*((START_US + n, event) for n, event in enumerate(events)), grows=grows)
    return [message for _, message, _ in FileCapture(reader, "SIM", Grid())]


BOOK = WholeBook([("99", "1"), ("98", "2")], [("101", "3")])


def test_ids_follow_one_another():
    found = messages(BOOK, LevelChanges(0, [("97", "1")], []), FileTrade(0, "101", "1", 1), LevelChanges(0, [], []))
    updates = [one for one in found if isinstance(one, DepthUpdate)]
    assert found[0].lastUpdateId + 1 == updates[0].U
    assert all(one.u == one.U for one in updates)
    assert [two.U - one.u for one, two in itertools.pairwise(updates)] == [1, 1]


def test_an_equal_book_says_nothing_and_another_one_ends_the_first():
    again = WholeBook(BOOK.bids[::-1], BOOK.asks)
    assert len(messages(BOOK, again)) == 2
    kinds = [type(one) for one in messages(BOOK, WholeBook([("99", "5")], [("101", "3")]))]
    assert kinds == [DepthSnapshot, DepthUpdate, BookLoss, DepthSnapshot, DepthUpdate]


def test_edits_remove_up_to_a_price_and_set_levels():
    steps = [(1, "99", None), (1, "99.5", "7"), (-1, None, None), (-1, "102", "8")]
    *_, change = messages(BOOK, BookEdits(0, steps, snapshot=False))
    assert sorted(change.b) == [("99", "0"), ("99.5", "7")]
    assert sorted(change.a) == [("101", "0"), ("102", "8")]


def test_edits_that_leave_nothing_lose_the_book():
    *_, last = messages(BOOK, BookEdits(0, [(0, None, None)], snapshot=False))
    assert last == BookLoss("cleared")


def test_a_book_of_another_day_is_not_carried_over_a_missing_one():
    reader = Told((START_US, BOOK), (START_US + 3 * 86_400_000_000, LevelChanges(0, [("98.5", "1")], [])))
    capture = FileCapture(reader, "SIM", Grid())
    assert [type(one) for _, one, _ in capture] == [DepthSnapshot, DepthUpdate, DepthUpdate]
    assert not capture._begun


def test_sides_that_nobody_names_are_concluded():
    """From the mid; at the mid from the price before, and where that is equal from its side."""
    prices = ["101", "99", "100", "99.5", "100", "100"]
    found = messages(BOOK, *(FileTrade(0, price, "1", 0) for price in prices))
    assert [one.m for one in found if isinstance(one, TradePrint)] == [False, True, False, True, False, False]


@pytest.mark.parametrize(
    ("event", "match"),
    [
        (LevelChanges(0, [("-1", "1")], []), "-1 is negative"),
        (LevelChanges(0, [("1", "x")], []), "'x' is not a plain decimal"),
        (FileTrade(0, "0", "1", 1), "0 is zero"),
        (FileTrade(0, "1", "0", 1), "a trade of 0"),
        (WholeBook([("1", "1e5")], []), "'1e5' is not a plain decimal"),
    ],
)
def test_numbers_that_are_none_name_file_and_row(event, match):
    with pytest.raises(BrokenFile, match=rf"x:1: .*{match}.*; correct the row"):
        messages(event)
