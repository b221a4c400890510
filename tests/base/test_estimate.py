"""A series becomes an interval: against closed forms, and how often it holds the mean of clustered series."""

import math

import numpy as np
import pytest
from scipy import stats

from mm.base.estimate import Estimate, cosines, estimated, from_error


def test_independent_draws_have_the_interval_of_student():
    """As scipy's t interval of a mean, and its standard error."""
    values = np.random.default_rng(1).normal(3.0, 2.0, 9)
    found = estimated(values, independent=True)
    low, high = stats.t.interval(0.95, 8, values.mean(), stats.sem(values))
    assert (found.value, found.error) == pytest.approx((values.mean(), stats.sem(values)))
    assert found.ends == pytest.approx([low, high])
    assert found.n == 9


def test_weights_make_a_ratio_of_sums():
    """Equal weights of any size leave the interval as it is; effective draws are its degrees of freedom."""
    sums, weights = np.array([2.0, 1.0, 6.0, 4.0, 3.0, 5.0]), np.array([1.0, 1.0, 2.0, 2.0, 1.0, 2.0])
    found = estimated(sums, weights, independent=True)
    away = sums - sums.sum() / 9 * weights
    error = math.sqrt(6 / 5 * (away**2).sum()) / 9
    assert found.error == pytest.approx(error)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 81 / 15 - 1) * error)
    assert estimated(2 * sums, np.full(6, 2.0)).ends == pytest.approx(estimated(sums).ends)


def test_dependent_draws_have_the_error_of_the_slowest_cosines():
    """Written out with loops; several comparisons at once are wider (Šidák)."""
    values = np.random.default_rng(2).normal(1.0, 1.0, 40)
    waves = [
        sum((value - values.mean()) * math.cos(math.pi * j * (at + 0.5) / 40) for at, value in enumerate(values))
        for j in range(1, cosines(40) + 1)
    ]
    error = math.sqrt(2 / len(waves) * sum(wave**2 for wave in waves)) / 40
    found, ten = estimated(values), estimated(values, comparisons=10)
    assert found.error == pytest.approx(error)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, len(waves)) * error)
    assert ten.high - ten.value == pytest.approx(stats.t.ppf((1 + 0.95**0.1) / 2, len(waves)) * error)


@pytest.mark.parametrize("values", [[], [3.0]])
def test_fewer_than_two_draws_have_no_interval(values):
    assert estimated(np.array(values)).ends is None
    assert estimated(np.array([1.0, 2.0, 3.0]), least=4).ends is None


def test_the_sign_needs_an_interval_without_zero_from_five_draws():
    assert Estimate(1.0, None, 0.2, 1.8, 5).sign == "above 0"
    assert Estimate(1.0, None, 0.2, 1.8, 4).sign == "undecided"
    assert from_error(1.0, 0.0, 9) == Estimate(1.0)


def moving_averages(random, runs, length, over):
    """Return series whose values share their noise with the next ones, as fills of overlapping horizons do."""
    noise = random.standard_normal((runs, length + over - 1))
    return np.lib.stride_tricks.sliding_window_view(noise, over, axis=1).mean(axis=2)


@pytest.mark.parametrize("over", [1, 2, 4])
def test_intervals_hold_the_mean_of_clustered_series(over):
    """In .95 of runs, as many blocks as of an hour; independent draws hold .83 and .65 where neighbours are alike."""
    random = np.random.default_rng(over)
    series = moving_averages(random, 600, 120, over)
    held = np.mean([found.low < 0 < found.high for found in map(estimated, series)])
    assert 0.92 < held < 0.98
