"""The compiled book compared with a dict for any messages, windows and prices."""

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
    """A plain book: the last quantity of each price."""

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
def test_compiled_book_matches_dict_book(messages, window):
    """Levels outside the window, and windows that follow the best price, are handled correctly."""
    lo, width = window
    book, expected_book = CompiledBook(lo, lo + width), DictBook()
    for rows in messages:
        book.apply(*columns(rows))
        expected_book.apply(rows)
        book.check()
        assert book.best() == expected_book.best()
        for side in (1, -1):
            assert book.levels(side) == expected_book.levels(side)
            assert all(book.lots_at(side, ticks) == lots for ticks, lots in expected_book.levels(side))
        assert book.lots_at(1, 401) == 0


@given(MESSAGES, WINDOW, MESSAGES)
def test_cleared_book_is_empty_and_usable(messages, window, later):
    """A snapshot after a gap starts from an empty book."""
    book, expected_book = CompiledBook(window[0], sum(window)), DictBook()
    for rows in messages:
        book.apply(*columns(rows))
    book.clear()
    book.check()
    assert book.best() == (0, 0)
    assert book.levels(1) == book.levels(-1) == []
    for rows in later:
        book.apply(*columns(rows))
        expected_book.apply(rows)
    assert [book.levels(side) for side in (1, -1)] == [expected_book.levels(side) for side in (1, -1)]


def replay_events(replay, events, *keyframes):
    """Replay events (kind, rows) with keyframes after *keyframes*; return the best prices and the kept flags."""
    rows = [row for _, message in events for row in message]
    first = np.cumsum([0, *(len(message) for _, message in events)], dtype=np.int64)
    kind = np.array([kind for kind, _ in events], np.uint8)
    after, kept = np.zeros(len(kind), np.uint8), np.ones(len(kind), np.uint8)
    after[list(keyframes)] = 1
    return replay.play(kind, first, columns(rows), after, kept).tolist(), kept.tolist()


def test_gap_empties_top_and_crossed_message_is_reported():
    """The top is empty in a gap, and the crossed message is reported and dropped."""
    book = [(1, 99, 5), (-1, 101, 7)]
    events = [(1, book), (2, [(1, 99, 4)]), (4, []), (1, book), (2, [(1, 101, 1)]), (2, []), (3, []), (1, book)]
    replay = TapeReplay()
    tops, kept = replay_events(replay, events)
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


@given(MESSAGES, st.integers(1, 7), st.sampled_from([0, 50, 2_000, 3_000_000]))
def test_replay_in_pieces_gives_same_book(messages, size, drift):
    """The book continues from one window to the next, also if prices drift out of it."""
    moved = [[(s, t + number * drift, q) for s, t, q in rows] for number, rows in enumerate(messages)]
    events = [(1 + (number % 9 > 0), rows) for number, rows in enumerate(moved)]
    whole, pieces = TapeReplay(), TapeReplay()
    whole_result = replay_events(whole, events, *range(len(events)))
    tops, kept = [], []
    for begin in range(0, len(events), size):
        part = events[begin : begin + size]
        path, stays = replay_events(pieces, part, *range(len(part)))
        tops += path
        kept += stays
    assert (tops, kept, pieces.crossed) == (*whole_result, whole.crossed)
    frames = [[(event, *map(list, rows)) for event, rows in replay.frames] for replay in (whole, pieces)]
    assert frames[0] == frames[1]


@given(MESSAGES)
def test_keyframe_contains_whole_book(messages):
    """The frame contains all levels of the book."""
    expected_book = DictBook()
    below_above = [[(s, 100 + t if s < 0 else 1 + t % 99, q) for s, t, q in rows] for rows in messages]
    events = [(1, [(1, 50, 1), (-1, 150, 1)]), *((2, rows) for rows in below_above)]
    replay = TapeReplay()
    replay_events(replay, events, len(events) - 1)
    for _, message in events:
        expected_book.apply(message)
    assert replay.crossed == []
    ((event, (side, ticks, lots)),) = replay.frames
    assert event == len(events) - 1
    assert list(zip(side.tolist(), ticks.tolist(), lots.tolist(), strict=True)) == [
        (side, *level) for side in (1, -1) for level in expected_book.levels(side)
    ]


@pytest.mark.parametrize("ticks", [2**61, 2**62, 2**63 - 1, -1, -(2**63)])
def test_price_out_of_range_raises_overflow_error(ticks):
    """Such prices would overflow the window's bounds and cause reads of other memory."""
    side, lots = np.array([1, 1], np.int8), np.array([1, 1], np.int64)
    replay = TapeReplay()
    rows = (side, np.array([60, ticks]), lots)
    with pytest.raises(OverflowError, match=rf"a price of {ticks} ticks"):
        replay.play(np.array([1], np.uint8), np.array([0, 2]), rows, np.zeros(1, np.uint8), np.ones(1, np.uint8))
    book = CompiledBook(50, 60)
    with pytest.raises(OverflowError, match=rf"a price of {ticks} ticks"):
        book.apply(side, np.array([55, ticks]), lots)


def test_highest_prices_are_kept():
    """The window moves to the highest prices and back, and no level is lost."""
    book, expected_book, top = CompiledBook(50, 60), DictBook(), 2**61 - 1
    for ticks, lots in ((55, 1), (top, 2), (top - 9, 3), (58, 4), (top, 0), (top - 9, 0), (57, 5)):
        book.apply(np.array([1], np.int8), np.array([ticks]), np.array([lots]))
        expected_book.apply([(1, ticks, lots)])
        book.check()
        assert book.levels(1) == expected_book.levels(1)


def test_row_without_side_counts_as_ask():
    """The row counts as an ask, and the loop over the message ends."""
    book = CompiledBook(50, 60)
    book.apply(np.array([0, 1], np.int8), np.array([57, 55]), np.array([1, 1]))
    assert book.best() == (55, 57)
