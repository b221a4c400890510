"""``mm sim serve`` as a process: its ready line, accounts, flags, and equal bytes from equal seeds."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from lab import mm

from serving import Process, serving, signed

Served = tuple[Process, dict[str, Any]]
START_MS = 1_767_600_000_000
CLIENT = httpx.Client(trust_env=False)  # shared, because each client creates its own TLS context


@pytest.fixture(scope="module", autouse=True)
def _connections() -> Iterator[None]:
    """Close all connections after the tests."""
    yield
    CLIENT.close()


@pytest.fixture(scope="module")
def empty() -> Iterator[Served]:
    """Serve a deterministic exchange: no other trading, fixed time."""
    with serving("--scenario", "empty", "--seed", "3", "--speed", "0", "--start-ms", str(START_MS)) as served:
        yield served
        process, _ = served
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=120) == ("", "")
        assert process.returncode == 0


def get(ready: dict[str, Any], path: str) -> Any:
    """Return the JSON of a response."""
    return CLIENT.get(f"{ready['rest_url']}{path}").json()


def limit(ready: dict[str, Any], who: str, side: str, price: str, quantity: str) -> httpx.Response:
    """Return the response to a LIMIT order."""
    order = {"symbol": ready["symbol"], "side": side, "type": "LIMIT", "timeInForce": "GTC"}
    return signed(ready, who, "POST", "order", **order, price=price, quantity=quantity)


def balances(ready: dict[str, Any], who: str) -> dict[str, tuple[str, str]]:
    """Return free and locked of each asset."""
    account = signed(ready, who, "GET", "account").json()
    return {balance["asset"]: (balance["free"], balance["locked"]) for balance in account["balances"]}


def test_ready_line_has_contract_keys(empty: Served) -> None:
    """No other top-level keys, so that scripts can rely on them; all addresses have the same host."""
    _, ready = empty
    assert set(ready) == {"ready", "rest_url", "ws_url", "ws_api_url", "symbol", "accounts"}
    assert (ready["ready"], ready["symbol"]) == (True, "SIMUSDT")
    for account in ready["accounts"]:
        assert set(account) == {"name", "api_key", "secret", "ed25519_private_key"}
        assert len(account["api_key"]) == len(account["secret"]) == 64
        assert account["ed25519_private_key"].startswith("-----BEGIN PRIVATE KEY-----\n")
    assert ready["rest_url"].startswith("http://127.0.0.1:")
    assert ready["ws_url"].startswith("ws://127.0.0.1:")
    assert ready["ws_api_url"] == ready["ws_url"] + "/ws-api/v3"


def test_empty_exchange_has_exact_balances_before_and_after_trade(empty: Served) -> None:
    """The book is empty, balances are 1,000,000 and 1,000; after one trade every balance is exact."""
    _, ready = empty
    assert get(ready, "/api/v3/depth?symbol=SIMUSDT") == {"lastUpdateId": 0, "bids": [], "asks": []}
    assert get(ready, "/api/v3/time") == {"serverTime": START_MS}
    for name in ("alice", "bob"):
        assert balances(ready, name) == {
            "SIM": ("1000.00000000", "0.00000000"),
            "USDT": ("1000000.00000000", "0.00000000"),
        }
    for price in ("90", "110"):
        resting = limit(ready, "alice", "BUY", price, "1").json()
        assert resting["status"] == "NEW"
        assert (
            signed(ready, "alice", "DELETE", "order", symbol="SIMUSDT", orderId=resting["orderId"]).status_code == 200
        )
    assert limit(ready, "alice", "SELL", "100.00", "2.000").json()["status"] == "NEW"
    taken = limit(ready, "bob", "BUY", "101.00", "0.500").json()
    assert (taken["status"], [fill["price"] for fill in taken["fills"]]) == ("FILLED", ["100.00000000"])
    assert balances(ready, "alice") == {
        "SIM": ("998.00000000", "1.50000000"),
        "USDT": ("1000049.95000000", "0.00000000"),
    }
    assert balances(ready, "bob") == {"SIM": ("1000.49950000", "0.00000000"), "USDT": ("999950.00000000", "0.00000000")}
    book = get(ready, "/api/v3/depth?symbol=SIMUSDT")
    assert (book["bids"], book["asks"]) == ([], [["100.00000000", "1.50000000"]])
    assert get(ready, f"/sim/truth?id={book['lastUpdateId']}") == book


@pytest.mark.parametrize("limits", ["on", "off"])
def test_rate_limits_apply_unless_off(limits: str) -> None:
    """The 101st order within ten seconds and the 25th full snapshot within a minute are rejected."""
    with serving("--scenario", "empty", "--speed", "0", "--limits", limits) as (_, ready):
        responses = [limit(ready, "bob", "BUY", "90.00", "0.100") for _ in range(101)]
        assert [response.status_code for response in responses[:100]] == [200] * 100
        depth = [CLIENT.get(f"{ready['rest_url']}/api/v3/depth?symbol=SIMUSDT&limit=5000") for _ in range(25)]
        if limits == "off":
            assert {response.status_code for response in [*responses, *depth]} == {200}
            assert int(depth[-1].headers["x-mbx-used-weight-1m"]) > 6000
            return
        assert (responses[-1].status_code, responses[-1].json()["code"]) == (429, -1015)
        assert (depth[-1].status_code, depth[-1].json()["code"]) == (429, -1003)
        assert 0 < int(depth[-1].headers["retry-after"]) <= 60


def test_speed_scales_exchange_time() -> None:
    """With speed 100, a minute of exchange time passes quickly."""
    with serving("--scenario", "large_tick", "--speed", "100", "--start-ms", str(START_MS)) as (_, ready):
        began = time.monotonic()
        while get(ready, "/api/v3/time")["serverTime"] < START_MS + 60_000:
            assert time.monotonic() < began + 30  # half of what speed 1 needs, fifty times what speed 100 needs
        assert get(ready, "/sim/state")["trade_id"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ("--scenario none", "zero_intelligence"),
        ("--levels 3", "--levels"),
        ("--limits maybe", "--limits"),
        ("--speed nan", "--speed"),
        ("--scenario large_tick --A 2", "--limit-per-s"),
        ("--faults missing.txt", "missing.txt"),
        ("--faults wrong.txt", "wrong.txt:2"),
    ],
)
def test_wrong_flag_exits_2_with_one_line(flags: str, word: str, tmp_path: Path) -> None:
    """The line contains the wrong flag or file; no server starts."""
    (tmp_path / "wrong.txt").write_text("at time 5 do drop n=3\nat time 6 do vanish\n")
    done = mm("sim", "serve", *flags.split(), cwd=tmp_path)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert word in done.err
