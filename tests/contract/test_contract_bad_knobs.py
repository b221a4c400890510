"""Wrong settings: exit 2 (3 for a file), one line with flag, variable and value, and no run folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from lab import Done, Lab, mm
from test_contract_bad_days import DAY, QUOTES, SYMBOL, leftover_runs, tiny

pytestmark = pytest.mark.slow  # a process for each case

POISSON = {**QUOTES, "FILL_MODEL": "poisson"}
FIXED = {"QUOTE_MODEL": "fixed_spread"}

#: Name -> variables in addition to those of a good run, exit code, and what the line must contain.
WRONG: dict[str, tuple[dict[str, str], int, tuple[str, ...]]] = {
    "negative latency": ({"ORDER_LATENCY_MS": "-1"}, 2, ("--order-latency-ms", "ORDER_LATENCY_MS", "-1")),
    "latency in words": ({"ORDER_LATENCY_MS": "fast"}, 2, ("ORDER_LATENCY_MS", "fast")),
    "no requotes": ({"REQUOTE_INTERVAL_MS": "0"}, 2, ("--requote-interval-ms", "REQUOTE_INTERVAL_MS", "0")),
    "fee above one": ({"MAKER_FEE_RATE": "2"}, 2, ("--maker-fee-rate", "MAKER_FEE_RATE", "2")),
    "quantity off the step": ({"QUOTE_QTY": "0.7005"}, 2, ("QUOTE_QTY", "0.7005", "0.001")),
    "unknown level": ({"LOG_LEVEL": "LOUD"}, 2, ("LOG_LEVEL", "LOUD")),
    "day in words": ({"DAY": "yesterday"}, 2, ("--day", "DAY", "yesterday")),
    "range backwards": ({"DAY": "20260107:20260105"}, 2, ("DAY", "20260107:20260105")),
    "symbol with a path": ({"SYMBOL": "../x"}, 2, ("SYMBOL", "../x")),
    "run id with a path": ({"RUN_ID": "../../evil"}, 2, ("RUN_ID", "../../evil")),
    "unknown quote model": ({"QUOTE_MODEL": "fixed_spred"}, 2, ("fixed_spred", "did you mean fixed_spread")),
    "unknown fill model": ({"FILL_MODEL": "trade_cros"}, 2, ("trade_cros", "did you mean trade_cross")),
    "unknown parameter": ({"QUOTE_PARAMS_JSON": '{"delta": 1}'}, 2, ("'delta'", "delta_ticks")),
    "missing parameter": ({"QUOTE_PARAMS_JSON": "{}"}, 2, ("delta_ticks",)),
    "parameter in words": ({"QUOTE_PARAMS_JSON": '{"delta_ticks": "a"}'}, 2, ("delta_ticks", "a")),
    "parameter null": ({"QUOTE_PARAMS_JSON": '{"delta_ticks": null}'}, 2, ("delta_ticks",)),
    "gamma neither number nor auto": (
        {"QUOTE_MODEL": "avellaneda_stoikov", "QUOTE_PARAMS_JSON": '{"gamma": "high"}'},
        2,
        ("gamma is 'high'", "or auto"),
    ),
    "parameters no JSON": ({"QUOTE_PARAMS_JSON": "{delta:1}"}, 2, ("QUOTE_PARAMS_JSON", "{delta:1}")),
    "target beyond the bound": (
        {"QUOTE_MODEL": "avellaneda_stoikov", "QUOTE_PARAMS_JSON": "{}", "TARGET_INVENTORY": "1000"},
        2,
        ("TARGET_INVENTORY", "the bound is", "nearer target"),
    ),
    "share in words": ({"FILL_MODEL": "trade_cross", "FILL_PARAMS_JSON": '{"share": "all"}'}, 2, ("share", "all")),
    "poisson without parameters": (POISSON, 2, ("FILL_PARAMS_FILE", "FILL_PARAMS_JSON")),
    "poisson with a negative A": ({**POISSON, "FILL_PARAMS_JSON": '{"A": -1, "k": 0.3}'}, 2, ("A", "-1")),
    "poisson with one side": ({**POISSON, "FILL_PARAMS_JSON": '{"bid": {"A": 1, "k": 0.3}}'}, 2, ("ask",)),
    "both parameter knobs": (
        {**POISSON, "FILL_PARAMS_FILE": "good.json", "FILL_PARAMS_JSON": '{"A": 1, "k": 1}'},
        2,
        ("FILL_PARAMS_FILE", "FILL_PARAMS_JSON", "good.json"),
    ),
    "fit absent": ({**POISSON, "FILL_PARAMS_FILE": "nope.json"}, 3, ("FILL_PARAMS_FILE", "nope.json")),
    "fit not usable": ({**POISSON, "FILL_PARAMS_FILE": "unusable.json"}, 4, ("unusable.json", "no_fills")),
    "fit of another symbol": ({**POISSON, "FILL_PARAMS_FILE": "symbol.json"}, 3, ("symbol.json", "OTHERUSDT", SYMBOL)),
    "fit of another tick": ({**POISSON, "FILL_PARAMS_FILE": "tick.json"}, 3, ("tick.json", "0.1", "0.01")),
    "fit no JSON": ({**POISSON, "FILL_PARAMS_FILE": "broken.json"}, 3, ("broken.json",)),
    "fit a folder": ({**POISSON, "FILL_PARAMS_FILE": "."}, 3, ("FILL_PARAMS_FILE",)),
    "output a file": ({"OUT_ROOT": "in_the_way"}, 2, ("OUT_ROOT", "in_the_way")),
    "run folder not empty": ({"OUT_DIR": "full"}, 2, ("OUT_DIR", "full")),
    "log folder a file": ({"LOG_ROOT": "in_the_way"}, 2, ("LOG_ROOT", "in_the_way")),
    "tick too coarse": ({"TICK_SIZE": "0.1"}, 3, ("0.1", "99.99")),
}


def fits() -> dict[str, Any]:
    """Return fit files: a good one as the contract describes it, and wrong ones."""
    numbers = {"logA": 0.0, "se_logA": 0.1, "se_k": 0.1, "cov_logA_k": 0.0, "min_delta_ticks": 1, "max_delta_ticks": 9}
    good = {
        "schema_version": 1, "symbol": SYMBOL, "day": DAY, "method": "marks", "fit_method": "poisson_mle",
        "A": 1.0, "k": 0.3, "distance_unit": "ticks", "time_unit": "s", "tick_size": 0.01, **numbers,
        "sides": {side: {"A": 1.0, "k": 0.3, "se_logA": 0.1, "se_k": 0.1, "n_fills": 50} for side in ("bid", "ask")},
        "usable": True, "status": "ok", "reason": "", "hit": "touch", "reference": "mid", "warnings": [],
        "n_fills": 100, "exposure_s": 1000.0, "mle": {"A": 1.0, "k": 0.3, "se_logA": 0.1, "se_k": 0.1},
    }  # fmt: skip
    return {
        "good.json": good,
        "symbol.json": {**good, "symbol": "OTHERUSDT"},
        "tick.json": {**good, "tick_size": 0.1},
        "unusable.json": {**good, "A": None, "k": None, "usable": False, "status": "no_fills", "reason": "no fills"},
    }


def write_files(folder: Path) -> None:
    """Create the files and folders that the wrong settings refer to."""
    for name, fit in fits().items():
        (folder / name).write_text(json.dumps(fit))
    (folder / "broken.json").write_text("{")
    (folder / "in_the_way").write_text("mine")
    (folder / "full").mkdir(exist_ok=True)
    (folder / "full" / "precious.txt").write_text("mine")


def backtest(lab: Lab, name: str, *flags: str, **variables: str) -> Done:
    """Run a backtest of the tiny day with these settings in a folder that contains the files."""
    folder = lab.root / f"knobs/{name}"
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder)
    good = {"SYMBOL": SYMBOL, "DAY": DAY, "DATA_ROOT": str(tiny(lab)), **QUOTES}
    return lab.command(f"knobs/{name}", "backtest", *flags, **{**good, **variables})


@pytest.mark.parametrize("name", WRONG)
def test_wrong_setting_is_rejected_in_one_line(lab: Lab, name: str) -> None:
    """The line contains flag, variable and value; no run folder is left, and existing files are unchanged."""
    variables, code, needles = WRONG[name]
    done = backtest(lab, name, **variables)
    assert done.code == code, done
    (line,) = done.err.splitlines()
    for needle in needles:
        assert needle in line, line
    assert done.out == ""
    assert leftover_runs(done.cwd) == []
    assert (done.cwd / "in_the_way").read_text() == "mine"
    assert [path.name for path in (done.cwd / "full").iterdir()] == ["precious.txt"]


def test_handmade_good_fit_is_accepted(lab: Lab) -> None:
    """The good fit runs, so each wrong fit fails only because of its own defect."""
    done = backtest(lab, "good fit", **{**POISSON, "FILL_PARAMS_FILE": "good.json"})
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    "command", ["backtest", "calibrate", "schedule", "walkforward", "fit", "data import", "sim day"]
)
def test_unknown_flag_exits_2(lab: Lab, command: str) -> None:
    """A mistyped flag must not be ignored; apart from click's usage lines there is one line."""
    done = lab.command(f"flags/{command}", *command.split(), "--order-latncy-ms", "5")
    assert done.code == 2
    lines = [line for line in done.err.splitlines() if not line.startswith(("Usage", "Try"))]
    assert len(lines) == 1
    assert "--order-latncy-ms" in lines[0]


def test_flag_overrides_environment(lab: Lab) -> None:
    """Flag > environment > default, and the manifest records the source."""
    done = backtest(lab, "precedence", "--seed", "3", SEED="4", ORDER_LATENCY_MS="60")
    assert done.code == 0, done.err
    knobs = json.loads(next(done.cwd.rglob("run_manifest.json")).read_text())["knobs"]
    assert knobs["seed"]["value"] == 3
    assert knobs["seed"]["source"] == "flag"
    assert knobs["order_latency_ms"]["value"] == 60
    assert knobs["order_latency_ms"]["source"].startswith("env")
    assert knobs["cancel_latency_ms"] == {"value": 25, "source": "default"}


@pytest.mark.parametrize("name", ["day", "symbol"])
def test_missing_required_setting_is_reported_by_name(lab: Lab, name: str) -> None:
    """There is no prompt; the line contains flag and variable."""
    required = {"symbol": {"SYMBOL": SYMBOL}, "day": {"DAY": DAY}}
    required.pop(name)
    done = lab.command(f"required/{name}", "backtest", **next(iter(required.values())))
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert f"--{name}" in line
    assert name.upper() in line


def test_aliases_and_value_formats_of_contract_are_accepted(lab: Lab) -> None:
    """`trade_driven` means `trade_cross`; latencies may be fractions of a millisecond; symbols may be lower case."""
    runs = {
        "alias": {"FILL_MODEL": "trade_driven"},
        "name": {"FILL_MODEL": "trade_cross"},
        "fraction": {"ORDER_LATENCY_MS": "0.5"},
        "small letters": {"SYMBOL": SYMBOL.lower()},
        "range of one": {"DAY": f"{DAY}:{DAY}"},
    }
    for name, variables in runs.items():
        done = backtest(lab, name, **variables)
        assert done.code == 0, done.err
    fills = {name: next((lab.root / f"knobs/{name}").rglob("fills_*.csv")).read_bytes() for name in runs}
    assert fills["alias"] == fills["name"]
    assert fills["small letters"] == fills["range of one"]


#: Name -> command, flags, and what the only line must contain.
UNUSED = {
    "deltas": ("calibrate", ("--deltas", "1,2"), ("--deltas (CALIB_DELTAS)", "CALIB_METHOD is marks")),
    "dwell": ("calibrate", ("--method", "fixed", "--dwell-ms", "5"), ("--dwell-ms", "CALIB_METHOD is fixed")),
    "half-life": ("schedule", ("--schedule-half-life-min", "9"), ("--schedule-half-life-min", "rolling", "ewma")),
    "strategy": ("schedule", ("--quote-model", "glft"), ("--quote-model (QUOTE_MODEL)", "runs no strategy")),
    "fit": ("walkforward", ("--fill-params-file", "f.json"), ("--fill-params-file", "global_default")),
    "windows": ("sweep", ("--grid", "GAMMA=1,2", "--wf-step-min", "9"), ("--wf-step-min", "SWEEP_WALKFORWARD is 0")),
    "latency": (
        "backtest",
        ("--latency-file", "l.csv", "--order-latency-ms", "9"),
        ("--order-latency-ms", "LATENCY_FILE"),
    ),
}


@pytest.mark.parametrize("name", UNUSED)
def test_flag_without_effect_is_rejected(lab: Lab, tmp_path: Path, name: str) -> None:
    """Exit 2, one line with the flag, its variable and the reason; nothing is written."""
    command, flags, needles = UNUSED[name]
    done = mm(command, *flags, cwd=tmp_path, SYMBOL="TINYUSDT", DAY="20260105", DATA_ROOT=str(tiny(lab)))
    assert done.code == 2, done
    (line,) = done.err.splitlines()
    assert all(needle in line for needle in needles), line
    assert list(tmp_path.iterdir()) == []


def test_variable_without_effect_is_logged_and_ignored(lab: Lab, tmp_path: Path) -> None:
    """A variable exported for another command: the run completes, logs it, and can be reproduced."""
    exported = {"CALIB_DELTAS": "1,2", "CALIB_DWELL_MS": "60000", "RUN_ID": "r", "LOG_LEVEL": "WARNING"}
    day = {"SYMBOL": "TINYUSDT", "DAY": "20260105", "DATA_ROOT": str(tiny(lab))}
    done = mm("calibrate", cwd=tmp_path, **exported, **day)
    assert done.code in {0, 4}, done
    (log,) = tmp_path.rglob("run.log")
    notes = [
        entry["note"] for entry in map(json.loads, log.read_text().splitlines()) if entry["event"] == "knob_not_used"
    ]
    assert notes == ["CALIB_DELTAS=1,2 is not used: CALIB_METHOD is marks, and only ladder or fixed uses it"]
    assert mm("runs", "reproduce", "r", cwd=tmp_path).code == 0
