"""Faults of users' events, sessions and connections, and the exchange's restart, observed through the WebSocket API."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from traded import EVENTS, Floor, Talk, floor, limit
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage
from wired import STREAMS, Case, Watcher, run_case, until


async def place_and_cancel(desk: Floor, talk: Talk, count: int) -> None:
    """Place and cancel *count* orders of alice, 0.1 s apart."""
    for number in range(count):
        await talk.order("order.place", **limit(newClientOrderId=f"n{number}"))
        await desk.play(0.1)
        await talk.order("order.cancel", origClientOrderId=f"n{number}")
        await desk.play(0.1)


async def logon_expired() -> None:
    async with floor("at time 1 on 1 do logon_expired") as desk:
        talk, other = await desk.talk(), await desk.talk()
        await desk.play(2)
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
    async with floor("at time 1 do terminate") as desk:
        talk = await desk.talk()
        await desk.play(2)
        assert [(one["e"], one["E"]) for one in talk.events] == [
            ("eventStreamTerminated", desk.box.scheduler.done_us // 1_000 - 1_000)
        ]
        assert (await talk.order("order.place", **limit()))["status"] == 200
        assert not talk.executions
        assert (await talk.ask("userDataStream.subscribe"))["status"] == 200


async def restart() -> None:
    for books, status in (("kept", "NEW"), ("lost", "EXPIRED")):
        async with floor(f"at time 1 do restart books={books} for_s=2", scenario="large_tick") as desk:
            talk = await desk.talk()
            watcher = await _stream(desk)
            await desk.play(0.5)
            await talk.order("order.place", **limit("BUY", "90", newClientOrderId="buy"))
            await desk.alice.order("SELL", "110", newClientOrderId="sell")
            await desk.play(1)
            await until(lambda talk=talk, watcher=watcher: talk.ended and watcher.ended)
            assert isinstance(talk.ended.__cause__, ConnectionResetError)
            assert talk.executions == [("NEW", "buy"), ("NEW", "sell")], "no event reports the end of the orders"
            for attempt in (desk.talk, desk.alice.order):
                with pytest.raises((ConnectionResetError, InvalidMessage, httpx.TransportError)):
                    await attempt()
            desk.talks = [one for one in desk.talks if not one.ended]
            await desk.play(2)
            back = await desk.talk()
            orders = (await back.order("allOrders"))["result"]
            assert [(one["clientOrderId"], one["status"]) for one in orders] == [("buy", status), ("sell", status)]
            locked = {one["asset"]: one["locked"] for one in desk.alice.truth["balances"]}
            kept = {"SIM": "1.00000000", "USDT": "90.00000000"}
            assert locked == (kept if books == "kept" else dict.fromkeys(kept, "0.00000000"))
            assert (await back.order("order.place", **limit("BUY", "90", newClientOrderId="again")))["status"] == 200
            await watcher.close()


async def _stream(desk: Floor) -> Watcher:
    """Connect to the streams of market data."""
    return Watcher(desk.box, await connect(f"{desk.box.ws_url}/ws/{STREAMS}", proxy=None), 1)


CASES: dict[str, Case] = {case.__name__: case for case in (logon_expired, terminate, restart)}


@pytest.mark.parametrize("name", CASES)
def test_session_fault_reaches_the_user(name: str) -> None:
    """A silent end must be found by a check."""
    run_case(CASES[name])


async def drop() -> None:
    async with floor("at time 0.15 do drop of=user n=2") as desk:
        talk = await desk.talk()
        await place_and_cancel(desk, talk, 3)
        lost = ("NEW", "n1")
        assert talk.executions == [one for one in desk.alice.executions if one != lost]
        assert len(talk.events) == len(desk.alice.truth["events"]) - 2, "and the balances after it"
        assert desk.box.injector.users.logs[1].lost == {"drop": 2}


async def duplicate() -> None:
    async with floor("at time 0.15 do duplicate of=user n=2") as desk:
        talk = await desk.talk()
        await place_and_cancel(desk, talk, 2)
        again = ("NEW", "n1")
        assert talk.executions == [one for each in desk.alice.executions for one in [each] * (1 + (each == again))]
        assert len(talk.events) == len(desk.alice.truth["events"]) + 2


async def swap() -> None:
    async with floor("at time 0.15 do swap of=user n=1") as desk:
        talk = await desk.talk()
        await place_and_cancel(desk, talk, 3)
        straight = list(EVENTS)
        assert [one["e"] for one in talk.events] == straight * 2 + straight[::-1] + straight * 3
        assert talk.executions == desk.alice.executions


async def lag() -> None:
    async with floor("at time 0.05 do lag of=user delay_s=0.15 for_s=0.5") as desk:
        talk = await desk.talk()
        await desk.play(0.1)
        answer = await talk.order("order.place", **limit(newClientOrderId="one"))
        await desk.play(0.149)
        assert not talk.events
        await desk.play(0.001)
        assert talk.executions == [("NEW", "one")]
        assert talk.got.index(answer) < len(talk.got) - 3
        await place_and_cancel(desk, talk, 3)
        assert talk.executions == desk.alice.executions


async def stall() -> None:
    async with floor("at time 0.15 do stall of=user for_s=0.4") as desk:
        talk = await desk.talk()
        await place_and_cancel(desk, talk, 4)
        assert talk.executions == [one for one in desk.alice.executions if one[1] not in ("n1", "n2")]
    async with floor("at time 0.05 do stall of=user") as desk:
        talk = await desk.talk()
        await desk.play(0.1)
        await place_and_cancel(desk, talk, 3)
        assert talk.events == []
        assert (await talk.order("order.status", origClientOrderId="n0"))["result"]["status"] == "CANCELED"


@pytest.mark.parametrize("case", [drop, duplicate, swap, lag, stall], ids=lambda case: case.__name__)
def test_user_event_fault_does_not_change_orders(case: Callable[[], Awaitable[None]]) -> None:
    """Only the user's events are disturbed."""
    run_case(case)


@pytest.mark.parametrize(
    "fault", ["drop of=user n=50", "stall of=user", "lag of=user", "close of=user", "reset of=user"]
)
def test_user_fault_does_not_disturb_market_streams(fault: str) -> None:
    """Two connections of one trader fail independently: the feed is the same with and without the fault."""

    async def run_once(script: str) -> list[str | bytes]:
        async with floor(script, scenario="large_tick") as desk:
            watcher, talk = await _stream(desk), await desk.talk()
            await talk.order("order.place", **limit("BUY", "99.98", newClientOrderId="one"))
            for _ in range(10):
                await desk.box.advance(seconds=0.2)
                await watcher.caught_up()
            got = watcher.got
            await watcher.close()
            return got

    disturbed = asyncio.run(run_once(f"at time 0.2 do {fault}"))
    assert disturbed == asyncio.run(run_once(""))
    assert len(disturbed) > 20


@pytest.mark.parametrize(
    ("fault", "code"), [("close of=user code=1008", 1008), ("age of=user max_s=1", 1001), ("shutdown of=both", 1001)]
)
def test_user_connection_fault_ends_with_its_code(fault: str, code: int) -> None:
    """A gateway must recover from every end that a recorder handles."""

    async def scenario() -> None:
        async with floor(f"at time 0.5 do {fault}") as desk:
            talk = await desk.talk()
            await desk.box.advance(seconds=20)
            await until(lambda: talk.ended)
            assert talk.ended.rcvd.code == code
            if "shutdown" in fault:
                assert talk.got[-1]["event"]["e"] == "serverShutdown"

    run_case(scenario)


@pytest.mark.parametrize("fault", ["mute", "half_open"])
def test_request_on_silent_connection_gets_no_answer(fault: str) -> None:
    """The request is executed (mute) or never read (half open)."""

    async def scenario() -> None:
        async with floor(f"at time 0.5 on 1 do {fault} of=user") as desk:
            silent, other = await desk.talk(), await desk.talk()
            await desk.box.advance(seconds=1)
            number = await silent.send("order.place", **desk.alice.stamped({"symbol": "SIMUSDT"} | limit()))
            if fault == "mute":
                await until(lambda: desk.alice.truth["openOrders"])
            await other.caught_up()
            assert len(desk.alice.truth["openOrders"]) == (fault == "mute")
            assert silent.answer_to(number) is None
            assert silent.ended is None

    run_case(scenario)


@pytest.mark.parametrize("ms", [-2_600, 6_000])
def test_shifted_clock_judges_requests_and_stamps_answers_and_events(ms: int) -> None:
    """A request stamped by the old clock is refused, one by the new clock is taken, over both transports."""

    async def scenario() -> None:
        async with floor(f"at time 1 do clock_offset ms={ms}") as desk:
            talk = await desk.talk()
            before = await talk.order("order.place", **limit(newClientOrderId="before"))
            await desk.play(2)
            true_ms = desk.box.scheduler.done_us // 1_000
            assert (await talk.order("order.place", **limit()))["error"]["code"] == -1021
            assert (await desk.alice.order()).json()["code"] == -1021
            assert (await talk.ask("time"))["result"]["serverTime"] == true_ms + ms
            new = {"timestamp": true_ms + ms}
            after = await talk.order("order.place", **limit(newClientOrderId="after"), **new)
            assert after["result"]["transactTime"] - before["result"]["transactTime"] == 2_000 + ms
            by_rest = (await desk.alice.order(newClientOrderId="rest", **new)).json()
            assert by_rest["transactTime"] == true_ms + ms
            await talk.caught_up()
            stamps = [[one[name] for name in "ETOW"] for one in talk.events if one["e"] == "executionReport"]
            assert [set(row) for row in stamps] == [{true_ms - 2_000}, {true_ms + ms}, {true_ms + ms}]
            assert {one["u"] for one in talk.events if one["e"] == EVENTS[1]} == {true_ms - 2_000, true_ms + ms}

    run_case(scenario)
