"""BTCUSDT as the lead of ETHUSDT on recorded days of one minute and a half, with the commands that a user types."""

import json
from pathlib import Path

import pytest

from support import run_mm

CAPTURES = Path(__file__).parents[3] / "shared/data/binance-spot-multi-20210404"
STRATEGY = '''
class Follow:
    """Keep one bid and one ask, none against a move of the lead within the last calls."""

    def __init__(self, most: float = 50.0):
        self.most, self.leads = most, []

    def on_event(self, market, orders):
        lead = market.other("lead")
        if lead.mid is None:
            return
        self.leads = [*self.leads[-3:], lead.mid]
        moved = self.leads[-1] - self.leads[0]
        for name, side, best in (("bid", 1, market.bid_ticks), ("ask", -1, market.ask_ticks)):
            wanted = side * moved > -self.most
            if name in orders and (orders[name].ticks != best or not wanted):
                orders.cancel(name)
            elif wanted and name not in orders:
                orders.submit(side, best, client_id=name)
'''
SETTINGS = {
    "SYMBOL": "ETHUSDT",
    "DAY": "20210404",
    "OTHERS": "lead=BTCUSDT",
    "QUOTE_MODEL": "heeds:Follow",
    "QUOTE_QTY": "0.1",
    "INITIAL_INVENTORY": "1",
    "INITIAL_CASH": "3000",
    "MAKER_FEE_RATE": "0",
    "REQUOTE_INTERVAL_MS": "100",
    "LOG_LEVEL": "ERROR",
}


@pytest.mark.slow
def test_recorded_lead_is_scored_played_and_swept(tmp_path):
    """The lead's return says something of the next tenth of a second, and each point is a backtest that heeds it."""
    if not CAPTURES.exists():
        pytest.skip("needs the recorded days in ../shared/data")

    def mm(*words, **more):
        done = run_mm(*words, cwd=tmp_path, **(SETTINGS | more))
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    captures = [str(path) for path in sorted(CAPTURES.glob("*.gz"))]
    for symbol in ("BTCUSDT", "ETHUSDT"):
        mm("data", "import", *captures, "--symbol", symbol)
    (tmp_path / "heeds.py").write_text(STRATEGY)
    score = json.loads((tmp_path / mm("signals", "score", "--run-id", "S")[-1]).read_text())
    rows = [row for row in score["scores"] if row["signal"] == "lead.return_500ms" and row["horizon_s"] == 0.1]
    assert rows[0]["rho"] > 0.05
    mm("sweep", "--grid", "MOST=0.5,1000", "--rank-by", "pnl_quoting", "--run-id", "W", JOBS="1")
    points = json.loads((tmp_path / "out/sweep/ETHUSDT/20210404_W/sweep.json").read_text())["rows"]
    assert len({row["n_orders"] for row in points}) == 2
    for row in points:
        params = json.dumps({"most": float(row["MOST"])})
        name = f"B{row['MOST']}"
        mm("backtest", "--run-id", name, "--sensitivity", "0", QUOTE_PARAMS_JSON=params)
        summary = json.loads((tmp_path / f"out/backtest/ETHUSDT/20210404_{name}/summary.json").read_text())
        assert (summary["pnl_quoting"], summary["n_fills"]) == (row["pnl_quoting"], row["n_fills"])
        assert summary["others"]["lead"]["symbol"] == "BTCUSDT"
    (tmp_path / "elsewhere").mkdir()
    words = ("sim", "day", "--symbol", "BTCUSDT", "--day", "20210404", "--hours", "0.05")
    made = run_mm(*words, cwd=tmp_path / "elsewhere")
    assert made.returncode == 0, made.stderr
    apart = json.dumps({"lead": {"symbol": "BTCUSDT", "data_root": "elsewhere/data"}})
    done = run_mm("sweep", "--grid", "MOST=1", cwd=tmp_path, **(SETTINGS | {"OTHERS": apart}))
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert "OTHERS: lead does not overlap with the run" in done.stderr
