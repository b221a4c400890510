"""Each fault of requests as seen by the sender, compared with the exchange's own result: one case per fault."""

import asyncio
import json

import httpx
import pytest
from traded import Floor, floor, limit
from wired import Case, played, until

from mm.clock import day_of
from mm.sim.flow.scenario import SCENARIOS
from mm.sim.flow.session import Session
from mm.sim.wire.box import LOCKSTEP_US, Box
from mm.sim.wire.faults.request_faults import error_of
from mm.sim.wire.faults.script import as_rules


async def ack_lost() -> None:
    async with floor("at request 1 of order.place do ack_lost\nat request 2 of order.place do ack_lost undone=1") as on:
        talk = await on.talk()
        lost = await talk.sent("order.place", **limit(newClientOrderId="done"))
        never = await talk.sent("order.place", **limit(newClientOrderId="undone"))
        assert talk.answer_to(lost) is talk.answer_to(never) is None
        assert talk.executions == [("NEW", "done")]
        assert (await talk.order("order.status", origClientOrderId="done"))["result"]["status"] == "NEW"
        assert (await talk.order("order.status", origClientOrderId="undone"))["error"]["code"] == -2013
        assert [(one["outcome"] is None, one["faults"]) for one in on.alice.truth["requests"]] == [
            (False, ["ack_lost"]),
            (True, ["ack_lost"]),
        ]
    async with floor("at time 0 do ack_lost path=/api/v3/order") as on:
        waiting = asyncio.create_task(on.alice.order(newClientOrderId="rest"))
        await until(lambda: on.alice.truth["openOrders"])
        await on.play(30)
        assert not waiting.done(), "the connection stays open without an answer"
        assert (await on.alice.rest("GET", "order", origClientOrderId="rest")).json()["status"] == "NEW"
        waiting.cancel()


async def ack_late() -> None:
    async with floor("at request 1 of order.place do ack_late delay_s=2") as on:
        talk = await on.talk()
        late = await talk.sent("order.place", **limit("SELL", "100", newClientOrderId="late"))
        await on.bob.order("BUY", "100", timeInForce="IOC")
        await on.play(1.99)
        assert talk.answer_to(late) is None
        assert talk.executions == [("NEW", "late"), ("TRADE", "late")], "the fill comes before the acknowledgement"
        await on.play(0.01)
        assert talk.answer_to(late)["result"]["status"] == "NEW", "the answer is that of the instant of the order"
    async with floor("at request 1 of /api/v3/order do ack_late undone=1") as on:
        waiting = asyncio.create_task(on.alice.order())
        await until(lambda: on.alice.truth["requests"])
        await on.play(0.5)
        assert not waiting.done()
        await on.play(0.5)
        answer = await waiting
        assert (answer.status_code, answer.json()["code"]) == (504, -1007)
        assert on.alice.truth["orders"] == []


async def error() -> None:
    for code in (-1006, -1007, -1013, -1015, -1021, -2010, -2011, -4000):
        wanted = (error_of(code).http_status, error_of(code).content())
        for undone in (0, 1):
            async with floor(f"at time 0 do error code={code} n=2 undone={undone} path=order.place") as on:
                talk = await on.talk()
                for name in ("one", "two"):
                    answer = await talk.order("order.place", **limit(newClientOrderId=name))
                    assert (answer["status"], answer["error"]) == wanted
                assert (await talk.order("order.place", **limit(newClientOrderId="three")))["status"] == 200
                done = [one["clientOrderId"] for one in on.alice.truth["openOrders"]]
                assert done == (["three"] if undone else ["one", "two", "three"])
    async with floor("at time 0 do error code=-2011 path='DELETE /api/v3/order'") as on:
        assert (await on.alice.order(newClientOrderId="rests")).status_code == 200
        answer = await on.alice.rest("DELETE", "order", origClientOrderId="rests")
        assert (answer.status_code, answer.json()["code"]) == (400, -2011)
        assert on.alice.truth["openOrders"] == []
        outcome = on.alice.truth["requests"][-1]["outcome"]
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
        async with floor("at time 0 do fill_on_cancel") as on:
            talk = await on.talk()
            await on.bob.order(price="99", qty="3")
            await talk.order("order.place", **limit(newClientOrderId="mine"))
            answer = await talk.order(method, **given)
            assert answer["error"]["code"] == expected
            assert talk.executions == [("NEW", "mine"), ("TRADE", "mine")]
            reports = [place for place, one in enumerate(talk.got) if one.get("event", {}).get("x") == "TRADE"]
            assert reports[0] < talk.got.index(answer), "the fill was there first"
            assert on.alice.truth["orders"][0]["status"] == "FILLED"
            assert [one["qty"] for one in on.bob.truth["trades"]] == ["3.00000000"], "who stood before it traded, too"
    async with floor("at time 0 do fill_on_cancel share=0.25") as on:
        talk = await on.talk()
        assert (await talk.order("order.cancel", origClientOrderId="none"))["error"]["code"] == -2011
        await talk.order("order.place", **limit(newClientOrderId="mine"))
        result = (await talk.order("order.cancel", **which))["result"]
        assert (result["status"], result["executedQty"]) == ("CANCELED", "0.25000000")


CASES: dict[str, Case] = {case.__name__: case for case in (ack_lost, ack_late, error, fill_on_cancel)}


@pytest.mark.parametrize("name", CASES)
def test_a_sender_sees_the_fault_that_its_row_names(name: str) -> None:
    """An outcome that is unknown to the client is known to the exchange; the two must be distinguished."""
    played(CASES[name])


@pytest.mark.parametrize(
    ("code", "undone", "done"), [(503, 0, True), (503, 1, False), (429, 0, False), (418, 0, False)]
)
def test_a_status_says_nothing_or_no(code: int, undone: int, done: bool) -> None:
    """After 5xx the order may rest or not; who is refused for coming too often has no order."""

    async def scenario() -> None:
        fault = f"do status code={code} undone={undone} retry_after=7"
        async with floor(f"at time 0 {fault} path=order.place\nat time 0 {fault} path=/api/v3/order") as on:
            talk = await on.talk()
            answer = await talk.order("order.place", **limit(newClientOrderId="ws"))
            assert answer["status"] == code
            if code < 500:
                at = on.box.scheduler.done_us // 1_000
                assert answer["error"]["data"] == {"serverTime": at, "retryAfter": at + 7_000}
            response = await on.alice.order(newClientOrderId="rest")
            assert (response.status_code, response.headers["Retry-After"]) == (code, "7")
            names = ["ws", "rest"] if done else []
            assert [one["clientOrderId"] for one in on.alice.truth["openOrders"]] == names
            assert [one["faults"] for one in on.alice.truth["requests"]] == [["status"]] * 2
            for name in ("a", "b"):
                assert (await talk.order("order.place", **limit(newClientOrderId=name)))["status"] == 200
            assert (await on.alice.order()).status_code == 200

    played(scenario)


def test_a_path_means_whole_words_of_a_method_and_what_changes_orders() -> None:
    """``order.cancel`` is not ``order.cancelReplace``; a REST path without a verb is no question."""

    async def scenario() -> None:
        script = "\n".join(
            f"at time 0 do error code={code} path={path}"
            for code, path in ((-1006, "order.cancel"), (-1007, "/api/v3/order"), (-1021, "'GET /api/v3/openOrders'"))
        )
        async with floor(script) as on:
            talk = await on.talk()
            placed = await talk.order("order.place", **limit(newClientOrderId="one"))
            assert placed["status"] == 200
            replace = {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrigClientOrderId": "one"}
            assert (await talk.order("order.cancelReplace", **limit(), **replace))["status"] == 200
            order_id = on.alice.truth["openOrders"][0]["orderId"]
            assert (await talk.order("order.cancel", orderId=order_id))["error"]["code"] == -1006
            assert (await on.alice.rest("GET", "order", orderId=order_id)).json()["status"] == "CANCELED"
            assert (await on.alice.rest("GET", "openOrders")).json()["code"] == -1021
            assert (await on.alice.order()).json()["code"] == -1007
            assert (await on.alice.order()).status_code == 200

    played(scenario)


def test_a_question_can_fail_as_well() -> None:
    """A query for the truth after a fault may meet the next one."""

    async def scenario() -> None:
        async with floor("at request 2 of order.status do error code=-1007") as on:
            talk = await on.talk()
            codes = [(await talk.order("order.status", orderId=1))["error"]["code"] for _ in range(3)]
            assert codes == [-2013, -1007, -2013]

    played(scenario)


def test_faults_of_answers_act_after_the_order() -> None:
    """A reset instead of an answer leaves an order behind: only its client id can find it."""

    async def scenario() -> None:
        async with floor("at request 1 of /api/v3/order do reset_request") as on:
            with pytest.raises(httpx.ReadError):
                await on.alice.order(newClientOrderId="there")
            assert [one["clientOrderId"] for one in on.alice.truth["openOrders"]] == ["there"]

    played(scenario)


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
        async with floor(script, scenario="large_tick") as on:
            talk = await on.talk()
            for number in range(40):
                await talk.sent("order.place", **limit("BUY", "99.98", newClientOrderId=f"n{number}"))
                await on.play(0.1)
                if talk.ended:
                    await on.play(1.2)
                    talk = await on.talk()
                elif number % 3 == 0:
                    await talk.sent("order.cancel", origClientOrderId=f"n{number}")
            assert len(on.talks) == 2
            assert len(on.alice.truth["trades"]) > 3
            return [json.dumps(one.got) for one in on.talks] + [json.dumps(on.alice.truth)]

    assert asyncio.run(day()) == asyncio.run(day())


def test_with_a_running_clock_answers_are_late_by_its_seconds() -> None:
    """The same faults for a client of another process, on an exchange with a fixed time."""

    async def scenario() -> None:
        script = (
            "at request 1 of order.place do ack_late delay_s=4\nat request 1 of /api/v3/order do ack_late delay_s=4"
        )
        session = Session("SIMUSDT", day_of(LOCKSTEP_US), 24.0, 7, LOCKSTEP_US)
        box = Box(SCENARIOS["empty"](), session, speed=20, limits=False)
        box.inject(as_rules([script]))
        async with (
            asyncio.timeout(120),
            box.open(),
            httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as rest,
        ):
            on = Floor(box, rest)
            talk = await on.talk()
            try:
                for request in (talk.order("order.place", **limit()), on.alice.order()):
                    began_us = box.scheduler.done_us
                    await request
                    assert box.scheduler.done_us - began_us >= 4_000_000
                assert len(on.alice.truth["openOrders"]) == 2
            finally:
                talk.connection.transport.abort()
                await talk.reading

    asyncio.run(scenario())
