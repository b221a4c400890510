"""The soak of traders compares every unit, and passes when it is short."""

import json
import os
import subprocess
import sys
from copy import deepcopy

import pytest
from soak import compared, fast_clocks, soak

ACCOUNT = {
    "openOrders": [],
    "orders": [{"clientOrderId": "mm-a-1b", "orderId": 5, "executedQty": "0.5"}],
    "trades": [
        {"id": 7, "orderId": 5, "isBuyer": True, "price": "99.5", "qty": "0.50", "commission": "0.1"}
        | {"commissionAsset": "USDT"}
    ],
}
INTENT = {"type": "intent", "action": "place", "client_id": "mm-a-1b"}
FILL = {"side": "BUY", "order_id": 5, "price": "99.50", "qty": "0.5", "commission": "0.1", "commission_asset": "USDT"}


def _damaged(*path, value):
    account, rows, fills = deepcopy((ACCOUNT, [INTENT], {7: FILL}))
    *places, last = path
    place = {"account": account, "rows": rows, "fills": fills}
    for one in places:
        place = place[one]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return compared(account, rows, fills)


def test_equal_books_have_no_difference():
    """However a number is written."""
    assert compared(ACCOUNT, [INTENT], {7: FILL}) == []


@pytest.mark.parametrize("name", FILL)
def test_each_field_of_a_fill_is_compared(name):
    other = {"side": "SELL", "order_id": 6, "commission_asset": "BNB"}.get(name, "0.4")
    assert any(one.startswith("trade 7") for one in _damaged("fills", 7, name, value=other))


def test_what_only_one_side_has_is_a_difference():
    """A fill of either, an order that no log has, an order that rests, a position above the limit."""
    assert _damaged("fills", 7, value=None)
    assert _damaged("account", "trades", 0, value=None)
    assert _damaged("rows", 0, value=None)
    assert _damaged("account", "openOrders", value=[{"clientOrderId": "x"}])
    assert any("position" in one for one in _damaged("account", "trades", 0, "qty", value="5.01"))


WAITS = {
    "sleep": "time.sleep(60)",
    "lock": "threading.Event().wait(60)",
    "select": "select.select([], [], [], 60)",
    "poll": "select.poll().poll(60_000)",
    "epoll": "select.epoll().poll(60)",
    "loop": "asyncio.run(asyncio.sleep(60))",
    "child": "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])",
}
TIMED = """import asyncio, select, subprocess, sys, threading, time
clocks = time.time_ns, time.monotonic_ns, lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME)
begun = [clock() for clock in clocks]
{}
print(*(clock() - first for clock, first in zip(clocks, begun)))
"""


@pytest.mark.parametrize("name", WAITS)
def test_minute_of_fast_clocks_passes_in_a_fast_minute(tmp_path, name):
    """A wait ends neither before its clocks say so, nor when the kernel's do: a minute at 200 times the pace."""
    fast = {**os.environ, **fast_clocks(tmp_path / "clock", 200.0)}
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(WAITS[name])],
        env=fast,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    passed = [int(ns) / 1e9 for ns in done.stdout.split()]
    assert min(passed) >= 60
    assert max(passed) - min(passed) < 60


@pytest.mark.slow
def test_short_soak_with_fast_clocks_has_no_difference(tmp_path, capsys):
    """Both traders trade through faults and kills, at four times the pace."""
    folder = tmp_path / "soaked"
    folder.mkdir()
    assert soak(folder, 0.008, 4.0, (10.0, 40.0), seed=3) == []
    *_, spot, usdm = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    for one in (spot, usdm):
        assert one["fills"] > 0
        assert one["faults"] > 0
        assert one["starts"] > 1
