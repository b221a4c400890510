"""Requests that change orders: place, amend, cancel, cancel-replace; sent once each, with responses to the states."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from mm.live.account.ledger import SIDE_NAMES
from mm.live.audit.log import AuditLog
from mm.live.orders.live_orders import LiveOrder
from mm.live.orders.states import OrderStates
from mm.live.venues.messages import (
    AMEND,
    NO_CONNECTION,
    ORDER,
    ORDERS,
    REPLACE,
    WS_ERROR,
    ApiAnswer,
    Outcome,
    ReplaceAnswer,
    WsError,
)
from mm.live.venues.requests import OrderApi, RequestParams

NOT_SENT = 0
"""The code of a local refusal: nothing was sent."""
_WIRE_TYPES: Mapping[str, RequestParams] = {
    "LIMIT_MAKER": {"type": "LIMIT_MAKER"},
    "LIMIT": {"type": "LIMIT", "timeInForce": "GTC"},
    "IOC": {"type": "LIMIT", "timeInForce": "IOC"},
    "FOK": {"type": "LIMIT", "timeInForce": "FOK"},
    "MARKET": {"type": "MARKET"},
}


class OrderSender:
    """Sends requests by one of two APIs, and processes the responses.

    Args:
        symbol: Upper case.
        window_ms: Time after its timestamp in which the exchange accepts a request, ms.
        states: Order states, which receive the results.
        apis: The API for orders, and the fallback for cancels while that one is down.
        audit: Receives the intent of each cancel.
        answered: Called with each request and its response, after the states have processed it.

    Attributes:
        cancel_sent_s: Send time of the last cancel of an order, by client id, in s of the event loop.
    """

    def __init__(
        self,
        symbol: str,
        window_ms: int,
        states: OrderStates,
        apis: tuple[OrderApi, OrderApi],
        audit: AuditLog,
        answered: Callable[[str, ApiAnswer], None],
    ) -> None:
        self.cancel_sent_s: dict[str, float] = {}
        self._symbol = symbol
        self._window_ms = window_ms
        self._states = states
        self._primary, self._fallback = apis
        self._audit = audit
        self._answered = answered

    def _terms(self, order: LiveOrder) -> dict[str, str | int]:
        terms: dict[str, str | int] = {
            "symbol": self._symbol,
            "side": SIDE_NAMES[order.side],
            **_WIRE_TYPES[order.kind],
            "quantity": order.qty,
            "newClientOrderId": order.client_id,
            "newOrderRespType": "RESULT",
        }
        return terms if order.kind == "MARKET" else terms | {"price": order.price}

    def place(self, order: LiveOrder) -> None:
        """Send an order whose intent is written."""
        order.window_ms = self._window_ms
        order.sent_ms = self._primary.request("order.place", self._terms(order), partial(self._placed, order))

    def replace(self, old: LiveOrder, new: LiveOrder) -> None:
        """Send an order with a written intent in place of *old*; if *old* cannot be cancelled, nothing is placed."""
        new.window_ms = self._window_ms
        parameters = self._terms(new)
        parameters |= {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": old.exchange_id}
        new.sent_ms = self._primary.request("order.cancelReplace", parameters, partial(self._replaced, old, new))

    def amend(self, order: LiveOrder) -> None:
        """Send the pending amendment, whose intent is written, unless a cancel has overtaken it."""
        qty = order.amend_qty
        if order.ended or order.cancelling:
            self._states.amend_refused(order, qty, order.us, NOT_SENT, "the order has ended, or is being cancelled")
            return
        which: dict[str, str | int] = {"symbol": self._symbol, "orderId": order.exchange_id}
        parameters = which | {"newClientOrderId": order.client_id, "newQty": qty}
        stamp_ms = self._primary.request("order.amend.keepPriority", parameters, partial(self._amended, order, qty))
        order.amend_until_ms = stamp_ms + self._window_ms

    def unsent(self, order: LiveOrder, us: int, why: str) -> None:
        """Handle a request with a written intent, to place or amend *order*, that is not sent."""
        if order.amend_qty:
            self._states.amend_refused(order, order.amend_qty, us, NOT_SENT, why)
        else:
            self._states.refused(order, us, NOT_SENT, why)

    def cancel(self, order: LiveOrder, api: OrderApi | None = None) -> None:
        """Write the intent of a cancel and send it, by *api* or by the best available one."""
        self._cancelling(order)
        named: dict[str, str | int] = {"symbol": self._symbol}
        if order.exchange_id > 0:
            named["orderId"] = order.exchange_id
        else:
            named["origClientOrderId"] = order.client_id
        if api is None:
            api = self._primary if self._primary.up else self._fallback
        api.request("order.cancel", named, partial(self._cancelled, order))

    def cancel_symbol(self, orders: Sequence[LiveOrder]) -> None:
        """Write the intents, and cancel all open orders of the symbol in one request; *orders* are all of them."""
        for order in orders:
            self._cancelling(order)
        done = partial(self._symbol_cancelled, orders)
        self._fallback.request("openOrders.cancelAll", {"symbol": self._symbol}, done)

    def _cancelling(self, order: LiveOrder) -> None:
        self._audit.append("intent", action="cancel", client_id=order.client_id)
        self._states.cancelling(order)
        self.cancel_sent_s[order.client_id] = asyncio.get_running_loop().time()

    def _symbol_cancelled(self, orders: Sequence[LiveOrder], answer: ApiAnswer) -> None:
        done = ORDERS.decode(answer.result) if answer.outcome is Outcome.DONE else []
        ended = {entry.own_id: entry.seen(answer.us) for entry in done}
        for order in orders:
            if order.client_id in ended:
                self._states.cancelled(order, ended[order.client_id])
            else:
                self._states.cancel_unknown(order)
        self._answered("cancel", answer)

    def _placed(self, order: LiveOrder, answer: ApiAnswer) -> None:
        if answer.outcome is Outcome.DONE:
            entry = ORDER.decode(answer.result)
            if entry.orderId > 0:
                self._states.seen(entry.seen(answer.us))
            else:
                self._states.place_unknown(order)
        elif answer.outcome is Outcome.UNKNOWN:
            self._states.place_unknown(order)
        else:
            self._states.refused(order, answer.us, _code(answer), answer.message)
        self._answered("place", answer)

    def _amended(self, order: LiveOrder, qty: str, answer: ApiAnswer) -> None:
        if answer.outcome is Outcome.DONE:
            found = AMEND.decode(answer.result)
            self._states.amended(order, qty, found.amendedOrder.seen(answer.us, found.transactTime))
        elif answer.outcome is Outcome.UNKNOWN:
            self._states.amend_unknown(order, qty)
        else:
            self._states.amend_refused(order, qty, answer.us, _code(answer), answer.message)
        self._answered("amend", answer)

    def _cancelled(self, order: LiveOrder, answer: ApiAnswer) -> None:
        if answer.outcome is Outcome.DONE:
            self._states.cancelled(order, ORDER.decode(answer.result).seen(answer.us))
        elif answer.outcome is Outcome.REFUSED:
            self._states.cancel_refused(order, answer.us, answer.code)
        else:
            self._states.cancel_unknown(order)
        self._answered("cancel", answer)

    def _replaced(self, old: LiveOrder, new: LiveOrder, answer: ApiAnswer) -> None:
        if answer.outcome is Outcome.UNKNOWN:
            self._states.cancel_unknown(old)
            self._states.place_unknown(new)
            self._answered("replace", answer)
            return
        parts = REPLACE.decode(answer.result) if answer.result else ReplaceAnswer()
        message = answer.message
        if parts.cancelResult == "SUCCESS":
            self._states.cancelled(old, ORDER.decode(parts.cancelResponse).seen(answer.us))
        else:
            refusal = _error(parts.cancelResponse, answer)
            self._states.cancel_refused(old, answer.us, refusal.code)
            if bytes(parts.cancelResponse) != b"null":
                message = f"{message} The order to replace was not cancelled: {refusal.code} {refusal.msg}"
        if parts.newOrderResult == "SUCCESS":
            self._states.seen(ORDER.decode(parts.newOrderResponse).seen(answer.us))
        else:
            refusal = _error(parts.newOrderResponse, answer, message)
            self._states.refused(new, answer.us, refusal.code, refusal.msg)
        self._answered("replace", answer)


def _code(answer: ApiAnswer) -> int:
    return NOT_SENT if answer.code == NO_CONNECTION else answer.code


def _error(part: msgspec.Raw, answer: ApiAnswer, message: str = "") -> WsError:
    """Return the error of one half of a cancel-replace; if it has none, that of the whole request."""
    found = WS_ERROR.decode(part) if bytes(part) != b"null" else WsError()
    return found if found.code else WsError(_code(answer), message or answer.message)
