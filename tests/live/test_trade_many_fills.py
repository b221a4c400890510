"""Traders with many fills over several starts, with deposits, resets and flatten: one book of fills."""

import json
import time
from decimal import Decimal

import pytest
from exchange_books import ExchangeBooks, logs, rows_of, samples
from hosted_box import CLIP_LOTS, hosted
from trading_box import ended

from state_servers import free_port

LOOSE = {
    "QUOTE_QTY": "20",
    "MAX_POSITION": "1000000",
    "MAX_LEVERAGE": "100",
    "MAX_DRAWDOWN": "0.9",
    "LATENCY_THRESHOLD_MS": "60000",
    "FEED_STALE_S": "1000",
    "RECV_WINDOW_MS": "10000",
    "REQUOTE_INTERVAL_MS": "100",
}
PER_ORDER = 20_000 // CLIP_LOTS - 2


def trade(box, process, fills, symbols=("SIMUSDT",)):
    """Let alice have so many fills more of each symbol."""
    for symbol in symbols:
        done = 0

        def enough(symbol=symbol):
            nonlocal done
            done += box.fill(min(fills - done, PER_ORDER), symbol)
            return done >= fills

        box.until(enough, f"{fills} fills of {symbol}", process=process)


def own(rows):
    return [{name: one[name] for name in ("type", "asset", "amount", "source") if name in one} for one in rows]


@pytest.mark.slow
@pytest.mark.parametrize("symbols", [("SIMUSDT",), ("SIMUSDT", "BOXUSDT")])
def test_starts_after_thousands_of_fills_and_kills(tmp_path, symbols):
    """Fills that a killed trader did not see are booked too; then flatten closes what is left."""
    with hosted(tmp_path, *symbols) as box:
        known = {"SYMBOL": ",".join(symbols), **LOOSE}
        for _ in range(3):
            began = time.monotonic()
            with box.quoting(symbols, **known) as process:
                took = time.monotonic() - began
                trade(box, process, 1_300, symbols)
                process.kill()
        for symbol in symbols:
            assert box.trades(symbol) == 3_900
        stated = box.run("trade", "flatten", "--json", **known)
        assert stated.returncode == 0, stated.stderr
        for _ in range(20):  # 75: the book within the price band did not offer all of it
            done = box.run("trade", "flatten", "--json", MAX_COST="100000", **known)
            if done.returncode != 75:
                break
        assert done.returncode == 0, done.stderr
        with box.quoting(symbols, **known) as process:
            assert ended(process)[0] == 0
        for symbol in symbols:
            lines = [line for path in logs(box, symbol) for line in path.read_text().splitlines(keepends=True)]
            rows = [json.loads(line) for line in lines if line.endswith("\n")]  # a kill may cut the last row of a log
            fills = [row["trade_id"] for row in rows if row["type"] == "fill"]
            assert len(fills) == len(set(fills)) == box.trades(symbol) >= 3_900
            base = symbol.removesuffix("USDT")
            stop = [row for row in rows if row["type"] == "stop"][-1]
            assert round(Decimal(stop["position"]) * 10**8) == box.balances()[base] - 1_000 * 10**8
            assert not [row for row in rows if row["type"] in ("transfer", "adopt")]
        assert took < 120


@pytest.mark.slow
def test_deposits_and_withdrawals_are_named_and_quotes_go_on(tmp_path):
    """While it trades, by their events; while it is down, at the next start; PnL and the day's loss are as before."""
    port = free_port()
    with hosted(tmp_path) as box:
        terms = {**LOOSE, "METRICS_PORT": str(port), "RECONCILE_INTERVAL_S": "1", "MAX_DAILY_LOSS": "100"}
        with box.quoting(**terms) as process:
            trade(box, process, 20)
            for asset, amount in (("USDT", "-500000"), ("SIM", "7.5"), ("USDT", "0.00000001"), ("BNB", "1")):
                if asset != "BNB":
                    box.transfer(asset, amount)
            shown = lambda: samples(port, "mm_account_transfers", "mm_pnl", "mm_equity", "mm_risk_used")  # noqa: E731
            want = {"USDT": Decimal("-499999.99999999"), "SIM": Decimal("7.5")}
            names = {f'mm_account_transfers{{symbol="SIMUSDT",asset="{asset}"}}': one for asset, one in want.items()}
            box.until(lambda: names.items() <= shown().items(), "the transfers on the page", process=process)
            time.sleep(3)
            trade(box, process, 20)
            found = shown()
            assert found['mm_risk_used_ratio{symbol="SIMUSDT",limit="MAX_DAILY_LOSS"}'] < Decimal("0.9")
            assert found['mm_equity{symbol="SIMUSDT"}'] < 650_000
            process.kill()
        box.transfer("USDT", "250")
        for _ in range(2):
            with box.quoting(**terms) as process:
                code, output, _ = ended(process)
                assert code == 0, output
        rows = own(box.rows("transfer"))
        assert [(row["asset"], row["amount"], row["source"]) for row in rows] == [
            ("USDT", "-500000.00000000", "balanceUpdate"),
            ("SIM", "7.50000000", "balanceUpdate"),
            ("USDT", "0.00000001", "balanceUpdate"),
            ("USDT", "250.00000000", "reconcile"),
        ]
        assert not [row for row in box.rows("breach") if row["limit"] == "ACCOUNT"]


@pytest.mark.slow
@pytest.mark.parametrize("fills", [0, 1])
@pytest.mark.parametrize("refused", [0, 1])
def test_trade_of_somebody_else_is_no_transfer(tmp_path, fills, refused):
    """Whether we had a fill after it or none at all, in the next start and in the one after that."""
    with hosted(tmp_path) as box:
        with box.quoting(**LOOSE) as process:
            box.order("BUY", "3", user="alice")
            trade(box, process, fills)
            process.kill()
        for _ in range(1 + refused):
            done = box.run("trade", **LOOSE)
            assert done.returncode == 3, done.stderr
            assert "the account differs" in done.stderr.splitlines()[-1]
        assert box.rows("transfer") == []
        with box.quoting(**LOOSE, ADOPT="1") as process:
            assert ended(process)[0] == 0
        assert {(row["asset"], row["source"]) for row in box.rows("transfer")} == {
            ("SIM", "adopted"),
            ("USDT", "adopted"),
        }
        box.transfer("SIM", "7.5")
        with box.quoting(**LOOSE) as process:
            assert ended(process)[0] == 0
        assert own(box.rows("transfer"))[-1] == {
            "type": "transfer",
            "asset": "SIM",
            "amount": "7.50000000",
            "source": "reconcile",
        }


@pytest.mark.slow
@pytest.mark.parametrize("symbols", [("SIMUSDT",), ("SIMUSDT", "BOXUSDT")])
def test_way_out_of_a_reset_exchange_keeps_position_and_pnl(tmp_path, symbols):
    """Refused by trade and flatten, until ADOPT accepts it; then its trades count from now on, over kills and starts.

    The last trader there was killed with open orders, and the exchange gives the ids of its orders and trades again.
    """
    port, known = free_port(), {"SYMBOL": ",".join(symbols), **LOOSE}
    with hosted(tmp_path, *symbols) as box:
        with box.quoting(symbols, **known) as process:
            trade(box, process, 1_100, symbols)
            assert ended(process)[0] == 0
        with box.quoting(symbols, **known) as process:
            process.kill()
        former = ExchangeBooks(box, symbols)
        former.assert_store()
        before = {symbol: former.held(symbol) for symbol in symbols}
    with hosted(tmp_path, *symbols) as box:
        for words in (("trade",), ("trade", "flatten")):
            refused = box.run(*words, **known)
            assert refused.returncode == 3, refused.stderr
            last = refused.stderr.splitlines()[-1]
            assert "the venue was reset" in last
            assert "--adopt (ADOPT) 1" in last
        for adopt, killed in (("1", True), ("0", True), ("0", False)):
            with box.quoting(symbols, ADOPT=adopt, METRICS_PORT=str(port), **known) as process:
                ExchangeBooks(box, symbols, before).assert_page(port, process)
                trade(box, process, 30, symbols)
                if killed:
                    process.kill()
                    continue
                ExchangeBooks(box, symbols, before).assert_page(port, process)
                assert ended(process)[0] == 0
        books = ExchangeBooks(box, symbols, before)
        books.assert_balances()
        books.assert_logs(1_100)
        books.assert_store()
        for symbol in symbols:
            ids = [{one.trade_id for one in each.trades[symbol]} for each in (former, books)]
            assert ids[0] & ids[1]
            assert len(rows_of(box, symbol, "adopt")) == 1
            assert [path.name for path in (tmp_path / "data" / "damaged" / symbol).iterdir()]  # it gave its ids again
        flat = box.run("trade", "flatten", "--json", **known)
        assert flat.returncode == 0, flat.stderr
