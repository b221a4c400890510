"""``mm trade`` with most of its balance in one order: what covers a replacement, alone and beside another symbol."""

import csv
import json
from collections import Counter

import pytest
from trading_box import STILL, ended, venue

FLIPS = """
import mm


class Flips:
    \"\"\"A bid that moves at each call.\"\"\"

    def __init__(self):
        self.calls = 0

    def quote(self, view):
        self.calls += 1
        return mm.Quotes(9_900 + self.calls % 2, None)
"""
KNOBS = {
    "QUOTE_MODEL": "flips:Flips",
    "QUOTE_QTY": "6000",
    "MAX_POSITION": "100000",
    "MAX_LEVERAGE": "10",
    "LATENCY_THRESHOLD_MS": "60000",
    **STILL,
}
BOTH = "SIMUSDT,BOXUSDT"


def moves(folder, symbol):
    logs = (folder / "out" / "audit" / symbol).glob("*.ndjson")
    rows = [
        json.loads(line) for path in logs for line in path.read_text().splitlines(keepends=True) if line[-1] == "\n"
    ]
    return Counter((row["type"], row.get("action"), row.get("code", "")) for row in rows)


@pytest.mark.slow
def test_every_move_of_an_order_of_most_of_the_balance_is_made(tmp_path):
    """Of 1,000,000 USDT a bid locks 594,000: each replacement is paid by its own cancel, and none is refused."""
    (tmp_path / "flips.py").write_text(FLIPS)
    with venue(tmp_path, "--scenario", "empty") as box:
        for side, price in (("BUY", "98"), ("SELL", "102")):
            box.place_resting(side, price)
        with box.trader(**KNOBS) as process:
            box.until_with_updates(lambda: moves(tmp_path, "SIMUSDT")["intent", "replace", ""] >= 9, "moves", process)
            code, output, _ = ended(process)
        assert code == 0, output
        found = moves(tmp_path, "SIMUSDT")
        assert {key[:2] for key in found if key[0] == "reject"} == set()
        assert found["ack", "place", ""] == found["intent", "replace", ""] + found["intent", "place", ""]
        assert {row["action"] for row in box.table("orders")}.isdisjoint({"SKIP", "REJECT"})


@pytest.mark.slow
def test_symbol_does_not_send_what_another_one_s_order_leaves_uncovered(tmp_path):
    """Two bids of 594,000 share 1,000,000 USDT: one is moved on and on, the other is skipped, and hardly ever sent."""
    (tmp_path / "flips.py").write_text(FLIPS)
    symbols = BOTH.split(",")
    with venue(tmp_path, "--symbol", BOTH, "--scenario", "poisson", "--A", "0.01") as box:
        seldom = {"SYMBOL": BOTH, "REQUOTE_INTERVAL_MS": "1000"}  # the account is reported in between
        with box.trader(**KNOBS | seldom) as process:
            counts = lambda: [moves(tmp_path, symbol) for symbol in symbols]  # noqa: E731
            replaced = lambda: sum(one["intent", "replace", ""] for one in counts())  # noqa: E731
            box.until(lambda: replaced() >= 9, "moves", process=process)
            code, output, _ = ended(process)
        assert code == 0, output
        rejected = sum(one["reject", "place", -2010] for one in counts())
        assert rejected <= 2  # both may be sent before the account of the first is reported
        skips = Counter(
            row["reject_reason"]
            for symbol in symbols
            for path in (tmp_path / "out" / "trade" / symbol).glob("*/orders_*.csv")
            for row in csv_rows(path)
            if row["action"] == "SKIP"
        )
        assert skips["insufficient_cash"] >= 1


def csv_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
