"""Prediction of unseen data: expected fills, their likelihood, and intervals of ratios."""

import math

import numpy as np
import pytest
from scipy import stats

from mm.calibration.points import Points
from mm.walkforward import oos_tests
from mm.walkforward.oos_tests import SegmentBlocks, by_band, realised

RATE, DECAY = 0.3, 0.5


def test_expected_fills_of_order_and_cell_match_formulas():
    """T A exp(-k d), and for a cell of one tick T A (exp(-k d) - exp(-k (d + 1)))."""
    points = Points.of([2, 2], [100, 100], [0, 0], width_ticks=[np.inf, 1])
    whole = 100 * RATE * math.exp(-DECAY * 2)
    tested = oos_tests.Tested.of(points, (RATE, DECAY))
    assert tested.predicted == pytest.approx(tested.expected.sum())
    assert tested.expected.tolist() == pytest.approx([whole, whole - 100 * RATE * math.exp(-DECAY * 3)])


def test_likelihood_equals_poisson():
    points = Points.of([1, 2, 3], [100, 50, 20], [12, 3, 0], width_ticks=[1, 1, np.inf])
    found = oos_tests.Tested.of(points, (RATE, DECAY))
    assert found.loglik == pytest.approx(stats.poisson.logpmf(points.fills, found.expected).sum())
    none = oos_tests.Tested.of(points, None)
    assert (none.fills, none.expected, none.predicted, none.loglik) == (15, None, None, None)


def test_likelihood_of_unlikely_fill_is_finite():
    """At 900 ticks and k = 2 the expected fills underflow a float; their logarithm does not."""
    assert oos_tests.Tested.of(Points.of([900], [10], [1]), (1.0, 2.0)).loglik == pytest.approx(math.log(10) - 1800)


def test_realised_fills_are_summed_by_distance():
    """Both sides and both windows of one distance are one row; resting orders have no width."""
    one = Points.of([1, 1, 2], [10, 10, 10], [3, 1, 0], side=[1, -1, 1])
    other = Points.of([1], [5], [2])
    near, far = realised([(one, np.array([1.0, 2.0, 0.5])), (other, np.array([1.0]))])
    assert list(near.values())[:5] == [1, None, 25, 6, 4]
    assert list(near) == [
        "delta_ticks",
        "width_ticks",
        "exposure_s",
        "fills",
        "expected",
        "ratio",
        "ratio_low",
        "ratio_high",
    ]
    assert [far[name] for name in ("fills", "expected", "ratio", "ratio_low")] == [0, 0.5, 0, None]
    assert near["ratio_low"] < 1.5 < near["ratio_high"], "two blocks have an interval, one has none"
    assert realised([]) == by_band([], (2,)) == []


def test_bands_are_sums_of_distances():
    """Each band begins at its near end and ends at the next."""
    rng = np.random.default_rng(3)
    delta, block = np.tile([0.0, 1.5, 2.0, 7.0], 30), np.repeat(np.arange(30), 4)
    points = Points.of(delta, np.full(120, 300.0), rng.poisson(5, 120), block=block)
    rows = by_band([(points, np.full(120, 5.0))], (1, 2, 3, 5))
    assert [(row["from_ticks"], row["to_ticks"]) for row in rows] == [(0, 1), (1, 2), (2, 3), (5, None)]
    by_distance = realised([(points, np.full(120, 5.0))])
    assert [list(row.values())[2:] for row in rows] == [list(row.values())[2:] for row in by_distance]
    [all_of_them] = by_band([(points, np.full(120, 5.0))], (8,))[:1]
    assert all_of_them["fills"] == points.fills.sum()
    assert all_of_them["ratio"] == pytest.approx(points.fills.sum() / 600)


def busy_segments(rng, level=1.0):
    """Return 56 quarters of an hour of bursty fills at one distance, *level* times the predicted rate."""
    flow = np.exp(0.4 * rng.standard_normal(168) - 0.08) * 40  # each block has its own rate
    counts = rng.poisson(level * flow).reshape(56, 3)
    return [(Points.of([1] * 3, [300] * 3, one, block=range(3)), np.full(3, 40.0)) for one in counts]


def test_ratio_intervals_cover_one_for_bursty_fills():
    """50 walk-forwards each; a model that predicts two thirds of the fills is detected."""
    rng = np.random.default_rng(4)
    segment_coverage, distance_coverage, detected = [], [], []
    for _ in range(50):
        parts = busy_segments(rng)
        segment_coverage += [low <= 120 <= high for low, high in SegmentBlocks.of(parts).stretches()]
        distance_coverage += [row["ratio_low"] <= 1 <= row["ratio_high"] for row in realised(parts)]
        detected += [row["ratio_low"] > 1 for row in realised(busy_segments(rng, 1.5))]
    assert 0.92 <= np.mean(segment_coverage) <= 0.98
    assert np.mean(distance_coverage) >= 0.88
    assert all(detected)
