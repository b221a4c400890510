"""The complete exchange in a box: market, users, streams and truth in one process, in lockstep."""

import asyncio
import hmac
import json
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import httpx
import pytest
from listeners import rebuilt
from websockets.asyncio.client import connect

from exchange_double import START_US, receive, run, until
from simulation import SCENARIOS, inject, make_box

DEPTH, TRADE = "simusdt@depth@100ms", "simusdt@trade"


@asynccontextmanager
async def opened(scenario="empty", *, seed=7, **options):
    """Yield a box in lockstep, and a REST client."""
    box = make_box(scenario, begins_us=START_US, seed=seed, speed=0, wire={"close_s": 0.05}, **options)
    async with box.open(), httpx.AsyncClient(base_url=box.ready()["rest_url"]) as rest:
        yield box, rest


def at(box, path):
    return connect(box.ready()["ws_url"] + path, proxy=None, max_queue=None)


def signed(box, account, **params):
    """Return the query of a signed request of an account, and its headers."""
    user = box.ready()["accounts"][account]
    query = urlencode({**params, "timestamp": box.exchange.now_us // 1_000})
    signature = hmac.new(user["secret"].encode(), query.encode(), "sha256").hexdigest()
    return f"{query}&signature={signature}", {"X-MBX-APIKEY": user["api_key"]}


async def place(box, rest, account, side, price, quantity):
    query, headers = signed(
        box, account, symbol="SIMUSDT", side=side, type="LIMIT", timeInForce="GTC", price=price, quantity=quantity
    )
    answer = await rest.post(f"/api/v3/order?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_ready_line_contains_addresses_and_accounts():
    """Addresses without a path, except for the WebSocket API; two accounts with both kinds of keys."""

    async def scenario():
        async with opened() as (box, rest):
            ready = box.ready()
            assert list(ready) == ["ready", "rest_url", "ws_url", "ws_api_url", "symbol", "accounts"]
            assert ready["rest_url"].removeprefix("http") == ready["ws_url"].removeprefix("ws")
            assert ready["ws_api_url"] == ready["ws_url"] + "/ws-api/v3"
            for account in ready["accounts"]:
                assert set(account) == {"name", "api_key", "secret", "ed25519_private_key"}
            assert (await rest.get("/api/v3/time")).json() == {"serverTime": START_US // 1_000}

    run(scenario)


def test_rest_order_is_published_on_every_stream():
    """Two users trade in an empty book; trades are sent at once, depth by its timer, both equal to the truth."""

    async def scenario():
        async with opened() as (box, rest), at(box, f"/stream?streams={DEPTH}/{TRADE}/simusdt@bookTicker") as client:
            await place(box, rest, 0, "BUY", "99.50", "2")
            ticker = (await receive(client))["data"]
            assert (ticker["b"], ticker["B"], ticker["a"]) == ("99.50000000", "2.00000000", "0.00000000")
            await place(box, rest, 1, "SELL", "99.50", "0.5")
            assert (await receive(client))["data"]["q"] == "0.50000000"
            assert (await receive(client))["data"]["B"] == "1.50000000"
            box.scheduler.advance_to(START_US + 100_000)
            depth = (await receive(client))["data"]
            assert (depth["U"], depth["u"], depth["b"]) == (1, 2, [["99.50000000", "1.50000000"]])
            snapshot = (await rest.get("/api/v3/depth?symbol=SIMUSDT")).json()
            assert snapshot == {"lastUpdateId": 2, "bids": depth["b"], "asks": []}

    run(scenario)


@pytest.mark.parametrize("scenario_name", sorted(set(SCENARIOS) - {"empty"}))
def test_stream_snapshot_and_truth_give_one_book(scenario_name):
    """In every scenario: a snapshot plus the diffs is the truth at their end, id by id."""

    async def scenario():
        async with opened(scenario_name) as (box, rest):
            async with at(box, f"/ws/{DEPTH}") as client:
                snapshot = (await rest.get("/api/v3/depth?symbol=SIMUSDT&limit=5000")).json()
                box.scheduler.advance_to(START_US + 30_000_000)
                events = [await receive(client)]
                while events[-1]["u"] < box.truth.last_update_id and len(events) < 250:
                    events.append(await receive(client))
            start_id = snapshot["lastUpdateId"]
            assert events[0]["U"] <= start_id + 1
            whole = {"U": 0, "u": events[0]["U"] - 1, "b": snapshot["bids"], "a": snapshot["asks"]}
            book = rebuilt([whole, *events])
            bids, asks = box.truth.book(events[-1]["u"])
            assert book == {"b": dict(bids), "a": dict(asks)}

    run(scenario)


def test_agg_trades_of_stream_and_rest_match():
    """Ids, quantities and trade ids, from the exchange's first trade on, also for a late subscriber."""

    async def scenario():
        async with opened() as (box, rest):
            for _ in range(3):
                await place(box, rest, 0, "BUY", "100.00", "0.1")
            await place(box, rest, 1, "SELL", "100.00", "0.25")
            async with at(box, "/ws/simusdt@aggTrade") as client:
                await place(box, rest, 1, "SELL", "100.00", "0.05")
                event = await receive(client)
            trades = (await rest.get("/api/v3/aggTrades?symbol=SIMUSDT")).json()
            assert [trade["q"] for trade in trades] == ["0.25000000", "0.05000000"]
            assert {key: event[key] for key in "apqflTm"} == {key: trades[-1][key] for key in "apqflTm"}

    run(scenario)


def test_equal_seeds_and_calls_give_equal_bytes():
    """In lockstep nothing depends on wall time: two runs send the same frames."""

    async def one_run():
        frames = []
        async with opened("hawkes", seed=5) as (box, rest), at(box, f"/stream?streams={DEPTH}/{TRADE}") as client:
            for step in range(1, 6):
                box.scheduler.advance_to(START_US + step * 700_000)
                await place(box, rest, 0, "BUY", "99.00", "1")
            await client.send(json.dumps({"method": "UNSUBSCRIBE", "params": [], "id": "end"}))
            while not frames or b"end" not in frames[-1]:
                frames.append(await client.recv(decode=False))
        return frames

    async def scenario():
        first, second = await one_run(), await one_run()
        assert first == second
        assert len(first) > 20

    run(scenario)


def test_user_data_stream_reports_orders_of_other_connections():
    """The WebSocket API shares port, clock and exchange with everything else."""

    async def scenario():
        async with opened() as (box, rest), connect(box.ready()["ws_api_url"], proxy=None) as client:
            user = box.ready()["accounts"][0]
            params = {"apiKey": user["api_key"], "timestamp": START_US // 1_000}
            text = urlencode(sorted(params.items()))
            signature = hmac.new(user["secret"].encode(), text.encode(), "sha256").hexdigest()
            request = {
                "id": 1,
                "method": "userDataStream.subscribe.signature",
                "params": params | {"signature": signature},
            }
            await client.send(json.dumps(request))
            assert (await receive(client))["status"] == 200
            order = await place(box, rest, 0, "BUY", "99.00", "1")
            report = (await receive(client))["event"]
            assert (report["e"], report["i"]) == ("executionReport", order["orderId"])

    run(scenario)


def test_injected_faults_apply_to_open_connections():
    """A connection that was open before the script is included; without a script none is affected."""

    async def scenario():
        async with opened() as (box, rest), at(box, f"/ws/{TRADE}") as client:
            assert box.server.faults is None
            inject(box, "at trade 1 do drop n=1 of=trade")
            await place(box, rest, 0, "BUY", "99.00", "3")
            for _ in range(2):
                await place(box, rest, 1, "SELL", "99.00", "1")
            assert (await receive(client))["t"] == 2

    run(scenario)


def test_box_stops_with_the_error_of_the_market():
    """A market that raises ends the box with its error, instead of a server with a stopped clock."""

    class Broken(RuntimeError):
        """Raised by the market."""

    async def scenario():
        box = make_box(begins_us=START_US, speed=1)

        def fail(_us):
            raise Broken

        async with box.open():
            box.exchange.advance = fail
            await until(box.running.done)

    with pytest.raises(Broken):
        asyncio.run(scenario())
