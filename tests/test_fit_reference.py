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


@pytest.mark.parametrize("name", ["best", "micro", "moon"])
def test_another_reference_is_refused_with_the_way_out(desk, name):
    """Quotes count from the mid: k of another reference is another number."""
    done = used(desk, name)
    assert done.exit_code == 3, done.output
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    for needle in (f"{name}.json", repr(name), "mid"):
        assert needle in line


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


def test_a_walk_forward_and_a_sweep_are_refused_too(desk):
    """A walk-forward by its own CALIB_REFERENCE, a sweep by the fit that it is given."""
    forward = ["--calib-reference", "best", "--wf-train-window-min", "5", "--wf-step-min", "2"]
    sweep = ["--fill-params-file", str(desk / "best.json"), "--grid", "gamma=0.01,0.1"]
    for words in (["walkforward", *forward], ["sweep", *sweep]):
        done = call(desk, *words)
        assert done.exit_code == 3, done.output
        assert "counts from 'mid'" in done.stderr
        assert "CALIB_REFERENCE=mid" in done.stderr
