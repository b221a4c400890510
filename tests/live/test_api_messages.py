"""Answers and events, by the examples of the exchange's documentation."""

import pytest

from mm.live.api_messages import (
    EXECUTION_EVENT,
    ORDER,
    REPLACE,
    TRADES,
    WS_MESSAGE,
    Fate,
    fate_of,
)
from mm.live.ledger import AccountFill
from mm.live.live_orders import OrderSeen


@pytest.mark.parametrize(
    ("status", "code", "fate"),
    [
        (200, 0, Fate.DONE),
        (400, -2010, Fate.REFUSED),
        (401, -2015, Fate.REFUSED),
        (409, -2021, Fate.REFUSED),
        (418, -1003, Fate.REFUSED),
        (429, -1015, Fate.REFUSED),
        (400, -1021, Fate.UNKNOWN),
        (503, -1008, Fate.REFUSED),
        (400, -1006, Fate.UNKNOWN),
        (400, -1007, Fate.UNKNOWN),
        (408, -1007, Fate.UNKNOWN),
        (500, 0, Fate.UNKNOWN),
        (502, 0, Fate.UNKNOWN),
        (503, 0, Fate.UNKNOWN),
        (504, -1000, Fate.UNKNOWN),
        (0, 0, Fate.UNKNOWN),
    ],
)
def test_what_an_answer_says_of_its_request(status: int, code: int, fate: Fate) -> None:
    """Whatever does not say that nothing was done may have been done."""
    assert fate_of(status, code) is fate


EXECUTION = b"""{"e":"executionReport","E":1499405658658,"s":"ETHBTC","c":"mUvoqJxFIILMdfAW5iGSOW","S":"BUY",
"o":"LIMIT","f":"GTC","q":"1.00000000","p":"0.10264410","P":"0.00000000","F":"0.00000000","g":-1,"C":"","x":"NEW","X":"NEW",
"r":"NONE","i":4293153,"l":"0.00000000","z":"0.00000000","L":"0.00000000","n":"0","N":null,"T":1499405658657,"t":-1,
"I":8641984,"w":true,"m":false,"M":false,"O":1499405658657,"Z":"0.00000000","Y":"0.00000000","Q":"0.00000000",
"W":1499405658657,"V":"NONE"}"""


def test_the_documented_execution_report() -> None:
    """Of a new order; no fill is in it."""
    event = EXECUTION_EVENT.decode(EXECUTION)
    assert event.seen(event.c, 5) == OrderSeen("mUvoqJxFIILMdfAW5iGSOW", 4293153, "NEW", 0, 5, 100_000_000)
    assert event.fill("x") is None


def test_a_trade_is_a_fill_in_the_exchanges_own_text() -> None:
    """Its stamp in ms or µs is the same instant."""
    for stamp in (b"1499405658657", b"1499405658657000"):
        raw = EXECUTION.replace(b'"x":"NEW","X":"NEW"', b'"x":"TRADE","X":"FILLED"').replace(b'"t":-1', b'"t":77')
        raw = raw.replace(b'"l":"0.00000000","z":"0.00000000","L":"0.00000000"', b'"l":"1.00","z":"1.00","L":"0.10"')
        raw = raw.replace(b'"n":"0","N":null,"T":1499405658657', b'"n":"0.001","N":"BNB","T":' + stamp)
        found = EXECUTION_EVENT.decode(raw).fill("own")
        assert found == AccountFill(77, 4293153, "own", 1, "0.10", "1.00", "0.001", "BNB", 1499405658657000, False)


def test_the_answer_to_a_cancel_names_the_order_by_its_first_name() -> None:
    """``clientOrderId`` is that of the cancel."""
    entry = ORDER.decode(
        b'{"symbol":"BTCUSDT","origClientOrderId":"ours","orderId":12,"orderListId":-1,"clientOrderId":"cancel",'
        b'"transactTime":1,"price":"1","origQty":"2","executedQty":"1.5","status":"CANCELED","side":"SELL"}'
    )
    assert entry.seen(3) == OrderSeen("ours", 12, "CANCELED", 150_000_000, 3, 200_000_000)


def test_an_acknowledgement_without_a_status_is_of_a_new_order() -> None:
    """The shortest of the three answers."""
    entry = ORDER.decode(b'{"symbol":"BTCUSDT","orderId":12,"orderListId":-1,"clientOrderId":"a","transactTime":1}')
    assert entry.seen(3).status == "NEW"


def test_the_two_halves_of_a_cancel_replace_may_be_null() -> None:
    """Not attempted."""
    parts = REPLACE.decode(
        b'{"cancelResult":"FAILURE","newOrderResult":"NOT_ATTEMPTED",'
        b'"cancelResponse":{"code":-2011,"msg":"Unknown order sent."},"newOrderResponse":null}'
    )
    assert (parts.cancelResult, bytes(parts.newOrderResponse)) == ("FAILURE", b"null")


def test_own_trades_as_they_are_listed() -> None:
    """Side and role come as booleans."""
    (trade,) = TRADES.decode(
        b'[{"symbol":"BNBBTC","id":28457,"orderId":100234,"orderListId":-1,"price":"4.00000100","qty":"12.00000000",'
        b'"quoteQty":"48.000012","commission":"10.10000000","commissionAsset":"BNB","time":1499865549590,'
        b'"isBuyer":false,"isMaker":true,"isBestMatch":true}]'
    )
    fill = trade.fill("a")
    assert (fill.trade_id, fill.side, fill.maker, fill.us) == (28457, -1, True, 1499865549590000)


def test_a_message_is_an_answer_or_an_event() -> None:
    """Events have no id, and answers no event."""
    answer = WS_MESSAGE.decode(b'{"id":7,"status":200,"result":{},"rateLimits":[{"rateLimitType":"ORDERS",'
                               b'"interval":"SECOND","intervalNum":10,"limit":50,"count":12}]}')  # fmt: skip
    assert (answer.id, answer.rateLimits[0].count, bytes(answer.event)) == (7, 12, b"")
    event = WS_MESSAGE.decode(b'{"subscriptionId":0,"event":{"e":"x"}}')
    assert (event.id, bytes(event.event)) == (None, b'{"e":"x"}')
