"""``--one-account`` with symbols of several quote assets: what a run, a sweep and an evaluation write."""

import json
from itertools import permutations

import polars as pl
import pytest

from simulation import simulate_day
from support import run_mm

DAY = "20260105"
MARKETS = {
    "BTCUSDT": {"start_price": "60000", "qty_step": "0.00001"},
    "ETHBTC": {"start_price": "0.05", "tick_size": "0.00001", "qty_step": "0.0001"},
    "ETHUSDT": {"start_price": "3000", "qty_step": "0.0001"},
}
OWN = {
    "BTCUSDT": {"QUOTE_QTY": "0.01"},
    "ETHBTC": {"QUOTE_QTY": "0.1", "MIN_NOTIONAL": "0.0001"},
    "ETHUSDT": {"QUOTE_QTY": "0.1", "INITIAL_INVENTORY": "1"},
}
WORDS = (
    *("--day", DAY, "--one-account", "1", "--quote-model", "fixed_spread", "--initial-cash", "5000"),
    *("--quote-params-json", '{"delta_ticks": 2}'),
    *("--initial-balances", '{"BTC": "0.2"}', "--account-max-notional", "90000", "--per-symbol", json.dumps(OWN)),
)
PARTS = ("pnl_total", "pnl_quoting", "pnl_hold", "pnl_spread_capture", "pnl_inventory", "fees")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("triangle")
    for seed, (symbol, terms) in enumerate(MARKETS.items()):
        simulate_day(root / "data", hours=0.05, seed=seed, symbol=symbol, **terms)
    return root


def ran(place, command, symbols, *words, code=0):
    done = run_mm(command, "--symbol", ",".join(symbols), *WORDS, *words, cwd=place)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_every_order_of_symbols_is_the_same_account(place):
    digests = set()
    for number, symbols in enumerate(list(permutations(MARKETS))[::2]):
        ran(place, "backtest", symbols, "--sensitivity", "0", "--run-id", f"P{number}")
        [folder] = (place / "out" / "backtest" / "+".join(sorted(MARKETS))).glob(f"*_P{number}")
        digests.add(json.loads((folder / "run_manifest.json").read_text())["digest"])
    assert len(digests) == 1
    summary = json.loads((folder / "summary.json").read_text())
    counted = {symbol: one.get("numeraire", one) for symbol, one in summary["symbols"].items()}
    assert counted["ETHBTC"]["quote_asset"] == summary["quote_asset"] == "USDT"
    for name in PARTS:
        assert summary[name] == pytest.approx(sum(one[name] for one in counted.values()), abs=1e-9), name
    assert summary["n_fills"] == sum(one["n_fills"] for one in summary["symbols"].values()) > 0
    state = pl.read_csv(next(folder.glob("state_*.csv"))).filter(pl.col("equity").is_not_null())
    ends = {symbol: state.filter(pl.col("symbol") == symbol)[-1].to_dicts()[0] for symbol in MARKETS}
    rates = {"ETHBTC": ends["BTCUSDT"]["mid"]}
    equity = sum(one["equity"] * rates.get(symbol, 1) for symbol, one in ends.items())
    assert summary["account"]["equity_end"] == pytest.approx(equity, rel=1e-12)
    assert summary["symbols"]["ETHBTC"]["numeraire"]["rate"] == rates["ETHBTC"]
    assert set(summary["balances"]) == {"BTC", "ETH", "USDT"}


def test_sweep_and_evaluation_sum_in_the_numeraire(place):
    ran(place, "backtest", MARKETS, "--run-id", "ONE", "--numeraire", "BTC")
    [folder] = (place / "out" / "backtest" / "+".join(sorted(MARKETS))).glob("*_ONE")
    expected = json.loads((folder / "summary.json").read_text())["pnl_quoting"]
    more = ("--numeraire", "BTC", "--jobs", "1", "--run-id")
    ran(place, "evaluate", MARKETS, *more, "EV")
    [evaluated] = (place / "out" / "evaluation").rglob("evaluation.json")
    content = json.loads(evaluated.read_text())
    assert content["quote_asset"] == "BTC"
    assert content["pnl"] == pytest.approx(expected, abs=1e-12)
    ran(place, "sweep", MARKETS, "--grid", "DELTA_TICKS=1,2", *more, "SW")
    [swept] = (place / "out" / "sweep").rglob("sweep.csv")
    points = pl.read_csv(swept).filter(pl.col("status") == "ok").to_dicts()
    assert len(points) == 2
    for point in points:
        assert point["pnl_quoting"] == pytest.approx(sum(point[f"pnl_quoting_{symbol}"] for symbol in MARKETS))
    assert ran(place, "walkforward", MARKETS, "--wf-train-window-min", "1", "--wf-step-min", "1", "--run-id", "WF")


def test_a_quote_asset_that_nothing_converts_is_refused(place):
    told = ran(place, "backtest", ("ETHBTC", "ETHUSDT"), "--numeraire", "USDT", "--per-symbol", "{}", code=2)
    assert "BTCUSDT" in told
    assert "NUMERAIRE" in told
