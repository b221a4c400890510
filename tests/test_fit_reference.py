"""A fit is used with the reference price with which it was made."""

import json

import pytest
from click.testing import CliRunner

import mm
from mm.__main__ import main


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Return a folder with a simulated day, a fit from the own best price and copies of it with other references."""
    root = tmp_path_factory.mktemp("reference")
    assert call(root, "sim", "day", "--hours", "0.2").exit_code == 0
    assert call(root, "calibrate", "--calib-reference", "best", "--run-id", "fit").exit_code == 0
    found = root / "out" / "calibration" / "marks" / "SIMUSDT" / "20260105_fit" / "poisson_fit.json"
    content = json.loads(found.read_text(encoding="utf-8"))
    assert content["reference"] == "best"
    for name in ("best", "micro", "mid", "moon"):
        (root / f"{name}.json").write_text(json.dumps({**content, "reference": name}), encoding="utf-8")
    without = {key: value for key, value in content.items() if key != "reference"}
    (root / "older.json").write_text(json.dumps(without), encoding="utf-8")
    return root


def call(root, *words):
    where = ["--symbol", "SIMUSDT", "--day", "20260105", "--data-root", str(root / "data")]
    runs = [] if words[0] == "sim" else ["--out-root", str(root / "out")]
    return CliRunner().invoke(main, [*words, *where, *runs])


def backtest_with(root, name, *words):
    return call(root, "backtest", "--json", "--fill-params-file", str(root / f"{name}.json"), *words)


def test_unknown_reference_is_rejected_with_advice(workspace):
    done = backtest_with(workspace, "moon")
    assert done.exit_code == 3, done.output
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    for needle in ("moon.json", "'moon'", "mid", "calibrate again"):
        assert needle in line


@pytest.mark.parametrize("name", ["best", "micro"])
@pytest.mark.parametrize("model", ["gueant", "expected_value", "optimal_curve"])
def test_models_with_A_run_on_fit_of_any_reference(workspace, name, model):
    """tests/backtest/test_quotes_by_reference.py checks the numbers; this test runs the command."""
    done = backtest_with(workspace, name, "--quote-model", model, "--fill-model", "poisson")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["reference"] == name
    assert summary["n_fills"] > 10


def test_fit_without_mean_spread_is_rejected_where_required(workspace):
    """The error names the missing key; models that do not need it accept the fit."""
    content = json.loads((workspace / "best.json").read_text(encoding="utf-8"))
    del content["half_spread_ticks"]
    (workspace / "bare.json").write_text(json.dumps(content), encoding="utf-8")
    done = backtest_with(workspace, "bare", "--quote-model", "gueant")
    assert done.exit_code == 3, done.output
    assert "no half_spread_ticks" in done.stderr
    assert backtest_with(workspace, "bare").exit_code == 0


@pytest.mark.parametrize("name", ["best", "micro"])
def test_predicted_fills_by_distance_sum_to_engine_total(workspace, name):
    """The engine integrates λ over the distances from the reference price; the table sums to its total."""
    fixed = ["--fill-model", "poisson", "--quote-model", "fixed_spread", "--quote-params-json", '{"delta_ticks": 2}']
    done = backtest_with(workspace, name, *fixed)
    summary = json.loads(done.stdout)
    assert summary["predicted_fills"] > 20
    total = sum(row["predicted"] for row in summary["fills_by_distance"])
    assert total == pytest.approx(summary["predicted_fills"], rel=1e-9 if name == "best" else 5e-3)
    assert 0 <= summary["share_outside_fit"] < 0.2
    assert summary["reference_why"] == ("the fit was made with CALIB_REFERENCE=" + name)


@pytest.mark.parametrize("name", ["best", "micro"])
@pytest.mark.parametrize("model", ["avellaneda_stoikov", "symmetric"])
def test_quotes_use_k_of_fit_from_any_reference(workspace, name, model):
    """k does not depend on the reference price, so quotes equal those with k given as a parameter."""
    fit = json.loads((workspace / f"{name}.json").read_text(encoding="utf-8"))
    params = {"gamma": 0.05, "sigma": 1.5}
    with_k = backtest_with(
        workspace, "mid", "--quote-model", model, "--quote-params-json", json.dumps({**params, "k": fit["k"]})
    )
    with_fit = backtest_with(workspace, name, "--quote-model", model, "--quote-params-json", json.dumps(params))
    assert with_k.exit_code == with_fit.exit_code == 0, with_fit.output
    expected, found = json.loads(with_k.stdout), json.loads(with_fit.stdout)
    assert found["reference"] == name
    assert expected["n_orders"] == found["n_orders"] > 100
    for key in ("pnl_total", "n_fills", "two_sided_uptime", "effective_half_spread", "max_drawdown"):
        assert expected[key] == found[key]


@pytest.mark.parametrize("name", ["mid", "older"])
def test_fit_file_without_reference_counts_as_mid(workspace, name):
    """A file of an older version without the key is read as a fit from the mid."""
    done = backtest_with(workspace, name)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["reference"] == "mid"


def test_poisson_fills_use_reference_of_fit_with_fixed_spread_quotes(workspace):
    """Fixed-spread quotes use no k; Poisson fills use the fit's reference, the own best price."""
    fixed = ["--fill-model", "poisson", "--quote-model", "fixed_spread", "--quote-params-json"]
    done = backtest_with(workspace, "best", *fixed, '{"delta_ticks": 2}')
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["reference"] == "best"


@pytest.mark.slow
def test_walkforward_and_sweep_accept_best_reference(workspace):
    """A walk-forward uses its own CALIB_REFERENCE, a sweep the given fit."""
    forward = ["walkforward", "--calib-reference", "best", "--wf-train-window-min", "5", "--wf-step-min", "2"]
    sweep = ["sweep", "--fill-params-file", str(workspace / "best.json"), "--grid", "gamma=0.01,0.1"]
    for words in (forward, sweep):
        for model in ("avellaneda_stoikov", "glft"):
            done = call(workspace, *words, "--quote-model", model)
            assert done.exit_code == 0, done.output


def test_auto_reference_is_chosen_from_first_training_window(workspace):
    """The schedule states the reference and the reason, which equal those of a fit of the first window alone."""
    windows = ["--wf-train-window-min", "6", "--wf-step-min", "2", "--calib-reference", "auto"]
    done = call(workspace, "schedule", *windows, "--run-id", "auto")
    assert done.exit_code == 0, done.output
    (found,) = (workspace / "out").rglob("20260105_auto/poisson_schedule.json")
    content = json.loads(found.read_text(encoding="utf-8"))
    choice = content["reference_choice"]
    assert content["reference"] == choice["chosen"]
    assert f"note: first training window: {choice['why']}" in done.output
    tape = mm.load_day(workspace / "data" / "SIMUSDT" / "20260105")
    first = tape.between(tape.start_us, tape.start_us + 6 * 60 * 1_000_000)
    assert mm.calibrate(first).reference_choice.why == choice["why"]
    assert all(one["half_spread_ticks"] > 0 for one in content["segments"])


def test_calibrate_notes_when_another_reference_predicts_better(workspace):
    """The comparison is always printed; the fit uses the configured reference."""
    ends = {}
    for name in ("mid", "best", "auto"):
        done = call(workspace, "calibrate", "--calib-reference", name, "--run-id", f"note_{name}")
        (found,) = (workspace / "out").rglob(f"20260105_note_{name}/poisson_fit.json")
        choice = json.loads(found.read_text(encoding="utf-8"))["reference_choice"]
        (note,) = [line for line in done.output.splitlines() if choice["why"] in line]
        ends[name] = note.partition(choice["why"])[2]
    (other,) = {"mid", "best"} - {choice["chosen"]}
    assert ends == {choice["chosen"]: "", "auto": "", other: f"; the distances of this fit are from the {other}"}
