"""Knobs that a run does not use: rejected as flags, noted if a shell exports them."""

import pytest

from begun_runs import knob_of
from mm.cli.refused_knobs import misspelt, refuse_unused
from mm.errors import UsageError
from mm.play.unused_knobs import unused_knobs
from support import run_mm

MARKS = {"calib_method": "marks", "calib_deltas": [1.0, 2.0], "calib_dwell_ms": 5.0}
ORDERS = {"order_latency_ms": 9.0, "requote_on_fill": False, "maker_fee_rate": "0", "seed": 3}
CASES = [
    ("calibration", MARKS, ["calib_dwell_ms", "calib_deltas"]),
    ("calibration", {**MARKS, "calib_method": "fixed"}, ["calib_dwell_ms"]),
    ("calibration", {**MARKS, "calib_method": "ladder"}, []),
    ("schedule", {"quote_model": "x", "fill_params_file": "f", "fallback_policy": "global_default"}, ["quote_model"]),
    ("walkforward", {"fill_params_file": "f", "fallback_policy": "carry_forward"}, ["fill_params_file"]),
    ("walkforward", {"schedule_mode": "rolling", "schedule_half_life_min": 9.0}, ["schedule_half_life_min"]),
    ("walkforward", {"schedule_mode": "pooled_k", "schedule_half_life_min": 9.0}, []),
    ("sweep", {**MARKS, "sweep_walkforward": False}, ["calib_method", "calib_deltas", "calib_dwell_ms"]),
    ("sweep", {**MARKS, "sweep_walkforward": True}, ["calib_dwell_ms", "calib_deltas"]),
    ("sweep", {"latency_file": "l.csv", "order_latency_ms": 9.0, "grid": "SEED=1,2"}, ["order_latency_ms"]),
    ("sweep", {"latency_file": "l.csv", "order_latency_ms": 9.0, "grid": "LATENCY_FILE=a,b"}, []),
    ("sweep", {"latency_file": "l.csv", "order_latency_ms": 9.0, "grid": "ORDER_LATENCY_MS=1,2"}, ["order_latency_ms"]),
    ("schedule", {"fill_params_json": "{}", "fallback_policy": "carry_forward"}, ["fill_params_json"]),
    ("schedule", {"fill_params_json": "{}", "fallback_policy": "global_default"}, []),
    ("walkforward", {"fill_params_json": "{}", "fallback_policy": "carry_forward"}, ["fill_params_json"]),
    ("walkforward", {"fill_params_json": "{}", "fallback_policy": "carry_forward", "fill_model": "trade_cross"}, []),
    ("calibration", {**ORDERS, "calib_method": "marks"}, [*ORDERS]),
    ("calibration", {**ORDERS, "calib_method": "ladder"}, []),
    ("schedule", {**ORDERS, "calib_method": "marks"}, [name for name in ORDERS if name != "order_latency_ms"]),
    ("walkforward", {**ORDERS, "calib_method": "marks"}, []),
    ("backtest", {"latency_file": "l.csv", "order_latency_ms": 9.0}, ["order_latency_ms"]),
    ("walkforward", {"latency_file": "l.csv", "order_latency_ms": 9.0}, []),
    ("backtest", {"latency_file": None, "order_latency_ms": 9.0}, []),
    ("backtest", {"quote_levels": 1, "level_step_ticks": 3}, ["level_step_ticks"]),
    ("backtest", {"quote_levels": 2, "level_step_ticks": 3}, []),
    ("sweep", {"quote_levels": 1, "level_step_ticks": 3, "grid": "QUOTE_LEVELS=1,2"}, []),
]


@pytest.mark.parametrize(("sensitivity", "names"), [(True, ["sensitivity", "fit_draws"]), (False, ["fit_draws"])])
def test_account_without_a_sensitivity_may_be_asked_for_none(sensitivity, names):
    """That is what it has."""
    values = {"one_account": True, "sensitivity": sensitivity, "fit_draws": 0}
    assert [name for name, why in unused_knobs("account_backtest", values) if "are of one symbol" in why] == names


@pytest.mark.parametrize(("kind", "values", "names"), CASES)
def test_knob_is_unused_depending_on_other_knobs(kind, values, names):
    """Each rule, and the value with which the knob is used."""
    assert [name for name, _ in unused_knobs(kind, values)] == names


@pytest.mark.parametrize("source", ["flag", "environment", "default"])
@pytest.mark.parametrize("is_default", [False, True])
def test_only_an_unused_flag_that_differs_from_its_default_is_rejected(source, is_default):
    """An exported variable is noted; a value equal to the default is neither."""
    knobs = {
        "calib_method": knob_of("marks", "default", flag="--method", is_default=True),
        "calib_deltas": knob_of((1.0, 2.0), source, flag="--deltas", is_default=is_default),
    }
    reason = "CALIB_METHOD is marks, and only ladder or fixed uses it"
    if source == "flag" and not is_default:
        with pytest.raises(UsageError, match=rf"^calib_deltas is 1,2, but {reason}; leave it out$"):
            refuse_unused("calibration", knobs)
    else:
        noted = source == "environment" and not is_default
        assert refuse_unused("calibration", knobs) == ([f"CALIB_DELTAS=1,2 is not used: {reason}"] if noted else [])


def test_unused_axis_of_a_grid_is_rejected():
    """A sweep over it would play the same backtest several times and rank chance."""
    knobs = {
        "grid": knob_of("ORDER_LATENCY_MS=1,2", "flag", flag="--grid"),
        "order_latency_ms": knob_of(50.0, "default", flag="--order-latency-ms", is_default=True),
        "latency_file": knob_of("l.csv", "environment", flag="--latency-file"),
    }
    reason = "LATENCY_FILE gives the latencies"
    with pytest.raises(UsageError, match=rf"^grid has the axis ORDER_LATENCY_MS, but {reason}; leave it out$"):
        refuse_unused("sweep", knobs)


@pytest.mark.parametrize("words", [("data", "coverage", "."), ("models",), ("sim", "as2008", "--paths", "2")])
def test_commands_without_a_run_name_a_variable_that_is_nearly_theirs(words, tmp_path):
    done = run_mm(*words, cwd=tmp_path, LOG_LEVLE="INFO")
    assert "LOG_LEVLE has no effect: it is no knob; did you mean LOG_LEVEL?" in done.stderr


@pytest.mark.parametrize("words", [("shadow",), ("trade", "--venue", "testnet")])
def test_trader_names_a_limit_that_has_no_effect(words, tmp_path):
    """A loss limit in another spelling is no limit; it is named before anything else can fail."""
    (tmp_path / ".env").write_text("max-daily-loss=5\nmax_drawdown=7\nSYMBOL=SIMUSDT\n")
    wrong = ("--per-symbol", '{"OTHER": {}}')
    done = run_mm(*words, *wrong, cwd=tmp_path, MAX_DAILY_LOS="5", MM_ENV_FILE=".env")
    assert done.returncode == 2
    for name, meant in (
        ("MAX_DAILY_LOS", "MAX_DAILY_LOSS"),
        ("max-daily-loss", "MAX_DAILY_LOSS"),
        ("max_drawdown", "MAX_DRAWDOWN"),
    ):
        assert f"{name} has no effect: it is no knob; did you mean {meant}?" in done.stderr


def test_each_name_in_the_file_of_variables_must_be_a_setting():
    """Of the environment, which is everybody's, only what is nearly ours is named."""
    known = {"MAX_DAILY_LOSS", "SEED", "OUT_ROOT"}
    names = ["LOSS", "seed", "Max_Daily_Los", "HTTPS_PROXY", "BINANCE_USDM_API_KEY", "WINDOW_TZ", "window_tz"]
    notes = misspelt(names, known, lambda: {*known, "WINDOW_TZ"}, listed=names)
    assert sorted(notes) == [
        "LOSS in the file of variables is no knob, and is only handed on",
        "Max_Daily_Los has no effect: it is no knob; did you mean MAX_DAILY_LOSS?",
        "seed has no effect: it is no knob; did you mean SEED?",
        "window_tz has no effect: it is no knob; did you mean WINDOW_TZ?",
    ]
    assert misspelt(["LOSS", "window_tz", "http_proxy"], known, lambda: known) == []
    assert misspelt(["seed", "binance_api_key"], known, lambda: known) == [
        "seed has no effect: it is no knob; did you mean SEED?",
        "binance_api_key has no effect: it is no knob; did you mean BINANCE_API_KEY?",
    ]


NEARLY = [("MAKER_FEE_RAT", "MAKER_FEE_RATE"), ("FEED_LATENCY_MS", "FEED_LATENCY"), ("OUT_ROOTT", "OUT_ROOT")]


@pytest.mark.parametrize(("name", "meant"), NEARLY)
def test_variable_that_is_nearly_a_knob_is_named(name, meant):
    """Two letters off, or with a suffix."""
    known = {"MAKER_FEE_RATE", "TAKER_FEE_RATE", "FEED_LATENCY", "OUT_ROOT", "SEED"}
    (note,) = misspelt({name: "1", "PATH": "", "SEEDS": "", "OUT": ""}, known, lambda: known)
    assert note == f"{name} has no effect: it is no knob; did you mean {meant}?"
    assert misspelt([name], known, lambda: {*known, name}) == []  # a knob of another command
    assert misspelt([meant], known, lambda: known) == []


def test_beginning_or_end_of_knobs_is_named_with_all_of_them():
    """The unit or the last word is easily forgotten."""
    known = {"MAKER_FEE_RATE", "ORDER_LATENCY_MS", "FILL_PARAMS_JSON", "FILL_PARAMS_FILE"}
    notes = misspelt(["MAKER_FEE", "ORDER_LATENCY", "FILL_PARAMS", "ORDER", "LATENCY_MS"], sorted(known), lambda: known)
    assert [note.partition("mean ")[2] for note in notes] == [
        "MAKER_FEE_RATE?",
        "ORDER_LATENCY_MS?",
        "FILL_PARAMS_FILE or FILL_PARAMS_JSON?",
        "ORDER_LATENCY_MS?",
    ]
