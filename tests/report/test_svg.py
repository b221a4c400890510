"""Scales, thinning and labels of the charts."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.report import svg
from mm.report.svg import Plot

HOUR = 3_600_000_000
DAY0 = 1_765_843_200_000_000  # 2025-12-16 00:00 UTC


def plot(x=(0.0, 100.0), y=(-1.0, 1.0)):
    return Plot(400, 200, x, y)


def test_edges_of_a_plot_are_its_limits():
    """Left, right, bottom, top."""
    plotted = plot()
    assert plotted.across(np.array([0.0, 100.0])).tolist() == [svg.LEFT, 400 - svg.RIGHT]
    assert plotted.up(np.array([-1.0, 1.0])).tolist() == [200 - svg.BOTTOM, svg.TOP]


VALUES = st.lists(st.one_of(st.floats(-100, 100), st.just(math.nan)), min_size=1, max_size=300)


@given(VALUES, st.integers(1, 40))
def test_thinning_keeps_every_extreme(values, columns):
    """The least and the greatest value are kept, in order, with any number of columns."""
    values = np.array(values)
    us = np.arange(len(values))
    pieces = svg.envelope(us, values, (0.0, float(max(1, len(values) - 1))), columns)
    kept = np.concatenate([piece[1] for piece in pieces]) if pieces else np.empty(0)
    known = values[~np.isnan(values)]
    assert len(kept) <= 4 * columns
    assert not np.isnan(kept).any()
    if len(known):
        assert (kept.min(), kept.max()) == (known.min(), known.max())
        assert (np.diff(np.concatenate([piece[0] for piece in pieces])) > 0).all()


def test_hole_splits_the_line():
    """Nothing is drawn where values are unknown."""
    values = np.array([1.0, 2.0, np.nan, np.nan, 3.0])
    pieces = svg.envelope(np.arange(5), values, (0.0, 4.0), 5)
    assert [piece[1].tolist() for piece in pieces] == [[1.0, 2.0], [3.0]]


def test_long_line_is_a_short_path():
    """A day of rows becomes at most four points per two units of width."""
    us = np.arange(100_000)
    path = plot(x=(0.0, 99_999.0)).line(us, np.sin(us), "line")
    assert len(path) < 16_000
    assert plot().line(np.array([50]), np.array([0.0]), "line").endswith('h1"/>')


def test_steps_hold_each_value_until_the_next():
    """An inventory does not slope."""
    us, values = svg.steps(np.array([0, 10, 20]), np.array([1.0, 2.0, 3.0]))
    assert list(zip(us.tolist(), values.tolist(), strict=True)) == [(0, 1), (10, 1), (10, 2), (20, 2), (20, 3)]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_round_values_are_few_and_inside(low, width):
    """Multiples of 1, 2 or 5."""
    values = svg.round_values(low, low + width)
    step = width / 6
    assert 2 <= len(values) <= 7
    assert all(low - step * 1e-3 <= value <= low + width + step * 1e-3 for value in values)


@pytest.mark.parametrize(
    ("span_us", "first", "count"),
    [
        (14 * HOUR, "08:00", 7),
        (10_000_000, "07:00:00", 11),
        (3 * 24 * HOUR, "12:00", 6),
    ],
)
def test_time_labels_are_at_round_times(span_us, first, count):
    """From seven in the morning."""
    low = DAY0 + 7 * HOUR
    labels = svg.time_labels(low, low + span_us)
    assert (labels[0][1], len(labels)) == (first, count)
    assert len(labels) <= 11


def test_midnight_is_labelled_with_its_date():
    """Over several days, the time alone would be ambiguous."""
    labels = dict(svg.time_labels(DAY0 - HOUR, DAY0 + HOUR))
    assert labels[DAY0] == "16 Dec"


def test_padded_range_is_never_empty():
    """A flat price and an empty inventory also have an axis."""
    for low, high in [(0.0, 0.0), (87_000.0, 87_000.0), (-1.0, 1.0)]:
        bottom, top = svg.padded(low, high)
        assert bottom < low <= high < top


def test_overlapping_points_are_drawn_once():
    """Any number of fills stays below a few thousand marks."""
    random = np.random.default_rng(0)
    x, y = random.uniform(0, 100, 200_000), random.uniform(-1, 1, 200_000)
    marks = plot().marks(x, y, 1, "buy")
    assert marks.count("M") <= svg.MAX_DOTS
    assert plot().marks(x[:1], y[:1], -1, "sell").count("M") == 1


def test_distinct_places_are_ordered_and_drawn_once():
    """Like the rows of `np.unique`, which would import `numpy.ma`."""
    places = np.random.default_rng(3).integers(0, 6, (200, 2)).astype(float)
    assert np.array_equal(svg._distinct_places(places), np.unique(places, axis=0))
    assert svg._distinct_places(places[:0]).shape == (0, 2)


def test_short_bands_are_at_least_one_unit_wide():
    """An hour without a book may be a tenth of a pixel."""
    band = plot().spans([(10.0, 10.001), (50.0, 60.0)], "off", "no book")
    assert [float(width) for width in re.findall(r"h([\d.]+)v", band)] == [
        1.0,
        pytest.approx((400 - svg.LEFT - svg.RIGHT) / 10, abs=0.2),
    ]
    assert plot().spans([], "off", "no book") == ""


def test_columns_grow_from_zero():
    """Up for a positive value, down for a negative one, nothing for zero."""
    path = plot(x=(0.0, 3.0)).columns(np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 0.0, -1.0]), "buy")
    assert path.count("M") == 2
    assert f"V{svg.TOP:.1f}" in path
    assert f"V{200 - svg.BOTTOM:.1f}" in path


def test_axis_omits_values_without_text():
    """A count has no halves."""
    axis = plot().value_axis(lambda value: str(round(value)) if value == round(value) else "")
    assert re.findall(r">([^<]+)<", axis) == ["-1", "0", "1"]
    assert axis.count('class="zero"') == 1


def test_title_is_escaped():
    """The text of a screen reader cannot break the page."""
    assert 'aria-label="a &lt; b"' in plot().picture(title="a < b")
    assert "<title>&lt;&amp;</title>" in svg.bar(0, 0, (1, 1), "buy", "<&")
