"""The proof of the calibration: its quick form, and that a bar can be missed."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import calibration, diagnostics, studies, truth
from benchmarks.calibration import Bar, Figure, held, measure, summarised
from mm.cli.console import Console
from mm.clock import US_PER_S
from support import run_python

SURE = 4.5  # standard errors; of forty bars none is that far off by chance


@pytest.fixture(scope="module")
def found():
    """The quick form, in this process' own processors."""
    return measure(Console(as_json=True, level="ERROR"), full=False, workers=2)


def test_no_bar_is_missed_by_more_than_chance(found):
    """Bias, coverage, efficiency and the closed loop: each within its own standard errors of the bar."""
    missed = [f"{bar.study}, {bar.name}: {bar.figure}" for bar in found.bars if not bar.possible(SURE)]
    assert not missed
    assert len(found.bars) == 41
    for one in found.diagnostics:
        assert one.measured.possible(one.row.low, one.row.high, SURE), one
        assert math.isnan(one.row.power) or one.power.possible(one.row.power, 1.0, SURE), one
    assert all(math.isfinite(bar.figure.value) and bar.figure.se > 0 for bar in found.bars)


def test_what_the_likelihood_cannot_know_is_seen_to_fail(found):
    """A bench in which the wrong intervals pass would prove nothing: one tape at six distances, and bursts."""
    lines = {(study, line.name): line.figures for study, lines in found.studies.items() for line in lines}
    assert lines["steady", "fixed"]["cover_A"].value < 0.935
    assert lines["mixed", "marks"]["cover_A"].value < 0.75
    assert lines["few", "ladder, 20 fills, MLE"]["bias_k"].value > 0.05
    assert lines["few", "ladder, 20 fills, log-linear"]["bias_k"].value < -0.1
    assert lines["mixed", "ladder, first fill"]["bias_A"].value < -0.05


def test_the_report_is_a_table_and_json(found):
    """Every study with its days, every bar with its verdict."""
    text = "\n".join(found.lines("calibration"))
    for study in studies.STUDIES:
        assert f"\n{study}: " in text
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert {bar["verdict"] for bar in content["bars"]} <= {"met", "open"}
    assert content["studies"]["few"][0]["days"] == studies.STUDIES["few"].quick
    assert content["seconds"]["one fit, ms"] > 0
    assert {one["verdict"] for one in content["diagnostics"]} <= {"met", "open"}
    assert "\ndiagnostic " in text


def test_the_same_seeds_give_the_same_figures(monkeypatch):
    """Whatever the number of processes."""
    console = Console(as_json=True, level="ERROR")
    monkeypatch.setitem(studies.STUDIES, "few", replace(studies.STUDIES["few"], quick=44))
    monkeypatch.setitem(diagnostics.DRAWN, "lumpy", replace(diagnostics.DRAWN["lumpy"], quick=24))
    runs = [measure(console, full=False, names=["few", "lumpy"], workers=workers) for workers in (1, 2)]
    assert runs[0].studies == runs[1].studies
    assert [one.measured for one in runs[0].diagnostics] == [one.measured for one in runs[1].diagnostics]


def test_a_bar_is_met_open_or_missed():
    """Open is what more days would have to decide."""
    verdicts = [Bar("s", "n", Figure(value, 0.01), 0.935, 0.965).verdict for value in (0.95, 0.92, 0.90)]
    assert verdicts == ["met", "open", "MISSED"]


def test_a_wrong_estimator_misses_its_bars():
    """Intervals half as wide, k a tenth too large, a ladder as exact as the marks: each is detected."""
    rng = np.random.default_rng(1)
    good = np.column_stack(
        [rng.normal(0.1, 0.04, 400), rng.normal(0, 0.04, 400), *np.full((4, 400), 0.7), np.ones(400)]
    )
    good[:, 2:6] = rng.random((400, 4)) < 0.7
    lines = summarised(
        [{"marks": good[:200], "ladder, all fills": good[:200]}, {"marks": good[200:], "ladder, all fills": good[200:]}]
    )
    bars = held({"steady": lines, "few": summarised([{"marks, 20 fills, Firth": good}])})
    assert {bar.verdict for bar in bars} == {"MISSED"}
    assert {bar.name for bar in bars} >= {
        "marks, 20 fills, Firth: bias of k",
        "variance of k, marks over ladder, all fills",
    }


def test_a_day_without_a_fit_is_counted_and_left_out():
    """Not as covered, not as biased."""
    day = np.array([[0.0, 0.0, 1, 1, 1, 1, 9.0], studies.ABSENT, [0.2, 0.2, 0, 1, 1, 1, 11.0]])
    (line,) = summarised([{"marks": day}])
    assert (line.days, line.unusable, line.fills) == (2, 1, 10)
    assert line.figures["bias_k"].value == pytest.approx(0.1)
    assert line.figures["cover_k"].value == 0.5


def test_the_truth_is_what_it_says():
    """Orders by distance, side and block have the rate of the model; a mixed day the same on average."""
    for mixing in (0.0, 0.5):
        of = truth.Truth(mixing=mixing)
        days = [truth.draw(of, np.random.default_rng(seed)) for seed in range(150)]
        for delta in (0.0, 2.0, 8.0):
            reached = np.mean([(day.depth >= delta).sum() / 2 for day in days])
            assert reached == pytest.approx(of.expected(delta), rel=0.08)
        counts = np.array([np.bincount((day.second // truth.BLOCK_S).astype(int), minlength=of.blocks) for day in days])
        mean = 2 * of.A * truth.BLOCK_S
        assert counts.var() == pytest.approx(mean + (mixing * mean) ** 2, rel=0.1)


def test_every_order_stands_in_the_tables_as_often_as_it_should():
    """Once in the cells, once at each nested distance it reached, and in the dwells that it met."""
    day = truth.draw(truth.Truth(hours=0.5), np.random.default_rng(4))
    cells, nested = truth.marks(day), truth.nested(day)
    assert cells["fills"].sum() == (day.depth >= truth.TOUCH).sum()
    assert nested["fills"].sum() == sum((day.depth >= delta).sum() for delta in truth.DELTAS)
    every = truth.ladder(day, np.random.default_rng(1), first_fill=False)
    first = truth.ladder(day, np.random.default_rng(1), first_fill=True)
    assert (first["fills"] == np.minimum(every["fills"], 1)).all()
    assert ((first["exposure_s"] < truth.DWELL_S) == (every["fills"] > 0)).all()
    assert set(np.unique(first["delta_ticks"], return_counts=True)[1]) == {10}, "30 dwells a side are 5 cycles"


def test_the_tape_of_the_loop_is_irregular_and_its_prints_reach_their_depth():
    """Gaps from instants to seconds, mids on half ticks; a sweep prints at every price it reaches."""
    arrivals = truth.Arrivals(1, np.array([100.5, 200.5]), np.array([0, 1]), np.array([5.2, 5.2]))
    tape = studies.irregular_tape(np.random.default_rng(3), 0.1, arrivals)
    gaps = np.diff(tape.event_us[tape.kind == 2])
    assert gaps.min() < 0.2 * US_PER_S < 2 * US_PER_S < gaps.max()
    assert set(((tape.top_bid_ticks + tape.top_ask_ticks) % 2).tolist()) == {0, 1}
    for way in (-1, 1):
        rows = tape.trade_rows[tape.row_side[tape.trade_rows] == way]
        ticks = tape.row_ticks[rows] * way
        assert (np.diff(ticks) == 1).all()
        assert ticks.size in (5, 6)


def test_the_command_needs_no_day(tmp_path):
    """Calibration is measured on simulated days alone; the yardstick is not made."""
    assert "calibration" in run_python("-m", "mm.bench", "--help", cwd=tmp_path).stdout
    assert calibration.STUDIES.keys() == {"steady", "mixed", "few", "tape", "bursts", "runs", "loop"}
    assert not (tmp_path / "out").exists()
