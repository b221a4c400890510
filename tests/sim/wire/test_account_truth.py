"""The true state of a user, by control call and in process, against the answers of the API to the user."""

import asyncio
import json

import pytest

from exchange_rig import ALICE, BOB, BUY, SELL, SYMBOL, Desk, Door
from mm.sim.wire.account_truth import PARTS, AccountTruth, NoSuchUser
from mm.sim.wire.box import Box

LIMIT = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "100", "quantity": "1"}


def busy_door() -> Door:
    """Return an exchange whose users have traded, cancelled and been rejected."""
    door = Door(Desk())
    talk = door.talk()
    talk.signed(ALICE, "order.place", **LIMIT | {"newClientOrderId": "first"})
    door.desk.us += 1_500
    door.ask(ALICE, "POST", "order", **LIMIT | {"price": "99"})
    door.ask(BOB, "POST", "order", **LIMIT | {"side": "SELL", "quantity": "0.4"})
    door.desk.us += 1_500
    talk.signed(ALICE, "order.cancel", symbol=SYMBOL, origClientOrderId="first")
    talk.signed(ALICE, "order.cancel", symbol=SYMBOL, origClientOrderId="never")
    talk.signed(ALICE, "order.status", symbol=SYMBOL, orderId=1)
    return door


def test_truth_matches_api_answers() -> None:
    """A client compares its own books with both in the same format."""
    door = busy_door()
    truth = door.api.truth.content("alice")
    assert truth["openOrders"] == door.ask(ALICE, "GET", "openOrders", symbol=SYMBOL)
    assert truth["orders"] == door.ask(ALICE, "GET", "allOrders", symbol=SYMBOL)
    assert truth["trades"] == door.ask(ALICE, "GET", "myTrades", symbol=SYMBOL)
    assert truth["balances"] == door.ask(ALICE, "GET", "account")["balances"]
    assert [one["quantity"] for one in (r["params"] for r in door.api.truth.content("bob")["requests"])] == ["0.4"]


def test_requests_are_kept_with_instants_and_outcomes() -> None:
    """With rejected requests, from REST and WebSocket, and without secrets."""
    door = busy_door()
    requests = door.api.truth.content("alice")["requests"]
    start = requests[0]["us"]
    assert [(one["us"] - start, one["via"], one["method"], one["outcome"]["status"]) for one in requests] == [
        (0, "ws", "order.place", 200),
        (1_500, "rest", "order.place", 200),
        (3_000, "ws", "order.cancel", 200),
        (3_000, "ws", "order.cancel", 400),
    ]
    assert requests[-1]["outcome"]["error"] == {"code": -2011, "msg": "Unknown order sent."}
    assert all(one["faults"] == [] for one in requests)
    assert door.api.truth.content("alice", since_us=start + 1_501)["requests"] == requests[2:]
    text = json.dumps(requests)
    assert door.keys[ALICE].key not in text
    assert "signature" not in text


def test_events_match_an_undisturbed_stream() -> None:
    """In order, each with its instant, in the requested unit."""
    door = Door(Desk())
    talk = door.talk("timeUnit=MICROSECOND")
    talk.signed(ALICE, "userDataStream.subscribe.signature")
    door.desk.limit(ALICE, BUY, 10_000, 2_000)
    door.desk.us += 1_234
    door.desk.market(BOB, SELL, 500)
    events = door.api.truth.content("alice", micro=True)["events"]
    assert [{name: value for name, value in one.items() if name != "us"} for one in events] == talk.events
    assert [one["us"] for one in events] == [one["E"] for one in events]


def test_since_us_leaves_out_earlier_entries() -> None:
    """The instant itself is included; open orders and balances are the current ones in any case."""
    door = busy_door()
    whole = door.api.truth.content("alice", micro=True)
    for since_us in {one["updateTime"] for one in whole["orders"]} | {one["time"] for one in whole["trades"]}:
        late = door.api.truth.content("alice", micro=True, since_us=since_us)
        assert late["orders"] == [one for one in whole["orders"] if one["updateTime"] >= since_us]
        assert late["trades"] == [one for one in whole["trades"] if one["time"] >= since_us]
        assert late["events"] == [one for one in whole["events"] if one["us"] >= since_us]
        assert (late["openOrders"], late["balances"]) == (whole["openOrders"], whole["balances"])
    empty = door.api.truth.content("alice", since_us=whole["now_us"] + 1)
    assert [empty[name] for name in ("orders", "trades", "events", "requests")] == [[], [], [], []]


def test_parts_that_are_not_asked_for_are_left_out() -> None:
    """An hour's account is long; balances and time are always there."""
    door = busy_door()
    whole = door.api.truth.content("alice")
    for names in ((), ("trades",), ("requests", "openOrders"), PARTS):
        found = door.api.truth.content("alice", parts=names)
        left_out = set(PARTS).difference(names)
        assert found == {name: value for name, value in whole.items() if name not in left_out}
        assert found.keys() == whole.keys() - left_out


def test_only_newest_requests_and_events_are_kept() -> None:
    """An hour of quoting must not fill the memory."""
    door = Door(Desk())
    door.api.truth = AccountTruth(door.desk.exchange, {False: door.api.texts[False]}, keep=3)
    for number in range(5):
        door.ask(ALICE, "POST", "order", **LIMIT | {"newClientOrderId": f"n{number}"})
    truth = door.api.truth.content("alice")
    assert [one["params"]["newClientOrderId"] for one in truth["requests"]] == ["n2", "n3", "n4"]
    assert len(truth["events"]) == 3


def test_control_call_returns_the_same_truth() -> None:
    """From another process as in this one; an unknown user is rejected with a list of the users."""
    import httpx

    async def scenario() -> None:
        async with (
            asyncio.timeout(120),
            Box.in_lockstep("large_tick", seed=3).open() as box,
            httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as rest,
        ):
            await box.advance(seconds=1)
            for unit, micro in (({}, False), ({"timeUnit": "MICROSECOND"}, True)):
                content = (await rest.get("/sim/account", params={"user": "alice"} | unit)).json()
                assert content == box.account("alice", micro=micro)
            answer = await rest.get("/sim/account?user=carol")
            assert answer.status_code == 400
            assert "user=carol: unknown user; known: alice, bob" in answer.json()["msg"]
            assert (await rest.get("/sim/account?user=bob&timeUnit=FORTNIGHT")).status_code == 400
            with pytest.raises(NoSuchUser):
                box.account("")

    asyncio.run(scenario())
