"""Checks of a fit against statsmodels and against simulated data that the model does, or does not, describe."""

import warnings

import numpy as np
import pytest
from fit_tables import S1, S2, Raw, columns, random_raw
from scipy.stats import chi2, poisson

from mm.calibration.estimators import Estimate, likelihood_peak, maximum_likelihood
from mm.calibration.goodness import _hosts, curvature_p, dispersion, goodness, sides_p
from mm.calibration.points import Points
from mm.calibration.sample import Sample

DELTA = np.array([1, 2, 3, 5, 8, 13.0])


def compared(bid, ask, found):
    tables = bid.table, ask.table
    return sides_p(tables, tuple(map(likelihood_peak, tables)), found)


def glm(design, raw):
    import statsmodels.api as sm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sm.GLM(raw.fills, design, family=sm.families.Poisson(), offset=np.log(raw.exposure)).fit(tol=1e-13)


@pytest.mark.parametrize("case", [S1, S2])
def test_the_published_cases_are_met(case):
    """Log-likelihood, deviance and Pearson to 1e-6."""
    table = Raw.of(*columns(case).values()).table
    good = goodness(table, maximum_likelihood(table))
    for name in ("loglik", "deviance", "pearson_chi2", "df_resid", "aic"):
        assert getattr(good, name) == pytest.approx(case["poisson_mle"][name], abs=1e-6), name


def test_random_tables_agree_with_statsmodels():
    """Likelihood, deviance, Pearson, and the test of a delta² term."""
    rng = np.random.default_rng(4)
    for _ in range(40):
        raw = random_raw(rng, least_fills=30)
        found = maximum_likelihood(raw.table)
        if not isinstance(found, Estimate):
            continue
        good = goodness(raw.table, found)
        line = glm(np.stack([np.ones_like(raw.delta), -raw.delta], axis=1), raw)
        assert (good.loglik, good.deviance, good.pearson_chi2) == pytest.approx(
            (line.llf, line.deviance, line.pearson_chi2), rel=1e-7, abs=1e-7
        )
        assert good.deviance_p == pytest.approx(chi2.sf(line.deviance, len(raw.delta) - 2) if good.df_resid else 1.0)
        if len(raw.delta) > 2:
            curve = glm(np.stack([np.ones_like(raw.delta), -raw.delta, raw.delta**2], axis=1), raw)
            assert curvature_p(raw.table, found) == pytest.approx(
                chi2.sf(max(2 * (curve.llf - line.llf), 0), 1), rel=1e-3, abs=1e-5
            )


def test_a_bend_is_seen_also_in_cells_and_needs_three_distances():
    """A power law is not an exponential."""
    depth = np.random.default_rng(6).pareto(1.5, 3000)
    counts = np.bincount(np.floor(depth).clip(max=20).astype(int), minlength=21)
    raw = Raw.of(np.arange(21), [3600] * 21, counts, [1.0] * 20 + [np.inf])
    assert curvature_p(raw.table, maximum_likelihood(raw.table)) < 1e-6
    straight = np.bincount(
        np.floor(np.random.default_rng(6).exponential(4, 3000)).clip(max=20).astype(int), minlength=21
    )
    raw = Raw.of(np.arange(21), [3600] * 21, straight, [1.0] * 20 + [np.inf])
    assert curvature_p(raw.table, maximum_likelihood(raw.table)) > 0.01
    pair = Raw.of([1, 2], [10, 10], [5, 3]).table
    assert curvature_p(pair, maximum_likelihood(pair)) is None


def test_a_curve_without_a_finite_best_still_has_a_p():
    """Fills at one interior distance: the best parabola is a spike of infinite height in b, finite in likelihood."""
    raw = Raw.of([1, 2, 3, 5, 8, 13], [1200] * 6, [0, 0, 4, 0, 0, 0])
    found = maximum_likelihood(raw.table)
    gap = goodness(raw.table, found).deviance  # the spike describes the counts perfectly
    assert curvature_p(raw.table, found) == pytest.approx(chi2.sf(gap, 1), rel=1e-3)


def test_dispersion_is_one_for_poisson_counts_and_large_for_bursts():
    """Over block × side × distance, rows of one cell summed first."""
    rng = np.random.default_rng(7)
    blocks = 60
    block, side = np.repeat(np.arange(blocks), 12), np.tile(np.repeat([1, -1], 6), blocks)
    delta, exposure = np.tile(DELTA, 2 * blocks), np.full(12 * blocks, 300.0)
    for level, low, high in ((np.ones(blocks), 0.85, 1.15), (rng.gamma(2, 0.5, blocks), 3, 30)):
        fills = rng.poisson(300 * 0.2 * np.repeat(level, 12) * np.exp(-0.3 * delta))
        points = Points.of(delta, exposure, fills, side, block)
        found = maximum_likelihood(Raw.of(delta, exposure, fills).table)
        whole = dispersion(Sample.of(points), found)
        assert low < whole < high
        halves = Points.of(*(np.tile(column, 2) for column in (delta, exposure / 2, fills / 2, side, block)))
        assert dispersion(Sample.of(halves), found) == pytest.approx(whole)
    assert dispersion(Sample.of(points.where([0, 1])), found) is None


def test_one_fill_where_none_should_be_is_not_all_there_is():
    """A count of 1 against an expected 1e-9 would be 1e9; it joins its neighbour, and else nothing changes."""
    delta, exposure = np.tile(np.arange(1, 31.0), 12), np.full(360, 300.0)
    fills = np.random.default_rng(1).poisson(300 * 0.5 * np.exp(-delta)).astype(float)
    block = np.repeat(np.arange(12), 30)
    found = maximum_likelihood(Raw.of(delta, exposure, fills).table)
    expected = exposure * found.A * np.exp(-found.k * delta)
    plain = dispersion(Sample.of(Points.of(delta, exposure, fills, block=block)), found)
    assert plain == pytest.approx(((fills - expected) ** 2 / expected).sum() / 358, rel=0.02)
    fills[29] += 1
    struck = dispersion(Sample.of(Points.of(delta, exposure, fills, block=block)), found)
    assert ((fills - expected) ** 2 / expected).sum() / 358 > 1e6
    assert plain < struck < plain + 1


def test_poor_cells_join_the_nearest_rich_one_of_their_block_and_side():
    """Before it, else after it; where a block and side has none, they are counted together."""
    stretch = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
    rich = np.array([0, 1, 0, 0, 0, 0, 0, 0, 1], bool)
    assert _hosts(stretch, rich).tolist() == [1, 1, 1, 1, 4, 4, 4, 8, 8]
    assert _hosts(stretch, np.zeros(9, bool)).tolist() == [0, 0, 0, 0, 4, 4, 4, 7, 7]


def test_sides_are_compared_by_their_likelihoods():
    """Twice the gain of fitting them apart, two degrees of freedom, written out."""
    rng = np.random.default_rng(12)
    exposure = np.full(6, 2000.0)
    bid, ask = (Raw.of(DELTA, exposure, rng.poisson(exposure * a * np.exp(-0.3 * DELTA))) for a in (0.05, 0.07))
    both = Raw.of(np.tile(DELTA, 2), np.tile(exposure, 2), np.concatenate([bid.fills, ask.fills]))
    found = maximum_likelihood(both.table)
    apart = 0.0
    for raw in (bid, ask):
        own = maximum_likelihood(raw.table)
        for sign, at in ((1, own), (-1, found)):
            apart += sign * poisson.logpmf(raw.fills, exposure * at.A * np.exp(-at.k * DELTA)).sum()
    assert compared(bid, ask, found) == pytest.approx(chi2.sf(2 * apart, 2), rel=1e-6)


def test_equal_sides_differ_at_five_percent_as_often_as_that():
    """The p of equal sides is uniform: 200 simulated days."""
    rng = np.random.default_rng(13)
    exposure = np.full(6, 2000.0)
    low = 0
    for _ in range(200):
        bid, ask = (Raw.of(DELTA, exposure, rng.poisson(exposure * 0.05 * np.exp(-0.3 * DELTA))) for _ in range(2))
        found = maximum_likelihood(Raw.of(DELTA, 2 * exposure, bid.fills + ask.fills).table)
        low += compared(bid, ask, found) < 0.05
    assert abs(low / 200 - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 200)


def test_a_side_without_fills_counts_as_different():
    """No finite A fits it; its likelihood still has a highest value."""
    bid, ask = Raw.of(DELTA, [1e3] * 6, [40, 30, 20, 9, 4, 1]), Raw.of(DELTA, [1e3] * 6, [0] * 6)
    found = maximum_likelihood(Raw.of(DELTA, [2e3] * 6, bid.fills).table)
    assert compared(bid, ask, found) < 1e-10
    near = Raw.of(DELTA, [1e3] * 6, [6, 0, 0, 0, 0, 0])
    assert 0 < compared(bid, near, found) < 1
