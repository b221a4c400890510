"""``mm fills`` on a simulated day, from the shell's side."""

import json
import shutil

import pytest
from click.testing import CliRunner

from mm.__main__ import main

DAY = ("--symbol", "ZIUSDT", "--day", "20260105")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with six simulated minutes of a market with queues."""
    folder = tmp_path_factory.mktemp("desk")
    words = [*DAY, "--data-root", str(folder / "data"), "--hours", "0.1", "--scenario", "zero_intelligence"]
    assert call("sim", "day", *words).exit_code == 0
    return folder


def call(*words):
    return CliRunner().invoke(main, words)


def fills(desk, name, *words):
    return call("fills", name, *DAY, "--data-root", str(desk / "data"), "--out-root", str(desk / "out"), *words)


def log_of(desk):
    return desk / "data" / "ZIUSDT" / "20260105" / "order_log_ZIUSDT_20260105.csv.gz"


def test_score_prints_a_line_for_each_model(desk):
    """What would have filled, then the models, then where the orders joined."""
    answer = fills(desk, "score", "--life-s", "10", "--passes", "2")
    assert answer.exit_code == 0, answer.output
    lines = answer.stdout.splitlines()
    assert lines[0].startswith("ZIUSDT 20260105: ")
    assert " orders that waited 10 s; " in lines[0]
    for model in ("trade_cross strict", "price_cross", "queue_risk_averse", "queue_prob_power 0.5", "queue_prob_log"):
        assert sum(line.startswith(model) for line in lines) == 2
    assert lines[-1].startswith("no Brier scores on unseen time: "), "a quarter of six minutes says too little"
    assert "20 of each kind are needed" in lines[-1]
    assert not (desk / "out" / "fills").exists(), "it makes no run folder"


def test_score_answers_in_json(desk):
    """Counts add up, and the usual models are beside one of one's own."""
    words = ["--fill-model", "queue_prob_power", "--fill-params-json", '{"exponent": 1.5}', "--life-s", "10", "--json"]
    told = json.loads(fills(desk, "score", *words).stdout)
    own = told["models"]["queue_prob_power exponent 1.5"]
    assert own["both"] + own["missed"] + own["invented"] + own["neither"] == own["orders"] <= told["orders"]
    assert own["filled_bias"]["value"] == pytest.approx((own["invented"] - own["missed"]) / own["orders"])
    assert len(own["ahead_bias_lots"]) == len(told["checks_s"]) == 4
    assert told["models"]["trade_cross"]["ahead_bias"] == {"value": None, "error": None}
    places = told["places"]["queue_prob_power exponent 1.5"]
    assert sum(one["orders"] for one in places.values()) == own["orders"]
    assert told["path"] == str(log_of(desk))


def test_a_log_alone_is_a_market(desk):
    """The tape is made of it; the numbers are those of the day but for the opening."""
    answer = call("fills", "score", "--order-log", str(log_of(desk)), "--life-s", "10", "--passes", "2", "--json")
    assert answer.exit_code == 0, answer.output
    one = json.loads(answer.stdout)["models"]["queue_prob_power 1"]
    assert one["orders"] > 50
    assert one["wrong"]["value"] < 0.05


def test_a_models_file_of_ones_own_is_scored(desk, tmp_path, monkeypatch):
    """Named as anywhere; it fills what any print reaches, so it invents."""
    (tmp_path / "eager_fills.py").write_text(
        "class Eager:\n    def on_trade(self, order, trade):\n        return order.lots\n"
    )
    monkeypatch.chdir(tmp_path)
    answer = fills(desk, "score", "--fill-model", "eager_fills:Eager", "--life-s", "10", "--passes", "2", "--json")
    assert answer.exit_code == 0, answer.output
    own = json.loads(answer.stdout)["models"]["eager_fills:Eager"]
    assert own["missed"] == 0 < own["invented"]


def test_a_mixture_is_scored_beside_its_parts(desk):
    """A hybrid of one model scores as that model; of two, it misses no more than either."""
    alone, both = (
        json.dumps({"models": pairs})
        for pairs in ([["queue_risk_averse", {}]], [["queue_risk_averse", {}], ["price_cross", {}]])
    )
    words = ["--life-s", "10", "--passes", "2", "--json", "--fill-model", "hybrid", "--fill-params-json"]
    told = {shape: json.loads(fills(desk, "score", *words, shape).stdout)["models"] for shape in (alone, both)}
    models = told[alone]
    name = next(name for name in models if name.startswith("hybrid"))
    assert models[name]["missed"] == models["queue_risk_averse"]["missed"]
    assert models[name]["invented"] == models["queue_risk_averse"]["invented"]
    models = told[both]
    name = next(name for name in models if name.startswith("hybrid"))
    assert models[name]["missed"] <= min(models[part]["missed"] for part in ("queue_risk_averse", "price_cross"))


def test_fit_finds_the_exponent_of_a_uniform_market(desk):
    """Every order is cancelled at one rate, whatever its place: about 1, with an interval."""
    told = json.loads(fills(desk, "fit", "--json").stdout)
    assert told["status"] == "ok"
    assert told["low"] < told["exponent"] < told["high"]
    assert told["low"] < 1.1 < told["high"]
    lines = fills(desk, "fit").stdout.splitlines()
    assert lines[0] == f"exponent = {told['exponent']:.2f} ({told['low']:.2f} to {told['high']:.2f})   ok"
    assert lines[1].startswith(f"{told['probes']} of {told['cancellations']} cancellations")


def test_a_day_without_queues_ends_with_4(tmp_path):
    """One order per level, cancelled and quoted again: nothing to learn, and it reports that."""
    day = [*DAY, "--data-root", str(tmp_path / "data")]
    assert call("sim", "day", *day, "--hours", "0.05", "--scenario", "poisson").exit_code == 0
    answer = call("fills", "fit", *day, "--out-root", str(tmp_path / "out"))
    assert answer.exit_code == 4
    assert "the exponent is not usable (too_few)" in answer.stderr
    assert "cancellations whose order was seen to arrive" in answer.stdout


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--symbol", "ZIUSDT"], 2, "give the one or the other"),
        ([*DAY, "--order-log", "log.csv.gz"], 2, "give the one or the other"),
        (["--order-log", "nowhere.csv.gz"], 3, "nowhere.csv.gz"),
        ([*DAY, "--data-root", "nowhere"], 3, "nowhere"),
        ([*DAY, "--fill-model", "queue_prob_powr"], 2, "queue_prob_power"),
        ([*DAY, "--fill-model", "queue_prob_log", "--fill-params-json", '{"exponent": 2}'], 2, "exponent"),
        ([*DAY, "--fill-model", "hybrid", "--fill-params-json", '{"models": ["trade_cross"]}'], 2, "hybrid takes"),
        ([*DAY, "--life-s", "0"], 2, "--life-s"),
        (["--symbol", "ZIUSDT", "--day", "20260105:20260106"], 2, "this command takes one day"),
    ],
)
def test_what_cannot_be_scored_says_why(words, code, told):
    """One line, and the exit code of the contract."""
    answer = call("fills", "score", *words)
    assert answer.exit_code == code, answer.output
    assert told in answer.stderr


def test_a_recorded_day_has_no_truth(desk, tmp_path):
    """Without its order log a day cannot be scored."""
    shutil.copytree(desk / "data", tmp_path / "data")
    log = tmp_path / "data" / log_of(desk).relative_to(desk / "data")
    log.unlink()
    next(log.parent.glob("manifest_*.json")).unlink()
    answer = call("fills", "score", *DAY, "--data-root", str(tmp_path / "data"), "--out-root", str(tmp_path / "out"))
    assert answer.exit_code == 3
    assert "only a simulated day (mm sim day) has every order" in answer.stderr


def test_a_hazard_is_fitted_and_played(desk, tmp_path):
    """The file of one day is what a backtest and a score of it read; another symbol's is refused."""
    answer = fills(desk, "hazard", "--life-s", "10", "--passes", "12")
    assert answer.exit_code == 0, answer.output
    fit = desk / "out" / "fills" / "ZIUSDT" / "20260105_queue_hazard.json"
    assert answer.stdout.splitlines()[-1] == str(fit)
    for model in ("trade_cross", "queue_hazard", "forecast at arrival", "constant"):
        assert sum(line.startswith(f"{model} ") for line in answer.stdout.splitlines()) >= 1
    model = ("--fill-model", "queue_hazard", "--fill-params-json", json.dumps({"fit": str(fit)}))
    scored = json.loads(fills(desk, "score", *model, "--life-s", "10", "--passes", "1", "--json").stdout)
    assert "queue_hazard 20260105_queue_hazard.json" in scored["models"]
    roots = ("--data-root", str(desk / "data"), "--out-root", str(tmp_path))
    played = call("backtest", *DAY, *roots, "--run-id", "h", "--sensitivity", "0", *model)
    assert played.exit_code == 0, played.output
    run = tmp_path / "backtest" / "ZIUSDT" / "20260105_h"
    assert "queue_hazard:trade" in (run / "fills_ZIUSDT.csv").read_text()
    assert fit.name in (run / "run_manifest.json").read_text()
    content = json.loads(fit.read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**content, "symbol": "BTCUSD"}))
    model = ("--fill-model", "queue_hazard", "--fill-params-json", json.dumps({"fit": str(other)}))
    refused = call("backtest", *DAY, *roots, "--run-id", "other", *model)
    assert refused.exit_code == 3
    assert "changed since it was written" in refused.stderr
