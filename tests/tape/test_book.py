"""The compiled book against a dict: any message, any window, any price."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.tape._book import CompiledBook, TapeReplay

ROW = st.tuples(st.sampled_from([1, -1]), st.integers(1, 400), st.integers(0, 3))
MESSAGES = st.lists(st.lists(ROW, max_size=6), max_size=40)
WINDOW = st.tuples(st.integers(1, 400), st.integers(1, 200))


def columns(rows):
    side, ticks, lots = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(side, np.int8), np.array(ticks, np.int64), np.array(lots, np.int64)


class DictBook:
    """What a book is: the last quantity said of each price."""

    def __init__(self):
        self.sides = {1: {}, -1: {}}

    def apply(self, rows):
        for side, ticks, lots in rows:
            if lots:
                self.sides[side][ticks] = lots
            else:
                self.sides[side].pop(ticks, None)

    def levels(self, side):
        return sorted(self.sides[side].items(), reverse=side > 0)

    def best(self):
        return max(self.sides[1], default=0), min(self.sides[-1], default=0)


@given(MESSAGES, WINDOW)
def test_compiled_book_shows_what_a_dict_shows(messages, window):
    """Levels outside the window, and windows that move after the best price, change nothing."""
    lo, width = window
    book, twin = CompiledBook(lo, lo + width), DictBook()
    for rows in messages:
        book.apply(*columns(rows))
        twin.apply(rows)
        book.check()
        assert book.best() == twin.best()
        for side in (1, -1):
            assert book.levels(side) == twin.levels(side)
            assert all(book.lots_at(side, ticks) == lots for ticks, lots in twin.levels(side))
        assert book.lots_at(1, 401) == 0


@given(MESSAGES, WINDOW, MESSAGES)
def test_a_cleared_book_is_empty_and_usable(messages, window, later):
    """A snapshot after a gap starts from nothing, whatever stood there before."""
    book, twin = CompiledBook(window[0], sum(window)), DictBook()
    for rows in messages:
        book.apply(*columns(rows))
    book.clear()
    book.check()
    assert book.best() == (0, 0)
    assert book.levels(1) == book.levels(-1) == []
    for rows in later:
        book.apply(*columns(rows))
        twin.apply(rows)
    assert [book.levels(side) for side in (1, -1)] == [twin.levels(side) for side in (1, -1)]


def played(replay, events, *wanted):
    """Play events (kind, rows), a keyframe *wanted* after some; return the path of best prices and what is kept."""
    rows = [row for _, message in events for row in message]
    first = np.cumsum([0, *(len(message) for _, message in events)], dtype=np.int64)
    kind = np.array([kind for kind, _ in events], np.uint8)
    after, kept = np.zeros(len(kind), np.uint8), np.ones(len(kind), np.uint8)
    after[list(wanted)] = 1
    return replay.play(kind, first, columns(rows), after, kept).tolist(), kept.tolist()


def test_a_gap_empties_the_top_and_a_crossed_book_is_named():
    """Nobody reads a best price in a gap, and the first crossed message is found."""
    book = [(1, 99, 5), (-1, 101, 7)]
    events = [(1, book), (2, [(1, 99, 4)]), (4, []), (1, book), (2, [(1, 101, 1)]), (2, []), (3, []), (1, book)]
    replay = TapeReplay()
    tops, kept = played(replay, events)
    empty = [0, 0, 0, 0]
    assert tops == [
        [0, 99, 101, 5, 7],
        [1, 99, 101, 4, 7],
        [2, *empty],
        [3, 99, 101, 5, 7],
        [4, *empty],
        [7, *tops[0][1:]],
    ]
    assert (replay.crossed, kept) == ([4], [1, 1, 1, 1, 1, 0, 1, 1])


@given(MESSAGES, st.integers(1, 7))
def test_windows_of_any_size_play_the_same_book(messages, size):
    """The book goes on from one window to the next, wherever its prices move."""
    events = [(1 + (number % 9 > 0), rows) for number, rows in enumerate(messages)]
    whole, pieces = TapeReplay(), TapeReplay()
    expected = played(whole, events, *range(len(events)))
    tops, kept = [], []
    for begin in range(0, len(events), size):
        part = events[begin : begin + size]
        path, stays = played(pieces, part, *range(len(part)))
        tops += path
        kept += stays
    assert (tops, kept, pieces.crossed) == (*expected, whole.crossed)
    frames = [[(event, *map(list, rows)) for event, rows in replay.frames] for replay in (whole, pieces)]
    assert frames[0] == frames[1]


@given(MESSAGES)
def test_a_keyframe_is_the_whole_book(messages):
    """A window of a tape begins with the very book that the day had there."""
    twin = DictBook()
    below_above = [[(s, 100 + t if s < 0 else 1 + t % 99, q) for s, t, q in rows] for rows in messages]
    events = [(1, [(1, 50, 1), (-1, 150, 1)]), *((2, rows) for rows in below_above)]
    replay = TapeReplay()
    played(replay, events, len(events) - 1)
    for _, message in events:
        twin.apply(message)
    assert replay.crossed == []
    ((event, (side, ticks, lots)),) = replay.frames
    assert event == len(events) - 1
    assert list(zip(side.tolist(), ticks.tolist(), lots.tolist(), strict=True)) == [
        (side, *level) for side in (1, -1) for level in twin.levels(side)
    ]


@pytest.mark.parametrize("ticks", [2**61, 2**62, 2**63 - 1, -1, -(2**63)])
def test_a_price_beyond_the_range_is_refused_before_a_width_wraps(ticks):
    """The end of a window around 2**63 - 1 came out below its begin, and its levels were read from other memory."""
    side, lots = np.array([1, 1], np.int8), np.array([1, 1], np.int64)
    replay = TapeReplay()
    rows = (side, np.array([60, ticks]), lots)
    with pytest.raises(OverflowError, match=rf"a price of {ticks} ticks"):
        replay.play(np.array([1], np.uint8), np.array([0, 2]), rows, np.zeros(1, np.uint8), np.ones(1, np.uint8))
    book = CompiledBook(50, 60)
    with pytest.raises(OverflowError, match=rf"a price of {ticks} ticks"):
        book.apply(side, np.array([55, ticks]), lots)


def test_the_highest_prices_of_the_range_travel_like_any():
    """The window moves to them and back, and no level is lost."""
    book, twin, top = CompiledBook(50, 60), DictBook(), 2**61 - 1
    for ticks, lots in ((55, 1), (top, 2), (top - 9, 3), (58, 4), (top, 0), (top - 9, 0), (57, 5)):
        book.apply(np.array([1], np.int8), np.array([ticks]), np.array([lots]))
        twin.apply([(1, ticks, lots)])
        book.check()
        assert book.levels(1) == twin.levels(1)


def test_a_row_of_no_side_ends_a_message_like_any_other():
    """It counts as an ask: the loop over a message never stands still."""
    book = CompiledBook(50, 60)
    book.apply(np.array([0, 1], np.int8), np.array([57, 55]), np.array([1, 1]))
    assert book.best() == (55, 57)
