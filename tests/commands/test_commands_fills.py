"""``mm fills`` on a simulated day, from the command line."""

import html
import json
import shutil

import pytest
from click.testing import CliRunner

from mm.__main__ import main
from mm.base.numbers import number

DAY = ("--symbol", "ZIUSDT", "--day", "20260105")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with six simulated minutes of a market with order queues."""
    folder = tmp_path_factory.mktemp("desk")
    words = [*DAY, "--data-root", str(folder / "data"), "--hours", "0.1", "--scenario", "zero_intelligence"]
    assert call("sim", "day", *words).exit_code == 0
    return folder


def call(*words):
    return CliRunner().invoke(main, words)


def fills(desk, name, *words):
    return call("fills", name, *DAY, "--data-root", str(desk / "data"), "--out-root", str(desk / "out"), *words)


def log_of(desk):
    return desk / "data" / "ZIUSDT" / "20260105" / "order_log_ZIUSDT_20260105.parquet"


@pytest.mark.slow
def test_score_prints_two_lines_per_model(desk):
    """A heading, then the models, then the places where the orders joined."""
    answer = fills(desk, "score", "--life-s", "10", "--passes", "2")
    assert answer.exit_code == 0, answer.output
    lines = answer.stdout.splitlines()
    assert lines[0].startswith("ZIUSDT 20260105: ")
    assert " virtual orders with a lifetime of 10 s; " in lines[0]
    for model in ("trade_cross strict", "price_cross", "queue_back", "queue_prob_power 0.5", "queue_prob_log"):
        assert sum(line.startswith(model) for line in lines) == 2
    kept = desk / "out" / "fills" / "ZIUSDT" / "20260105" / "fills_score.json"
    assert str(kept) == lines[-1]
    assert kept.with_suffix(".html").is_file()
    score = json.loads(kept.read_text())
    assert set(score["readings"]) == {"print", "order"}
    assert all(0 <= bin_["observed"] <= 1 and bin_["n"] for bin_ in score["reliability"])


@pytest.mark.slow
def test_score_json_counts_add_up(desk):
    """The standard models are listed beside the model that the user chose."""
    words = ["--fill-model", "queue_prob_power", "--fill-params-json", '{"exponent": 1.5}', "--life-s", "10", "--json"]
    score = json.loads(fills(desk, "score", *words).stdout)
    own = score["models"]["queue_prob_power exponent 1.5"]
    assert own["both"] + own["missed"] + own["invented"] + own["neither"] == own["orders"] <= score["orders"]
    assert own["filled_bias"]["value"] == pytest.approx((own["invented"] - own["missed"]) / own["orders"])
    assert len(own["ahead_bias_lots"]) == len(score["checks_s"]) == 4
    assert score["models"]["trade_cross"]["ahead_bias"]["value"] is None
    places = score["places"]["queue_prob_power exponent 1.5"]
    assert sum(place["orders"] for place in places.values()) == own["orders"]
    assert score["path"].endswith("fills_score.json")


@pytest.mark.slow
def test_score_of_a_strategy_adds_up(desk):
    """Lots too many, lots too good, and the rest are the whole difference; the truth differs from itself by nothing."""
    words = ["--life-s", "10", "--passes", "1", "--strategy", "fixed_spread", "--strategy-params-json"]
    more = ['{"delta_ticks": 1}', "--settings-json", '{"maker_fee_rate": "0"}', "--json"]
    answer = fills(desk, "score", *words, *more)
    assert answer.exit_code == 0, answer.output
    truth, *others = json.loads(answer.stdout)["strategy"]["scores"].values()
    assert truth["fills"] > 0 == truth["pnl_less_truth"]["value"]
    for own in others:
        assert own["pnl_less_truth"]["value"] == pytest.approx(own["pnl"] - truth["pnl"])
        assert own["by_count"] + own["adverse"] + own["rest"] == pytest.approx(own["pnl"] - truth["pnl"])


HEDGER = """
import mm

class Hedger:
    def on_event(self, market: mm.QuoteView, orders: mm.Orders) -> None:
        for name, side, best in (("bid", 1, market.bid_ticks), ("ask", -1, market.ask_ticks)):
            if name in orders and orders[name].ticks != best:
                orders.cancel(name)
            elif name not in orders:
                orders.submit(side, best, client_id=name)
        there, held = orders.at("lead"), orders.inventory_lots - orders.target_lots
        lead = market.other("lead")
        if lead.mid is not None and held and not len(there):
            side = -1 if held > 0 else 1
            there.submit(side, lead.bid_ticks if side < 0 else lead.ask_ticks, kind="IOC", qty=0.1)
"""


@pytest.mark.slow
def test_score_of_a_strategy_with_a_leg_is_of_both_markets(desk, tmp_path, monkeypatch):
    """What each model earns is the PnL of quoting that its backtest says."""
    (tmp_path / "hedging.py").write_text(HEDGER)
    monkeypatch.chdir(tmp_path)
    root = ("--data-root", str(desk / "data"))
    assert call("sim", "day", "--symbol", "LEADUSDT", "--day", "20260105", "--hours", "0.1", *root).exit_code == 0
    leg = {"symbol": "LEADUSDT", "orders": {"taker_fee_rate": 0, "initial_inventory": 10}}
    others = ("--others", json.dumps({"lead": leg}))
    settings = ["--settings-json", '{"maker_fee_rate": "0", "initial_inventory": "10"}', "--json"]
    words = ["--life-s", "10", "--passes", "1", "--strategy", "hedging:Hedger", *others, *settings]
    answer = fills(desk, "score", *words)
    assert answer.exit_code == 0, answer.output
    scores = json.loads(answer.stdout)["strategy"]["scores"]
    rules = ("--maker-fee-rate", "0", "--initial-inventory", "10", "--quote-model", "hedging:Hedger")
    for name, model in (("trade_cross", "trade_cross"), ("queue_orders (the truth)", "queue_orders")):
        places = (*DAY, *root, "--out-root", str(tmp_path / name), "--fill-model", model)
        played = call("backtest", *places, *rules, *others, "--json")
        assert played.exit_code == 0, played.output
        summary = json.loads(played.stdout)
        assert summary["legs"]["lead"]["n_fills"] > 0
        assert scores[name]["pnl"] == pytest.approx(summary["pnl_quoting"])


def pro_rata_market(steps):
    """Return CSV rows of four orders a side that share each taker, and are then placed anew."""
    rows, us, number = ["ts,kind,id,side,price,size"], 1_767_596_400_000_000, 0
    waiting = {"buy": [], "sell": []}
    for at in range(2 * steps):
        us += 125_000
        for side, price in (("buy", "99.99"), ("sell", "100.01"))[at % 2 :][:1]:
            rows += [f"{us},trade,{each},{side},{price},1" for each in waiting[side]]
            new = [number := number + 1 for _ in range(4)]
            rows += [f"{us + 1_000},add,{each},{side},{price},3" for each in new]
            rows += [f"{us + 2_000},delete,{each},{side},{price},2" for each in waiting[side]]
            waiting[side] = new
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("words", [("score",), ("fit", "--truth", "1")])
def test_market_that_shares_its_takers_is_no_plain_queue(tmp_path, words):
    """Score and fit say that their truth is doubtful."""
    (tmp_path / "orders.csv").write_text(pro_rata_market(1_500))
    place = ("--symbol", "PRUSDT", "--data-root", str(tmp_path / "data"))
    columns = ("--format", "table", "--order-id-column", "id", "--kind-column", "kind", "--time-column", "ts")
    grid = ("--tick-size", "0.01", "--qty-step", "1", "--min-notional", "0")
    made = call("data", "import", str(tmp_path / "orders.csv"), *place, *columns, *grid)
    assert made.exit_code == 0, made.output
    out = ("--day", "20260105", "--out-root", str(tmp_path / "out"), "--life-s", "2")
    answer = call("fills", words[0], *place, *out, *words[1:])
    assert "only 25.00 %" in answer.output
    assert "no plain FIFO" in answer.output


@pytest.mark.slow
def test_score_of_an_order_log_alone_builds_the_market(desk):
    """The tape is built from the log; the numbers equal those of the day except at the opening."""
    answer = call("fills", "score", "--order-log", str(log_of(desk)), "--life-s", "10", "--passes", "2", "--json")
    assert answer.exit_code == 0, answer.output
    model = json.loads(answer.stdout)["models"]["queue_prob_power 1"]
    assert model["orders"] > 50
    assert model["wrong"]["value"] < 0.05


def test_score_takes_a_fill_model_from_a_user_file(desk, tmp_path, monkeypatch):
    """Named as for any command; the model fills orders that any print reaches, so it invents fills."""
    (tmp_path / "eager_fills.py").write_text(
        "class Eager:\n    def on_trade(self, order, trade):\n        return order.lots\n"
    )
    monkeypatch.chdir(tmp_path)
    answer = fills(desk, "score", "--fill-model", "eager_fills:Eager", "--life-s", "10", "--passes", "2", "--json")
    assert answer.exit_code == 0, answer.output
    own = json.loads(answer.stdout)["models"]["eager_fills:Eager"]
    assert own["missed"] == 0 < own["invented"]


@pytest.mark.slow
def test_hybrid_model_is_scored_beside_its_parts(desk):
    """A hybrid of one model scores as that model; a hybrid of two misses no more than either."""
    alone, both = (
        json.dumps({"models": pairs}) for pairs in ([["queue_back", {}]], [["queue_back", {}], ["price_cross", {}]])
    )
    words = ["--life-s", "10", "--passes", "2", "--json", "--fill-model", "hybrid", "--fill-params-json"]
    scores = {shape: json.loads(fills(desk, "score", *words, shape).stdout)["models"] for shape in (alone, both)}
    models = scores[alone]
    name = next(name for name in models if name.startswith("hybrid"))
    assert models[name]["missed"] == models["queue_back"]["missed"]
    assert models[name]["invented"] == models["queue_back"]["invented"]
    models = scores[both]
    name = next(name for name in models if name.startswith("hybrid"))
    assert models[name]["missed"] <= min(models[part]["missed"] for part in ("queue_back", "price_cross"))


def test_fit_finds_the_exponent_of_a_uniform_market(desk):
    """Every order is cancelled at the same rate at any place: about 1, with an interval."""
    fit = json.loads(fills(desk, "fit", "--json").stdout)
    assert fit["status"] == "ok"
    assert fit["low"] < fit["exponent"] < fit["high"]
    assert fit["low"] < 1.1 < fit["high"]
    lines = fills(desk, "fit").stdout.splitlines()
    assert lines[0] == f"exponent = {fit['exponent']:.2f} ({fit['low']:.2f} to {fit['high']:.2f})   ok"
    assert lines[1].startswith(f"{fit['probes']} of {fit['cancellations']} cancellations")
    assert lines[-1] == fit["path"] == str(desk / "out" / "fills" / "ZIUSDT" / "20260105_queue_exponent.json")


@pytest.mark.slow
def test_fit_by_every_order_finds_the_exponent_of_a_uniform_market(desk, tmp_path):
    """About 1 as well, and later backtests use it; the one by sizes stands beside it."""
    shutil.copytree(desk / "data", tmp_path / "data")
    places = [*DAY, "--data-root", str(tmp_path / "data"), "--out-root", str(tmp_path / "out")]
    answer = call("fills", "fit", "--truth", "--life-s", "10", "--json", *places)
    assert answer.exit_code == 0, answer.output
    fit = json.loads(answer.stdout.splitlines()[-1])
    assert fit["status"] == "ok"
    assert 0.7 < fit["exponent"] < 1.4
    assert fit["low"] <= fit["exponent"] <= fit["high"]
    assert fit["by_sizes"]["exponent"]
    assert fit["reliability"]
    assert (tmp_path / "out" / "fills" / "ZIUSDT" / "20260105_queue_exponent.json").is_file()


@pytest.mark.slow
def test_backtest_names_the_own_exponent_of_its_symbol(desk, tmp_path):
    """Page and terminal have the PnL at both exponents; each is that of a run with this exponent."""
    shutil.copytree(desk / "data", tmp_path / "data")
    places = [*DAY, "--data-root", str(tmp_path / "data"), "--out-root", str(tmp_path / "out")]
    assert call("fills", "fit", *places).exit_code == 0
    file = tmp_path / "out" / "fills" / "ZIUSDT" / "20260105_queue_exponent.json"
    own = json.loads(file.read_text())["exponent"]
    answer = call("backtest", *places, "--run-id", "R")
    assert answer.exit_code == 0, answer.output
    run = tmp_path / "out" / "backtest" / "ZIUSDT" / "20260105_R"
    block = json.loads((run / "summary.json").read_text())["sensitivity"]
    alone = call(
        "backtest", *places, "--fill-params-json", json.dumps({"exponent": own}), "--sensitivity", "0", "--json"
    )
    pnl = json.loads(alone.stdout.splitlines()[-1])["pnl_quoting"]
    assert (block["queue_exponent"]["played"], block["queue_exponent"]["pnl_at_estimate"]) == (3.0, pnl)
    assert [row["pnl_quoting"] for row in block["rows"] if " exponent " in row["fills"]] == [pnl]
    said = f"ZIUSDT's own is {number(own)}"
    assert said in answer.stdout
    assert said in html.unescape((run / "report.html").read_text())
    assert call("runs", "reproduce", "R", "--out-root", str(tmp_path / "out")).exit_code == 0
    other = call("backtest", *places, "--run-id", "S", "--fill-model", "trade_cross")
    assert "own is" not in other.stdout
    file.write_text(file.read_text().replace("ZIUSDT", "BTCUSDT"))
    assert call("backtest", *places, "--queue-exponent-file", str(file)).exit_code == 3


def test_fit_of_a_day_without_queues_exits_with_4(tmp_path):
    """One order per level, cancelled and quoted again: there is nothing to fit."""
    day = [*DAY, "--data-root", str(tmp_path / "data")]
    assert call("sim", "day", *day, "--hours", "0.05", "--scenario", "poisson").exit_code == 0
    answer = call("fills", "fit", *day, "--out-root", str(tmp_path / "out"))
    assert answer.exit_code == 4
    assert "the exponent is not usable (too_few)" in answer.stderr
    assert "cancellations with a known arrival of the order" in answer.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--symbol", "ZIUSDT"], 2, "or --order-log"),
        ([*DAY, "--order-log", "log.csv.gz"], 2, "or --order-log"),
        (["--order-log", "nowhere.csv.gz"], 3, "nowhere.csv.gz"),
        ([*DAY, "--data-root", "nowhere"], 3, "nowhere"),
        ([*DAY, "--fill-model", "queue_prob_powr"], 2, "queue_prob_power"),
        ([*DAY, "--fill-model", "queue_prob_log", "--fill-params-json", '{"exponent": 2}'], 2, "exponent"),
        ([*DAY, "--fill-model", "hybrid", "--fill-params-json", '{"models": ["trade_cross"]}'], 2, "hybrid takes"),
        ([*DAY, "--life-s", "0"], 2, "--life-s"),
        (["--symbol", "ZIUSDT", "--day", "20260105:20260106"], 3, "20260105"),
    ],
)
def test_score_rejects_invalid_arguments_with_reason(words, code, message):
    """One line, and the documented exit code."""
    answer = call("fills", "score", *words)
    assert answer.exit_code == code, answer.output
    assert message in answer.stderr


def test_score_rejects_a_day_without_order_log(desk, tmp_path):
    """A recorded day has no order log."""
    shutil.copytree(desk / "data", tmp_path / "data")
    log = tmp_path / "data" / log_of(desk).relative_to(desk / "data")
    log.unlink()
    next(log.parent.glob("manifest_*.json")).unlink()
    answer = call("fills", "score", *DAY, "--data-root", str(tmp_path / "data"), "--out-root", str(tmp_path / "out"))
    assert answer.exit_code == 3
    assert "only a simulated day (mm sim day) or an order-by-order import" in answer.stderr


@pytest.mark.slow
def test_bounds_hold_every_true_fill_where_each_change_is_shown(desk):
    """Of a book of 100 ms some lie outside, which the line says; the bounds are nested on both."""
    answer = fills(desk, "bounds", "--life-s", "10", "--passes", "3", "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout.splitlines()[-1])
    assert [(row["book"], row["reading"]) for row in found["rows"]] == [
        (book, reading) for book in ("each change", "100 ms") for reading in ("print", "order")
    ]
    for row in found["rows"]:
        shares = {name: number["value"] for name, number in row.items() if isinstance(number, dict)}
        assert row["n_orders"] > 50
        assert shares["nested"] == 1
        assert shares["back"] <= shares["middle"] <= shares["front"]
        assert shares["inside"] == pytest.approx(1 - shares["above"] - shares["below"])
        if row["book"] == "each change":
            assert shares["inside"] == 1
            assert shares["back"] <= row["truth"]["value"] <= shares["front"]


def test_bounds_without_an_order_log_say_where_one_comes_from(tmp_path):
    answer = call("fills", "bounds", "--data-root", str(tmp_path))
    assert answer.exit_code == 3
    assert "order log" in answer.output
