"""The curves of windows on one scale, with points, exponential and untrusted ranges."""

import re
from dataclasses import replace

import numpy as np
import pytest

from legible import illegible
from mm.calibration.alternatives import compare
from mm.calibration.fit_points import fit_poisson
from mm.calibration.lambda_curve import chosen_curve
from mm.calibration.points import Points
from mm.report.frame import document
from mm.report.shape_cards import shapes_card
from mm.report.svg import HALF, LEFT, RIGHT, Plot
from mm.walkforward.window_shapes import WindowShape

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
    assert html.count("<figure>") == html.count("<svg") == 2
    assert re.findall(r"<h3>(.*?) <small>", html) == ["1970-01-01 09:00", "1970-01-01 10:00"]
    assert "trusted from 0.5 to 4.5 ticks" in html
    assert "trusted from 1.5 to 3.5 ticks" in html
    for picture in re.findall(r"<svg.*?</svg>", html):
        assert picture.count("whisker buy") == picture.count("whisker sell") == FAR
        assert [picture.count(f'class="{kind}"') for kind in ("band", "line", "dash", "off")] == [1, 1, 1, 1]


def test_card_is_legible_on_wide_and_narrow_screens(chrome, tmp_path):
    path = tmp_path / "shapes.html"
    path.write_text(document("shapes", [shapes_card([shape(), shape(10 * HOUR), shape(11 * HOUR)])]), encoding="utf-8")
    assert illegible(chrome, path) == []


@pytest.mark.parametrize(
    ("trusted", "spans"), [((1.5, 4.5), [(0.0, 1.5), (4.5, 12.0)]), (None, [(0.0, 12.0)]), ((0.0, 99.0), [])]
)
def test_untrusted_range_of_the_curve_is_grey(trusted, spans):
    """On both sides of the trusted range, up to the edges of the chart; everywhere without one."""
    html = shapes_card([shape(trusted=trusted)])
    plot = Plot(HALF, 1, (0.0, 11.5 * 1.04), (0.0, 1.0))
    shade = re.search(r'class="off" d="(.*?)"', html)
    parts = [] if shade is None else re.findall(r"M([\d.]+) \d+h([\d.]+)", shade[1])
    right = HALF - RIGHT
    expected = [tuple(min(max(float(plot.across(end)), LEFT), right) for end in span) for span in spans]
    assert [(float(left), float(left) + float(width)) for left, width in parts] == [
        pytest.approx(span, abs=0.11) for span in expected
    ]


def test_one_far_window_does_not_flatten_the_others():
    """The charts end at twice the median reach; the rest is left out."""
    html = shapes_card([shape(), shape(10 * HOUR), shape(11 * HOUR, far=80)])
    across = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', html)]
    assert max(across) <= HALF - RIGHT + 0.1
    assert html.count("whisker buy") < 2 * FAR + 80


def test_no_windows_give_no_card():
    """Nor do windows without a fill."""
    unfilled = shape()
    assert shapes_card([]) == ""
    assert shapes_card([replace(unfilled, points=Points.of([1, 2], [5, 5], [0, 0], [1, -1]))]) == ""
