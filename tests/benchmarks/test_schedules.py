"""The loss of each window mode on markets with known truth."""

import numpy as np
import pytest

from benchmarks.schedules import CELLS, DEVIATION, FILLS_PER_BLOCK, Day, K, loss_per_fill, measure, plans, table
from mm.calibration.windows import US_PER_MIN, WindowPlan

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


def test_day_has_expected_fills_of_its_truth():
    """25 per block on average, distributed over the cells of a block as exp(-k delta)."""
    day = Day(0.0, 1)
    points = day.points(0, 12 * 60 * US_PER_MIN)
    expected = day.exposure_s * day.A.sum() * day.gain.sum()
    assert expected == pytest.approx(144 * FILLS_PER_BLOCK)
    assert abs(points.fills.sum() - expected) < 4 * expected**0.5
    near = points.fills[points.delta_ticks == 1].sum() / points.fills.sum()
    assert abs(near - (1 - np.exp(-K))) < 4 * (near * (1 - near) / expected) ** 0.5


def test_points_of_interval_are_those_of_its_blocks():
    day = Day(DEVIATION, 2)
    part = day.points(10 * US_PER_MIN, 30 * US_PER_MIN)
    whole = day.points(0, 12 * 60 * US_PER_MIN)
    assert sorted(set(part.block.tolist())) == [0, 1, 2, 3]
    assert part.fills.tolist() == whole.fills[2 * CELLS.size : 6 * CELLS.size].tolist()


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


def test_same_seed_gives_same_day():
    """Days of the same seed have the same loss, and another seed another loss."""
    losses = [loss_per_fill(Day(DEVIATION, seed), WindowPlan(latency_us=0)) for seed in (5, 5, 6)]
    assert losses[0] == losses[1] != losses[2]
