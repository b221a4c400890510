"""Checks of a fit against statsmodels and against simulated data that the model does, or does not, describe."""

import warnings

import numpy as np
import pytest
from fit_tables import S1, S2, Raw, columns, random_raw
from scipy.stats import chi2, poisson

from mm.calibration.estimators import Estimate, likelihood_peak, maximum_likelihood
from mm.calibration.goodness import curvature_p, dispersion, goodness, pools, sides_p
from mm.calibration.points import Points
from mm.calibration.sample import Sample

DELTA = np.array([1, 2, 3, 5, 8, 13.0])
NAMES = ("delta", "exposure", "fills")


def compared(bid, ask, found):
    tables = bid.table, ask.table
    points = Points.of(*(np.concatenate([getattr(raw, name) for raw in (bid, ask)]) for name in NAMES))
    return sides_p(Sample.of(points), tables, tuple(map(likelihood_peak, tables)), found)


def bend(raw, found):
    return curvature_p(
        Sample.of(Points.of(raw.delta, raw.exposure, raw.fills, width_ticks=raw.width)), raw.table, found
    )


def glm(design, raw):
    import statsmodels.api as sm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sm.GLM(raw.fills, design, family=sm.families.Poisson(), offset=np.log(raw.exposure)).fit(tol=1e-13)


@pytest.mark.parametrize("case", [S1, S2])
def test_the_published_cases_are_met(case):
    """Log-likelihood and Pearson to 1e-6; the deviance of pooled rows stands in test_poisson_fit.py."""
    table = Raw.of(*columns(case).values()).table
    good = goodness(table, maximum_likelihood(table))
    for name in ("loglik", "pearson_chi2", "aic"):
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
        assert (good.loglik, good.pearson_chi2) == pytest.approx((line.llf, line.pearson_chi2), rel=1e-7, abs=1e-7)
        if line.mu.min() >= 5:  # no row is pooled
            assert good.deviance == pytest.approx(line.deviance, rel=1e-7, abs=1e-7)
            assert good.p == (pytest.approx(chi2.sf(line.deviance, len(raw.delta) - 2)) if good.df_resid else None)
        if len(raw.delta) > 2:
            curve = glm(np.stack([np.ones_like(raw.delta), -raw.delta, raw.delta**2], axis=1), raw)
            assert bend(raw, found) == pytest.approx(chi2.sf(max(2 * (curve.llf - line.llf), 0), 1), rel=1e-3, abs=1e-5)


def test_a_bend_is_seen_also_in_cells_and_needs_three_distances():
    """A power law is not an exponential."""
    depth = np.random.default_rng(6).pareto(1.5, 3000)
    counts = np.bincount(np.floor(depth).clip(max=20).astype(int), minlength=21)
    raw = Raw.of(np.arange(21), [3600] * 21, counts, [1.0] * 20 + [np.inf])
    assert bend(raw, maximum_likelihood(raw.table)) < 1e-6
    straight = np.bincount(
        np.floor(np.random.default_rng(6).exponential(4, 3000)).clip(max=20).astype(int), minlength=21
    )
    raw = Raw.of(np.arange(21), [3600] * 21, straight, [1.0] * 20 + [np.inf])
    assert bend(raw, maximum_likelihood(raw.table)) > 0.01
    pair = Raw.of([1, 2], [10, 10], [5, 3])
    assert bend(pair, maximum_likelihood(pair.table)) is None


def test_a_curve_without_a_finite_best_still_has_a_p():
    """Fills at one interior distance: the best parabola is a spike of infinite height in b, finite in likelihood."""
    raw = Raw.of([1, 2, 3, 5, 8, 13], [1200] * 6, [0, 0, 4, 0, 0, 0])
    found = maximum_likelihood(raw.table)
    mean = 4 * np.exp(-found.k * raw.delta) / np.exp(-found.k * raw.delta).sum()
    gap = 8 * np.log(4 / mean[2])  # the spike describes the counts perfectly
    assert bend(raw, found) == pytest.approx(chi2.sf(gap, 1), rel=1e-3)


def test_neighbours_are_pooled_to_five_expected_fills():
    """From the near end; what is left over at the far end joins the last pool."""
    assert pools(np.array([9, 3, 3, 1, 4.9, 0.1, 2, 1e-9])).tolist() == [0, 1, 1, 2, 2, 2, 2, 2]
    assert pools(np.array([1.0, 1, 1])).tolist() == [0, 0, 0]
    assert pools(np.array([6.0, 1, 1])).tolist() == [0, 0, 0]
    assert pools(np.array([])).tolist() == []


def cells_of(counts):
    return Raw.of(np.arange(51) + 0.5, [7200.0] * 51, counts, [1.0] * 50 + [np.inf])


def shares(k):
    edges = np.exp(-k * (np.arange(51) + 0.5))
    return np.append(edges[:-1] - edges[1:], edges[-1]) / edges[0]


def p_of(raw):
    return goodness(raw.table, maximum_likelihood(raw.table)).p


@pytest.mark.parametrize(("k", "fills"), [(0.3, 400), (1.6, 2000), (0.6, 60)])
def test_a_true_exponential_is_called_poor_in_one_case_of_a_hundred(k, fills):
    """Also where nearly all of 51 cells are empty: 600 tables (3,000 in mm bench calibration --full)."""
    rng = np.random.default_rng(17)
    found = [p_of(cells_of(rng.poisson(fills * shares(k)))) for _ in range(600)]
    assert 0 < np.mean([p < 0.01 for p in found if p is not None]) < 0.025


@pytest.mark.parametrize("k", [0.3, 0.7, 1.6])
def test_a_second_row_that_is_a_third_too_high_is_found(k):
    """2,000 fills, the second-nearest row +30 %: the test that counted empty cells found none of them."""
    rng = np.random.default_rng(18)
    level = np.where(np.arange(51) == 1, 1.3, 1.0)
    found = [p_of(cells_of(rng.poisson(2000 * shares(k) * level))) for _ in range(200)]
    assert np.mean([p < 0.01 for p in found]) > 0.65


def bursty(rng, hours, branching, rates=(0.05, 0.05), k=0.3):
    """Return points of blocks of 300 s: each side a Hawkes process, offspring 5 s later in the mean."""
    parts, blocks = [], hours * 12
    for side, rate in zip((1, -1), rates, strict=True):
        alive = rng.uniform(-100, hours * 3600, rng.poisson(rate * (1 - branching) * (hours * 3600 + 100)))
        seconds = [alive]
        while alive.size:
            alive = np.repeat(alive, rng.poisson(branching, alive.size))
            alive = alive + rng.exponential(5, alive.size)
            seconds.append(alive[alive < hours * 3600])
            alive = seconds[-1]
        at = np.concatenate(seconds)
        at = at[at >= 0]
        counts = np.zeros((blocks, 21))
        np.add.at(counts, ((at // 300).astype(int), np.minimum(rng.exponential(1 / k, at.size), 20).astype(int)), 1)
        parts.append((counts.ravel(), np.full(counts.size, side)))
    fills, sides = (np.concatenate(column) for column in zip(*parts, strict=True))
    delta = np.tile(np.arange(21.0), 2 * blocks)
    block = np.tile(np.repeat(np.arange(blocks), 21), 2)
    return Points.of(delta, np.full(delta.size, 300.0), fills, sides, block, np.where(delta < 20, 1.0, np.inf))


def diagnosed(points):
    """Return the p of the sides, the p of a bend, and the dispersion."""
    sample = Sample.of(points)
    found, tables = maximum_likelihood(sample.table()), (sample.table(1), sample.table(-1))
    sides = sides_p(sample, tables, tuple(map(likelihood_peak, tables)), found)
    return sides, curvature_p(sample, sample.table(), found), dispersion(sample, found)


def test_bursts_are_no_difference_of_the_sides_and_no_bend():
    """Hawkes flow of branching .7: false alarms at 1 % were 44 % by Poisson likelihoods."""
    rng = np.random.default_rng(19)
    sides, bends, spread = np.array([diagnosed(bursty(rng, 2, 0.7)) for _ in range(300)]).T
    assert np.mean(sides < 0.01) <= 0.02
    assert np.mean(bends < 0.01) <= 0.02
    assert 6 < np.median(spread) < 13  # 1 / (1 - .7)² = 11 in long blocks


def test_sides_that_differ_by_as_much_again_are_found_in_bursts():
    """Six hours, .05/s against .1/s."""
    rng = np.random.default_rng(20)
    found = [diagnosed(bursty(rng, 6, 0.7, rates=(0.05, 0.1)))[0] for _ in range(40)]
    assert np.mean([p < 0.01 for p in found]) > 0.9


def test_dispersion_is_one_for_poisson_flow_whatever_the_curve():
    """Counts of blocks, not of cells: neither a bend nor different sides count."""
    rng = np.random.default_rng(21)
    assert np.mean([diagnosed(bursty(rng, 2, 0.0, (0.05, 0.1)))[2] for _ in range(60)]) == pytest.approx(1, abs=0.1)


def test_dispersion_is_variance_over_mean_of_the_blocks():
    """Written out for one side in blocks of equal exposure; rows of one cell may be split; one block says nothing."""
    rng = np.random.default_rng(7)
    block, delta = np.repeat(np.arange(60), 6), np.tile(DELTA, 60)
    fills = rng.poisson(20 * np.repeat(rng.gamma(2, 0.5, 60), 6) * np.exp(-0.3 * delta))
    points = Points.of(delta, np.full(360, 300.0), fills, block=block)
    found = maximum_likelihood(Sample.of(points).table())
    totals = np.bincount(block, fills)
    assert dispersion(Sample.of(points), found) == pytest.approx(totals.var(ddof=1) / totals.mean())
    halves = Points.of(np.tile(delta, 2), np.full(720, 150.0), np.tile(fills / 2, 2), block=np.tile(block, 2))
    assert dispersion(Sample.of(halves), found) == pytest.approx(totals.var(ddof=1) / totals.mean())
    assert dispersion(Sample.of(points.where(block == 0)), found) is None


def test_too_few_blocks_have_no_p():
    """Three blocks cannot show how bursty the flow is; without any, every fill is taken for independent."""
    points = bursty(np.random.default_rng(22), 1, 0.7)
    few = points.where(points.block < 3)
    assert diagnosed(few)[:2] == (None, None)
    none = Points.of(few.delta_ticks, few.exposure_s, few.fills, few.side, width_ticks=few.width_ticks)
    assert None not in diagnosed(none)[:2]


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
