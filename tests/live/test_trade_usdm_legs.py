"""``mm trade --market usdm`` of a strategy with a leg in a second contract of its account."""

import json
from collections import Counter
from decimal import Decimal

import pytest
from test_trade_legs import HEDGED, TERMS
from test_trade_symbols import FIRST, SECOND, SYMBOLS
from trading_box import ended
from trading_truth import SIGNS, log_rows
from usdm_box import ContractBox, contract_box

LEGS = {**TERMS, "QUOTE_PARAMS_JSON": "{}"}
MARKET = ("--symbol", ",".join(SYMBOLS), "--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4")


class Contracts(ContractBox):
    """The exchange, and its view of one contract at a time."""

    def account(self, since_us=0, symbol=FIRST):
        query = f"user={self.user}&symbol={symbol}&timeUnit=MICROSECOND&since_us={since_us}"
        return self.get(f"/sim/account?{query}")

    def of(self, symbol):
        """Return the same exchange, whose logs and folders are those of one contract."""
        found = Contracts(self.folder, {**self.ready, "symbol": symbol}, self.user)
        found.account = lambda since_us=0: self.account(since_us, symbol)
        return found


def check_books(box):
    """Assert that the logs of each contract have the exchange's fills, once, and its position; nothing is open."""
    for symbol in SYMBOLS:
        theirs, rows = box.account(symbol=symbol), log_rows(box.of(symbol))
        assert theirs["openOrders"] == []
        fills = [row for row in rows if row["type"] == "fill"]
        ours = Counter(row["trade_id"] for row in fills)
        assert ours == dict.fromkeys((int(one["id"]) for one in theirs["trades"]), 1)
        held = sum(SIGNS[row["side"]] * Decimal(row["qty"]) for row in fills)
        assert held == Decimal(theirs["positions"][0]["positionAmt"])


def traded(box, process, fills):
    for symbol in SYMBOLS:
        had = len(box.account(symbol=symbol)["trades"])
        enough = lambda symbol=symbol, had=had: len(box.account(symbol=symbol)["trades"]) >= had + fills  # noqa: E731
        box.until(enough, f"{fills} fills of {symbol}", process=process)


@pytest.mark.slow
def test_both_contracts_have_the_exchanges_books_over_a_kill_and_flatten_closes_them(tmp_path):
    (tmp_path / "hedged.py").write_text(HEDGED)
    with contract_box(tmp_path, *MARKET) as found:
        box = Contracts(tmp_path, found.ready)
        with box.trader(**LEGS) as process:
            traded(box, process, 4)
            process.kill()
            process.wait()
        with box.trader(**LEGS) as process:
            traded(box, process, 3)
            code, output, _ = ended(process)
        assert code == 0, output
        check_books(box)
        first, second = (box.of(symbol).folders()[-1] for symbol in SYMBOLS)
        summary, leg = (json.loads((folder / "summary.json").read_text()) for folder in (first, second))
        told = summary["legs"]["second"]
        assert (told["symbol"], told["n_fills"], told["pnl_total"]) == (SECOND, leg["n_fills"], leg["pnl_total"])
        done = box.run("trade", "flatten", "--json", MAX_COST="50", **LEGS)
        assert done.returncode in (0, 75), done.stderr
        closed = json.loads(done.stdout)["symbols"]
        assert closed.keys() == set(SYMBOLS)
        for symbol, one in closed.items():
            held = Decimal(box.account(symbol=symbol)["positions"][0]["positionAmt"])
            assert Decimal(one["position_after"]) == held
        check_books(box)
