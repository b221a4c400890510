"""The report page: complete in itself, small, and whole at every edge."""

import json
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from journals import START_US, Scribe, books, scribes, seeded

from mm.backtest import _page_charts
from mm.backtest.page import page
from mm.backtest.result import Result
from mm.page.frame import About
from pages import read


def page_of(result, about=None):
    return page(result.summary, result.fill_columns(), result.state_columns(), about, result.excluded())


def result_of(scribe, **terms):
    return Result(scribe.journal(), books(scribe.instrument, **terms))


@settings(max_examples=50, deadline=None)
@given(scribes())
def test_any_run_has_a_whole_page(scribe):
    """Every tag is closed, and no mark is drawn at a place that is not a number."""
    html = page_of(result_of(scribe))
    read(html)
    assert not re.search(r"\bnan\b|\binf\b|None", html)


@pytest.mark.parametrize("kind", ["empty", "never valid", "no fills", "one row"])
def test_runs_with_nothing_to_show_say_so(kind):
    """Words stand where a chart would."""
    scribe = Scribe() if kind in ("empty", "never valid") else seeded(60, fill_chance=0.0)
    if kind == "never valid":
        scribe.state()
        scribe.wait(60_000_000)
        scribe.state()
    if kind == "one row":
        scribe = Scribe()
        scribe.move(20_000)
        scribe.state()
    expected = {
        "empty": "There are no state rows.",
        "never valid": "The book was never valid, so equity has no mark.",
        "no fills": "No fills to follow.",
        "one row": "No fills.",
    }
    assert expected[kind] in read(page_of(result_of(scribe))).words


def test_a_page_needs_nothing_else():
    """No script, no request, no image from elsewhere; both palettes are inside."""
    html = page_of(result_of(seeded(600)))
    tags = read(html)
    assert not {tag for tag, _ in tags.seen} & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"https?:|url\(|@import|//", html)
    assert "prefers-color-scheme: dark" in html


def test_a_full_day_stays_small():
    """14 hours with a state row a second, 20 000 fills and a broken book every minute."""
    random = np.random.default_rng(0)
    seconds, n_fills = 50_400, 20_000
    mid = 87_000 + np.cumsum(random.normal(0, 1, seconds))
    mid[np.arange(seconds) % 60 == 0] = np.nan
    us = START_US + np.arange(seconds) * 1_000_000
    at = np.sort(random.integers(0, seconds, n_fills))
    state = {
        "recv_us": us,
        "inventory": np.cumsum(random.choice([-0.001, 0, 0.001], seconds)),
        "mid": mid,
        "equity": 1_000 + np.cumsum(random.normal(0, 1, seconds)) + 0 * mid,
    }
    fills = {
        "recv_us": us[at],
        "side": random.choice(["BUY", "SELL"], n_fills),
        "price": np.nan_to_num(mid[at], nan=87_000.0) + random.normal(0, 1, n_fills),
        "qty": np.full(n_fills, 0.001),
        "mid": mid[at],
    }
    html = page(result_of(seeded(300)).summary, fills, state)
    read(html)
    assert len(html.encode()) < 300_000


def test_frames_from_files_give_the_page_of_the_run(tmp_path):
    """A run folder is enough to draw its page again."""
    result = result_of(seeded(300))
    result.write(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    fills, state = (pl.read_csv(tmp_path / f"{name}_BTCUSDT.csv") for name in ("fills", "state"))
    again = page(summary, fills, state, None, result.excluded())
    assert again == (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_headline_numbers_are_those_of_the_summary():
    """Rounded, signed, with their units."""
    result = result_of(seeded(1_300, fee_rate=0.0001))
    words = read(page_of(result)).words
    summary = result.summary
    assert f"{summary['n_fills']:,}" in words
    assert "PnL USDT" in words
    assert any(word.startswith("95 %: ") for word in words)


def test_what_was_excluded_is_shaded_and_told():
    """Seconds without a book are seen in every chart over time."""
    scribe = seeded(1_000, breaks=1)
    html = page_of(result_of(scribe))
    assert html.count('<path class="off"') == 3
    assert "no valid book: 10 s" in html
    assert "no valid book: " not in page_of(result_of(seeded(100, breaks=0)))


def test_warnings_come_first_and_nulls_last():
    """What a reader must know stands above the charts; why a number is missing, below them."""
    html = page_of(result_of(seeded(60), fill_model="poisson"))
    assert html.index("upper bound") < html.index("<svg") < html.index("null: predicted_fills")


def test_command_and_knobs_are_printed_as_they_were():
    """Quoted for a shell, escaped for a browser, defaults set apart."""
    about = About(
        command=["mm", "backtest", "--quote-params-json", '{"gamma": 0.1}'],
        knobs={
            "SYMBOL": {"value": "BTC<USDT", "source": "flag"},
            "SEED": {"value": 0, "source": "default"},
        },
    )
    tags = read(page_of(result_of(seeded(30)), about))
    assert "mm backtest --quote-params-json '{\"gamma\": 0.1}'" in tags.words
    assert "BTC<USDT" in tags.words
    assert ("div", {"class": "default"}) in tags.seen
    assert "How to get this again" not in page_of(result_of(seeded(30)))


def test_the_fee_line_is_drawn_only_where_it_fits():
    """A fee a hundred times the spread would flatten everything else."""
    summary = result_of(seeded(300)).summary
    assert 'class="dash"' in _page_charts.markout_chart(summary, 0.5)
    assert 'class="dash"' not in _page_charts.markout_chart(summary, 87.0)
    assert 'class="dash"' not in _page_charts.markout_chart(summary, None)


def test_few_fills_are_marked_singly_and_many_are_counted():
    """Thousands of triangles would hide the price."""
    few, many = result_of(seeded(60)), result_of(seeded(400, fill_chance=0.5))
    run = _page_charts.course(few.state_columns(), few.excluded())
    assert 'class="faint"' in _page_charts.mid_chart(run, few.fill_columns())
    run = _page_charts.course(many.state_columns(), many.excluded())
    assert 'class="faint"' not in _page_charts.mid_chart(run, many.fill_columns())


def test_a_pause_in_the_rows_is_a_hole():
    """The night between two days is not a level line."""
    us = np.concatenate([np.arange(100), 40_000 + np.arange(100)]) * 1_000_000
    ones = np.ones(200)
    state = {"recv_us": us, "inventory": ones, "mid": ones, "equity": ones}
    run = _page_charts.course(state, np.empty((0, 2), np.int64))
    assert run.excluded() == [(99_000_001.0, 40_000_000_000.0)]


def test_neighbouring_holes_are_drawn_as_one():
    """Bands closer than an eye can part cost bytes for nothing."""
    mid = np.where(np.arange(100_000) % 2, np.nan, 1.0)
    state = {"recv_us": np.arange(100_000) * 1_000_000, "inventory": mid, "mid": mid, "equity": mid}
    assert len(_page_charts.course(state, np.empty((0, 2), np.int64)).excluded()) == 1


@pytest.mark.parametrize(
    "ticks", [[1.0], [0.5, 0.5, 3.0], list(range(1, 500)), [-2.0, 0.0, 7.5], [1.0, 1e6], [12_345.5] * 9]
)
def test_distances_fall_inside_bars_and_never_on_an_edge(ticks):
    """Half ticks are the only places a distance can be."""
    edges = _page_charts.distance_edges(np.array(ticks))
    assert 9 <= len(edges) - 1 <= 25
    assert edges[0] < np.quantile(ticks, 0.005)
    assert np.quantile(ticks, 0.995) <= edges[-1]
    assert np.allclose((edges + 0.25) * 2, np.round((edges + 0.25) * 2))
