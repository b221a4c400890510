"""Prediction of unseen data: expected fills, intervals of ratios, and waiting times."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mm.calibration.depth_counts import DepthCounts, DepthOptions
from mm.calibration.goodness import uniformity
from mm.calibration.points import Points
from mm.walkforward.oos_tests import SegmentBlocks, Waits, by_band, by_rates, linked, realised, waits
from small_tapes import book, gap, poisson_day, tape, trade

RATE, DECAY = 0.3, 0.5


def test_expected_fills_of_order_and_cell_match_formulas():
    """T A exp(-k d), and for a cell of one tick T A (exp(-k d) - exp(-k (d + 1)))."""
    points = Points.of([2, 2], [100, 100], [0, 0], width_ticks=[np.inf, 1])
    whole = 100 * RATE * math.exp(-DECAY * 2)
    [expected], _ = by_rates(points, [(RATE, DECAY)])
    assert expected.tolist() == pytest.approx([whole, whole - 100 * RATE * math.exp(-DECAY * 3)])


def test_by_rates_likelihood_equals_poisson():
    points = Points.of([1, 2, 3], [100, 50, 20], [12, 3, 0], width_ticks=[1, 1, np.inf])
    each, likely = by_rates(points, [(RATE, DECAY), (2 * RATE, DECAY / 2)])
    assert [row.tolist() for row in each] == [
        by_rates(points, [one])[0][0].tolist() for one in ((RATE, DECAY), (2 * RATE, DECAY / 2))
    ]
    assert likely == pytest.approx([stats.poisson.logpmf(points.fills, one).sum() for one in each])
    none, nothing = by_rates(points, [])
    assert (none.shape, nothing) == ((0, 3), [])


def test_likelihood_of_unlikely_fill_is_finite():
    """At 900 ticks and k = 2 the expected fills underflow a float; their logarithm does not."""
    points = Points.of([900], [10], [1])
    assert by_rates(points, [(1.0, 2.0)])[1] == pytest.approx([math.log(10) - 1800])


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


S = 1_000_000
A, K = 0.5, 0.7


def test_waits_are_integrated_expected_hits():
    """Touch at 1 tick for 4 s, then at 2; sells at 3 s and 8 s, no book from 5 s to 6 s."""
    events = [
        book(0, 100, 102),
        trade(3 * S, -1, 100, 1),
        book(4 * S, 100, 104),
        gap(5 * S),
        book(6 * S, 100, 104),
        trade(8 * S, -1, 97, 2),
    ]
    found = waits(DepthCounts(tape(events, 0, 10 * S)), 1, (0, 10 * S), (A, K))
    near, far = A * math.exp(-K), A * math.exp(-2 * K)
    assert found.between.tolist() == pytest.approx([3 * near, near + far + 2 * far])
    assert found.after == pytest.approx(2 * far)


def test_other_side_and_prints_inside_spread_are_not_hits():
    events = [book(0, 100, 104), trade(3 * S, 1, 104, 1), trade(4 * S, -1, 102, 2)]
    found = waits(DepthCounts(tape(events, 0, 10 * S)), 1, (0, 10 * S), (A, K))
    assert found.between.size == 0
    assert found.after == pytest.approx(10 * A * math.exp(-2 * K))


def test_touch_beyond_largest_distance_is_not_timed():
    events = [book(0, 100, 120), trade(3 * S, -1, 90, 1)]
    found = waits(DepthCounts(tape(events, 0, 10 * S), DepthOptions(max_delta_ticks=5)), 1, (0, 10 * S), (A, K))
    assert (found.between.size, found.after) == (0, 0)


def test_linked_joins_waits_across_segments():
    """A wait cut by a segment end continues in the next; a segment without a model separates waits."""
    parts = [Waits(np.array([1.0, 2.0]), 0.5), Waits(np.empty(0), 0.25), Waits(np.array([4.0]), 0.5)]
    assert linked(parts).tolist() == [1, 2, 4.75]
    assert linked([parts[0], None, parts[2]]).tolist() == [1, 2, 4]
    assert linked([]).tolist() == []


@given(st.lists(st.floats(0, 20), min_size=4, max_size=50))
def test_uniformity_equals_kolmogorov_smirnov_test(between):
    found = uniformity(np.array(between))
    reference = stats.kstest(between, stats.expon.cdf)
    assert found.ks == pytest.approx(reference.statistic, abs=1e-12)
    assert abs(found.p - reference.pvalue) < 0.03


def test_uniformity_without_waits_is_none():
    found = uniformity(np.empty(0))
    assert (found.n, found.mean_wait, found.ks, found.p) == (0, None, None, None)


@pytest.fixture(name="marks", scope="module")
def _marks():
    return DepthCounts(tape(poisson_day(5, 2 * 3600, A, K), 0, 2 * 3600 * S), DepthOptions(max_delta_ticks=20))


def clock(marks, rates):
    both = [waits(marks, side, marks.span, rates).between for side in (1, -1)]
    return uniformity(np.concatenate(both))


def test_waits_of_true_model_are_exponential(marks):
    """With the true parameters, waiting times are exponential with mean 1."""
    found = clock(marks, (A, K))
    assert found.n > 2000
    assert abs(found.mean_wait - 1) < 4 / math.sqrt(found.n)
    assert found.p > 0.001


@pytest.mark.parametrize("rates", [(1.3 * A, K), (A, 1.4 * K)])
def test_waits_of_wrong_model_are_rejected(marks, rates):
    """A 30 % too high, or k 40 % too large."""
    assert clock(marks, rates).p < 1e-6


def test_p_of_true_model_is_uniform():
    """Over 400 samples of the model a share alpha of the p is below alpha."""
    rng = np.random.default_rng(3)
    p = [uniformity(rng.exponential(size=40)).p for _ in range(400)]
    assert stats.kstest(p, "uniform").pvalue > 0.001
