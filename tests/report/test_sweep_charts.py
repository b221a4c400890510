"""The charts of a sweep's points: the points shown, their positions and their tips."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.report.sweep_charts import MOST_DOTS, PointsChart, some
from pages import read

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


def circles(html):
    return [attributes for tag, attributes in read(html).seen if tag == "circle" and attributes["class"] == "point"]


def test_each_axis_has_a_card_with_each_point_in_each_panel():
    """Six points, two numbers: twelve dots on each card, and the best point is ringed in each panel."""
    cards = chart().axis_cards()
    assert len(cards) == 2
    for name, html in zip(("gamma", "clip"), cards, strict=True):
        page = read(html)
        assert f"By {name}" in " ".join(page.words)
        assert len(circles(html)) == 12
        assert sum(tag == "circle" and attributes["class"] == "error" for tag, attributes in page.seen) == 2
        assert "point 0: -0.9" in " ".join(page.words).replace("−", "-")


def test_points_are_ordered_by_their_value_on_the_axis():
    """The values of the other axis are side by side, with the same offsets at each value."""
    gamma = chart().axis_cards()[0]
    across = [float(circle["cx"]) for circle in circles(gamma)[:6]]
    assert across == sorted(across)
    low, high = across[:3], across[3:]
    assert [round(b - a, 1) for a, b in zip(low, high, strict=True)] == [round(high[0] - low[0], 1)] * 3


def test_single_value_axis_and_points_without_result_are_omitted():
    fixed = [{"name": "gamma", "values": ["0.1"]}, AXES[1]]
    ranked = rows(fixed, p1={"status": "error", "pnl_total": None, "sharpe": None})
    (only,) = chart(ranked, fixed).axis_cards()
    assert "By clip" in " ".join(read(only).words)
    assert len(circles(only)) == 4


@pytest.mark.parametrize("axes", [[{"name": "gamma", "values": ["1"]}, {"name": "clip", "values": ["2"]}], AXES])
def test_card_states_that_there_is_nothing_to_compare(axes):
    without_result = [row | {"pnl_total": None} for row in rows(axes)] if axes is AXES else rows(axes)
    (card,) = chart(without_result, axes).axis_cards()
    assert "No axis has several values with a result." in " ".join(read(card).words)


def test_scatter_of_two_numbers_needs_two_points_with_both():
    pair = "pnl_total", "sharpe"
    names = ("PnL", "Sharpe ratio")
    assert len(circles(chart().against(*pair, names))) == 6
    bare = [row | {"sharpe": None} for row in rows()[1:]]
    html = chart([*rows()[:1], *bare]).against(*pair, names)
    assert "Fewer than two points have both numbers." in " ".join(read(html).words)


def test_names_are_escaped():
    axes = [{"name": "<xa>", "values": ["<xb>", "&"]}, AXES[1]]
    shared = {"status": "ok", "clip": "1", "n_fills": 1}
    ranked = [
        shared | {"point": n, "rank": n + 1, "<xa>": value, "pnl_total": n, "sharpe": n}
        for n, value in enumerate(("<xb>", "&"))
    ]
    page = read(chart(ranked, axes).axis_cards()[0])
    assert "By <xa>" in " ".join(page.words)
    assert not {"xa", "xb"} & {tag for tag, _ in page.seen}


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
