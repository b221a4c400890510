"""Binance USD-M as an exchange of orders: requests, answers and events as its documents print them."""

import json

import msgspec
import pytest

from mm.errors import DataError, UsageError
from mm.instrument import e8
from mm.live.venues.binance import outcome_of, why_of
from mm.live.venues.binance_usdm import ROUTES, UsdmAccount, UsdmVenue
from mm.live.venues.live_orders import LiveOrder, OrderState
from mm.live.venues.positions import ContractSetup, MarginCalled
from mm.live.venues.refusals import Why
from mm.live.venues.requests import ApiAnswer, Outcome
from mm.live.venues.venue import BalancesEvent

US = 1_700_000_000_000_000
VENUE, ACCOUNT = UsdmVenue("BTCUSDT"), UsdmAccount()
ENTRY = {
    "symbol": "BTCUSDT",
    "contractType": "PERPETUAL",
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "556.80", "maxPrice": "4529764", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500"},
    ],
}
LIMITS = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
]
EXECUTION = {
    "e": "ORDER_TRADE_UPDATE",
    "E": 1700000000100,
    "T": 1700000000099,
    "o": {
        "s": "BTCUSDT",
        "c": "mm-abc-1b",
        "S": "BUY",
        "o": "LIMIT",
        "f": "GTX",
        "q": "0.010",
        "p": "30000.0",
        "ap": "30000.0",
        "x": "TRADE",
        "X": "PARTIALLY_FILLED",
        "i": 8886774,
        "l": "0.004",
        "z": "0.004",
        "L": "30000.0",
        "N": "USDT",
        "n": "0.02400000",
        "T": 1700000000099,
        "t": 77,
        "m": True,
        "R": False,
        "ps": "BOTH",
        "rp": "-1.25000000",
    },
}


def order(kind="LIMIT_MAKER", exchange_id=0, **more):
    return LiveOrder(1, "mm-abc-1b", 1, "30000.1", "0.010", kind, exchange_id=exchange_id, **more)


def answer(body, code=0):
    return ApiAnswer(Outcome.REFUSED if code else Outcome.DONE, US, json.dumps(body).encode(), code)


def of_info(**more):
    return VENUE.terms_of(answer({"symbols": [ENTRY | more], "rateLimits": LIMITS}))


@pytest.mark.parametrize(
    ("kind", "terms"),
    [
        ("LIMIT_MAKER", {"type": "LIMIT", "timeInForce": "GTX", "price": "30000.1"}),
        ("LIMIT", {"type": "LIMIT", "timeInForce": "GTC", "price": "30000.1"}),
        ("IOC", {"type": "LIMIT", "timeInForce": "IOC", "price": "30000.1"}),
        ("MARKET", {"type": "MARKET"}),
    ],
)
def test_orders_are_sent_with_their_time_in_force(kind, terms):
    """A post-only order is GTX here: it is refused instead of taking."""
    route, sent = VENUE.place(order(kind))
    assert route.counted
    assert route.name == "order.place"
    assert sent == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "quantity": "0.010",
        "newClientOrderId": "mm-abc-1b",
        "newOrderRespType": "RESULT",
        **terms,
    }


def test_order_that_closes_may_only_reduce():
    """A flatten never opens a position the other way, whatever has happened meanwhile."""
    assert VENUE.place(order("IOC", reduces=True))[1]["reduceOnly"] == "true"
    assert "reduceOnly" not in VENUE.place(order("IOC"))[1]


def test_cancel_names_what_is_known_of_the_order():
    """Before its acceptance an order has only our id."""
    assert VENUE.cancel(order())[1] == {"symbol": "BTCUSDT", "origClientOrderId": "mm-abc-1b"}
    assert VENUE.cancel(order(exchange_id=7))[1] == {"symbol": "BTCUSDT", "orderId": 7}


def test_modification_names_side_price_and_quantity():
    """The exchange takes no modification without them."""
    route, sent = VENUE.amend(order(exchange_id=7), "0.005")
    assert route.name == "order.modify"
    assert sent == {"symbol": "BTCUSDT", "orderId": 7, "side": "BUY", "quantity": "0.005", "price": "30000.1"}


def test_every_request_has_a_path_of_futures_and_a_way():
    """What the WebSocket API lacks goes by REST alone."""
    assert all(route.path.startswith("/fapi/") for route in ROUTES)
    by_api = {route.name for route in ROUTES if not route.by_rest}
    assert by_api == {f"order.{name}" for name in ("place", "modify", "cancel", "status")} | {
        "v2/account.status",
        "v2/account.position",
    }


def test_answer_of_an_order_is_read():
    """State, quantities and instant are the exchange's."""
    body = {"orderId": 7, "symbol": "BTCUSDT", "status": "EXPIRED", "clientOrderId": "mm-abc-1b", "price": "30000.1"}
    body |= {"origQty": "0.010", "executedQty": "0.004", "updateTime": 1700000000099, "side": "BUY", "type": "LIMIT"}
    seen = VENUE.seen(answer(body | {"timeInForce": "GTX"}))
    assert (seen.exchange_id, seen.state, seen.executed_e8, seen.qty_e8) == (
        7,
        OrderState.EXPIRED,
        e8("0.004"),
        e8("0.010"),
    )
    assert seen.exchange_us == 1_700_000_000_099_000
    assert VENUE.listed(answer(body | {"timeInForce": "GTX"})).kind == "LIMIT_MAKER"


def test_trades_carry_what_they_realized():
    """The wallet moves by the exchange's own profit and commission."""
    row = {"id": 77, "orderId": 7, "side": "SELL", "price": "30000.0", "qty": "0.004", "realizedPnl": "-1.25"}
    row |= {"quoteQty": "120", "commission": "0.024", "commissionAsset": "USDT", "time": 1700000000099, "maker": False}
    (fill,) = VENUE.trades(answer([row]))
    assert (fill.trade_id, fill.side, fill.realized, fill.commission, fill.maker) == (77, -1, "-1.25", "0.024", False)


def test_event_of_a_trade_is_the_same_fill_as_the_list():
    """An event and a later query of it must be booked once."""
    event = ACCOUNT.event("ORDER_TRADE_UPDATE", msgspec.json.encode(EXECUTION))
    fill, seen = event.fill("mm-abc-1b"), event.seen("mm-abc-1b", US)
    assert event.client_ids[0] == "mm-abc-1b"
    assert event.forced == ""
    assert (fill.trade_id, fill.side, fill.price, fill.qty, fill.realized, fill.maker) == (
        77,
        1,
        "30000.0",
        "0.004",
        "-1.25000000",
        True,
    )
    assert (seen.state, seen.executed_e8) == (OrderState.LIVE, e8("0.004"))


@pytest.mark.parametrize(
    ("client_id", "what"),
    [("autoclose-1", "liquidation"), ("adl_autoclose", "auto-deleveraging"), ("settlement_autoclose-3", "settlement")],
)
def test_orders_of_the_exchange_are_known_by_their_ids(client_id, what):
    """A liquidation changes our position without an order of ours."""
    content = EXECUTION | {"o": EXECUTION["o"] | {"c": client_id, "x": "CALCULATED", "X": "FILLED"}}
    event = ACCOUNT.event("ORDER_TRADE_UPDATE", msgspec.json.encode(content))
    assert event.forced == what
    assert VENUE.contract.forced(client_id) == what
    assert event.fill(client_id).qty == "0.004"


def test_account_update_tells_wallet_and_position():
    """A position is known by its symbol, a wallet by its asset."""
    part = {"B": [{"a": "USDT", "wb": "998.5", "cw": "998.5", "bc": "-0.3"}]}
    one_way = {"s": "BTCUSDT", "pa": "-0.02", "ep": "30000", "ps": "BOTH"}
    part |= {"P": [one_way, one_way | {"pa": "0", "ps": "LONG"}]}
    event = ACCOUNT.event(
        "ACCOUNT_UPDATE", msgspec.json.encode({"e": "ACCOUNT_UPDATE", "T": 1700000000099, "a": part | {"m": "ORDER"}})
    )
    held = {"USDT": ("998.5", "0"), "BTCUSDT": ("-0.02", "0")}
    assert event == BalancesEvent(held, 1_700_000_000_099_000)
    paid = ACCOUNT.event("ACCOUNT_UPDATE", msgspec.json.encode({"a": part | {"m": "FUNDING_FEE"}}))
    assert paid.paid == "FUNDING_FEE"


def test_margin_call_names_its_positions():
    """It is an alert, not a balance."""
    body = {"e": "MARGIN_CALL", "E": 1700000000099, "cw": "3.1", "p": [{"s": "BTCUSDT", "pa": "0.02", "mp": "29000"}]}
    assert ACCOUNT.event("MARGIN_CALL", msgspec.json.encode(body)) == MarginCalled(("BTCUSDT",), 1_700_000_000_099_000)
    assert ACCOUNT.event("TRADE_LITE", b"{}") is None


def test_account_tells_wallets_positions_and_margin():
    """All symbols share a wallet of an asset."""
    asset = {"asset": "USDT", "walletBalance": "1000", "marginBalance": "990", "maintMargin": "2.4"}
    asset |= {"availableBalance": "900", "updateTime": 1700000000099}
    position = {"symbol": "BTCUSDT", "positionAmt": "0.02", "unrealizedProfit": "-10"}
    other = {"asset": "BNB", "walletBalance": "3", "updateTime": 1700000000042}
    seen = ACCOUNT.account_of(answer({"assets": [asset, other], "positions": [position]}))
    assert seen.balances == {"USDT": ("1000", "0"), "BNB": ("3", "0"), "BTCUSDT": ("0.02", "0")}
    assert seen.us == 1_700_000_000_099_000  # of the youngest change
    assert seen.margins["USDT"] == (e8("990"), e8("2.4"), e8("900"))


@pytest.mark.parametrize(("own", "margin"), [("0", "30.1"), ("45", "45")])
def test_position_binds_its_own_margin_or_what_its_size_needs(own, margin):
    """An isolated position has a margin of its own."""
    row = {"symbol": "BTCUSDT", "positionAmt": "-0.02", "entryPrice": "30000", "markPrice": "30100"}
    row |= {"unRealizedProfit": "-2", "liquidationPrice": "45000", "maintMargin": "2.4"}
    row |= {"isolatedWallet": own, "positionInitialMargin": "30.1"}
    seen = VENUE.contract.position_of(answer([row]))
    amounts = ("-0.02", "30000", "30100", "45000", margin, "2.4")
    assert [e8(text) for text in seen.row().values()] == [e8(text) for text in amounts]
    assert VENUE.contract.position_of(answer([])).qty_e8 == 0


def test_payments_are_known_by_kind_and_number():
    """Trades are booked by themselves: profits and commissions are no payments."""
    rows = [
        {
            "symbol": "BTCUSDT",
            "incomeType": kind,
            "income": "-0.375",
            "asset": "USDT",
            "time": 1700000000000,
            "tranId": 9,
        }
        for kind in ("FUNDING_FEE", "COMMISSION", "REALIZED_PNL", "INSURANCE_CLEAR")
    ]
    found, count = VENUE.contract.incomes_of(answer(rows))
    assert count == 4
    assert [one.id for one in found] == ["FUNDING_FEE:9", "INSURANCE_CLEAR:9"]
    assert found[0].amount_e8 == e8("-0.375")


def test_setup_is_that_of_the_symbol():
    """Modes are of the account, leverage and margin type of the symbol."""
    configs = [{"symbol": "ETHUSDT", "marginType": "CROSSED", "leverage": 3, "maxNotionalValue": "1"}]
    own = {"symbol": "BTCUSDT", "marginType": "ISOLATED", "leverage": 20, "maxNotionalValue": "5000000"}
    answers = [answer({"dualSidePosition": True}), answer({"multiAssetsMargin": False}), answer([*configs, own])]
    assert VENUE.contract.setup_of(answers) == ContractSetup(True, False, True, 20, e8("5000000"))
    with pytest.raises(DataError):
        VENUE.contract.setup_of([*answers[:2], answer(configs)])


@pytest.mark.parametrize(("text", "isolated"), [("ISOLATED", True), ("isolated", True), ("CROSSED", False)])
def test_margin_type_is_read_in_either_case(text, isolated):
    """Answers of the exchange have both."""
    own = {"symbol": "BTCUSDT", "marginType": text, "leverage": 20}
    answers = [answer({"dualSidePosition": False}), answer({"multiAssetsMargin": False}), answer([own])]
    assert VENUE.contract.setup_of(answers).isolated is isolated


@pytest.mark.parametrize(("locked", "until_us"), [(True, 1_700_000_000_000_000), (False, 0)])
def test_trading_rule_binds_only_while_it_is_locked(locked, until_us):
    """The time of a lock that is over may still be told."""
    rule = {"indicator": "GCR", "value": 0.5, "triggerValue": 0.99, "isLocked": locked}
    body = {"indicators": {"BTCUSDT": [rule | {"plannedRecoverTime": 1_700_000_000_000}]}}
    (found,) = VENUE.contract.trading_rules_of(answer(body))
    assert found.until_us == until_us


def test_terms_of_a_perpetual_are_read():
    """Grid, least notional and counts of orders come from the exchange."""
    terms = of_info()
    assert terms.instrument.tick_e8 == e8("0.1")
    assert terms.instrument.min_notional_e8 == e8("100")
    assert terms.filters.most_orders == 200
    assert [one.limit for one in terms.limits] == [2400, 300, 1200]
    assert terms.filters.no_amendment(order(exchange_id=7), "0.005").why is Why.AMENDMENT


def test_only_an_order_that_reduces_may_be_below_the_least_notional():
    """The exchange exempts it, so what is left of a position can be closed; its other filters hold."""
    checks = of_info().filters
    assert checks.refusal(-1, "1000", "0.013", "IOC", []).why is Why.NOTIONAL
    assert checks.refusal(-1, "1000", "0.013", "IOC", [], reduces=True) is None
    assert checks.refusal(-1, "1000", "0", "IOC", [], reduces=True).why is Why.QUANTITY


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"symbol": "ETHUSDT"}, DataError),
        ({"contractType": "CURRENT_QUARTER"}, UsageError),
        ({"marginAsset": "BTC"}, UsageError),
    ],
)
def test_symbol_that_cannot_be_traded_is_refused(more, error):
    """A contract that is not linear, or a dated one: nothing is sent."""
    with pytest.raises(error):
        of_info(**more)


def test_contract_in_settlement_has_its_status():
    """What rests in it is cancelled, by its grid."""
    assert (of_info(status="SETTLING").halted, of_info().halted) == ("SETTLING", "")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (-5022, Why.CROSSES),
        (-2019, Why.FUNDS),
        (-2027, Why.BRACKET),
        (-4164, Why.NOTIONAL),
        (-4016, Why.BAND),
        (-4005, Why.QUANTITY),
        (-2025, Why.OPEN_ORDERS),
        (-4116, Why.DUPLICATE),
        (-5027, Why.AMENDMENT),
        (-4141, Why.FILTER),
    ],
)
def test_refusals_of_futures_are_known(code, why):
    """What the engine does next depends on what a refusal means."""
    assert why_of(code, "text") is why
    assert outcome_of(400, code) is Outcome.REFUSED
