"""Scores against scikit-learn, and coverage of intervals."""

import numpy as np
import pytest

from mm.predict.samples import Samples, Task
from mm.predict.scoring import Predicted, beats, score

SECOND = 1_000_000


def predicted(y, values, base, us=None, spread=1.0):
    """Return predictions together with a constant and one more baseline."""
    us = np.arange(len(y)) * SECOND if us is None else us
    zero = np.zeros(len(y), np.int64)
    of = Samples(us, us + SECOND, zero, y[:, None], y, y, y, y, np.full(len(y), spread))
    constant = np.full(len(y), 0.25)
    probe = np.arange(0, len(y), 3)
    return Predicted(of, values, {"constant": constant, "imbalance_1": base}, {"spread": constant[probe]}, probe, zero)


def test_classes_are_scored_by_log_loss_and_brier():
    """Equal to scikit-learn; the difference is against the better baseline."""
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(1)
    p = draw.uniform(0.05, 0.95, 4000)
    y = (draw.random(4000) < p).astype(float)
    base = np.clip(p + draw.normal(0, 0.2, 4000), 0.01, 0.99)
    found = score(Task("adverse", 1.0, ("spread",)), predicted(y, p, base), 0)
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
    found = score(Task("return", 1.0, ("spread",)), predicted(y, values + 0.25, np.full(5000, 9.0)), 0)
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
    found = score(Task("return", 1.0, ("spread",)), predicted(y, np.array([1.0, 1.0, 1.0, -0.4]), y, us), 0)
    assert found["trading"] == {"trades": 2, "ticks": 0.0, "ticks_per_trade": 0.0, "ticks_per_trade_ci95": None}


def test_log_loss_of_certain_mistake_is_finite():
    """Probabilities of 0 and 1 are clipped."""
    y = np.array([1.0, 0.0] * 50)
    found = score(Task("fill", 1.0, ("spread",)), predicted(y, 1.0 - y, y), 0)
    assert found["value"] == pytest.approx(-np.log(1e-6))
    assert not beats(found)


def test_short_times_have_no_interval():
    """Without an interval no predictor is usable, for any score."""
    draw = np.random.default_rng(5)
    y = draw.normal(size=40)
    found = score(Task("return", 10.0, ("spread",)), predicted(y, y, y * 0), 0)
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
        found = score(Task("return", 1.0, ("spread",)), predicted(y, 0.25 + 0.3 * x, np.full(10_000, 9.0)), 0)
        low, high = found["difference_ci95"]
        covered += low <= 0.09 / 1.09 <= high
    assert 51 <= covered <= 60
