"""The WebSocket API, compared with the answers and events in the exchange's documentation."""

import json
from typing import Any

import pytest

from exchange_rig import ALICE, BOB, BUY, SELL, START_US, SYMBOL, Desk, Door, Talk
from mm.sim.wire.http_messages import Request
from mm.sim.wire.ws_api import ApiSession

MS = START_US // 1_000
LIMIT = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "100", "quantity": "1"}
WEIGHT = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000}


def talk(query: str = "") -> tuple[Door, Talk]:
    """Return an exchange and a WebSocket API session."""
    door = Door(Desk())
    return door, door.talk(query)


def test_answer_contains_request_id_and_used_weight() -> None:
    """Connecting has cost 2."""
    _, api = talk()
    assert api.ask("time") == {
        "id": "q",
        "status": 200,
        "result": {"serverTime": MS},
        "rateLimits": [WEIGHT | {"count": 3}],
    }


@pytest.mark.parametrize("request_id", [1, "e2a85d9f-07a5", None, 12_345_678_901_234_567_890])
def test_any_request_id_is_echoed(request_id: object) -> None:
    """Numbers, texts and null."""
    _, api = talk()
    api.session.handle(json.dumps({"id": request_id, "method": "ping"}))
    assert api.sent[-1]["id"] == request_id


def test_method_with_version_prefix_is_accepted() -> None:
    """``v3/ping`` is ``ping``."""
    _, api = talk()
    assert api.ask("v3/ping")["result"] == {}


def test_rate_limits_in_answers_can_be_disabled() -> None:
    """By the address for all requests, by a parameter for one."""
    _, api = talk("returnRateLimits=false")
    assert "rateLimits" not in api.ask("ping")
    assert "rateLimits" in api.ask("ping", returnRateLimits=True)
    assert "rateLimits" not in talk()[1].ask("ping", returnRateLimits=False)


@pytest.mark.parametrize(
    ("method", "path", "parameters"),
    [
        ("exchangeInfo", "exchangeInfo", {"symbols": [SYMBOL]}),
        ("depth", "depth", {"symbol": SYMBOL, "limit": 5}),
        ("trades.recent", "trades", {"symbol": SYMBOL}),
        ("trades.historical", "historicalTrades", {"symbol": SYMBOL, "fromId": 1}),
        ("trades.aggregate", "aggTrades", {"symbol": SYMBOL}),
        ("avgPrice", "avgPrice", {"symbol": SYMBOL}),
        ("ticker.price", "ticker/price", {"symbol": SYMBOL}),
        ("ticker.book", "ticker/bookTicker", {"symbols": [SYMBOL]}),
        ("ticker.24hr", "ticker/24hr", {"symbol": SYMBOL}),
    ],
)
def test_market_data_matches_rest(method: str, path: str, parameters: dict[str, Any]) -> None:
    """The same content, with the same parameters; lists are JSON lists here."""
    door, api = talk()
    door.desk.limit(ALICE, BUY, 10_000, 2_000)
    door.desk.market(BOB, SELL, 1_000)
    text = {name: value if isinstance(value, str | int) else json.dumps(value) for name, value in parameters.items()}
    assert api.ask(method, **parameters)["result"] == door.get(path, **text)


def test_time_unit_of_address_gives_microseconds() -> None:
    """timeUnit applies to answers and events."""
    door, api = talk("timeUnit=MICROSECOND")
    door.desk.us += 7
    assert api.ask("time")["result"] == {"serverTime": START_US + 7}
    api.signed(ALICE, "userDataStream.subscribe.signature")
    assert api.signed(ALICE, "order.place", **LIMIT)["result"]["transactTime"] == START_US + 7
    assert [event["E"] for event in api.events] == [START_US + 7] * 2


def test_order_is_placed_queried_amended_and_cancelled() -> None:
    """Answers about orders contain the order counts as well."""
    _, api = talk()
    placed = api.signed(ALICE, "order.place", **LIMIT)
    assert (placed["result"]["status"], placed["result"]["fills"]) == ("NEW", [])
    assert [(one["rateLimitType"], one["intervalNum"], one["count"]) for one in placed["rateLimits"]] == [
        ("ORDERS", 10, 1),
        ("ORDERS", 1, 1),
        ("REQUEST_WEIGHT", 1, 3),
    ]
    which = {"symbol": SYMBOL, "orderId": 1}
    assert api.signed(ALICE, "order.status", **which)["result"]["origQty"] == "1.00000000"
    amended = api.signed(ALICE, "order.amend.keepPriority", **which, newQty="0.5")
    assert amended["result"]["amendedOrder"]["qty"] == "0.50000000"
    assert [one["orderId"] for one in api.signed(ALICE, "openOrders.status", symbol=SYMBOL)["result"]] == [1]
    assert api.signed(ALICE, "order.cancel", **which)["result"]["status"] == "CANCELED"
    assert api.signed(ALICE, "order.test", **LIMIT)["result"] == {}
    api.signed(ALICE, "order.place", **LIMIT)
    assert [one["orderId"] for one in api.signed(ALICE, "openOrders.cancelAll", symbol=SYMBOL)["result"]] == [2]
    assert api.signed(ALICE, "account.status")["result"]["uid"] == ALICE
    assert api.signed(ALICE, "myTrades", symbol=SYMBOL)["result"] == []


def test_failed_cancel_replace_contains_both_results() -> None:
    """Status 400, with ``data`` inside ``error``."""
    _, api = talk()
    parameters = LIMIT | {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": 77}
    answer = api.signed(ALICE, "order.cancelReplace", **parameters)
    assert answer["status"] == 400
    assert answer["error"] == {
        "code": -2022,
        "msg": "Order cancel-replace failed.",
        "data": {
            "cancelResult": "FAILURE",
            "newOrderResult": "NOT_ATTEMPTED",
            "cancelResponse": {"code": -2011, "msg": "Unknown order sent."},
            "newOrderResponse": None,
        },
    }


def test_rate_limit_errors_contain_retry_after() -> None:
    """429 and 418 contain serverTime and retryAfter."""
    door, api = talk()
    for _ in range(24):
        api.ask("depth", symbol=SYMBOL, limit=5_000)
    refused = api.ask("ping")
    assert (refused["status"], refused["error"]["code"]) == (429, -1003)
    assert refused["error"]["data"] == {"serverTime": MS, "retryAfter": MS + 60_000}
    for _ in range(10):
        banned = api.ask("ping")
    assert (banned["status"], banned["error"]["data"]["retryAfter"]) == (418, MS + 120_000)
    assert door.raw("GET", "ping").status == 418
    late = Talk(door, "")
    assert late.ask("ping")["status"] == 418


def test_session_logon_with_ed25519() -> None:
    """Afterwards requests need a timestamp, but no key and no signature; another key may still be used."""
    door, api = talk()
    door.desk.us += 3_000
    status = api.signed(ALICE, "session.logon", ed25519=True)["result"]
    assert status == {
        "apiKey": door.keys[ALICE].key,
        "authorizedSince": MS + 3,
        "connectedSince": MS,
        "returnRateLimits": True,
        "serverTime": MS + 3,
        "userDataStream": False,
    }
    now = {"timestamp": MS + 3}
    assert api.ask("account.status", **now)["result"]["uid"] == ALICE
    assert api.signed(BOB, "account.status")["result"]["uid"] == BOB
    assert api.ask("account.status", timestamp=MS - 60_000)["error"]["code"] == -1021
    assert api.ask("session.status")["result"] == status
    assert api.ask("session.logout")["result"]["apiKey"] is None
    assert api.ask("account.status", **now)["error"] == {
        "code": -1102,
        "msg": "Mandatory parameter 'apiKey' was not sent, was empty/null, or malformed.",
    }


def test_session_logon_rejects_hmac() -> None:
    """Session authentication supports only Ed25519."""
    assert talk()[1].signed(ALICE, "session.logon")["error"]["code"] == -1022


def test_user_data_stream_requires_logon_or_signature() -> None:
    """Each subscription has its own number, and no account has two."""
    door, api = talk()
    refused = api.ask("userDataStream.subscribe")
    assert (refused["status"], refused["error"]["code"]) == (401, -1002)
    api.signed(ALICE, "session.logon", ed25519=True)
    assert api.ask("userDataStream.subscribe")["result"] == {"subscriptionId": 0}
    assert api.ask("userDataStream.subscribe")["error"]["code"] == -2035
    assert api.signed(BOB, "userDataStream.subscribe.signature")["result"] == {"subscriptionId": 1}
    assert api.ask("session.subscriptions")["result"] == [{"subscriptionId": 0}, {"subscriptionId": 1}]
    assert api.ask("session.status")["result"]["userDataStream"] is True
    door.desk.limit(BOB, SELL, 10_000, 1_000)
    door.desk.limit(ALICE, BUY, 10_000, 1_000)
    events = [(one["subscriptionId"], one["event"]["e"], one["event"].get("x")) for one in api.sent if "event" in one]
    report, position = "executionReport", "outboundAccountPosition"
    assert events == [
        (1, report, "NEW"),
        (1, position, None),
        (0, report, "NEW"),
        (0, report, "TRADE"),
        (1, report, "TRADE"),
        (0, position, None),
        (1, position, None),
    ]


def test_subscription_ends_on_unsubscribe_or_logout() -> None:
    """eventStreamTerminated is its last event."""
    door, api = talk()
    api.signed(ALICE, "session.logon", ed25519=True)
    api.ask("userDataStream.subscribe")
    api.signed(BOB, "userDataStream.subscribe.signature")
    api.ask("session.logout")
    assert api.sent[-1] == {"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": MS}}
    assert api.ask("userDataStream.unsubscribe", subscriptionId=7)["error"]["code"] == -2036
    assert api.ask("userDataStream.unsubscribe", subscriptionId=1)["result"] == {}
    assert api.sent[-1] == {"subscriptionId": 1, "event": {"e": "eventStreamTerminated", "E": MS}}
    assert api.ask("userDataStream.unsubscribe")["error"]["code"] == -2036
    count = len(api.events)
    door.desk.limit(ALICE, BUY, 10_000, 1_000)
    assert len(api.events) == count


def test_closed_session_receives_no_events() -> None:
    """The exchange drops the session of a closed connection."""
    door, api = talk()
    api.signed(ALICE, "userDataStream.subscribe.signature")
    api.session.close()
    sent = len(api.sent)
    door.desk.limit(ALICE, BUY, 10_000, 1_000)
    assert len(api.sent) == sent


def test_answer_precedes_events_of_the_request() -> None:
    """A client reads the answer first after its request."""
    _, api = talk()
    api.signed(ALICE, "userDataStream.subscribe.signature")
    api.sent.clear()
    api.signed(ALICE, "order.place", **LIMIT)
    assert ["status" in one for one in api.sent] == [True, False, False]


def test_handshake_over_weight_limit_is_accepted() -> None:
    """The first response reports the limit."""
    door = Door(Desk())
    for _ in range(24):
        door.get("depth", symbol=SYMBOL, limit=5_000)
    sent: list[dict[str, Any]] = []
    ApiSession(door.api, sent.append, Request("GET", "/ws-api/v3")).handle('{"id": 1, "method": "ping"}')
    assert sent[0]["status"] == 429
