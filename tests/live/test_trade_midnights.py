"""Traders over midnights, killed twice on each day: position, cash and PnL are the exchange's at every stage."""

import os

import pytest
from exchange_books import ExchangeBooks, logs
from hosted_box import ALICE, hosted
from test_trade_many_fills import LOOSE, trade
from trading_box import ended

from mm.clock import US_PER_S, midnight_us, now_us
from set_clock import WallClock
from state_servers import free_port

FILLS = int(os.environ.get("TRADED_FILLS", "900"))
"""Fills of each symbol over all starts: 10,000 took seven minutes with one symbol, eight with two."""
MIDNIGHTS = [midnight_us(f"2026011{number}") for number in (3, 4, 5)]
DAYS = {"20260112", "20260113", "20260114"}
PARTS = 3 * len(MIDNIGHTS)
PART = -(-FILLS // PARTS)
BEFORE_US = 900 * US_PER_S


@pytest.mark.slow
@pytest.mark.parametrize(("symbols", "adopt"), [(("SIMUSDT",), "0"), (("SIMUSDT", "BOXUSDT"), "1")])
def test_books_are_the_exchanges_over_midnights_and_kills(tmp_path, symbols, adopt):
    """Two kills a day, then a run that ends by itself at midnight; each start goes on with what the exchange has."""
    port, clock = free_port(), WallClock(tmp_path)
    with hosted(tmp_path, *symbols, first_us=MIDNIGHTS[0] - BEFORE_US) as box:
        known = {"SYMBOL": ",".join(symbols), **LOOSE, "ADOPT": adopt}
        terms = {**known, "METRICS_PORT": str(port)}
        entry = clock.entry("trade")

        def pass_to(us):
            box.pass_to(us, lambda: clock.set(us - now_us()))

        for end_us in MIDNIGHTS:
            pass_to(end_us - BEFORE_US)
            for _ in range(2):
                with box.quoting(symbols, entry, **terms) as process:
                    ExchangeBooks(box, symbols).assert_page(port, process)
                    trade(box, process, PART, symbols)
                    process.kill()
                ExchangeBooks(box, symbols).assert_balances()
            with box.quoting(symbols, entry, **terms) as process:
                ExchangeBooks(box, symbols).assert_page(port, process)
                trade(box, process, PART, symbols)
                ExchangeBooks(box, symbols).assert_page(port, process)
                pass_to(end_us - US_PER_S)
                code, output, _ = ended(process, number=None, seconds=120)
            assert code == 0, output
            assert "window_end" in output
            assert_all(box, symbols)
            flat = box.run("trade", "flatten", "--json", entry=clock.entry(), **known)
            assert flat.returncode == 0, flat.stderr
        for symbol in symbols:
            assert box.trades(symbol) >= PART * PARTS
            assert {path.name[:8] for path in logs(box, symbol)} >= DAYS
        for _ in range(20):  # 75: the book within the price band did not offer all of it
            done = box.run("trade", "flatten", "--json", entry=clock.entry(), MAX_COST="1000000", **known)
            if done.returncode != 75:
                break
        assert done.returncode == 0, done.stderr
        with box.quoting(symbols, entry, **terms) as process:
            ExchangeBooks(box, symbols).assert_page(port, process)
            assert ended(process)[0] == 0
        assert_all(box, symbols)


def assert_all(box, symbols):
    """Nothing is open at the exchange, and logs and state store have what it has."""
    books = ExchangeBooks(box, symbols)
    books.assert_balances()
    books.assert_logs()
    books.assert_store()
    for symbol in symbols:
        assert box.call(lambda symbol=symbol: list(box.box.symbols[symbol].exchange.users.open(ALICE))) == []
