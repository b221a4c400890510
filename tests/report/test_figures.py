"""Figures: thinning keeps what a reader looks for, and plotly's own schema accepts them."""

import json
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn_runs import drawn, full_day, result_of
from journals import seeded
from mm.backtest.metrics.numbers import Summary
from mm.report import figures
from mm.report.backtest_charts import whole_figure
from mm.report.figures import Panel, Scale, drawn_rows
from pages import check_figure, decoded, named


@given(st.integers(1, 60_000), st.integers(0, 2**32 - 1), st.integers(0, 4_000))
def test_thinned_series_keeps_extremes_ends_and_wanted_rows(count, seed, wanted):
    """At most 5,000 rows, in order."""
    random = np.random.default_rng(seed)
    values = np.where(random.random(count) < 0.1, np.nan, random.normal(size=count))
    keep = random.integers(0, count, wanted)
    rows = drawn_rows(values, keep)
    assert len(rows) <= min(count, figures.MOST)
    assert (np.diff(rows) > 0).all()
    assert (rows[0], rows[-1]) == (0, count - 1)
    if not np.isnan(values).all():
        assert np.nanmax(values[rows]) == np.nanmax(values)
        assert np.nanmin(values[rows]) == np.nanmin(values)
    if len(set(keep)) <= figures.MOST // 2:
        assert set(keep) <= set(rows)


def test_step_holds_until_its_value_ends():
    """A hole begins where the value ends, not where the last one began."""
    trace = figures.step("k", np.array([0, 1_000, 3_000]), np.array([1.0, 2.0, np.nan]))
    assert trace["x"].tolist() == [0, 1, 3, 3]
    assert trace["y"].tolist()[:3] == [1, 2, 2]
    assert np.isnan(trace["y"][3])
    assert trace["line"]["shape"] == "hv"


def test_quotes_are_bars_and_equal_neighbours_are_one():
    """Two orders at one price without a pause between them look like one."""
    us, until = np.array([0, 1_000, 5_000]), np.array([1_000, 2_000, 6_000])
    trace = figures.spans("our bid", us, until, np.array([7.0, 7.0, 7.0]), "red")
    assert trace["x"].tolist() == [0, 2, 2, 5, 6, 6]
    assert np.isnan(trace["y"][[2, 5]]).all()
    many = np.arange(100_000)
    thin = figures.spans("our bid", many * 10, many * 10 + 10, many % 7.0, "red")
    assert len(thin["x"]) <= figures.MOST
    assert thin["x"][-1] == pytest.approx(1_000, abs=1)


def test_panels_share_one_axis_and_do_not_overlap():
    """From top to bottom; a stretch to shade is over all of them."""
    panels = [Panel(str(i), "unit", [figures.line(name, [0, 1], [0, 1]) for name in "ab"], 100) for i in range(3)]
    found = figures.stacked(panels, figures.time_axis(0, 10), np.array([[2_000, 3_000]]))
    domains = [found["layout"][name]["domain"] for name in ("yaxis", "yaxis2", "yaxis3")]
    assert domains[0][1] <= 1
    assert all(above[0] > below[1] for above, below in pairwise(domains))
    assert {trace.get("xaxis", "x") for trace in found["data"]} == {"x"}
    assert found["layout"]["xaxis"]["anchor"] == "y3"
    assert named(found, "no valid book")["x"].tolist()[:4] == [2, 2, 3, 3]


@pytest.mark.parametrize("reach", [5.0, 3_000.0])
def test_scale_keeps_the_order_and_labels_true_values(reach):
    """Linear for near distances, logarithmic for far ones, with zero."""
    scale = Scale(reach, signed=True)
    values = np.linspace(-reach, reach, 50)
    assert (np.diff(scale.at(values)) > 0).all()
    assert scale.at(0.0) == 0
    axis = scale.axis()
    for place, text in zip(axis.get("tickvals", ()), axis.get("ticktext", ()), strict=True):
        assert scale.at(float(text.replace(",", "").replace("−", "-"))) == pytest.approx(place)


def test_heat_map_shows_sign_and_size_and_frames_the_best():
    """Gains and losses have the same strength for the same size; an unknown value is empty."""
    found = figures.heat(("x", ("a", "b")), ("y<", ("c", "d")), [[1.0, -4.0], [None, 2.0]], (0, 1))
    (trace,), (frame,) = found["data"], found["layout"]["shapes"]
    assert (trace["zmin"], trace["zmax"]) == (-4.0, 4.0)
    assert trace["z"] == [[1.0, -4.0], [None, 2.0]]
    assert (frame["x0"], frame["x1"], frame["y0"], frame["y1"]) == (0.5, 1.5, -0.5, 0.5)
    assert found["layout"]["xaxis"]["title"]["text"] == "y&lt; ↓<br>x →"
    assert figures.heat(("x", ("a",)), ("y", ("c",)), [[None]])["data"][0]["zmax"] == 1


def test_json_is_valid_complete_and_the_same_each_time():
    """Also of columns and tables; nothing in it ends a script."""
    figure = {"data": [{"x": np.array([1.5, np.nan]), "y": np.arange(6).reshape(2, 3), "name": "</script>"}]}
    text = figures.to_json(figure)
    assert text == figures.to_json(figure)
    assert "<" not in text
    trace = decoded(json.loads(text))["data"][0]
    np.testing.assert_array_equal(trace["x"], [1.5, np.nan])
    assert trace["y"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert trace["name"] == "</script>"


def run_of(kind):
    return full_day(seconds=20_000, n_fills=8_000) if kind == "full" else drawn(result_of(seeded(400)))[1]


@pytest.mark.parametrize("kind", ["full", "short"])
def test_figure_of_a_run_is_valid_for_plotly(kind):
    """Its own classes accept every property."""
    run = run_of(kind)
    figure = whole_figure(run, run.curve, Summary.read(result_of(seeded(30)).summary))
    check_figure(figure)
    go.Figure(figure)
    for trace in figure["data"]:
        assert len(trace["x"]) <= 3 * figures.MOST
