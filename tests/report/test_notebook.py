"""Notebook output: lines, cards and charts."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest

import mm
from drawn_runs import result_of
from journals import Scribe, seeded
from legible import FOUND
from mm import PoissonFit, Schedule, SweepFindings, Tape, WalkForward
from mm.backtest.metrics.numbers import Summary
from mm.base.notebook import MOST_LINES, PLOTLY, WIDEST, picture_of
from mm.calibration.schedule import Segment
from mm.clock import US_PER_S
from mm.errors import UsageError
from mm.report.backtest_charts import equity_figure, market_figure
from mm.report.notebook import card_of
from mm.report.run_columns import columns_of
from pages import check_figure, named
from small_tapes import poisson_day
from small_tapes import tape as small_tape
from strategies import SIM

START_US = 1_767_596_400_000_000
POINTS = {"delta_ticks": [1, 2, 3, 5, 8, 13], "exposure_s": [600.0] * 6, "fills": [338, 238, 168, 83, 29, 5]}


def segment(at, A, k, source="fitted"):
    """Return a segment of a quarter of an hour, the *at*-th of the day."""
    start = START_US + at * 900 * US_PER_S
    fitted = {"A": A, "k": k, "se_k": 0.01 if A else None, "se_logA": 0.02 if A else None, "usable": A is not None}
    fitted |= {"ci95_A": (0.7, 0.9), "ci95_k": (0.3304, 0.3696)} if A else {}
    return Segment(
        start_us=start,
        end_us=start + 900 * US_PER_S,
        train_start_us=start - 7200 * US_PER_S,
        train_end_us=start - 50_000,
        n_fills=100.0,
        status="ok" if A else "no_fills",
        source=source,
        age_s=0.0 if A else None,
        reason="",
        **fitted,
    )


def schedule(*segments):
    return Schedule("SIMUSDT", "20260105", 0.01, 120.0, 15.0, "carry_forward", segments)


def market():
    """Return a tape with trades of both sides, a gap and a second snapshot."""
    events = [(START_US, "snapshot", [(9_999, 5)], [(10_001, 7)])]
    for n in range(1, 200):
        us = START_US + n * US_PER_S
        side, ticks = (1, 10_001 + n % 3) if n % 2 else (-1, 9_999 - n % 3)
        events.append((us, "trade", side, ticks, n))
        if n == 100:
            events.append((us, "gap"))
        if n == 130:
            events.append((us, "snapshot", [(9_990, 5)], [(10_004, 7)]))
    return Tape.of(SIM, events)


def shown_objects():
    """Return one of each object that a notebook shows, by name; normal ones and empty ones."""
    fit, result = mm.fit_poisson(POINTS), result_of(seeded(900, breaks=2))
    segments = schedule(segment(0, 0.8, 0.35), segment(1, None, None, "none"), segment(2, 0.9, 0.3, "carried"))
    content = fit.to_json()
    return {
        "fit": fit,
        "fit of a file": PoissonFit.from_json(content, "a file"),
        "fit without fills": mm.fit_poisson(POINTS | {"fills": [0] * 6}),
        "result": result,
        "result of few fills": result_of(seeded(300, fill_chance=0.01)),
        "empty result": result_of(Scribe()),
        "schedule": segments,
        "empty schedule": schedule(),
        "tape": market(),
        "window": market().between(START_US + 90 * US_PER_S, START_US + 150 * US_PER_S),
        "empty tape": Tape.of(SIM, [(START_US, "gap")]),
        "walk-forward": WalkForward(segments, result),
    }


OBJECTS = shown_objects()


@pytest.mark.parametrize("name", OBJECTS)
def test_repr_has_at_most_five_lines_that_fit_a_screen(name):
    """It is shown for the last line of a cell, in a debugger and in a failed test."""
    lines = repr(OBJECTS[name]).splitlines()
    assert 1 <= len(lines) <= MOST_LINES
    assert all(0 < len(line) <= WIDEST for line in lines)
    assert "array(" not in repr(OBJECTS[name])


@pytest.mark.parametrize("name", OBJECTS)
def test_every_picture_is_shown_by_its_type(name):
    """A plotly figure that plotly's own classes accept, or a sentence if there is nothing to draw."""
    picture = OBJECTS[name].plot()
    bundles = picture.bundles()
    assert len(bundles) == max(1, len(picture.charts))
    json.dumps(bundles, allow_nan=False)
    for place, (_, figure) in enumerate(picture.charts):
        check_figure(figure)
        assert len(picture.figure(place).data) == len(figure["data"])
        assert PLOTLY in bundles[place]
    assert bool(picture.charts) != bool(picture.note)


def test_importing_the_charts_does_not_import_plotly():
    """Only a notebook that asks for a figure does."""
    code = "import mm.report.notebook, sys; print([one for one in sys.modules if one.startswith('plotly')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_picture_has_the_charts_of_the_page():
    """The same functions make both."""
    result = OBJECTS["result"]
    ((_, figure),) = result.plot().charts
    run = columns_of(result)
    own = [
        *equity_figure(run, run.curve, Summary.read(result.summary))["data"],
        *market_figure(run, run.curve, Summary.read(result.summary))["data"],
    ]
    names = [trace["name"] for trace in figure["data"]]
    assert [trace["name"] for trace in own if trace["name"] != "no market"] == [
        name for name in names if name != "no market"
    ]


def test_fit_draws_its_points_and_fit_from_file_only_the_line():
    """A file has no measured points."""
    fit, from_file = OBJECTS["fit"], OBJECTS["fit of a file"]
    assert len(named(fit.plot().charts[0][1], "both sides")["x"]) == len(POINTS["fills"])
    figure = from_file.plot().charts[0][1]
    assert "markers" not in [trace["mode"] for trace in figure["data"]]
    assert named(figure, "A·exp")["y"].size
    assert from_file == fit
    assert "points" not in fit.to_json()
    day = mm.calibrate(small_tape(poisson_day(1, 600, 0.8, 0.35), 0, 600 * US_PER_S))
    assert all(named(day.plot().charts[0][1], side)["x"].size for side in ("bids", "asks"))


def test_schedule_draws_every_segment_with_parameters():
    """Fitted segments with their interval; segments without parameters are shaded."""
    ((_, figure),) = OBJECTS["schedule"].plot().charts
    tips = [tip for trace in figure["data"] for tip in trace.get("text", ())]
    assert sum("k = 0.35, 95 % 0.3304 to 0.3696, fitted" in tip for tip in tips) == 1
    assert sum("A = 0.9, carried" in tip for tip in tips) == 1
    assert named(figure, "none: nothing is quoted")["x"].size == 5


def test_tape_shades_invalid_book_and_counts_every_trade():
    """The gap from 100 s to 130 s; the bars add up to the traded quantity."""
    tape = OBJECTS["tape"]
    ((_, figure),) = tape.plot().charts
    shaded = named(figure, "no valid book")["x"]
    assert (shaded[[0, 2]] - START_US / 1e3).tolist() == [100_000, 130_000]
    bought, sold = (named(figure, name)["y"] for name in ("bought", "sold"))
    assert bought.sum() - sold.sum() == pytest.approx(float(tape.trades_frame()["qty"].sum()))
    assert "never valid" in OBJECTS["empty tape"].plot().note


def test_picture_is_saved_as_html_only(tmp_path):
    """The folder is created; other suffixes are rejected with the way out."""
    picture = OBJECTS["fit"].plot()
    saved = picture.save(tmp_path / "deep" / "a.HTML")
    assert saved.read_text(encoding="utf-8") == picture.page()
    with pytest.raises(UsageError, match=r"pages are .html, not '.svg'.*write_image"):
        picture.save(tmp_path / "a.svg")
    with pytest.raises(UsageError, match="not 'a name without suffix'"):
        picture.save(tmp_path / "a")


def test_objects_without_charts_raise_type_error():
    """The message names the types that have charts."""
    with pytest.raises(TypeError, match="dict has no charts; results, fits, schedules and tapes have"):
        picture_of({})
    with pytest.raises(TypeError, match="dict has no card"):
        card_of({})


@pytest.mark.parametrize("name", OBJECTS)
def test_styles_of_a_card_apply_to_the_card_only(name):
    """All rules are nested in that of its class, so that a notebook keeps its own look."""
    card = OBJECTS[name]._repr_html_()
    style = re.search(r"<style>(.*?)</style>", card, re.DOTALL)[1]
    depth = list(accumulate({"{": 1, "}": -1}[brace] for brace in re.findall(r"[{}]", style)))
    assert style.strip().startswith(".mm-card {")
    assert min(depth[:-1]) > depth[-1] == 0
    assert "None" not in card
    assert "nan" not in card.lower()


def test_sweep_shows_its_best_points():
    """Five rows in its card, three lines in its repr."""
    row = {
        "rank": 1,
        "point": 1,
        "GAMMA": "0.1",
        "status": "ok",
        **dict.fromkeys(("pnl_lower95", "deflated_sharpe", "pnl_quoting", "pnl_hold", "max_drawdown"), 0.5),
        **dict.fromkeys(("pnl_first_half", "pnl_second_half"), 0.25),
        "tied": True,
        "n_fills": 12,
    }
    content = {
        "rank_by": "pnl_lower95",
        "block_s": 300,
        "independent_trials": 3.0,
        "deflated_sharpe": 0.5,
        "assumptions": [],
        "axes": [{"name": "GAMMA", "values": ["0.1"], "assumed": None}],
        "points": 7,
        "failed": 0,
        "n_trials": 7,
        "expected_best_sharpe": 0.1,
        "pbo": None,
        "walkforward": None,
        "quote_asset": "USDT",
        "rows": [{**row, "rank": n} for n in range(1, 8)],
        "best": None,
    }
    findings = SweepFindings(content, None, None)
    assert repr(findings).splitlines() == [
        "sweep of 7 points, 0 failed; by pnl_lower95:",
        "  1. GAMMA=0.1: quoting PnL +0.5, lower bound +0.5",
        *(f"  {n}. GAMMA=0.1: quoting PnL +0.5, lower bound +0.5, tied with the first" for n in (2, 3)),
        "  … 4 more, in .rows",
    ]
    card = findings._repr_html_()
    assert card.count("<th>") == 6
    assert "The first 5 of 7" in card


@pytest.mark.parametrize("width", [800, 1400])
def test_notebook_is_legible_and_keeps_its_own_look(chrome, tmp_path, width):
    """All objects on one page: no text over text or beyond its picture, and the page around stays unchanged."""
    shown = [thing._repr_html_() for thing in OBJECTS.values()]
    own = '<h1 id="own">A notebook</h1><p class="note off line card" id="text">its text</p><svg id="icon" width="16"/>'
    look = "JSON.stringify(['own', 'text', 'icon'].map(id => {const s = getComputedStyle(document.getElementById(id));"
    look += "return [s.fontSize, s.fill, s.stroke, s.width, s.display, s.margin]}))"
    page, bare = tmp_path / "page.html", tmp_path / "bare.html"
    page.write_text(f"<!doctype html><meta charset=utf-8>{own}{''.join(shown)}", encoding="utf-8")
    bare.write_text(f"<!doctype html><meta charset=utf-8>{own}{'<p>long</p>' * 500}", encoding="utf-8")
    with chrome.tab(page, width=width) as tab:
        assert [problem for problem in tab.value(FOUND) if "icon" not in problem] == []
        observed, styles = tab.seen(), tab.value(look)
    assert (observed.errors, observed.requests, observed.overflow) == ([], [], 0)
    with chrome.tab(bare, width=width) as tab:
        assert tab.value(look) == styles


def test_saved_page_of_a_result_zooms(chrome, tmp_path):
    opened = chrome.opened(OBJECTS["result"].plot().save(tmp_path / "result.html"))
    assert (opened.errors, opened.requests) == ([], [])
    assert "10 min" in opened.text
    assert opened.charts == 1


def test_numbers_of_a_card_match_the_summary():
    """The card is the head of the report."""
    result = OBJECTS["result"]
    card = result._repr_html_()
    assert f"{result.summary['n_fills']:,}" in card
    assert np.isfinite(result.summary["pnl_total"])
    changed = replace(result, terms=replace(result.terms, fill_model="another<b>"))
    assert "another&lt;b&gt;" in changed._repr_html_()
