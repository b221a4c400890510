"""The operations of users: orders, and the questions about their accounts."""

from collections.abc import Callable
from typing import Any

from mm.sim.exchange import api_error
from mm.sim.exchange.accounts import ORDER_LIMITS
from mm.sim.exchange.api_error import BAD_REQUEST, CONFLICT, TOO_MANY, ApiError
from mm.sim.exchange.orders import Cancelled, CancelReplaced, UserOrder
from mm.sim.exchange.parameters import (
    AMEND_PARAMETERS,
    CANCEL_PARAMETERS,
    ORDER_PARAMETERS,
    REPLACE_PARAMETERS,
    read_amend,
    read_cancel,
    read_new_order,
    read_replace,
    read_which,
)
from mm.sim.exchange.trades import read_day_span, within
from mm.sim.wire import answers
from mm.sim.wire.answers import Json
from mm.sim.wire.operations import Call, Operation, Weigh, by_presence, flat

_ORDER = "/api/v3/order"


def _place(call: Call) -> Json:
    new = read_new_order(call.parameters, call.exchange.rules)
    return answers.placed(call.texts, call.exchange.place(call.us, call.account, new))


def _test(call: Call) -> Json:
    new = read_new_order(call.parameters, call.exchange.rules)
    call.exchange.check(call.account, new)
    if not call.parameters.flag("computeCommissionRates", False):
        return {}
    rates = answers.commission(call.texts)
    return {
        f"{name}ForOrder": {kind: rates[name][kind] for kind in ("maker", "taker")}
        for name in ("standardCommission", "specialCommission", "taxCommission")
    } | {"discount": rates["discount"]}


def _cancel(call: Call) -> Json:
    done = call.exchange.cancel(call.us, call.account, read_cancel(call.parameters))
    return answers.cancelled(call.texts, done)


def _cancel_all(call: Call) -> list[Json]:
    call.parameters.symbol()
    return [answers.cancelled(call.texts, done) for done in call.exchange.cancel_all(call.us, call.account)]


def _cancel_replace(call: Call) -> Json:
    new, request = read_new_order(call.parameters, call.exchange.rules), read_replace(call.parameters)
    done = call.exchange.cancel_replace(call.us, call.account, request, new)
    cancel_ok, order_ok = isinstance(done.cancelled, Cancelled), isinstance(done.placed, UserOrder)
    content = {
        "cancelResult": "SUCCESS" if cancel_ok else "FAILURE",
        "newOrderResult": "NOT_ATTEMPTED" if done.placed is None else "SUCCESS" if order_ok else "FAILURE",
        "cancelResponse": _part(call, done.cancelled),
        "newOrderResponse": _part(call, done.placed),
    }
    if cancel_ok and order_ok:
        return content
    if cancel_ok or order_ok:
        raise ApiError(-2021, "Order cancel-replace partially failed.", _status(done, CONFLICT), data=content)
    raise ApiError(-2022, "Order cancel-replace failed.", _status(done, BAD_REQUEST), data=content)


def _status(done: CancelReplaced, otherwise: int) -> int:
    """Return the status of a failure: too many orders matter only where a failure was to stop the replacement."""
    return TOO_MANY if done.exceeded and done.stop_on_failure else otherwise


def _part(call: Call, result: Cancelled | UserOrder | ApiError | None) -> Json | None:
    if isinstance(result, Cancelled):
        return answers.cancelled(call.texts, result)
    if isinstance(result, UserOrder):
        return answers.placed(call.texts, result)
    return result.content() if result else None


def _amend(call: Call) -> Json:
    request, lots = read_amend(call.parameters, call.exchange.rules)
    return answers.amended(call.texts, *call.exchange.amend(call.us, call.account, request, lots))


def _query(call: Call) -> Json:
    call.parameters.symbol()
    order, agree = call.exchange.users.find(call.account, *read_which(call.parameters))
    if not order:
        raise api_error.no_such_order()
    if not agree:
        raise ApiError(-2039, "Client order ID is not correct for this order ID")
    return answers.queried(call.texts, order)


def _open_orders(call: Call) -> list[Json]:
    call.parameters.is_for_all()
    return [answers.queried(call.texts, order) for order in call.exchange.users.open(call.account)]


def _amendments(call: Call) -> list[Json]:
    parameters = call.parameters
    parameters.symbol()
    parameters.must("orderId")
    order, _ = call.exchange.users.find(call.account, parameters.whole("orderId"), "")
    if not order:
        raise api_error.no_such_order()
    first = parameters.whole("fromExecutionId") or 0
    found = [one for one in order.amendments if one.execution_id >= first]
    return [answers.amendment(call.texts, order, one) for one in found[: parameters.limit(500, 1_000)]]


def _order(http_method: str, path: str, method: str, act: Any, **more: Any) -> Operation:
    return Operation(route=(http_method, path), method=method, act=act, signed=True, **more)


ORDER_OPERATIONS = (
    _order("POST", _ORDER, "order.place", _place, parameters=ORDER_PARAMETERS, counts_orders=True),
    _order(
        "POST",
        f"{_ORDER}/test",
        "order.test",
        _test,
        parameters=(*ORDER_PARAMETERS, "computeCommissionRates"),
        weight=lambda given: 20 if given.get("computeCommissionRates") == "true" else 1,
    ),
    _order("DELETE", _ORDER, "order.cancel", _cancel, parameters=CANCEL_PARAMETERS),
    _order("GET", _ORDER, "order.status", _query, parameters=CANCEL_PARAMETERS[:3], weight=flat(4)),
    _order(
        "POST",
        f"{_ORDER}/cancelReplace",
        "order.cancelReplace",
        _cancel_replace,
        parameters=REPLACE_PARAMETERS,
        counts_orders=True,
    ),
    _order(
        "PUT",
        f"{_ORDER}/amend/keepPriority",
        "order.amend.keepPriority",
        _amend,
        parameters=AMEND_PARAMETERS,
        weight=flat(4),
        counts_orders=True,
    ),
    _order(
        "GET",
        f"{_ORDER}/amendments",
        "order.amendments",
        _amendments,
        parameters=("symbol", "orderId", "fromExecutionId", "limit"),
        weight=flat(4),
    ),
    _order(
        "GET",
        "/api/v3/openOrders",
        "openOrders.status",
        _open_orders,
        parameters=("symbol",),
        weight=by_presence("symbol", 6, 80),
    ),
    _order("DELETE", "/api/v3/openOrders", "openOrders.cancelAll", _cancel_all, parameters=("symbol",)),
)


def _account(call: Call) -> Json:
    return answers.account(call.texts, call.owner, omit_zero=call.parameters.flag("omitZeroBalances", False))


def _commission(call: Call) -> Json:
    call.parameters.symbol()
    return answers.commission(call.texts)


def _all_orders(call: Call) -> list[Json]:
    parameters = call.parameters
    parameters.symbol()
    first, span, limit = parameters.whole("orderId"), read_day_span(parameters), parameters.limit(500, 1_000)
    orders = call.exchange.users.all(call.account)
    if first is None:
        found = within(orders, span, limit, lambda order: order.us)
    else:
        found = [order for order in orders if order.order_id >= first][:limit]
    return [answers.queried(call.texts, order) for order in found]


def _my_trades(call: Call) -> list[Json]:
    parameters = call.parameters
    parameters.symbol()
    order_id, first = parameters.whole("orderId"), parameters.whole("fromId")
    span, limit = read_day_span(parameters), parameters.limit(500, 1_000)
    if span != (None, None) and (first, order_id) != (None, None):
        raise api_error.bad_combination()
    fills = [fill for fill in call.exchange.users.fills(call.account) if order_id in (None, fill.order_id)]
    if first is None:
        found = within(fills, span, limit, lambda fill: fill.us)
    else:
        found = [fill for fill in fills if fill.trade_id >= first][:limit]
    return [answers.trade(call.texts, fill) for fill in found]


def _prevented_matches(call: Call) -> list[Json]:
    parameters = call.parameters
    parameters.symbol()
    match_id, order_id = parameters.whole("preventedMatchId"), parameters.whole("orderId")
    first, limit = parameters.whole("fromPreventedMatchId"), parameters.limit(500, 1_000)
    if (match_id is None) == (order_id is None) or (first is not None and order_id is None):
        raise api_error.bad_combination()
    found = [
        match
        for match in call.exchange.users.prevented(call.account)
        if match_id in (None, match.match_id)
        and (order_id is None or order_id in (match.taker_id, match.maker_id))
        and match.match_id >= (first or 0)
    ]
    return [answers.prevented(call.texts, match) for match in found[:limit]]


def _order_counts(call: Call) -> list[Json]:
    counts = call.owner.count.counts(call.us)
    return [limit.entry() | {"count": count} for limit, count in zip(ORDER_LIMITS, counts, strict=True)]


def _filters(call: Call) -> Json:
    call.parameters.symbol()
    return {"exchangeFilters": [], "symbolFilters": call.exchange.rules.filters(), "assetFilters": []}


def _ask(path: str, method: str, act: Callable[[Call], Any], parameters: tuple[str, ...], weight: Weigh) -> Operation:
    return Operation(
        route=("GET", f"/api/v3/{path}"), method=method, act=act, parameters=parameters, weight=weight, signed=True
    )


ACCOUNT_OPERATIONS = (
    _ask("account", "account.status", _account, ("omitZeroBalances",), flat(20)),
    _ask("account/commission", "account.commission", _commission, ("symbol",), flat(20)),
    _ask("allOrders", "allOrders", _all_orders, ("symbol", "orderId", "startTime", "endTime", "limit"), flat(20)),
    _ask(
        "myTrades",
        "myTrades",
        _my_trades,
        ("symbol", "orderId", "startTime", "endTime", "fromId", "limit"),
        by_presence("orderId", 5, 20),
    ),
    _ask(
        "myPreventedMatches",
        "myPreventedMatches",
        _prevented_matches,
        ("symbol", "preventedMatchId", "orderId", "fromPreventedMatchId", "limit"),
        by_presence("orderId", 20, 2),
    ),
    _ask("rateLimit/order", "account.rateLimits.orders", _order_counts, (), flat(40)),
    _ask("myFilters", "myFilters", _filters, ("symbol",), flat(40)),
)
