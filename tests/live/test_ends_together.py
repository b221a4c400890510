"""Several symbols of one process end: what one of them has left is told, whoever else is clean."""

import json
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from exchange_rig import INSTRUMENT
from mm.live.account.kill_switch import none_open_us
from mm.live.audit.log import AuditLog
from mm.live.run import live_run
from mm.live.run.trade_run import TradeRun

KEYS = ("A", "B", "C")
LEFT = {"A": (), "B": ("B mm-x-1b BUY 2 at 9",), "C": ("C mm-x-2s SELL 3 at 11", "C mm-x-3b BUY 1 at 8")}
Left = pytest.mark.parametrize("left", [(), ("A",), ("B",), ("C",), ("A", "C"), KEYS])


class Live:
    """One symbol's run, which leaves orders or none."""

    def __init__(self, key, may_rest):
        self.key, self.may_rest, self.follows = key, may_rest, False
        self.run = SimpleNamespace(logging_behind=nullcontext)
        self.switch_watch = SimpleNamespace(close=lambda: None)
        self.check, self.alone = (lambda: None), nullcontext


class Guard:
    """A guardian that keeps what it is told at the end."""

    def __init__(self):
        self.told = []

    def start(self):
        pass

    async def keep(self):
        pass

    def close(self, *, empty):
        self.told.append(empty)


async def _nothing(*_, **__):
    pass


@Left
def test_guardian_takes_over_if_any_symbol_may_have_left_orders(left, monkeypatch):
    """In whatever place it stands."""
    monkeypatch.setattr(live_run, "_run", _nothing)
    guard = Guard()
    live_run.run_together([Live(key, key in left) for key in KEYS], None, guard=guard, watched=False)
    assert guard.told == [not left]


class EndingRun(TradeRun):
    """The end of one symbol's trade, below a folder of results."""

    def __init__(self, key, account, folder):
        self.key = self.symbol = key
        self.account, self.stopped, self.clock = account, "SIGTERM", lambda: 1_700
        self.day = SimpleNamespace(out_root=folder)
        self.equity = SimpleNamespace(log_ended=lambda _: None)
        self.job = SimpleNamespace(ended=None, position={})


@Left
@pytest.mark.parametrize("unended", [(), KEYS])
def test_each_symbol_says_what_it_has_left_in_the_last_row_of_its_log(left, unended, tmp_path):
    """None is noted as empty that has left an order, nor one whose log has the end of each."""
    account = SimpleNamespace(left={}, symbols=KEYS, exchanges=[SimpleNamespace(symbols=KEYS)])
    for key in KEYS:
        one, audit = EndingRun(key, account, tmp_path), AuditLog(tmp_path / f"{key}.ndjson", sync=False)
        audit.start(INSTRUMENT, "r")
        orders = LEFT[key] or ("A mm-x-4b BUY 1 at 7",) if key in left else ()
        one._end_log(audit, one._leave(audit, orders), unended=key in unended)
        row = json.loads((tmp_path / f"{key}.ndjson").read_text().splitlines()[-1])
        assert (row["type"], row["open"], one.may_rest) == ("stop", list(orders), key in left)
        assert none_open_us(tmp_path, key) == (1_700 if key in unended and key not in left else 0)
    assert [bool(account.left[key]) for key in KEYS] == [key in left for key in KEYS]
    assert all(order.partition(" ")[2] in one.left_text() for orders in account.left.values() for order in orders)


@Left
def test_end_of_any_symbol_names_what_all_have_left(left):
    """Each order, and the command that cancels all of them."""
    account = SimpleNamespace(
        left={key: LEFT[key] or ("A mm-x-4b BUY 1 at 7",) if key in left else () for key in KEYS},
        symbols=KEYS,
        exchanges=[SimpleNamespace(symbols=KEYS)],
    )
    text = TradeRun.left_text(SimpleNamespace(account=account))
    assert bool(text) is bool(left)
    for key in KEYS:
        for order in account.left[key]:
            assert f"{key} {order.partition(' ')[2]}" in text
    assert not left or text.endswith(f"mm trade cancel --symbol {','.join(left)}")
