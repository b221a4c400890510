"""Each fault of requests as observed by the sender, compared with the exchange's own result: one case per fault."""

import asyncio
import json

import httpx
import pytest
from traded import Floor, floor, limit
from wired import Case, run_case, until

from mm.errors import UsageError
from mm.sim.wire.box import LOCKSTEP_US
from mm.sim.wire.faults.request_faults import error_of
from simulation import inject, make_box


async def ack_lost() -> None:
    async with floor(
        "at request 1 of order.place do ack_lost\nat request 2 of order.place do ack_lost undone=1"
    ) as desk:
        talk = await desk.talk()
        lost = await talk.send_signed("order.place", **limit(newClientOrderId="done"))
        never = await talk.send_signed("order.place", **limit(newClientOrderId="undone"))
        assert talk.answer_to(lost) is talk.answer_to(never) is None
        assert talk.executions == [("NEW", "done")]
        assert (await talk.order("order.status", origClientOrderId="done"))["result"]["status"] == "NEW"
        assert (await talk.order("order.status", origClientOrderId="undone"))["error"]["code"] == -2013
        assert [(one["outcome"] is None, one["faults"]) for one in desk.alice.truth["requests"]] == [
            (False, ["ack_lost"]),
            (True, ["ack_lost"]),
        ]
    async with floor("at time 0 do ack_lost path=/api/v3/order") as desk:
        waiting = asyncio.create_task(desk.alice.order(newClientOrderId="rest"))
        await until(lambda: desk.alice.truth["openOrders"])
        await desk.play(30)
        assert not waiting.done(), "the connection stays open without an answer"
        assert (await desk.alice.rest("GET", "order", origClientOrderId="rest")).json()["status"] == "NEW"
        waiting.cancel()


async def ack_late() -> None:
    async with floor("at request 1 of order.place do ack_late delay_s=2") as desk:
        talk = await desk.talk()
        late = await talk.send_signed("order.place", **limit("SELL", "100", newClientOrderId="late"))
        await desk.bob.order("BUY", "100", timeInForce="IOC")
        await desk.play(1.99)
        assert talk.answer_to(late) is None
        assert talk.executions == [("NEW", "late"), ("TRADE", "late")], "the fill comes before the acknowledgement"
        await desk.play(0.01)
        assert talk.answer_to(late)["result"]["status"] == "NEW", "the answer is that of the instant of the order"
    async with floor("at request 1 of /api/v3/order do ack_late undone=1") as desk:
        waiting = asyncio.create_task(desk.alice.order())
        await until(lambda: desk.alice.truth["requests"])
        await desk.play(0.5)
        assert not waiting.done()
        await desk.play(0.5)
        answer = await waiting
        assert (answer.status_code, answer.json()["code"]) == (504, -1007)
        assert desk.alice.truth["orders"] == []


async def error() -> None:
    for code in (-1006, -1007, -1013, -1015, -1021, -2010, -2011, -4000):
        expected = (error_of(code).http_status, error_of(code).content())
        for undone in (0, 1):
            async with floor(f"at time 0 do error code={code} n=2 undone={undone} path=order.place") as desk:
                talk = await desk.talk()
                for name in ("one", "two"):
                    answer = await talk.order("order.place", **limit(newClientOrderId=name))
                    assert (answer["status"], answer["error"]) == expected
                assert (await talk.order("order.place", **limit(newClientOrderId="three")))["status"] == 200
                done = [one["clientOrderId"] for one in desk.alice.truth["openOrders"]]
                assert done == (["three"] if undone else ["one", "two", "three"])
    async with floor("at time 0 do error code=-2011 path='DELETE /api/v3/order'") as desk:
        assert (await desk.alice.order(newClientOrderId="rests")).status_code == 200
        answer = await desk.alice.rest("DELETE", "order", origClientOrderId="rests")
        assert (answer.status_code, answer.json()["code"]) == (400, -2011)
        assert desk.alice.truth["openOrders"] == []
        outcome = desk.alice.truth["requests"][-1]["outcome"]
        assert (outcome["status"], outcome["result"]["status"]) == (200, "CANCELED")


async def fill_on_cancel() -> None:
    which = {"origClientOrderId": "mine"}
    replace = {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrigClientOrderId": "mine", "newClientOrderId": "next"}
    for method, given, expected in (
        ("order.cancel", which, -2011),
        ("order.cancelReplace", limit() | replace, -2022),
        ("order.amend.keepPriority", which | {"newQty": "0.5"}, -2038),
        ("openOrders.cancelAll", {}, -2011),
    ):
        async with floor("at time 0 do fill_on_cancel") as desk:
            talk = await desk.talk()
            await desk.bob.order(price="99", qty="3")
            await talk.order("order.place", **limit(newClientOrderId="mine"))
            answer = await talk.order(method, **given)
            assert answer["error"]["code"] == expected
            assert talk.executions == [("NEW", "mine"), ("TRADE", "mine")]
            reports = [place for place, one in enumerate(talk.got) if one.get("event", {}).get("x") == "TRADE"]
            assert reports[0] < talk.got.index(answer), "the fill came first"
            assert desk.alice.truth["orders"][0]["status"] == "FILLED"
            assert [one["qty"] for one in desk.bob.truth["trades"]] == ["3.00000000"], "an earlier order traded, too"
    async with floor("at time 0 do fill_on_cancel share=0.25") as desk:
        talk = await desk.talk()
        assert (await talk.order("order.cancel", origClientOrderId="none"))["error"]["code"] == -2011
        await talk.order("order.place", **limit(newClientOrderId="mine"))
        result = (await talk.order("order.cancel", **which))["result"]
        assert (result["status"], result["executedQty"]) == ("CANCELED", "0.25000000")


async def revoke() -> None:
    """The answer to a session has no id, as the documents print it, and the session ends."""
    async with floor("at time 1 do revoke") as desk:
        talk = await desk.talk()
        await talk.order("order.place", **limit(newClientOrderId="rests"))
        await desk.play(2)
        refused = await talk.send_signed("order.cancel", origClientOrderId="rests")
        assert talk.answer_to(refused) is None
        (answer,) = [one for one in talk.got if one.get("error", {}).get("code") == -2015]
        assert (answer["id"], answer["status"]) == (None, 401)
        assert talk.events[-1]["e"] == "eventStreamTerminated"
        assert (await talk.ask("session.status"))["result"]["apiKey"] is None
        answer = await talk.log_on()
        assert (answer["status"], answer["error"]["code"]) == (401, -2015)
        response = await desk.alice.rest("DELETE", "order", origClientOrderId="rests")
        assert (response.status_code, response.json()["code"]) == (401, -2015)
        assert [one["clientOrderId"] for one in desk.alice.truth["openOrders"]] == ["rests"]


async def symbol() -> None:
    async with floor("at time 0 do symbol status=BREAK") as desk:
        talk = await desk.talk()
        assert (await talk.order("order.place", **limit()))["error"]["msg"] == "Market is closed."
        inject(desk.box, "at time 0 do symbol")
        assert (await talk.order("order.place", **limit(newClientOrderId="one")))["status"] == 200
        inject(desk.box, "at time 0 do symbol listed=0")
        assert desk.alice.truth["openOrders"] == []
        for method, given in (("order.place", limit()), ("order.status", {"origClientOrderId": "one"})):
            assert (await talk.order(method, **given))["error"]["code"] == -1121
        with pytest.raises(UsageError, match="TRADING, HALT, BREAK"):
            inject(desk.box, "at time 0 do symbol status=SETTLING")


@pytest.mark.parametrize(
    ("change", "order", "code"),
    [
        ("min_notional=500", {}, -1013),
        ("max_notional=50", {}, -1013),
        ("min_price=99.5", {}, -1013),
        ("max_price=98", {}, -1013),
        ("min_qty=2", {}, -1013),
        ("max_qty=0.5", {}, -1013),
        ("down=0.999 up=1.001", {}, -1013),
        ("max_orders=0", {}, -1013),
        ("min_notional=1", {"price": "50"}, 0),
    ],
)
def test_changed_filters_hold_for_the_next_order(change: str, order: dict[str, str], code: int) -> None:
    """And exchangeInfo has them."""

    async def scenario() -> None:
        async with floor(f"at time 0 do filters {change}") as desk:
            answer = await (await desk.talk()).order("order.place", **limit(**order))
            assert answer.get("error", {}).get("code", 0) == code, answer

    asyncio.run(scenario())


CASES: dict[str, Case] = {case.__name__: case for case in (ack_lost, ack_late, error, fill_on_cancel, revoke, symbol)}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_request_fault_reaches_the_sender(name: str) -> None:
    """The exchange has a result that the client does not receive; the two must be distinguished."""
    run_case(CASES[name])


@pytest.mark.parametrize(
    ("code", "undone", "done"), [(503, 0, True), (503, 1, False), (429, 0, False), (418, 0, False)]
)
def test_status_fault_executes_the_order_only_for_5xx(code: int, undone: int, done: bool) -> None:
    """After 5xx the order may rest or not; after 418 and 429 it does not exist."""

    async def scenario() -> None:
        fault = f"do status code={code} undone={undone} retry_after=7"
        async with floor(f"at time 0 {fault} path=order.place\nat time 0 {fault} path=/api/v3/order") as desk:
            talk = await desk.talk()
            answer = await talk.order("order.place", **limit(newClientOrderId="ws"))
            assert answer["status"] == code
            if code < 500:
                at = desk.box.scheduler.done_us // 1_000
                assert answer["error"]["data"] == {"serverTime": at, "retryAfter": at + 7_000}
            response = await desk.alice.order(newClientOrderId="rest")
            assert (response.status_code, response.headers["Retry-After"]) == (code, "7")
            names = ["ws", "rest"] if done else []
            assert [one["clientOrderId"] for one in desk.alice.truth["openOrders"]] == names
            assert [one["faults"] for one in desk.alice.truth["requests"]] == [["status"]] * 2
            for name in ("a", "b"):
                assert (await talk.order("order.place", **limit(newClientOrderId=name)))["status"] == 200
            assert (await desk.alice.order()).status_code == 200

    run_case(scenario)


def test_fault_path_matches_whole_method_and_order_changes() -> None:
    """``order.cancel`` is not ``order.cancelReplace``; a REST path without a verb does not match queries."""

    async def scenario() -> None:
        script = "\n".join(
            f"at time 0 do error code={code} path={path}"
            for code, path in ((-1006, "order.cancel"), (-1007, "/api/v3/order"), (-1021, "'GET /api/v3/openOrders'"))
        )
        async with floor(script) as desk:
            talk = await desk.talk()
            placed = await talk.order("order.place", **limit(newClientOrderId="one"))
            assert placed["status"] == 200
            replace = {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrigClientOrderId": "one"}
            assert (await talk.order("order.cancelReplace", **limit(), **replace))["status"] == 200
            order_id = desk.alice.truth["openOrders"][0]["orderId"]
            assert (await talk.order("order.cancel", orderId=order_id))["error"]["code"] == -1006
            assert (await desk.alice.rest("GET", "order", orderId=order_id)).json()["status"] == "CANCELED"
            assert (await desk.alice.rest("GET", "openOrders")).json()["code"] == -1021
            assert (await desk.alice.order()).json()["code"] == -1007
            assert (await desk.alice.order()).status_code == 200

    run_case(scenario)


def test_query_can_fail_as_well() -> None:
    """A query after a fault may hit the next fault."""

    async def scenario() -> None:
        async with floor("at request 2 of order.status do error code=-1007") as desk:
            talk = await desk.talk()
            codes = [(await talk.order("order.status", orderId=1))["error"]["code"] for _ in range(3)]
            assert codes == [-2013, -1007, -2013]

    run_case(scenario)


def test_response_fault_applies_after_the_order() -> None:
    """A reset instead of an answer leaves an order, which can be found only by its client id."""

    async def scenario() -> None:
        async with floor("at request 1 of /api/v3/order do reset_request") as desk:
            with pytest.raises(httpx.ReadError):
                await desk.alice.order(newClientOrderId="there")
            assert [one["clientOrderId"] for one in desk.alice.truth["openOrders"]] == ["there"]

    run_case(scenario)


def test_equal_scripts_and_calls_give_equal_bytes() -> None:
    """A schedule of faults that found a bug must find it again."""
    script = "\n".join(
        [
            "at request 2 of order.place do ack_lost",
            "at request 3 of order.place do ack_late delay_s=0.3",
            "at request 4 of order.place do error code=-1006",
            "at time 0.5 on random do swap of=user n=2",
            "at time 1 do lag of=user delay_s=0.2",
            "at time 2 do fill_on_cancel share=0.5",
            "at time 2.55 do restart books=lost for_s=1",
        ]
    )

    async def day() -> list[str]:
        async with floor(script, scenario="large_tick") as desk:
            talk = await desk.talk()
            for number in range(40):
                await talk.send_signed("order.place", **limit("BUY", "99.98", newClientOrderId=f"n{number}"))
                await desk.play(0.1)
                if talk.ended:
                    await desk.play(1.2)
                    talk = await desk.talk()
                elif number % 3 == 0:
                    await talk.send_signed("order.cancel", origClientOrderId=f"n{number}")
            assert len(desk.talks) == 2
            assert len(desk.alice.truth["trades"]) > 3
            return [json.dumps(one.got) for one in desk.talks] + [json.dumps(desk.alice.truth)]

    assert asyncio.run(day()) == asyncio.run(day())


def test_late_answers_use_seconds_of_the_exchange_clock() -> None:
    """The same faults for a client of another process, on a running exchange."""

    async def scenario() -> None:
        script = (
            "at request 1 of order.place do ack_late delay_s=4\nat request 1 of /api/v3/order do ack_late delay_s=4"
        )
        box = make_box(begins_us=LOCKSTEP_US, speed=20, limits=False, faults=[script])
        async with (
            asyncio.timeout(120),
            box.open(),
            httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as rest,
        ):
            desk = Floor(box, rest)
            talk = await desk.talk()
            try:
                for request in (talk.order("order.place", **limit()), desk.alice.order()):
                    began_us = box.scheduler.done_us
                    await request
                    assert box.scheduler.done_us - began_us >= 4_000_000
                assert len(desk.alice.truth["openOrders"]) == 2
            finally:
                talk.connection.transport.abort()
                await talk.reading

    asyncio.run(scenario())
