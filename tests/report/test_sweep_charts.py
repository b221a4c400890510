"""The charts of a sweep's points: which points, their positions, and their tips."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.report.sweep_charts import MOST_DOTS, PointsChart, some
from pages import read

AXES = [{"name": "gamma", "values": ["0.1", "1"]}, {"name": "clip", "values": ["1", "2", "5"]}]


def rows(axes=AXES, **changes):
    """One row a point of the grid, ranked by its PnL; *changes* by point number."""
    found = []
    for first in axes[0]["values"]:
        for second in axes[1]["values"]:
            point = len(found)
            pnl = float(first) - float(second)
            row = {"point": point, "status": "ok", "gamma": first, "clip": second, "n_fills": 10 + point}
            found.append(row | {"pnl_total": pnl, "sharpe": pnl / 2} | changes.get(f"p{point}", {}))
    known = sorted(found, key=lambda row: -(row["pnl_total"] or -1e9))
    return [row | {"rank": rank} for rank, row in enumerate(known, start=1)]


def chart(ranked=None, axes=AXES):
    return PointsChart(rows() if ranked is None else ranked, axes, ["pnl_total", "sharpe"])


def circles(html):
    return [attributes for tag, attributes in read(html).seen if tag == "circle" and attributes["class"] == "point"]


def test_an_axis_has_a_card_with_each_point_in_each_panel():
    """Six points, two numbers: twelve dots on either card, and the best one is ringed in each panel."""
    cards = chart().axis_cards()
    assert len(cards) == 2
    for name, html in zip(("gamma", "clip"), cards, strict=True):
        page = read(html)
        assert f"By {name}" in " ".join(page.words)
        assert len(circles(html)) == 12
        assert sum(tag == "circle" and own["class"] == "error" for tag, own in page.seen) == 2
        assert "point 0: -0.9" in " ".join(page.words).replace("−", "-")


def test_points_stand_by_the_value_of_their_axis_in_its_order():
    """The values of the other axis are side by side, alike at each value."""
    gamma = chart().axis_cards()[0]
    across = [float(one["cx"]) for one in circles(gamma)[:6]]
    assert across == sorted(across)
    low, high = across[:3], across[3:]
    assert [round(b - a, 1) for a, b in zip(low, high, strict=True)] == [round(high[0] - low[0], 1)] * 3


def test_an_axis_of_one_value_and_points_without_a_result_are_left_out():
    fixed = [{"name": "gamma", "values": ["0.1"]}, AXES[1]]
    ranked = rows(fixed, p1={"status": "error", "pnl_total": None, "sharpe": None})
    (only,) = chart(ranked, fixed).axis_cards()
    assert "By clip" in " ".join(read(only).words)
    assert len(circles(only)) == 4


@pytest.mark.parametrize("axes", [[{"name": "gamma", "values": ["1"]}, {"name": "clip", "values": ["2"]}], AXES])
def test_without_anything_to_compare_the_card_says_so(axes):
    none = [row | {"pnl_total": None} for row in rows(axes)] if axes is AXES else rows(axes)
    (card,) = chart(none, axes).axis_cards()
    assert "No axis has several values with a result." in " ".join(read(card).words)


def test_one_number_over_another_needs_two_points_with_both():
    pair = "pnl_total", "sharpe"
    names = ("PnL", "Sharpe ratio")
    assert len(circles(chart().against(*pair, names))) == 6
    bare = [row | {"sharpe": None} for row in rows()[1:]]
    html = chart([*rows()[:1], *bare]).against(*pair, names)
    assert "Fewer than two points have both numbers." in " ".join(read(html).words)


def test_names_are_text_and_no_tags():
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
def test_a_chart_shows_the_best_and_others_evenly(count):
    """No more than it can hold, in their order, from the first to the last."""
    every = [{"rank": rank} for rank in range(count)]
    shown = some(every)
    assert len(shown) == min(count, MOST_DOTS)
    ranks = [row["rank"] for row in shown]
    assert ranks == sorted(set(ranks))
    if count:
        assert (ranks[0], ranks[-1]) == (0, count - 1)
        assert max((b - a for a, b in pairwise(ranks)), default=1) <= -(-count // MOST_DOTS) + 1
