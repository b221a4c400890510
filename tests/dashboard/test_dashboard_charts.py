"""The zoom of the charts: what a reader selects is the span of the next figures."""

import pytest
import streamlit as st

from mm.dashboard.charts import Zoom


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


@pytest.mark.parametrize(
    ("chosen", "span"),
    [
        ({"box": [{"x": [5_000, 6_000.5]}]}, (5_000_000, 6_000_500)),
        ({"box": [{"x": ["1970-01-01 00:00:06.0005", "1970-01-01 00:00:05"]}]}, (5_000_000, 6_000_500)),
        ({"box": []}, None),
        ({}, None),
    ],
)
def test_selection_of_the_browser_sets_the_span(zoom, chosen, span):
    """A click without a drag selects nothing."""
    zoomed, state = zoom
    state["chart"] = type("State", (), {"selection": chosen})
    zoomed._dragged("chart")
    assert zoomed.span == (span or (0, 100_000_000))
