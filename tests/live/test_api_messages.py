"""Answers and events, decoded from the examples of the exchange's documentation."""

import pytest

from mm.live.venues.binance import WS_MESSAGE, outcome_of
from mm.live.venues.fills import AccountFill
from mm.live.venues.live_orders import OrderSeen, OrderState
from mm.live.venues.requests import Outcome
from mm.live.venues.spot_messages import EXECUTION_EVENT, ORDER, REPLACE, TRADES


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (200, 0, Outcome.DONE),
        (400, -2010, Outcome.REFUSED),
        (401, -2015, Outcome.REFUSED),
        (409, -2021, Outcome.REFUSED),
        (418, -1003, Outcome.REFUSED),
        (429, -1015, Outcome.REFUSED),
        (400, -1021, Outcome.UNKNOWN),
        (503, -1008, Outcome.REFUSED),
        (400, -1006, Outcome.UNKNOWN),
        (400, -1007, Outcome.UNKNOWN),
        (408, -1007, Outcome.UNKNOWN),
        (500, 0, Outcome.UNKNOWN),
        (502, 0, Outcome.UNKNOWN),
        (503, 0, Outcome.UNKNOWN),
        (504, -1000, Outcome.UNKNOWN),
        (0, 0, Outcome.UNKNOWN),
    ],
)
def test_outcome_follows_from_status_and_code_of_a_response(status: int, code: int, outcome: Outcome) -> None:
    """Unless the response excludes execution, the request may have been executed."""
    assert outcome_of(status, code) is outcome


EXECUTION = b"""{"e":"executionReport","E":1499405658658,"s":"ETHBTC","c":"mUvoqJxFIILMdfAW5iGSOW","S":"BUY",
"o":"LIMIT","f":"GTC","q":"1.00000000","p":"0.10264410","P":"0.00000000","F":"0.00000000","g":-1,"C":"","x":"NEW","X":"NEW",
"r":"NONE","i":4293153,"l":"0.00000000","z":"0.00000000","L":"0.00000000","n":"0","N":null,"T":1499405658657,"t":-1,
"I":8641984,"w":true,"m":false,"M":false,"O":1499405658657,"Z":"0.00000000","Y":"0.00000000","Q":"0.00000000",
"W":1499405658657,"V":"NONE"}"""


def test_documented_execution_report_decodes_as_new_order() -> None:
    """It contains no fill."""
    event = EXECUTION_EVENT.decode(EXECUTION)
    assert event.seen(event.c, 5) == OrderSeen(
        "mUvoqJxFIILMdfAW5iGSOW", 4293153, OrderState.LIVE, 0, 5, 100_000_000, 1_499_405_658_657_000
    )
    assert event.fill("x") is None


def test_trade_event_becomes_fill_with_exchange_text() -> None:
    """Timestamps in ms and in µs give the same instant."""
    for stamp in (b"1499405658657", b"1499405658657000"):
        raw = EXECUTION.replace(b'"x":"NEW","X":"NEW"', b'"x":"TRADE","X":"FILLED"').replace(b'"t":-1', b'"t":77')
        raw = raw.replace(b'"l":"0.00000000","z":"0.00000000","L":"0.00000000"', b'"l":"1.00","z":"1.00","L":"0.10"')
        raw = raw.replace(b'"n":"0","N":null,"T":1499405658657', b'"n":"0.001","N":"BNB","T":' + stamp)
        raw = raw.replace(b'"Y":"0.00000000"', b'"Y":"0.10000001"')
        found = EXECUTION_EVENT.decode(raw).fill("own")
        texts = ("0.10", "1.00", "0.001", "BNB")
        assert found == AccountFill(
            77, 4293153, "own", 1, *texts, us=1499405658657000, maker=False, quote_qty="0.10000001"
        )


def test_cancel_answer_identifies_order_by_original_client_id() -> None:
    """``clientOrderId`` is that of the cancel."""
    entry = ORDER.decode(
        b'{"symbol":"BTCUSDT","origClientOrderId":"ours","orderId":12,"orderListId":-1,"clientOrderId":"cancel",'
        b'"transactTime":1,"price":"1","origQty":"2","executedQty":"1.5","status":"CANCELED","side":"SELL"}'
    )
    assert entry.seen(3) == OrderSeen("ours", 12, OrderState.CANCELED, 150_000_000, 3, 200_000_000, 1_000)


def test_ack_without_status_counts_as_new_order() -> None:
    """ACK is the shortest of the three response types."""
    entry = ORDER.decode(b'{"symbol":"BTCUSDT","orderId":12,"orderListId":-1,"clientOrderId":"a","transactTime":1}')
    assert entry.seen(3).state is OrderState.LIVE


def test_cancel_replace_response_parts_may_be_null() -> None:
    """A new order that was not attempted has no response."""
    parts = REPLACE.decode(
        b'{"cancelResult":"FAILURE","newOrderResult":"NOT_ATTEMPTED",'
        b'"cancelResponse":{"code":-2011,"msg":"Unknown order sent."},"newOrderResponse":null}'
    )
    assert (parts.cancelResult, bytes(parts.newOrderResponse)) == ("FAILURE", b"null")


def test_my_trades_entry_becomes_fill() -> None:
    """Side and role are booleans."""
    (trade,) = TRADES.decode(
        b'[{"symbol":"BNBBTC","id":28457,"orderId":100234,"orderListId":-1,"price":"4.00000100","qty":"12.00000000",'
        b'"quoteQty":"48.000012","commission":"10.10000000","commissionAsset":"BNB","time":1499865549590,'
        b'"isBuyer":false,"isMaker":true,"isBestMatch":true}]'
    )
    fill = trade.fill()
    assert (fill.trade_id, fill.side, fill.maker, fill.us) == (28457, -1, True, 1499865549590000)


def test_ws_message_is_answer_or_event() -> None:
    """Events have no id, and answers have no event."""
    answer = WS_MESSAGE.decode(b'{"id":7,"status":200,"result":{},"rateLimits":[{"rateLimitType":"ORDERS",'
                               b'"interval":"SECOND","intervalNum":10,"limit":50,"count":12}]}')  # fmt: skip
    assert (answer.id, answer.rateLimits[0].count, bytes(answer.event)) == (7, 12, b"")
    event = WS_MESSAGE.decode(b'{"subscriptionId":0,"event":{"e":"x"}}')
    assert (event.id, bytes(event.event)) == (None, b'{"e":"x"}')
