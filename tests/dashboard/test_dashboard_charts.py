"""Thinning: the extremes of each pixel are kept, and a span with few rows is drawn exactly."""

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
    """Return the expected rows, by a loop: each row of the span, and the value that holds at its edges."""
    rows = [(int(us), float(value)) for us, value in zip(trace.us, trace.values, strict=True)]
    before = [row for row in rows if row[0] <= span[0]][-1:]
    inside = [row for row in rows if span[0] < row[0] <= span[1]]
    if trace.straight:
        return [*before, *inside]
    expected = [(span[0], value) for _, value in before] + inside
    if expected and any(row[0] > span[1] for row in rows):
        expected.append((span[1], expected[-1][1]))
    return expected


@given(traces())
def test_extremes_of_each_pixel_are_drawn(case):
    """Extremes are visible at any zoom, and only points of the data are drawn."""
    trace, span = case
    expected = rows_of(trace, span)
    drawn = [(int(us), value) for piece in thinned(trace, span, COLUMNS) for us, value in zip(*piece, strict=True)]
    known = [row for row in expected if not np.isnan(row[1])]
    assert set(drawn) <= set(known)
    if len(expected) <= 4 * COLUMNS:
        assert drawn == known
        return
    low, high = expected[0][0], expected[-1][0] + 1
    for column in range(COLUMNS):
        in_column = [row for row in known if min(int((row[0] - low) * COLUMNS / (high - low)), COLUMNS - 1) == column]
        if in_column:
            values = [value for us, value in drawn if us in {row[0] for row in in_column}]
            assert min(values) == min(value for _, value in in_column)
            assert max(values) == max(value for _, value in in_column)
            assert in_column[0] in drawn
            assert in_column[-1] in drawn
    assert len(drawn) <= 4 * COLUMNS


def test_hole_splits_the_line():
    """No line is drawn where there was no book."""
    trace = Trace("mid", np.arange(6) * 10, np.array([1.0, 2.0, np.nan, np.nan, 3.0, 4.0]))
    assert [piece[1].tolist() for piece in thinned(trace, (0, 50))] == [[1.0, 2.0], [3.0, 4.0]]


def test_few_marks_are_all_drawn_and_many_are_sampled_evenly():
    """Too many points hide each other; after zooming in, all are drawn."""
    us = np.arange(10 * MOST_MARKS) * 5
    assert len(few(us, (0, int(us[-1])))) == MOST_MARKS
    assert few(us, (10, 30)).tolist() == [2, 3, 4, 5, 6]


def test_chart_contains_its_data_and_a_drag_selection():
    """In the format of vega-lite: a table for each layer, and an invisible one for the ends of the axis."""
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
    """A zoom over 100 s, and its session state."""
    state = {}
    monkeypatch.setattr(st, "session_state", state)
    return Zoom("page", (0, 100_000_000)), state


def test_drag_zooms_in_and_buttons_zoom_out(zoom):
    """The ends may be in either order, and outside."""
    zoomed, state = zoom
    assert zoomed.span == (0, 100_000_000)
    zoomed.choose(60_000, 40_000)
    assert zoomed.span == (40_000_000, 60_000_000)
    zoomed.widen()
    assert zoomed.span == (10_000_000, 90_000_000)
    zoomed.widen()
    assert zoomed.span == (0, 100_000_000)
    zoomed.choose(99_999.9999, 99_999.9999)
    assert zoomed.span == (99_999_000, 100_000_000)
    zoomed.reset()
    assert zoomed.span == (0, 100_000_000)
    assert state == {}


@pytest.mark.parametrize(("chosen", "span"), [({DRAG: {"t": [5_000, 6_000.5]}}, (5_000_000, 6_000_500)), ({}, None)])
def test_selection_of_the_browser_sets_the_span(zoom, chosen, span):
    """A click without a drag selects nothing."""
    zoomed, state = zoom
    state["chart"] = type("State", (), {"selection": chosen})
    zoomed._dragged("chart")
    assert zoomed.span == (span or (0, 100_000_000))
