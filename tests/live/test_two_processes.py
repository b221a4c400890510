"""Two traders of one account with folders of their own: each finds the other, and books none of its fills."""

import os
import signal
from contextlib import ExitStack

import pytest
from test_trade_symbols import SYMBOLS, account, traded
from trading_box import ended

TERMS = {
    "QUOTE_MODEL": "fixed_spread",
    "QUOTE_PARAMS_JSON": '{"delta_ticks": 1}',
    "QUOTE_QTY": "0.7",
    "RECONCILE_INTERVAL_S": "1",
}


def lone(box, symbol, *, hidden):
    """Return the variables of a trader of a symbol; *hidden*: without a folder of locks that both see."""
    root = box.folder / symbol
    (root / "tmp").mkdir(parents=True, exist_ok=True)
    found = {**TERMS, "SYMBOL": symbol, "OUT_ROOT": str(root / "out"), "DATA_ROOT": str(root / "data")}
    return found | ({"TMPDIR": str(root / "tmp")} if hidden else {})


def rows(box, symbol, kind):
    paths = sorted((box.folder / symbol / "out" / "audit" / symbol).glob("*.ndjson"))
    return [line for path in paths for line in path.read_text().splitlines() if f'"type":"{kind}"' in line]


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [False, True])
def test_two_processes_on_one_account_trade_on_beside_each_other(tmp_path, hidden):
    """Also after one was killed, and what the other traded meanwhile is no transfer; their fills are the exchange's."""
    with account(tmp_path) as box, ExitStack() as traders:
        terms = [lone(box, symbol, hidden=hidden) for symbol in SYMBOLS]
        first = traders.enter_context(box.trader(**terms[0]))
        box.until(lambda: box.account(symbol=SYMBOLS[0])["openOrders"], "the first's orders", process=first)
        second = traders.enter_context(box.trader(**terms[1]))
        traded(box, second, 5)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        had = len(box.account(symbol=SYMBOLS[1])["trades"])
        more = lambda: len(box.account(symbol=SYMBOLS[1])["trades"]) > had + 3  # noqa: E731
        box.until(more, "fills of the second alone", process=second)
        first = traders.enter_context(box.trader(**terms[0]))
        box.until(lambda: box.account(symbol=SYMBOLS[0])["openOrders"], "the first's orders again", process=first)
        traded(box, first, 5)
        for process in (first, second):
            code, text, _ = ended(process)
            assert code == 0, text
        for symbol in SYMBOLS:
            assert rows(box, symbol, "transfer") == []
            assert not [row for row in rows(box, symbol, "breach") if '"ACCOUNT"' in row]
            assert len(rows(box, symbol, "fill")) == len(box.account(symbol=symbol)["trades"])
            assert not box.account(symbol=symbol)["openOrders"]
