"""Intervals against roots found on the likelihood itself, formulas written out, and simulated coverage."""

import math

import numpy as np
import pytest
from fit_tables import S1, S2, Raw, columns, random_raw
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import t as student

from mm.calibration.estimators import Estimate, firth, maximum_likelihood
from mm.calibration.intervals import block_robust, cosines, long_run_error, profile, wald
from mm.calibration.points import Points
from mm.calibration.sample import Sample

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
def test_profile_ends_are_where_the_likelihood_has_dropped(raw, penalised):
    """Both parameters, with and without the prior, by a search that shares no code with ours."""
    found = firth(raw.table) if penalised else maximum_likelihood(raw.table)
    assert isinstance(found, Estimate)
    function = raw.penalised if penalised else raw.loglik
    top = function(found.logA, found.k)
    ours = profile(raw.table, found, penalised=penalised)
    for ends, height, best, error in (
        (ours.k, lambda k: height_at_k(function, k), found.k, found.se_k),
        ([math.log(end) for end in ours.A], lambda a: height_at_a(function, a, found.k), found.logA, found.se_logA),
    ):
        for end, far in zip(ends, (best - 3 * error, best + 3 * error), strict=True):
            assert end == pytest.approx(brentq(lambda at, height=height: top - height(at) - DROP, best, far), rel=1e-5)


@pytest.mark.parametrize("case", [S1, S2])
def test_profile_intervals_of_k_are_the_published_ones(case):
    """To the tolerance of the reference."""
    raw = raw_of(case)
    found = maximum_likelihood(raw.table)
    assert profile(raw.table, found, penalised=False).k == pytest.approx(case["poisson_mle"]["ci95_k"], rel=1e-5)


def test_wald_intervals_are_symmetric_in_k_and_in_the_logarithm_of_a():
    """The published Wald intervals of S1."""
    ours = wald(maximum_likelihood(raw_of(S1).table))
    assert ours.k == pytest.approx((0.1845643160884851, 0.34699606693613927), rel=1e-6)
    assert np.log(ours.A) == pytest.approx(np.log([0.062364862051419744, 0.10366786321443723]), rel=1e-6)


def test_an_interval_of_cells_that_reaches_zero_ends_there():
    """k of cells is positive; where the data cannot tell it from 0, the interval says 0."""
    raw = Raw.of([0, 1, 2], [10, 10, 10], [5, 4, 4], [1, 1, 1])
    found = maximum_likelihood(raw.table)
    assert isinstance(found, Estimate)
    low, high = profile(raw.table, found, penalised=False).k
    assert low == 0.0
    assert high > found.k


def test_every_random_table_has_both_intervals_around_its_estimate():
    """No table of the model is left without, however few its fills."""
    rng = np.random.default_rng(2)
    for _ in range(25):
        raw = random_raw(rng, least_fills=1)
        for found, penalised in ((maximum_likelihood(raw.table), False), (firth(raw.table), True)):
            if isinstance(found, Estimate):
                ours = profile(raw.table, found, penalised=penalised)
                assert ours.k[0] < found.k < ours.k[1]
                assert ours.A[0] < found.A < ours.A[1]


def blocked(rng, *, blocks=24, spread=0.5, rate=0.05):
    """Return points of many blocks of 300 s whose rate is gamma with that coefficient of variation."""
    delta = np.array([1, 2, 3, 5, 8, 13.0])
    level = rng.gamma(1 / spread**2, spread**2, blocks) if spread else np.ones(blocks)
    mean = 600 * rate * level[:, None] * np.exp(-0.3 * delta)
    size = blocks * len(delta)
    number = np.repeat(np.arange(blocks), len(delta))
    return Points.of(np.tile(delta, blocks), np.full(size, 600.0), rng.poisson(mean).ravel(), block=number)


def estimate_of(points):
    raw = Raw.of(points.delta_ticks, points.exposure_s, points.fills, points.width_ticks)
    return maximum_likelihood(raw.table)


def test_block_intervals_are_bread_cosines_bread():
    """Score contributions block by block, weighted by the slowest cosines, written out with loops."""
    points = blocked(np.random.default_rng(9), blocks=7)
    found = estimate_of(points)
    expected = points.exposure_s * np.exp(found.logA - found.k * points.delta_ticks)
    assert cosines(7) == 2 == max(2, round(0.4 * 7 ** (2 / 3)))
    meat = np.zeros((2, 2))
    for wave in (1, 2):
        score = np.zeros(2)
        for block in range(7):
            mine = points.block == block
            residual = (points.fills - expected)[mine]
            weight = math.sqrt(2 / 7) * math.cos(math.pi * wave * (block + 0.5) / 7)
            score += weight * np.array([residual.sum(), -(residual * points.delta_ticks[mine]).sum()])
        meat += 7 / 2 * np.outer(score, score)
    design = np.stack([np.ones_like(expected), -points.delta_ticks], axis=1)
    bread = np.linalg.inv(design.T @ (expected[:, None] * design))
    covariance = bread @ meat @ bread
    reach = student.ppf(0.975, 2) * np.sqrt(np.diag(covariance))
    ours = block_robust(Sample.of(points), found)
    assert ours.k == pytest.approx((found.k - reach[1], found.k + reach[1]), rel=1e-8)
    assert np.log(ours.A) == pytest.approx([found.logA - reach[0], found.logA + reach[0]], rel=1e-8)


def test_blocks_need_two_and_every_row():
    """One block shows no variation; rows outside blocks would be left out silently."""
    points = blocked(np.random.default_rng(9), blocks=3)
    assert Sample.of(points).n_blocks == 3
    found = estimate_of(points)
    for block in (np.zeros(len(points)), np.where(points.block == 2, -1, points.block)):
        some = Points.of(points.delta_ticks, points.exposure_s, points.fills, block=block)
        assert Sample.of(some).n_blocks < 2
        assert block_robust(Sample.of(some), found).k is None


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_a_long_run_error_knows_neighbours_that_depend_on_each_other(rho):
    """The mean of its square, over the variance of sums of an autoregression that are drawn."""
    rng = np.random.default_rng(33)
    noise = rng.standard_normal((4000, 216))
    series = noise.copy()
    for at in range(1, 216):
        series[:, at] = rho * series[:, at - 1] + math.sqrt(1 - rho**2) * noise[:, at]
    drawn = series.sum(axis=1).var()
    found = np.mean([long_run_error(one - one.mean()) ** 2 for one in series[:1000]])
    assert found / drawn == pytest.approx(1, abs=0.12)


def test_profile_intervals_cover_as_often_as_they_say():
    """200 simulated days at 49 fills: 95 % within three binomial errors."""
    rng = np.random.default_rng(31)
    delta = np.array([1, 2, 3, 5, 8, 13.0])
    exposure = np.full(6, 49 / np.exp(-0.3 * delta).sum())
    hits = np.zeros(2)
    for _ in range(200):
        raw = Raw.of(delta, exposure, rng.poisson(exposure * np.exp(-0.3 * delta)))
        ours = profile(raw.table, maximum_likelihood(raw.table), penalised=False)
        hits += [ours.k[0] <= 0.3 <= ours.k[1], ours.A[0] <= 1.0 <= ours.A[1]]
    assert (np.abs(hits / 200 - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 200)).all()


def test_block_intervals_cover_where_the_flow_is_clustered():
    """Rates that wander by half from block to block: the blocks' interval of ln A holds, the likelihood's does not."""
    rng = np.random.default_rng(32)
    robust = naive = 0
    for _ in range(300):
        points = blocked(rng)
        found = estimate_of(points)
        low, high = block_robust(Sample.of(points), found).A
        robust += low <= 0.05 <= high
        low, high = wald(found).A
        naive += low <= 0.05 <= high
    assert abs(robust / 300 - 0.945) < 0.04
    assert naive / 300 < 0.8
