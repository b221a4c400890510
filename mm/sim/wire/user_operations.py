"""The operations of users: orders and account queries."""

from collections.abc import Callable
from functools import partial
from typing import Any

from mm.sim.exchange import api_error
from mm.sim.exchange.accounts import DAY_US
from mm.sim.exchange.api_error import BAD_REQUEST, CONFLICT, TOO_MANY, ApiError
from mm.sim.exchange.orders import UserOrder
from mm.sim.exchange.parameters import read_amend, read_cancel, read_new_order, read_replace
from mm.sim.exchange.trades import page
from mm.sim.wire.answers import Json
from mm.sim.wire.operations import Call, Operation, by_presence


def _place(call: Call) -> Json:
    new = read_new_order(call.parameters, call.exchange.rules)
    return call.texts.placed(call.exchange.place(call.us, call.account, new))


def _test(call: Call) -> Json:
    new = read_new_order(call.parameters, call.exchange.rules)
    call.exchange.check(call.account, new)
    if not call["computeCommissionRates"]:
        return {}
    rates = call.texts.commission(call.exchange.settlement.rates_e8)
    return {
        f"{name}ForOrder": {kind: rates[name][kind] for kind in ("maker", "taker")}
        for name in ("standardCommission", "specialCommission", "taxCommission")
    } | {"discount": rates["discount"]}


def _cancel(call: Call) -> Json:
    return call.texts.cancelled(call.exchange.cancel(call.us, call.account, read_cancel(call.parameters)))


def _cancel_all(call: Call) -> list[Json]:
    return [call.texts.cancelled(order) for order in call.exchange.cancel_all(call.us, call.account)]


def _cancel_replace(call: Call) -> Json:
    new, request = read_new_order(call.parameters, call.exchange.rules), read_replace(call.parameters)
    done = call.exchange.cancel_replace(call.us, call.account, request, new)
    cancel_ok, order_ok = isinstance(done.cancelled, UserOrder), isinstance(done.placed, UserOrder)
    content = {
        "cancelResult": "SUCCESS" if cancel_ok else "FAILURE",
        "newOrderResult": "NOT_ATTEMPTED" if done.placed is None else "SUCCESS" if order_ok else "FAILURE",
        "cancelResponse": _part(done.cancelled, call.texts.cancelled),
        "newOrderResponse": _part(done.placed, call.texts.placed),
    }
    if cancel_ok and order_ok:
        return content
    # An exceeded order limit affects the status only if a failure had to stop the replacement.
    exceeded = done.exceeded and request.stop_on_failure
    if cancel_ok or order_ok:
        status = TOO_MANY if exceeded else CONFLICT
        raise ApiError(-2021, "Order cancel-replace partially failed.", status, data=content)
    raise ApiError(-2022, "Order cancel-replace failed.", TOO_MANY if exceeded else BAD_REQUEST, data=content)


def _part(result: UserOrder | ApiError | None, answer: Callable[[UserOrder], Json]) -> Json | None:
    if isinstance(result, UserOrder):
        return answer(result)
    return result.content() if result else None


def _amend(call: Call) -> Json:
    request, lots = read_amend(call.parameters, call.exchange.rules)
    return call.texts.amended(*call.exchange.amend(call.us, call.account, request, lots))


def _query(call: Call) -> Json:
    order, ids_match = call.exchange.users.find(call.account, *call.parameters.order_key())
    if not order:
        raise api_error.no_such_order()
    if not ids_match:
        raise ApiError(-2039, "Client order ID is not correct for this order ID")
    return call.texts.queried(order)


def _open_orders(call: Call) -> list[Json]:
    call.parameters.is_for_all()
    return [call.texts.queried(order) for order in call.exchange.users.open(call.account)]


def _amendments(call: Call) -> list[Json]:
    order, _ = call.exchange.users.find(call.account, call["orderId"], "")
    if not order:
        raise api_error.no_such_order()
    first = call["fromExecutionId"] or 0
    amendments = [amendment for amendment in order.amendments if amendment.execution_id >= first]
    return [call.texts.amendment(order, amendment) for amendment in amendments[: call["limit"]]]


def _account(call: Call) -> Json:
    rates_e8 = call.exchange.settlement.rates_e8
    return call.texts.account(call.owner, rates_e8, omit_zero=call["omitZeroBalances"])


def _commission(call: Call) -> Json:
    return call.texts.commission(call.exchange.settlement.rates_e8)


def _all_orders(call: Call) -> list[Json]:
    first, span, limit = call["orderId"], call.parameters.span(DAY_US), call["limit"]
    orders = call.exchange.users.all(call.account)
    chosen = page(orders, first, "order_id", span, limit, lambda order: order.us)
    return [call.texts.queried(order) for order in chosen]


def _my_trades(call: Call) -> list[Json]:
    order_id, first = call["orderId"], call["fromId"]
    span, limit = call.parameters.span(DAY_US), call["limit"]
    if span != (None, None) and (first, order_id) != (None, None):
        raise api_error.bad_combination()
    fills = [fill for fill in call.exchange.users.fills(call.account) if order_id in (None, fill.order_id)]
    chosen = page(fills, first, "trade_id", span, limit, lambda fill: fill.us)
    return [call.texts.own_trade(fill) for fill in chosen]


def _prevented_matches(call: Call) -> list[Json]:
    match_id, order_id = call["preventedMatchId"], call["orderId"]
    first, limit = call["fromPreventedMatchId"], call["limit"]
    if (match_id is None) == (order_id is None) or (first is not None and order_id is None):
        raise api_error.bad_combination()
    matches = [
        match
        for match in call.exchange.users.prevented(call.account)
        if match_id in (None, match.match_id)
        and (order_id is None or order_id in (match.taker_id, match.maker_id))
        and match.match_id >= (first or 0)
    ]
    return [call.texts.prevented(match) for match in matches[:limit]]


def _order_counts(call: Call) -> list[Json]:
    return call.owner.count.entries(call.us)


def _filters(call: Call) -> Json:
    return {"exchangeFilters": [], "symbolFilters": call.exchange.rules.filters(), "assetFilters": []}


def _none(_: Call) -> list[Json]:
    return []


def _no_list(_: Call) -> Json:
    raise ApiError(-2013, "Order list does not exist.")


def _unknown_list(_: Call) -> Json:
    raise ApiError(-2011, "Unknown order sent.")


def _refuse(what: str) -> Callable[[Call], Json]:
    def run(_: Call) -> Json:
        raise api_error.invalid_message(f"{what} orders are not supported for this symbol.")

    return run


def _test_weight(given: Any) -> int:
    return 20 if given.get("computeCommissionRates") == "true" else 1


_ORDER = (
    "symbol side type timeInForce quantity quoteOrderQty price newClientOrderId strategyId strategyType stopPrice "
    "trailingDelta icebergQty newOrderRespType selfTradePreventionMode"
)
"""All parameters of a new order that the exchange recognises, including unsupported ones that are refused."""
_WHICH = "symbol! orderId origClientOrderId"
_REPLACED = "cancelReplaceMode cancelNewClientOrderId cancelOrigClientOrderId cancelOrderId cancelRestrictions"
_AMEND, _MATCHES = "order.amend.keepPriority", "symbol! preventedMatchId orderId fromPreventedMatchId limit"
_LIST, _ALLOCATIONS = "listClientOrderId orderListId", "symbol! startTime endTime fromAllocationId limit orderId"
_LEG = "Type Side ClientOrderId IcebergQty Price StopPrice TrailingDelta TimeInForce StrategyId StrategyType Quantity"
_LEGS = " ".join(
    (
        "symbol! side quantity newOrderRespType selfTradePreventionMode price stopPrice stopLimitPrice",
        "stopLimitTimeInForce stopClientOrderId limitClientOrderId listClientOrderId",
        *(f"{leg}{name}" for leg in ("above", "below", "working", "pending") for name in _LEG.split()),
        *(f"pending{leg}{name}" for leg in ("Above", "Below") for name in _LEG.split()),
    )
)
"""All parameters of an order list, whose symbols allow none."""
_LISTS = {"order/oco": "", "orderList/oco": "OCO", "orderList/oto": "OTO", "orderList/otoco": "OTOCO"}
_signed = partial(Operation, signed=True)
USER_OPERATIONS = (
    _signed("POST order", "order.place", _place, _ORDER, counts_orders=True),
    _signed("POST order/test", "order.test", _test, f"{_ORDER} computeCommissionRates", _test_weight),
    _signed("DELETE order", "order.cancel", _cancel, f"{_WHICH} newClientOrderId cancelRestrictions"),
    _signed("GET order", "order.status", _query, _WHICH, 4),
    _signed(
        "POST order/cancelReplace",
        "order.cancelReplace",
        _cancel_replace,
        f"{_ORDER} {_REPLACED} orderRateLimitExceededMode",
        counts_orders=True,
    ),
    _signed("PUT order/amend/keepPriority", _AMEND, _amend, f"{_WHICH} newClientOrderId newQty", 4, counts_orders=True),
    _signed("GET order/amendments", "order.amendments", _amendments, "symbol! orderId! fromExecutionId limit", 4),
    _signed("GET openOrders", "openOrders.status", _open_orders, "symbol", by_presence("symbol", 6, 80)),
    _signed("DELETE openOrders", "openOrders.cancelAll", _cancel_all, "symbol!"),
    _signed("GET account", "account.status", _account, "omitZeroBalances", 20),
    _signed("GET account/commission", "account.commission", _commission, "symbol!", 20),
    _signed("GET allOrders", "allOrders", _all_orders, "symbol! orderId startTime endTime limit", 20),
    _signed(
        "GET myTrades",
        "myTrades",
        _my_trades,
        "symbol! orderId startTime endTime fromId limit",
        by_presence("orderId", 5, 20),
    ),
    _signed(
        "GET myPreventedMatches", "myPreventedMatches", _prevented_matches, _MATCHES, by_presence("orderId", 20, 2)
    ),
    _signed("GET rateLimit/order", "account.rateLimits.orders", _order_counts, "", 40),
    _signed("GET myFilters", "myFilters", _filters, "symbol!", 40),
    _signed("GET orderList", "orderList.status", _no_list, "origClientOrderId orderListId", 4),
    _signed("GET allOrderList", "allOrderLists", _none, "fromId startTime endTime limit", 20),
    _signed("GET openOrderList", "openOrderLists.status", _none, "", 6),
    _signed("GET myAllocations", "myAllocations", _none, _ALLOCATIONS, 20),
    _signed("DELETE orderList", "orderList.cancel", _unknown_list, f"symbol! {_LIST} newClientOrderId"),
    *(
        _signed(f"POST {path}", what and f"orderList.place.{what.lower()}", _refuse(what or "OCO"), _LEGS)
        for path, what in _LISTS.items()
    ),
    _signed("POST sor/order", "sor.order.place", _refuse("SOR"), _ORDER),
    _signed("POST sor/order/test", "sor.order.test", _refuse("SOR"), f"{_ORDER} computeCommissionRates"),
)
