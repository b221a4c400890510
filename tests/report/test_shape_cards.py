"""The curves of windows on one scale, with points, exponential and untrusted ranges."""

import re
from dataclasses import replace

import numpy as np
import pytest

from legible import illegible
from mm import Points, fit_poisson
from mm.calibration.alternatives import chosen_curve, compare
from mm.report.frame import document
from mm.report.segment_charts import shapes_card
from mm.walkforward.window_shapes import WindowShape
from pages import check_figure, figures_of, named

HOUR = 3_600_000_000
FAR = 12


def shape(start_us=9 * HOUR, far=FAR, trusted=None):
    """A window of two exponentials, observed exactly; *trusted* is the validity range of its curve."""
    delta, block, side = (
        axis.ravel() for axis in np.meshgrid(np.arange(0.5, far), np.arange(8), [1, -1], indexing="ij")
    )
    exposure = np.full(len(delta), 600.0)
    fills = np.rint(exposure * (2 * np.exp(-1.2 * delta) + 0.2 * np.exp(-0.2 * delta)))
    points = Points.of(delta, exposure, fills, side, block)
    fit = fit_poisson(points)
    curve, choice = chosen_curve(compare(points))
    fit = replace(fit, lambda_curve=curve, shape=replace(choice, trusted_ticks=trusted))
    return WindowShape((start_us, start_us + HOUR, start_us - 2 * HOUR, start_us), fit, points)


def test_each_window_has_its_points_curve_and_exponential():
    html = shapes_card([shape(trusted=(0.5, 4.5)), shape(10 * HOUR, trusted=(1.5, 3.5))])
    figures = figures_of(html)
    assert len(figures) == 2
    assert re.findall(r"<h3>(.*?) <small>", html) == ["1970-01-01 09:00", "1970-01-01 10:00"]
    assert "trusted from 0.5 to 4.5 ticks" in html
    assert "trusted from 1.5 to 3.5 ticks" in html
    for figure in figures:
        check_figure(figure)
        assert [len(named(figure, side)["x"]) for side in ("bids", "asks")] == [FAR, FAR]
        assert named(figure, "A·exp")["line"]["dash"] == "dash"
        assert len(figure["layout"]["shapes"]) == 2


def test_card_is_legible_on_wide_and_narrow_screens(chrome, tmp_path):
    path = tmp_path / "shapes.html"
    path.write_text(document("shapes", [shapes_card([shape(), shape(10 * HOUR), shape(11 * HOUR)])]), encoding="utf-8")
    assert illegible(chrome, path) == []


@pytest.mark.parametrize(
    ("trusted", "spans"), [((1.5, 4.5), [(0.0, 1.5), (4.5, 11.96)]), (None, [(0.0, 11.96)]), ((0.0, 99.0), [])]
)
def test_untrusted_range_of_the_curve_is_grey(trusted, spans):
    """On both sides of the trusted range, up to the edges of the chart; everywhere without one."""
    (figure,) = figures_of(shapes_card([shape(trusted=trusted)]))
    shaded = [(band["x0"], band["x1"]) for band in figure["layout"]["shapes"]]
    assert shaded == [pytest.approx(span) for span in spans]


def test_one_far_window_does_not_flatten_the_others():
    """The charts end at twice the median reach; the rest is left out."""
    figures = figures_of(shapes_card([shape(), shape(10 * HOUR), shape(11 * HOUR, far=80)]))
    ends = {tuple(figure["layout"]["xaxis"]["range"]) for figure in figures}
    assert len(ends) == 1
    ((_, far),) = ends
    assert FAR < far < 3 * FAR
    assert max(named(figures[2], "bids")["x"]) <= far


def test_no_windows_give_no_card():
    """Nor do windows without a fill."""
    unfilled = shape()
    assert shapes_card([]) == ""
    assert shapes_card([replace(unfilled, points=Points.of([1, 2], [5, 5], [0, 0], [1, -1]))]) == ""
