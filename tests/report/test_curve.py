"""The curve on the page: the card and the chart match the fit."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from drawn_runs import fit_page_of
from mm import Points, fit_poisson
from mm.calibration.alternatives import chosen_curve, compare
from mm.report.calibration_charts import curve_card
from pages import figures_of, named

DELTA = [0.5, 1.5, 2.5, 3.5, 5.5, 8.5, 13.5]
BLOCKS = 8


def fit_of(rate):
    """Return a fit of Poisson counts with its curve, and the points."""
    random = np.random.default_rng(2)
    fills = random.poisson([1_000 * rate(delta) for delta in DELTA] * BLOCKS).tolist()
    block = [number for number in range(BLOCKS) for _ in DELTA]
    points = Points.of(DELTA * BLOCKS, [1_000.0] * len(fills), fills, ["bid"] * len(fills), block)
    curve, shape = chosen_curve(compare(points), [("1", points)])
    return replace(fit_poisson(points), lambda_curve=curve, shape=shape), points


@pytest.fixture(scope="module")
def bent():
    return fit_of(lambda delta: 0.5 * math.exp(-1.5 * delta) + 0.05 * math.exp(-0.1 * delta))


def test_bent_curve_is_drawn_beside_the_exponential(bent):
    """One solid line through its points, the exponential dashed, both in the legend."""
    fit, points = bent
    assert fit.shape.chosen == "two_exponentials"
    (figure,) = figures_of(fit_page_of(fit, points, []))
    solid, dashed = named(figure, "two exponentials"), named(figure, "A·exp")
    assert len(solid["x"]) == len(DELTA)
    assert "dash" not in solid["line"]
    assert dashed["line"]["dash"] == "dash"
    assert sum(trace.get("fill") == "tonexty" for trace in figure["data"]) == 1


def test_table_has_a_row_for_each_distance(bent):
    """λ, its interval, the exponential, and λ in each state of the spread."""
    fit, _ = bent
    html = curve_card(fit)
    rows = [re.findall(r"<t[hd]>([^<]*)", row) for row in re.findall("<tr>.*?</tr>", html)]
    assert [float(row[0]) for row in rows] == DELTA
    for row, point in zip(rows, fit.lambda_curve, strict=False):
        assert float(row[1]) == pytest.approx(point.lambda_per_s, rel=1e-3)
        assert [float(end) for end in row[2].split(" to ")] == pytest.approx(point.ci95, rel=1e-3)
        assert float(row[3]) == pytest.approx(fit.A * math.exp(-fit.k * point.delta_ticks), rel=1e-3)
        assert row[4] == row[1]
    assert "A_1" in html
    assert fit.shape.formula in html


def test_exponential_curve_is_one_line_with_a_band():
    """The exponential is not drawn twice."""
    fit, points = fit_of(lambda delta: 0.5 * math.exp(-0.3 * delta))
    assert fit.shape.chosen == "exponential"
    (figure,) = figures_of(fit_page_of(fit, points, []))
    assert not any(trace.get("line", {}).get("dash") for trace in figure["data"])


def test_fit_without_a_curve_has_no_card():
    """For example of a table that mm fit read."""
    assert curve_card(fit_poisson(Points.of([1, 2, 3], [10, 10, 10], [5, 3, 1]))) == ""
