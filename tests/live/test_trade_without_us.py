"""A strategy's market is the market without its own orders: on paper, with orders, and in a replay of the traded day.

The box's others never quote nearer than six ticks from the mid, so a spread below twelve ticks would be our own orders.
"""

import csv
import json
from collections import Counter

import pytest
from trading_box import ended, venue

IMPROVES = """
import mm


class Improve:
    \"\"\"One tick better than the best prices.\"\"\"

    def quote(self, view):
        return mm.Quotes(view.bid_ticks + 1, view.ask_ticks - 1)
"""
MARKET = ("--scenario", "poisson", "--spread-ticks", "12", "--sigma-ticks-per-sqrt-s", "1", "--A", "3")
KNOBS = {
    "QUOTE_MODEL": "improves:Improve",
    "QUOTE_QTY": "0.5",
    "MAX_POSITION": "100",
    "LATENCY_THRESHOLD_MS": "60000",
    "FEED_STALE_S": "60",
}


def spreads(folder, symbol):
    """Return the spreads that the strategy saw, in ticks."""
    with (folder / f"decisions_{symbol}.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["best_bid"] and row["best_ask"]]
    return Counter(round((float(row["best_ask"]) - float(row["best_bid"])) * 100) for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("symbols", ["SIMUSDT", "SIMUSDT,BOXUSDT"])
def test_trade_and_replay_of_its_day_see_the_market_without_our_orders(tmp_path, symbols):
    """Quotes one tick better than the best, filled in part and moved; the recorded day is the whole market."""
    (tmp_path / "improves.py").write_text(IMPROVES)
    names = symbols.split(",")
    with venue(tmp_path, "--symbol", symbols, *MARKET) as box:
        with box.trader(**KNOBS, SYMBOL=symbols) as process:
            filled = lambda: len(box.get(f"/sim/account?user=alice&symbol={names[-1]}")["trades"])  # noqa: E731
            box.until(lambda: filled() >= 8, "fills", process=process)
            code, output, _ = ended(process)
        assert code == 0, output
        for name in names:
            (folder,) = (tmp_path / "out" / "trade" / name).glob("*_*")
            assert min(spreads(folder, name)) == 12, name
            done = box.run("backtest", "--json", SYMBOL=name, DAY=folder.name[:8], FILL_MODEL="trade_cross", **PAPER)
            assert done.returncode == 0, done.stderr
            found = json.loads(done.stdout.splitlines()[-1])
            assert found["n_orders"] > 0
            kept = box.run("backtest", "--json", SYMBOL=name, DAY=folder.name[:8], OWN_ORDERS="keep", **PAPER)
            assert kept.returncode == 0, kept.stderr
            assert quoted(found) == 5.0
            assert quoted(json.loads(kept.stdout.splitlines()[-1])) < 5.0


PAPER = {"QUOTE_MODEL": "improves:Improve", "QUOTE_QTY": "0.5", "INITIAL_INVENTORY": "50", "INITIAL_CASH": "100000"}


def quoted(summary):
    """Return the largest and least quoted half-spread, in ticks: one tick inside of six."""
    return summary["quoted_half_spread"]["p50"] * 100
