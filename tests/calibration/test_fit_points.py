"""The complete fit: order of statuses, selection of rows, methods, intervals, and no exceptions for finite tables."""

import json
import math

import numpy as np
import pytest
from fit_tables import S1, S2, columns, finite_tables, reference_cases, shared
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mm
from mm import Points, PoissonFit, fit_poisson
from mm.calibration.fit_points import ESTIMATORS, INTERVALS, LEAST_FILLS, FitOptions, fit_window
from mm.errors import UsageError

DENSE = {"delta_ticks": [1, 2, 3, 5, 8, 13], "exposure_s": [1000.0] * 6, "fills": [62, 45, 38, 22, 9, 2]}


def assert_fit(fit, expected):
    for name, value in expected.items():
        tolerance = {"abs": 1e-6} if name in ("loglik", "deviance", "pearson_chi2") else {"rel": 1e-6}
        tolerance = {"rel": 1e-5} if name.startswith("ci95") else tolerance
        assert getattr(fit, name) == pytest.approx(value, **tolerance), name


def pooled(case, published):
    """Return *published* with deviance and degrees of freedom over rows pooled to 5 expected fills, by a plain loop."""
    given, fit = columns(case), case["poisson_mle"]
    rows = [
        (count, seconds * fit["A"] * math.exp(-fit["k"] * delta))
        for delta, seconds, count in zip(given["delta_ticks"], given["exposure_s"], given["fills"], strict=True)
    ]
    groups = [[0.0, 0.0]]
    for count, mean in rows:
        if groups[-1][1] >= 5:
            groups.append([0.0, 0.0])
        groups[-1] = [groups[-1][0] + count, groups[-1][1] + mean]
    if groups[-1][1] < 5 and len(groups) > 1:
        last = groups.pop()
        groups[-1] = [a + b for a, b in zip(groups[-1], last, strict=True)]
    deviance = 2 * sum(n * math.log(n / m) - n + m if n else m for n, m in groups)
    return {**published, "deviance": deviance, "df_resid": len(groups) - 2}


@pytest.mark.parametrize("case", [S1, S2])
def test_published_cases_match(case):
    """All published numbers of the two tables, through the public API."""
    fit = mm.fit_poisson(columns(case))
    assert_fit(fit, pooled(case, case["poisson_mle"]))
    assert (fit.status, fit.usable, fit.reason, fit.warnings) == ("ok", True, "", ())
    assert (fit.firth.A, fit.firth.k) == pytest.approx((case["firth"]["A"], case["firth"]["k"]), rel=1e-6)
    assert (fit.log_linear.A, fit.log_linear.k) == pytest.approx(tuple(case["log_linear"].values()), rel=1e-6)
    assert (fit.mle.A, fit.mle.k, fit.mle.se_k) == (fit.A, fit.k, fit.se_k)


@shared
@pytest.mark.parametrize("case", reference_cases(), ids=lambda case: case.get("id") or case["name"])
def test_reference_cases_match(case):
    """All reference cases to their stated tolerances; edge cases have the expected status."""
    fit = fit_poisson(columns(case))
    if "mle_status" in case:
        statuses = {
            "interior_bucket_only": "few_fills",
            "nearest_bucket_only": "boundary_k_pos",
            "farthest_bucket_only": "boundary_k_neg",
            "all_zero": "no_fills",
            "increasing_rates_negative_k": "k_nonpositive",
        }
        assert fit.status == statuses[case["name"]]
        expected = case.get("poisson_mle", dict.fromkeys(("A", "k", "se_logA", "se_k")))
        for name in ("A", "k", "se_logA", "se_k"):
            assert getattr(fit.mle, name) == (expected[name] and pytest.approx(expected[name], rel=1e-6))
        return
    published = case["poisson_mle"]
    renamed = {"loglik": published["loglik_full"], "ci95_k": published["profile95_k"]}
    same_names = ("A", "k", "logA", "se_logA", "se_k", "cov_logA_k", "deviance", "pearson_chi2", "df_resid", "aic")
    assert_fit(fit, pooled(case, {**renamed, **{name: published[name] for name in same_names}}))


@pytest.mark.parametrize(
    ("table", "options", "status"),
    [
        (([], [], []), {}, "no_fills"),
        (([1], [10], [0]), {}, "no_fills"),  # one distance as well
        (([1, 1], [10, 10], [3, 4]), {}, "too_few_deltas"),
        (([1, 2], [10, 10], [9, 4]), {"min_usable_deltas": 3}, "too_few_deltas"),
        (([1, 2, 3], [1, 10, 10], [9, 4, 1]), {"min_usable_deltas": 3, "min_exposure_s": 5}, "too_little_exposure"),
        (([1, 2, 3], [1, 10, 10], [9, 0, 0]), {"min_exposure_s": 5}, "no_fills"),
        (([1, 2, 3], [10, 10, 10], [9, 0, 0]), {}, "boundary_k_pos"),
        (([1, 2, 3], [10, 10, 10], [0, 0, 9]), {}, "boundary_k_neg"),
        (([1, 2, 3], [10, 10, 10], [1, 2, 9]), {}, "k_nonpositive"),  # few fills as well
        (([1, 2, 3], [10, 10, 10], [9, 4, 2]), {}, "few_fills"),
        (([1, 2, 3, 4], [10] * 4, [1000, 100, 100, 100]), {}, "misfit"),  # a poor fit as well
        (([1, 2, 3], [10, 10, 10], [1000, 100, 90]), {}, "poor_fit"),
        (([1, 2, 3], [10, 10, 10], [90, 40, 20]), {}, "ok"),
    ],
)
def test_first_matching_status_is_reported(table, options, status):
    """In the order of the contract; the last five are usable."""
    fit = fit_poisson(table, **options)
    assert fit.status == status
    assert fit.usable == (status in ("ok", "few_fills", "misfit", "poor_fit"))
    assert (fit.A is not None) == (fit.k is not None) == fit.usable
    assert bool(fit.reason) == (status != "ok")
    assert bool(fit.warnings) == (status in ("few_fills", "misfit", "poor_fit"))


def simulated(factor, k, seed, far=20):
    """Return a fit of simulated resting orders at 1 to *far* ticks, with *factor* times the rate at the nearest."""
    rates = np.exp(-k * np.arange(far)) * np.where(np.arange(far) == 0, factor, 1.0)
    fills = np.random.default_rng(seed).poisson(8_000 * rates / rates.sum())
    return fit_poisson((np.arange(far) + 1, [3600] * far, fills)), fills


@pytest.mark.parametrize(("factor", "k"), [(3, 0.01), (3, 0.02), (1 / 3, 0.05), (1 / 3, 0.1), (1 / 3, 0.2)])
def test_wrong_rate_at_the_touch_is_a_misfit(factor, k):
    """By the definition, computed plainly: predicted over seen fills of the rows with 100 fills or more."""
    for seed in range(20):
        fit, fills = simulated(factor, k, seed)
        predicted = fit.A * np.exp(-fit.k * (np.arange(20) + 1)) * 3600
        ratios = (predicted / fills)[fills >= 100]
        assert ratios.min() < 0.5 or ratios.max() > 2
        assert (fit.status, fit.usable) == ("misfit", True)


@pytest.mark.parametrize("k", [0.01, 0.05, 0.2, 0.5, 1.0, 1.5])
def test_exponential_is_never_a_misfit(k):
    """With 100 fills of a rate, a factor of two is seven standard deviations."""
    assert "misfit" not in {simulated(1, k, seed)[0].status for seed in range(50)}


def test_limits_apply_to_summed_distances():
    """Five short stretches of one distance are summed; the maximum distance is inclusive."""
    table = {"delta_ticks": [1, 2, 3] + [5] * 5, "exposure_s": [10, 10, 3] + [2] * 5, "fills": [90, 40, 8] + [2] * 5}
    whole = fit_poisson(table)
    assert (whole.max_delta_ticks, whole.n_fills, whole.exposure_s, whole.df_resid) == (5, 148, 33, 2)
    longer = fit_poisson(table, min_exposure_s=5)
    assert (longer.min_delta_ticks, longer.max_delta_ticks, longer.n_fills, longer.df_resid) == (1, 5, 140, 1)
    nearer = fit_poisson(table, max_delta_ticks=3)
    assert (nearer.max_delta_ticks, nearer.n_fills) == (3, 138)


def test_sides_blocks_and_row_order_do_not_change_estimate():
    """Rows of equal distance are summed first."""
    rng = np.random.default_rng(3)
    parts = {name: np.repeat(column, 4) for name, column in DENSE.items()}
    parts["exposure_s"] = parts["exposure_s"] / 4
    parts["fills"] = parts["fills"] / 4
    parts |= {"side": np.tile([1, -1, 1, -1], 6), "block": np.tile([0, 0, 1, 1], 6)}
    order = rng.permutation(24)
    fit, whole = fit_poisson({name: column[order] for name, column in parts.items()}), fit_poisson(DENSE)
    assert (fit.A, fit.k, fit.deviance, fit.df_resid) == pytest.approx(
        (whole.A, whole.k, whole.deviance, whole.df_resid)
    )
    assert (fit.n_blocks, whole.n_blocks) == (2, 0)
    assert (fit.sides.bid.n_fills, fit.sides.ask.n_fills) == (89, 89)
    assert fit.sides.bid.k == pytest.approx(whole.k)
    assert fit.side_lr_p is None  # two blocks cannot show how bursty the flow is
    del parts["block"]
    assert fit_poisson(parts).side_lr_p == pytest.approx(1)
    assert (whole.sides.bid.n_fills, whole.sides.bid.A, whole.side_lr_p) == (None, None, None)


@pytest.mark.parametrize(
    ("method", "field"), [("poisson_firth", "firth"), ("log_linear", "log_linear"), ("poisson_mle", "mle")]
)
def test_fit_method_selects_a_and_k(method, field):
    """All estimates are listed and equal in every fit; the interval belongs to the selected one."""
    fit, plain = fit_poisson(columns(S2), fit_method=method), fit_poisson(columns(S2))
    chosen = getattr(fit, field)
    assert (fit.fit_method, fit.A, fit.k) == (method, chosen.A, chosen.k)
    assert (fit.mle, fit.firth, fit.log_linear) == (plain.mle, plain.firth, plain.log_linear)
    assert fit.ci95_k[0] < fit.k < fit.ci95_k[1]
    assert fit.ci95_A[0] < fit.A < fit.ci95_A[1]
    assert fit.loglik <= plain.loglik + 1e-9


def test_firth_is_usable_with_warning_when_likelihood_has_no_maximum():
    """All fills at the nearest distance: Firth is finite and the fit warns; the mle has no k."""
    fit = fit_poisson(([1, 2, 3], [100, 100, 100], [60, 0, 0]), fit_method="poisson_firth")
    assert (fit.usable, fit.status, fit.mle.k) == (True, "ok", None)
    assert any("no finite maximum" in warning for warning in fit.warnings)
    assert fit_poisson(([1, 2, 3], [100, 100, 100], [60, 0, 0])).firth.k == fit.k


def test_log_linear_warns_about_thin_buckets():
    """Dropping and weighting thin buckets understates k."""
    fit = fit_poisson(columns(S2), fit_method="log_linear")
    assert any("fewer than 5 fills" in warning for warning in fit.warnings)


def bursts(seed=5, blocks=30):
    rng = np.random.default_rng(seed)
    delta = np.tile([1, 2, 3, 5, 8], blocks)
    level = np.repeat(rng.gamma(2, 0.5, blocks), 5)
    fills = rng.poisson(60 * level * np.exp(-0.3 * delta))
    return {
        "delta_ticks": delta,
        "exposure_s": [300.0] * len(delta),
        "fills": fills,
        "block": np.repeat(np.arange(blocks), 5),
    }


def test_block_intervals_replace_profile_intervals():
    """They are wider for bursts, and the fit warns about dispersion."""
    profile, block = fit_poisson(bursts()), fit_poisson(bursts(), intervals="block")
    assert profile.ci95_A_block == block.ci95_A_block == block.ci95_A
    assert profile.ci95_k_block == block.ci95_k_block == block.ci95_k
    assert np.diff(block.ci95_A) > 2 * np.diff(profile.ci95_A)
    assert profile.dispersion > 3
    assert any("fills come in bursts" in warning for warning in profile.warnings)
    without_blocks = fit_poisson(DENSE, intervals="block")
    assert (without_blocks.ci95_A, without_blocks.ci95_k, without_blocks.n_blocks) == (None, None, 0)
    assert any("no 95 % intervals" in warning for warning in without_blocks.warnings)


def test_fit_warns_when_sides_differ():
    """Each side has its own A and k; a side whose k is not positive keeps only its count."""
    table = {
        "delta_ticks": [1, 2, 3, 5] * 2,
        "exposure_s": [100.0] * 8,
        "fills": [300, 200, 130, 60, 10, 11, 12, 14],
        "side": ["bid"] * 4 + ["ask"] * 4,
    }
    fit = fit_poisson(table)
    assert fit.side_lr_p < 1e-6
    assert any("bid and ask differ" in warning for warning in fit.warnings)
    assert fit.sides.bid.k > fit.k
    assert (fit.sides.ask.k, fit.sides.ask.n_fills) == (None, 47)


def test_cells_and_plain_points_of_one_tape_agree():
    """Disjoint cells of simulated depths give the true A and k; cumulative points nearly the same."""
    rng = np.random.default_rng(18)
    ticks = np.floor(rng.exponential(1 / 0.3, rng.poisson(0.2 * 7200))).astype(int).clip(max=40)
    counts = np.bincount(ticks, minlength=41)
    cells = {
        "delta_ticks": np.arange(41),
        "exposure_s": [7200.0] * 41,
        "fills": counts,
        "width_ticks": [1.0] * 40 + [np.inf],
    }
    fit = fit_poisson(cells)
    assert fit.status == "ok"
    assert fit.ci95_A[0] < 0.2 < fit.ci95_A[1]
    assert fit.ci95_k[0] < 0.3 < fit.ci95_k[1]
    assert fit.pivot_delta == pytest.approx(0, abs=1e-3)
    assert fit.lambda_at_pivot == pytest.approx(counts.sum() / 7200, rel=1e-3)
    nested = fit_poisson((np.arange(41), [7200.0] * 41, counts[::-1].cumsum()[::-1]))
    assert (nested.A, nested.k) == pytest.approx((fit.A, fit.k), rel=0.05)
    deep = fit_poisson({**cells, "fills": np.arange(41), "width_ticks": [1.0] * 41})
    assert (deep.status, deep.mle.k) == ("boundary_k_neg", None)


@pytest.mark.parametrize("options", [{"fit_method": "ols"}, {"intervals": "bootstrap"}])
def test_unknown_method_is_rejected_with_known_methods(options):
    """Raised as a usage error."""
    with pytest.raises(UsageError, match=r"choose (poisson_mle, poisson_firth, log_linear|profile, block)"):
        fit_poisson(DENSE, **options)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(finite_tables, st.sampled_from(list(ESTIMATORS)), st.sampled_from(["profile", "block"]))
def test_fit_never_raises_for_finite_tables(table, method, intervals):
    """Every fit is usable and finite, or has a status, and its JSON is valid."""
    fit = fit_poisson(table, fit_method=method, intervals=intervals)
    enough = fit.status == "few_fills" and fit.n_fills >= LEAST_FILLS
    assert fit.usable == (enough or fit.status in ("ok", "misfit", "poor_fit"))
    if fit.usable:
        assert all(math.isfinite(value) and value > 0 for value in (*fit.parameters(), fit.se_k))
    for ends, value in ((fit.ci95_A, fit.A), (fit.ci95_k, fit.k)):
        assert ends is None or ends[0] <= value <= ends[1]
    assert str(fit)
    assert fit.summary()
    content = json.loads(json.dumps(fit.to_json(), allow_nan=False))
    assert PoissonFit.from_json(content, "fit.json").status == fit.status


@pytest.mark.parametrize("method", ESTIMATORS)
@pytest.mark.parametrize("intervals", INTERVALS)
def test_window_fit_equals_whole_fit_without_checks(method, intervals):
    """Equal in every other field; the fields of the checks have their defaults."""
    blocks = np.arange(60) // 5
    points = Points.of(
        np.tile([0.5, 1.5, 2.5, 4.5, 9.5], 12),
        np.full(60, 40.0),
        np.tile([30, 17, 12, 4, 1], 12) + blocks % 3,
        [1, -1] * 30,
        blocks,
    )
    whole = fit_poisson(points, fit_method=method, intervals=intervals)
    window = fit_window(points, FitOptions(method, intervals=intervals))
    by_blocks = set() if intervals == "block" else {"ci95_A_block", "ci95_k_block", "cov_logA_k_block"}
    checks = by_blocks | {
        "curvature_p",
        "sides",
        "side_lr_p",
        "firth",
        "log_linear",
        "mle",
        "warnings",
    }
    for name in PoissonFit.json_keys():
        value = getattr(window, name)
        assert value == (PoissonFit.__dataclass_fields__[name].default if name in checks else getattr(whole, name)), (
            name
        )


def test_window_fit_reports_same_failure_as_whole_fit():
    for points in (
        Points.of([1, 2], [5, 5], [0, 0]),
        Points.of([1], [5], [3]),
        Points.of([1, 2, 3], [5, 5, 5], [1, 2, 9]),
    ):
        whole, window = fit_poisson(points), fit_window(points, FitOptions())
        assert not window.usable
        assert (window.status, window.reason, window.n_fills) == (whole.status, whole.reason, whole.n_fills)
