"""Polars frames: exact floats, and the frames of a tape, compared with plain Python."""

import math
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mm import Tape
from mm.errors import UsageError
from mm.instrument import E8, Instrument
from mm.tape.frames import floats, instants, sides, words
from mm.tape.tape import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE
from strategies import SIM, tapes

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
BOOK = ("level", "bid_price", "bid_qty", "ask_price", "ask_qty")


def plain_books(tape):
    """Yield each event's time and the book after it, as dicts of ticks to lots, or None without a book."""
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
def test_float_is_nearest_to_decimal(units, step, per):
    """The float equals the parsed decimal text, without rounding noise of ticks times tick size."""
    with_places = [Decimal(unit) * step / per if per % 10 == 0 else Decimal(unit * step) for unit in units]
    expected = [unit * step / per for unit in units]
    found = floats(np.array(units, np.int64), step, per).tolist()
    assert found == expected
    assert all(
        math.isclose(value, float(exact), rel_tol=1e-15) for value, exact in zip(found, with_places, strict=True)
    )


@settings(max_examples=200)
@given(st.integers(1, 10**9), st.integers(1, 10**8))
def test_float_price_equals_parsed_price_text(ticks, tick_e8):
    """The float of the frame equals the parsed text of `Instrument.price`."""
    text = Instrument("X", tick_e8, 1).price(ticks)
    assert floats(np.array([ticks]), tick_e8).tolist() == [float(text)] == [float(Decimal(text))]


def test_floats_accepts_python_integers():
    """Integers of more than 64 bits are converted as well."""
    assert floats(np.array([10**30, 3], dtype=object), 1, 10**17).tolist() == [1e13, 3e-17]


def test_undefined_words_sides_and_instants_are_null():
    """Undefined codes are null in a frame."""
    assert words(("a", "b"), np.array([1, -1, 0])).to_list() == ["b", None, "a"]
    assert sides(np.array([1, 0, -1], np.int8)).to_list() == ["BUY", None, "SELL"]
    assert instants(np.array([-1, 1_000_001])).to_list() == [None, EPOCH + timedelta(seconds=1, microseconds=1)]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(tapes(), st.data())
def test_book_at_matches_plain_dict_book(tape, data):
    """The book is that after the last event at or before the instant."""
    us = data.draw(st.integers(tape.start_us, tape.end_us))
    levels = data.draw(st.sampled_from([None, 1, 2, 10]))
    books = [book for at, book in plain_books(tape) if at <= us]
    found = tape.book_at(us, levels)
    assert found.columns == list(BOOK)
    assert found.rows() == ladder(books[-1] if books else None, levels)
    assert tape.book_at(EPOCH + timedelta(microseconds=us), levels).equals(found)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(tapes(), st.data())
def test_depth_frame_rebuilds_every_book(tape, data):
    """The depth frame of a window is sufficient to rebuild every book."""
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
    for us, expected in after.items():
        rows = window.book_at(us, None).rows()
        found = [{row[at]: row[at + 1] for row in rows if row[at] is not None} for at in (1, 3)]
        assert found == (expected or [{}, {}])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(tapes(), st.data())
def test_best_prices_equal_first_level_of_book(tape, data):
    """Each row has the best levels of the book at its instant (the last row of an instant), or null."""
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


def test_trades_frame_contains_trades_of_window():
    """A trade before the window is not in its frame; a missing exchange time is null."""
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


def test_instant_is_accepted_in_several_formats():
    """Instants may be µs, ISO 8601 with or without a zone, or datetimes of any zone."""
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
    ("at", "levels", "message"),
    [
        (-1, 1, "outside the tape, which covers"),
        ("1970-01-02", 1, "1970-01-02T00:00:00.000000Z is outside the tape"),
        ("noon", 1, "'noon' is not an instant; give ISO 8601"),
        (500, 0, "levels is 0; give at least 1"),
    ],
)
def test_invalid_instant_or_levels_raise_usage_error(at, levels, message):
    """The message contains the value or the remedy."""
    tape = Tape.of(SIM, [(0, "snapshot", [(99, 5)], [(101, 7)]), (1_000, "trade", 1, 101, 1)])
    with pytest.raises(UsageError, match=message):
        tape.book_at(at, levels)


def test_frames_of_empty_tape_are_empty():
    """Columns and types are kept."""
    tape = Tape.of(SIM, [(1_000, "gap")]).between(1_000, 1_000)
    for frame in (tape.trades_frame(), tape.depth_frame(), tape.best_prices_frame()):
        assert len(frame) == 0
        assert frame.schema["time"] == pl.Datetime("us", "UTC")
