"""What each way to share the past costs, on markets whose truth is known."""

import numpy as np
import pytest

from benchmarks.schedules import CELLS, DEVIATION, FILLS_A_BLOCK, Day, K, lost, measure, plans, table
from mm.calibration.windows import US_PER_MIN, WindowPlan


def test_a_day_has_the_fills_that_its_truth_expects():
    """25 a block on average; the cells of one block share them as exp(-k delta) does."""
    day = Day(0.0, 1)
    points = day.points(0, 12 * 60 * US_PER_MIN)
    expected = day.exposure_s * day.A.sum() * day.gain.sum()
    assert expected == pytest.approx(144 * FILLS_A_BLOCK)
    assert abs(points.fills.sum() - expected) < 4 * expected**0.5
    near = points.fills[points.delta_ticks == 1].sum() / points.fills.sum()
    assert abs(near - (1 - np.exp(-K))) < 4 * (near * (1 - near) / expected) ** 0.5


def test_points_of_a_stretch_are_its_blocks():
    day = Day(DEVIATION, 2)
    part = day.points(10 * US_PER_MIN, 30 * US_PER_MIN)
    whole = day.points(0, 12 * 60 * US_PER_MIN)
    assert sorted(set(part.block.tolist())) == [0, 1, 2, 3]
    assert part.fills.tolist() == whole.fills[2 * CELLS.size : 6 * CELLS.size].tolist()


def test_the_truth_loses_nothing_and_another_rate_what_a_poisson_count_says():
    """Twice the rate costs 1 - ln 2 nats per fill, over every fill."""
    day = Day(0.0, 3)
    A = float(day.A[0])
    assert day.loss(0, 60 * US_PER_MIN, (A, K))[0] == pytest.approx(0, abs=1e-9)
    loss, fills = day.loss(0, 60 * US_PER_MIN, (2 * A, K))
    assert loss / fills == pytest.approx(1 - np.log(2))


def test_pooled_k_with_a_quick_a_is_better_on_drift_and_no_worse_on_constant_truth():
    """The candidate for a better default: it gains where the market moves, and loses less than 0.002 where not."""
    found = measure(6, 0)
    for market, rows in found.items():
        assert set(rows) == set(plans()), market
    _, _, gained, error = found["drifting"]["pooled_k 30"]
    assert gained < -error
    assert found["constant"]["pooled_k 30"][2] < 0.002
    assert found["drifting"]["rolling"][2] == found["constant"]["rolling"][2] == 0
    lines = list(table(found))
    assert len(lines) == 1 + len(plans())
    assert lines[1].startswith("rolling")


def test_a_seed_is_one_day():
    """Drawn again it loses the same, and another one loses something else."""
    losses = [lost(Day(DEVIATION, seed), WindowPlan(latency_us=0)) for seed in (5, 5, 6)]
    assert losses[0] == losses[1] != losses[2]
