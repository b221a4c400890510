"""Thinning: the extremes of each pixel stay, and a span with few rows is drawn exactly."""

import numpy as np
import pytest
import streamlit as st
from hypothesis import given
from hypothesis import strategies as some

from mm.dashboard.charts import DRAG, MOST_MARKS, Dots, Trace, Zoom, few, over_time, thinned

COLUMNS = 8


@some.composite
def traces(draw):
    """Return a trace of up to 200 rows, some without a value, and a span that may cut it."""
    gaps = draw(some.lists(some.integers(1, 50), min_size=1, max_size=200))
    us = np.cumsum(np.array(gaps, dtype=np.int64))
    value = some.one_of(some.integers(-9, 9).map(float), some.just(np.nan))
    values = np.array(draw(some.lists(value, min_size=len(us), max_size=len(us))))
    first = draw(some.integers(0, int(us[-1])))
    return Trace("some", us, values, straight=draw(some.booleans())), (first, first + draw(some.integers(1, 4_000)))


def rows_of(trace, span):
    """Return what is to be drawn, by a loop: each row of the span, and the value that holds at its edges."""
    rows = [(int(us), float(value)) for us, value in zip(trace.us, trace.values, strict=True)]
    before = [row for row in rows if row[0] <= span[0]][-1:]
    inside = [row for row in rows if span[0] < row[0] <= span[1]]
    if trace.straight:
        return [*before, *inside]
    found = [(span[0], value) for _, value in before] + inside
    if found and any(row[0] > span[1] for row in rows):
        found.append((span[1], found[-1][1]))
    return found


@given(traces())
def test_the_extremes_of_each_pixel_are_drawn(case):
    """Extremes are visible at any zoom, and nothing is drawn that is not in the data."""
    trace, span = case
    wanted = rows_of(trace, span)
    drawn = [(int(us), value) for piece in thinned(trace, span, COLUMNS) for us, value in zip(*piece, strict=True)]
    known = [row for row in wanted if not np.isnan(row[1])]
    assert set(drawn) <= set(known)
    if len(wanted) <= 4 * COLUMNS:
        assert drawn == known
        return
    low, high = wanted[0][0], wanted[-1][0] + 1
    for column in range(COLUMNS):
        here = [row for row in known if min(int((row[0] - low) * COLUMNS / (high - low)), COLUMNS - 1) == column]
        if here:
            values = [value for us, value in drawn if us in {row[0] for row in here}]
            assert min(values) == min(value for _, value in here)
            assert max(values) == max(value for _, value in here)
            assert here[0] in drawn
            assert here[-1] in drawn
    assert len(drawn) <= 4 * COLUMNS


def test_a_hole_splits_the_line():
    """No line is drawn where there was no book."""
    trace = Trace("mid", np.arange(6) * 10, np.array([1.0, 2.0, np.nan, np.nan, 3.0, 4.0]))
    assert [piece[1].tolist() for piece in thinned(trace, (0, 50))] == [[1.0, 2.0], [3.0, 4.0]]


def test_few_marks_are_all_drawn_and_many_are_taken_evenly():
    """Points that hide each other say nothing; zoomed in, each is there."""
    us = np.arange(10 * MOST_MARKS) * 5
    assert len(few(us, (0, int(us[-1])))) == MOST_MARKS
    assert few(us, (10, 30)).tolist() == [2, 3, 4, 5, 6]


def test_a_chart_holds_its_data_and_can_be_dragged():
    """The words of vega-lite: a table for each layer, an invisible one for the ends of the axis."""
    trace = Trace("mid", np.array([0, 4_000_000]), np.array([1.0, 2.0]))
    dots = Dots("fills", np.array([2_000_000]), np.array([1.5]), "red", tips={"qty": [7]})
    spec = over_time([trace], (0, 5_000_000), [dots])
    assert len(spec["layer"]) == len(spec["datasets"]) == 3
    assert spec["layer"][0]["params"][0]["name"] == DRAG
    assert spec["datasets"]["table0"]["t"].to_list() == [0.0, 5_000.0]
    assert spec["datasets"]["table1"]["v"].to_list() == [1.0, 2.0]
    assert spec["datasets"]["table2"].row(0, named=True) == {
        "t": 2_000.0, "v": 1.5, "name": "fills", "time": "00:00:02.000000Z", "qty": "7",
    }  # fmt: skip


@pytest.fixture
def zoom(monkeypatch):
    """A zoom over 100 s that keeps what it is given."""
    kept = {}
    monkeypatch.setattr(st, "session_state", kept)
    return Zoom("page", (0, 100_000_000)), kept


def test_a_drag_zooms_and_the_buttons_lead_back(zoom):
    """The ends may be in either order, and outside."""
    found, kept = zoom
    assert found.span == (0, 100_000_000)
    found.choose(60_000, 40_000)
    assert found.span == (40_000_000, 60_000_000)
    found.widen()
    assert found.span == (10_000_000, 90_000_000)
    found.widen()
    assert found.span == (0, 100_000_000)
    found.choose(99_999.9999, 99_999.9999)
    assert found.span == (99_999_000, 100_000_000)
    found.reset()
    assert found.span == (0, 100_000_000)
    assert kept == {}


@pytest.mark.parametrize(("chosen", "span"), [({DRAG: {"t": [5_000, 6_000.5]}}, (5_000_000, 6_000_500)), ({}, None)])
def test_what_the_browser_says_of_a_drag(zoom, chosen, span):
    """A click without a drag chooses nothing."""
    found, kept = zoom
    kept["chart"] = type("State", (), {"selection": chosen})
    found._dragged("chart")
    assert found.span == (span or (0, 100_000_000))
