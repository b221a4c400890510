"""A chart outside a page."""

import xml.etree.ElementTree as ET

import numpy as np

from mm.report.frame import standalone
from mm.report.svg import Plot


def test_standalone_chart_is_complete_and_has_its_colours():
    """A viewer without the page's style sheet shows the chart as the page does."""
    plot = Plot(600, 200, (0.0, 10.0), (0.0, 1.0))
    line = plot.path(np.array([0.0, 10.0]), np.array([0.2, 0.8]), "line spread")
    picture = standalone(plot.picture(plot.value_axis(str), line, title="Rate <1/s> & more"))
    drawn = ET.fromstring(picture)
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    assert (drawn.get("width"), drawn.get("height"), drawn.get("viewBox")) == ("600", "200", "0 0 600 200")
    style = drawn[0].text
    assert ".mm-picture .line { stroke: #3358c4" in style
    assert ".mm-picture .line.spread { stroke: #14785a" in style
    assert ".mm-picture .end { text-anchor: end; }" in style
    assert "var(" not in style
    assert all(rule.startswith(".mm-picture") for rule in style.strip().splitlines())


def test_standalone_chart_contains_only_styles_it_uses():
    """A notebook has many charts, and each would repeat the rules of a page; no rule refers to the page around it."""
    plot = Plot(600, 200, (0.0, 10.0), (0.0, 1.0))
    picture = standalone(plot.picture(title="empty"))
    assert len(picture) < 1800
    for foreign in ("body", ".card", ".tile", "@media", ".whisker path"):
        assert foreign not in picture
