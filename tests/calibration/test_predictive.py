"""How often the next segment's fills lie inside the interval that was given before."""

import numpy as np
import pytest

from mm.calibration.points import Points
from mm.calibration.predictive import predictive_ci95


def points_of(counts):
    counts = np.asarray(counts, float)
    return Points.of(np.zeros(len(counts)), np.full(len(counts), 300.0), counts, block=np.arange(len(counts)))


def hawkes_blocks(rng, blocks, rate=0.1, branching=0.7):
    """Counts of 300 s of a self-exciting process whose offspring come 5 s later in the mean."""
    end = 300 * blocks
    alive = rng.uniform(-100, end, rng.poisson(rate * (1 - branching) * (end + 100)))
    found = [alive]
    while alive.size:
        alive = np.repeat(alive, rng.poisson(branching, alive.size))
        alive = alive + rng.exponential(5, alive.size)
        alive = alive[alive < end]
        found.append(alive)
    at = np.concatenate(found)
    return np.bincount((at[at >= 0] // 300).astype(int), minlength=blocks)


def covered(series, train=24, step=3):
    held = []
    for at in range(train, len(series) - step + 1, step):
        low, high = predictive_ci95(points_of(series[at - train : at]), 300.0 * step)
        held.append(low <= series[at : at + step].sum() <= high)
    return held


def test_the_next_quarter_of_an_hour_is_covered_on_clustered_flow():
    """Two hours of training every 15 minutes, as a schedule has them; the interval of A would cover one in five."""
    rng = np.random.default_rng(3)
    held = np.concatenate([covered(hawkes_blocks(rng, 288)) for _ in range(6)])
    assert 0.90 <= held.mean() <= 0.975


def test_poisson_flow_is_covered_too():
    rng = np.random.default_rng(4)
    held = np.concatenate([covered(rng.poisson(8, 288)) for _ in range(4)])
    assert 0.93 <= held.mean() <= 0.995


@pytest.mark.parametrize(("horizon_s", "share"), [(60.0, 0.2), (450.0, 1.5), (3600.0, 12.0)])
def test_any_horizon_scales_with_its_length(horizon_s, share):
    """Shorter than a block, no multiple of one, or much longer."""
    rng = np.random.default_rng(5)
    low, high = predictive_ci95(points_of(rng.poisson(40, 96)), horizon_s)
    mean = 40 * share
    assert low < mean < high
    assert mean - 6 * mean**0.5 - 2 <= low
    assert high <= mean + 6 * mean**0.5 + 2


def test_too_little_or_no_blocks_gives_none_and_no_fills_a_small_number():
    assert predictive_ci95(points_of([3, 4, 5, 4, 3, 2]), 900.0) is None
    bare = Points.of([1.0], [10.0], [3.0])
    assert predictive_ci95(bare, 900.0) is None
    low, high = predictive_ci95(points_of(np.zeros(24)), 900.0)
    assert low == 0
    assert high <= 3
