"""PoissonFit: JSON, printed text, and protection against misuse."""

import json
import re
from dataclasses import replace

import pytest
from fit_tables import S2, columns

import mm
from mm import PoissonFit, fit_poisson
from mm.calibration.fit_result import FittedWindow
from mm.errors import BrokenFile, FitError, Mismatch

CONTRACT_KEYS = (
    "schema_version symbol day method fit_method A k distance_unit time_unit tick_size logA se_logA se_k cov_logA_k "
    "ci95_A ci95_k ci95_A_block ci95_k_block cov_logA_k_block dispersion n_blocks loglik deviance pearson_chi2 "
    "df_resid goodness_p aic n_fills exposure_s pivot_delta lambda_at_pivot se_log_lambda_at_pivot curvature_p sides "
    "side_lr_p firth log_linear min_delta_ticks max_delta_ticks window usable status reason mle hit reference "
    "sigma_ticks half_spread_ticks predictive_ci95 predictive_horizon_s warnings reference_choice shape lambda_curve "
    "calib_fills calib_fill_params calib_order_qty measured_rates adverse_moves clustering log_rate_half"
)

NEIGHBOUR = ("A", "k", "ci95_A_block", "ci95_k_block")
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


def test_json_keys_follow_contract_order():
    """Other programs read this file."""
    assert " ".join(GOOD.to_json()) == CONTRACT_KEYS
    assert " ".join(FAILED.to_json()) == CONTRACT_KEYS
    assert list(GOOD.to_json()["sides"]["bid"]) == [*NEIGHBOUR, "se_logA", "se_k", "n_fills"]
    assert list(GOOD.to_json()["mle"]) == [*NEIGHBOUR, "se_logA", "se_k"]
    assert GOOD.to_json()["window"] == {"start_us": 1, "end_us": 2}


@pytest.mark.parametrize("fit", [GOOD, FAILED, fit_poisson(columns(S2), fit_method="poisson_firth")])
def test_fit_round_trips_through_json(fit):
    """No digit is lost, and no value is NaN."""
    text = json.dumps(fit.to_json(), allow_nan=False)
    assert PoissonFit.from_json(json.loads(text), "fit.json") == fit


def test_non_finite_numbers_become_null():
    """JSON has neither NaN nor infinity."""
    odd = replace(GOOD, deviance=float("inf"), ci95_k=(0.1, float("nan")))
    assert odd.to_json()["deviance"] is None
    assert odd.to_json()["ci95_k"] == [0.1, None]


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"schema_version": 2}, Mismatch, "schema_version is 2; this version reads 1"),
        ({"distance_unit": "price"}, Mismatch, "distance_unit is 'price'; this version reads 'ticks'"),
        ({"time_unit": "ms"}, Mismatch, "time_unit is 'ms'"),
        ({"A": None}, BrokenFile, "marked as usable, but A = None"),
        ({"k": -0.1}, BrokenFile, "marked as usable, but .* k = -0.1"),
        ({"k": [0.1]}, BrokenFile, r"k is \[0.1\]: expected `float"),
        *(
            ({key: "0.01"}, BrokenFile, f"{key} is '0.01': expected `float")
            for key in ("tick_size", "max_delta_ticks", "sigma_ticks")
        ),
        ({"ci95_k": 3}, BrokenFile, "ci95_k is 3: expected `array"),
        ({"sides": {"left": {}}}, BrokenFile, "sides has left"),
        ({"mle": None}, BrokenFile, "mle is None: expected `object`"),
    ],
)
def test_invalid_fit_content_is_rejected_with_file_name(changed, error, message):
    """Reading prices as ticks would be a silent error by a factor of a hundred."""
    with pytest.raises(error, match=message) as caught:
        PoissonFit.from_json({**GOOD.to_json(), **changed}, "out/fit.json")
    assert "out/fit.json" in str(caught.value)


@pytest.mark.parametrize("key", ["schema_version", "distance_unit", "time_unit", "fit_method", "usable", "status"])
def test_fit_without_required_key_is_rejected(key):
    """Units and status are never guessed."""
    content = GOOD.to_json()
    del content[key]
    with pytest.raises(BrokenFile, match=key):
        PoissonFit.from_json(content, "fit.json")
    with pytest.raises(BrokenFile, match="not a JSON object"):
        PoissonFit.from_json([1], "fit.json")  # type: ignore[arg-type]


def test_unknown_keys_are_ignored_and_optional_keys_may_be_missing():
    """Files of newer versions with the same schema and files written by hand can be read."""
    content = {**GOOD.to_json(), "later": 1}
    assert PoissonFit.from_json(content, "fit.json") == GOOD
    needed = ("schema_version", "distance_unit", "time_unit", "fit_method", "usable", "status", "reason", "A", "k")
    minimal = {key: content[key] for key in (*needed, "n_fills", "exposure_s")}
    assert PoissonFit.from_json(minimal, "fit.json").parameters() == GOOD.parameters()


def test_parameters_of_failed_fit_raise_fit_error():
    """The error contains the reason and has exit code 4."""
    assert (FAILED.A, FAILED.k, FAILED.ci95_A, FAILED.deviance) == (None, None, None, None)
    with pytest.raises(FitError, match="boundary_k_pos: all fills are at the nearest distance") as caught:
        FAILED.parameters()
    assert caught.value.exit_code == 4
    assert GOOD.parameters() == (GOOD.A, GOOD.k)


GOOD_SUMMARY = """\
λ(δ) = A exp(-k δ)  BTCUSDT  20251216  ladder  poisson_mle
                    estimate          se                    95 %          95 % by blocks
A /s                 0.07619    0.009576      0.05939 to 0.09725       0.01223 to 0.4745
k /tick               0.3746      0.0596        0.2605 to 0.4945        −0.4895 to 1.239
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
┌─────────────────────────────────────────────────────────────────────────────────────────────────────────┐
│ A = 0.07619 (0.01223 to 0.4745) /s   k = 0.3746 (−0.4895 to 1.239) /tick   253 fills in 7200 s   usable │
│ usable: ok                                                                                              │
└─────────────────────────────────────────────────────────────────────────────────────────────────────────┘"""

FAILED_BOX = """\
┌───────────────────────────────────────────────────────────────────────────┐
│ no A and k   9 fills in 30 s   not usable: boundary_k_pos                 │
│ not usable: boundary_k_pos – all fills are at the nearest distance, δ = 1 │
└───────────────────────────────────────────────────────────────────────────┘"""


def test_summary_equals_expected_table():
    """The printed table is an interface."""
    assert GOOD.summary() == GOOD_SUMMARY


def test_printed_box_shows_status_and_reason():
    """Usable and unusable fits look different at a glance."""
    assert str(GOOD) == GOOD_BOX
    assert str(FAILED) == FAILED_BOX


def test_fit_with_rates_by_state_is_read_without_them(tape):
    """Earlier versions also measured rates by the state of an order."""
    fit = mm.calibrate(tape)
    assert PoissonFit.from_json(fit.to_json() | {"measured_states": {"states": []}, "recent_s": 0.3}, "the test") == fit


def test_headline_error_is_half_the_interval_by_blocks():
    """Without blocks it is half the naive one, and marked; where ± would reach 0, the interval itself is shown."""
    near = replace(GOOD, ci95_A_block=(0.06, 0.09), ci95_k_block=(0.3, 0.45))
    assert near.headline().startswith("A = 0.0762 ± 0.0150 /s   k = 0.3746 ± 0.0750 /tick")
    for fit, kind in ((GOOD, "_block"), (replace(GOOD, ci95_A_block=None, ci95_k_block=None), "")):
        for name in "Ak":
            low, high = getattr(fit, f"ci95_{name}{kind}")
            value = getattr(fit, name)
            text = re.search(rf"\b{name} = ([^/]*) /", fit.headline()).group(1)
            if high - low >= 2 * value:
                ends = [float(part.strip("()").replace("−", "-")) for part in text.split()[1::2]]
                assert ends == pytest.approx([low, high], rel=1e-3)
            else:
                assert float(text.split()[-1]) == pytest.approx((high - low) / 2, rel=5e-3)
        assert ("naive" in fit.headline()) == (not kind)
