"""Events of files as messages of an import: consecutive ids, and books that are lost and found."""

import itertools
from pathlib import Path

import pytest
from foreign_days import START_US

from mm.errors import BrokenFile
from mm.formats.events import BookEdits, FileTrade, LevelChanges, WholeBook
from mm.formats.feed import FileCapture
from mm.market_data.captures import BookLoss, FilePlace
from mm.markets.grid import Grid
from mm.markets.messages import DepthSnapshot, DepthUpdate, TradePrint


class MemoryReader:
    """A reader of events in memory."""

    notes: tuple = ()
    orders = None

    def __init__(self, *events, grows=False):
        self.place, self.grows, self.events = FilePlace(Path("x"), 1), grows, events

    def __iter__(self):
        yield from self.events


def messages(*events, grows=False):
    reader = MemoryReader(*((START_US + n, event) for n, event in enumerate(events)), grows=grows)
    return [message for _, message, _ in FileCapture(reader, "SIM", Grid())]


BOOK = WholeBook([("99", "1"), ("98", "2")], [("101", "3")])


def test_update_ids_are_consecutive():
    received = messages(BOOK, LevelChanges(0, [("97", "1")], []), FileTrade(0, "101", "1", 1), LevelChanges(0, [], []))
    updates = [update for update in received if isinstance(update, DepthUpdate)]
    assert received[0].lastUpdateId + 1 == updates[0].U
    assert all(update.u == update.U for update in updates)
    assert [following.U - update.u for update, following in itertools.pairwise(updates)] == [1, 1]


def test_equal_book_sends_nothing_and_other_book_resets():
    equal_book = WholeBook(BOOK.bids[::-1], BOOK.asks)
    same = LevelChanges(0, [], [])
    assert len(messages(BOOK, same, equal_book)) == 3
    kinds = [type(message) for message in messages(BOOK, same, WholeBook([("99", "5")], [("101", "3")]))]
    assert kinds == [DepthSnapshot, DepthUpdate, DepthUpdate, BookLoss, DepthSnapshot, DepthUpdate]


def test_books_of_a_source_without_changes_become_changes():
    """Each replaces the last, an equal one has no levels, and no book is lost, not even by a crossed one."""
    crossed, last = WholeBook([("102", "1")], [("101", "3")]), WholeBook([("99", "5")], [("101", "3")])
    first, empty, equal, *others = messages(BOOK, BOOK, last, crossed, last)
    assert (empty.b, empty.a, equal.b, equal.a) == ((), (), [], [])
    assert [type(message) for message in others] == [DepthUpdate, DepthUpdate, DepthUpdate, DepthSnapshot]
    assert (sorted(others[0].b), others[0].a) == ([("98", "0"), ("99", "5")], [])
    assert others[-1].lastUpdateId == others[-2].u == first.lastUpdateId + 5
    edits = [(0, None, None), (1, "99", "5"), (-1, "101", "3")]
    *_, change = messages(BOOK, BookEdits(0, edits, snapshot=True))
    assert (sorted(change.b), change.a) == ([("98", "0"), ("99", "5")], [])


def test_edits_remove_up_to_a_price_and_set_levels():
    steps = [(1, "99", None), (1, "99.5", "7"), (-1, None, None), (-1, "102", "8")]
    *_, change = messages(BOOK, BookEdits(0, steps, snapshot=False))
    assert sorted(change.b) == [("99", "0"), ("99.5", "7")]
    assert sorted(change.a) == [("101", "0"), ("102", "8")]


def test_edits_that_remove_all_levels_lose_the_book():
    *_, last = messages(BOOK, BookEdits(0, [(0, None, None)], snapshot=False))
    assert last == BookLoss("cleared", unseen=True)


def test_book_is_not_carried_over_a_missing_day():
    reader = MemoryReader((START_US, BOOK), (START_US + 3 * 86_400_000_000, LevelChanges(0, [("98.5", "1")], [])))
    capture = FileCapture(reader, "SIM", Grid())
    assert [type(message) for _, message, _ in capture] == [DepthSnapshot, DepthUpdate, DepthUpdate]
    assert not capture._begun


def test_missing_trade_sides_are_inferred():
    """From the mid; at the mid from the previous price, and if that is equal from its side."""
    prices = ["101", "99", "100", "99.5", "100", "100"]
    received = messages(BOOK, *(FileTrade(0, price, "1", 0) for price in prices))
    assert [message.m for message in received if isinstance(message, TradePrint)] == [
        False,
        True,
        False,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("event", "match"),
    [
        (LevelChanges(0, [("-1", "1")], []), "-1 is negative"),
        (LevelChanges(0, [("1", "x")], []), "'x' is not a plain decimal"),
        (FileTrade(0, "0", "1", 1), "0 is zero"),
        (FileTrade(0, "1", "-1", 1), "-1 is negative"),
        (WholeBook([("1", "nan")], []), "'nan' is not a plain decimal"),
        (WholeBook([("1e5", "1")], []), "'1e5' is not a plain decimal"),
    ],
)
def test_invalid_numbers_raise_with_file_and_row(event, match):
    with pytest.raises(BrokenFile, match=rf"x:1: .*{match}.*; correct the row"):
        messages(event)
