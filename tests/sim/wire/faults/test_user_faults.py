"""Faults of users' events, sessions and connections, and the exchange's restart, seen through the WebSocket API."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from traded import EVENTS, Floor, Talk, floor, limit
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage
from wired import STREAMS, Case, Watcher, played, until


async def traded(on: Floor, talk: Talk, count: int) -> None:
    """Let alice place and cancel *count* orders, 0.1 s apart."""
    for number in range(count):
        await talk.order("order.place", **limit(newClientOrderId=f"n{number}"))
        await on.play(0.1)
        await talk.order("order.cancel", origClientOrderId=f"n{number}")
        await on.play(0.1)


async def logon_expired() -> None:
    async with floor("at time 1 on 1 do logon_expired") as on:
        talk, other = await on.talk(), await on.talk()
        await on.play(2)
        assert [one["e"] for one in talk.events] == ["eventStreamTerminated"]
        answer = await talk.order("order.place", **limit())
        assert (answer["status"], answer["error"]["code"]) == (400, -1102)
        answer = await talk.ask("userDataStream.subscribe")
        assert (answer["status"], answer["error"]["code"]) == (401, -1002)
        assert (await talk.ask("session.status"))["result"]["apiKey"] is None
        assert (await other.order("order.place", **limit()))["status"] == 200
        assert not talk.executions
        assert (await talk.log_on())["status"] == 200
        assert (await talk.ask("userDataStream.subscribe"))["status"] == 200
        await other.order("order.place", **limit())
        await talk.caught_up()
        assert len(talk.executions) == 1


async def terminate() -> None:
    async with floor("at time 1 do terminate") as on:
        talk = await on.talk()
        await on.play(2)
        assert [(one["e"], one["E"]) for one in talk.events] == [
            ("eventStreamTerminated", on.box.scheduler.done_us // 1_000 - 1_000)
        ]
        assert (await talk.order("order.place", **limit()))["status"] == 200
        assert not talk.executions
        assert (await talk.ask("userDataStream.subscribe"))["status"] == 200


async def restart() -> None:
    for books, status in (("kept", "NEW"), ("lost", "EXPIRED")):
        async with floor(f"at time 1 do restart books={books} for_s=2", scenario="large_tick") as on:
            talk = await on.talk()
            watcher = await _stream(on)
            await on.play(0.5)
            await talk.order("order.place", **limit("BUY", "90", newClientOrderId="buy"))
            await on.alice.order("SELL", "110", newClientOrderId="sell")
            await on.play(1)
            await until(lambda talk=talk, watcher=watcher: talk.ended and watcher.ended)
            assert isinstance(talk.ended.__cause__, ConnectionResetError)
            assert talk.executions == [("NEW", "buy"), ("NEW", "sell")], "no event says what became of the orders"
            for attempt in (on.talk, on.alice.order):
                with pytest.raises((ConnectionResetError, InvalidMessage, httpx.TransportError)):
                    await attempt()
            on.talks = [one for one in on.talks if not one.ended]
            await on.play(2)
            back = await on.talk()
            orders = (await back.order("allOrders"))["result"]
            assert [(one["clientOrderId"], one["status"]) for one in orders] == [("buy", status), ("sell", status)]
            locked = {one["asset"]: one["locked"] for one in on.alice.truth["balances"]}
            kept = {"SIM": "1.00000000", "USDT": "90.00000000"}
            assert locked == (kept if books == "kept" else dict.fromkeys(kept, "0.00000000"))
            assert (await back.order("order.place", **limit("BUY", "90", newClientOrderId="again")))["status"] == 200
            await watcher.close()


async def _stream(on: Floor) -> Watcher:
    """Connect to the streams of market data."""
    return Watcher(on.box, await connect(f"{on.box.ws_url}/ws/{STREAMS}", proxy=None), 1)


CASES: dict[str, Case] = {case.__name__: case for case in (logon_expired, terminate, restart)}


@pytest.mark.parametrize("name", CASES)
def test_a_user_sees_the_fault_that_its_row_names(name: str) -> None:
    """A silent end must be found by a check."""
    played(CASES[name])


async def drop() -> None:
    async with floor("at time 0.15 do drop of=user n=2") as on:
        talk = await on.talk()
        await traded(on, talk, 3)
        lost = ("NEW", "n1")
        assert talk.executions == [one for one in on.alice.executions if one != lost]
        assert len(talk.events) == len(on.alice.truth["events"]) - 2, "and the balances after it"
        assert on.box.injector.users.logs[1].lost == {"drop": 2}


async def duplicate() -> None:
    async with floor("at time 0.15 do duplicate of=user n=2") as on:
        talk = await on.talk()
        await traded(on, talk, 2)
        again = ("NEW", "n1")
        assert talk.executions == [one for each in on.alice.executions for one in [each] * (1 + (each == again))]
        assert len(talk.events) == len(on.alice.truth["events"]) + 2


async def swap() -> None:
    async with floor("at time 0.15 do swap of=user n=1") as on:
        talk = await on.talk()
        await traded(on, talk, 3)
        straight = list(EVENTS)
        assert [one["e"] for one in talk.events] == straight * 2 + straight[::-1] + straight * 3
        assert talk.executions == on.alice.executions


async def lag() -> None:
    async with floor("at time 0.05 do lag of=user delay_s=0.15 for_s=0.5") as on:
        talk = await on.talk()
        await on.play(0.1)
        answer = await talk.order("order.place", **limit(newClientOrderId="one"))
        await on.play(0.149)
        assert not talk.events
        await on.play(0.001)
        assert talk.executions == [("NEW", "one")]
        assert talk.got.index(answer) < len(talk.got) - 3
        await traded(on, talk, 3)
        assert talk.executions == on.alice.executions


async def stall() -> None:
    async with floor("at time 0.15 do stall of=user for_s=0.4") as on:
        talk = await on.talk()
        await traded(on, talk, 4)
        assert talk.executions == [one for one in on.alice.executions if one[1] not in ("n1", "n2")]
    async with floor("at time 0.05 do stall of=user") as on:
        talk = await on.talk()
        await on.play(0.1)
        await traded(on, talk, 3)
        assert talk.events == []
        assert (await talk.order("order.status", origClientOrderId="n0"))["result"]["status"] == "CANCELED"


@pytest.mark.parametrize("case", [drop, duplicate, swap, lag, stall], ids=lambda case: case.__name__)
def test_a_fault_of_users_leaves_the_market_alone(case: Callable[[], Awaitable[None]]) -> None:
    """What a user is sent about orders is disturbed, the order itself is not."""
    played(case)


@pytest.mark.parametrize(
    "fault", ["drop of=user n=50", "stall of=user", "lag of=user", "close of=user", "reset of=user"]
)
def test_streams_of_market_data_go_on(fault: str) -> None:
    """Two connections of one trader fail apart: the same feed comes with the fault and without it."""

    async def fed(script: str) -> list[str | bytes]:
        async with floor(script, scenario="large_tick") as on:
            watcher, talk = await _stream(on), await on.talk()
            await talk.order("order.place", **limit("BUY", "99.98", newClientOrderId="one"))
            for _ in range(10):
                await on.box.advance(seconds=0.2)
                await watcher.caught_up()
            got = watcher.got
            await watcher.close()
            return got

    disturbed = asyncio.run(fed(f"at time 0.2 do {fault}"))
    assert disturbed == asyncio.run(fed(""))
    assert len(disturbed) > 20


@pytest.mark.parametrize(
    ("fault", "code"), [("close of=user code=1008", 1008), ("age of=user max_s=1", 1001), ("shutdown of=both", 1001)]
)
def test_connections_of_users_end_as_those_of_streams(fault: str, code: int) -> None:
    """A gateway must recover from every end that a recorder handles."""

    async def scenario() -> None:
        async with floor(f"at time 0.5 do {fault}") as on:
            talk = await on.talk()
            await on.box.advance(seconds=20)
            await until(lambda: talk.ended)
            assert talk.ended.rcvd.code == code
            if "shutdown" in fault:
                assert talk.got[-1]["event"]["e"] == "serverShutdown"

    played(scenario)


@pytest.mark.parametrize("fault", ["mute", "half_open"])
def test_a_connection_of_users_falls_silent(fault: str) -> None:
    """Requests into a silent connection: read and done (mute), or never seen (half open); no answer either way."""

    async def scenario() -> None:
        async with floor(f"at time 0.5 on 1 do {fault} of=user") as on:
            silent, other = await on.talk(), await on.talk()
            await on.box.advance(seconds=1)
            number = await silent.send("order.place", **on.alice.stamped({"symbol": "SIMUSDT"} | limit()))
            if fault == "mute":
                await until(lambda: on.alice.truth["openOrders"])
            await other.caught_up()
            assert len(on.alice.truth["openOrders"]) == (fault == "mute")
            assert silent.answer_to(number) is None
            assert silent.ended is None

    played(scenario)
