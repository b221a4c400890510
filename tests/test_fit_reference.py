"""A fit is used with the reference that it was made with, or refused in one line."""

import json

import pytest
from click.testing import CliRunner

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


@pytest.mark.parametrize(
    ("name", "model"), [("best", "gueant"), ("micro", "expected_value"), ("moon", "avellaneda_stoikov")]
)
def test_an_A_from_another_reference_is_refused_with_the_way_out(desk, name, model):
    """Quotes count from the mid, where A of another reference is another number at each spread."""
    done = used(desk, name, "--quote-model", model)
    assert done.exit_code == 3, done.output
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    for needle in (f"{name}.json", repr(name), "mid"):
        assert needle in line


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


def test_a_walk_forward_and_a_sweep_check_it_too(desk):
    """A walk-forward by its own CALIB_REFERENCE, a sweep by the fit that it is given."""
    forward = ["walkforward", "--calib-reference", "best", "--wf-train-window-min", "5", "--wf-step-min", "2"]
    sweep = ["sweep", "--fill-params-file", str(desk / "best.json"), "--grid", "gamma=0.01,0.1"]
    for words in (forward, sweep):
        refused = call(desk, *words, "--quote-model", "glft")
        assert refused.exit_code == 3, refused.output
        assert "counts from 'mid'" in refused.stderr
        assert "CALIB_REFERENCE=mid" in refused.stderr
        taken = call(desk, *words)
        assert taken.exit_code == 0, taken.output
