"""The page of a calibration: complete in itself, and whole at every edge."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from legible import illegible
from mm.calibration.calibrator import Measured
from mm.calibration.fit_points import fit_poisson
from mm.calibration.points import Points
from mm.report.calibration import page
from mm.report.frame import About
from pages import read

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
        lambda found: Points.of(
            [row[0] for row in found],
            [row[1] for row in found],
            [row[2] if row[1] > 0 else 0 for row in found],
            [row[3] for row in found],
        )
    )


def page_of(points, pieces=(), about=None):
    """Return the page of *points*, each of *pieces* half an hour of the day."""
    fits = [(START + i * HALF_HOUR, START + (i + 1) * HALF_HOUR, fit_poisson(piece)) for i, piece in enumerate(pieces)]
    return page(fit_poisson(points), Measured(points, points), fits, about)


def exponential(seed, A=0.5, k=0.3):
    """Return fills of both sides at twelve distances, drawn from A and k."""
    delta = np.tile(np.arange(1.0, 13.0), 2)
    fills = np.random.default_rng(seed).poisson(3_600 * A * np.exp(-k * delta))
    return Points.of(delta, np.full(24, 3_600.0), fills, ["bid"] * 12 + ["ask"] * 12)


@settings(max_examples=40, deadline=None)
@given(tables(), st.lists(tables(), max_size=3))
def test_any_table_has_a_whole_page(points, pieces):
    """Every tag is closed, and no mark is drawn at a place that is not a number."""
    html = page_of(points, pieces)
    read(html)
    assert not re.search(r"\bnan\b|\binf\b|None", html)


def test_the_page_shows_the_fit_and_every_distance():
    """A point with its interval for each side and distance, the line, and a point for each piece."""
    fit = fit_poisson(exponential(0))
    html = page_of(exponential(0), [exponential(seed) for seed in range(1, 7)])
    told = " ".join(read(html).words)
    assert f"{fit.A:.4f}"[:6] in told
    assert html.count('class="whisker buy"') == 12
    assert html.count('class="whisker sell"') == 12
    assert html.count('class="whisker"') == 12  # six pieces, of k and of A
    assert "bid, 1 ticks" in told


@pytest.mark.parametrize("kind", ["no points", "no fills"])
def test_what_cannot_be_drawn_is_said(kind):
    """Words stand where a chart would, and the verdict says why."""
    points = Points.of([], [], []) if kind == "no points" else Points.of([1, 2, 3], [100] * 3, [0] * 3)
    words = read(page_of(points, [points])).words
    assert "No fills at any distance." in words
    assert "No piece of the day gives a usable fit on its own." in words
    assert "not usable" in words


def test_the_page_needs_nothing_else_and_tells_its_command():
    """No script and no request; the exact command at the end."""
    html = page_of(exponential(0), about=About(("mm", "calibrate", "--day", "20260105"), {}))
    assert not {tag for tag, _ in read(html).seen} & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"https?:|url\(|@import", html)
    assert "mm calibrate --day 20260105" in html


def test_pieces_of_one_block_have_no_interval_and_a_place():
    """`fixed` takes its intervals from blocks, and five minutes are one block: the points stand without bars."""
    points = exponential(0)
    piece = fit_poisson(points, intervals="block")
    assert piece.ci95_k is None
    html = page(piece, Measured(points, points), [(START, START + HALF_HOUR, piece)])
    read(html)
    assert "no interval" in html
    assert not re.search(r"\bnan\b|\binf\b", html)


def test_every_label_can_be_read(chrome, tmp_path):
    """Of a slow market and of a fast one, of few distances and of many, of one piece and of a day of them."""
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
def test_every_label_of_any_table_can_be_read(chrome, tmp_path, points, pieces):
    """Also where a few fills at odd distances make the axes."""
    path = tmp_path / "report.html"
    path.write_text(page_of(points, pieces), encoding="utf-8")
    assert illegible(chrome, path) == []
