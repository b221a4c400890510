"""A trade against the replay of what it did: equal rows of one symbol, of two on one account, and of contracts."""

import json

import pytest
from test_trade_one_account import LIMIT, REPLAY, TERMS, rows
from test_trade_symbols import SYMBOLS, account, traded
from trading_box import ended
from usdm_box import contract_box

UNKNOWN = ("active", "cancel_effective", "expire")  # instants to come, which a trade learns later
ROUNDED = 0.02  # quote asset: the engine has commissions in the base asset in whole lots
MOVING = {**TERMS, "QUOTE_MODEL": "avellaneda_stoikov", "QUOTE_PARAMS_JSON": "", "REQUOTE_INTERVAL_MS": "100"}
AGAIN = {"AS_TRADED": "T1", "SENSITIVITY": "0"}
CONTRACTS = {"LATENCY_THRESHOLD_MS": "60000", "MAX_POSITION": "100", "QUOTE_QTY": "2"}


def of_orders(folder, symbol):
    """Return the rows of a table of orders, without instants that only a replay knows when they are written."""
    found = rows(folder, "orders", symbol)
    return [{name: cell for name, cell in row.items() if not name.startswith(UNKNOWN)} for row in found]


def of_fills(folder, symbol):
    return [
        (row["recv_us"], row["side"], row["price"], row["inventory_after"]) for row in rows(folder, "fills", symbol)
    ]


def assert_equal(box, replay, symbol):
    """Assert that orders and fills of a trade and of its replay are equal, and that `mm compare` says so."""
    (trade,) = box.folder.glob(f"out/trade/{symbol}/*_T1")
    told, played = (of_orders(folder, symbol) for folder in (trade, replay))
    assert len(told) > 50
    assert told == played
    assert of_fills(trade, symbol) == of_fills(replay, symbol)


def compared(box, *runs):
    done = box.run("compare", *runs, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def replayed(box, name, *, fails=False, **terms):
    """Return the folder of a backtest, or of one that *fails* what it says."""
    done = box.run("backtest", RUN_ID=name, **terms)
    if fails:
        assert done.returncode == 3
        return done.stderr
    assert done.returncode == 0, done.stderr
    (folder,) = box.folder.glob(f"out/backtest/*/*_{name}")
    return folder


def day_of(box, symbol=SYMBOLS[0]):
    (day,) = (path.name for path in (box.folder / "data" / symbol).iterdir())
    return day


def trades_of(box, symbol):
    return box.get(f"/sim/account?user={box.user}&symbol={symbol}&timeUnit=MICROSECOND&since_us=0")["trades"]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [{}, {LIMIT: "3"}])
def test_two_symbols_of_one_account_replay_row_by_row(tmp_path, limit):
    """With the trade's instants and reports the engine of a replay decides the same; so does each symbol alone."""
    with account(tmp_path) as box:
        with box.trader(**MOVING, **limit, RUN_ID="T1") as process:
            traded(box, process, 20)
            code, output, _ = ended(process)
        assert code == 0, output
        day = {"DAY": day_of(box)}
        replay = replayed(box, "B1", **MOVING, **limit, **day, **AGAIN, ONE_ACCOUNT="1")
        for symbol in SYMBOLS:
            assert_equal(box, replay, symbol)
            (agreed,) = compared(box, str(box.of(symbol).folders()[-1]), f"B1/{symbol}")["agreement"]
            assert (agreed["equal_rows"], agreed["first_difference"]) == (1, None)
            assert agreed["pnl_difference"] == pytest.approx(0, abs=ROUNDED)
        if limit:
            return
        wider = replayed(
            box, "D1", **{**MOVING, "QUOTE_MODEL": "symmetric"}, **day, **AGAIN, ONE_ACCOUNT="1", fails=True
        )
        assert "order 1 of the trade is" in wider, wider
        first = {**MOVING, "SYMBOL": SYMBOLS[0], **day}
        assert_equal(box, replayed(box, "A1", **first, **AGAIN), SYMBOLS[0])
        replayed(box, "A0", **first, **AGAIN, TRADED_FILLS="0", FILL_MODEL="queue_prob_power")
        replayed(box, "C0", **{**first, **REPLAY}, FILL_MODEL="queue_prob_power")
        found = compared(box, str(box.folders()[-1]), "A1", "A0", "C0")
        total = found["agreement"][-1]["pnl_difference"]
        assert found["explained"]["market"] == pytest.approx(0, abs=ROUNDED)
        assert sum(found["explained"].values()) == pytest.approx(total)
        assert found["agreement"][1]["first_difference"].split(", ")[1].startswith(("fills", "report"))


@pytest.mark.slow
def test_contracts_of_one_margin_account_replay_row_by_row(tmp_path):
    """Best prices move the book between depth messages, and the margin is the exchange's to judge."""
    with contract_box(tmp_path, "--symbol", ",".join(SYMBOLS)) as box:
        symbols = {"SYMBOL": ",".join(SYMBOLS)}
        with box.trader(**symbols, **CONTRACTS, RUN_ID="T1") as process:
            box.until(lambda: all(len(trades_of(box, symbol)) > 9 for symbol in SYMBOLS), "trades", process=process)
            code, output, _ = ended(process)
        assert code == 0, output
        terms = {**symbols, **CONTRACTS, "DAY": day_of(box)}
        replay = replayed(box, "B1", **terms, **AGAIN, ONE_ACCOUNT="1")
        for symbol in SYMBOLS:
            assert_equal(box, replay, symbol)
