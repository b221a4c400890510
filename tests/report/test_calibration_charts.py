"""The zooming charts of a calibration: their data are the points, the fit and its pieces."""

import base64
import json
import re

import numpy as np
import pytest

from mm.calibration.calibrator import Measured
from mm.calibration.fit_points import fit_poisson
from mm.calibration.goodness import residuals
from mm.calibration.points import Points
from mm.report.calibration import page
from mm.report.calibration_charts import residual_part
from mm.report.frame import document, wide

START, HALF_HOUR = 1_767_596_400_000_000, 1_800_000_000
TYPES = {1: "<i1", 2: "<i2", 4: "<i4"}


@pytest.fixture(scope="module")
def points():
    delta = np.tile(np.arange(1.0, 13.0), 2)
    fills = np.random.default_rng(4).poisson(3_600 * 0.5 * np.exp(-0.3 * delta))
    return Points.of(delta, np.full(24, 3_600.0), fills, ["bid"] * 12 + ["ask"] * 12)


def timelines(html):
    """Return the data of each timeline with its columns unpacked."""
    unpacked = []
    for text in re.findall(r'<script type="application/json">(.*?)</script>', html):
        data = json.loads(text)
        columns = []
        for column in data["columns"]:
            steps = np.frombuffer(base64.b64decode(column["steps"]), TYPES[column["bytes"]]).astype(float)
            far = np.frombuffer(base64.b64decode(column["at"]), "<u4")
            steps[far] = np.frombuffer(base64.b64decode(column["far"]), "<f8")
            columns.append(np.cumsum(steps))
        unpacked.append((data, columns))
    return unpacked


def values(series, columns, name="v"):
    return series["low"] + (columns[series[name]] - 1) * series["unit"]


def test_points_lines_and_residuals_match_the_fit(points):
    """λ of each distance and side, A·exp(−k·δ) along the line, and the deviance residuals below."""
    fit = fit_poisson(points)
    (data, columns), _ = timelines(page(fit, Measured(points, points), [(START, START + HALF_HOUR, fit)]))
    curve, rest = data["panels"]
    for marks, side in zip(curve["marks"], (1, -1), strict=True):
        rows = residuals(points, None, None, side)
        filled = rows.fills > 0
        assert 10 ** values(marks, columns) == pytest.approx(rows.rates()[0][filled], rel=1e-4)
    (line, *_) = curve["lines"]
    x, y = columns[line["t"]] / 1_000, 10 ** values(line, columns)
    known = columns[line["v"]] > 0
    assert y[known] == pytest.approx(fit.A * np.exp(-fit.k * x[known]), rel=2e-3)
    z = residuals(points, fit.A, fit.k).standardised
    bars = np.concatenate([values(series, columns) for series in rest["spans"]])
    assert np.sort(bars) == pytest.approx(np.sort(z[~np.isnan(z)]), abs=1e-3)
    assert data["unit"] == "ticks"


def test_pieces_are_drawn_at_their_middle_with_their_parameters(points):
    """k and the logarithm of A of each piece, and those of the whole day as a line."""
    fit = fit_poisson(points)
    pieces = [(START + i * HALF_HOUR, START + (i + 1) * HALF_HOUR, fit) for i in range(3)]
    _, (data, columns) = timelines(page(fit, Measured(points, points), pieces))
    assert [panel["log"] for panel in data["panels"]] == [False, True]
    for panel, value in zip(data["panels"], (fit.k, np.log10(fit.A)), strict=True):
        (marks,), (level,) = panel["marks"], panel["lines"]
        assert columns[marks["t"]].tolist() == [(i + 0.5) * HALF_HOUR / 1_000 for i in range(3)]
        assert values(marks, columns) == pytest.approx([value] * 3, rel=1e-4)
        assert values(level, columns)[0] == pytest.approx(value, rel=1e-4)


def test_zooming_over_distance_shows_fewer_ticks(points, chrome, tmp_path):
    """The axis has numbers, and the bar shows the range."""
    fit = fit_poisson(points)
    path = tmp_path / "report.html"
    path.write_text(page(fit, Measured(points, points), [(START, START + HALF_HOUR, fit)]), encoding="utf-8")
    output = "document.querySelector('.timeline output').value"
    with chrome.tab(path, width=1400) as tab:
        assert tab.value(output) == "0 to 12.48 ticks"
        tab.value("document.querySelector('[data-do=\"in\"]').click()")
        tab.settle()
        assert tab.value(output) == "3.12 to 9.36 ticks"
        observed = tab.seen()
    assert (observed.errors, observed.requests, observed.overflow) == ([], [], 0)


def test_plot_of_a_fit_in_a_notebook_has_residuals(points):
    """Below its curve, with a bar for each distance; a fit read from a file has neither points nor residuals."""
    fit = fit_poisson(points)
    part = residual_part(points, fit)
    assert part.picture.count("<rect") == 12
    assert "Residuals" in fit.plot().svg
    assert document("", [wide(part.picture)])
