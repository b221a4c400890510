"""The page of a calibration: self-contained, and complete in edge cases."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from legible import illegible
from mm import Points, fit_poisson
from mm.base.numbers import half_width, number
from mm.calibration.calibrator import Measured
from mm.calibration.moves import AdverseMove
from mm.report.calibration import further_cards, page
from mm.report.calibration_charts import pieces_figure
from mm.report.frame import About
from pages import check_figure, figures_of, named, read, without_scripts

START = 1_767_596_400_000_000
HALF_HOUR = 1_800_000_000


def tables():
    """Any table of a few distances and both sides."""
    rows = st.tuples(
        st.sampled_from([0.5, 1.0, 1.5, 2.0, 5.0, 40.0]),
        st.integers(0, 10**11).map(lambda us: us / 1e6),
        st.integers(0, 1000),
        st.sampled_from(["bid", "ask"]),
    )
    return st.lists(rows, max_size=12).map(
        lambda table_rows: Points.of(
            [row[0] for row in table_rows],
            [row[1] for row in table_rows],
            [row[2] if row[1] > 0 else 0 for row in table_rows],
            [row[3] for row in table_rows],
        )
    )


def page_of(points, pieces=(), about=None):
    """Return the page of *points*, where each of *pieces* is half an hour of the day."""
    fits = [(START + i * HALF_HOUR, START + (i + 1) * HALF_HOUR, fit_poisson(piece)) for i, piece in enumerate(pieces)]
    return page(fit_poisson(points), Measured(points, points), fits, about)


def exponential(seed, A=0.5, k=0.3):
    """Return fills of both sides at twelve distances, drawn from A and k."""
    delta = np.tile(np.arange(1.0, 13.0), 2)
    fills = np.random.default_rng(seed).poisson(3_600 * A * np.exp(-k * delta))
    return Points.of(delta, np.full(24, 3_600.0), fills, ["bid"] * 12 + ["ask"] * 12)


@settings(max_examples=40, deadline=None)
@given(tables(), st.lists(tables(), max_size=3))
def test_any_table_has_a_valid_page(points, pieces):
    """Every tag is closed, no text is that of a missing number, and every chart can be drawn."""
    html = page_of(points, pieces)
    read(html)
    assert not re.search(r"\bnan\b|\binf\b|None", without_scripts(html))
    for figure in figures_of(html):
        check_figure(figure)


def test_page_shows_the_fit_and_every_distance():
    """A point with its interval for each side and distance, the line, and a point for each piece."""
    fit = fit_poisson(exponential(0))
    html = page_of(exponential(0), [exponential(seed) for seed in range(1, 7)])
    words = " ".join(read(html).words)
    assert f"{fit.A:.4f}"[:6] in words
    curve, pieces = figures_of(html)
    assert [len(named(curve, side)["x"]) for side in ("bids", "asks")] == [12, 12]
    assert [len(trace["x"]) for trace in pieces["data"]] == [6, 6]
    assert "bids, hit by sellers, 1 ticks" in named(curve, "bids")["text"][0]


@pytest.mark.parametrize("kind", ["no points", "no fills"])
def test_page_without_fills_has_text_and_a_reason(kind):
    """There is text in place of a chart, and the verdict has the reason."""
    points = Points.of([], [], []) if kind == "no points" else Points.of([1, 2, 3], [100] * 3, [0] * 3)
    words = read(page_of(points, [points])).words
    assert "No fills at any distance." in words
    assert "No piece of the day gives a usable fit on its own." in words
    assert "not usable" in words


def test_page_is_self_contained_and_shows_its_command():
    """No external resources; the exact command at the end."""
    html = page_of(exponential(0), about=About(("mm", "calibrate", "--day", "20260105"), {}))
    assert not {tag for tag, _ in read(html).seen} & {"link", "img", "iframe", "object"}
    assert not any("src" in attrs or "href" in attrs for _, attrs in read(html).seen)
    assert not re.search(r"https?:|url\(|@import", html)
    assert "mm calibrate --day 20260105" in html


def test_pieces_of_one_block_have_points_without_interval():
    """`fixed` takes its intervals from blocks, and five minutes are one block: the points have no bars."""
    points = exponential(0)
    piece = fit_poisson(points, intervals="block")
    assert piece.ci95_k is None
    html = page(piece, Measured(points, points), [(START, START + HALF_HOUR, piece)])
    read(html)
    assert "no interval" in html
    assert not figures_of(html)[1]["data"][0]["error_y"]["array"].any()


def uncertain():
    """Five pieces of a day, and one of ten fills, whose interval of A ends far beyond everything else."""
    pieces = [exponential(seed, A=0.02, k=1.0) for seed in range(1, 6)]
    uncertain_piece = Points.of([4.0, 5.0, 6.0] * 2, [3_600.0] * 6, [5, 2, 0, 3, 0, 0], ["bid"] * 3 + ["ask"] * 3)
    return [*pieces, uncertain_piece]


@pytest.mark.parametrize("name", ["A", "k"])
def test_wide_interval_does_not_flatten_the_estimates(name):
    """Estimates take more than half of the chart; the interval is cut at its edge, and its title has the numbers."""
    pieces = [
        (START + i * HALF_HOUR, START + (i + 1) * HALF_HOUR, fit_poisson(points))
        for i, points in enumerate(uncertain())
    ]
    ends = pieces[-1][2].ci95_A
    assert pieces[-1][2].usable
    assert ends[1] > 1_000 * pieces[-1][2].A
    whole = getattr(fit_poisson(exponential(0, A=0.02, k=1.0)), name)
    figure = pieces_figure(pieces, replace(pieces[0][2], **{name: whole}))
    place = ("k", "A").index(name)
    trace, axis = figure["data"][place], figure["layout"]["yaxis" if place == 0 else "yaxis2"]
    shown = np.log10(trace["y"]) if name == "A" else trace["y"]
    low, high = trace["y"] - trace["error_y"]["arrayminus"], trace["y"] + trace["error_y"]["array"]
    low, high = (np.log10(low), np.log10(high)) if name == "A" else (low, high)
    assert np.ptp(shown) > 0.4 * (high.max() - low.min())
    assert axis["range"][0] <= low.min() + 1e-9
    assert high.max() <= axis["range"][1] + 1e-9
    assert trace["error_y"]["array"].max() < ends[1]
    assert any(number(ends[1]) in tip for tip in trace["text"]) or name == "k"


def test_every_label_is_legible(chrome, tmp_path):
    """For slow and fast markets, few and many distances, one piece and a day of pieces."""
    path = tmp_path / "report.html"
    many = np.arange(0.5, 50.5, 0.5)
    wide = Points.of(many, np.full(len(many), 1e6), np.random.default_rng(1).poisson(1e6 * np.exp(-0.2 * many)))
    for html in (
        page_of(exponential(0, A=0.02, k=0.05), [exponential(seed, A=0.02, k=0.05) for seed in range(1, 30)]),
        page_of(exponential(0, A=40_000.0, k=0.9), [exponential(1, A=40_000.0, k=0.9)]),
        page_of(wide, [wide]),
        page_of(Points.of([1, 2, 3], [100] * 3, [0] * 3)),
    ):
        path.write_text(html, encoding="utf-8")
        assert illegible(chrome, path) == []


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables(), st.lists(tables(), max_size=2))
def test_every_label_of_any_table_is_legible(chrome, tmp_path, points, pieces):
    """Also if a few fills at odd distances set the axes."""
    path = tmp_path / "report.html"
    path.write_text(page_of(points, pieces), encoding="utf-8")
    assert illegible(chrome, path) == []


CURVES = {
    "best": "monotone",
    "sentence": "the exponential does not fit: <monotone>",
    "curves": [
        {"name": "exponential", "aic": -100.0, "unseen": 0.0, "unseen_se": 0.0},
        {"name": "two_exponentials", "aic": -120.5, "unseen": None, "unseen_se": None},
        {"name": "monotone", "aic": -150.0, "unseen": 0.062, "unseen_se": 0.019},
    ],
}
VOLATILITY = {
    "sigma_ticks_per_sqrt_s": 0.153,
    "se_sigma": 0.02,
    "ci95_sigma": [0.11, 0.19],
    "bounce_ticks": 0.014,
    "signature": [
        {"step_s": 1, "variance_per_s": 0.04},
        {"step_s": 60, "variance_per_s": 0.01},
        {"step_s": 300, "variance_per_s": None},
    ],
}
SPREADS = [
    {"from_ticks": 1, "to_ticks": 1, "share": 0.785, "A": 0.06, "k": 1.43, "n_fills": 4217, "status": "poor_fit"},
    {"from_ticks": 3, "to_ticks": None, "share": 0.2, "A": None, "k": None, "n_fills": 0, "status": "no_fills"},
]
DAYS = [{"day": "20240723", "A": 0.1033, "k": 1.35, "n_fills": 2014, "status": "ok"}]


def moves(*rows):
    """Moves of both sides within 5 s, each (delta, mean move, standard error)."""
    found = []
    for delta, mean, error in rows:
        ends = () if error is None else (mean - 2 * error, mean + 2 * error)
        found.append(AdverseMove(delta, "both", 5, 100, mean, error, delta - mean, *ends))
    return found


def html(content, adverse_moves=()):
    text = "".join(further_cards(content, list(adverse_moves)))
    assert not re.search(r"\bnan\b|\binf\b|None", without_scripts(text))
    return text


def cells(text):
    """Return the cell texts of every table row."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text)
    return [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in rows]


def test_curves_are_compared_with_the_best_curve():
    """AIC is a difference, a gain has its interval over the blocks, the conclusion is above, as text."""

    def told(value, error):
        return f'<b class="gain">{value}</b> ± {number(half_width(error, 8), 2)}'

    rows = cells(html({"alternatives": CURVES, "n_blocks": 8}))
    assert rows[1:4] == [
        ["exponential", "50.0", "0.000"],
        ["two exponentials", "29.5", "–"],
        ["monotone", "0.0", told("+0.062", 0.019)],
    ]
    assert "The exponential does not fit: &lt;monotone&gt;" in html({"alternatives": CURVES})


def test_spreads_and_days_are_tables():
    """An open end is "or more"; rows without a fit have dashes."""
    rows = cells(html({"by_spread": SPREADS, "by_day": DAYS}))
    assert ["1", "78.5 %", "0.06", "1.43", "4,217", "poor_fit"] in rows
    assert ["3 to more", "20 %", "–", "–", "0", "no_fills"] in rows
    assert ["20240723", "0.1033", "1.35", "2,014", "ok"] in rows


@pytest.mark.parametrize(("method", "simulated"), [("marks", False), ("ladder", True), ("fixed", True)])
def test_page_of_simulated_orders_explains_mark_measurements(method, simulated):
    """Spreads and moves are those of the marks, whose hits differ from the fills above them."""
    text = html({"by_spread": SPREADS, "method": method}, moves((0.5, 0.3, 0.02)))
    assert ("From marks, whatever the method" in text) == simulated
    assert ("Fills are hits of the marks" in text) == simulated
    assert (">sweeps<" in text) == simulated


def test_volatility_signature_shows_steps_with_a_variance():
    """0.2 and 0.1 ticks per root second; a step without samples has no point."""
    text = html({"volatility": VOLATILITY})
    ((figure,),) = (figures_of(text),)
    assert figure["data"][0]["x"].tolist() == [1, 60]
    assert figure["data"][0]["y"] == pytest.approx([0.2, 0.1])
    assert "0.153 (0.11 to 0.19, 95 % by half hours)" in text


def test_each_move_after_fills_has_a_point():
    """A move beyond the range of the chart does not flatten the others."""
    adverse_moves = moves((0.5, 0.3, 0.02), (1.0, 0.6, 0.05), (1.5, 0.8, 0.1), (2.0, 0.9, 0.1), (40.0, 900.0, 300.0))
    (figure,) = figures_of(html({}, adverse_moves))
    assert [tip.split()[0] for tip in named(figure, "move")["text"]] == ["0.5", "1", "1.5", "2", "40"]
    assert figure["layout"]["yaxis"]["range"][1] < 50


@pytest.mark.parametrize("adverse_moves", [(), moves((1.0, 0.1, None))])
def test_missing_parts_are_replaced_by_text(adverse_moves):
    """A day without a fill, or with one block of it, also has a page."""
    words = read(f"<html><body>{html({}, adverse_moves)}</body></html>").words
    for line in (
        "There are too few fills to compare curves.",
        "Too few fills to estimate the moves.",
        "The mid was never valid long enough.",
        "No spread lasted long enough.",
    ):
        assert line in words


def test_k_is_shown_by_reference_and_by_largest_distance():
    """If the fit has them; a missing k is a dash."""
    rows = cells(
        html(
            {
                "k_by_reference": {"mid": 1.5, "best": None, "micro": 1.25, "sweep": 2.0},
                "k_by_max_delta": [{"max_delta_ticks": 5.0, "k": 1.75}, {"max_delta_ticks": 12.0, "k": 1.5}],
            }
        )
    )
    for row in (
        ["from the mid", "1.50"],
        ["from the best", "–"],
        ["up to 5 ticks", "1.75"],
        ["up to 12 ticks", "1.50"],
    ):
        assert row in rows
    assert "k by reference and by largest distance" not in html({})
