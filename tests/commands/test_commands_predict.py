"""``mm predict`` on a simulated day, from the command line: files, JSON, exit codes."""

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from mm.__main__ import main
from mm.signals.artefact import ARRAYS, MODEL, Artefact, write

SYMBOL, DAY, NEXT = "SIMUSDT", "20260105", "20260106"
SIGNALS = "imbalance_1,imbalance_5,spread,ofi_1s"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with two simulated days of six minutes, and one day of another symbol."""
    folder = tmp_path_factory.mktemp("desk")
    for symbol, day, hours in ((SYMBOL, DAY, "0.1"), (SYMBOL, NEXT, "0.1"), ("ABUSDT", DAY, "0.03")):
        words = ["--symbol", symbol, "--day", day, "--data-root", str(folder / "data"), "--hours", hours]
        assert call("sim", "day", *words, "--scenario", "zero_intelligence").exit_code == 0
    return folder


def call(*words):
    return CliRunner().invoke(main, words)


def predict(desk, name, *words, symbol=SYMBOL, day=DAY):
    roots = ["--data-root", str(desk / "data"), "--out-root", str(desk / "out"), "--log-level", "ERROR"]
    return call("predict", name, *words, "--symbol", symbol, "--day", day, *roots)


def fitted(desk, *words):
    """Return the result of a fit, its JSON and the folder it has written."""
    done = predict(desk, "fit", "--signals", SIGNALS, "--horizon-s", "2", *words, "--json")
    assert done.exit_code in (0, 4), done.stderr
    answer = json.loads(done.stdout)
    return done, answer, desk / answer["path"].removesuffix(f"/{MODEL}")


@pytest.fixture(scope="module")
def sided(desk):
    return fitted(desk, "--target", "adverse")[2]


@pytest.fixture(scope="module")
def moves(desk):
    return fitted(desk, "--target", "return")[2]


@pytest.mark.slow
@pytest.mark.parametrize(("target", "model"), [("return", "forest"), ("adverse", "logistic"), ("fill", "mlp")])
def test_fit_writes_a_model_and_exits_by_usability(desk, target, model):
    """The exit code is 0 if `usable`, otherwise 4; the folder is written either way."""
    done, answer, folder = fitted(desk, "--target", target, "--model", model, "--seed", "3")
    assert done.exit_code == (0 if answer["usable"] else 4)
    assert folder.parent.parent.parent.name == "models"
    assert "ten bins of equally many samples" in (folder / "report.html").read_text()
    assert (folder.parent.parent.name, folder.parent.name) == (target, SYMBOL)
    about = json.loads((folder / MODEL).read_text())
    assert {key: answer[key] for key in about} == about
    assert (about["target"], about["model"], about["horizon"], about["seed"]) == (target, model, 2.0, 3)
    assert about["signals"] == SIGNALS.split(",")
    assert set(about["score"]["baselines"]) == {"constant", "imbalance_1"} | (
        {"poisson"} if target == "fill" else set()
    )
    assert len(done.stderr.splitlines()) == (0 if answer["usable"] else 1)
    assert bool(about["distances_ticks"]) == (target == "fill")


@pytest.mark.slow
def test_show_prints_the_fitted_model_and_its_score(sided):
    """From the folder alone."""
    done = call("predict", "show", str(sided))
    assert done.exit_code == 0
    assert done.stdout.startswith(f"adverse over 2 s by logistic, fitted on {SYMBOL} {DAY}\nfrom imbalance_1, ")
    about = Artefact.read(sided).about
    assert f"log loss out of sample {about['score']['value']:.5f}" in done.stdout
    assert json.loads(call("predict", "show", str(sided), "--json").stdout)["hash"] == about["hash"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["moves", "sided"])
def test_apply_writes_a_row_for_each_diff(desk, name, request):
    """The same numbers as the signal of the folder; null while warming up, never filled."""
    folder = request.getfixturevalue(name)
    done = predict(desk, "apply", str(folder), "--json", day=NEXT)
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    table = pl.read_parquet(desk / answer["path"])
    sides = Artefact.read(folder).signal_names
    assert table.columns == ["recv_us", "prediction", *(["prediction_bid", "prediction_ask"] if len(sides) > 1 else [])]
    assert len(table) == answer["rows"] == answer["known"] + table["prediction"].null_count()
    assert 0 < table["prediction"].null_count() < 100
    roots = ["--data-root", str(desk / "data"), "--out-root", str(desk / "out"), "--log-level", "ERROR", "--json"]
    words = ["--symbol", SYMBOL, "--day", NEXT, "--signals", ",".join(sides)]
    column = pl.read_parquet(desk / json.loads(call("signals", "compute", *words, *roots).stdout)["path"])
    assert column["recv_us"].to_list() == table["recv_us"].to_list()
    values = [table[key].to_list() for key in table.columns[-len(sides) :]]
    assert [column[key].to_list() for key in sides] == values


def test_apply_notes_the_day_of_the_fit(desk, sided):
    """Predictions on that day are not out of sample."""
    note = f"note: {DAY}: the predictor was fitted on it"
    assert note in predict(desk, "apply", str(sided)).stdout
    assert "note:" not in predict(desk, "apply", str(sided), day=NEXT).stdout


def test_score_measures_another_day(desk, sided):
    """The score is of the given day, and the exit code reports whether the predictor is usable there."""
    done = predict(desk, "score", str(sided), "--json", day=NEXT)
    answer = json.loads(done.stdout)
    assert done.exit_code == (0 if answer["usable"] else 4), done.stderr
    assert answer["days"] == [NEXT]
    assert answer["score"]["samples"] != Artefact.read(sided).about["score"]["samples"]


@pytest.mark.parametrize("name", ["apply", "score"])
def test_apply_and_score_reject_another_market_or_changed_bytes(desk, sided, tmp_path, name):
    """With exit code 3 and one line."""
    other = predict(desk, name, str(sided), symbol="ABUSDT")
    assert other.exit_code == 3
    assert "fitted on SIMUSDT with a tick of 0.01, not on ABUSDT" in other.stderr
    artefact = Artefact.read(sided)
    write(tmp_path, {**artefact.about, "tick": "0.001"}, artefact.arrays)
    tick = predict(desk, name, str(tmp_path))
    assert tick.exit_code == 3
    assert "with a tick of 0.001, not on SIMUSDT with a tick of 0.01" in tick.stderr
    data = bytearray((tmp_path / ARRAYS).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / ARRAYS).write_bytes(data)
    changed = predict(desk, name, str(tmp_path))
    assert changed.exit_code == 3
    assert "has changed since the fit" in changed.stderr
    assert [len(result.stderr.splitlines()) for result in (other, tick, changed)] == [1, 1, 1]


def test_backtest_lists_predictor_files_and_warns_in_sample(desk, sided):
    """The files are inputs of the run; another market is rejected, and the day of the fit gives a warning."""
    roots = ["--data-root", str(desk / "data"), "--out-root", str(desk / "out"), "--sensitivity", "0"]
    params = json.dumps({"A": 1, "k": 0.5, "predictors": [str(sided)]})
    words = ["--quote-model", "expected_value", "--quote-params-json", params, *roots]
    done = call("backtest", "--symbol", SYMBOL, "--day", NEXT, *words, "--json")
    assert done.exit_code == 0, done.stderr
    manifest = json.loads((desk / json.loads(done.stdout)["path"]).with_name("run_manifest.json").read_text())
    assert {MODEL, ARRAYS} <= {entry["path"].rpartition("/")[2] for entry in manifest["inputs"]}
    assert "predictor_in_sample" not in done.stderr
    usable = json.loads((sided / MODEL).read_text())["usable"]
    assert ("predictor_not_usable" in done.stderr) is not usable
    assert "predictor_in_sample" in call("backtest", "--symbol", SYMBOL, "--day", DAY, *words).stderr
    other = call("backtest", "--symbol", "ABUSDT", "--day", DAY, *words)
    assert other.exit_code == 3
    assert "not on ABUSDT" in other.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--target", "price"], 2, "--target"),
        (["--target", "return", "--model", "svm"], 2, "--model"),
        (["--target", "return", "--horizon-s", "0"], 2, "--horizon-s"),
        (["--target", "return", "--horizon-s", "100"], 2, "too long for"),
        (["--target", "return", "--signals", "micro_price"], 2, "micro_price, which is itself fitted"),
        (["--target", "return", "--signals", "imbalance"], 2, "unknown signal 'imbalance'"),
        (["--target", "return", "--signals", "spread,spread"], 2, "twice"),
        (["--target", "return", "--distances", "1,2"], 2, "--distances (PREDICT_DISTANCES) is for --target fill"),
        (["--target", "return", "--signals", "momentum_3600s"], 4, "no sample of return has all of momentum_3600s"),
        (["--target", "fill", "--distances", "5000"], 4, "0 of "),
    ],
)
def test_invalid_fit_is_rejected_with_one_line(desk, words, code, message):
    """Nothing is written."""
    before = set((desk / "out").rglob("model.json"))
    done = predict(desk, "fit", *words)
    assert done.exit_code == code, done.output
    assert message in done.stderr
    assert len(done.stderr.splitlines()) <= 3  # with click's own usage and hint
    assert set((desk / "out").rglob("model.json")) == before


def test_inference_needs_no_scikit_learn(sided, monkeypatch):
    """A machine that only trades has numpy alone."""
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    predictions = Artefact.read(sided).predictor().predict(np.zeros((2, 4)), np.zeros(2), 1)
    assert ((predictions > 0) & (predictions < 1)).all()


def test_fit_without_scikit_learn_names_the_extra(desk, monkeypatch):
    """Before a model is written."""
    for name in ("sklearn", "sklearn.linear_model", "sklearn.ensemble"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    done = predict(desk, "fit", "--target", "return", "--horizon-s", "2", "--signals", SIGNALS)
    assert done.exit_code == 2
    assert "[ml]" in done.stderr
