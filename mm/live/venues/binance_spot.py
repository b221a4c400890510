"""Binance Spot: routes, weights, requests, answers and user events."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import msgspec

from mm.instrument import Instrument
from mm.live.venues.balances import Balances
from mm.live.venues.binance import WS_ERROR, Signer, WsError, why_of
from mm.live.venues.binance_requests import AccountRequests, AccountRoutes, OrderRequests, OrderRoutes
from mm.live.venues.filters import ours_e8
from mm.live.venues.live_orders import LiveOrder, OrderSeen
from mm.live.venues.refusals import Refusal
from mm.live.venues.requests import ApiAnswer, ApiWatcher, Call, Outcome, RequestParams, Route
from mm.live.venues.rest_api import RestApi
from mm.live.venues.spot_messages import (
    ACCOUNT,
    AMEND,
    BALANCE,
    BALANCE_EVENT,
    COMMISSION,
    EXECUTION,
    EXECUTION_EVENT,
    ORDER,
    ORDERS,
    POSITION,
    POSITION_EVENT,
    PRICE,
    REPLACE,
    TRADES,
    ReplaceAnswer,
)
from mm.live.venues.symbol_info import SymbolInfo
from mm.live.venues.venue import AccountEvent, AccountSeen, FeeRates, Replaced, Wiring
from mm.live.venues.ws_api import LogOn, WsApi, linked

_WIRE_TYPES: Mapping[str, RequestParams] = {
    "LIMIT_MAKER": {"type": "LIMIT_MAKER"},
    "LIMIT": {"type": "LIMIT", "timeInForce": "GTC"},
    "IOC": {"type": "LIMIT", "timeInForce": "IOC"},
    "FOK": {"type": "LIMIT", "timeInForce": "FOK"},
    "MARKET": {"type": "MARKET"},
}

PLACE = Route("order.place", "POST", "/api/v3/order", counted=True, stamped_once=True)
CANCEL = Route("order.cancel", "DELETE", "/api/v3/order")
REPLACE_ORDER = Route("order.cancelReplace", "POST", "/api/v3/order/cancelReplace", counted=True, stamped_once=True)
AMEND_ORDER = Route("order.amend.keepPriority", "PUT", "/api/v3/order/amend/keepPriority", 4, stamped_once=True)
ORDER_STATUS = Route("order.status", "GET", "/api/v3/order", 4)
OPEN_ORDERS = Route("openOrders.status", "GET", "/api/v3/openOrders", 6)
CANCEL_ALL = Route("openOrders.cancelAll", "DELETE", "/api/v3/openOrders")
MY_TRADES = Route("myTrades", "GET", "/api/v3/myTrades", 20)
ACCOUNT_STATUS = Route("account.status", "GET", "/api/v3/account", 20)
ORDER_COUNTS = Route("account.rateLimits.orders", "GET", "/api/v3/rateLimit/order", 40)
EXCHANGE_INFO = Route("exchangeInfo", "GET", "/api/v3/exchangeInfo", 20, signed=False)
MEAN_PRICE = Route("avgPrice", "GET", "/api/v3/avgPrice", 2, signed=False)
LAST_PRICE = Route("ticker.price", "GET", "/api/v3/ticker/price", 2, signed=False)
TIME = Route("time", "GET", "/api/v3/time", signed=False)
FEE_RATES = Route("account.commission", "GET", "/api/v3/account/commission", 20)
ROUTES = (
    *(PLACE, CANCEL, REPLACE_ORDER, AMEND_ORDER, ORDER_STATUS, OPEN_ORDERS, CANCEL_ALL, MY_TRADES, ACCOUNT_STATUS),
    *(ORDER_COUNTS, EXCHANGE_INFO, MEAN_PRICE, LAST_PRICE, TIME, FEE_RATES),
)
"""All requests that REST has, too."""
LOG_ON = LogOn(
    time=TIME,
    session=Route("session.logon", "", "", 2),
    subscribe=Route("userDataStream.subscribe", "", "", 2, signed=False),  # the session is signed
    subscribe_signed=Route("userDataStream.subscribe.signature", "", "", 2),
)


class SpotAccount(AccountRequests):
    account_routes = AccountRoutes(TIME, ORDER_COUNTS, LAST_PRICE)
    weight = 6_000

    def orders_of(self, symbol: str) -> "SpotVenue":
        return SpotVenue(symbol)

    def transports(self, wiring: Wiring, watcher: ApiWatcher) -> tuple[WsApi, RestApi]:
        urls, credentials, window_ms, clock, limits, around = wiring
        signer = Signer(credentials, clock, window_ms)
        connect = around.connect or partial(linked, clock_us=around.clock)
        ws = WsApi(urls.ws_api, signer, limits, watcher, LOG_ON, connect)
        return ws, RestApi(urls.rest, signer, limits, around.rest)

    def account(self) -> Call:
        return ACCOUNT_STATUS, {"omitZeroBalances": "true"}

    def account_of(self, answer: ApiAnswer) -> AccountSeen:
        return ACCOUNT.decode(answer.result).seen()

    def price(self, answer: ApiAnswer) -> str:
        return PRICE.decode(answer.result).price

    def event(self, kind: str, body: bytes) -> AccountEvent | None:
        if kind == EXECUTION:
            return EXECUTION_EVENT.decode(body)
        if kind == POSITION:
            return POSITION_EVENT.decode(body).read()
        return BALANCE_EVENT.decode(body).read() if kind == BALANCE else None


class SpotVenue(OrderRequests):
    can_replace = can_amend = True
    can_move = False
    contract = None
    routes = OrderRoutes(
        PLACE, CANCEL, CANCEL_ALL, ORDER_STATUS, OPEN_ORDERS, MY_TRADES, OPEN_ORDERS._replace(weight=80)
    )
    wire_types = _WIRE_TYPES
    answers = ORDER, ORDERS, TRADES

    # requests that change orders

    def replace(self, old: LiveOrder, new: LiveOrder) -> Call:
        which: RequestParams = {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": old.exchange_id}
        return REPLACE_ORDER, {**self._terms(new), **which}

    def amend(self, order: LiveOrder, qty: str, price: str = "") -> Call:  # noqa: ARG002 - the protocol's
        which = self._by_id(order.exchange_id)
        return AMEND_ORDER, which | {"newClientOrderId": order.client_id, "newQty": qty}

    # queries

    def mean_price(self) -> Call:
        return MEAN_PRICE, {"symbol": self._symbol}

    def terms(self) -> Call:
        return EXCHANGE_INFO, {"symbol": self._symbol}

    def fee_rates(self) -> Sequence[Call]:
        return ((FEE_RATES, {"symbol": self._symbol}),)

    # answers

    def fee_rates_of(self, answers: Sequence[ApiAnswer]) -> FeeRates:
        return COMMISSION.decode(answers[0].result).rates()

    def seen_all(self, answer: ApiAnswer) -> list[OrderSeen]:
        return [entry.seen(answer.us) for entry in ORDERS.decode(answer.result)]

    def amended(self, answer: ApiAnswer) -> OrderSeen:
        found = AMEND.decode(answer.result)
        return found.amendedOrder.seen(answer.us, found.transactTime)

    def replaced(self, answer: ApiAnswer) -> Replaced:
        parts, message = REPLACE.decode(answer.result) if answer.result else ReplaceAnswer(), answer.message
        if parts.cancelResult == "SUCCESS":
            cancelled: OrderSeen | Refusal = ORDER.decode(parts.cancelResponse).seen(answer.us)
        else:
            cancelled = _refusal(parts.cancelResponse, answer)
            if bytes(parts.cancelResponse) != b"null":
                message = f"{message} The order to replace was not cancelled: {cancelled.code} {cancelled.message}"
        if parts.newOrderResult == "SUCCESS":
            return Replaced(cancelled, ORDER.decode(parts.newOrderResponse).seen(answer.us))
        return Replaced(cancelled, _refusal(parts.newOrderResponse, answer, message))

    def terms_of(self, answer: ApiAnswer) -> SymbolInfo:
        """Raises DataError if the exchange refuses to give the terms: it does not have the symbol."""
        return SymbolInfo(answer.result if answer.outcome is Outcome.DONE else b"{}", self._symbol)

    def ours_e8(self, instrument: Instrument, balances: Balances, orders: Iterable[LiveOrder]) -> tuple[int, int]:
        return ours_e8(instrument, balances, orders)


def _refusal(part: msgspec.Raw, answer: ApiAnswer, message: str = "") -> Refusal:
    found = WS_ERROR.decode(part) if bytes(part) != b"null" else WsError()
    if found.code:
        return Refusal(found.code, found.msg, why_of(found.code, found.msg))
    return answer.refusal._replace(message=message or answer.message)
