"""Point estimates against published cases, statsmodels, direct maximisation and closed forms."""

import math
import warnings

import numpy as np
import pytest
from fit_tables import S1, S2, Raw, columns, finite_tables, random_raw, reference_cases, shared
from hypothesis import given, settings
from scipy.optimize import minimize

from mm.calibration.estimators import (
    Estimate,
    NoEstimate,
    estimate,
    falls_at,
    firth,
    highest_peak,
    likelihood_peak,
    log_linear,
    maximum_likelihood,
)
from mm.calibration.points import as_points

NAMES = ("A", "k", "se_logA", "se_k", "cov_logA_k", "pivot_delta", "lambda_at_pivot", "se_log_lambda_at_pivot")


def assert_agrees(estimated, expected, rel=1e-6):
    assert isinstance(estimated, Estimate)
    for name in NAMES:
        if name in expected:
            assert getattr(estimated, name) == pytest.approx(expected[name], rel=rel), name


@pytest.mark.parametrize("case", [S1, S2])
def test_published_cases_match(case):
    """Two tables with known answers; they do not need the reference file."""
    table = Raw.of(**{name.split("_")[0]: column for name, column in columns(case).items()}).table
    assert_agrees(maximum_likelihood(table), case["poisson_mle"])
    assert_agrees(firth(table), case["firth"])
    assert_agrees(log_linear(table), case["log_linear"])


@shared
@pytest.mark.parametrize("case", reference_cases(), ids=lambda case: case.get("id") or case["name"])
def test_reference_cases_match(case):
    """All reference cases to their stated tolerance, edge cases included."""
    table = Raw.of(**{name.split("_")[0]: column for name, column in columns(case).items()}).table
    if "poisson_mle" in case:
        assert_agrees(maximum_likelihood(table), case["poisson_mle"])
    else:
        expected = {"k_plus_infinity": "boundary_k_pos", "k_minus_infinity": "boundary_k_neg", "no_fills": "no_fills"}
        estimated = maximum_likelihood(table)
        assert isinstance(estimated, NoEstimate)
        assert estimated.status == expected[case["mle_status"]]
    if case["firth"]:
        assert_agrees(firth(table), case["firth"])
    else:
        assert isinstance(firth(table), NoEstimate)
    if "log_linear" in case:
        assert_agrees(log_linear(table), case["log_linear"]["wls_weight_N_zero_dropped"])


@shared
def test_censored_dwells_fit_like_their_sums():
    """Exposure that ends at the first fill has the same likelihood: survival and Poisson are equal."""
    case = reference_cases()[2]
    delta, _, seconds, filled = zip(*case["inputs"]["intervals"], strict=True)
    assert_agrees(estimate(delta, seconds, filled), case["poisson_mle"])


def statsmodels_glm(raw):
    import statsmodels.api as sm

    design = np.stack([np.ones_like(raw.delta), -raw.delta], axis=1)
    model = sm.GLM(raw.fills, design, family=sm.families.Poisson(), offset=np.log(raw.exposure))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(maxiter=100, tol=1e-10, tol_criterion="params")


@pytest.mark.slow
def test_random_tables_agree_with_statsmodels():
    """200 tables from the model, with negative k and empty rows."""
    rng = np.random.default_rng(20)
    compared = 0
    while compared < 200:
        raw = random_raw(rng, least_fills=2)
        estimated = estimate(raw.delta, raw.exposure, raw.fills)
        at_both_ends = (raw.fills > 0).sum() > 1
        if isinstance(estimated, NoEstimate):
            assert not at_both_ends
            continue
        glm = statsmodels_glm(raw)
        covariance = glm.cov_params()
        assert [estimated.logA, estimated.k] == pytest.approx(glm.params, rel=1e-6, abs=1e-8)
        assert [estimated.var_logA, estimated.cov_logA_k, estimated.var_k] == pytest.approx(
            [covariance[0, 0], covariance[0, 1], covariance[1, 1]], rel=1e-5
        )
        compared += 1


@pytest.mark.parametrize(
    ("fills", "status"),
    [
        ([0, 0, 0], "no_fills"),
        ([4, 0, 0], "boundary_k_pos"),
        ([0, 0, 4], "boundary_k_neg"),
        ([0, 4, 0], None),
        ([1, 0, 1], None),
        ([0, 1, 1], None),
    ],
)
def test_finite_maximum_needs_exposure_on_both_sides_of_fills(fills, status):
    """Fills at two distances, or at one interior distance; else the status names the side to which k diverges."""
    estimated = estimate([1, 2, 4], [100, 200, 50], fills)
    assert (estimated.status if isinstance(estimated, NoEstimate) else None) == status


def test_equal_rates_give_exactly_zero_k():
    """Rounding does not produce a tiny positive k that looks usable."""
    for counts in ([7, 7, 7], [10, 20, 30]):
        estimated = estimate([0.1, 0.7, 1.3], counts, counts)
        assert isinstance(estimated, Estimate)
        assert estimated.k == 0.0


def test_single_distance_has_no_k():
    """Both sides and many blocks of one distance are still one distance."""
    estimated = estimate([2, 2, 2], [10, 20, 30], [1, 2, 3])
    assert isinstance(estimated, NoEstimate)
    assert estimated.status == "too_few_deltas"


def test_shifted_distances_change_only_a():
    """Distances from the best price and from the mid differ by half a spread: A by exp(k · shift)."""
    near, far = (estimate(np.array([1, 2, 5]) + shift, [9, 8, 7], [40, 30, 10]) for shift in (0, 1e6))
    assert isinstance(near, Estimate)
    assert isinstance(far, NoEstimate)  # A at distance 0 would be exp(300 000)
    shifted = estimate([51, 52, 55], [9, 8, 7], [40, 30, 10])
    assert isinstance(shifted, Estimate)
    assert (shifted.k, shifted.se_k) == pytest.approx((near.k, near.se_k), rel=1e-12)
    assert shifted.logA == pytest.approx(near.logA + 50 * near.k, rel=1e-12)


def maximised(raw, function):
    """Return the maximum of a function of ln A and k, found by a derivative-free search."""
    start = np.array([np.log(raw.fills.sum() / raw.exposure.sum()), 0.2])
    estimated = minimize(
        lambda at: -function(*at), start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}
    )
    return estimated.x


def test_firth_maximises_penalised_likelihood():
    """By direct maximisation over both parameters, for plain points and cells."""
    rng = np.random.default_rng(5)
    cells = Raw.of([0, 1, 2, 3, 4], [90, 100, 110, 120, 50], [6, 3, 1, 0, 1], [1, 1, 1, 1, np.inf])
    for raw in [cells, *(random_raw(rng, least_fills=1) for _ in range(6))]:
        estimated = firth(raw.table)
        assert isinstance(estimated, Estimate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert [estimated.logA, estimated.k] == pytest.approx(maximised(raw, raw.penalised), rel=2e-4, abs=2e-5)


def test_firth_finds_the_higher_of_two_peaks():
    """With few fills and distant points the penalised likelihood can have several peaks."""
    raw = Raw.of([0, 1, 100], [1000, 1000, 1000], [1, 0, 0])
    estimated = firth(raw.table)
    assert isinstance(estimated, Estimate)
    heights = [raw.penalised(log_a, k) for log_a in np.linspace(-9, -4, 51) for k in np.linspace(-0.1, 2, 106)]
    assert raw.penalised(estimated.logA, estimated.k) >= max(heights) - 1e-6


def geometric_cells(counts, seconds):
    """Return unit cells from distance 0 with an open last one and equal exposure."""
    width = [1.0] * (len(counts) - 1) + [np.inf]
    return Raw.of(np.arange(len(counts)), [seconds] * len(counts), counts, width)


def test_unit_cells_match_geometric_closed_form():
    """k = ln(1 + n / sum of whole ticks), var k = p² / ((1-p) n), and the intensity at 0 is n / T."""
    depth = np.random.default_rng(8).exponential(1 / 0.3, 400)
    ticks = np.floor(depth).astype(int)
    raw = geometric_cells(np.bincount(ticks, minlength=200).astype(float), 3600.0)
    estimated = maximum_likelihood(raw.table)
    assert isinstance(estimated, Estimate)
    k = math.log1p(400 / ticks.sum())
    p = 1 - math.exp(-k)
    assert estimated.k == pytest.approx(k, rel=1e-9)
    assert pytest.approx(400 / 3600, rel=1e-9) == estimated.A
    assert estimated.var_k == pytest.approx(p**2 / ((1 - p) * 400), rel=1e-9)
    assert estimated.var_logA == pytest.approx(1 / 400, rel=1e-6)
    assert abs(estimated.k - 0.3) < 4 * estimated.se_k


def test_uneven_cells_match_direct_maximum():
    """Different widths and exposures; the full likelihood is maximised numerically."""
    raw = Raw.of([0.5, 1.5, 2, 4, 9], [90, 40, 110, 120, 50], [30, 11, 14, 9, 8], [1, 0.5, 2, 5, np.inf])
    estimated = maximum_likelihood(raw.table)
    assert isinstance(estimated, Estimate)
    assert [estimated.logA, estimated.k] == pytest.approx(maximised(raw, raw.loglik), rel=1e-6)


def test_maximum_likelihood_of_cells_finds_highest_peak():
    """All fills in a wide cell with almost no exposure: the slope falls through zero at k = 0.25 and k = 2."""
    raw = Raw.of([0, 1, 3, 100], [1e3, 1e-9, 4e5, 1e14], [0, 50, 0, 0], [0.01, 8, 0.01, 0.01])
    slopes = [raw.table.at(raw.table.span * k).score for k in (0.2, 0.3, 1.0, 3.0)]
    assert np.sign(slopes).tolist() == [1, -1, 1, -1]
    estimated = maximum_likelihood(raw.table)
    assert isinstance(estimated, Estimate)
    assert estimated.k == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize(
    ("fills", "status"), [([5, 0, 0], "boundary_k_pos"), ([1, 2, 3], "boundary_k_neg"), ([0, 0, 3], "boundary_k_neg")]
)
def test_cells_with_too_deep_fills_have_no_positive_k(fills, status):
    """For k to 0 depth is uniform over closed cells; deeper fills leave no positive k."""
    estimated = maximum_likelihood(Raw.of([0, 1, 2], [10, 10, 10], fills, [1, 1, 1]).table)
    assert isinstance(estimated, NoEstimate)
    assert estimated.status == status


def test_log_linear_accounts_for_cell_width():
    """On exact rates of cells it returns the true A and k."""
    rate = 0.4 * (np.exp(-0.25 * np.arange(6)) - np.exp(-0.25 * (np.arange(6) + 1)))
    estimated = log_linear(Raw.of(np.arange(6), [1e5] * 6, rate * 1e5, [1.0] * 6).table)
    assert isinstance(estimated, Estimate)
    assert (estimated.A, estimated.k) == pytest.approx((0.4, 0.25), rel=1e-9)


def test_log_linear_takes_the_rate_of_a_cell_at_its_middle():
    """Of cells of any width, by the formula of a weighted regression; the open one has no middle."""
    near, width, fills = np.array([0, 1, 3, 7]), np.array([1, 2, 4, np.inf]), np.array([50, 60, 30, 9])
    slope = np.polyfit(near[:3] + width[:3] / 2, np.log(fills[:3] / 100 / width[:3]), 1, w=np.sqrt(fills[:3]))[0]
    estimated = log_linear(Raw.of(near, [100.0] * 4, fills, width).table)
    assert isinstance(estimated, Estimate)
    assert estimated.k == pytest.approx(-slope)


def test_firth_has_less_bias_with_few_fills():
    """About twenty fills: maximum likelihood overstates k by a tenth, Firth by less than a third of that."""
    rng = np.random.default_rng(11)
    delta = np.array([1, 2, 3, 5, 8, 13.0])
    exposure = np.full(6, 20 / (np.exp(-0.3 * delta)).sum())
    ks = []
    for _ in range(400):
        table = Raw.of(delta, exposure, rng.poisson(exposure * np.exp(-0.3 * delta))).table
        pair = maximum_likelihood(table), firth(table)
        if all(isinstance(estimated, Estimate) for estimated in pair):
            ks.append([estimated.k for estimated in pair])
    mle_bias, firth_bias = np.mean(ks, axis=0) / 0.3 - 1
    assert mle_bias > 0.06
    assert abs(firth_bias) < 0.03


@settings(max_examples=60, deadline=None)
@given(finite_tables)
def test_estimate_never_raises(table):
    """Windows of a schedule may contain any table."""
    delta, exposure, fills, _, _, width = table
    points = as_points([delta, exposure, fills])
    estimated = estimate(points.delta_ticks, points.exposure_s, points.fills, width)
    if isinstance(estimated, Estimate):
        assert all(math.isfinite(getattr(estimated, name)) for name in NAMES)
        assert estimated.A > 0
        assert estimated.se_k > 0


SHORT = np.geomspace(1e-6, 3e3, 400)


def odd_cells(rng):
    """Return cells of irregular widths and exposures; the likelihood may have several peaks."""
    size = int(rng.integers(2, 12))
    delta = np.sort(rng.choice(np.arange(0, 40, 0.5), size, replace=False))
    width = np.where(rng.random(size) < 0.8, rng.choice([0.5, 1.0, 2.0], size), np.inf)
    exposure = np.exp(rng.uniform(0, 9, size))
    k = rng.uniform(0.02, 1.0)
    fills = rng.poisson(np.minimum(exposure * np.exp(rng.uniform(-7, 0) - k * delta), 1e5)).astype(float)
    return Raw(delta, exposure, fills, width)


@pytest.mark.slow
@pytest.mark.parametrize("make", [random_raw, odd_cells], ids=["orders", "cells"])
def test_found_peak_is_global_maximum(make):
    """For plain and penalised likelihood, on a grid over nine decades of k."""
    rng = np.random.default_rng(17)
    compared = 0
    while compared < 60:
        table = make(rng).table
        if table.total == 0:
            continue
        highest = likelihood_peak(table)
        estimated = None if isinstance(highest, NoEstimate) else highest
        places = SHORT if table.cells else np.concatenate((-SHORT[::-1], [0.0], SHORT))
        evaluated = [table.at(k) for k in places]
        for peak, name in (
            (estimated, "log_likelihood"),
            (highest_peak(table, penalised=True), "penalised_log_likelihood"),
        ):
            heights = [getattr(at, name) for at in evaluated]
            runs_to_zero = table.cells and heights[0] == max(heights)
            if peak is not None and not runs_to_zero:
                assert getattr(table.at(peak), name) >= max(heights) - 1e-7 * abs(max(heights)), name
                compared += 1


def slope_of(table):
    """Return the function of k that gives the score of *table* and its derivative."""
    return lambda k: (table.at(k).score, table.at(k).bend)


def test_slope_without_root_ends_at_least_k():
    """Cells with fills deeper than uniform have no root above 0."""
    table = Raw.of([0, 1, 2], [10, 10, 10], [1, 2, 3], [1, 1, 1]).table
    assert falls_at(slope_of(table), 5.0, floor=table.least_k) == table.least_k
    assert highest_peak(table) is None


def test_root_search_converges_from_far_starts_and_flat_slopes():
    """A Newton step outside the bracket is rejected."""
    table = Raw.of([1, 2, 3, 5, 8], [1000] * 5, [62, 45, 38, 22, 9]).table
    roots = [falls_at(slope_of(table), start) for start in (-1e3, -5.0, 0.0, 40.0, 1e6)]
    without_slope = falls_at(lambda k: (table.at(k).score, 0.0), 3.0)
    assert roots == pytest.approx([highest_peak(table)] * 5, rel=1e-12)
    assert without_slope == pytest.approx(roots[0], rel=1e-12)
    assert math.isfinite(without_slope)


@pytest.mark.parametrize("fills", [[2968, 598, 60, 19, 2, 13, 5], [10, 5, 3, 1], [7, 3]])
def test_pivot_of_equally_exposed_cells_is_nearest_distance(fills):
    """Distances are then exponential with mean excess 1/k: the pivot is exactly 0, without a rounding remainder."""
    delta = np.arange(len(fills), dtype=np.float64)
    width = np.append(np.ones(len(fills) - 1), np.inf)
    estimated = estimate(delta, np.full(len(fills), 64798.48685), np.array(fills, np.float64), width)
    assert estimated.pivot_delta == 0.0
    assert estimated.lambda_at_pivot == pytest.approx(sum(fills) / (64798.48685 * 1), rel=1e-12)
