"""What the messages of a day put in doubt: a book that stands still, time without trades."""

from itertools import pairwise
from unittest.mock import patch

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import mm
from mm.instrument import Instrument
from mm.play.notes import day_notes
from mm.tape import columns
from mm.tape.columns import DEPTH, GAP, SNAPSHOT, TRADE
from mm.tape.doubts import MAX_STILL_S, MIN_STILL_TRADES, STILL_INTERVALS, silent_books, still_books, untraded_us

GRID = Instrument("BTCUSDT", tick_e8=1_000_000, lot_e8=1_000)
BOOK = ([(999, 50)], [(1001, 50)])
S = 1_000_000
STEPS = ["depth", "trades", "outage", "snapshot", "wait"]


def traded(seconds):
    """Return the events of trades at *seconds*."""
    return [(int(s * S), "trade", 1, 1001, 1) for s in seconds]


def depths(seconds):
    """Return the events of depth messages at *seconds*."""
    return [(int(s * S), "depth", [(998, s % 7 + 1)], []) for s in seconds]


def tape_of(*events):
    """Return the tape of a snapshot and *events* in the order of their instants."""
    return mm.Tape.of(GRID, [(0, "snapshot", *BOOK), *sorted(events, key=lambda event: event[0])])


def test_book_that_stands_still_while_trades_go_on_is_a_warning():
    """Its stream ended after 400 s, and the next message is hours later, or never came."""
    for last in ([], depths([80_000])):
        tape = tape_of(*depths(range(1, 401)), *traded(range(2, 3_000, 3)), *last)
        (span,) = still_books(tape)
        assert (span.start_us, span.trades) == (400 * S, 867)
        assert span.end_us == tape.end_us
        (note,) = day_notes([tape, tape])
        assert "the book stands still for" in note
        assert "867 trades" in note
        assert "from 00:06:40 to" in note


def test_market_that_is_quiet_or_without_a_book_does_not_stand_still():
    """Silence without trades, an outage of the recorder, and books that are recorded once in two minutes are usual."""
    quiet = tape_of(*depths([*range(1, 100), *range(9_000, 9_100)]), *traded([*range(1, 100), *range(9_000, 9_100)]))
    outage = tape_of(*depths(range(1, 100)), (100 * S, "gap"), *traded(range(1, 9_000)))
    rare = tape_of(*depths(range(120, 9_000, 120)), *traded(range(1, 9_000)))
    for tape in (quiet, outage, rare):
        assert still_books(tape) == []
        assert day_notes([tape]) == ()


def plain_spans(tape):
    """Return the spans by a loop over the events of a window."""
    spans, lengths, last, trades = [], [], None, 0
    ends = [*zip(tape.event_us.tolist(), tape.kind.tolist(), strict=True), (tape.end_us, columns.GAP)]
    for number, (us, kind) in enumerate(ends):
        if kind == columns.TRADE:
            trades += 1
        if kind == columns.TRADE or (kind == columns.KEYFRAME and number):
            continue
        at = max(us, tape.start_us)
        if last is not None:
            lengths.append(at - last)
            if at - last > MAX_STILL_S * S and trades >= MIN_STILL_TRADES:
                spans.append((last, at, trades))
        last, trades = (None if kind == columns.GAP else at), 0
    others = max(len(lengths) - 1, 1)
    return [
        span for span in spans if (span[1] - span[0]) * others > STILL_INTERVALS * (sum(lengths) - span[1] + span[0])
    ]


@pytest.mark.slow
@hypothesis.given(
    st.lists(
        st.tuples(st.sampled_from(["depth", "trades", "gap", "snapshot", "wait"]), st.integers(1, 200)), max_size=40
    ),
    st.integers(0, 2_000),
    st.integers(1, 3_000),
    st.sampled_from([1, 7, 1 << 20]),
)
def test_still_books_equal_those_of_a_plain_loop(steps, start, length, piece):
    """In windows that begin and end anywhere, and however a long day is read in pieces."""
    events, at = [], 1
    for what, n in steps:
        if what == "depth":
            events += depths(range(at, at + n % 40))
        elif what == "trades":
            events += traded(range(at, at + n % 60))
        elif what == "snapshot":
            events += [(at * S, "snapshot", *BOOK)]
        at += n
        if what == "outage":
            events += [((at - n) * S, "gap"), ((at - 1) * S, "snapshot", *BOOK)]
    tape = tape_of(*events, *depths([at]))
    begin = min(start * S, tape.end_us - S)
    window = tape.between(begin, min(begin + length * S, tape.end_us))
    with patch.object(columns, "PIECE", piece):
        for part in (tape, window):
            assert [tuple(span) for span in still_books(part)] == plain_spans(part)


@pytest.mark.slow
@hypothesis.given(st.lists(st.integers(0, 60), max_size=6), st.integers(0, 30), st.integers(31, 60))
def test_untraded_time_equals_that_of_a_plain_loop(seconds, start, end):
    """The longest interval between trades and the ends of a window, if it is more than half of the window."""
    events = [(s * 1_000_000 + 5, "trade", 1, 1001, 1) for s in sorted(seconds)]
    tape = mm.Tape.of(
        GRID, [(0, "snapshot", [(999, 50)], [(1001, 50)]), *events, (61_000_000, "depth", [(998, 1)], [])]
    )
    a_us, b_us = start * 1_000_000, end * 1_000_000
    inside = [us for us, *_ in events if a_us <= us < b_us]
    longest = max(later - earlier for earlier, later in pairwise([a_us, *inside, b_us]))
    expected = longest if 2 * longest > b_us - a_us else 0
    for nearest in (1, 4096):
        with patch("mm.tape.doubts.NEAREST", nearest):
            assert untraded_us(tape.between(a_us, b_us)) == (expected, b_us - a_us)


@pytest.mark.parametrize(
    ("traded", "expected"),
    [
        ([1, 3, 5, 7, 9, 91, 93, 95, 97, 99], (0, 20)),  # an 80 s gap of the recorder
        ([9, 91, 93, 95, 97, 99], (0, 20)),
        ([93, 95, 97, 99], (13, 20)),  # all of the first 10 s, and 3 s after the pause
        ([], (20, 20)),
    ],
)
def test_time_without_a_book_is_not_untraded_time(traded, expected):
    """A gap of the recorder is excluded from the time in which no trade could fill an order."""
    book = ([(999, 50)], [(1001, 50)])
    trades = [(s * 1_000_000, "trade", 1, 1001, 1) for s in traded]
    pause = [(10_000_000, "gap"), (90_000_000, "snapshot", *book)]
    events = sorted([*trades, *pause, (100_000_000, "depth", [(998, 1)], [])])
    tape = mm.Tape.of(GRID, [(0, "snapshot", *book), *events])
    assert untraded_us(tape) == tuple(s * 1_000_000 for s in expected)


PARTS = st.lists(
    st.one_of(
        st.tuples(st.just("busy"), st.integers(5, 60), st.sampled_from([1, 3, 10])),
        st.tuples(st.just("silent"), st.integers(30, 900), st.integers(0, 60)),
        st.tuples(st.just("gap"), st.just(1), st.just(1)),
    ),
    min_size=2,
    max_size=8,
)


def _events(parts):
    """Return kinds and µs: so many book messages each so many s, or so many s with so many trades and no message."""
    kind, us, now_s = [SNAPSHOT], [0], 0.0
    for what, length, size in parts:
        for step in range(length if what != "silent" else size):
            now_s += size if what == "busy" else length / size if what == "silent" else 0.5
            kind += [DEPTH if what == "busy" else TRADE if what == "silent" else GAP]
            us.append(round(now_s * 1e6) + step)
        now_s += length if what == "silent" and not size else 0.0
        kind, us = ([*kind, SNAPSHOT], [*us, round(now_s * 1e6) + 500_000]) if what == "gap" else (kind, us)
        now_s += 1.0 if what == "gap" else 0.0
    order = np.argsort(us, kind="stable")
    return np.array(kind, np.uint8)[order], np.array(us, np.int64)[order]


@hypothesis.given(PARTS, st.data())
def test_a_book_that_stood_still_is_told_by_what_came_before(parts, data):
    """A day that is cut behind a span has it as the whole day has it: later messages have no say."""
    kind, us = _events(parts)
    whole = list(silent_books(kind, us, int(us[-1])))
    cut = data.draw(st.integers(1, len(kind)))
    known = [span for span in whole if span[1] <= us[cut - 1]]
    assert list(silent_books(kind[:cut], us[:cut], int(us[cut - 1])))[: len(known)] == known


def test_a_book_stands_still_by_its_own_pace_before():
    """Twenty of its mean times, whether it is fast or slow later."""
    slow = [("busy", 40, 10), ("silent", 190, 60)]
    for later in (("busy", 60, 1), ("busy", 5, 10)):
        kind, us = _events([*slow, later])
        assert list(silent_books(kind, us, int(us[-1]))) == []
    kind, us = _events([("busy", 40, 3), ("silent", 190, 60), ("busy", 60, 10)])
    assert len(list(silent_books(kind, us, int(us[-1])))) == 1
