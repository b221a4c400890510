"""A sweep as one picture: the colours, the ranking and their numbers."""

import xml.etree.ElementTree as ET

import pytest

from mm.report.notebook import sweep_picture
from mm.report.sweep_picture import ranking, sweep_parts

AXES = [{"name": "GAMMA", "values": ["0.1", "1"]}, {"name": "FILL_MODEL", "values": ["trade_cross", "poisson"]}]


def content(values, axes=AXES):
    """Return a sweep of a grid of two by two, ranked by *values* in its order; None means failed."""
    places = [(g, m) for g in axes[0]["values"] for m in axes[1]["values"]]
    order = sorted(range(4), key=lambda i: -(values[i] if values[i] is not None else -1e9))
    rows = [
        {"point": i + 1, "rank": order.index(i) + 1, "status": "ok" if values[i] is not None else "failed"}
        | {"GAMMA": places[i][0], "FILL_MODEL": places[i][1], "pnl_total": values[i]}
        for i in order
    ]
    return {"rows": rows, "axes": axes, "rank_by": "pnl_total", "points": 4, "best": None, "walkforward": None}


def test_every_point_has_a_cell_and_the_best_is_framed():
    """Gains and losses in their colours, the largest the strongest; a failed point has none."""
    grid, order = sweep_parts(content([3.0, -1.0, None, 1.5]))
    picture = ET.fromstring(grid.picture)
    cells = [element for element in picture.iter() if element.tag == "rect"]
    assert sorted(element.get("class") for element in cells) == ["gain", "gain", "loss"]
    strengths = [float(element.get("fill-opacity")) for element in picture.iter("g")]
    assert max(strengths) == pytest.approx(0.85)
    assert sum(element.get("class") == "error" for element in picture.iter("path")) == 1
    assert order.title == "Ranking"


def test_ranking_lists_the_best_first_with_its_value():
    """Failed points are not ranked; a bar ends at its value."""
    picture = ET.fromstring(ranking(content([3.0, -1.0, None, 1.5])))
    words = [element.text for element in picture.iter("text")]
    assert words[1::2] == ["3", "1.5", "−1"]
    assert [name[:12] for name in words[::2]] == ["1. GAMMA=0.1", "2. GAMMA=1, ", "3. GAMMA=0.1"]
    widths = [float(element.get("width")) for element in picture.iter("rect")]
    assert widths[0] / widths[1] == pytest.approx(2.0, rel=0.01)
    assert widths[0] / widths[2] == pytest.approx(3.0, rel=0.01)


def test_grid_of_one_axis_has_only_a_ranking():
    """No map of one row."""
    sweep = content([3.0, -1.0, 2.0, 1.5])
    parts = sweep_parts({**sweep, "axes": AXES[:1]})
    assert [part.title for part in parts] == ["Ranking"]
    assert "sweep of 4 points" in sweep_picture(sweep).title
