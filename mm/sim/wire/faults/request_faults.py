"""Faults of users' requests: executed or not, with a wrong, late or missing response.

Each function gets an authenticated request before its execution and returns the effect; None leaves the fault pending.
"""

import math
from contextlib import suppress
from typing import Any

from mm.base.knobs import TEXT, Knob, integer, number
from mm.clock import US_PER_S
from mm.sim.exchange.api_error import BAD_REQUEST, TEAPOT, TOO_MANY, UNAUTHORIZED, ApiError
from mm.sim.exchange.orders import UserOrder
from mm.sim.wire.faults.fault import Fault, FaultKind, RequestEffect, UserRequest, micros

_INTERNAL, _OVERLOADED, _TIMED_OUT = 500, 503, 504
REVOKED = -2015
"""Code of a key that does not exist, or no longer."""
_UNKNOWN, _UNKNOWN_AFTER_ALL = -1000, -1007
_ERRORS = {
    -1000: (_INTERNAL, "An unknown error occurred while processing the request."),
    -1001: (_INTERNAL, "Internal error; unable to process your request. Please try again."),
    -1002: (UNAUTHORIZED, "You are not authorized to execute this request."),
    -1003: (TOO_MANY, "Too many requests queued."),
    -1006: (_INTERNAL, "An unexpected response was received from the message bus. Execution status unknown."),
    -1007: (
        _TIMED_OUT,
        "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    ),
    -1008: (_OVERLOADED, "Server is currently overloaded with other requests. Please try again in a few minutes."),
    -1013: (BAD_REQUEST, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    -1015: (TOO_MANY, "Too many new orders; current limit is 100 orders per 10 SECOND."),
    -1021: (BAD_REQUEST, "Timestamp for this request is outside of the recvWindow."),
    -1022: (BAD_REQUEST, "Signature for this request is not valid."),
    -2010: (BAD_REQUEST, "Account has insufficient balance for requested action."),
    -2011: (BAD_REQUEST, "Unknown order sent."),
    -2013: (BAD_REQUEST, "Order does not exist."),
    REVOKED: (UNAUTHORIZED, "Invalid API-key, IP, or permissions for action."),
}
"""HTTP status and message of each code of `error`; other codes have the status of a bad request."""
_NAMES_OF = {
    "order.cancel": ("orderId", "origClientOrderId"),
    "order.cancelReplace": ("cancelOrderId", "cancelOrigClientOrderId"),
    "order.amend.keepPriority": ("orderId", "origClientOrderId"),
    "order.modify": ("orderId", "origClientOrderId"),
}
"""Names of the parameters that identify the order to cancel or change, by method."""
_CANCEL_ALL = ("openOrders.cancelAll", "DELETE allOpenOrders")


def error_of(code: int) -> ApiError:
    status, msg = _ERRORS.get(code, (BAD_REQUEST, "The request was refused by a fault script."))
    return ApiError(code, msg, status)


def error(fault: Fault, arrival: UserRequest, effect: RequestEffect) -> RequestEffect | None:
    """A request is executed, and answered with the error `code`; with `undone=1` it is not executed."""
    if not arrival.is_of(fault["path"]):
        return None
    return effect.hit(fault, done=effect.done and not fault["undone"], error=error_of(fault["code"]))


def revoke(fault: Fault, arrival: UserRequest, effect: RequestEffect) -> RequestEffect | None:
    """Every signed request is refused with −2015 from now on, as after the key was deleted; `n` limits the number."""
    if not arrival.operation.signed:
        return None
    return effect.hit(fault, done=False, error=error_of(REVOKED))


def ack_lost(fault: Fault, arrival: UserRequest, effect: RequestEffect) -> RequestEffect | None:
    """A request is executed, and never answered; with `undone=1` it is not executed."""
    if not arrival.is_of(fault["path"]):
        return None
    return effect.hit(fault, done=effect.done and not fault["undone"], answered=False)


def ack_late(fault: Fault, arrival: UserRequest, effect: RequestEffect) -> RequestEffect | None:
    """A request is executed and answered `delay_s` seconds late; with `undone=1` it is not, and the answer is −1007."""
    if not arrival.is_of(fault["path"]):
        return None
    delay_us = effect.delay_us + (micros(fault["delay_s"]) or 0)
    if fault["undone"]:
        return effect.hit(fault, done=False, error=error_of(_UNKNOWN_AFTER_ALL), delay_us=delay_us)
    return effect.hit(fault, delay_us=delay_us)


def fill_on_cancel(fault: Fault, arrival: UserRequest, effect: RequestEffect) -> RequestEffect | None:
    """Before a cancel, an amendment or a replacement is executed, the market trades `share` of its order."""
    order = _target_order(arrival) if arrival.is_of(fault["path"]) else None
    if order is None or not effect.done:
        return None
    arrival.call.exchange.trade_with(order, max(1, math.floor(order.left_lots * fault["share"])))
    return effect.hit(fault)


def status_of_request(fault: Fault, arrival: UserRequest, effect: RequestEffect) -> RequestEffect | None:
    """Return whether `status` lets the request be executed, and for the WebSocket API the response."""
    if not fault["path"] or not arrival.is_of(fault["path"]):
        return None
    code, done = fault["code"], effect.done and fault["code"] >= _INTERNAL and not fault["undone"]
    if arrival.via == "rest":
        return effect.hit(fault, done=done)
    if code in (TEAPOT, TOO_MANY):
        retry_us = arrival.call.us + fault["retry_after"] * US_PER_S if fault["retry_after"] else None
        refusal = ApiError(-1003, "Too much request weight used; please come back later.", code, retry_us=retry_us)
        return effect.hit(fault, done=done, error=refusal)
    return effect.hit(fault, done=done, error=ApiError(_UNKNOWN, _ERRORS[_UNKNOWN][1], code))


def _target_order(arrival: UserRequest) -> UserOrder | None:
    call, method = arrival.call, arrival.operation.name
    if method in _CANCEL_ALL:
        return next(iter(call.exchange.users.open(call.account)), None)
    if method not in _NAMES_OF:
        return None
    id_name, client_name = _NAMES_OF[method]
    order, ids_match = None, False
    with suppress(ApiError):  # an invalid request is refused when it is executed
        order_id, client_id = call.parameters.order_key(id_name, client_name)
        order, ids_match = call.exchange.users.find(call.account, order_id, client_id)
    return order if order and ids_match and order.is_open else None


def _request(effect: Any, **own: Knob) -> FaultKind:
    parameters = {"n": Knob(integer(0), 1), "path": Knob(TEXT, "")} | own
    return FaultKind.of_function(effect, parameters=parameters, effect=effect)


_UNDONE = {"undone": Knob(integer(0), 0)}
REQUEST_FAULTS = (
    _request(ack_lost, **_UNDONE),
    _request(ack_late, delay_s=Knob(number(0), 1.0), **_UNDONE),
    _request(error, code=Knob(integer(), -1007), **_UNDONE),
    _request(fill_on_cancel, share=Knob(number(0), 1.0)),
    FaultKind.of_function(revoke, parameters={"n": Knob(integer(0), 0)}, effect=revoke),
)
