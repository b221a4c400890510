"""Another market in sweeps, evaluations, predictors and the look-ahead check, as in a backtest."""

import json
import shutil
from bisect import bisect_right
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from mm.play import market
from support import run_mm

STRATEGY = '''
import mm


class Follow:
    """A bid and an ask at the best prices, none against the last move of the lead; hedges in it."""

    def __init__(self, most_ticks: float = 0.4, hedge: bool = True):
        self.most, self.hedge = most_ticks, hedge

    def on_event(self, market: mm.QuoteView, orders: mm.Orders) -> None:
        moved = market.signal("lead.return_500ms") or 0.0
        lead = market.other("lead")
        for name, side, best in (("bid", 1, market.bid_ticks), ("ask", -1, market.ask_ticks)):
            wanted = side * moved > -self.most
            if name in orders and (orders[name].ticks != best or not wanted):
                orders.cancel(name)
            elif wanted and name not in orders:
                orders.submit(side, best, client_id=name)
        legs = orders.inventory_lots - market.target_lots + orders.at("lead").inventory_lots
        if self.hedge and lead.mid is not None and not len(orders.at("lead")) and abs(legs) >= market.quote_lots:
            side = -1 if legs > 0 else 1
            orders.at("lead").submit(side, lead.ask_ticks if side > 0 else lead.bid_ticks, abs(legs), "IOC")

    signals = ("lead.return_500ms",)


class Peek(Follow):
    """The same, but it knows the last price of the lead's day."""

    def __init__(self):
        super().__init__()
        with open("data/LEADUSDT/20260105/instrument.json") as file:
            self.known = file.read()
'''
OTHERS = {"lead": {"symbol": "LEADUSDT", "orders": {"taker_fee_rate": 0.0001, "order_latency_ms": 20}}}
KNOBS = {
    "OTHERS": json.dumps(OTHERS),
    "QUOTE_MODEL": "follow:Follow",
    "INITIAL_INVENTORY": "1",
    "MAKER_FEE_RATE": "0",
    "REQUOTE_INTERVAL_MS": "500",
    "JOBS": "1",
}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """Return a folder with a strategy, a pair of days, and a second day of the follower alone."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "follow.py").write_text(STRATEGY)
    for symbol, days, scenario in (
        ("LEADUSDT", "20260105", ("--scenario", "poisson")),
        ("FOLUSDT", "20260105:20260106", ("--scenario", "follower", "--seed", "1", "--lead-seed", "0")),
    ):
        made = run_mm("sim", "day", "--symbol", symbol, "--day", days, "--hours", "0.3", *scenario, cwd=folder)
        assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture
def pair(pristine, tmp_path):
    shutil.copytree(pristine, tmp_path, dirs_exist_ok=True)
    return tmp_path


def answer(folder: Path, *words: str, code: int = 0, **variables: str) -> dict:
    done = run_mm(*words, "--symbol", "FOLUSDT", "--json", cwd=folder, **KNOBS | variables)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if done.stdout else {"error": done.stderr}


def test_points_of_a_sweep_are_the_backtests_with_the_other_market(pair):
    """Quoting and the sum of the legs of each point equal those of its own command."""
    found = answer(pair, "sweep", "--day", "20260105", "--grid", "most_ticks=0.2,100")
    for row in found["rows"]:
        params = json.dumps({"most_ticks": float(row["MOST_TICKS"])})
        alone = answer(pair, "backtest", "--day", "20260105", QUOTE_PARAMS_JSON=params)
        assert alone["n_fills"] > 0
        assert alone["legs"]["lead"]["n_fills"] > 0
        assert [row[name] for name in ("pnl_total", "pnl_quoting", "n_fills")] == [
            alone[name] for name in ("pnl_total", "pnl_quoting", "n_fills")
        ]
        assert row["pnl_quoting_own_market"] == alone["own_market"]["pnl_quoting"] != row["pnl_quoting"]


def quoting(folder: Path, symbol: str, target: float) -> dict[int, float]:
    """Return the quoting PnL since the first row at each instant of a run's state file."""
    rows = pl.read_csv(folder / f"state_{symbol}.csv").filter(pl.col("mid").is_not_null())
    pnl = rows["equity"] - rows["equity"][0] - target * (rows["mid"] - rows["mid"][0])
    return dict(zip(rows["recv_us"].to_list(), pnl.to_list(), strict=True))


def test_numbers_of_all_legs_are_those_of_the_summed_accounts(pair):
    """PnL, drawdown and the PnL of each minute, added up from the files of both markets."""
    alone = answer(pair, "backtest", "--day", "20260105")
    folder = Path(alone["path"]).parent
    parts = [quoting(folder, "FOLUSDT", 1), quoting(folder / "legs" / "lead", "LEADUSDT", 0)]
    us = sorted(parts[0].keys() | parts[1].keys())
    held, total = [0.0, 0.0], []
    for at_us in us:
        held = [part.get(at_us, before) for part, before in zip(parts, held, strict=True)]
        total.append(sum(held))
    drawdown = max(max(total[: place + 1]) - now for place, now in enumerate(total))
    assert alone["pnl_quoting"] == pytest.approx(total[-1], abs=1e-8)
    assert alone["max_drawdown"] == pytest.approx(drawdown, abs=1e-8)
    assert alone["pnl_total"] == pytest.approx(alone["pnl_quoting"] + alone["pnl_hold"], abs=1e-8)
    own = alone["own_market"]
    assert own["pnl_quoting"] == pytest.approx(list(parts[0].values())[-1], abs=1e-8)
    assert own["pnl_total"] == pytest.approx(own["pnl_quoting"] + own["pnl_hold"], abs=1e-8)
    swept = answer(pair, "sweep", "--day", "20260105", "--grid", "most_ticks=0.4")
    series = pl.read_csv(Path(swept["path"]).parent / "pnl_60s.csv")["point_1"].to_list()
    ends = [total[bisect_right(us, us[0] + 60_000_000 * minute) - 1] for minute in range(len(series) + 1)]
    assert series == pytest.approx([after - before for before, after in pairwise(ends)], abs=1e-8)


def test_a_hedge_that_loses_ranks_behind_none(pair):
    """The own market alone cannot tell them apart: an expensive hedge costs in the other one."""
    dear = OTHERS["lead"] | {"orders": {"taker_fee_rate": 0.02, "order_latency_ms": 20}}
    for by in ("pnl_quoting", "max_drawdown", "pnl_lower95"):
        sweep = ("sweep", "--day", "20260105", "--grid", "hedge=true,false", "--rank-by", by)
        found = answer(pair, *sweep, OTHERS=json.dumps({"lead": dear}))
        best, other = found["rows"]
        assert (best["HEDGE"], other["HEDGE"]) == ("false", "true")
        assert best["pnl_quoting_own_market"] == other["pnl_quoting_own_market"]
        assert best["pnl_quoting"] > other["pnl_quoting"]


def test_a_changed_day_of_the_other_market_is_played_again(pair):
    """A point is identified by the files of all its markets."""
    sweep = ("sweep", "--day", "20260105", "--grid", "hedge=false")
    first, again = answer(pair, *sweep), answer(pair, *sweep)
    lead = ("sim", "day", "--symbol", "LEADUSDT", "--day", "20260105", "--hours", "0.3", "--seed", "5")
    assert run_mm(*lead, cwd=pair).returncode == 0
    other = answer(pair, *sweep)
    digests = [one["rows"][0]["digest"] for one in (first, again, other)]
    assert digests[0] == digests[1] != digests[2]


def test_a_search_plays_the_other_market_of_each_part_of_the_days(pair):
    """Held-out days have their own days of it; a missing one is refused before anything is played."""
    pytest.importorskip("optuna")
    search = ("sweep", "--day", "20260105,20260106", "--grid", "most_ticks=0.1..1", "--search", "3")
    assert "data/LEADUSDT/20260106" in answer(pair, *search, code=3)["error"]
    lead = ("sim", "day", "--symbol", "LEADUSDT", "--day", "20260106", "--hours", "0.3")
    assert run_mm(*lead, cwd=pair).returncode == 0
    assert answer(pair, *search)["rows"][0]["pnl_quoting_own_market"] is not None


def test_an_evaluation_names_days_without_the_other_market(pair):
    """They are holes; the rows of the other days have the PnL of all legs, also on the page."""
    found = answer(pair, "evaluate", "--day", "20260105:20260106")
    (hole,) = found["holes"]
    assert (hole["day"], "data/LEADUSDT/20260106" in hole["reason"]) == ("20260106", True)
    (row,) = found["rows"]
    assert row["pnl_quoting"] == answer(pair, "backtest", "--day", "20260105")["pnl_quoting"]
    page = (Path(found["path"]).parent / "report.html").read_text()
    assert found["own_market"]["pnl"] == row["pnl_quoting_own_market"]
    assert found["pnl"] == row["pnl_quoting"] != row["pnl_quoting_own_market"]
    assert "Own market" in page
    assert "LEADUSDT" in page


def test_a_predictor_reads_signals_of_the_other_market(pair):
    """Fit, score and values; without the market they are refused with the knob that names it."""
    fit = ("predict", "fit", "--day", "20260105", "--target", "return", "--horizon-s", "0.5")
    signals = {"SIGNALS": "imbalance_1,lead.return_500ms"}
    run_mm(*fit, "--symbol", "FOLUSDT", "--run-id", "fitted", cwd=pair, **KNOBS | signals)
    folder = "out/models/return/FOLUSDT/20260105_fitted"
    about = json.loads((pair / folder / "model.json").read_text())
    assert about["signals"] == ["imbalance_1", "lead.return_500ms"]
    applied = answer(pair, "predict", "apply", folder, "--day", "20260105")
    assert applied["known"] > 0
    done = run_mm("predict", "apply", folder, "--symbol", "FOLUSDT", "--day", "20260105", cwd=pair)
    assert done.returncode != 0
    assert "OTHERS" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_lead_shown_a_second_early_is_a_look_ahead(pair, monkeypatch):
    """The check cuts and mirrors the days of the other market where they arrive, so that it sees this."""
    opened = market.open_others

    def early(*args):
        return {name: feed._replace(delay_us=-1_000_000) for name, feed in opened(*args).items()}

    monkeypatch.setattr(market, "open_others", early)
    found = answer(pair, "check", "lookahead", "--day", "20260105", "--cuts", "6", "--skip", "fresh,files", code=5)
    assert {one["test"] for one in found["findings"]} >= {"truncated"}


@pytest.mark.slow
def test_the_look_ahead_check_cuts_the_other_market_too(pair):
    """A strategy and a signal that only see what had arrived pass; one that opens the lead's day does not."""
    check = ("check", "lookahead")
    assert answer(pair, *check, "--day", "20260105", "--cuts", "2")["ok"]
    assert answer(pair, *check, "lead.return_500ms", "--day", "20260105", "--cuts", "2")["ok"]
    found = answer(pair, *check, "follow:Peek", "--day", "20260105", "--cuts", "2", code=5)
    assert {one["test"] for one in found["findings"]} == {"opened"}


def test_a_strategy_walks_forward_with_the_other_market(pair):
    """One that sends its orders itself reads no fit: it trades from the begin of the day, the training included."""
    windows = ("--wf-train-window-min", "5", "--wf-step-min", "5")
    found = answer(pair, "walkforward", "--day", "20260105", *windows)
    folder = Path(found["path"]).parent
    schedule = json.loads((folder.parent / "poisson_schedule.json").read_text())
    begins = min(one["start_us"] for one in schedule["segments"] if one["A"] is not None)
    orders = pl.read_csv(folder / "orders_FOLUSDT.csv")
    assert orders["recv_us"].min() < begins <= orders["recv_us"].max()
    assert found["legs"]["lead"]["n_fills"] > 0
