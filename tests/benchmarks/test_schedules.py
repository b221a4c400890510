"""The loss of each window mode on markets with known truth."""

import numpy as np
import pytest

from benchmarks.schedules import Day, K, measure, plans, table
from mm.calibration.windows import US_PER_MIN

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


def test_loss_is_zero_for_truth_and_poisson_likelihood_otherwise():
    """Twice the rate costs 1 - ln 2 nats per fill, over every fill."""
    day = Day(0.0, 3)
    A = float(day.A[0])
    assert day.loss(0, 60 * US_PER_MIN, (A, K))[0] == pytest.approx(0, abs=1e-9)
    loss, fills = day.loss(0, 60 * US_PER_MIN, (2 * A, K))
    assert loss / fills == pytest.approx(1 - np.log(2))


def test_pooled_k_gains_on_drift_and_loses_little_on_constant_market():
    """The candidate for a better default gains on a drifting market, and loses less than 0.002 on a constant one."""
    losses = measure(6, 0)
    for market, rows in losses.items():
        assert set(rows) == set(plans()), market
    _, _, difference, error = losses["drifting"]["pooled_k 30"]
    assert difference < -error
    assert losses["constant"]["pooled_k 30"][2] < 0.002
    assert losses["drifting"]["rolling"][2] == losses["constant"]["rolling"][2] == 0
    lines = list(table(losses))
    assert len(lines) == 1 + len(plans())
    assert lines[1].startswith("rolling")
