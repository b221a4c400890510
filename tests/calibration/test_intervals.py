"""Intervals against roots of the likelihood, explicit formulas, and simulated coverage."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from fit_tables import S1, S2, Raw, columns, random_raw, sample_of
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import t as student

from mm import Points, PoissonFit, fit_poisson
from mm.base.numbers import NORMAL
from mm.calibration.estimators import Estimate, firth, maximum_likelihood
from mm.calibration.intervals import (
    block_robust,
    draws,
    drift_half_life,
    normal_of,
    predictive_ci95,
    profile,
    wald,
    with_block_errors,
)
from mm.errors import FitError

DROP = 3.841458820694124 / 2
CELLS = Raw.of([0, 1, 2, 3, 4], [90, 100, 110, 120, 50], [31, 20, 14, 8, 11], [1, 1, 1, 1, np.inf])


def raw_of(case):
    return Raw.of(*columns(case).values())


def height_at_k(function, k):
    return -minimize_scalar(lambda log_a: -function(log_a, k), bracket=(-6, -3), tol=1e-14).fun


def height_at_a(function, log_a, k):
    return -minimize_scalar(lambda k: -function(log_a, k), bracket=(0.9 * k, 1.1 * k), tol=1e-14).fun


@pytest.mark.parametrize("raw", [raw_of(S1), raw_of(S2), CELLS])
@pytest.mark.parametrize("penalised", [False, True])
def test_profile_interval_ends_at_likelihood_drop(raw, penalised):
    """Both parameters, with and without the prior, by an independent search."""
    found = firth(raw.table) if penalised else maximum_likelihood(raw.table)
    assert isinstance(found, Estimate)
    function = raw.penalised if penalised else raw.loglik
    top = function(found.logA, found.k)
    interval = profile(raw.table, found, penalised=penalised)
    for ends, height, best, error in (
        (interval.k, lambda k: height_at_k(function, k), found.k, found.se_k),
        ([math.log(end) for end in interval.A], lambda a: height_at_a(function, a, found.k), found.logA, found.se_logA),
    ):
        for end, far in zip(ends, (best - 3 * error, best + 3 * error), strict=True):
            assert end == pytest.approx(brentq(lambda at, height=height: top - height(at) - DROP, best, far), rel=1e-5)


@pytest.mark.parametrize("case", [S1, S2])
def test_profile_intervals_of_k_match_published(case):
    """To the tolerance of the reference."""
    raw = raw_of(case)
    found = maximum_likelihood(raw.table)
    assert profile(raw.table, found, penalised=False).k == pytest.approx(case["poisson_mle"]["ci95_k"], rel=1e-5)


def test_wald_intervals_match_published():
    """The published Wald intervals of S1, symmetric in k and ln A."""
    interval = wald(maximum_likelihood(raw_of(S1).table))
    assert interval.k == pytest.approx((0.1845643160884851, 0.34699606693613927), rel=1e-6)
    assert np.log(interval.A) == pytest.approx(np.log([0.062364862051419744, 0.10366786321443723]), rel=1e-6)


def test_interval_of_k_from_cells_ends_at_zero():
    """k of cells is positive; if the data cannot distinguish it from 0, the interval includes 0."""
    raw = Raw.of([0, 1, 2], [10, 10, 10], [5, 4, 4], [1, 1, 1])
    found = maximum_likelihood(raw.table)
    assert isinstance(found, Estimate)
    low, high = profile(raw.table, found, penalised=False).k
    assert low == 0.0
    assert high > found.k


def test_random_tables_have_intervals_around_estimate():
    """Also with very few fills."""
    rng = np.random.default_rng(2)
    for _ in range(25):
        raw = random_raw(rng, least_fills=1)
        for found, penalised in ((maximum_likelihood(raw.table), False), (firth(raw.table), True)):
            if isinstance(found, Estimate):
                interval = profile(raw.table, found, penalised=penalised)
                assert interval.k[0] < found.k < interval.k[1]
                assert interval.A[0] < found.A < interval.A[1]


def test_profile_interval_of_random_tables_ends_at_likelihood_drop():
    """For random distances and counts; ln A is maximised for each k."""
    rng = np.random.default_rng(8)
    checked = 0
    for _ in range(60):
        raw = random_raw(rng, least_fills=1)
        found = maximum_likelihood(raw.table)
        if not isinstance(found, Estimate):
            continue
        for end in profile(raw.table, found, penalised=False).k or ():
            if end > 0 or not raw.table.cells:
                drop = raw.loglik(found.logA, found.k) - height_at_k(raw.loglik, end)
                assert drop == pytest.approx(DROP, rel=1e-4)
                checked += 1
    assert checked > 40


def blocked(rng, *, blocks=24, spread=0.5, rate=0.05):
    """Return points of blocks of 600 s whose rate is gamma distributed with coefficient of variation *spread*."""
    delta = np.array([1, 2, 3, 5, 8, 13.0])
    level = rng.gamma(1 / spread**2, spread**2, blocks) if spread else np.ones(blocks)
    mean = 600 * rate * level[:, None] * np.exp(-0.3 * delta)
    size = blocks * len(delta)
    number = np.repeat(np.arange(blocks), len(delta))
    return Points.of(np.tile(delta, blocks), np.full(size, 600.0), rng.poisson(mean).ravel(), block=number)


def estimate_of(points):
    raw = Raw.of(points.delta_ticks, points.exposure_s, points.fills, points.width_ticks)
    return maximum_likelihood(raw.table)


def test_block_intervals_equal_sandwich_formula():
    """Score contributions per block, weighted by the slowest cosines, written out with loops."""
    points = blocked(np.random.default_rng(9), blocks=7)
    found = estimate_of(points)
    expected = points.exposure_s * np.exp(found.logA - found.k * points.delta_ticks)
    assert max(2, round(0.4 * 7 ** (2 / 3))) == 2
    meat = np.zeros((2, 2))
    for wave in (1, 2):
        score = np.zeros(2)
        for block in range(7):
            in_block = points.block == block
            residual = (points.fills - expected)[in_block]
            weight = math.sqrt(2 / 7) * math.cos(math.pi * wave * (block + 0.5) / 7)
            score += weight * np.array([residual.sum(), -(residual * points.delta_ticks[in_block]).sum()])
        meat += 7 / 2 * np.outer(score, score)
    design = np.stack([np.ones_like(expected), -points.delta_ticks], axis=1)
    bread = np.linalg.inv(design.T @ (expected[:, None] * design))
    wide = (student.ppf(0.975, 2) / student.ppf(0.975, 1e9)) ** 2
    covariance = wide * bread @ meat @ bread
    root = np.linalg.cholesky(bread)  # in no direction below the likelihood's own
    values, axes = np.linalg.eigh(np.linalg.inv(root) @ covariance @ np.linalg.inv(root).T)
    assert (values < 1).any()
    covariance = root @ axes @ np.diag(np.maximum(values, 1)) @ axes.T @ root.T
    reach = student.ppf(0.975, 1e9) * np.sqrt(np.diag(covariance))
    interval = block_robust(sample_of(points), found)
    assert interval.cov == pytest.approx(covariance[0, 1], rel=1e-8)
    assert interval.k == pytest.approx((found.k - reach[1], found.k + reach[1]), rel=1e-8)
    assert np.log(interval.A) == pytest.approx([found.logA - reach[0], found.logA + reach[0]], rel=1e-8)


def test_block_intervals_need_two_blocks_and_all_rows():
    """One block shows no variation; rows outside blocks would be left out silently."""
    points = blocked(np.random.default_rng(9), blocks=3)
    assert sample_of(points).n_blocks == 3
    found = estimate_of(points)
    for block in (np.zeros(len(points)), np.where(points.block == 2, -1, points.block)):
        changed = Points.of(points.delta_ticks, points.exposure_s, points.fills, block=block)
        assert sample_of(changed).n_blocks < 2
        assert block_robust(sample_of(changed), found).k is None


def test_profile_intervals_have_nominal_coverage():
    """200 simulated days at 49 fills: 95 % within three binomial errors."""
    rng = np.random.default_rng(31)
    delta = np.array([1, 2, 3, 5, 8, 13.0])
    exposure = np.full(6, 49 / np.exp(-0.3 * delta).sum())
    hits = np.zeros(2)
    for _ in range(200):
        raw = Raw.of(delta, exposure, rng.poisson(exposure * np.exp(-0.3 * delta)))
        interval = profile(raw.table, maximum_likelihood(raw.table), penalised=False)
        hits += [interval.k[0] <= 0.3 <= interval.k[1], interval.A[0] <= 1.0 <= interval.A[1]]
    assert (np.abs(hits / 200 - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 200)).all()


def test_block_intervals_cover_clustered_flow():
    """Rates vary by half between blocks: the block interval of ln A covers, the likelihood's does not."""
    rng = np.random.default_rng(32)
    robust = naive = 0
    for _ in range(300):
        points = blocked(rng)
        found = estimate_of(points)
        low, high = block_robust(sample_of(points), found).A
        robust += low <= 0.05 <= high
        low, high = wald(found).A
        naive += low <= 0.05 <= high
    assert abs(robust / 300 - 0.945) < 0.04
    assert naive / 300 < 0.8


def points_of(counts):
    counts = np.asarray(counts, float)
    return Points.of(np.zeros(len(counts)), np.full(len(counts), 300.0), counts, block=np.arange(len(counts)))


def hawkes_blocks(rng, blocks, rate=0.1, branching=0.7):
    """Return counts per 300 s of a self-exciting process with offspring 5 s later on average."""
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
    inside = []
    for at in range(train, len(series) - step + 1, step):
        low, high = predictive_ci95(points_of(series[at - train : at]), 300.0 * step)
        inside.append(low <= series[at : at + step].sum() <= high)
    return inside


def test_predictive_interval_covers_clustered_flow():
    """Two hours of training every 15 minutes, as in a schedule; the interval of A would cover one in five."""
    rng = np.random.default_rng(3)
    inside = np.concatenate([covered(hawkes_blocks(rng, 288)) for _ in range(6)])
    assert 0.90 <= inside.mean() <= 0.975


def test_predictive_interval_covers_poisson_flow():
    rng = np.random.default_rng(4)
    inside = np.concatenate([covered(rng.poisson(8, 288)) for _ in range(4)])
    assert 0.93 <= inside.mean() <= 0.995


@pytest.mark.parametrize(("horizon_s", "share"), [(60.0, 0.2), (450.0, 1.5), (3600.0, 12.0)])
def test_predictive_interval_scales_with_horizon(horizon_s, share):
    """Horizons shorter than a block, not a multiple of one, and much longer."""
    rng = np.random.default_rng(5)
    low, high = predictive_ci95(points_of(rng.poisson(40, 96)), horizon_s)
    mean = 40 * share
    assert low < mean < high
    assert mean - 6 * mean**0.5 - 2 <= low
    assert high <= mean + 6 * mean**0.5 + 2


def test_predictive_interval_is_that_of_one_more_logarithm():
    """Student's t by hand, of periods of three blocks, whose mean has twice the variance of independent ones."""
    counts = [400, 900, 150, 620, 380, 1_300, 90, 510, 700, 240, 330, 820]
    logs = [math.log(sum(counts[at : at + 3]) + 0.5) for at in range(0, 12, 3)]
    mean = sum(logs) / 4
    spread = math.sqrt(sum((one - mean) ** 2 for one in logs) / 3 * (1 + 2 / 4))
    half = student.ppf(0.975, 3) * spread
    assert predictive_ci95(points_of([7, *counts]), 900.0) == (  # the block before the last twelve fills no period
        math.floor(math.exp(mean - half) - 0.5),
        math.ceil(math.exp(mean + half) - 0.5),
    )


def test_half_life_of_a_drift_is_that_of_neighbouring_blocks():
    """Written out with loops: the noise of counts is taken off the variance, the bias of a short series added."""
    counts = [60, 140, 120, 70, 40, 90, 150, 130, 60, 50]
    points = Points.of(np.tile([1.0, 2.0], 10), np.full(20, 300.0), np.repeat(counts, 2), block=np.repeat(range(10), 2))
    found = replace(estimate_of(points), pivot_delta=0.0)
    sample = sample_of(points)
    expected = sum(sample.expected(found)) / 10
    beyond = [2 * count - expected for count in counts]
    variance = sum(one**2 for one in beyond) / 9 - expected
    alike = sum(one * next_one for one, next_one in pairwise(beyond)) / 9 / variance
    alike += (1 + 3 * alike) / 10
    assert 0 < alike < 1
    assert drift_half_life(sample, found) == pytest.approx(math.log(0.5) / math.log(alike))


def test_errors_by_blocks_keep_the_correlation():
    """Of ln A and k, in the file of an earlier version, which does not have that of blocks."""
    blocks = {"ci95_A_block": (0.8 * math.exp(-0.4), 0.8 * math.exp(0.4)), "ci95_k_block": (0.31, 0.39), "n_blocks": 24}
    wide = with_block_errors(replace(FIT, **blocks))
    quantile = student.ppf(0.975, max(2, round(0.4 * 24 ** (2 / 3))))
    assert (wide.se_logA, wide.se_k) == (pytest.approx(0.4 / quantile), pytest.approx(0.04 / quantile))
    assert wide.cov_logA_k / (wide.se_logA * wide.se_k) == pytest.approx(0.0003 / (0.05 * 0.01))


def test_predictive_interval_needs_enough_blocks():
    assert predictive_ci95(points_of([3, 4, 5, 4, 3, 2]), 900.0) is None
    without_blocks = Points.of([1.0], [10.0], [3.0])
    assert predictive_ci95(without_blocks, 900.0) is None
    low, high = predictive_ci95(points_of(np.zeros(24)), 900.0)
    assert low == 0
    assert high <= 3


FIT = PoissonFit(
    fit_method="poisson_mle",
    A=0.8,
    k=0.35,
    logA=math.log(0.8),
    se_logA=0.05,
    se_k=0.01,
    cov_logA_k=0.0003,
    n_fills=1000,
    exposure_s=1e5,
    usable=True,
    status="ok",
    reason="",
)


def drawn(fit, count=4_000, seed=0):
    """Return ln A and k of the draws, as columns."""
    return np.array([(fit.logA, fit.k) for fit in draws(fit, count, seed)])


def test_draws_have_mean_and_covariance_of_fit():
    """Within four standard errors of each moment."""
    found = drawn(FIT)
    assert found.mean(axis=0) == pytest.approx([math.log(0.8), 0.35], abs=4 * 0.05 / math.sqrt(4_000))
    covariance = np.cov(found.T)
    assert covariance == pytest.approx(np.array([[0.0025, 0.0003], [0.0003, 0.0001]]), rel=0.1)
    assert all(pytest.approx(math.exp(fit.logA)) == fit.A for fit in draws(FIT, 5, 1))


@pytest.mark.parametrize("correlation", [-0.5, 0.9])
def test_draws_have_covariance_of_blocks(correlation):
    """Bursty flow determines A less precisely than its number of fills suggests, and moves A without k."""
    half_a, half_k = 0.392, 0.1176
    ends = {"ci95_A_block": (0.8 * math.exp(-half_a), 0.8 * math.exp(half_a)), "ci95_k_block": (0.2324, 0.4676)}
    cov = correlation * half_a * half_k / 1.96**2
    found = drawn(replace(FIT, **ends, n_blocks=24, cov_logA_k_block=cov))
    assert found.std(axis=0, ddof=1) == pytest.approx([0.2, 0.06], rel=0.05)
    assert np.corrcoef(found.T)[0, 1] == pytest.approx(correlation, abs=0.05)


def test_band_of_a_regimes_day_is_that_of_blocks():
    """A level that changes from block to block moves all distances alike: as far at 12 ticks as at 0."""
    rng = np.random.default_rng(5)
    delta = np.tile([1, 2, 3, 5, 8, 12.0], 48)
    level = np.repeat(rng.permutation([0.2] * 24 + [1.8] * 24), 6)
    exposure = np.full(len(delta), 30_000.0)
    counts = rng.poisson(exposure * 0.05 * level * np.exp(-0.1 * delta))
    fit = fit_poisson(Points.of(delta, exposure, counts, block=np.repeat(np.arange(48), 6)))
    a, k, correlation = normal_of(fit)
    error = {at: math.sqrt(a**2 - 2 * at * correlation * a * k + (at * k) ** 2) for at in (0, 12)}
    assert error[12] == pytest.approx(error[0], rel=0.3)
    assert error[12] > 0.05


def test_band_of_drawn_clusters_holds_the_rate():
    """Of 150 days whose blocks have their own level and k: far from where fills are, and where they are.

    The mean rate is known in closed form: E[level] A E[exp(-k δ)], of independent normal ln level and k.
    """
    rng, delta, held = np.random.default_rng(29), np.array([1, 2, 3, 5, 8, 12.0]), []
    at, apart = np.array([0, 4, 12.0]), 0.02
    for _ in range(150):
        level = np.repeat(np.exp(rng.normal(-0.32, 0.8, 48)), 6)
        k = np.repeat(rng.normal(0.2, apart, 48), 6)
        mean = 30_000 * 0.05 * level * np.exp(-k * np.tile(delta, 48))
        exposure = np.full(len(mean), 30_000.0)
        blocks = np.repeat(np.arange(48), 6)
        fit = fit_poisson(Points.of(np.tile(delta, 48), exposure, rng.poisson(mean), block=blocks))
        error_a, error_k, correlation = normal_of(fit)
        variance = error_a**2 - 2 * at * correlation * error_a * error_k + (at * error_k) ** 2
        true = np.log(0.05) - 0.2 * at + (apart * at) ** 2 / 2
        held.append(abs(fit.logA - fit.k * at - true) <= NORMAL * np.sqrt(variance))
    assert np.mean(held, axis=0) == pytest.approx([0.95] * 3, abs=0.05)


def test_drawn_k_is_always_positive():
    """A draw with negative k is repeated, not clipped."""
    loose = replace(FIT, se_k=0.35, cov_logA_k=0.0)
    found = drawn(loose, 500)
    assert (found[:, 1] > 0).all()
    assert len(found) == 500


def test_equal_seeds_give_equal_draws():
    """A band can be reproduced."""
    assert (drawn(FIT, 20, 3) == drawn(FIT, 20, 3)).all()
    assert (drawn(FIT, 20, 3) != drawn(FIT, 20, 4)).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"usable": False, "A": None, "k": None, "status": "few_fills"}, "not usable"), ({"se_k": None}, "no standard")],
)
def test_draws_from_invalid_fit_raise_fit_error(change, message):
    """A fit without A and k, or without errors."""
    with pytest.raises(FitError, match=message):
        next(draws(replace(FIT, **change), 1, 0))
