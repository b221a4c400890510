"""A trade of two symbols on one account, and the replay of the days that it recorded on one account."""

import csv
import json
from difflib import SequenceMatcher

import pytest
from test_trade_symbols import CALM, SYMBOLS, account, assert_books, traded
from trading_box import ended

TERMS = {
    **CALM,
    "QUOTE_MODEL": "fixed_spread",
    "QUOTE_PARAMS_JSON": '{"delta_ticks": 4}',
    "QUOTE_QTY": "0.5",
    "MAX_POSITION": "100",
    "MAX_ORDERS_PER_S": "50",
}
REPLAY = {
    "INITIAL_CASH": "1000000",
    "INITIAL_INVENTORY": "1000",
    "ORDER_LATENCY_MS": "5",
    "CANCEL_LATENCY_MS": "5",
    "SENSITIVITY": "0",
}
LIMIT = "ACCOUNT_MAX_OPEN_ORDERS"


def rows(folder, name, symbol):
    """Return the rows of a symbol, also from the table of an account."""
    (path,) = folder.glob(f"{name}_*.csv")
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row.pop("symbol", symbol) == symbol]


def sent(table):
    """Return the orders that were sent, one after the other."""
    return [(row["side"], float(row["price"]), float(row["qty"])) for row in table if row["action"] == "PLACE"]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [{}, {LIMIT: "3"}])
def test_recorded_days_replay_on_one_account_to_the_orders_of_the_trade(tmp_path, limit):
    """From both recorded days, each without the orders of ours that its own audit log has.

    The trade decides some ms later, and its fills are the exchange's. Under a limit below the four orders that both
    want, that decides which symbol has the last one; else the account replays as each symbol alone, row by row.
    """
    with account(tmp_path) as box:
        with box.trader(**TERMS, **limit, RUN_ID="T1") as process:
            traded(box, process, 20)
            code, output, _ = ended(process)
        assert code == 0, output
        assert_books(box)
        (day,) = (path.name for path in (tmp_path / "data" / SYMBOLS[0]).iterdir())
        done = box.run("backtest", DAY=day, RUN_ID="B1", ONE_ACCOUNT="1", **TERMS, **REPLAY, **limit)
        assert done.returncode == 0, done.stderr
        (replay,) = tmp_path.glob("out/backtest/*/*_B1")
        if not limit:
            alone = box.run("backtest", DAY=day, RUN_ID="A1", **TERMS | REPLAY | {"SYMBOL": SYMBOLS[0]})
            assert alone.returncode == 0, alone.stderr
        for symbol in SYMBOLS:
            trade = box.of(symbol).folders()[-1]
            told, played = (rows(folder, "orders", symbol) for folder in (trade, replay))
            equal = SequenceMatcher(None, sent(told), sent(played), autojunk=False).ratio()
            compared = box.run("compare", str(trade), f"B1/{symbol}", "--json")
            assert compared.returncode == 0, compared.stderr
            (agreed,) = json.loads(compared.stdout)["agreement"]
            assert agreed["matched_fills"] > agreed["unmatched_fills"]
            assert equal > (0.5 if limit else 0.75), symbol
            for table in (told, played):
                assert any(row["reject_reason"] == LIMIT.lower() for row in table) is bool(limit)
            taken = len(rows(trade, "fills", symbol))
            assert f"{symbol} {day}: " in done.stdout
            assert f" and {taken} trades of ours are taken off" in done.stdout
        if not limit:
            (single,) = tmp_path.glob(f"out/backtest/{SYMBOLS[0]}/*_A1")
            for name in ("orders", "fills"):
                assert rows(replay, name, SYMBOLS[0]) == rows(single, name, SYMBOLS[0])
