"""Operations of users over REST: orders and accounts, compared with the answers in the exchange's documentation."""

import json
from typing import Any

import pytest

from exchange_rig import ALICE, BOB, BUY, LIMIT, MARKET, MS, SELL, SYMBOL, Door, door, without


def traded() -> Door:
    """Return an exchange with four trades: 1 at 100.00 twice of one order, then 1 at 100.10, then 2."""
    rest = door()
    for ticks, lots in ((10_000, 1_000), (10_000, 1_000), (10_010, 3_000)):
        rest.desk.limit(BOB, SELL, ticks, lots)
    rest.desk.market(ALICE, BUY, 3_000)
    rest.desk.us += 60_000_000
    rest.desk.limit(ALICE, BUY, 10_010, 2_000)
    return rest


REPLACE = without(LIMIT, "timeInForce") | {"type": "LIMIT_MAKER", "cancelReplaceMode": "STOP_ON_FAILURE"}


UNKNOWN = {"code": -2011, "msg": "Unknown order sent."}


WOULD_TAKE = {"code": -2010, "msg": "Order would immediately match and take."}


@pytest.mark.parametrize(
    ("method", "path", "parameters", "weight"),
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
def test_order_and_account_requests_have_documented_weights(
    method: str, path: str, parameters: dict[str, Any], weight: int
) -> None:
    """Also where the exchange rejects the request."""
    assert door().signed(ALICE, method, path, **parameters).headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


def test_order_response_types_have_documented_fields() -> None:
    """FULL with its fills; RESULT and ACK have fewer fields."""
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


def test_buyer_pays_fee_in_base_asset() -> None:
    """0.001 of 0.4 SIM."""
    rest = door()
    rest.desk.limit(ALICE, SELL, 10_000, 1_000)
    answer = rest.ask(BOB, "POST", "order", **(MARKET | {"side": "BUY"}))
    assert [(one["commission"], one["commissionAsset"]) for one in answer["fills"]] == [("0.00040000", "SIM")]


def test_order_is_queried_by_order_id_and_client_id() -> None:
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


def test_cancel_answer_contains_both_client_ids() -> None:
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


def test_delete_open_orders_cancels_all() -> None:
    """One answer for each."""
    rest = door()
    for price in ("90", "91"):
        rest.ask(ALICE, "POST", "order", **(LIMIT | {"price": price}))
    answers = rest.ask(ALICE, "DELETE", "openOrders", symbol=SYMBOL)
    assert [(one["orderId"], one["status"]) for one in answers] == [(1, "CANCELED"), (2, "CANCELED")]
    assert rest.ask(ALICE, "DELETE", "openOrders", symbol=SYMBOL)["code"] == -2011


def test_cancel_replace_returns_both_results_on_success() -> None:
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
def test_cancel_replace_returns_documented_partial_failures(  # noqa: PLR0917
    mode: str, cancels: int, price: str, status: int, code: int, results: tuple[str, str], new: Any
) -> None:
    """The documented table of results, with the documented bodies."""
    rest = door()
    rest.desk.limit(ALICE, BUY, 9_990, 1_000)
    rest.desk.limit(BOB, SELL, 10_010, 1_000)
    parameters = REPLACE | {"cancelReplaceMode": mode, "price": price, "cancelOrderId": cancels}
    response = rest.signed(ALICE, "POST", "order/cancelReplace", **parameters)
    answer = json.loads(response.body)
    msgs = {-2021: "Order cancel-replace partially failed.", -2022: "Order cancel-replace failed."}
    assert (response.status, answer["code"], answer["msg"]) == (status, code, msgs[code])
    data = answer["data"]
    assert (data["cancelResult"], data["newOrderResult"]) == results
    assert data["cancelResponse"] == UNKNOWN if results[0] == "FAILURE" else data["cancelResponse"]["orderId"] == 1
    assert data["newOrderResponse"] == new if new is not ... else data["newOrderResponse"]["orderId"] == 3


def test_cancel_replace_over_rate_limit_returns_429() -> None:
    """Nothing is done, or, if requested, only the cancel."""
    rest = door()
    for step in range(100):
        rest.desk.limit(ALICE, BUY, 9_990 - step, 1_000)
    parameters = REPLACE | {"cancelOrderId": 1}
    response = rest.signed(ALICE, "POST", "order/cancelReplace", **parameters)
    assert (response.status, json.loads(response.body)["code"]) == (429, -1015)
    parameters |= {"orderRateLimitExceededMode": "CANCEL_ONLY"}
    response = rest.signed(ALICE, "POST", "order/cancelReplace", **parameters)
    answer = json.loads(response.body)
    assert (response.status, answer["code"], answer["data"]["newOrderResponse"]["code"]) == (429, -2021, -1015)
    assert answer["data"]["cancelResult"] == "SUCCESS"


def test_amendment_answer_has_documented_fields() -> None:
    """``qty``, ``cumulativeQuoteQty``, ``executionId``; and it can be queried later."""
    rest = door()
    rest.ask(ALICE, "POST", "order", **LIMIT, newClientOrderId="mine")
    parameters = {"symbol": SYMBOL, "orderId": 1, "newQty": "0.6", "newClientOrderId": "less"}
    assert rest.ask(ALICE, "PUT", "order/amend/keepPriority", **parameters) == {
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


def test_answers_contain_prevented_matches() -> None:
    """preventedMatches of the taker, preventedQuantity of the maker."""
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
    for parameters in ({"preventedMatchId": 0}, {"orderId": 1}, {"orderId": 2, "fromPreventedMatchId": 0}):
        (prevented,) = rest.ask(ALICE, "GET", "myPreventedMatches", symbol=SYMBOL, **parameters)
        assert (prevented["takerOrderId"], prevented["selfTradePreventionMode"], prevented["transactTime"]) == (
            2,
            "EXPIRE_BOTH",
            MS,
        )
        assert {name: prevented[name] for name in lost} == lost
    assert rest.ask(ALICE, "GET", "myPreventedMatches", symbol=SYMBOL)["code"] == -1128


def test_account_contains_balances_and_commission_rates() -> None:
    """Free and locked, to the last place."""
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
    ("parameters", "ids"),
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
def test_my_trades_accepts_documented_parameter_combinations(parameters: dict[str, int], ids: list[int]) -> None:
    """Oldest first; without a start or an id the latest."""
    assert [one["id"] for one in traded().ask(ALICE, "GET", "myTrades", symbol=SYMBOL, **parameters)] == ids


def test_my_trades_contain_documented_fields() -> None:
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
    ("path", "parameters", "code"),
    [
        ("myTrades", {"fromId": 1, "startTime": MS}, -1128),
        ("myTrades", {"orderId": 1, "endTime": MS}, -1128),
        ("myTrades", {"startTime": MS, "endTime": MS + 86_400_001}, -1127),
        ("allOrders", {"startTime": MS, "endTime": MS + 86_400_001}, -1127),
    ],
)
def test_invalid_parameter_combinations_are_rejected(path: str, parameters: dict[str, int], code: int) -> None:
    """At most 24 hours, and no id together with a time."""
    assert traded().ask(ALICE, "GET", path, symbol=SYMBOL, **parameters)["code"] == code


def test_all_orders_are_selected_by_id_or_time() -> None:
    """Including ended orders."""
    rest = traded()
    for parameters, ids in (
        ({}, [4, 5]),
        ({"orderId": 5}, [5]),
        ({"startTime": MS + 1}, [5]),
        ({"endTime": MS}, [4]),
        ({"limit": 1}, [5]),
    ):
        assert [one["orderId"] for one in rest.ask(ALICE, "GET", "allOrders", symbol=SYMBOL, **parameters)] == ids


def test_test_order_changes_nothing() -> None:
    """It is validated like an order, up to the matching engine."""
    rest = door()
    assert rest.ask(ALICE, "POST", "order/test", **LIMIT) == {}
    rates = rest.ask(ALICE, "POST", "order/test", **LIMIT, computeCommissionRates="true")
    assert rates["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}
    assert rest.ask(ALICE, "POST", "order/test", **(LIMIT | {"quantity": "0.001"}))["code"] == -1013
    assert rest.desk.rows == []
