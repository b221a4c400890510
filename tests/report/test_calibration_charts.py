"""The zooming charts of a calibration: their data are the points, the fit and its pieces."""

import numpy as np
import pytest

from drawn_runs import fit_page_of
from mm import Points, fit_poisson
from mm.calibration.goodness import residuals
from mm.report.calibration_charts import curve_figure, distances_figure, pieces_figure
from pages import check_figure, figures_of, named

START, HALF_HOUR = 1_767_596_400_000_000, 1_800_000_000


@pytest.fixture(scope="module")
def points():
    delta = np.tile(np.arange(1.0, 13.0), 2)
    fills = np.random.default_rng(4).poisson(3_600 * 0.5 * np.exp(-0.3 * delta))
    return Points.of(delta, np.full(24, 3_600.0), fills, ["bid"] * 12 + ["ask"] * 12)


def test_points_lines_and_residuals_match_the_fit(points):
    """λ of each distance and side, A·exp(−k·δ) along the line, and the deviance residuals below."""
    fit = fit_poisson(points)
    figure, *_ = figures_of(fit_page_of(fit, points, [(START, START + HALF_HOUR, fit)]))
    check_figure(figure)
    for name, side in (("bids", 1), ("asks", -1)):
        rows, trace = residuals(points, None, None, side), named(figure, name)
        filled = rows.fills > 0
        rate, low, high = (column[filled] for column in rows.rates())
        assert trace["y"] == pytest.approx(rate)
        assert trace["y"] - trace["error_y"]["arrayminus"] == pytest.approx(low)
        assert trace["y"] + trace["error_y"]["array"] == pytest.approx(high)
    line = named(figure, "A·exp")
    known = ~np.isnan(line["y"])
    assert line["y"][known] == pytest.approx(fit.A * np.exp(-fit.k * line["x"][known]))
    z = residuals(points, fit.A, fit.k).standardised
    bars = np.concatenate([named(figure, name)["y"] for name in ("more than fitted", "fewer")])
    assert np.sort(bars) == pytest.approx(np.sort(z[~np.isnan(z)]))
    assert figure["layout"]["xaxis"]["title"]["text"] == "ticks"


def test_pieces_are_drawn_at_their_middle_with_their_parameters(points):
    """k and A of each piece, and those of the whole day as a line."""
    fit = fit_poisson(points)
    pieces = [(START + i * HALF_HOUR, START + (i + 1) * HALF_HOUR, fit) for i in range(3)]
    figure = pieces_figure(pieces, fit)
    check_figure(figure)
    assert figure["layout"]["yaxis2"]["type"] == "log"
    for trace, level, value in zip(figure["data"], figure["layout"]["shapes"], (fit.k, fit.A), strict=True):
        assert trace["x"].tolist() == [(START + (i + 0.5) * HALF_HOUR) / 1_000 for i in range(3)]
        assert trace["y"].tolist() == [value] * 3
        assert level["y0"] == value


def test_far_distances_and_residuals_of_a_fine_tick_are_readable(points):
    """As on BTCUSDT: distances to thousands of ticks, and a residual of many deviations among those of a few."""
    delta = np.array([0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0])
    wide = Points.of(delta, np.full(9, 1e4), (1e5 * np.exp(-np.sqrt(delta) / 5)).astype(int), ["bid"] * 9)
    fit = fit_poisson(wide)
    figure = distances_figure(wide, wide, fit)
    x = named(figure, "bids")["x"]
    assert np.diff(x).min() > 0.05 * (x.max() - x.min())
    heights = np.abs(np.concatenate([named(figure, name)["y"] for name in ("more than fitted", "fewer")]))
    assert np.abs(residuals(wide, fit.A, fit.k).standardised).max() > 50
    assert np.median(heights) > 0.2 * heights.max()


def test_page_zooms_without_errors(points, chrome, tmp_path):
    fit = fit_poisson(points)
    path = tmp_path / "report.html"
    path.write_text(fit_page_of(fit, points, [(START, START + HALF_HOUR, fit)]), encoding="utf-8")
    with chrome.tab(path, width=1400) as tab:
        tab.value("document.querySelector('[data-span-s=\"600\"]').click()")
        tab.settle()
        observed = tab.seen()
    assert (observed.errors, observed.requests, observed.overflow) == ([], [], 0)


def test_plot_of_a_fit_in_a_notebook_has_residuals(points):
    """A fit read from a file has neither points nor residuals."""
    fit = fit_poisson(points)
    ((_, figure),) = fit.plot().charts
    assert len(named(figure, "more than fitted")["x"]) + len(named(figure, "fewer")["x"]) == 12
    assert curve_figure(None, fit)["data"]
