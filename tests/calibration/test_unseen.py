"""How parameters do on data that they have not seen."""

import math

import numpy as np
import pytest
from scipy import stats

from mm.backtest.metrics.arithmetic import ratio_interval
from mm.calibration.points import Points
from mm.calibration.unseen import foreseen, log_likelihood, realised

A, K = 0.3, 0.5


def test_a_resting_order_and_a_cell_are_foreseen_by_their_formulas():
    """T A exp(-k d), and for a cell of one tick T A (exp(-k d) - exp(-k (d + 1)))."""
    points = Points.of([2, 2], [100, 100], [0, 0], width_ticks=[np.inf, 1])
    whole = 100 * A * math.exp(-K * 2)
    assert foreseen(points, A, K).tolist() == pytest.approx([whole, whole - 100 * A * math.exp(-K * 3)])


def test_the_log_likelihood_is_that_of_poisson_counts():
    points = Points.of([1, 2, 3], [100, 50, 20], [12, 3, 0], width_ticks=[1, 1, np.inf])
    expected = foreseen(points, A, K)
    assert log_likelihood(points, A, K) == pytest.approx(stats.poisson.logpmf(points.fills, expected).sum())


def test_a_fill_where_next_to_none_was_foreseen_is_no_infinity():
    """At 900 ticks and k = 2 the expected fills are below what a float holds; their logarithm is not."""
    points = Points.of([900], [10], [1])
    assert log_likelihood(points, 1.0, 2.0) == pytest.approx(math.log(10) - 1800)


@pytest.mark.parametrize(
    ("fills", "low", "high"), [(0, 0, 3.688879), (1, 0.025318, 5.571643), (10, 4.795389, 18.390356)]
)
def test_the_interval_of_a_ratio_is_garwoods(fills, low, high):
    """The exact limits of a Poisson count, as they are tabulated."""
    ratio, below, above = ratio_interval(fills, 2.0)
    assert (ratio, below, above) == (fills / 2, pytest.approx(low / 2, abs=1e-6), pytest.approx(high / 2, abs=1e-6))
    assert ratio_interval(fills, 0.0) == (None, None, None)


def test_realised_fills_are_summed_by_distance():
    """Both sides and both stretches of one distance are one row; resting orders have no width."""
    one = Points.of([1, 1, 2], [10, 10, 10], [3, 1, 0], side=[1, -1, 1])
    other = Points.of([1], [5], [2])
    near, far = realised([(one, np.array([1.0, 2.0, 0.5])), (other, np.array([1.0]))])
    assert (near.delta_ticks, near.width_ticks, near.exposure_s, near.fills, near.expected) == (1, None, 25, 6, 4)
    assert (far.fills, far.expected, far.ratio, far.ratio_low) == (0, 0.5, 0, 0)
    assert realised([]) == []
