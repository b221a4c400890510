"""Control over HTTP: time, faults and truth of a running exchange, also from another process."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from mm.sim.wire.box import LOCKSTEP_US, Box
from simulation import make_box

STREAMS = "simusdt@depth@100ms/simusdt@trade"


@asynccontextmanager
async def controlled(scenario: str = "large_tick", **options) -> AsyncIterator[tuple[Box, httpx.AsyncClient]]:
    async with (
        asyncio.timeout(120),
        Box.in_lockstep(scenario, seed=3, **options).open() as box,
        httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as rest,
    ):
        yield box, rest


async def received(client, count: int) -> list[dict]:
    return [json.loads(await client.recv()) for _ in range(count)]


def sent(box: Box, number: int = 1) -> int:
    return sum(box.injector.scope.logs[number].counts.values())


def test_lockstep_time_moves_only_by_advance() -> None:
    """A test in lockstep controls the exchange's time at every line."""

    async def scenario() -> None:
        async with controlled() as (box, rest):
            state = (await rest.get("/sim/state")).json()
            assert state["now_us"] == LOCKSTEP_US
            for body, expected in (
                ({"us": 1_500_000}, LOCKSTEP_US + 1_500_000),
                ({"until_us": LOCKSTEP_US + 2_000_000}, LOCKSTEP_US + 2_000_000),
                ({"until_us": LOCKSTEP_US}, LOCKSTEP_US + 2_000_000),
                ({"us": 0}, LOCKSTEP_US + 2_000_000),
            ):
                state = (await rest.post("/sim/advance", json=body)).json()
                assert state["now_us"] == expected == box.exchange.now_us
                assert (await rest.get("/api/v3/time")).json()["serverTime"] == expected // 1_000
            before = state["update_id"]
            state = (await rest.post("/sim/advance", json={"updates": 25})).json()
            assert before + 25 <= state["update_id"] < before + 40

    asyncio.run(scenario())


def test_advance_by_updates_fails_if_the_book_does_not_change() -> None:
    """A call that cannot be executed ends, with a reason."""

    async def scenario() -> None:
        async with controlled("empty") as (_, rest):
            answer = await rest.post("/sim/advance", json={"updates": 1})
            assert answer.status_code == 400
            assert "the book has not changed for a minute; 1 are missing" in answer.json()["msg"]

    asyncio.run(scenario())


def test_truth_at_any_id_matches_book_rebuilt_by_client() -> None:
    """The exchange's memory against a snapshot plus the stream of an independent client."""

    async def scenario() -> None:
        async with controlled() as (box, rest), connect(f"{box.ws_url}/ws/{STREAMS}", proxy=None, max_queue=None) as ws:
            await box.advance(seconds=1)
            snapshot = (await rest.get("/api/v3/depth?symbol=SIMUSDT&limit=5000")).json()
            await box.advance(seconds=20)
            books = {"b": dict(map(tuple, snapshot["bids"])), "a": dict(map(tuple, snapshot["asks"]))}
            books_at = {}
            prints = []
            for event in await received(ws, sent(box)):
                if event["e"] == "trade":
                    prints.append(event)
                    continue
                if event["u"] <= snapshot["lastUpdateId"]:
                    continue
                for side, book in books.items():
                    book |= dict(map(tuple, event[side]))
                books_at[event["u"]] = {
                    side: {price: qty for price, qty in book.items() if float(qty)} for side, book in books.items()
                }
            assert len(books_at) > 150
            for update_id in random.Random(1).sample(sorted(books_at), 40):
                truth = (await rest.get(f"/sim/truth?id={update_id}")).json()
                assert truth["lastUpdateId"] == update_id
                for side, name, sign in (("bids", "b", -1), ("asks", "a", 1)):
                    rebuilt = sorted(books_at[update_id][name].items(), key=lambda one, sign=sign: sign * float(one[0]))
                    assert truth[side] == [list(level) for level in rebuilt]
            trades = (await rest.get(f"/sim/trades?from=1&to={len(prints)}")).json()
            assert [(one["trade_id"], one["price"], one["qty"], one["is_buyer_maker"]) for one in trades] == [
                (one["t"], one["p"], one["q"], one["m"]) for one in prints
            ]
            assert [one["us"] // 1_000 for one in trades] == [one["T"] for one in prints]
            assert len(prints) == box.truth.last_trade_id

    asyncio.run(scenario())


def test_faults_added_at_runtime_are_applied() -> None:
    """A script that cannot be read changes nothing."""

    async def scenario() -> None:
        async with controlled() as (box, rest), connect(f"{box.ws_url}/ws/{STREAMS}", proxy=None, max_queue=None) as ws:
            await box.advance(seconds=1)
            at = box.truth.last_update_id + 30
            state = (await rest.post("/sim/faults", content=f"at id {at} do drop n=2\nat time 9e3 do close")).json()
            assert state["waiting"] == [f"at id {at} do drop n=2", "at time 9000.0 do close"]
            assert [one["path"] for one in state["connections"]] == [f"/ws/{STREAMS}"]
            assert state["connections"][0]["streams"] == STREAMS.split("/")
            wrong = await rest.post("/sim/faults", content="at id 5 do drop\nat id 9 do nothing")
            assert wrong.status_code == 400
            assert "script:2: 'at id 9 do nothing'" in wrong.json()["msg"]
            assert (await rest.post("/sim/faults", content=b"\xff")).status_code == 400
            await box.advance(seconds=2)
            log = (await rest.get("/sim/sent?conn=1")).json()
            events = await received(ws, sum(log["counts"].values()))
            assert log["lost"] == {"drop": 2}
            assert [(one["kind"], one["last_id"]) for one in log["frames"]] == [
                ("depth", event["u"]) if event["e"] == "depthUpdate" else ("trade", event["t"]) for event in events
            ]
            assert (await rest.get("/sim/state")).json()["waiting"] == ["at time 9000.0 do close"]

    asyncio.run(scenario())


def test_faults_apply_to_connections_opened_before_the_script() -> None:
    """A server without a script has no overhead for faults, but accepts a script later."""

    async def scenario() -> None:
        made = make_box("large_tick", begins_us=LOCKSTEP_US, seed=3, speed=0)
        async with asyncio.timeout(120), made.open() as box:
            assert box.injector is None
            async with (
                connect(f"{box.ws_url}/ws/{STREAMS}", proxy=None, max_queue=None) as ws,
                httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as rest,
            ):
                await box.advance(seconds=1)
                assert (await rest.get("/sim/sent?conn=1")).status_code == 400
                await rest.post("/sim/faults", content="at time 0 do close code=1008")
                with pytest.raises(ConnectionClosed):
                    await received(ws, 10**6)
                assert ws.close_code == 1008

    asyncio.run(scenario())


@pytest.mark.parametrize("late_s", [0.5, 5.0])
def test_shutdown_announces_itself_and_closes_after_lead(late_s: float) -> None:
    """A client is notified, and its connection ends after the lead, at any time of the exchange."""

    async def scenario() -> None:
        async with controlled() as (box, rest), connect(f"{box.ws_url}/ws/{STREAMS}", proxy=None, max_queue=None) as ws:
            await box.advance(seconds=late_s)
            assert (await rest.post("/sim/shutdown", json={"lead_s": 2})).status_code == 200
            await box.advance(seconds=1)
            before = await received(ws, sent(box) + 1)
            assert "serverShutdown" in [event["e"] for event in before]
            assert (await rest.get("/sim/state")).json()["connections"]
            await box.advance(seconds=1.5)
            with pytest.raises(ConnectionClosed):
                await received(ws, 10**6)
            assert ws.close_code == 1001
            assert (await rest.post("/sim/shutdown", json={"lead_s": "x"})).status_code == 400
            assert (await rest.post("/sim/shutdown")).status_code == 200

    asyncio.run(scenario())


def test_shutdown_without_lead_is_immediate_in_lockstep() -> None:
    """In lockstep the clock may never move again."""

    async def scenario() -> None:
        async with controlled() as (box, rest), connect(f"{box.ws_url}/ws/{STREAMS}", proxy=None) as ws:
            assert (await rest.post("/sim/shutdown")).status_code == 200
            assert [json.loads(text)["e"] async for text in ws] == ["serverShutdown"]
            assert ws.close_code == 1001

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("POST", "/sim/advance", "", "not JSON"),
        ("POST", "/sim/advance", "[" * 100_000, "not JSON"),
        ("POST", "/sim/advance", "[1]", "must be a JSON object"),
        ("POST", "/sim/advance", "{}", "advance takes one of"),
        ("POST", "/sim/advance", '{"us": 1, "updates": 1}', "advance takes one of"),
        ("POST", "/sim/advance", '{"ms": 1}', "advance takes one of"),
        ("POST", "/sim/advance", '{"us": -1}', "us=-1: it must be a whole number"),
        ("POST", "/sim/advance", '{"us": true}', "us=True"),
        ("POST", "/sim/advance", '{"us": 1e3}', "us=1000.0"),
        ("POST", "/sim/advance", '{"us": 86400000001}', "us=86400000001"),
        ("POST", "/sim/advance", '{"until_us": 99999999999999999}', "until_us="),
        ("GET", "/sim/truth?id=x", "", "id=x: it must be a whole number"),
        ("GET", "/sim/truth?id=" + "9" * 5_000, "", "it must be a whole number"),
        ("GET", "/sim/truth?id=5", "", None),
        ("GET", "/sim/truth?id=-5", "", "update id -5: stored are 0 to"),
        ("GET", "/sim/truth?id=99999", "", "update id 99999: stored are 0 to"),
        ("GET", "/sim/truth?era=3", "", "stored are"),
        ("GET", "/sim/trades?from=5&to=99", "", "trades 5 to 99: stored are"),
        ("GET", "/sim/trades?from=1&to=999999999", "", "at most 100000 trades"),
        ("GET", "/sim/account?user=alice&parts=orders,trade", "", "parts=trade: unknown; known: openOrders, orders"),
        ("GET", "/sim/account?user=alice&parts=orders,trades", "", None),
        ("GET", "/sim/sent?conn=9", "", "conn=9: unknown connection; known: none"),
        ("GET", "/sim/nothing", "", "Unknown call; available: POST /sim/advance"),
        ("GET", "/sim/advance", "", "Unknown call"),
    ],
)
def test_invalid_control_call_returns_reason(method: str, path: str, body: str, message: str | None) -> None:
    """A typing error in a test must not look like a fault of the exchange."""

    async def scenario() -> None:
        async with controlled() as (box, rest):
            before = box.state()
            answer = await rest.request(method, path, content=body)
            if message is None:
                assert answer.status_code == 200
                return
            assert answer.status_code in (400, 404)
            assert message in answer.json()["msg"]
            assert box.state() == before

    asyncio.run(scenario())


def test_equal_scripts_and_seeds_send_equal_bytes() -> None:
    """A failure must be repeatable to the byte: over the wire, with two connections and faults of every kind."""
    script = """
        at connect 2 do lag delay_s=0.15
        at id 1100 on random do drop n=2
        at id 1150 do swap
        at time 1.5 on 1 do burst n=20
        at id 1200 do overlap by=30
        at id 1220 do bad_json
        at time 2.5 on random do mute for_s=0.5
        at id 1300 do crossed
        at id 1350 do id_reset first=1
    """

    async def run_once() -> list[list[bytes | str]]:
        async with controlled(faults=[script]) as (box, _):
            frames = []
            async with (
                connect(f"{box.ws_url}/stream?streams={STREAMS}", proxy=None, max_queue=None) as one,
                connect(f"{box.ws_url}/ws/{STREAMS}", proxy=None, max_queue=None) as other,
            ):
                for _ in range(8):
                    await box.advance(seconds=0.7)
                for number, client in ((1, one), (2, other)):
                    frames.append([await client.recv() for _ in range(sent(box, number))])
            return frames

    first, second = asyncio.run(run_once()), asyncio.run(run_once())
    assert first == second
    assert min(map(len, first)) > 60


def test_first_faults_of_running_exchange_count_from_now() -> None:
    """Without a script the server does not watch the time until then; a lead of 2 s is still 2 s."""

    async def scenario() -> None:
        box = make_box("large_tick", begins_us=LOCKSTEP_US, hours=1.0, seed=3, speed=0, limits=False)
        async with (
            asyncio.timeout(120),
            box.open(),
            httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as rest,
            connect(f"{box.ws_url}/ws/{STREAMS}", proxy=None, max_queue=None),
        ):
            await box.advance(seconds=5)
            assert box.injector is None
            assert (await rest.post("/sim/shutdown", json={"lead_s": 2})).status_code == 200
            await box.advance(seconds=1)
            assert (await rest.get("/sim/state")).json()["connections"]
            await box.advance(seconds=1.5)
            assert not (await rest.get("/sim/state")).json()["connections"]

    asyncio.run(scenario())
