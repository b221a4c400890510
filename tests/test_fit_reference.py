"""A fit is used with the reference price that it was made with."""

import json

import pytest
from click.testing import CliRunner

import mm
from mm.__main__ import main


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A simulated day, its fit from the own best price, and copies of that fit with other references."""
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


def used(root, name, *words):
    return call(root, "backtest", "--json", "--fill-params-file", str(root / f"{name}.json"), *words)


def test_a_reference_of_another_version_is_refused_with_the_way_out(desk):
    done = used(desk, "moon")
    assert done.exit_code == 3, done.output
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    for needle in ("moon.json", "'moon'", "mid", "calibrate again"):
        assert needle in line


@pytest.mark.parametrize("name", ["best", "micro"])
@pytest.mark.parametrize("model", ["gueant", "expected_value", "optimal_curve"])
def test_an_A_is_taken_from_a_fit_of_any_reference(desk, name, model):
    """tests/backtest/test_quotes_by_reference.py has the numbers; here a command plays them."""
    done = used(desk, name, "--quote-model", model, "--fill-model", "poisson")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["reference"] == name
    assert summary["n_fills"] > 10


def test_a_fit_of_an_older_version_without_the_mean_spread_is_refused(desk):
    """It says what is missing, and that a new calibration has it."""
    content = json.loads((desk / "best.json").read_text(encoding="utf-8"))
    del content["half_spread_ticks"]
    (desk / "bare.json").write_text(json.dumps(content), encoding="utf-8")
    done = used(desk, "bare", "--quote-model", "gueant")
    assert done.exit_code == 3, done.output
    assert "no half_spread_ticks" in done.stderr
    assert used(desk, "bare").exit_code == 0


@pytest.mark.parametrize("name", ["best", "micro"])
def test_predicted_fills_by_distance_are_those_of_the_engine(desk, name):
    """The engine integrates λ of the orders' distances from the reference price; the table by distance sums to it."""
    fixed = ["--fill-model", "poisson", "--quote-model", "fixed_spread", "--quote-params-json", '{"delta_ticks": 2}']
    done = used(desk, name, *fixed)
    summary = json.loads(done.stdout)
    assert summary["predicted_fills"] > 20
    total = sum(row["predicted"] for row in summary["fills_by_distance"])
    assert total == pytest.approx(summary["predicted_fills"], rel=1e-9 if name == "best" else 5e-3)
    assert 0 <= summary["share_outside_fit"] < 0.2
    assert summary["reference_why"] == ("the fit was made with CALIB_REFERENCE=" + name)


@pytest.mark.parametrize("name", ["best", "micro"])
@pytest.mark.parametrize("model", ["avellaneda_stoikov", "symmetric"])
def test_k_is_taken_from_a_fit_of_any_reference(desk, name, model):
    """An exponential of the distance from another price has the same k from the mid: quotes are those of this k."""
    fit = json.loads((desk / f"{name}.json").read_text(encoding="utf-8"))
    settled = {"gamma": 0.05, "sigma": 1.5}
    given = used(desk, "mid", "--quote-model", model, "--quote-params-json", json.dumps({**settled, "k": fit["k"]}))
    taken = used(desk, name, "--quote-model", model, "--quote-params-json", json.dumps(settled))
    assert given.exit_code == taken.exit_code == 0, taken.output
    one, two = json.loads(given.stdout), json.loads(taken.stdout)
    assert two["reference"] == name
    assert one["n_orders"] == two["n_orders"] > 100
    for key in ("pnl_total", "n_fills", "two_sided_uptime", "effective_half_spread", "max_drawdown"):
        assert one[key] == two[key]


@pytest.mark.parametrize("name", ["mid", "older"])
def test_the_mid_and_a_file_without_the_key_are_accepted(desk, name):
    """An older file counts as one from the mid."""
    done = used(desk, name)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["reference"] == "mid"


def test_fills_count_as_their_fit_does_where_the_quotes_take_nothing_from_it(desk):
    """Fixed spreads use no k, or theirs is given; Poisson fills count from the own best price, as the fit."""
    fixed = ["--fill-model", "poisson", "--quote-model", "fixed_spread", "--quote-params-json"]
    done = used(desk, "best", *fixed, '{"delta_ticks": 2}')
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["reference"] == "best"


def test_a_walk_forward_and_a_sweep_take_it_too(desk):
    """A walk-forward by its own CALIB_REFERENCE, a sweep by the fit that it is given."""
    forward = ["walkforward", "--calib-reference", "best", "--wf-train-window-min", "5", "--wf-step-min", "2"]
    sweep = ["sweep", "--fill-params-file", str(desk / "best.json"), "--grid", "gamma=0.01,0.1"]
    for words in (forward, sweep):
        for model in ("avellaneda_stoikov", "glft"):
            taken = call(desk, *words, "--quote-model", model)
            assert taken.exit_code == 0, taken.output


def test_auto_chooses_by_the_first_training_window(desk):
    """The schedule says which reference and why; what follows the window changes nothing of it."""
    windows = ["--wf-train-window-min", "6", "--wf-step-min", "2", "--calib-reference", "auto"]
    done = call(desk, "schedule", *windows, "--run-id", "auto")
    assert done.exit_code == 0, done.output
    (found,) = (desk / "out").rglob("20260105_auto/poisson_schedule.json")
    content = json.loads(found.read_text(encoding="utf-8"))
    choice = content["reference_choice"]
    assert content["reference"] == choice["chosen"]
    assert f"note: first training window: {choice['why']}" in done.output
    tape = mm.load_day(desk / "data" / "SIMUSDT" / "20260105")
    first = tape.between(tape.start_us, tape.start_us + 6 * 60 * 1_000_000)
    assert mm.calibrate(first).reference_choice.why == choice["why"]
    assert all(one["half_spread_ticks"] > 0 for one in content["segments"])


def test_a_note_names_the_reference_of_a_fit_that_another_price_would_predict_better(desk):
    """The comparison is printed in each case; the fit counts from the price that was set."""
    ends = {}
    for name in ("mid", "best", "auto"):
        done = call(desk, "calibrate", "--calib-reference", name, "--run-id", f"note_{name}")
        (found,) = (desk / "out").rglob(f"20260105_note_{name}/poisson_fit.json")
        choice = json.loads(found.read_text(encoding="utf-8"))["reference_choice"]
        (note,) = [line for line in done.output.splitlines() if choice["why"] in line]
        ends[name] = note.partition(choice["why"])[2]
    (other,) = {"mid", "best"} - {choice["chosen"]}
    assert ends == {choice["chosen"]: "", "auto": "", other: f"; this fit counts from the {other}"}
