"""What a trader shows of its account: the result with the inventory that it began with, and whose events are whose."""

import json
from types import SimpleNamespace

import pytest

from mm.instrument import E8, Instrument
from mm.live.account.ledger import Ledger
from mm.live.audit.history import LedgerBegin
from mm.live.pages.trading_metrics import TradingMetrics
from mm.live.run.observer import TradeObserver
from mm.live.venues.binance_spot import SpotAccount
from mm.live.venues.fills import AccountFill

GRID = Instrument("SIMUSDT", E8 // 100, 1_000, 5 * E8, "SIM", "USDT")


class Quiet:
    """A store or a log that keeps nothing."""

    queue, lag_s = 0, 0.0

    def __getattr__(self, name):
        return lambda *_, **__: None


def shown(initial_e8, *fills, mid=110):
    """Return the metrics of a trader that began with an inventory at a mid of 100, and has some fills."""
    ledger = Ledger(GRID)
    for fill in fills:
        ledger.book(fill)
    manager = SimpleNamespace(guard=SimpleNamespace(used=dict), quoted=(0, 0), stopped_for=None, withheld_for=("", ""))
    manager.order_rows, manager.breaches = (lambda *_: 0), (lambda _: [])
    engine = SimpleNamespace(best=(mid * 100 - 1, mid * 100 + 1), manager=manager)
    account = SimpleNamespace(position_e8=initial_e8 + ledger.position_e8, transfers_e8=0, ledger=ledger)
    observer = TradeObserver(
        TradingMetrics("SIMUSDT", lambda: 0),
        engine,
        SimpleNamespace(tick_e8=E8 // 100, lot_e8=1_000, target=0),
        account=account,
        begin=LedgerBegin(initial_e8, 1_000 * E8, 100 * E8),
        audit=Quiet(),
        writer=Quiet(),
        log=Quiet(),
    )
    observer.refresh(1)
    return observer.metrics


BOUGHT = AccountFill(1, 2, "mm-1-1b", 1, "105", "1", "0", "USDT", 5, maker=True)


@pytest.mark.parametrize(
    ("initial", "fills", "total"), [(0, (), 0), (3, (), 30), (-2, (), -20), (0, (BOUGHT,), 5), (3, (BOUGHT,), 35)]
)
def test_result_contains_what_the_initial_inventory_has_gained(initial, fills, total):
    """It is the account's: equity is what it began with, and the result."""
    metrics = shown(initial * E8, *fills)
    assert metrics.pnl_e8["total"] == metrics.pnl_e8["realized"] + metrics.pnl_e8["unrealized"] == total * E8
    assert metrics.equity_e8 == (1_000 + 100 * initial + total) * E8


@pytest.mark.parametrize("ids", [{"c": "web_9", "C": "mm-a-1b"}, {"c": "mm-a-1b"}])
def test_event_of_a_cancel_is_of_the_order_that_it_ends(ids):
    """A cancel has a client id of its own, which the event gives in the order's place."""
    event = {"e": "executionReport", "s": "SIMUSDT", "S": "BUY", "x": "CANCELED", "X": "CANCELED", "q": "1", "i": 5}
    found = SpotAccount().event("executionReport", json.dumps(event | {"C": "", "t": -1, "T": 1} | ids).encode())
    assert found.client_ids[0] == "mm-a-1b"
