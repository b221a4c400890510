"""Scores against scikit-learn, and coverage of intervals."""

from dataclasses import replace

import numpy as np
import pytest

from mm.predict.samples import Samples, Task
from mm.predict.scoring import PredictedSamples, beats, score

SECOND = 1_000_000


def predicted(y, values, base, us=None, spread=1.0):
    """Return predictions together with a constant and one more baseline."""
    us = np.arange(len(y)) * SECOND if us is None else us
    zero = np.zeros(len(y), np.int64)
    of = Samples(us, us + SECOND, zero, y[:, None], y, y, y, y, np.full(len(y), spread))
    constant = np.full(len(y), 0.25)
    probe = np.arange(0, len(y), 3)
    return PredictedSamples(
        of, values, {"constant": constant, "imbalance_1": base}, {"spread": constant[probe]}, probe, zero
    )


def test_classes_are_scored_by_log_loss_and_brier():
    """Equal to scikit-learn; the difference is against the better baseline."""
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(1)
    p = draw.uniform(0.05, 0.95, 4000)
    y = (draw.random(4000) < p).astype(float)
    base = np.clip(p + draw.normal(0, 0.2, 4000), 0.01, 0.99)
    found = score(Task("adverse", 1.0, ("spread",)), predicted(y, p, base), 0.01)
    assert found["metric"] == "log_loss"
    assert found["value"] == pytest.approx(metrics.log_loss(y, p))
    assert found["baselines"]["imbalance_1"] == pytest.approx(metrics.log_loss(y, base))
    assert found["best_baseline"] == "imbalance_1"
    assert found["difference"] == pytest.approx(metrics.log_loss(y, base) - metrics.log_loss(y, p))
    assert found["brier"]["value"] == pytest.approx(metrics.brier_score_loss(y, p))
    assert found["importance"]["spread"] > 0
    for one in found["calibration"]:
        assert one["predicted"] == pytest.approx(one["observed"], abs=0.08)
    assert sum(one["samples"] for one in found["calibration"]) == 4000


def test_moves_are_scored_by_r2():
    """Against the constant; trading takes moves beyond half the spread, one at a time."""
    draw = np.random.default_rng(2)
    values = draw.normal(size=5000)
    y = 0.25 + values + draw.normal(size=5000)
    found = score(Task("return", 1.0, ("spread",)), predicted(y, values + 0.25, np.full(5000, 9.0)), 0.01)
    expected = 1 - np.sum((y - values - 0.25) ** 2) / np.sum((y - 0.25) ** 2)
    assert found["value"] == pytest.approx(expected)
    assert found["baselines"]["constant"] == 0.0
    assert found["best_baseline"] == "constant"
    assert found["difference"] == pytest.approx(expected)
    at = np.flatnonzero(np.abs(values + 0.25) > 0.5)
    earned = np.sign(values + 0.25)[at] * y[at] - 0.5
    assert found["trading"]["trades"] == len(at)
    assert found["trading"]["ticks"] == pytest.approx(earned.sum())


def test_trading_holds_one_position_at_a_time():
    """Signals before the end of the open position are ignored."""
    y = np.array([3.0, 5.0, -2.0, 4.0])
    us = np.array([0, SECOND // 2, SECOND, 3 * SECOND])
    found = score(Task("return", 1.0, ("spread",)), predicted(y, np.array([1.0, 1.0, 1.0, -0.4]), y, us), 0.01)
    assert found["trading"] == {"trades": 2, "ticks": 0.0, "ticks_per_trade": 0.0, "ticks_per_trade_ci95": None}


def test_log_loss_of_certain_mistake_is_finite():
    """Probabilities of 0 and 1 are clipped."""
    y = np.array([1.0, 0.0] * 50)
    found = score(Task("fill", 1.0, ("spread",)), predicted(y, 1.0 - y, y), 0.01)
    assert found["value"] == pytest.approx(-np.log(1e-6))
    assert not beats(found)


def test_short_times_have_no_interval():
    """Without an interval no predictor is usable, for any score."""
    draw = np.random.default_rng(5)
    y = draw.normal(size=40)
    found = score(Task("return", 10.0, ("spread",)), predicted(y, y, y * 0), 0.01)
    assert found["value"] == 1.0
    assert found["difference_ci95"] is None
    assert not beats(found)


def test_intervals_have_nominal_coverage():
    """Bursty gains with known expectation: 95 % intervals contain it in about as many markets."""
    covered = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        burst = np.repeat(draw.normal(size=400), 25)  # constant for 25 s
        x = draw.normal(size=10_000)
        y = 0.25 + 0.3 * x + burst
        found = score(Task("return", 1.0, ("spread",)), predicted(y, 0.25 + 0.3 * x, np.full(10_000, 9.0)), 0.01)
        low, high = found["difference_ci95"]
        covered += low <= 0.09 / 1.09 <= high
    assert 51 <= covered <= 60


def orders(us, side, distance, fills, spread=2.0, move=None):
    """Return samples of orders at distances, or of fills with a move of the mid against them."""
    us, side = np.array(us) * SECOND, np.array(side)
    fills, move = np.array(fills, float), np.array(fills if move is None else move, float)
    rows = np.array(distance, float)[:, None]
    return Samples(us, us + SECOND, side, rows, move, fills, move, move, np.full(len(us), spread))


def test_fill_has_the_spread_that_its_best_distances_captured_beside_the_log_loss():
    """In each instant and side the largest distance times probability; per hour two orders are placed each horizon."""
    samples = orders([0, 0, 0, 1, 1], [0, 0, 1, 0, 0], [1, 3, 1, 1, 3], [1, 0, 1, 1, 1])
    own, base = np.array([0.9, 0.2, 0.5, 0.5, 0.4]), np.array([0.5, 0.5, 0.5, 0.9, 0.1])
    nothing = np.zeros(5, np.int64)
    found = score(
        Task("fill", 2.0, ("spread",)),
        PredictedSamples(samples, own, {"constant": base}, {}, nothing, nothing),
        0.01,
    )
    unit = 2 * 3600 / 2.0 * 0.01
    pnl = found["pnl"]
    assert pnl["per"] == "hour"
    assert pnl["value"] == pytest.approx((1 + 1 + 3) / 3 * unit)
    assert pnl["baselines"] == {"constant": pytest.approx((0 + 1 + 1) / 3 * unit)}
    assert pnl["difference"] == pytest.approx(unit)
    assert pnl["difference_ci95"] is None


def test_adverse_has_what_the_kept_fills_earned_beside_the_log_loss():
    """A fill is kept if the expected move is below half the spread; of the others nothing is earned."""
    samples = orders([0, 1, 2], [0, 1, 0], [0, 0, 0], [0, 1, 1], move=[-1, 3, 2])
    own, base = np.array([0.1, 0.9, 0.6]), np.array([0.5, 0.5, 0.5])
    moves, nothing = np.array([[-1.0, 2.0], [0.0, 1.5], [-1.0, 2.0]]), np.zeros(3, np.int64)
    task, predicted = (
        Task("adverse", 1.0, ("spread",)),
        PredictedSamples(samples, own, {"constant": base}, {}, nothing, nothing, moves),
    )
    pnl = score(task, predicted, 0.01)["pnl"]
    # expected moves: own -0.7, 1.35, 0.8; the constant's 0.5, 0.75, 0.5; half the spread is 1 tick
    assert pnl["per"] == "order"
    assert pnl["value"] == pytest.approx(0.01 * (2 + 0 - 1) / 3)
    assert pnl["baselines"]["constant"] == pytest.approx(0.01 * (2 - 2 - 1) / 3)
    assert pnl["difference"] == pytest.approx(0.01 * 2 / 3)


def test_interval_in_money_contains_the_difference():
    """Long enough markets have one, in the quote asset."""
    draw = np.random.default_rng(7)
    p = draw.uniform(0.05, 0.95, 4000)
    y = (draw.random(4000) < p).astype(float)
    both = predicted(y, p, np.full(4000, 0.5))
    samples = orders(np.arange(4000), np.zeros(4000, int), np.ones(4000), y, move=np.where(y > 0, 3.0, -1.0))
    full = replace(both, samples=samples, moves=np.tile([-1.0, 3.0], (4000, 1)))
    pnl = score(Task("adverse", 1.0, ("spread",)), full, 0.01)["pnl"]
    low, high = pnl["difference_ci95"]
    assert 0 < low < pnl["difference"] < high < 2 * pnl["difference"]
