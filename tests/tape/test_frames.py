"""Polars frames: exact floats, and the frames of a tape, against plain Python."""

import math
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mm.errors import UsageError
from mm.instrument import E8, Instrument
from mm.tape.frames import floats, instants, sides, words
from mm.tape.tape import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE, Tape
from strategies import SIM, tapes

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
BOOK = ("level", "bid_price", "bid_qty", "ask_price", "ask_qty")


def plain_books(tape):
    """Yield every event's instant with the book after it, None without one, as dicts of ticks to lots."""
    book = None
    for event in range(len(tape)):
        kind = tape.kind[event]
        if kind in (SNAPSHOT, KEYFRAME):
            book = {1: {}, -1: {}}
        elif kind == GAP:
            book = None
        if kind in (SNAPSHOT, DEPTH, KEYFRAME):
            for side, ticks, lots in tape.rows(event):
                book[side].pop(ticks, None)
                if lots:
                    book[side][ticks] = lots
        yield int(tape.event_us[event]), None if book is None else {side: dict(book[side]) for side in book}


def ladder(book, levels=None):
    """Return the rows of a book, best first, floats by Decimal."""
    if book is None:
        return []
    tick, lot = Decimal(SIM.tick_e8) / E8, Decimal(SIM.lot_e8) / E8
    bids, asks = (sorted(book[side].items(), reverse=side > 0)[:levels] for side in (1, -1))
    rows = []
    for at in range(max(len(bids), len(asks))):
        cells = [
            (float(side[at][0] * tick), float(side[at][1] * lot)) if at < len(side) else (None, None)
            for side in (bids, asks)
        ]
        rows.append((at + 1, *cells[0], *cells[1]))
    return rows


@settings(max_examples=300)
@given(
    st.lists(st.integers(-(2**62), 2**62), max_size=20),
    st.one_of(st.integers(1, 10**9), st.sampled_from([1, 5, 10**8])),
    st.sampled_from([1, E8, 2 * E8, 10**17, 2 * 10**16]),
)
@example([2**53 + 1, -(2**53) - 1, 8_700_013], 1_000_000, E8)
def test_a_float_is_the_one_nearest_to_the_decimal(units, step, per):
    """The text of a file read as a float gives it: no noise of ticks times tick size, whatever the size."""
    with_places = [Decimal(unit) * step / per if per % 10 == 0 else Decimal(unit * step) for unit in units]
    expected = [unit * step / per for unit in units]
    found = floats(np.array(units, np.int64), step, per).tolist()
    assert found == expected
    assert all(math.isclose(one, float(exact), rel_tol=1e-15) for one, exact in zip(found, with_places, strict=True))


@settings(max_examples=200)
@given(st.integers(1, 10**9), st.integers(1, 10**8))
def test_prices_are_those_of_their_text(ticks, tick_e8):
    """What `Instrument.price` writes and a reader parses is the float of the frame."""
    text = Instrument("X", tick_e8, 1).price(ticks)
    assert floats(np.array([ticks]), tick_e8).tolist() == [float(text)] == [float(Decimal(text))]


def test_python_integers_are_taken_as_well():
    """A ledger that needs more than 64 bits keeps them."""
    assert floats(np.array([10**30, 3], dtype=object), 1, 10**17).tolist() == [1e13, 3e-17]


def test_words_sides_and_instants_that_are_none_are_null():
    """A frame says null where a file says nothing."""
    assert words(("a", "b"), np.array([1, -1, 0])).to_list() == ["b", None, "a"]
    assert sides(np.array([1, 0, -1], np.int8)).to_list() == ["BUY", None, "SELL"]
    assert instants(np.array([-1, 1_000_001])).to_list() == [None, EPOCH + timedelta(seconds=1, microseconds=1)]


@settings(max_examples=60, deadline=None)
@given(tapes(), st.data())
def test_the_book_at_any_instant_is_that_of_plain_dicts(tape, data):
    """Gaps, keyframes and levels that go: the last event at or before the instant counts."""
    us = data.draw(st.integers(tape.start_us, tape.end_us))
    levels = data.draw(st.sampled_from([None, 1, 2, 10]))
    known = [book for at, book in plain_books(tape) if at <= us]
    found = tape.book_at(us, levels)
    assert found.columns == list(BOOK)
    assert found.rows() == ladder(known[-1] if known else None, levels)
    assert tape.book_at(EPOCH + timedelta(microseconds=us), levels).equals(found)


@settings(max_examples=60, deadline=None)
@given(tapes(), st.data())
def test_applying_the_depth_frame_gives_every_book(tape, data):
    """Of the whole tape, and of a window that begins in its midst: the frame needs nothing but itself."""
    a, b = sorted(data.draw(st.integers(tape.start_us, tape.end_us)) for _ in range(2))
    window = tape.between(a, b)
    frame, book, last = window.depth_frame(), None, None
    after = {}
    for time, _, event, kind, update, side, price, qty in frame.rows():
        if kind in ("snapshot", "keyframe") and (event, kind) != last:
            book = {1: {}, -1: {}}
        last = (event, kind)
        if kind == "gap":
            assert (side, price, qty, update) == (None, None, None, None)
            book = None
        elif side is not None:
            levels = book[1 if side == "BUY" else -1]
            levels.pop(price, None)
            if qty:
                levels[price] = qty
        after[(time - EPOCH) // timedelta(microseconds=1)] = None if book is None else [dict(book[s]) for s in (1, -1)]
    for us, there in after.items():
        rows = window.book_at(us, None).rows()
        found = [{row[at]: row[at + 1] for row in rows if row[at] is not None} for at in (1, 3)]
        assert found == (there or [{}, {}])


@settings(max_examples=60, deadline=None)
@given(tapes(), st.data())
def test_best_prices_are_the_first_level_of_the_book(tape, data):
    """Each row is the best of the book at its instant (the last row of an instant), null where there is none."""
    a, b = sorted(data.draw(st.integers(tape.start_us, tape.end_us)) for _ in range(2))
    window = tape.between(a, b)
    rows = {row[0]: row[1:] for row in window.best_prices_frame().rows()}
    for time, (bid, bid_qty, ask, ask_qty, mid, spread) in rows.items():
        top = window.book_at(time, 1).rows()
        assert [(bid, bid_qty, ask, ask_qty)] == [row[1:] for row in top] or (bid, ask, top) == (None, None, [])
        if bid is not None and ask is not None:
            ticks = [SIM.ticks(f"{price:.8f}") for price in (bid, ask)]
            assert mid == sum(ticks) * SIM.tick_e8 / (2 * E8)
            assert spread == float(SIM.price(ticks[1] - ticks[0]))


def test_trades_are_those_of_the_window():
    """A trade before the window's begin only stands before it; an instant of the exchange that is not given is null."""
    events = [
        (1_000, "snapshot", [(99, 5)], [(101, 7)]),
        (2_000, "trade", 1, 101, 2, 1_500),
        (3_000, "trade", -1, 99, 3),
        (4_000, "trade", 1, 101, 1, 3_500),
    ]
    tape = Tape.of(SIM, events)
    whole = tape.trades_frame()
    assert whole.schema == {
        "time": pl.Datetime("us", "UTC"),
        "exchange_time": pl.Datetime("us", "UTC"),
        "trade_id": pl.Int64(),
        "side": pl.Enum(["BUY", "SELL"]),
        "price": pl.Float64(),
        "qty": pl.Float64(),
    }
    assert whole["qty"].to_list() == [0.002, 0.003, 0.001]
    window = tape.between(2_500, 4_000).trades_frame()
    assert window.select("side", "price", "qty").rows() == [("SELL", 0.99, 0.003)]
    assert Tape.of(SIM, [(5, "trade", 1, 9, 1, 0)]).trades_frame()["exchange_time"].to_list() == [None]
    assert window["time"].to_list() == [EPOCH + timedelta(milliseconds=3)]
    assert int((tape.kind == TRADE).sum()) == len(whole)


def test_an_instant_is_given_in_any_usual_form():
    """µs, ISO 8601 with or without a zone, datetimes of any zone."""
    tape = Tape.of(SIM, [(0, "snapshot", [(99, 5)], [(101, 7)]), (3_600_000_000, "depth", [(98, 1)], [])])
    zone = timezone(timedelta(hours=1))
    for at in (
        1_800_000_000,
        "1970-01-01T00:30",
        "1970-01-01T01:30:00+01:00",
        datetime(1970, 1, 1, 1, 30, tzinfo=zone),
    ):
        assert tape.book_at(at)["bid_price"].to_list() == [0.99]
    assert len(tape.between("1970-01-01T00:30", "1970-01-01T01:30")) == 2


@pytest.mark.parametrize(
    ("at", "levels", "told"),
    [
        (-1, 1, "outside the tape, which covers"),
        ("1970-01-02", 1, "1970-01-02T00:00:00.000000Z is outside the tape"),
        ("noon", 1, "'noon' is not an instant; give ISO 8601"),
        (500, 0, "levels is 0; give at least 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(at, levels, told):
    """With the value and the way out."""
    tape = Tape.of(SIM, [(0, "snapshot", [(99, 5)], [(101, 7)]), (1_000, "trade", 1, 101, 1)])
    with pytest.raises(UsageError, match=told):
        tape.book_at(at, levels)


def test_frames_of_a_tape_without_events_are_empty():
    """Columns and types stay."""
    tape = Tape.of(SIM, [(1_000, "gap")]).between(1_000, 1_000)
    for frame in (tape.trades_frame(), tape.depth_frame(), tape.best_prices_frame()):
        assert len(frame) == 0
        assert frame.schema["time"] == pl.Datetime("us", "UTC")
