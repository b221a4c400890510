"""Goodness of fit against statsmodels and simulated data, and the residual table."""

import math
import warnings
from itertools import pairwise

import numpy as np
import pytest
from fit_tables import S1, S2, Raw, columns, random_raw, sample_of
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import chi2, poisson

from mm import Points, PoissonFit, fit_poisson
from mm.calibration.estimators import Estimate, likelihood_peak, maximum_likelihood
from mm.calibration.goodness import (
    MOST,
    PIECES_S,
    curvature_p,
    dispersion,
    equal_pieces,
    goodness,
    pools,
    residuals,
    sides_p,
    table,
    uniformity,
)
from mm.clock import US_PER_S

DELTA = np.array([1, 2, 3, 5, 8, 13.0])
NAMES = ("delta", "exposure", "fills")


def p_of_sides(bid, ask, found):
    tables = bid.table, ask.table
    points = Points.of(*(np.concatenate([getattr(raw, name) for raw in (bid, ask)]) for name in NAMES))
    return sides_p(sample_of(points), tables, tuple(map(likelihood_peak, tables)), found)


def p_of_curvature(raw, found):
    return curvature_p(
        sample_of(Points.of(raw.delta, raw.exposure, raw.fills, width_ticks=raw.width)), raw.table, found
    )


def glm(design, raw):
    import statsmodels.api as sm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sm.GLM(raw.fills, design, family=sm.families.Poisson(), offset=np.log(raw.exposure)).fit(tol=1e-13)


@pytest.mark.parametrize("case", [S1, S2])
def test_published_cases_match(case):
    """Log-likelihood and Pearson to 1e-6; the deviance of pooled rows is in test_fit_points.py."""
    table = Raw.of(*columns(case).values()).table
    good = goodness(table, maximum_likelihood(table))
    for name in ("loglik", "pearson_chi2", "aic"):
        assert getattr(good, name) == pytest.approx(case["poisson_mle"][name], abs=1e-6), name


@pytest.mark.slow
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
            assert good.goodness_p == (
                pytest.approx(chi2.sf(line.deviance, len(raw.delta) - 2)) if good.df_resid else None
            )
        if len(raw.delta) > 2:
            curve = glm(np.stack([np.ones_like(raw.delta), -raw.delta, raw.delta**2], axis=1), raw)
            assert p_of_curvature(raw, found) == pytest.approx(
                chi2.sf(max(2 * (curve.llf - line.llf), 0), 1), rel=1e-3, abs=1e-5
            )


def test_curvature_is_detected_in_cells_and_needs_three_distances():
    """A power law is rejected, an exponential is not."""
    depth = np.random.default_rng(6).pareto(1.5, 3000)
    counts = np.bincount(np.floor(depth).clip(max=20).astype(int), minlength=21)
    raw = Raw.of(np.arange(21), [3600] * 21, counts, [1.0] * 20 + [np.inf])
    assert p_of_curvature(raw, maximum_likelihood(raw.table)) < 1e-6
    straight = np.bincount(
        np.floor(np.random.default_rng(6).exponential(4, 3000)).clip(max=20).astype(int), minlength=21
    )
    raw = Raw.of(np.arange(21), [3600] * 21, straight, [1.0] * 20 + [np.inf])
    assert p_of_curvature(raw, maximum_likelihood(raw.table)) > 0.01
    pair = Raw.of([1, 2], [10, 10], [5, 3])
    assert p_of_curvature(pair, maximum_likelihood(pair.table)) is None


def test_curvature_p_exists_without_finite_optimum():
    """Fills at one interior distance: the best parabola is an infinite spike with finite likelihood."""
    raw = Raw.of([1, 2, 3, 5, 8, 13], [1200] * 6, [0, 0, 4, 0, 0, 0])
    found = maximum_likelihood(raw.table)
    mean = 4 * np.exp(-found.k * raw.delta) / np.exp(-found.k * raw.delta).sum()
    gap = 8 * np.log(4 / mean[2])  # the spike fits the counts exactly
    assert p_of_curvature(raw, found) == pytest.approx(chi2.sf(gap, 1), rel=1e-3)


def test_neighbouring_rows_are_pooled_to_five_expected_fills():
    """From the near end; a remainder at the far end joins the last pool."""
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
    return goodness(raw.table, maximum_likelihood(raw.table)).goodness_p


@pytest.mark.parametrize(("k", "fills"), [(0.3, 400), (1.6, 2000), (0.6, 60)])
def test_goodness_p_has_nominal_false_alarm_rate(k, fills):
    """Also when nearly all of 51 cells are empty: 600 tables (3,000 in mm bench calibration --full)."""
    rng = np.random.default_rng(17)
    found = [p_of(cells_of(rng.poisson(fills * shares(k)))) for _ in range(600)]
    assert 0 < np.mean([p < 0.01 for p in found if p is not None]) < 0.025


@pytest.mark.parametrize("k", [0.3, 0.7, 1.6])
def test_goodness_p_detects_second_row_raised_by_third(k):
    """2,000 fills, the second-nearest row +30 %: a test that counted empty cells found none."""
    rng = np.random.default_rng(18)
    level = np.where(np.arange(51) == 1, 1.3, 1.0)
    found = [p_of(cells_of(rng.poisson(2000 * shares(k) * level))) for _ in range(200)]
    assert np.mean([p < 0.01 for p in found]) > 0.65


def bursty(rng, hours, branching, rates=(0.05, 0.05), k=0.3):
    """Return points of blocks of 300 s: each side a Hawkes process with offspring 5 s later on average."""
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
    """Return the p of side difference, the p of curvature, and the dispersion."""
    sample = sample_of(points)
    found, tables = maximum_likelihood(sample.table()), (sample.table(1), sample.table(-1))
    sides = sides_p(sample, tables, tuple(map(likelihood_peak, tables)), found)
    return sides, curvature_p(sample, sample.table(), found), dispersion(sample, found)


def test_bursts_do_not_raise_false_alarms_of_sides_and_curvature():
    """Hawkes flow of branching .7: false alarms at 1 % were 44 % by Poisson likelihoods."""
    rng = np.random.default_rng(19)
    sides, bends, spread = np.array([diagnosed(bursty(rng, 2, 0.7)) for _ in range(300)]).T
    assert np.mean(sides < 0.01) <= 0.02
    assert np.mean(bends < 0.01) <= 0.02
    assert 6 < np.median(spread) < 13  # 1 / (1 - .7)² = 11 in long blocks


def test_doubled_rate_of_one_side_is_detected_in_bursts():
    """Six hours, .05/s against .1/s."""
    rng = np.random.default_rng(20)
    found = [diagnosed(bursty(rng, 6, 0.7, rates=(0.05, 0.1)))[0] for _ in range(40)]
    assert np.mean([p < 0.01 for p in found]) > 0.9


def test_dispersion_is_one_for_poisson_flow_with_unequal_sides():
    """Counts are per block, not per cell: neither curvature nor different sides matter."""
    rng = np.random.default_rng(21)
    assert np.mean([diagnosed(bursty(rng, 2, 0.0, (0.05, 0.1)))[2] for _ in range(60)]) == pytest.approx(1, abs=0.1)


def test_dispersion_equals_variance_over_mean_of_blocks():
    """One side with equal block exposures; rows of a cell may be split; a single block gives None."""
    rng = np.random.default_rng(7)
    block, delta = np.repeat(np.arange(60), 6), np.tile(DELTA, 60)
    fills = rng.poisson(20 * np.repeat(rng.gamma(2, 0.5, 60), 6) * np.exp(-0.3 * delta))
    points = Points.of(delta, np.full(360, 300.0), fills, block=block)
    found = maximum_likelihood(sample_of(points).table())
    totals = np.bincount(block, fills)
    assert dispersion(sample_of(points), found) == pytest.approx(totals.var(ddof=1) / totals.mean())
    halves = Points.of(np.tile(delta, 2), np.full(720, 150.0), np.tile(fills / 2, 2), block=np.tile(block, 2))
    assert dispersion(sample_of(halves), found) == pytest.approx(totals.var(ddof=1) / totals.mean())
    assert dispersion(sample_of(points.where(block == 0)), found) is None


def test_too_few_blocks_give_no_p():
    """Three blocks cannot show how bursty the flow is; without blocks fills count as independent."""
    points = bursty(np.random.default_rng(22), 1, 0.7)
    few = points.where(points.block < 3)
    assert diagnosed(few)[:2] == (None, None)
    without_blocks = Points.of(few.delta_ticks, few.exposure_s, few.fills, few.side, width_ticks=few.width_ticks)
    assert None not in diagnosed(without_blocks)[:2]


def test_sides_p_equals_likelihood_ratio_test():
    """Twice the likelihood gain of separate fits, with two degrees of freedom."""
    rng = np.random.default_rng(12)
    exposure = np.full(6, 2000.0)
    bid, ask = (Raw.of(DELTA, exposure, rng.poisson(exposure * a * np.exp(-0.3 * DELTA))) for a in (0.05, 0.07))
    both = Raw.of(np.tile(DELTA, 2), np.tile(exposure, 2), np.concatenate([bid.fills, ask.fills]))
    found = maximum_likelihood(both.table)
    gain = 0.0
    for raw in (bid, ask):
        own = maximum_likelihood(raw.table)
        for sign, at in ((1, own), (-1, found)):
            gain += sign * poisson.logpmf(raw.fills, exposure * at.A * np.exp(-at.k * DELTA)).sum()
    assert p_of_sides(bid, ask, found) == pytest.approx(chi2.sf(2 * gain, 2), rel=1e-6)


def test_equal_sides_have_nominal_false_alarm_rate():
    """The p of equal sides is uniform: 200 simulated days."""
    rng = np.random.default_rng(13)
    exposure = np.full(6, 2000.0)
    low = 0
    for _ in range(200):
        bid, ask = (Raw.of(DELTA, exposure, rng.poisson(exposure * 0.05 * np.exp(-0.3 * DELTA))) for _ in range(2))
        found = maximum_likelihood(Raw.of(DELTA, 2 * exposure, bid.fills + ask.fills).table)
        low += p_of_sides(bid, ask, found) < 0.05
    assert abs(low / 200 - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 200)


def test_side_without_fills_counts_as_different():
    """No finite A fits it, but its likelihood still has a supremum."""
    bid, ask = Raw.of(DELTA, [1e3] * 6, [40, 30, 20, 9, 4, 1]), Raw.of(DELTA, [1e3] * 6, [0] * 6)
    found = maximum_likelihood(Raw.of(DELTA, [2e3] * 6, bid.fills).table)
    assert p_of_sides(bid, ask, found) < 1e-10
    near = Raw.of(DELTA, [1e3] * 6, [6, 0, 0, 0, 0, 0])
    assert 0 < p_of_sides(bid, near, found) < 1


A, K = 0.5, 0.3


def both_sides() -> Points:
    """Return two distances with two sides, blocks and an unexposed row."""
    return Points.of(
        delta_ticks=[2, 1, 1, 2, 7],
        exposure_s=[100, 50, 150, 100, 0],
        fills=[20, 16, 60, 30, 0],
        side=["bid", "bid", "ask", "ask", "bid"],
        block=[0, 0, 1, 1, 0],
    )


def test_residual_rows_sum_equal_distances():
    """λ(1) = 0.5 e^-0.3 over 200 s, λ(2) = 0.5 e^-0.6 over 200 s; unexposed rows are left out."""
    rows = residuals(both_sides(), A, K)
    assert rows.delta_ticks.tolist() == [1, 2]
    assert rows.exposure_s.tolist() == [200, 200]
    assert rows.fills.tolist() == [76, 50]
    assert rows.expected == pytest.approx([100 * math.exp(-0.3), 100 * math.exp(-0.6)])


def test_residuals_are_signed_and_squares_sum_to_deviance():
    """76 fills at 74.1 expected give +0.22, the deviance residual of statsmodels."""
    points = Points.of([1, 2, 3, 5, 8], [1000] * 5, [620, 450, 380, 220, 90])
    fit = fit_poisson(points)
    rows = residuals(points, fit.A, fit.k)
    assert (rows.standardised**2).sum() == pytest.approx(fit.deviance)
    assert (np.sign(rows.standardised) == np.sign(rows.fills - rows.expected)).all()
    z = residuals(both_sides(), A, K).standardised
    assert z[0] == pytest.approx(
        math.sqrt(2 * (76 * math.log(76 / (100 * math.exp(-0.3))) - 76 + 100 * math.exp(-0.3)))
    )


def test_residual_of_unlikely_fill_stays_moderate():
    """Pearson's residual of 1 fill at 1e-11 expected is 316,228; the deviance residual is 7."""
    rows = residuals(Points.of([1, 100], [10, 10], [5, 1]), 1.0, 0.276)
    assert rows.expected[1] == pytest.approx(1e-11, rel=0.2)
    assert 6 < rows.standardised[1] < 8


def test_residuals_of_one_side_use_only_its_rows():
    """Side -1 keeps only the ask rows."""
    rows = residuals(both_sides(), A, K, side=-1)
    assert rows.fills.tolist() == [60, 30]
    assert rows.exposure_s.tolist() == [150, 100]


def test_cell_expects_only_sweeps_that_end_in_it():
    """A sweep of depth in [1, 2) counts only in the first cell."""
    rows = residuals(Points.of([1, 2], [100, 100], [5, 5], width_ticks=[1, np.inf]), A, K)
    assert rows.expected == pytest.approx([50 * (math.exp(-0.3) - math.exp(-0.6)), 50 * math.exp(-0.6)])


def test_rate_interval_is_exact_poisson_interval():
    """At its ends the observed count has a tail probability of 2.5 %; without fills it begins at 0."""
    rows = residuals(Points.of([1, 2], [10, 10], [7, 0]), None, None)
    rate, low, high = rows.rates()
    assert rate.tolist() == [0.7, 0]
    assert poisson.sf(6, low[0] * 10) == pytest.approx(0.025)
    assert poisson.cdf(7, high[0] * 10) == pytest.approx(0.025)
    assert low[1] == 0
    assert math.exp(-high[1] * 10) == pytest.approx(0.025)


def test_without_fit_expected_and_residuals_are_nan():
    """The table of points remains."""
    rows = residuals(both_sides(), None, None)
    assert np.isnan(rows.expected).all()
    assert np.isnan(rows.standardised).all()


def table_words(points: Points, most: int = 20) -> list[list[str]]:
    """Return the words of each line of the printed table."""
    return [line.split() for line in table(points, fit_poisson(points), most).splitlines()]


def test_table_has_line_per_distance():
    """Distance, exposure, fills, fitted and residual, in the units of the points file."""
    points = Points.of([1, 2, 3, 5, 8], [1000] * 5, [620, 450, 380, 220, 90])
    head, *lines = table_words(points)
    assert head == ["delta", "exposure", "s", "fills", "fitted", "residual"]
    fit = fit_poisson(points)
    assert fit.A is not None
    assert fit.k is not None
    for line, delta, fills in zip(lines, (1, 2, 3, 5, 8), (620, 450, 380, 220, 90), strict=True):
        expected = 1000 * fit.A * math.exp(-fit.k * delta)
        assert [float(line[0]), float(line[2])] == [delta, fills]
        assert line[3] == f"{expected:,.1f}"
        residual = math.sqrt(2 * (fills * math.log(fills / expected) - fills + expected))
        assert float(line[4].replace("−", "-")) == pytest.approx(math.copysign(residual, fills - expected), abs=0.006)


def test_far_distances_are_summarised_in_last_line():
    """Rows of zeros are left out; fills beyond the last line are counted."""
    quiet = Points.of(range(1, 60), [100] * 59, [int(200 * math.exp(-0.5 * d)) for d in range(1, 60)])
    lines = table_words(quiet)
    assert len(lines) < 20
    assert lines[-1][:2] == ["…", "0"]
    busy = Points.of(range(1, 31), [100] * 30, [50] * 29 + [20])
    assert table_words(busy, most=10)[-1] == ["…", "970", "at", "20", "distances", "beyond"]
    assert table_words(busy, most=29)[-1] == ["…", "20", "at", "1", "distance", "beyond"]


def test_unusable_fit_still_has_table():
    """The counts are printed, with dashes in place of the fit."""
    points = Points.of([1, 2, 3], [100, 100, 100], [0, 0, 0])
    fit: PoissonFit = fit_poisson(points)
    assert not fit.usable
    assert table(points, fit).splitlines()[1].split() == ["1", "100", "0", "–", "–"]


START = 1_767_596_400 * US_PER_S  # a round hour


@given(st.integers(0, 3_600 * US_PER_S), st.integers(1, 3 * 86_400 * US_PER_S))
def test_pieces_are_disjoint_equal_and_few(offset_us, length_us):
    """Only the first and the last piece may differ in length."""
    start, end = START + offset_us, START + offset_us + length_us
    pieces = equal_pieces(start, end)
    assert len(pieces) <= MOST + 1
    assert all(start <= a < b <= end for a, b in pieces)
    assert all(before[1] == after[0] for before, after in pairwise(pieces))
    lengths = {b - a for a, b in pieces[1:-1]}
    assert len(lengths) <= 1
    assert all(length // US_PER_S in PIECES_S for length in lengths)
    assert all(a % (300 * US_PER_S) == 0 for a, _ in pieces[1:])


def test_fourteen_hours_are_split_into_half_hours():
    """Fourteen hours in 28 pieces."""
    pieces = equal_pieces(START, START + 14 * 3_600 * US_PER_S)
    assert len(pieces) == 28
    assert {b - a for a, b in pieces} == {1_800 * US_PER_S}


@given(st.lists(st.floats(0, 20), min_size=4, max_size=50))
def test_uniformity_equals_kolmogorov_smirnov_test(between):
    found = uniformity(np.array(between))
    reference = stats.kstest(between, stats.expon.cdf)
    assert found.ks == pytest.approx(reference.statistic, abs=1e-12)
    assert abs(found.p - reference.pvalue) < 0.03


def test_uniformity_without_waits_is_none():
    found = uniformity(np.empty(0))
    assert (found.n, found.mean_wait, found.ks, found.p) == (0, None, None, None)


def test_p_of_true_waits_is_uniform():
    """Over 400 samples of the model a share alpha of the p is below alpha."""
    rng = np.random.default_rng(3)
    p = [uniformity(rng.exponential(size=40)).p for _ in range(400)]
    assert stats.kstest(p, "uniform").pvalue > 0.001
