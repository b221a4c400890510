"""Baselines against known values."""

import numpy as np
import pytest

from mm.predict.fitting import fit_baselines, predict_baselines
from mm.predict.samples import Samples, Task


def samples(outcome, imbalance, side, distance):
    """Return samples of one signal without information."""
    us = np.arange(len(outcome))
    rows = np.column_stack([np.zeros(len(us)), distance])
    return Samples(us, us, side, rows, np.zeros(len(us)), outcome, outcome, imbalance, np.ones(len(us)))


def test_poisson_baseline_recovers_rate_and_decay():
    """A = .5 /s and k = .7 /tick, over two seconds, within 5 % for 40,000 orders."""
    draw = np.random.default_rng(2)
    distance = draw.integers(1, 9, 40_000) / 2
    p = -np.expm1(-0.5 * np.exp(-0.7 * distance) * 2.0)
    filled = (draw.random(len(p)) < p).astype(float)
    task = Task("fill", 2.0, ("spread",), (0.5,))
    given = samples(filled, draw.uniform(-1, 1, len(p)), draw.integers(0, 2, len(p)), distance)
    found = fit_baselines(task, given)
    assert found["poisson"]["A"] == pytest.approx(0.5, rel=0.05)
    assert found["poisson"]["k"] == pytest.approx(0.7, rel=0.05)
    assert predict_baselines(task, given, found)["poisson"] == pytest.approx(p, abs=0.02)


def test_imbalance_baseline_equals_least_squares():
    """The constant is the mean."""
    draw = np.random.default_rng(3)
    x = draw.uniform(-1, 1, 5000)
    y = 0.2 + 1.5 * x + draw.normal(size=5000)
    task, side = Task("return", 1.0, ("spread",)), np.zeros(5000, np.int64)
    found = fit_baselines(task, samples(y, x, side, np.zeros(5000)))
    slope, level = np.polyfit(x, y, 1)
    assert found["imbalance_1"][0] == pytest.approx([level, slope], rel=2e-3)  # a penalty of 1 on 5,000 samples
    assert found["constant"] == [pytest.approx(y.mean())]


def test_sides_have_separate_baselines():
    """Imbalance has opposite signs for bids and asks."""
    draw = np.random.default_rng(4)
    x, side = draw.uniform(-1, 1, 40_000), np.arange(40_000) % 2
    p = 1 / (1 + np.exp(-(0.5 + 2 * x * (1 - 2 * side))))
    y = (draw.random(len(p)) < p).astype(float)
    task = Task("adverse", 1.0, ("spread",))
    given = samples(y, x, side, np.zeros(len(x)))
    found = fit_baselines(task, given)
    assert found["imbalance_1"] == [pytest.approx([0.5, 2.0], abs=0.1), pytest.approx([0.5, -2.0], abs=0.1)]
    assert predict_baselines(task, given, found)["imbalance_1"] == pytest.approx(p, abs=0.02)
