"""Intervals of bursty fill counts: against plain loops, and on simulated flow with a known mean."""

import math

import numpy as np
import pytest
from scipy.special import gammaincinv
from scipy.stats import t as student

from mm.backtest.metrics.long_run import count_interval, fill_intervals, stretch_intervals
from mm.base.estimate import cosines, long_run_error, slow_variance

DAY = 168  # blocks of five minutes, 14 h
RATE = 0.2  # events per second


def bursty_counts(rng, blocks=DAY, branching=0.7, decay_s=60.0):
    """Return counts per block of a self-exciting process of mean `RATE`, each event with delayed offspring."""
    end, early = 300.0 * blocks, 20 * decay_s
    at = rng.uniform(-early, end, rng.poisson(RATE * (1 - branching) * (end + early)))
    found = [at]
    while at.size:
        at = np.repeat(at, rng.poisson(branching, at.size))
        at = at + rng.exponential(decay_s, at.size)
        found.append(at)
    at = np.concatenate(found)
    return np.bincount((at[(at >= 0) & (at < end)] // 300).astype(int), minlength=blocks)


def poisson_counts(rng, blocks=DAY):
    """Return counts per block of independent events of the same mean."""
    return rng.poisson(300 * RATE, blocks)


def garwood(count):
    """Return the exact limits of a Poisson count."""
    return (gammaincinv(count, 0.025) if count else 0.0), gammaincinv(count + 1, 0.975)


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_long_run_error_accounts_for_autocorrelation(rho):
    """The mean of its square, over the variance of drawn sums of an autoregression."""
    rng = np.random.default_rng(33)
    noise = rng.standard_normal((4000, 216))
    series = noise.copy()
    for at in range(1, 216):
        series[:, at] = rho * series[:, at - 1] + math.sqrt(1 - rho**2) * noise[:, at]
    drawn = series.sum(axis=1).var()
    found = np.mean([long_run_error(column - column.mean()) ** 2 for column in series[:1000]])
    assert found / drawn == pytest.approx(1, abs=0.12)
    single = [float(long_run_error(column)) for column in series[:50].T.copy()]
    assert long_run_error(series[:50]).tolist() == pytest.approx(single, rel=1e-12)


@pytest.mark.parametrize("blocks", [0, 1, 2, 3, 30, 101])
def test_slow_variance_equals_its_formula(blocks):
    """Cosines written out, column by column."""
    values = np.random.default_rng(5).standard_normal((blocks, 4))
    for column, found in zip(values.T, slow_variance(values).tolist(), strict=True):
        total = 0.0
        for wave in range(1, cosines(blocks) + 1):
            score = sum(math.cos(math.pi * wave * (at + 0.5) / blocks) * one for at, one in enumerate(column))
            total += 2 / cosines(blocks) * score**2
        assert found == pytest.approx(total, rel=1e-12)


def test_one_block_or_no_data_has_no_interval():
    """Two blocks have one."""
    fills, expected = np.array([[3.0, 0.0, 1.0], [0.0, 0.0, 4.0]]), np.array([[2.0, 0.0, 2.0], [0.0, 0.0, 2.0]])
    one, none, two = fill_intervals(fills, expected)
    assert one == none == (None, None)
    assert 0 <= two[0] < 5 < two[1]
    assert stretch_intervals(np.array([1.0, 2.0]), np.ones(2), np.array([0, 1]), np.array([0, 1])) == [(None, None)] * 2
    nothing = np.empty(0, np.int64)
    assert stretch_intervals(np.empty(0), np.empty(0), nothing, nothing) == []


def test_intervals_are_at_least_as_wide_as_poisson():
    """Also for flow that is more regular than random."""
    [(low, high)] = fill_intervals(np.full((100, 1), 7.0), np.full((100, 1), 6.0))
    assert (low, high) == pytest.approx(garwood(700))
    [none] = fill_intervals(np.zeros((100, 1)), np.full((100, 1), 0.1))
    assert none == pytest.approx((0, -math.log(0.025)))
    for count in (0, 1, 5, 80):
        low, high = count_interval(count, 1.05, 500)
        assert low <= garwood(count)[0] <= garwood(count)[1] <= high


def test_many_fills_in_large_bursts_have_a_student_interval():
    """The mean plus and minus quantile times standard error."""
    low, high = count_interval(100_000, 40.0, 12)
    reach = student.ppf(0.975, 12) * math.sqrt(40 * 100_000)
    assert (high - low) / 2 == pytest.approx(reach, rel=0.01)
    assert low < 100_000 < high


@pytest.mark.parametrize(
    ("flow", "least", "most", "of_counts"), [(poisson_counts, 0.94, 0.995, 0.9), (bursty_counts, 0.92, 0.98, 0)]
)
@pytest.mark.parametrize("share", [1.0, 0.05])
def test_intervals_cover_the_mean_at_their_level(flow, least, most, of_counts, share):
    """300 days each of all fills, and of one in twenty; the Poisson interval of bursts covers the mean too rarely."""
    rng = np.random.default_rng(8)
    covered = poisson_covered = 0
    for _ in range(300):
        exposed = share * rng.uniform(0.2, 1.0, DAY)  # orders do not rest all the time
        fills, expected = rng.binomial(flow(rng), exposed), 300 * RATE * exposed
        [(low, high)] = fill_intervals(fills[:, None].astype(float), expected[:, None])
        covered += low <= expected.sum() <= high
        poisson_covered += garwood(fills.sum())[0] <= expected.sum() <= garwood(fills.sum())[1]
    assert least <= covered / 300 <= most
    assert poisson_covered / 300 >= of_counts
    assert of_counts or share < 1 or poisson_covered / 300 < 0.75


@pytest.mark.parametrize("flow", [poisson_counts, bursty_counts])
@pytest.mark.parametrize("length", [12, 3])
def test_intervals_of_stretches_cover_their_means(flow, length):
    """Hours, and quarters of an hour as in a schedule: 60 days each."""
    rng, (stretch, hour) = np.random.default_rng(9), (np.arange(DAY) // one for one in (length, 12))
    mean, covered = 300 * RATE * length, []
    for _ in range(60):
        found = stretch_intervals(flow(rng).astype(float), np.full(DAY, 300 * RATE), stretch, hour)
        covered += [low <= mean <= high for low, high in found]
    assert 0.92 <= np.mean(covered) <= 0.985


def test_hourly_changes_of_level_do_not_widen_hourly_intervals():
    """The intervals of hours must show such changes."""
    rng, hour = np.random.default_rng(10), np.arange(DAY) // 12
    level = np.where(hour % 2, 1.5, 0.5)
    fills = rng.poisson(60 * level).astype(float)
    ends = stretch_intervals(fills, np.full(DAY, 60.0), hour, hour)
    outside = [not low <= 720 <= high for low, high in ends]
    assert all(outside)
    [(low, high)] = fill_intervals(fills[:, None], np.full((DAY, 1), 60.0))
    assert low <= 60 * DAY <= high
