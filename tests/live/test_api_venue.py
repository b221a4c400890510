"""``mm trade --venue api``: a strategy as a client of `mm sim api`; its books match the interface's."""

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.errors import SafetyError
from mm.instrument import E8, Instrument
from mm.live.account.kill_switch import KillSwitch
from mm.live.run.interface import BookReader, InterfaceAt, InterfaceGateway
from mm.live.run.trade_end import KILLED
from mm.tape.tape import DEPTH, GAP, SNAPSHOT
from support import ROOT, run_python

GRID = Instrument("SIMUSDT", E8 // 100, E8 // 1_000_000)


def book(levels):
    """Return a pushed book of {(side, ticks): thousandths}."""
    sides = {name: [] for name in ("bids", "asks")}
    for (side, ticks), size in levels.items():
        sides["bids" if side > 0 else "asks"].append([ticks / 100, size / 1_000])
    return json.dumps(sides)


_LEVELS = st.dictionaries(
    st.tuples(st.sampled_from([1, -1]), st.integers(9_990, 10_010)), st.integers(1, 50_000), max_size=8
)


@pytest.mark.slow
@given(st.lists(_LEVELS | st.none(), min_size=1, max_size=12), st.sampled_from([1, 50]))
def test_events_rebuild_every_book(books, multiplier):
    """The first event and the one after a loss are snapshots, others changes; quantities are in underlying units."""
    reader, rebuilt, fresh = BookReader(GRID, multiplier), {}, True
    for us, levels in enumerate(books):
        event = reader.lost(us) if levels is None else reader.event(book(levels), us)
        assert event.kind == (GAP if levels is None else SNAPSHOT if fresh else DEPTH)
        fresh = levels is None
        if fresh:
            continue
        if event.kind == SNAPSHOT:
            rebuilt = {}
        for side, ticks, lots in event.rows:
            rebuilt[side, ticks] = lots
        assert {place: lots for place, lots in rebuilt.items() if lots} == {
            place: size * 1_000 * multiplier for place, size in levels.items()
        }


def test_market_of_contracts_is_refused_at_the_interface(tmp_path):
    """The server knows one market, and no margin of an exchange."""
    done = run_python("-m", "mm", "trade", "--venue", "api", cwd=tmp_path, SYMBOL="SIMUSDT", MARKET="usdm")
    assert done.returncode == 2, done.stderr
    assert "MARKET" in done.stderr.splitlines()[-1]


def test_missing_server_error_names_command_to_start(tmp_path):
    """Exit code 75: the server may be there later."""
    done = run_python(
        "-m", "mm", "trade", "--venue", "api", "--api-url", "http://127.0.0.1:9", "--symbol", "SIMUSDT",
        cwd=tmp_path, WINDOW_START="always", LOG_LEVEL="ERROR",
    )  # fmt: skip
    assert done.returncode == 75
    assert "mm sim api" in done.stderr.splitlines()[-1]


def test_triggered_kill_switch_refuses_start_at_the_interface(tmp_path):
    """Before the server is asked anything."""
    KillSwitch(tmp_path / "out", "SIMUSDT").trigger("by hand", 1)
    done = run_python(
        "-m", "mm", "trade", "--venue", "api", "--api-url", "http://127.0.0.1:9", "--symbol", "SIMUSDT",
        cwd=tmp_path, WINDOW_START="always", LOG_LEVEL="ERROR",
    )  # fmt: skip
    assert done.returncode == SafetyError.exit_code, done.stderr
    assert "rearm" in done.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "killed"), [(None, False), ("future", True)])
def test_run_folder_matches_interface_fills_position_and_cash(tmp_path, preset, killed):
    """To the last decimal; no order stays open, whether a signal ends the trade or the kill switch of its symbol."""
    pytest.importorskip("fastapi", reason="needs the extra [api]")
    from serving import trading_interface

    multiplier, flags = (50, ("--preset", preset)) if preset else (1, ())
    with trading_interface("--seed", "3", "--A", "40", "--k", "0.2", *flags) as (_, ready):
        trade = subprocess.Popen(
            [
                sys.executable, "-m", "mm", "trade", "--venue", "api", "--api-url", ready["url"], "--symbol", "SIMUSDT",
                "--quote-model", "fixed_spread", "--quote-params-json", '{"delta_ticks": 1}',
                "--quote-qty", str(multiplier), "--max-position", "1000", "--latency-threshold-ms", "5000",
                "--max-leverage", "100", "--initial-cash", "10000000",
            ],
            cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT), "WINDOW_START": "always", "LOG_LEVEL": "ERROR"},
        )  # fmt: skip
        with httpx.Client(base_url=ready["url"], timeout=120, trust_env=False) as client:
            ends_s = time.monotonic() + 60
            while len(client.get("/fills/mm_1").json()) < 5 and time.monotonic() < ends_s:
                assert trade.poll() is None, trade.communicate()
                time.sleep(0.1)
            if killed:
                KillSwitch(tmp_path / "out", "SIMUSDT").trigger("by hand", 1)
            else:
                trade.send_signal(signal.SIGTERM)
            out, err = trade.communicate(timeout=60)
            assert trade.returncode == (KILLED if killed else 0), err
            assert client.get("/orders/mm_1").json() == []
            listed = json.loads(client.get("/fills/mm_1").content, parse_float=Decimal)
            position = json.loads(client.get("/positions/mm_1").content, parse_float=Decimal)
    assert "order → ACK p50" in out
    (folder,) = (tmp_path / "out" / "trade" / "SIMUSDT").iterdir()
    with (folder / "fills_SIMUSDT.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [(Decimal(row["price"]), Decimal(row["qty"]), row["side"], Decimal(row["fee"])) for row in rows] == [
        (fill["price"], fill["size"] * multiplier, fill["side"].upper(), fill["fee"]) for fill in listed
    ]
    assert len(listed) >= 5
    with (folder / "state_SIMUSDT.csv").open() as lines:
        last = list(csv.DictReader(lines))[-1]
    assert Decimal(last["inventory"]) == position["position"] * multiplier
    assert Decimal(last["cash"]) == 10_000_000 + position["cash"]


def test_order_in_flight_at_end_is_answered_and_its_fills_booked():
    """The server executes it although the client is ending."""

    class Client:
        at = InterfaceAt(url="http://box", client_id="mm_1")

        def __init__(self):
            self.arrived, self.answer = asyncio.Event(), asyncio.Event()

        async def call(self, method, path, content=None):
            if path == "/order":
                self.arrived.set()
                await self.answer.wait()
                return {"order_id": 7, "status": "filled", "filled": 1}
            if method == "POST":
                return {}
            assert path == "/fills/mm_1"
            fill = {"order_id": 7, "side": "buy", "price": Decimal("99.99"), "size": 1, "timestamp": 1, "trade_id": 3}
            return [{**fill, "fee": 0, "liquidity": "taker"}]

    async def play():
        reports = []
        gateway = InterfaceGateway(client := Client(), Instrument("SIMUSDT", 1_000_000, 100_000_000), 1, lambda: 5)
        gateway.trader = SimpleNamespace(
            ended=None,
            accepted=lambda order_id, _us, number: reports.append((order_id, number)),
            filled=lambda order_id, fill: reports.append((order_id, fill.trade_id, fill.price, fill.qty)),
        )
        sending = asyncio.create_task(gateway.run())
        gateway.place(1, 1, "99.99", "1", "LIMIT")
        gateway.place(2, 1, "99.98", "1", "LIMIT")
        await client.arrived.wait()
        gateway.trader.ended = "signal"
        gateway.end()
        client.answer.set()
        await asyncio.wait_for(sending, 30)
        await gateway.stop()
        return reports

    assert asyncio.run(play()) == [(1, 7), (1, 3, "99.99", "1")]
