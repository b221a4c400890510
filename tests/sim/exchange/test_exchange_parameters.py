"""Invalid input: the exchange returns a code and a message, and the book stays unchanged."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exchange_rig import ALICE, BOB, BUY, SELL, START_US, SYMBOL, Desk, Door, hmac_hex
from mm.sim.exchange.parameters import PARAMETERS
from mm.sim.wire.spot import OPERATIONS

MS = START_US // 1_000
LIMIT = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "100", "quantity": "1"}
MARKET = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "1"}
MAKER = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT_MAKER", "price": "100", "quantity": "1"}
GONE = object()
NUMBER = r"'^([0-9]{1,20})(\.[0-9]{1,20})?$'"


def changed(order: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return an order with other parameters; GONE removes one."""
    return {name: value for name, value in (order | changes).items() if value is not GONE}


def mandatory(name: str) -> str:
    """Return the message of a missing parameter."""
    return f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."


def illegal(name: str, legal: str = NUMBER) -> str:
    """Return the message of a parameter with illegal characters."""
    return f"Illegal characters found in parameter '{name}'; legal range is {legal}."


def unwanted(name: str) -> str:
    """Return the message of a parameter that does not go with the order's type."""
    return f"Parameter '{name}' sent when not required."


@pytest.mark.parametrize(
    ("parameters", "code", "msg"),
    [
        (changed(LIMIT, symbol=GONE), -1102, mandatory("symbol")),
        (changed(LIMIT, symbol="BTCUSDT"), -1121, "Invalid symbol."),
        (changed(LIMIT, symbol="simusdt"), -1100, illegal("symbol", "'^[-.0-9A-Z_\\x80-\\U0010ffff]{1,20}$'")),
        (changed(LIMIT, symbol="SIM USDT"), -1100, illegal("symbol", "'^[-.0-9A-Z_\\x80-\\U0010ffff]{1,20}$'")),
        (changed(LIMIT, symbol="SIMUSDT\n"), -1100, illegal("symbol", "'^[-.0-9A-Z_\\x80-\\U0010ffff]{1,20}$'")),
        (changed(LIMIT, side="buy"), -1117, "Invalid side."),
        (changed(LIMIT, side=GONE), -1102, mandatory("side")),
        (changed(LIMIT, type="LIMITED"), -1116, "Invalid orderType."),
        (changed(LIMIT, type="STOP_LOSS"), -1013, "Stop loss orders are not supported for this symbol."),
        (changed(LIMIT, type="TAKE_PROFIT"), -1013, "Take profit orders are not supported for this symbol."),
        (changed(LIMIT, icebergQty="0.5"), -1013, "Iceberg orders are not supported for this symbol."),
        (changed(LIMIT, trailingDelta="10"), -1013, "Trailing stop orders are not supported for this symbol."),
        (changed(LIMIT, timeInForce="GTX"), -1115, "Invalid timeInForce."),
        (changed(LIMIT, timeInForce=GONE), -1102, mandatory("timeInForce")),
        (changed(LIMIT, price=GONE), -1102, mandatory("price")),
        (changed(LIMIT, quantity=GONE), -1102, mandatory("quantity")),
        (changed(LIMIT, quantity=""), -1105, "Parameter 'quantity' was empty."),
        (changed(LIMIT, quantity="0"), -1013, "Invalid quantity."),
        (changed(LIMIT, quantity="0.00000000"), -1013, "Invalid quantity."),
        (changed(LIMIT, quantity="-1"), -1100, illegal("quantity")),
        (changed(LIMIT, quantity="1e3"), -1100, illegal("quantity")),
        (changed(LIMIT, quantity="NaN"), -1100, illegal("quantity")),
        (changed(LIMIT, quantity="inf"), -1100, illegal("quantity")),
        (changed(LIMIT, quantity="1,5"), -1100, illegal("quantity")),
        (changed(LIMIT, quantity="١"), -1100, illegal("quantity")),
        (changed(LIMIT, quantity=".5"), -1100, illegal("quantity")),
        (changed(LIMIT, quantity="9" * 21), -1100, illegal("quantity")),
        (changed(LIMIT, quantity="99999999999999999999"), -1108, "Parameter 'quantity' overflowed."),
        (changed(LIMIT, quantity="0.000000001"), -1111, "Parameter 'quantity' has too much precision."),
        (changed(LIMIT, quantity="0.0005"), -1013, "Filter failure: LOT_SIZE"),
        (changed(LIMIT, quantity="10000000"), -1013, "Filter failure: LOT_SIZE"),
        (changed(LIMIT, price="0"), -1013, "Invalid price."),
        (changed(LIMIT, price="100.005"), -1013, "Filter failure: PRICE_FILTER"),
        (changed(LIMIT, price="1000000.01"), -1013, "Filter failure: PRICE_FILTER"),
        (changed(LIMIT, price="501"), -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        (changed(LIMIT, price="20", quantity="0.2"), -1013, "Filter failure: NOTIONAL"),
        (changed(LIMIT, quantity="100000"), -1013, "Filter failure: NOTIONAL"),
        (changed(LIMIT, quantity="20000"), -2010, "Account has insufficient balance for requested action."),
        (changed(LIMIT, stopPrice="99"), -1106, unwanted("stopPrice")),
        (changed(LIMIT, quoteOrderQty="99"), -1106, unwanted("quoteOrderQty")),
        (changed(LIMIT, newClientOrderId="a b"), -1100, illegal("newClientOrderId", "'^[a-zA-Z0-9-_]{1,36}$'")),
        (changed(LIMIT, newClientOrderId="a" * 37), -1100, illegal("newClientOrderId", "'^[a-zA-Z0-9-_]{1,36}$'")),
        (changed(LIMIT, newOrderRespType="ALL"), -1130, "Data sent for parameter 'newOrderRespType' is not valid."),
        (changed(LIMIT, selfTradePreventionMode="TRANSFER"), -1013,
         "This symbol does not allow the specified self-trade prevention mode."),
        (changed(LIMIT, selfTradePreventionMode="ALL"), -1130,
         "Data sent for parameter 'selfTradePreventionMode' is not valid."),
        (changed(LIMIT, strategyType="999999"), -1134, "`strategyType` was less than 1000000."),
        (changed(LIMIT, color="red"), -1104,
         "Not all sent parameters were read; read '8' parameter(s) but was sent '9'."),
        (changed(MARKET, quantity=GONE), -1102,
         "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"),
        (changed(MARKET, quoteOrderQty="10"), -1106, unwanted("quoteOrderQty")),
        (changed(MARKET, price="100"), -1106, unwanted("price")),
        (changed(MARKET, timeInForce="GTC"), -1106, unwanted("timeInForce")),
        (changed(MARKET, quantity="600000"), -1013, "Filter failure: MARKET_LOT_SIZE"),
        (changed(MARKET, quantity=GONE, quoteOrderQty="4.99"), -1013, "Filter failure: NOTIONAL"),
        (changed(MAKER, timeInForce="GTC"), -1106, unwanted("timeInForce")),
        (changed(MAKER, price="100.10"), -2010, "Order would immediately match and take."),
    ],
)  # fmt: skip
def test_invalid_order_is_rejected_with_the_exchanges_message(parameters: dict[str, Any], code: int, msg: str) -> None:
    """By REST and by the WebSocket API; book, balances and counts stay unchanged."""
    door = Door(Desk())
    door.desk.limit(BOB, SELL, 10_010, 1_000)
    before = len(door.desk.rows), door.desk.money(ALICE)
    response = door.signed(ALICE, "POST", "order", **parameters)
    assert (response.status, json.loads(response.body)) == (400, {"code": code, "msg": msg})
    answer = door.talk().signed(ALICE, "order.place", **parameters)
    assert (answer["status"], answer["error"]["code"]) == (400, code)
    refusals = [row for row in door.desk.rows[before[0] :] if row[1] != 8]
    assert (refusals, door.desk.money(ALICE), door.desk.reported[ALICE]) == ([], before[1], [])
    assert door.desk.exchange.accounts[ALICE].count.counts(door.desk.us) == [0, 0]


@pytest.mark.parametrize(
    ("method", "path", "parameters", "code", "msg"),
    [
        ("DELETE", "order", {"symbol": SYMBOL}, -1102,
         "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"),
        ("DELETE", "order", {"symbol": SYMBOL, "orderId": 9}, -2011, "Unknown order sent."),
        ("DELETE", "order", {"symbol": SYMBOL, "orderId": "x"}, -1100, illegal("orderId", "'^[0-9]{1,20}$'")),
        ("DELETE", "order", {"symbol": SYMBOL, "orderId": "9" * 20}, -1108, "Parameter 'orderId' overflowed."),
        ("DELETE", "order", {"symbol": SYMBOL, "orderId": 1, "cancelRestrictions": "ONLY"}, -1145,
         "Invalid cancelRestrictions"),
        ("GET", "order", {"symbol": SYMBOL, "orderId": 9}, -2013, "Order does not exist."),
        ("PUT", "order/amend/keepPriority", {"symbol": SYMBOL, "orderId": 9, "newQty": "1"}, -2038,
         "Unknown order sent."),
        ("PUT", "order/amend/keepPriority", {"symbol": SYMBOL, "orderId": 1}, -1102, mandatory("newQty")),
        ("PUT", "order/amend/keepPriority", {"symbol": SYMBOL, "orderId": 1, "newQty": "0"}, -1013,
         "Invalid quantity."),
        ("PUT", "order/amend/keepPriority", {"symbol": SYMBOL, "orderId": 1, "newQty": "0.01"}, -1013,
         "Filter failure: NOTIONAL"),
        ("POST", "order/cancelReplace", LIMIT, -1102, mandatory("cancelReplaceMode")),
        ("POST", "order/cancelReplace", LIMIT | {"cancelReplaceMode": "STOP_ON_FAILURE"}, -1102,
         "Param 'cancelOrigClientOrderId' or 'cancelOrderId' must be sent, but both were empty/null!"),
        ("GET", "allOrders", {"symbol": SYMBOL, "limit": 0}, -1130, "Data sent for parameter 'limit' is not valid."),
        ("GET", "account", {"omitZeroBalances": "yes"}, -1130,
         "Data sent for parameter 'omitZeroBalances' is not valid."),
        ("GET", "openOrders", {"symbol": "BTCUSDT"}, -1121, "Invalid symbol."),
    ],
)  # fmt: skip
def test_invalid_signed_request_returns_error_and_keeps_order(
    method: str, path: str, parameters: dict[str, Any], code: int, msg: str
) -> None:
    """The resting order stays."""
    door = Door(Desk())
    door.desk.limit(ALICE, BUY, 10_000, 1_000)
    assert door.ask(ALICE, method, path, **parameters) == {"code": code, "msg": msg}
    assert door.desk.exchange.depth(1)[1] == [("100.00000000", "1.00000000")]


@pytest.mark.parametrize(
    ("target", "code", "msg"),
    [
        ("ping?a=1", -1101, "Too many parameters; expected '0' and received '1'."),
        (f"depth?symbol={SYMBOL}&color=red", -1104,
         "Not all sent parameters were read; read '1' parameter(s) but was sent '2'."),
        (f"depth?symbol={SYMBOL}&symbol={SYMBOL}", -1101, "Duplicate values for a parameter detected."),
        (f"depth?symbol={SYMBOL}&limit=-1", -1100, illegal("limit", "'^[0-9]{1,20}$'")),
        (f"depth?symbol={SYMBOL}&limit=0", -1130, "Data sent for parameter 'limit' is not valid."),
        ("depth", -1102, mandatory("symbol")),
        ("depth?symbol=", -1105, "Parameter 'symbol' was empty."),
        (f"aggTrades?symbol={SYMBOL}&fromId=1&startTime=1", -1128, "Combination of optional parameters invalid."),
        (f"ticker/price?symbol={SYMBOL}&symbols=[]", -1128, "Combination of optional parameters invalid."),
        ("ticker/price?symbols=" + "[" * 100_000, -1100, "Illegal characters found in parameter 'symbols'; "
         "legal range is '^\\[\".*\"\\]$'."),
    ],
)  # fmt: skip
def test_invalid_market_data_request_returns_error(target: str, code: int, msg: str) -> None:
    """Status 400."""
    response = Door(Desk()).raw("GET", target)
    assert (response.status, json.loads(response.body)) == (400, {"code": code, "msg": msg})


def test_signed_request_needs_valid_key_signature_and_timestamp() -> None:
    """No key, an unknown key, no signature, that of another key, a changed parameter, a stale timestamp."""
    door = Door(Desk())
    alice, bob = door.keys[ALICE], door.keys[BOB]
    query = urlencode(LIMIT | {"timestamp": MS})
    good = hmac_hex(alice.secret, query)
    stale = urlencode(LIMIT | {"timestamp": MS - 60_001})

    def send(text: str, key: str = alice.key) -> tuple[int, int]:
        response = door.raw("POST", f"order?{text}", {"x-mbx-apikey": key} if key else {})
        return response.status, json.loads(response.body).get("code", 0)

    assert send(f"{query}&signature={good}", "") == (401, -2014)
    assert send(f"{query}&signature={good}", "a" * 64) == (401, -2015)
    assert send(query) == (400, -1102)
    assert send(f"{query}&signature={hmac_hex(bob.secret, query)}") == (400, -1022)
    assert send(f"{query}&signature={good}", bob.key) == (400, -1022)
    assert send(f"{query.replace('quantity=1', 'quantity=2')}&signature={good}") == (400, -1022)
    assert send(f"{query}&signature={good}&recvWindow=1000") == (400, -1022)
    assert send(f"{stale}&signature={hmac_hex(alice.secret, stale)}") == (400, -1021)
    assert send(f"{query}&signature={good}&signature={good}") == (400, -1101)
    assert door.desk.rows == []
    assert send(f"{query}&signature={good}") == (200, 0)


def test_timestamp_of_second_clock_is_accepted() -> None:
    """Where the exchange's time runs fast or slow, the wall clock is accepted as well."""
    door = Door(Desk())
    door.extra_clocks = [START_US + 10**12]
    wall_ms = (START_US + 10**12) // 1_000
    assert door.signed(ALICE, "GET", "account", timestamp=wall_ms).status == 200
    assert door.signed(ALICE, "GET", "account", timestamp=wall_ms + 60_000).status == 400
    assert door.signed(ALICE, "GET", "account").status == 200


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", -1135),
        ("hello", -1135),
        ("[]", -1135),
        ("null", -1135),
        ("[" * 100_000, -1135),
        ('{"id": 1', -1135),
        ('{"id": NaN, "method": "ping"}', -1135),
        ('{"id": "\\ud800", "method": "ping"}', -1135),
        ('{"id": ' + "9" * 5_000 + ', "method": "ping"}', -1135),
        ('{"id": [1], "method": "ping"}', -1135),
        ('{"id": true, "method": "ping"}', -1135),
        ('{"id": 1}', -1135),
        ('{"id": 1, "method": 7}', -1135),
        ('{"id": 1, "method": "ping", "params": [1]}', -1135),
        ('{"id": 1, "method": "pong"}', -1020),
        ('{"id": 1, "method": "userDataStream.start"}', -1020),
        ('{"id": 1, "method": "ping", "params": {"a": 1}}', -1104),
        ('{"id": 1, "method": "depth", "params": {"symbol": null}}', -1105),
        ('{"id": 1, "method": "depth", "params": {"symbol": ["SIMUSDT"]}}', -1100),
        ('{"id": 1, "method": "account.status"}', -1102),
        ('{"id": 1, "method": "account.status", "params": {"apiKey": "x"}}', -2014),
    ],
)
def test_malformed_messages_return_error(text: str, code: int) -> None:
    """With the id if it is readable; the session continues."""
    api = Door(Desk()).talk()
    api.session.handle(text)
    assert api.sent[-1]["error"]["code"] == code
    assert api.sent[-1]["id"] in (None, 1)
    assert api.ask("ping")["status"] == 200


WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "0", "1", "-1", "1e5", "NaN", "0.00000001", "1" * 30, SYMBOL, "BUY", "LIMIT", "MARKET", "GTC"]
    ),
    st.sampled_from(["STOP_ON_FAILURE", "ALLOW_FAILURE", "true", "[]", '["SIMUSDT"]', "100", "1.5", "%", "&a=1"]),
)
NAMES = st.one_of(
    st.sampled_from(sorted(PARAMETERS)),
    st.text(max_size=5),
)
SENT = st.builds(
    lambda order, others: order | others,
    st.sampled_from([{}, LIMIT, MARKET, MAKER, LIMIT | {"cancelReplaceMode": "ALLOW_FAILURE", "cancelOrderId": "2"}]),
    st.dictionaries(NAMES, WORDS, max_size=4),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(OPERATIONS), SENT, st.booleans())
@example(OPERATIONS[0], {"\x00": "\ud7ff"}, False)
def test_random_requests_return_valid_answers(operation: Any, sent: dict[str, str], signs: bool) -> None:
    """Any parameters for any endpoint: an answer of the exchange, and consistent accounts and book."""
    door = Door(Desk(), limits=False)
    door.desk.limit(BOB, SELL, 10_010, 1_000)
    door.desk.limit(ALICE, BUY, 9_990, 1_000)
    method, path = operation.route
    query = urlencode((sent | {"timestamp": str(MS)}) if signs else sent)
    signed = f"{query}&signature={hmac_hex(door.keys[ALICE].secret, query)}" if signs else query
    response = door.raw(method, f"{path.removeprefix('/api/v3/')}?{signed}", {"x-mbx-apikey": door.keys[ALICE].key})
    content = json.loads(response.body)
    assert response.status in (200, 400, 401, 409)
    if response.status != 200:
        assert content["code"] < 0
        assert content["msg"]
    for account in door.desk.exchange.accounts.values():
        account.check()
    assert door.get("depth", symbol=SYMBOL)["lastUpdateId"] == door.desk.core.update_id


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40),
        JSON.map(json.dumps),
        st.tuples(st.sampled_from([one.method for one in OPERATIONS]), st.dictionaries(NAMES, JSON, max_size=8)).map(
            lambda one: json.dumps({"id": 1, "method": one[0], "params": one[1]})
        ),
    )
)
def test_random_messages_get_one_answer_each(text: str) -> None:
    """Any text gets one answer with a status, and the next request is answered as well."""
    door = Door(Desk(), limits=False)
    api = door.talk()
    api.session.handle(text)
    assert [one["status"] for one in api.sent] in ([200], [400], [401])
    assert api.ask("ping")["status"] == 200


def test_unencoded_base64_signature_is_rejected() -> None:
    """A plus sign in a query is a space; clients must percent-encode it."""
    door = Door(Desk())
    key = door.keys[ALICE]
    response = door.raw("GET", f"account?timestamp={MS}&signature={quote('a+b/c=')}", {"x-mbx-apikey": key.key})
    assert (response.status, json.loads(response.body)["code"]) == (400, -1022)
