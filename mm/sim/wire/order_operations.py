"""What users do with orders."""

from typing import Any

from mm.sim.exchange import api_error
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
from mm.sim.wire import account_answers, order_answers
from mm.sim.wire.operations import Call, Operation, by_presence, flat
from mm.sim.wire.symbol_texts import Json

_ORDER = "/api/v3/order"


def _place(call: Call) -> Json:
    new = read_new_order(call.asked, call.exchange.rules)
    return order_answers.placed(call.texts, call.exchange.place(call.us, call.account, new))


def _test(call: Call) -> Json:
    new = read_new_order(call.asked, call.exchange.rules)
    call.exchange.check(call.account, new)
    if not call.asked.flag("computeCommissionRates", False):
        return {}
    rates = account_answers.commission(call.texts)
    return {
        f"{name}ForOrder": {kind: rates[name][kind] for kind in ("maker", "taker")}
        for name in ("standardCommission", "specialCommission", "taxCommission")
    } | {"discount": rates["discount"]}


def _cancel(call: Call) -> Json:
    done = call.exchange.cancel(call.us, call.account, read_cancel(call.asked))
    return order_answers.cancelled(call.texts, done)


def _cancel_all(call: Call) -> list[Json]:
    call.asked.symbol()
    return [order_answers.cancelled(call.texts, done) for done in call.exchange.cancel_all(call.us, call.account)]


def _cancel_replace(call: Call) -> Json:
    new, request = read_new_order(call.asked, call.exchange.rules), read_replace(call.asked)
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
        return order_answers.cancelled(call.texts, result)
    if isinstance(result, UserOrder):
        return order_answers.placed(call.texts, result)
    return result.content() if result else None


def _amend(call: Call) -> Json:
    request, lots = read_amend(call.asked, call.exchange.rules)
    return order_answers.amended(call.texts, *call.exchange.amend(call.us, call.account, request, lots))


def _query(call: Call) -> Json:
    call.asked.symbol()
    order, agree = call.exchange.users.find(call.account, *read_which(call.asked))
    if not order:
        raise api_error.no_such_order()
    if not agree:
        raise ApiError(-2039, "Client order ID is not correct for this order ID")
    return order_answers.queried(call.texts, order)


def _open_orders(call: Call) -> list[Json]:
    call.asked.is_for_all()
    return [order_answers.queried(call.texts, order) for order in call.exchange.users.open(call.account)]


def _amendments(call: Call) -> list[Json]:
    asked = call.asked
    asked.symbol()
    asked.must("orderId")
    order, _ = call.exchange.users.find(call.account, asked.whole("orderId"), "")
    if not order:
        raise api_error.no_such_order()
    first = asked.whole("fromExecutionId") or 0
    found = [one for one in order.amendments if one.execution_id >= first]
    return [order_answers.amendment(call.texts, order, one) for one in found[: asked.limit(500, 1_000)]]


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
