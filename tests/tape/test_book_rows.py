"""Book rows sorted by page equal the rows of the tape, and a book that stores them when read equals a dict."""

import dataclasses
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_tapes import TEST, tapes
from mm.tape import book_rows as sorting
from mm.tape import level_changes
from mm.tape._book import LEVEL_PAGE as PAGE
from mm.tape._book import CompiledBook
from mm.tape.book_rows import CELL_BITS, KEPT, TOO_LARGE, book_rows
from mm.tape.tape import DEPTH, GAP, KEYFRAME, SNAPSHOT, Tape

EVENTS = [
    (1_000, "snapshot", [(99, 5), (98, 1)], [(301, 5)]),
    (1_050, "depth", [(98, 4), (99, 0)], []),
    (1_060, "trade", -1, 98, 4),
    (1_070, "depth", [], []),
    (1_070, "keyframe"),
    (1_080, "gap"),
    (1_090, "snapshot", [(97, 2)], [(301, 1)]),
]


def unpacked(rows):
    """Return all rows as (event, side, ticks, lots), page after page."""
    pages = np.repeat(rows.page, np.diff(rows.begin)).tolist()
    cells = zip(pages, rows.change["event"].tolist(), rows.change["lots"].tolist(), strict=True)
    return [
        (event, 1 if value & 1 else -1, page * PAGE + (value % (1 << CELL_BITS)) // 2, value >> CELL_BITS)
        for page, event, value in cells
    ]


def expected_rows(tape):
    """Return the rows of a tape that change its book, and those of the keyframe that it begins with."""
    framed = [0] if tape.kind[:1].tolist() == [KEYFRAME] else []
    events = [*framed, *np.flatnonzero((tape.kind == SNAPSHOT) | (tape.kind == DEPTH)).tolist()]
    return [(event, *row) for event in events for row in tape.rows(event)]


@pytest.mark.slow
@given(tapes(3))
def test_book_rows_match_tape_rows_by_page(drawn):
    """In any groups of pages, and with a table of all pages or a search."""
    for tape in drawn:
        rows = book_rows(tape)
        assert unpacked(rows) == sorted(expected_rows(tape), key=lambda row: row[2] // PAGE)
        assert list(rows.faults()) == []
        for name, value in (("MOST_ROWS", 1), ("MOST_PAGES", 0), ("BLOCK", 1)):
            with patch.object(level_changes, name, value):
                assert all(np.array_equal(getattr(book_rows(tape), kept), getattr(rows, kept)) for kept in KEPT)


def test_book_rows_of_windows_and_finer_lots():
    """A window has the rows of the whole tape, and its position; finer lots are multiples."""
    tape = Tape.of(TEST, EVENTS).with_best(lambda: None, None, None, lambda: book_rows(tape)).kept_mapped()
    finer = tape.with_lot(TEST.lot_e8 // 4).kept_mapped()
    assert sorted(unpacked(finer.book_rows)) == sorted(expected_rows(finer))
    window = tape.between(1_075, 1_085).kept_mapped().between(1_080, 1_085).kept_mapped()
    assert (window.book_rows.base, window.kind[0]) == (4, KEYFRAME)
    assert unpacked(window.book_rows) == unpacked(tape.book_rows)


@pytest.mark.parametrize("side", [1, -1])
def test_book_rows_are_none_if_lots_are_too_large(side):
    """The largest that fit are exact, at any price."""
    far = (1 << 61) - 1
    levels = {1: ([(far, TOO_LARGE - 1)], []), -1: ([], [(far, TOO_LARGE - 1)])}[side]
    assert unpacked(book_rows(Tape.of(TEST, [(1_000, "snapshot", *levels)]))) == [(0, side, far, TOO_LARGE - 1)]
    too_many = [[(ticks, lots + 1) for ticks, lots in one] for one in levels]
    assert book_rows(Tape.of(TEST, [(1_000, "snapshot", *too_many)])) is None


def test_tape_with_too_many_events_has_no_book_rows():
    with patch.object(sorting, "MOST_EVENTS", 6):
        assert book_rows(Tape.of(TEST, EVENTS)) is None


def test_finer_book_rows_are_none_if_lots_are_too_large():
    rows = book_rows(Tape.of(TEST, [(1_000, "snapshot", [(99, TOO_LARGE // 4)], [])]))
    assert unpacked(rows.in_lots(3)) == [(0, 1, 99, TOO_LARGE // 4 * 3)]
    assert rows.in_lots(4) is None


@pytest.mark.parametrize(
    ("name", "values", "fault"),
    [
        ("begin", [0, 9], "are not ascending from 0"),
        ("begin", [0, 6, 5], "are not ascending from 0"),
        ("begin", [1, 5, 7], "are not ascending from 0"),
        ("page", [1, 1], "pages, or the events of a page, are not ascending"),
        ("event", [0, 1, 0, 1, 6, 0, 6], "pages, or the events of a page, are not ascending"),
        ("event", [0, 0, 1, 1, 7, 0, 6], "outside of the 7 events"),
        ("event", [-1, 0, 1, 1, 6, 0, 6], "outside of the 7 events"),
        ("lots", [1, 1, -1, 1, 1, 1, 1], "negative"),
    ],
)
def test_damaged_rows_are_reported(name, values, fault):
    """The content of a file is checked before a kernel reads it."""
    rows = book_rows(Tape.of(TEST, EVENTS))
    assert (len(rows.change), rows.begin.tolist()) == (7, [0, 5, 7])
    changed = {name: np.array(values)}
    if name in ("event", "lots"):
        change = rows.change.copy()
        change[name] = values
        changed = {"change": change}
    wrong = dataclasses.replace(rows, **changed)
    assert any(fault in line for line in wrong.faults())


# Around the borders of pages, within the window, and outside of it on both sides.
WINDOW = (4 * PAGE, 8 * PAGE)
PRICES = st.one_of(
    st.integers(5 * PAGE - 2, 5 * PAGE + 2),
    st.integers(*WINDOW).map(lambda ticks: ticks - 1),
    st.sampled_from([WINDOW[0], WINDOW[1] - 1, WINDOW[0] - 1, WINDOW[1], 1, PAGE, 100 * PAGE]),
)
LEVELS = st.lists(st.tuples(PRICES, st.integers(0, 3)), max_size=5)
KINDS = st.sampled_from(["depth", "depth", "depth", "depth", "snapshot", "gap", "keyframe"])
MESSAGES = st.lists(st.tuples(KINDS, LEVELS, LEVELS), max_size=30)


def events_of(messages):
    """Return events of *messages*, and the levels by side after none, one, two … of them."""
    sides, events, after = ({}, {}), [], [({}, {})]
    for us, (drawn_kind, *levels) in enumerate([("snapshot", [(5 * PAGE, 1)], []), *messages], 1_000):
        in_gap = bool(events) and events[-1][1] == "gap"
        kind = "snapshot" if in_gap and drawn_kind != "gap" else drawn_kind
        if kind in ("gap", "snapshot"):
            sides = ({}, {})
        if kind in ("gap", "keyframe"):
            events.append((us, kind))
        else:
            rows = [dict(one) for one in levels]
            if kind == "snapshot":
                rows = [with_lots(one) for one in rows]
            sides = tuple(with_lots({**one, **new}) for one, new in zip(sides, rows, strict=True))
            events.append((us, kind, *(list(one.items()) for one in rows)))
        after.append(sides)
    return events, after


def with_lots(levels):
    return {ticks: lots for ticks, lots in levels.items() if lots}


def best_of(sides):
    return max(sides[0], default=0), min(sides[1], default=0)


def assert_reads_match(book, sides, prices):
    for side, levels in zip((1, -1), sides, strict=True):
        for ticks in prices:
            assert book.lots_at(side, ticks) == levels.get(ticks, 0)
            beyond = [at for at in levels if side * (ticks - at) > 0]
            assert book.after(side, ticks) == max(beyond, key=lambda at: side * at, default=0)


@pytest.mark.slow
@given(MESSAGES, LEVELS, LEVELS, st.data())
def test_book_with_pages_matches_a_dict_at_any_reads(messages, bids, asks, data):
    """Levels before the tape are valid until its first event; windows begin at any book; the last move stores all."""
    events, after = events_of(messages)
    rows = sorted_rows(events)
    books = [at for at, event in enumerate(events) if event[1] in ("snapshot", "keyframe")]
    base = data.draw(st.sampled_from(books))
    before = tuple(with_lots(dict(one)) for one in (bids, asks))
    book = CompiledBook(*WINDOW)
    for side, levels in zip((1, -1), before, strict=True):
        for ticks, lots in levels.items():
            book.apply(np.array([side], np.int8), np.array([ticks]), np.array([lots]))
    book.move(*WINDOW)  # a best price outside has moved it
    book.take_pages(rows.part(base))
    stops = sorted(data.draw(st.lists(st.integers(base, len(events)), min_size=1, max_size=8)))
    for stop in stops:
        sides = after[stop] if stop > base else before
        book.advance(stop, *best_of(sides))
        assert_reads_match(book, sides, data.draw(st.lists(PRICES, max_size=4)))
    book.move(*data.draw(st.sampled_from([WINDOW, (0, 1), (0, 200 * PAGE)])))
    assert [dict(book.levels(side)) for side in (1, -1)] == list(sides)


def sorted_rows(events):
    """Return the book rows of events whose book may be crossed, which a tape would not keep."""
    kinds = {"snapshot": SNAPSHOT, "depth": DEPTH, "gap": GAP, "keyframe": KEYFRAME}
    rows = [
        [(side, ticks, lots) for side, levels in zip((1, -1), event[2:], strict=False) for ticks, lots in levels]
        for event in events
    ]
    side, ticks, lots = (np.array([row[i] for one in rows for row in one], np.int64) for i in range(3))
    first = np.cumsum([0, *map(len, rows)])
    tape = dataclasses.replace(
        Tape.of(TEST, [(1_000, "snapshot", [(1, 1)], [])]),
        kind=np.array([kinds[event[1]] for event in events], np.uint8), event_us=np.arange(len(events)),
        first_row=first, row_side=side.astype(np.int8), row_ticks=ticks, row_lots=lots,
    )  # fmt: skip
    return book_rows(tape)


def test_window_must_consist_of_whole_pages():
    book = CompiledBook(0, PAGE + 1)
    with pytest.raises(ValueError, match=f"0 to {PAGE + 1} does not consist of pages of {PAGE}"):
        book.take_pages(book_rows(Tape.of(TEST, EVENTS)))
