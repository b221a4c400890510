"""A fit as JSON, as text, and as something that cannot be misused."""

import json
from dataclasses import replace

import pytest
from fit_tables import S2, columns

import mm
from mm.calibration.fit_points import fit_poisson
from mm.calibration.fit_result import FittedWindow, PoissonFit
from mm.errors import BrokenFile, FitError, Mismatch

CONTRACT_KEYS = (
    "schema_version symbol day method fit_method A k distance_unit time_unit tick_size logA se_logA se_k cov_logA_k "
    "ci95_A ci95_k ci95_A_block ci95_k_block dispersion n_blocks loglik deviance pearson_chi2 df_resid goodness_p aic "
    "n_fills exposure_s pivot_delta lambda_at_pivot se_log_lambda_at_pivot curvature_p sides side_lr_p firth "
    "log_linear min_delta_ticks max_delta_ticks window usable status reason mle hit reference sigma_ticks "
    "half_spread_ticks predictive_ci95 predictive_horizon_s warnings reference_choice shape lambda_curve calib_fills "
    "calib_fill_params calib_order_qty measured_rates measured_states recent_s adverse_moves clustering"
)

SIDED = {
    "delta_ticks": [1, 2, 4, 1, 2, 4] * 2,
    "exposure_s": [600] * 12,
    "fills": [31, 20, 9, 35, 26, 8, 28, 24, 11, 30, 19, 12],
    "side": (["bid"] * 3 + ["ask"] * 3) * 2,
    "block": [0] * 6 + [1] * 6,
}
GOOD = replace(
    fit_poisson(SIDED),
    symbol="BTCUSDT",
    day="20251216",
    method="ladder",
    tick_size=0.01,
    window=FittedWindow(start_us=1, end_us=2),
    hit="touch",
    reference="mid",
)
FAILED = fit_poisson({"delta_ticks": [1, 2, 3], "exposure_s": [10, 10, 10], "fills": [9, 0, 0]})


def test_json_has_the_keys_of_the_contract_in_its_order():
    """Other programs read this file."""
    assert " ".join(GOOD.to_json()) == CONTRACT_KEYS
    assert " ".join(FAILED.to_json()) == CONTRACT_KEYS
    assert list(GOOD.to_json()["sides"]["bid"]) == ["A", "k", "se_logA", "se_k", "n_fills"]
    assert list(GOOD.to_json()["mle"]) == ["A", "k", "se_logA", "se_k"]
    assert GOOD.to_json()["window"] == {"start_us": 1, "end_us": 2}


@pytest.mark.parametrize("fit", [GOOD, FAILED, fit_poisson(columns(S2), fit_method="poisson_firth")])
def test_a_fit_comes_back_from_its_json_as_it_was(fit):
    """No digit is lost, nothing in it is NaN."""
    text = json.dumps(fit.to_json(), allow_nan=False)
    assert PoissonFit.from_json(json.loads(text), "fit.json") == fit


def test_numbers_that_are_not_finite_become_null():
    """JSON has no NaN and no infinity."""
    odd = replace(GOOD, deviance=float("inf"), ci95_k=(0.1, float("nan")))
    assert odd.to_json()["deviance"] is None
    assert odd.to_json()["ci95_k"] == [0.1, None]


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"schema_version": 2}, Mismatch, "schema_version is 2; this version reads 1"),
        ({"distance_unit": "price"}, Mismatch, "distance_unit is 'price'; this version reads 'ticks'"),
        ({"time_unit": "ms"}, Mismatch, "time_unit is 'ms'"),
        ({"A": None}, BrokenFile, "marked as usable, but A = None"),
        ({"k": -0.1}, BrokenFile, "marked as usable, but .* k = -0.1"),
        ({"k": [0.1]}, BrokenFile, "one value belongs"),
        *(
            ({key: "0.01"}, BrokenFile, "'0.01' where a finite number belongs")
            for key in ("tick_size", "max_delta_ticks", "sigma_ticks")
        ),
        ({"ci95_k": 3}, BrokenFile, "not a poisson_fit.json"),
        ({"sides": {"left": {}}}, BrokenFile, "left"),
        ({"mle": None}, BrokenFile, "not a poisson_fit.json"),
    ],
)
def test_what_is_not_such_a_fit_is_refused_with_its_file(changed, error, said):
    """Ticks taken for prices would be a silent factor of a hundred."""
    with pytest.raises(error, match=said) as caught:
        PoissonFit.from_json({**GOOD.to_json(), **changed}, "out/fit.json")
    assert "out/fit.json" in str(caught.value)


@pytest.mark.parametrize("key", ["schema_version", "distance_unit", "time_unit", "fit_method", "usable", "status"])
def test_a_fit_that_leaves_out_what_it_is_is_refused(key):
    """Units and status are never guessed."""
    content = GOOD.to_json()
    del content[key]
    with pytest.raises(BrokenFile, match=key):
        PoissonFit.from_json(content, "fit.json")
    with pytest.raises(BrokenFile, match="not a JSON object"):
        PoissonFit.from_json([1], "fit.json")  # type: ignore[arg-type]


def test_later_keys_are_passed_over_and_lesser_ones_may_be_missing():
    """A newer program's fit of the same schema reads; so does one written by hand."""
    content = {**GOOD.to_json(), "later": 1}
    assert PoissonFit.from_json(content, "fit.json") == GOOD
    needed = ("schema_version", "distance_unit", "time_unit", "fit_method", "usable", "status", "reason", "A", "k")
    least = {key: content[key] for key in (*needed, "n_fills", "exposure_s")}
    assert PoissonFit.from_json(least, "fit.json").parameters() == GOOD.parameters()


def test_a_failed_fit_has_no_parameters_to_misuse():
    """Access to them raises the reason instead, as exit code 4."""
    assert (FAILED.A, FAILED.k, FAILED.ci95_A, FAILED.deviance) == (None, None, None, None)
    with pytest.raises(FitError, match="boundary_k_pos: all fills are at the nearest distance") as caught:
        FAILED.parameters()
    assert caught.value.exit_code == 4
    assert GOOD.parameters() == (GOOD.A, GOOD.k)


GOOD_SUMMARY = """\
λ(δ) = A exp(-k δ)  BTCUSDT  20251216  ladder  poisson_mle
                    estimate          se                    95 %          95 % by blocks
A /s                 0.07619    0.009576      0.05939 to 0.09725        0.01225 to 0.474
k /tick               0.3746      0.0596        0.2605 to 0.4945        −0.4889 to 1.238
λ(1.826) /s          0.03844    0.002417
data            253 fills in 7200 s, δ 1 to 4 ticks, 2 blocks
fit             deviance 0.1171, Pearson 0.1176 on 1 df, p 0.7322, dispersion 0.2885
tests           curvature p –, sides differ p –
poisson_mle     A 0.07619, k 0.3746
poisson_firth   A 0.07618, k 0.3725
log_linear      A 0.0762, k 0.3746
bid             A 0.07176, k 0.3574
ask             A 0.08071, k 0.3914
usable: ok"""

GOOD_BOX = """\
┌─────────────────────────────────────────────────────────────────────────────────────┐
│ A = 0.07619 ± 0.00958 /s   k = 0.3746 ± 0.0596 /tick   253 fills in 7200 s   usable │
│ usable: ok                                                                          │
└─────────────────────────────────────────────────────────────────────────────────────┘"""

FAILED_BOX = """\
┌───────────────────────────────────────────────────────────────────────────┐
│ no A and k   9 fills in 30 s   not usable: boundary_k_pos                 │
│ not usable: boundary_k_pos – all fills are at the nearest distance, δ = 1 │
└───────────────────────────────────────────────────────────────────────────┘"""


def test_the_printed_table_is_this():
    """The report is an interface."""
    assert GOOD.summary() == GOOD_SUMMARY


def test_the_printed_box_says_whether_it_can_be_used_and_why_not():
    """Usable and not usable look different at a glance."""
    assert str(GOOD) == GOOD_BOX
    assert str(FAILED) == FAILED_BOX


def test_a_fit_of_an_earlier_version_is_read(tape):
    """Fits by marks had an empty list for the states of orders; a list of states is refused, with the way out."""
    fit = mm.calibrate(tape)
    assert fit.to_json()["measured_states"] is None
    assert PoissonFit.from_json(fit.to_json() | {"measured_states": []}, "the test").measured_states is None
    a_list, by_rest = [[1.0, 1.0, 0, 0, 0, 0, 0, 9.0, 3.0]], {"states": [], "flow": [[1.0, 1, -3, 0.5]]}
    without_touch = {"states": [], "hits": [[1.0, 1, 0.3, -3, 0.5]]}
    without_swept = without_touch | {"touch": [[1.0, 1, 0.5]]}
    wanted = r"measured_states is .* of states, hits, touch, deviation, swept belongs\); fit again"
    for earlier in (a_list, by_rest, without_touch, without_swept):
        with pytest.raises(BrokenFile, match=wanted):
            PoissonFit.from_json(fit.to_json() | {"measured_states": earlier}, "the test")
