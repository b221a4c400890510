"""The quick form of the calibration studies, and checks that a bar can be missed."""

import math

import numpy as np
import pytest

from benchmarks import truth
from benchmarks.calibration import bars_of, measure, summarised
from mm.terminal.console import Console

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product

TOLERANCE = 4.5  # standard errors: by chance, none of forty bars is that far off


@pytest.fixture(scope="module")
def results():
    """The results of the quick form, with two processes."""
    return measure(Console(as_json=True, level="ERROR"), full=False, workers=2)


def test_no_bar_is_missed_by_more_than_chance(results):
    """Bias, coverage, efficiency and the closed loop: each is within `TOLERANCE` standard errors of its bar."""
    missed = [f"{bar.study}, {bar.name}: {bar.figure}" for bar in results.bars if not bar.possible(TOLERANCE)]
    assert not missed
    assert len(results.bars) == 41
    for checked in results.diagnostics:
        assert checked.measured.possible(checked.row.low, checked.row.high, TOLERANCE), checked
        assert math.isnan(checked.row.power) or checked.power.possible(checked.row.power, 1.0, TOLERANCE), checked
    assert all(math.isfinite(bar.figure.value) and bar.figure.se > 0 for bar in results.bars)


def test_known_wrong_intervals_and_estimators_fail(results):
    """Intervals that are wrong by design fail: one tape at six distances, and bursts."""
    lines = {(study, line.name): line.figures for study, lines in results.studies.items() for line in lines}
    assert lines["steady", "fixed"]["cover_A"].value < 0.935
    assert lines["mixed", "marks"]["cover_A"].value < 0.75
    assert lines["few", "ladder, 20 fills, MLE"]["bias_k"].value > 0.05
    assert lines["few", "ladder, 20 fills, log-linear"]["bias_k"].value < -0.1
    assert lines["mixed", "ladder, first fill"]["bias_A"].value < -0.05


def test_wrong_estimator_misses_its_bars():
    """Too narrow intervals, k a tenth too large, a ladder as exact as the marks: each is detected."""
    rng = np.random.default_rng(1)
    good = np.column_stack(
        [rng.normal(0.1, 0.04, 400), rng.normal(0, 0.04, 400), *np.full((4, 400), 0.7), np.ones(400)]
    )
    good[:, 2:6] = rng.random((400, 4)) < 0.7
    lines = summarised(
        [{"marks": good[:200], "ladder, all fills": good[:200]}, {"marks": good[200:], "ladder, all fills": good[200:]}]
    )
    bars = bars_of({"steady": lines, "few": summarised([{"marks, 20 fills, Firth": good}])})
    assert {bar.verdict for bar in bars} == {"MISSED"}
    assert {bar.name for bar in bars} >= {
        "marks, 20 fills, Firth: bias of k",
        "variance of k, marks over ladder, all fills",
    }


def test_drawn_days_match_rates_of_truth():
    """Orders by distance and block have the rate of the model; a mixed day has the same mean and more variance."""
    for mixing in (0.0, 0.5):
        true_day = truth.Truth(mixing=mixing)
        days = [truth.draw(true_day, np.random.default_rng(seed)) for seed in range(150)]
        for delta in (0.0, 2.0, 8.0):
            reached = np.mean([(day.depth >= delta).sum() / 2 for day in days])
            assert reached == pytest.approx(true_day.expected(delta), rel=0.08)
        counts = np.array(
            [np.bincount((day.second // truth.BLOCK_S).astype(int), minlength=true_day.blocks) for day in days]
        )
        mean = 2 * true_day.A * truth.BLOCK_S
        assert counts.var() == pytest.approx(mean + (mixing * mean) ** 2, rel=0.1)


def test_tables_count_each_order_correctly():
    """Once in the cells, once per nested distance that it reached, and in the dwells during which it arrived."""
    day = truth.draw(truth.Truth(hours=0.5), np.random.default_rng(4))
    cells, nested = truth.marks(day), truth.nested(day)
    assert cells["fills"].sum() == (day.depth >= truth.TOUCH).sum()
    assert nested["fills"].sum() == sum((day.depth >= delta).sum() for delta in truth.DELTAS)
    every = truth.ladder(day, np.random.default_rng(1), first_fill=False)
    first = truth.ladder(day, np.random.default_rng(1), first_fill=True)
    assert (first["fills"] == np.minimum(every["fills"], 1)).all()
    assert ((first["exposure_s"] < truth.DWELL_S) == (every["fills"] > 0)).all()
    assert set(np.unique(first["delta_ticks"], return_counts=True)[1]) == {10}, "30 dwells a side are 5 cycles"
