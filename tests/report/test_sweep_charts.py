"""The charts of a sweep's points: the points shown, their positions and their tips."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.report.sweep_charts import MOST_DOTS, PointsChart, grid_figures, ranking_figure, some
from pages import check_figure, figures_of, read

AXES = [{"name": "gamma", "values": ["0.1", "1"]}, {"name": "clip", "values": ["1", "2", "5"]}]


def rows(axes=AXES, **changes):
    """One row per point of the grid, ranked by its PnL; *changes* by point number."""
    points = []
    for first in axes[0]["values"]:
        for second in axes[1]["values"]:
            point = len(points)
            pnl = float(first) - float(second)
            row = {"point": point, "status": "ok", "gamma": first, "clip": second, "n_fills": 10 + point}
            points.append(row | {"pnl_total": pnl, "sharpe": pnl / 2} | changes.get(f"p{point}", {}))
    ranked = sorted(points, key=lambda row: -(row["pnl_total"] or -1e9))
    return [row | {"rank": rank} for rank, row in enumerate(ranked, start=1)]


def chart(ranked=None, axes=AXES):
    return PointsChart(rows() if ranked is None else ranked, axes, ["pnl_total", "sharpe"])


def points_of(figure, name="points"):
    return [trace for trace in figure["data"] if trace["name"] == name]


def test_each_axis_has_a_card_with_each_point_in_each_panel():
    """Six points, two numbers: twelve points on each card, and the best point again in each panel."""
    cards = chart().axis_cards()
    assert len(cards) == 2
    for name, html in zip(("gamma", "clip"), cards, strict=True):
        assert f"By {name}" in html
        (figure,) = figures_of(html)
        check_figure(figure)
        assert [len(trace["x"]) for trace in points_of(figure)] == [6, 6]
        assert [len(trace["x"]) for trace in points_of(figure, "best")] == [1, 1]
        (tip,) = [tip for tip in points_of(figure)[0]["text"] if "point 0<br>" in tip]
        assert "pnl_total −0.9" in tip
        assert figure["layout"]["xaxis"]["ticktext"] == next(axis["values"] for axis in AXES if axis["name"] == name)


def test_points_stand_at_their_value_on_the_axis():
    """The values of the other axis are side by side, with the same offsets at each value."""
    (figure,) = figures_of(chart().axis_cards()[0])
    across = sorted(points_of(figure)[0]["x"].tolist())
    low, high = across[:3], across[3:]
    assert [b - a for a, b in zip(low, high, strict=True)] == pytest.approx([1, 1, 1])
    assert np.mean(low) == pytest.approx(0)


def test_single_value_axis_and_points_without_result_are_omitted():
    fixed = [{"name": "gamma", "values": ["0.1"]}, AXES[1]]
    ranked = rows(fixed, p1={"status": "error", "pnl_total": None, "sharpe": None})
    (only,) = chart(ranked, fixed).axis_cards()
    assert "By clip" in " ".join(read(only).words)
    (figure,) = figures_of(only)
    assert [len(trace["x"]) for trace in points_of(figure)] == [2, 2]


@pytest.mark.parametrize("axes", [[{"name": "gamma", "values": ["1"]}, {"name": "clip", "values": ["2"]}], AXES])
def test_card_states_that_there_is_nothing_to_compare(axes):
    without_result = [row | {"pnl_total": None} for row in rows(axes)] if axes is AXES else rows(axes)
    (card,) = chart(without_result, axes).axis_cards()
    assert "No axis has several values with a result." in " ".join(read(card).words)


def test_scatter_of_two_numbers_needs_two_points_with_both():
    pair = "pnl_total", "sharpe"
    names = ("PnL", "Sharpe ratio")
    figure = chart().compare(*pair, names)
    check_figure(figure)
    (points,) = points_of(figure)
    assert sorted(points["x"].tolist()) == sorted(row["pnl_total"] for row in rows())
    assert points["y"] == pytest.approx(points["x"] / 2)
    bare = [row | {"sharpe": None} for row in rows()[1:]]
    assert chart([*rows()[:1], *bare]).compare(*pair, names) is None


def test_maps_of_a_grid_share_their_scale_and_frame_the_best():
    """Over the two longest axes, one map for each value of the other; a point without a result is empty."""
    axes = [*AXES, {"name": "fills", "values": ["a", "b"]}]
    ranked = [row | {"fills": fill, "rank": row["rank"] + 6 * (fill == "b")} for fill in "ab" for row in rows()]
    ranked[-1] = ranked[-1] | {"pnl_total": None}
    maps = grid_figures(ranked, axes, "pnl_total")
    assert len(maps) == 2
    assert {figure["data"][0]["zmax"] for _, figure in maps} == {4.9}
    assert [len(figure["layout"]["shapes"]) for _, figure in maps].count(1) == 1
    cells = [cell for _, figure in maps for row in figure["data"][0]["z"] for cell in row]
    assert (len(cells), cells.count(None)) == (12, 1)
    assert grid_figures(ranked, axes[:1], "pnl_total") == []


def test_ranking_begins_with_the_best():
    content = {"rank_by": "pnl_total", "axes": AXES, "rows": rows()}
    (bars,) = ranking_figure(content)["data"]
    assert bars["x"] == [row["pnl_total"] for row in rows()]
    assert bars["y"][0].startswith("1. gamma")
    assert ranking_figure(content | {"rows": []}) is None


def test_names_are_escaped():
    axes = [{"name": "<xa>", "values": ["<xb>", "&"]}, AXES[1]]
    shared = {"status": "ok", "clip": "1", "n_fills": 1}
    ranked = [
        shared | {"point": n, "rank": n + 1, "<xa>": value, "pnl_total": n, "sharpe": n}
        for n, value in enumerate(("<xb>", "&"))
    ]
    html = chart(ranked, axes).axis_cards()[0]
    page = read(html)
    assert "By <xa>" in " ".join(page.words)
    assert not {"xa", "xb"} & {tag for tag, _ in page.seen}
    assert figures_of(html)[0]["layout"]["xaxis"]["ticktext"] == ["&lt;xb&gt;", "&amp;"]


@given(st.integers(0, 4 * MOST_DOTS))
def test_chart_shows_the_best_points_and_an_even_sample_of_others(count):
    """No more than it can hold, in order, from the first to the last."""
    all_rows = [{"rank": rank} for rank in range(count)]
    shown = some(all_rows)
    assert len(shown) == min(count, MOST_DOTS)
    ranks = [row["rank"] for row in shown]
    assert ranks == sorted(set(ranks))
    if count:
        assert (ranks[0], ranks[-1]) == (0, count - 1)
        assert max((b - a for a, b in pairwise(ranks)), default=1) <= -(-count // MOST_DOTS) + 1
