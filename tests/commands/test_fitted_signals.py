"""Predictors and the micro-price, fitted to earlier days, mean the same wherever a strategy is played."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import mm
import mm.signals.compute
from mm.__main__ import main
from mm.backtest.rules import Account, Execution
from mm.errors import Mismatch, UsageError
from mm.instrument import Instrument, to_exchange_info
from mm.live.run.live_play import PaperPlay, TradePlay, TradeStart
from mm.live.run.live_terms import ShadowTerms
from mm.play.knobs import Day, Models
from mm.play.setup import PlayKnobs
from mm.signals.artefact import Artefact, predictors_of

SYMBOL, DAYS = "SIMUSDT", ("20260105", "20260106")
KEYS = ("predictor_in_sample", "predictor_not_usable")


def call(*words):
    return CliRunner().invoke(main, words)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with two simulated days of six minutes, and one day of another symbol."""
    folder = tmp_path_factory.mktemp("desk")
    for symbol, day, hours in ((SYMBOL, DAYS[0], "0.1"), (SYMBOL, DAYS[1], "0.1"), ("ABUSDT", DAYS[1], "0.08")):
        words = ["--symbol", symbol, "--day", day, "--data-root", str(folder / "data"), "--hours", hours]
        assert call("sim", "day", *words, "--scenario", "zero_intelligence").exit_code == 0
    return folder


@pytest.fixture(scope="module")
def folder(desk):
    """The folder of a predictor of the return, fitted on the first day."""
    words = ["--target", "return", "--signals", "imbalance_1,ofi_1s", "--horizon-s", "2"]
    done = call("predict", "fit", *words, "--symbol", SYMBOL, "--day", DAYS[0], "--json", *roots(desk))
    assert done.exit_code in (0, 4), done.stderr
    return desk / json.loads(done.stdout)["path"].removesuffix("/model.json")


def roots(desk):
    return ["--data-root", str(desk / "data"), "--out-root", str(desk / "out")]


def strategy(name, folder):
    """Return the knobs of a quote model that reads a fitted signal."""
    step = {"step": str(folder), "micro_price": "micro_price"}.get(name)
    if step is None:
        return "expected_value", {"A": 1, "k": 0.5, "predictors": [str(folder)]}
    return "steps", {"model": ["fixed_spread", {"delta_ticks": 1}], "steps": [["shift_by", {"signal": step, "by": 1}]]}


def run_strategy(desk, command, name, folder, *words, symbol=SYMBOL, day=DAYS[1]):
    """Run a command with a strategy; return the result."""
    model, params = strategy(name, folder)
    knobs = ["--quote-model", model, "--quote-params-json", json.dumps(params), "--fill-model", "trade_cross"]
    return call(command, "--symbol", symbol, "--day", day, *knobs, *roots(desk), *words, "--json")


COMMANDS = {
    "backtest": ("--sensitivity", "0"),
    "sweep": ("--grid", "MAKER_FEE_RATE=0.001,0", "--jobs", "1", "--reuse-points", "0"),
    "walkforward": ("--sensitivity", "0", "--wf-train-window-min", "2", "--wf-step-min", "2", "--min-exposure-s", "10"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["step", "expected_value", "micro_price"])
def test_every_command_plays_a_fitted_signal(desk, folder, name):
    """A sweep has the numbers of the backtest, a walk-forward succeeds, and Python plays the same."""
    done = {command: run_strategy(desk, command, name, folder, *words) for command, words in COMMANDS.items()}
    assert {command: ended.exit_code for command, ended in done.items()} == dict.fromkeys(COMMANDS, 0), [
        ended.stderr for ended in done.values()
    ]
    summary = json.loads(done["backtest"].stdout)
    point = _first_point(desk, done["sweep"])
    for key in ("pnl_total", "n_fills", "n_orders"):
        assert point["summary"][key] == summary[key]
    point_keys, keys = ({text.partition(":")[0] for text in of["warnings"]} for of in (point["summary"], summary))
    assert point_keys <= keys  # a point's text is the same for all points, so that the sweep says it once
    assert summary["n_orders"] > 0
    model, params = strategy(name, folder)
    earlier = mm.load_day(desk / "data" / SYMBOL / DAYS[0])
    fit = mm.signals.micro_price.fit_micro_price([earlier]) if name == "micro_price" else None
    tape = mm.load_day(desk / "data" / SYMBOL / DAYS[1])
    result = mm.backtest(tape, model, "trade_cross", quote_params_json=params, sensitivity=False, micro_price=fit)
    assert result.summary["pnl_total"] == summary["pnl_total"]
    assert result.summary.get("predictors") == summary.get("predictors")


@pytest.mark.parametrize("name", ["step", "expected_value"])
def test_predictor_fitted_on_a_held_out_day_is_refused_on_it(desk, folder, name):
    """Also if the day is opened; on another held-out day it is played."""
    held = ("data", "hold", SYMBOL, *DAYS, "--data-root", str(desk / "data"))
    assert call(*held).exit_code == 0
    opened = ("--sensitivity", "0", "--open-held-out")
    same, other = (run_strategy(desk, "backtest", name, folder, *opened, day=day) for day in DAYS)
    scored = call(
        "predict", "score", str(folder), "--symbol", SYMBOL, "--day", DAYS[0], "--open-held-out", *roots(desk)
    )
    assert call(*held, "--release").exit_code == 0
    for refused in (same, scored):
        assert refused.exit_code == 2
        assert "was trained on it" in refused.stderr
    assert other.exit_code == 0, other.stderr


def _first_point(desk, done):
    """Return the first point of a sweep, which has the default fee."""
    folder = (desk / json.loads(done.stdout)["path"]).parent
    return json.loads((folder / "points.ndjson").read_text().splitlines()[0])


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("day", DAYS)
def test_every_command_gives_the_same_warnings(desk, folder, command, day):
    """In the log and in the summary, by the same keys."""
    done = run_strategy(desk, command, "step", folder, *COMMANDS[command], day=day)
    assert done.exit_code == 0, done.stderr
    usable = Artefact.read(folder).about["usable"]
    expected = {key for key, applies in zip(KEYS, (day == DAYS[0], not usable), strict=True) if applies}
    assert {key for key in KEYS if key in done.stderr} == expected
    answer = _first_point(desk, done)["summary"] if command == "sweep" else json.loads(done.stdout)
    assert {line.partition(":")[0] for line in answer["warnings"]} & set(KEYS) == expected
    assert [predictor["in_sample"] for predictor in answer["predictors"]] == [day == DAYS[0]]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_rejects_a_predictor_of_another_symbol(desk, folder, command):
    done = run_strategy(desk, command, "step", folder, *COMMANDS[command], symbol="ABUSDT")
    assert done.exit_code == 3
    assert "fitted on SIMUSDT with a tick of 0.01, not on ABUSDT" in done.stderr


def test_python_rejects_fits_of_another_symbol(desk, folder):
    """With a model's name, a user's object, and a micro-price."""
    other = mm.load_day(desk / "data" / "ABUSDT" / DAYS[1])
    model, params = strategy("step", folder)
    with pytest.raises(Mismatch, match="not on ABUSDT"):
        mm.backtest(other, model, "trade_cross", quote_params_json=params)

    class ReadsSignal:
        signals = (str(folder),)

        def quote(self, view):
            return None

    with pytest.raises(Mismatch, match="not on ABUSDT"):
        mm.backtest(other, ReadsSignal(), "trade_cross")
    fit = mm.signals.micro_price.fit_micro_price([mm.load_day(desk / "data" / SYMBOL / DAYS[0])])
    with pytest.raises(Mismatch, match="micro_price: fitted on SIMUSDT"):
        mm.backtest(other, micro_price=fit)


def test_first_day_has_no_micro_price(desk, folder):
    """Neither in a backtest nor in a point of a sweep."""
    done = run_strategy(desk, "backtest", "micro_price", folder, day=DAYS[0])
    assert (done.exit_code, "record or import days before" in done.stderr) == (2, True)
    assert run_strategy(desk, "sweep", "micro_price", folder, *COMMANDS["sweep"], day=DAYS[0]).exit_code == 2


def paper(name, folder, symbol=SYMBOL):
    """Return the knobs of a live strategy, and the exchange's terms at its start."""
    model, params = strategy(name, folder)
    models = Models(quote_model=model, quote_params_json=json.dumps(params), fill_model="trade_cross")
    entry = json.loads(to_exchange_info(Instrument(symbol, 1_000_000, 100_000_000, 0, "SIM", "USDT")))
    terms = ShadowTerms(symbol, DAYS[1], entry, "100.00", "100.01", 1_767_657_600_000_000)
    return PlayKnobs(execution=Execution(), account=Account(), models=models), terms


class RecordingRun:
    """A run that records its warnings and inputs."""

    def __init__(self, tapes, folder=None):
        self.tapes, self.folder, self.warnings, self.files = tapes, folder, [], []
        self.out_root, self.kind = folder, "shadow"
        self.has_input = self.files.__contains__
        self.log = SimpleNamespace(warning=lambda key, **_: self.warnings.append(key), info=lambda *_, **__: None)

    def input(self, path, size, sha256):
        self.files.append(path)

    def input_file(self, path):
        self.files.append(path.name)

    def keep_source(self, modules):
        assert not modules

    def path(self, name):
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        return self.folder / name


def test_shadow_and_trade_use_the_micro_price_of_earlier_days(desk, folder, tmp_path):
    """The fit is kept in the terms, so that a replay has the same."""
    knobs, bare = paper("micro_price", folder)
    with pytest.raises(UsageError, match="fitted on earlier days"):
        PaperPlay(bare, knobs)
    run = RecordingRun(desk / "out" / "tapes")
    terms = bare.fitted(knobs, day := Day(symbol=SYMBOL, day=DAYS[1], data_root=desk / "data"), run)
    assert f"{SYMBOL}/{DAYS[0]}" in run.files[0]
    terms.write(tmp_path)
    fits = [
        PaperPlay(ShadowTerms.read(tmp_path), knobs, run).rules.micro_price.to_json(),
        TradePlay(terms, knobs, TradeStart(position_e8=0, cash_e8=0), run).rules.micro_price.to_json(),
    ]
    earlier = mm.load_day(desk / "data" / SYMBOL / DAYS[0])
    assert fits == [mm.signals.micro_price.fit_micro_price([earlier]).to_json()] * 2
    assert paper("step", folder)[1].fitted(paper("step", folder)[0], day, run).micro_price is None


@pytest.mark.parametrize("name", ["step", "expected_value"])
def test_shadow_and_trade_give_the_same_warnings(desk, folder, name, tmp_path):
    """Of a predictor fitted on the traded day, and of an unusable predictor; the run keeps a copy of it."""
    knobs, terms = paper(name, folder)
    early = replace(terms, book_us=1_767_571_200_000_000)
    usable = Artefact.read(folder).about["usable"]
    for started, in_sample in ((terms, False), (early, True)):
        expected = [key for key, applies in zip(KEYS, (in_sample, not usable), strict=True) if applies]
        for make in (PaperPlay, lambda *args: TradePlay(*args[:2], TradeStart(position_e8=0, cash_e8=0), args[2])):
            run = RecordingRun(desk / "out" / "tapes", tmp_path)
            make(started, knobs, run)
            assert run.warnings == expected
            assert run.files == ["model.json", "arrays.npz"]
            assert (tmp_path / "models" / "0" / "arrays.npz").read_bytes() == (Path(folder) / "arrays.npz").read_bytes()
    other_knobs, other = paper(name, folder, "ABUSDT")
    with pytest.raises(Mismatch, match="not on ABUSDT"):
        PaperPlay(other, other_knobs)


def test_predictors_of_a_model_are_its_signal_folders(folder):
    model = SimpleNamespace(signals=("spread", str(folder)))
    assert list(predictors_of(model)) == [str(folder)]
    assert predictors_of(SimpleNamespace(signals="a/b")) == {}
    assert predictors_of(None) == {}
