"""The tape's invariants, and windows of tapes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from plain_day import PlainBook

from mm import Tape
from mm.errors import BrokenFile, UsageError
from mm.tape.tape import ARRAYS, DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE
from strategies import SIM, tapes

STORY = [
    (0, "trade", 1, 100, 3),
    (10, "snapshot", [(99, 5), (98, 1)], [(101, 7)]),
    (20, "depth", [(100, 2)], []),
    (25, "keyframe"),
    (30, "trade", -1, 100, 2, 29),
    (40, "gap"),
    (50, "trade", 1, 101, 1),
    (60, "snapshot", [(90, 1)], [(95, 1)]),
]


def books(tape):
    """Return the top of the book after each event of a tape; None where it is not valid."""
    book, valid, result = PlainBook(), False, []
    for event, kind in enumerate(tape.kind.tolist()):
        if kind in (SNAPSHOT, GAP) or (kind == KEYFRAME and not valid):
            book, valid = PlainBook(), kind != GAP
        if kind in (SNAPSHOT, DEPTH, KEYFRAME):
            book.apply(tape.rows(event))
        result.append(book.top() if valid else None)
    return result


def tops(tape):
    """Return the same as `books`, from the tape's path of best prices."""
    columns = (tape.top_bid_ticks, tape.top_ask_ticks, tape.top_bid_lots, tape.top_ask_lots)
    rows = np.stack(columns).T.tolist()
    last = np.searchsorted(tape.top_event, np.arange(len(tape)), "right") - 1
    return [tuple(rows[row]) if row >= 0 else (0, 0, 0, 0) for row in last.tolist()]


def test_handmade_tape_has_given_events():
    """Tests and notebooks build their tapes like this."""
    tape = Tape.of(SIM, STORY)
    assert tape.kind.tolist() == [TRADE, SNAPSHOT, DEPTH, KEYFRAME, TRADE, GAP, TRADE, SNAPSHOT]
    assert tape.event_us.tolist() == [0, 10, 20, 20, 30, 40, 50, 60]
    assert tape.event_exch_us.tolist() == [0, 10, 20, 20, 29, 40, 50, 60]
    assert tape.rows(3) == [(1, 100, 2), (1, 99, 5), (1, 98, 1), (-1, 101, 7)]
    assert (tape.trades.tolist(), tape.trade_rows.tolist()) == ([0, 4, 6], [0, 9, 10])
    assert (tape.top_event.tolist(), tape.top_bid_ticks.tolist()) == ([1, 2, 5, 7], [99, 100, 0, 90])
    assert (tape.start_us, tape.end_us) == (0, 60)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([(0, "depth", [(1, 1)], [])], "event 0 is a depth of a book that is not valid there"),
        ([(0, "snapshot", [], []), (1, "gap"), (2, "depth", [(1, 1)], [])], "event 2 is a depth"),
        ([(5, "snapshot", [], []), (4, "gap")], "event_us decreases after event 0"),
        ([(5, "snapshot", [(0, 1)], [])], "the price is not above 0 in row 0"),
        ([(5, "trade", 2, 1, 1)], r"the side is not \+1 or -1 in row 0"),
        ([(5, "trade", 1, 1, -1)], "the lots are negative in row 0"),
    ],
)
def test_invalid_tape_raises_broken_file(events, message):
    """Kernels rely on these checks and do not check bounds."""
    with pytest.raises(BrokenFile, match=rf"tape of SIMUSDT 20250106: {message}"):
        Tape.of(SIM, events)


FAR = 2**63 - 1


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("row_ticks", [5, 9, 6, FAR], r"the price is not below 2\*\*61 in row 3"),
        ("top_ask_ticks", [9, 2**61, 9], r"a best price is not below 2\*\*61 at top 1"),
        ("first_row", [0, FAR, -FAR, 4], "first_row decreases after event 1"),
        ("event_us", [1, FAR, -FAR], "event_us decreases after event 1"),
        ("top_event", [0, FAR, -FAR], "top_event is not increasing after top 1"),
    ],
)
def test_numbers_whose_differences_overflow_are_rejected(name, column, message):
    """Differences of such integers overflow and may have the wrong sign."""
    tape = Tape.of(SIM, [(1, "snapshot", [(5, 1)], [(9, 1)]), (2, "depth", [(6, 1)], []), (3, "depth", [(7, 1)], [])])
    with pytest.raises(BrokenFile, match=message):
        replace(tape, **{name: np.array(column)}).check()


def test_handmade_tape_rejects_crossed_book_and_unknown_event():
    """A mistake in a handmade tape raises an error."""
    with pytest.raises(ValueError, match="event 0 leaves the book crossed or locked"):
        Tape.of(SIM, [(0, "snapshot", [(5, 1)], [(5, 1)])])
    with pytest.raises(ValueError, match="is not an event"):
        Tape.of(SIM, [(0, "trade", 1)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": np.zeros(8, np.uint8)}, "unknown kind of event 0"),
        ({"kind": np.full(8, TRADE, np.uint8)}, "there is not exactly one row for trade 1"),
        ({"kind": np.full(8, GAP, np.uint8)}, "there are rows for gap 0"),
        ({"event_us": np.zeros(7, np.int64)}, r"event_us has the shape \(7,\)"),
        ({"first_row": np.array([0, 1, 4, 5, 9, 10, 10, 11, 99])}, "rows 0 to 99, but there are only 13"),
        ({"first_row": np.array([0, 1, 4, 3, 9, 10, 10, 11, 13])}, "first_row decreases after event 2"),
        ({"row_side": np.zeros(13, np.int8)}, "the side is not"),
        ({"top_event": np.array([1, 1, 5, 7])}, "top_event is not increasing after top 0"),
        ({"top_event": np.array([1, 2, 5, 9])}, "tops refer to events 1 to 9, but there are only 8"),
        ({"top_ask_ticks": np.array([99, 101, 0, 95])}, "best bid and ask cross at top 0"),
        ({"top_bid_lots": np.array([5, -2, 0, 1])}, "lots are negative at top 1"),
        ({"end_us": 59}, "the last event, at 60 µs, is later than the end, 59 µs"),
        ({"start_us": 61}, "it begins at 61 µs, after its end"),
        ({"step_lots": 0}, "the quantity step is 0 lots"),
        ({"step_ticks": 0}, "the price step 0 ticks"),
    ],
)
def test_check_reports_every_violated_invariant(change, message):
    """Each invariant has its own message."""
    with pytest.raises(BrokenFile, match=message):
        replace(Tape.of(SIM, STORY), **change).check()


@pytest.mark.slow
@given(tapes())
def test_path_of_best_prices_matches_book(tape):
    """Calibration and attribution read the path instead of the book."""
    tape.check()
    assert tops(tape) == [top or (0, 0, 0, 0) for top in books(tape)]


@pytest.mark.slow
@given(tapes(), st.data())
def test_window_has_same_events_and_books_as_whole_tape(tape, data):
    """The books within a window equal those of the whole tape, so windows may be replayed in any order."""
    stamps = sorted({0, tape.end_us + 1, *tape.event_us.tolist(), *(tape.event_us + 1).tolist()})
    a, b = sorted(data.draw(st.tuples(st.sampled_from(stamps), st.sampled_from(stamps))))
    window = tape.between(a, b)
    window.check()
    begin_us = max(a, tape.start_us)
    assert (window.start_us, window.end_us) == (begin_us, max(begin_us, min(b, tape.end_us)))
    inside = [event for event in range(len(tape)) if a <= tape.event_us[event] < b]
    shown = [event for event in range(len(window)) if window.event_us[event] >= a]
    expected = [(tape.kind[event], tape.event_id[event], tape.rows(event), books(tape)[event]) for event in inside]
    found = [(window.kind[e], window.event_id[e], window.rows(e), books(window)[e]) for e in shown]
    entered = not any(tape.kind[: inside[0] + 1 if inside else 0] == SNAPSHOT)
    assert [event[:3] for event in found] == [event[:3] for event in expected]
    assert entered or found == expected
    assert tops(window) == [top or (0, 0, 0, 0) for top in books(window)]


@pytest.mark.slow
@given(tapes(), st.data())
def test_window_of_window_equals_direct_window(tape, data):
    """Windows may be cut from windows; empty windows are not compared."""
    edges = st.integers(tape.start_us, tape.end_us + 1)
    a, b, c, d = sorted(data.draw(st.tuples(edges, edges, edges, edges)))
    assume(b < c)
    inner, straight = tape.between(a, d).between(b, c), tape.between(b, c)
    assert all(np.array_equal(getattr(inner, name), getattr(straight, name)) for name in ARRAYS if "row_" not in name)


def test_window_covers_no_time_after_end_of_tape():
    """A window that extends beyond the tape ends with it; later time would be false exposure."""
    tape = Tape.of(SIM, STORY)
    window = tape.between(25, 3_600_000_000)
    assert (window.start_us, window.end_us) == (25, tape.end_us)
    assert window.event_us[-1] == tape.event_us[-1]
    late = tape.between(tape.end_us, 200)
    assert (late.start_us, late.end_us) == (tape.end_us, tape.end_us)


def test_window_contains_its_initial_book_before_first_snapshot():
    """Before its first event, a window has the book of the previous event."""
    tape = Tape.of(SIM, [(10, "snapshot", [(99, 1)], [(101, 1)]), (50, "snapshot", [(98, 1)], [(102, 1)])])
    window = tape.between(30, 60)
    assert window.event_us.tolist() == [10, 50]
    assert tape.between(50, 60).event_us.tolist() == [50]


def test_window_shares_rows_with_tape():
    """A walk-forward of a hundred windows needs the memory of one day."""
    tape = Tape.of(SIM, STORY)
    window = tape.between(25, 45)
    assert window.kind.tolist() == [KEYFRAME, TRADE, GAP]
    for name in ("event_us", "kind", "first_row", "row_side", "row_ticks", "row_lots"):
        assert np.shares_memory(getattr(window, name), getattr(tape, name))
    assert (window.top_event.tolist(), window.top_bid_ticks.tolist()) == ([0, 2], [100, 0])
    with pytest.raises(UsageError, match="before it begins"):
        tape.between(2, 1)


@pytest.mark.parametrize("bounds", [(0, 10), (0, 0), (25, 25), (60, 61)])
def test_empty_windows_are_valid_tapes(bounds):
    """Covers windows that touch the tape, and of no length."""
    Tape.of(SIM, STORY).between(*bounds).check()
    Tape.of(SIM, []).between(0, 0).check()


@pytest.mark.parametrize("bounds", [("2026-01-05T08:00", "2026-01-05T09:00"), (61, 62), (1_767_600_000, 1_767_600_001)])
def test_window_outside_the_tape_is_refused_with_its_hours(bounds):
    """Hours of another zone, or seconds for µs, would give a run of nothing."""
    covers = "the tape covers 1970-01-01T00:00:00.000000Z to 1970-01-01T00:00:00.000060Z; .* UTC, and numbers are µs"
    with pytest.raises(UsageError, match=rf"is outside the day: {covers}"):
        Tape.of(SIM, STORY).between(*bounds)


@pytest.mark.slow
@given(tapes(), st.integers(1, 1_000))
def test_finer_lot_changes_no_quantity(tape, times):
    """Days that are replayed together need a common lot."""
    finer = replace(tape, instrument=replace(SIM, lot_e8=1_000 * times)).with_lot(1_000)
    finer.check()
    assert (finer.step_lots, finer.instrument.lot_e8) == (times, 1_000)
    assert (finer.row_lots == tape.row_lots * times).all()
    assert (finer.top_bid_lots == tape.top_bid_lots * times).all()
    assert tape.with_lot(SIM.lot_e8) is tape


def test_tape_is_read_only():
    """Several engines may replay one tape at once."""
    tape = Tape.of(SIM, STORY)
    with pytest.raises(ValueError, match="read-only"):
        tape.row_lots[0] = 1


def test_describe_prints_summary_and_events():
    """The output starts with a summary line."""
    assert list(Tape.of(SIM, STORY).describe(0, 3)) == [
        "SIMUSDT 20250106: 1970-01-01T00:00:00.000000Z to 1970-01-01T00:00:00.000060Z, "
        "2 snapshot, 1 depth, 3 trade, 1 gap, 1 keyframe",
        "        0 1970-01-01T00:00:00.000000Z trade    id 1 +0.00300000@1.00000000",
        "        1 1970-01-01T00:00:00.000010Z snapshot id 2 "
        "+0.00500000@0.99000000 +0.00100000@0.98000000 -0.00700000@1.01000000",
        "        2 1970-01-01T00:00:00.000020Z depth    id 3 +0.00200000@1.00000000",
    ]
    assert next(Tape.of(SIM, []).describe()).endswith("empty")


def test_staying_tape_has_same_content_and_releases_no_memory(monkeypatch):
    """Repeated replays do not read its pages again."""
    released = []
    tape = Tape.of(SIM, STORY).with_levels(lambda: None)
    monkeypatch.setattr("mm.tape.tape.release", released.append)
    stays = tape.kept_mapped()
    stays.release(0, 70)
    assert not released
    assert stays.levels is None
    assert stays.rows(1) == tape.rows(1)
    tape.release(0, 70)
    assert released
