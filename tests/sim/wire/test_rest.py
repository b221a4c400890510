"""REST, by the answers that the exchange's documentation shows."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from exchange_rig import ALICE, BOB, BUY, SELL, START_US, SYMBOL, Desk, Door, ed25519_base64, hmac_hex

MS = START_US // 1_000
LIMIT = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "100", "quantity": "1"}
MARKET = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": "0.4"}


def door() -> Door:
    """Return both doors of a new exchange."""
    return Door(Desk())


def without(answer: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return an answer without some of its fields."""
    return {name: value for name, value in answer.items() if name not in names}


def test_ping_and_time() -> None:
    """Time is the exchange's own, in ms, or in µs where the header asks for it."""
    rest = door()
    assert rest.get("ping") == {}
    rest.desk.us += 1_234_567
    assert rest.get("time") == {"serverTime": MS + 1_234}
    for unit in ("MICROSECOND", "microsecond"):
        response = rest.raw("GET", "time", {"x-mbx-time-unit": unit})
        assert json.loads(response.body) == {"serverTime": START_US + 1_234_567}
    response = rest.raw("GET", "time", {"x-mbx-time-unit": "SECOND"})
    assert (response.status, json.loads(response.body)["code"]) == (400, -1194)


def test_exchange_info_says_what_a_client_needs() -> None:
    """Symbol, assets, steps, order types, limits, permissions; one symbol or all."""
    info = door().get("exchangeInfo")
    assert (info["timezone"], info["serverTime"], info["exchangeFilters"]) == ("UTC", MS, [])
    assert [
        (one["rateLimitType"], one["interval"], one["intervalNum"], one["limit"]) for one in info["rateLimits"]
    ] == [
        ("REQUEST_WEIGHT", "MINUTE", 1, 6_000),
        ("ORDERS", "SECOND", 10, 100),
        ("ORDERS", "DAY", 1, 200_000),
        ("RAW_REQUESTS", "MINUTE", 5, 300_000),
    ]
    (symbol,) = info["symbols"]
    assert (symbol["symbol"], symbol["status"], symbol["baseAsset"], symbol["quoteAsset"]) == (
        SYMBOL,
        "TRADING",
        "SIM",
        "USDT",
    )
    assert symbol["orderTypes"] == ["LIMIT", "LIMIT_MAKER", "MARKET"]
    assert symbol["permissionSets"] == [["SPOT"]]
    assert (symbol["cancelReplaceAllowed"], symbol["amendAllowed"], symbol["icebergAllowed"]) == (True, True, False)


@pytest.mark.parametrize(
    ("query", "code", "symbols"),
    [
        (f"symbol={SYMBOL}", None, 1),
        (f'symbols=["{SYMBOL}"]', None, 1),
        ("symbolStatus=TRADING", None, 1),
        ("symbolStatus=HALT", None, 0),
        ("permissions=SPOT", None, 1),
        ("permissions=MARGIN", None, 0),
        ('permissions=["MARGIN","SPOT"]', None, 1),
        ("symbol=BTCUSDT", -1121, 0),
        (f'symbols=["{SYMBOL}","BTCUSDT"]', -1121, 0),
        (f'symbols=["{SYMBOL}","{SYMBOL}"]', -1151, 0),
        ("symbols=[", -1100, 0),
        ("symbols=[]", -1100, 0),
        (f"symbol={SYMBOL}&permissions=SPOT", -1128, 0),
        (f"symbol={SYMBOL}&symbolStatus=TRADING", -1128, 0),
        ("symbolStatus=ASLEEP", -1130, 0),
    ],
)
def test_exchange_info_is_asked_for_in_many_ways(query: str, code: int | None, symbols: int) -> None:
    """All of its parameters are optional; some exclude each other."""
    answer = json.loads(door().raw("GET", f"exchangeInfo?{quote(query, safe='=&')}").body)
    assert answer.get("code") == code
    assert len(answer.get("symbols", [])) == symbols


def test_depth_is_the_book_and_its_last_id() -> None:
    """Best first; an empty side is an empty list."""
    rest = door()
    assert rest.get("depth", symbol=SYMBOL) == {"lastUpdateId": 0, "bids": [], "asks": []}
    for step in range(3):
        rest.desk.limit(ALICE, BUY, 9_990 - step, 1_000 + step)
    rest.desk.limit(BOB, SELL, 10_010, 500)
    assert rest.get("depth", symbol=SYMBOL, limit=2) == {
        "lastUpdateId": 4,
        "bids": [["99.90000000", "1.00000000"], ["99.89000000", "1.00100000"]],
        "asks": [["100.10000000", "0.50000000"]],
    }


@pytest.mark.parametrize(
    ("path", "weight"),
    [
        ("ping", 1),
        ("time", 1),
        ("exchangeInfo", 20),
        (f"depth?symbol={SYMBOL}", 5),
        (f"depth?symbol={SYMBOL}&limit=100", 5),
        (f"depth?symbol={SYMBOL}&limit=101", 25),
        (f"depth?symbol={SYMBOL}&limit=500", 25),
        (f"depth?symbol={SYMBOL}&limit=501", 50),
        (f"depth?symbol={SYMBOL}&limit=1000", 50),
        (f"depth?symbol={SYMBOL}&limit=1001", 250),
        (f"depth?symbol={SYMBOL}&limit=5000", 250),
        (f"depth?symbol={SYMBOL}&limit=90000", 250),
        (f"trades?symbol={SYMBOL}", 25),
        (f"historicalTrades?symbol={SYMBOL}", 25),
        (f"aggTrades?symbol={SYMBOL}", 4),
        (f"avgPrice?symbol={SYMBOL}", 2),
        (f"ticker/price?symbol={SYMBOL}", 2),
        ("ticker/price", 4),
        (f"ticker/bookTicker?symbol={SYMBOL}", 2),
        ("ticker/bookTicker", 4),
        (f"ticker/24hr?symbol={SYMBOL}", 2),
        ("ticker/24hr", 80),
    ],
)
def test_market_data_weighs_what_it_is_documented_to(path: str, weight: int) -> None:
    """The weight is in the header of each answer."""
    response = door().raw("GET", path)
    assert (response.status, response.headers["X-MBX-USED-WEIGHT-1M"]) == (200, str(weight))


@pytest.mark.parametrize(
    ("method", "path", "asked", "weight"),
    [
        ("POST", "order", LIMIT, 1),
        ("POST", "order/test", LIMIT, 1),
        ("POST", "order/test", LIMIT | {"computeCommissionRates": "true"}, 20),
        ("GET", "order", {"symbol": SYMBOL, "orderId": 1}, 4),
        ("DELETE", "order", {"symbol": SYMBOL, "orderId": 1}, 1),
        ("GET", "openOrders", {"symbol": SYMBOL}, 6),
        ("GET", "openOrders", {}, 80),
        ("DELETE", "openOrders", {"symbol": SYMBOL}, 1),
        ("GET", "allOrders", {"symbol": SYMBOL}, 20),
        ("GET", "account", {}, 20),
        ("GET", "myTrades", {"symbol": SYMBOL}, 20),
        ("GET", "myTrades", {"symbol": SYMBOL, "orderId": 1}, 5),
        ("PUT", "order/amend/keepPriority", {"symbol": SYMBOL, "orderId": 1, "newQty": "0.5"}, 4),
        ("GET", "order/amendments", {"symbol": SYMBOL, "orderId": 1}, 4),
        ("GET", "rateLimit/order", {}, 40),
        ("GET", "account/commission", {"symbol": SYMBOL}, 20),
        ("GET", "myFilters", {"symbol": SYMBOL}, 40),
        ("GET", "myPreventedMatches", {"symbol": SYMBOL, "orderId": 1}, 20),
        ("GET", "myPreventedMatches", {"symbol": SYMBOL, "preventedMatchId": 1}, 2),
    ],
)
def test_orders_and_accounts_weigh_what_they_are_documented_to(
    method: str, path: str, asked: dict[str, Any], weight: int
) -> None:
    """Also where the exchange refuses."""
    assert door().signed(ALICE, method, path, **asked).headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


def traded() -> Door:
    """Return the doors of an exchange with four trades: 1 at 100.00 twice of one order, then 1 at 100.10, then 2."""
    rest = door()
    for ticks, lots in ((10_000, 1_000), (10_000, 1_000), (10_010, 3_000)):
        rest.desk.limit(BOB, SELL, ticks, lots)
    rest.desk.market(ALICE, BUY, 3_000)
    rest.desk.us += 60_000_000
    rest.desk.limit(ALICE, BUY, 10_010, 2_000)
    return rest


def test_trades_have_ids_without_a_hole() -> None:
    """Recent ones, and older ones from an id on, which belongs to the answer."""
    rest = traded()
    trades = rest.get("trades", symbol=SYMBOL)
    assert [one["id"] for one in trades] == [1, 2, 3, 4]
    assert trades[2] == {
        "id": 3,
        "price": "100.10000000",
        "qty": "1.00000000",
        "quoteQty": "100.10000000",
        "time": MS,
        "isBuyerMaker": False,
        "isBestMatch": True,
    }
    assert [one["id"] for one in rest.get("trades", symbol=SYMBOL, limit=2)] == [3, 4]
    assert [one["id"] for one in rest.get("historicalTrades", symbol=SYMBOL, fromId=2, limit=2)] == [2, 3]
    assert [one["id"] for one in rest.get("historicalTrades", symbol=SYMBOL)] == [1, 2, 3, 4]
    assert rest.get("historicalTrades", symbol=SYMBOL, fromId=5) == []


def test_aggregate_trades_join_what_one_order_took_at_one_price() -> None:
    """Two at 100.00 become one; the third is another price, the fourth another order."""
    found = traded().get("aggTrades", symbol=SYMBOL)
    assert [(one["a"], one["p"], one["q"], one["f"], one["l"], one["T"], one["m"]) for one in found] == [
        (1, "100.00000000", "2.00000000", 1, 2, MS, False),
        (2, "100.10000000", "1.00000000", 3, 3, MS, False),
        (3, "100.10000000", "2.00000000", 4, 4, MS + 60_000, False),
    ]


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({"fromId": 2}, [2, 3]),
        ({"fromId": 2, "limit": 1}, [2]),
        ({"startTime": MS}, [1, 2, 3]),
        ({"startTime": MS, "limit": 2}, [1, 2]),
        ({"startTime": MS + 1}, [3]),
        ({"endTime": MS}, [1, 2]),
        ({"endTime": MS, "limit": 1}, [2]),
        ({"startTime": MS + 1, "endTime": MS + 59_999}, []),
        ({"startTime": START_US, "endTime": START_US}, [1, 2]),
        ({"limit": 1}, [3]),
    ],
)
def test_aggregate_trades_of_a_time(asked: dict[str, int], ids: list[int]) -> None:
    """Both ends belong to it; with a start the first ones, without one the last ones; stamps in ms or in µs."""
    assert [one["a"] for one in traded().get("aggTrades", symbol=SYMBOL, **asked)] == ids


def test_tickers() -> None:
    """2 at 100.00 and 3 at 100.10 are 100.06 in the mean; then 1 is left to sell."""
    rest = traded()
    assert rest.get("avgPrice", symbol=SYMBOL) == {"mins": 5, "price": "100.06000000", "closeTime": MS + 60_000}
    assert rest.get("ticker/price", symbol=SYMBOL) == {"symbol": SYMBOL, "price": "100.10000000"}
    assert rest.get("ticker/price") == [{"symbol": SYMBOL, "price": "100.10000000"}]
    assert rest.get("ticker/bookTicker", symbol=SYMBOL) == {
        "symbol": SYMBOL,
        "bidPrice": "0.00000000",
        "bidQty": "0.00000000",
        "askPrice": "0.00000000",
        "askQty": "0.00000000",
    }
    day = rest.get("ticker/24hr", symbol=SYMBOL)
    shown = ("priceChange", "priceChangePercent", "weightedAvgPrice", "lastPrice", "volume", "quoteVolume", "count")
    assert [day[name] for name in shown] == [
        "0.10000000",
        "0.100",
        "100.06000000",
        "100.10000000",
        "5.00000000",
        "500.30000000",
        4,
    ]
    mini = rest.get("ticker/24hr", symbol=SYMBOL, type="MINI")
    assert mini == {name: day[name] for name in mini}
    assert rest.get("ticker/price", symbol=SYMBOL, symbolStatus="HALT")["code"] == -1220


def test_market_data_of_an_exchange_without_a_trade() -> None:
    """Nothing is made up, and nothing fails."""
    rest = door()
    assert rest.get("trades", symbol=SYMBOL) == rest.get("aggTrades", symbol=SYMBOL) == []
    assert rest.get("avgPrice", symbol=SYMBOL) == {"mins": 5, "price": "0.00000000", "closeTime": 0}
    assert rest.get("ticker/24hr", symbol=SYMBOL)["count"] == 0


def test_an_order_is_answered_in_full() -> None:
    """As documented for FULL, with its fills; ACK and RESULT are its beginnings."""
    rest = door()
    rest.desk.limit(ALICE, BUY, 10_000, 300)
    rest.desk.limit(ALICE, BUY, 9_990, 5_000)
    full = rest.ask(BOB, "POST", "order", **MARKET, newClientOrderId="mine")
    assert full == {
        "symbol": SYMBOL,
        "orderId": 3,
        "orderListId": -1,
        "clientOrderId": "mine",
        "transactTime": MS,
        "price": "0.00000000",
        "origQty": "0.40000000",
        "executedQty": "0.40000000",
        "origQuoteOrderQty": "0.00000000",
        "cummulativeQuoteQty": "39.99000000",
        "status": "FILLED",
        "timeInForce": "GTC",
        "type": "MARKET",
        "side": "SELL",
        "workingTime": MS,
        "fills": [
            {
                "price": "100.00000000",
                "qty": "0.30000000",
                "commission": "0.03000000",
                "commissionAsset": "USDT",
                "tradeId": 1,
            },
            {
                "price": "99.90000000",
                "qty": "0.10000000",
                "commission": "0.00999000",
                "commissionAsset": "USDT",
                "tradeId": 2,
            },
        ],
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }
    result = rest.ask(BOB, "POST", "order", **MARKET, newOrderRespType="RESULT")
    assert set(result) == set(full) - {"fills"}
    ack = rest.ask(BOB, "POST", "order", **MARKET, newOrderRespType="ACK")
    assert set(ack) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    maker = rest.ask(BOB, "POST", "order", **(without(LIMIT, "timeInForce") | {"type": "LIMIT_MAKER", "price": "90"}))
    assert set(maker) == set(ack)


def test_a_buyer_pays_his_fee_in_what_he_buys() -> None:
    """0.001 of 0.4 SIM."""
    rest = door()
    rest.desk.limit(ALICE, SELL, 10_000, 1_000)
    answer = rest.ask(BOB, "POST", "order", **(MARKET | {"side": "BUY"}))
    assert [(one["commission"], one["commissionAsset"]) for one in answer["fills"]] == [("0.00040000", "SIM")]


def test_successful_orders_carry_the_count_of_orders() -> None:
    """In both intervals; what is refused carries none."""
    rest = door()
    response = rest.signed(ALICE, "POST", "order", **LIMIT)
    assert (response.headers["X-MBX-ORDER-COUNT-10S"], response.headers["X-MBX-ORDER-COUNT-1D"]) == ("1", "1")
    assert rest.ask(ALICE, "GET", "rateLimit/order") == [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100, "count": 1},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000, "count": 1},
    ]
    refused = rest.signed(ALICE, "POST", "order", **(LIMIT | {"price": "0.001"}))
    assert "X-MBX-ORDER-COUNT-10S" not in refused.headers


def test_too_many_orders_are_429_with_retry_after() -> None:
    """Until the ten seconds are over."""
    rest = door()
    rest.desk.us += 3_500_000
    for step in range(100):
        rest.desk.limit(ALICE, BUY, 9_990 - step, 1_000)
    response = rest.signed(ALICE, "POST", "order", **LIMIT)
    assert (response.status, response.headers["Retry-After"]) == (429, "7")
    assert json.loads(response.body)["code"] == -1015


def test_an_order_is_queried_by_id_and_by_name() -> None:
    """With all fields of the documented answer."""
    rest = door()
    placed = rest.ask(ALICE, "POST", "order", **LIMIT, newClientOrderId="mine", strategyId=7, strategyType=1_000_000)
    rest.desk.us += 5_000_000
    rest.desk.market(BOB, SELL, 400)
    order = rest.ask(ALICE, "GET", "order", symbol=SYMBOL, orderId=placed["orderId"])
    assert order == {
        "symbol": SYMBOL,
        "orderId": 1,
        "orderListId": -1,
        "clientOrderId": "mine",
        "price": "100.00000000",
        "origQty": "1.00000000",
        "executedQty": "0.40000000",
        "cummulativeQuoteQty": "40.00000000",
        "status": "PARTIALLY_FILLED",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        "stopPrice": "0.00000000",
        "icebergQty": "0.00000000",
        "time": MS,
        "updateTime": MS + 5_000,
        "isWorking": True,
        "workingTime": MS,
        "origQuoteOrderQty": "0.00000000",
        "strategyId": 7,
        "strategyType": 1_000_000,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }
    assert rest.ask(ALICE, "GET", "order", symbol=SYMBOL, origClientOrderId="mine") == order
    assert rest.ask(ALICE, "GET", "openOrders", symbol=SYMBOL) == rest.ask(ALICE, "GET", "openOrders") == [order]
    assert rest.ask(ALICE, "GET", "allOrders", symbol=SYMBOL) == [order]
    assert rest.ask(BOB, "GET", "order", symbol=SYMBOL, orderId=1) == {"code": -2013, "msg": "Order does not exist."}
    both = rest.ask(ALICE, "GET", "order", symbol=SYMBOL, orderId=1, origClientOrderId="other")
    assert both["code"] == -2039


def test_a_cancel_is_answered_with_both_names() -> None:
    """The order's own, and that of the cancel."""
    rest = door()
    rest.ask(ALICE, "POST", "order", **LIMIT, newClientOrderId="mine")
    answer = rest.ask(ALICE, "DELETE", "order", symbol=SYMBOL, origClientOrderId="mine", newClientOrderId="away")
    assert answer == {
        "symbol": SYMBOL,
        "origClientOrderId": "mine",
        "orderId": 1,
        "orderListId": -1,
        "clientOrderId": "away",
        "transactTime": MS,
        "price": "100.00000000",
        "origQty": "1.00000000",
        "executedQty": "0.00000000",
        "origQuoteOrderQty": "0.00000000",
        "cummulativeQuoteQty": "0.00000000",
        "status": "CANCELED",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }
    assert rest.ask(ALICE, "GET", "order", symbol=SYMBOL, orderId=1)["clientOrderId"] == "mine"
    again = rest.signed(ALICE, "DELETE", "order", symbol=SYMBOL, orderId=1)
    assert (again.status, json.loads(again.body)) == (400, {"code": -2011, "msg": "Unknown order sent."})


def test_all_open_orders_are_cancelled() -> None:
    """One answer for each."""
    rest = door()
    for price in ("90", "91"):
        rest.ask(ALICE, "POST", "order", **(LIMIT | {"price": price}))
    answers = rest.ask(ALICE, "DELETE", "openOrders", symbol=SYMBOL)
    assert [(one["orderId"], one["status"]) for one in answers] == [(1, "CANCELED"), (2, "CANCELED")]
    assert rest.ask(ALICE, "DELETE", "openOrders", symbol=SYMBOL)["code"] == -2011


REPLACE = without(LIMIT, "timeInForce") | {"type": "LIMIT_MAKER", "cancelReplaceMode": "STOP_ON_FAILURE"}
UNKNOWN = {"code": -2011, "msg": "Unknown order sent."}
WOULD_TAKE = {"code": -2010, "msg": "Order would immediately match and take."}


def test_cancel_replace_succeeds_with_both_parts() -> None:
    """200, and the answers to a cancel and to an order."""
    rest = door()
    rest.desk.limit(ALICE, BUY, 9_990, 1_000)
    response = rest.signed(ALICE, "POST", "order/cancelReplace", **REPLACE, cancelOrderId=1)
    answer = json.loads(response.body)
    assert (response.status, answer["cancelResult"], answer["newOrderResult"]) == (200, "SUCCESS", "SUCCESS")
    assert (answer["cancelResponse"]["status"], answer["cancelResponse"]["orderId"]) == ("CANCELED", 1)
    assert set(answer["newOrderResponse"]) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    assert response.headers["X-MBX-ORDER-COUNT-10S"] == "2"


@pytest.mark.parametrize(
    ("mode", "cancels", "price", "status", "code", "results", "new"),
    [
        ("STOP_ON_FAILURE", 77, "90", 400, -2022, ("FAILURE", "NOT_ATTEMPTED"), None),
        ("STOP_ON_FAILURE", 1, "110", 409, -2021, ("SUCCESS", "FAILURE"), WOULD_TAKE),
        ("ALLOW_FAILURE", 77, "110", 400, -2022, ("FAILURE", "FAILURE"), WOULD_TAKE),
        ("ALLOW_FAILURE", 1, "110", 409, -2021, ("SUCCESS", "FAILURE"), WOULD_TAKE),
        ("ALLOW_FAILURE", 77, "90", 409, -2021, ("FAILURE", "SUCCESS"), ...),
    ],
)
def test_cancel_replace_fails_in_parts(  # noqa: PLR0917
    mode: str, cancels: int, price: str, status: int, code: int, results: tuple[str, str], new: Any
) -> None:
    """The documented table of results, with the documented bodies."""
    rest = door()
    rest.desk.limit(ALICE, BUY, 9_990, 1_000)
    rest.desk.limit(BOB, SELL, 10_010, 1_000)
    asked = REPLACE | {"cancelReplaceMode": mode, "price": price, "cancelOrderId": cancels}
    response = rest.signed(ALICE, "POST", "order/cancelReplace", **asked)
    answer = json.loads(response.body)
    msgs = {-2021: "Order cancel-replace partially failed.", -2022: "Order cancel-replace failed."}
    assert (response.status, answer["code"], answer["msg"]) == (status, code, msgs[code])
    data = answer["data"]
    assert (data["cancelResult"], data["newOrderResult"]) == results
    assert data["cancelResponse"] == UNKNOWN if results[0] == "FAILURE" else data["cancelResponse"]["orderId"] == 1
    assert data["newOrderResponse"] == new if new is not ... else data["newOrderResponse"]["orderId"] == 3


def test_cancel_replace_of_one_who_sent_too_many() -> None:
    """429: nothing is done, or, where that was asked for, the cancel alone."""
    rest = door()
    for step in range(100):
        rest.desk.limit(ALICE, BUY, 9_990 - step, 1_000)
    asked = REPLACE | {"cancelOrderId": 1}
    response = rest.signed(ALICE, "POST", "order/cancelReplace", **asked)
    assert (response.status, json.loads(response.body)["code"]) == (429, -1015)
    asked |= {"orderRateLimitExceededMode": "CANCEL_ONLY"}
    response = rest.signed(ALICE, "POST", "order/cancelReplace", **asked)
    answer = json.loads(response.body)
    assert (response.status, answer["code"], answer["data"]["newOrderResponse"]["code"]) == (429, -2021, -1015)
    assert answer["data"]["cancelResult"] == "SUCCESS"


def test_an_amendment_is_answered_in_its_own_words() -> None:
    """``qty``, ``cumulativeQuoteQty``, ``executionId``; and it can be asked for later."""
    rest = door()
    rest.ask(ALICE, "POST", "order", **LIMIT, newClientOrderId="mine")
    asked = {"symbol": SYMBOL, "orderId": 1, "newQty": "0.6", "newClientOrderId": "less"}
    assert rest.ask(ALICE, "PUT", "order/amend/keepPriority", **asked) == {
        "transactTime": MS,
        "executionId": 2,
        "amendedOrder": {
            "symbol": SYMBOL,
            "orderId": 1,
            "orderListId": -1,
            "origClientOrderId": "mine",
            "clientOrderId": "less",
            "price": "100.00000000",
            "qty": "0.60000000",
            "executedQty": "0.00000000",
            "preventedQty": "0.00000000",
            "quoteOrderQty": "0.00000000",
            "cumulativeQuoteQty": "0.00000000",
            "status": "NEW",
            "timeInForce": "GTC",
            "type": "LIMIT",
            "side": "BUY",
            "workingTime": MS,
            "selfTradePreventionMode": "EXPIRE_MAKER",
        },
    }
    assert rest.ask(ALICE, "GET", "order/amendments", symbol=SYMBOL, orderId=1) == [
        {
            "symbol": SYMBOL,
            "orderId": 1,
            "executionId": 2,
            "origClientOrderId": "mine",
            "newClientOrderId": "less",
            "origQty": "1.00000000",
            "newQty": "0.60000000",
            "time": MS,
        }
    ]


def test_self_trade_prevention_shows_in_the_answers() -> None:
    """preventedMatches of the order that came, preventedQuantity of the one that rested."""
    rest = door()
    rest.desk.limit(ALICE, BUY, 10_000, 1_000)
    answer = rest.ask(ALICE, "POST", "order", **(LIMIT | {"side": "SELL", "selfTradePreventionMode": "EXPIRE_BOTH"}))
    match = {"preventedMatchId": 0, "makerOrderId": 1, "price": "100.00000000"}
    lost = {"takerPreventedQuantity": "1.00000000", "makerPreventedQuantity": "1.00000000"}
    assert answer["preventedMatches"] == [match | lost]
    assert (answer["status"], answer["preventedQuantity"]) == ("EXPIRED_IN_MATCH", "1.00000000")
    maker = rest.ask(ALICE, "GET", "order", symbol=SYMBOL, orderId=1)
    assert (maker["status"], maker["preventedMatchId"], maker["preventedQuantity"]) == (
        "EXPIRED_IN_MATCH",
        0,
        "1.00000000",
    )
    for asked in ({"preventedMatchId": 0}, {"orderId": 1}, {"orderId": 2, "fromPreventedMatchId": 0}):
        (found,) = rest.ask(ALICE, "GET", "myPreventedMatches", symbol=SYMBOL, **asked)
        assert (found["takerOrderId"], found["selfTradePreventionMode"], found["transactTime"]) == (
            2,
            "EXPIRE_BOTH",
            MS,
        )
        assert {name: found[name] for name in lost} == lost
    assert rest.ask(ALICE, "GET", "myPreventedMatches", symbol=SYMBOL)["code"] == -1128


def test_the_account_shows_its_balances_and_rates() -> None:
    """Free and locked, to the last place; uid is the account's number."""
    rest = door()
    rest.desk.limit(ALICE, BUY, 9_990, 1_000)
    account = rest.ask(ALICE, "GET", "account")
    assert account["balances"] == [
        {"asset": "SIM", "free": "1000.00000000", "locked": "0.00000000"},
        {"asset": "USDT", "free": "999900.10000000", "locked": "99.90000000"},
    ]
    assert account["commissionRates"] == {
        "maker": "0.00100000",
        "taker": "0.00100000",
        "buyer": "0.00000000",
        "seller": "0.00000000",
    }
    assert (account["makerCommission"], account["canTrade"], account["permissions"]) == (10, True, ["SPOT"])
    rest.desk.exchange.accounts[BOB].base.free = 0
    assert [one["asset"] for one in rest.ask(BOB, "GET", "account", omitZeroBalances="true")["balances"]] == ["USDT"]
    commission = rest.ask(ALICE, "GET", "account/commission", symbol=SYMBOL)
    assert commission["standardCommission"]["taker"] == "0.00100000"


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({}, [1, 2, 3, 4]),
        ({"orderId": 5}, [4]),
        ({"fromId": 3}, [3, 4]),
        ({"fromId": 2, "limit": 1}, [2]),
        ({"orderId": 4, "fromId": 3}, [3]),
        ({"startTime": MS + 1}, [4]),
        ({"endTime": MS}, [1, 2, 3]),
        ({"startTime": MS, "endTime": MS + 60_000, "limit": 2}, [1, 2]),
        ({"limit": 1}, [4]),
    ],
)
def test_my_trades_in_the_documented_combinations(asked: dict[str, int], ids: list[int]) -> None:
    """Oldest first; without a start or an id the latest."""
    assert [one["id"] for one in traded().ask(ALICE, "GET", "myTrades", symbol=SYMBOL, **asked)] == ids


def test_my_trades_say_what_each_was() -> None:
    """Of the taker, and of the maker."""
    rest = traded()
    mine = rest.ask(ALICE, "GET", "myTrades", symbol=SYMBOL, fromId=4)[0]
    assert mine == {
        "symbol": SYMBOL,
        "id": 4,
        "orderId": 5,
        "orderListId": -1,
        "price": "100.10000000",
        "qty": "2.00000000",
        "quoteQty": "200.20000000",
        "commission": "0.00200000",
        "commissionAsset": "SIM",
        "time": MS + 60_000,
        "isBuyer": True,
        "isMaker": False,
        "isBestMatch": True,
    }
    theirs = rest.ask(BOB, "GET", "myTrades", symbol=SYMBOL, fromId=4)[0]
    assert (theirs["orderId"], theirs["isBuyer"], theirs["isMaker"]) == (3, False, True)
    assert (theirs["commission"], theirs["commissionAsset"]) == ("0.20020000", "USDT")


@pytest.mark.parametrize(
    ("path", "asked", "code"),
    [
        ("myTrades", {"fromId": 1, "startTime": MS}, -1128),
        ("myTrades", {"orderId": 1, "endTime": MS}, -1128),
        ("myTrades", {"startTime": MS, "endTime": MS + 86_400_001}, -1127),
        ("allOrders", {"startTime": MS, "endTime": MS + 86_400_001}, -1127),
    ],
)
def test_other_combinations_are_refused(path: str, asked: dict[str, int], code: int) -> None:
    """Up to 24 hours, and no id together with a time."""
    assert traded().ask(ALICE, "GET", path, symbol=SYMBOL, **asked)["code"] == code


def test_all_orders_are_found_from_an_id_or_in_a_time() -> None:
    """Also those that ended."""
    rest = traded()
    for asked, ids in (
        ({}, [4, 5]),
        ({"orderId": 5}, [5]),
        ({"startTime": MS + 1}, [5]),
        ({"endTime": MS}, [4]),
        ({"limit": 1}, [5]),
    ):
        assert [one["orderId"] for one in rest.ask(ALICE, "GET", "allOrders", symbol=SYMBOL, **asked)] == ids


def test_a_test_order_changes_nothing() -> None:
    """It is looked at as an order is, up to the matching engine."""
    rest = door()
    assert rest.ask(ALICE, "POST", "order/test", **LIMIT) == {}
    rates = rest.ask(ALICE, "POST", "order/test", **LIMIT, computeCommissionRates="true")
    assert rates["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}
    assert rest.ask(ALICE, "POST", "order/test", **(LIMIT | {"quantity": "0.001"}))["code"] == -1013
    assert rest.desk.rows == []


def test_a_body_may_carry_the_parameters() -> None:
    """All of them, or some; what stands in both is the query's."""
    rest = door()
    key = rest.keys[ALICE]
    query, body = (
        "symbol=SIMUSDT&side=BUY&quantity=1",
        urlencode({"type": "LIMIT", "timeInForce": "GTC", "price": "100", "quantity": "2", "timestamp": MS}),
    )
    signed = f"{body}&signature={hmac_hex(key.secret, query + body)}"
    response = rest.raw("POST", f"order?{query}", {"x-mbx-apikey": key.key}, signed.encode())
    assert (response.status, json.loads(response.body)["origQty"]) == (200, "1.00000000")


def test_ed25519_signs_as_well() -> None:
    """In base64, percent-encoded, with the same key's name."""
    rest = door()
    key = rest.keys[ALICE]
    query = f"timestamp={MS}"
    signature = quote(ed25519_base64(key.private_pem, query), safe="")
    response = rest.raw("GET", f"account?{query}&signature={signature}", {"x-mbx-apikey": key.key})
    assert (response.status, json.loads(response.body)["uid"]) == (200, ALICE)


def test_instants_are_written_in_microseconds_where_asked_for() -> None:
    """In every answer."""
    rest = door()
    rest.desk.us += 7
    query = urlencode(LIMIT | {"timestamp": rest.desk.us})
    key = rest.keys[ALICE]
    headers = {"x-mbx-apikey": key.key, "x-mbx-time-unit": "MICROSECOND"}
    response = rest.raw("POST", f"order?{query}&signature={hmac_hex(key.secret, query)}", headers)
    assert json.loads(response.body)["transactTime"] == START_US + 7


def test_listen_keys_no_longer_exist() -> None:
    """Their endpoints answer 410 Gone, as they do since February 2026."""
    for method in ("POST", "PUT", "DELETE"):
        assert door().raw(method, "userDataStream").status == 410


def test_other_paths_are_not_found() -> None:
    """404, and 405 for a method that a path does not know."""
    rest = door()
    assert rest.raw("GET", "klines").status == 404
    assert rest.raw("PATCH", "order").status == 405
