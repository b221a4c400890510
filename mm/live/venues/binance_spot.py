"""The requests of one symbol at Binance Spot, and what their answers say: no other module knows these words."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from mm.clock import US_PER_MS
from mm.live.account.ledger import BUY, SELL, SIDE_NAMES
from mm.live.orders.live_orders import EARLIER, LiveOrder, OrderSeen
from mm.live.venues.messages import (
    ACCOUNT,
    AMEND,
    NO_CONNECTION,
    ORDER,
    ORDERS,
    REPLACE,
    TRADES,
    WS_ERROR,
    AccountEntry,
    ApiAnswer,
    ApiLimit,
    OrderEntry,
    ReplaceAnswer,
    TradeEntry,
    WsError,
)
from mm.live.venues.requests import RequestParams

NOT_SENT = 0
"""The code of a local refusal: nothing was sent."""
PAGE = 1_000
"""The most trades that an answer has."""
Call = tuple[str, RequestParams]
"""A method of the API, and its parameters."""
Refusal = tuple[int, str]
"""The code and the message of a refusal."""
_WIRE_TYPES: Mapping[str, RequestParams] = {
    "LIMIT_MAKER": {"type": "LIMIT_MAKER"},
    "LIMIT": {"type": "LIMIT", "timeInForce": "GTC"},
    "IOC": {"type": "LIMIT", "timeInForce": "IOC"},
    "FOK": {"type": "LIMIT", "timeInForce": "FOK"},
    "MARKET": {"type": "MARKET"},
}


class Replaced(NamedTuple):
    """The outcome of a replacement.

    Attributes:
        cancelled: The old order after its cancel, or why it was not cancelled.
        placed: The new order, or why it was not placed.
    """

    cancelled: OrderSeen | Refusal
    placed: OrderSeen | Refusal


class AssetPrice(msgspec.Struct):
    """The response of ``avgPrice`` and ``ticker.price``."""

    price: str


class BinanceSpot:
    """The requests and answers of a symbol.

    Args:
        symbol: Upper case.
    """

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol

    # requests that change orders

    def place(self, order: LiveOrder) -> Call:
        """Send an order."""
        return "order.place", self._terms(order)

    def replace(self, old: LiveOrder, new: LiveOrder) -> Call:
        """Send an order in place of another; if that one cannot be cancelled, nothing is placed."""
        which: RequestParams = {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": old.exchange_id}
        return "order.cancelReplace", {**self._terms(new), **which}

    def amend(self, order: LiveOrder, qty: str) -> Call:
        """Lower an order to *qty* in all; its client id stays."""
        which = self._of(order.exchange_id)
        return "order.amend.keepPriority", which | {"newClientOrderId": order.client_id, "newQty": qty}

    def cancel(self, order: LiveOrder) -> Call:
        """Cancel an order."""
        known = self._of(order.exchange_id) if order.exchange_id > 0 else self._named(order)
        return "order.cancel", known

    def cancel_symbol(self) -> Call:
        """Cancel all open orders of the symbol."""
        return "openOrders.cancelAll", {"symbol": self._symbol}

    # queries

    def order(self, order: LiveOrder) -> Call:
        """Ask for the state of an order, by its client id."""
        return "order.status", self._named(order)

    def order_of_id(self, exchange_id: int) -> Call:
        """Ask for the state of an order, by the exchange's id."""
        return "order.status", self._of(exchange_id)

    def open_orders(self) -> Call:
        """Ask for the open orders of the symbol."""
        return "openOrders.status", {"symbol": self._symbol}

    def trades_of(self, order: LiveOrder, first_id: int | None) -> Call:
        """Ask for the trades of an order, from a trade id on, if given."""
        from_id = {} if first_id is None else {"fromId": first_id}
        return "myTrades", {**self._of(order.exchange_id), "limit": PAGE, **from_id}

    def trades_from(self, first_id: int) -> Call:
        """Ask for the account's trades from a trade id on."""
        return "myTrades", {"symbol": self._symbol, "fromId": first_id, "limit": PAGE}

    def trades_since(self, us: int) -> Call:
        """Ask for the account's trades since an instant."""
        return "myTrades", {"symbol": self._symbol, "startTime": us // US_PER_MS, "limit": PAGE}

    def last_trade(self) -> Call:
        """Ask for the account's last trade."""
        return "myTrades", {"symbol": self._symbol, "limit": 1}

    def account(self) -> Call:
        """Ask for the account's balances, those that are not zero."""
        return "account.status", {"omitZeroBalances": "true"}

    def order_counts(self) -> Call:
        """Ask how many orders the exchange has counted."""
        return "account.rateLimits.orders", {}

    def mean_price(self) -> Call:
        """Ask for the mean price of the last minutes."""
        return "avgPrice", {"symbol": self._symbol}

    def price_of(self, symbol: str) -> Call:
        """Ask for the last price of any symbol."""
        return "ticker.price", {"symbol": symbol}

    # answers

    def seen(self, answer: ApiAnswer) -> OrderSeen:
        """Return the order of an answer."""
        return ORDER.decode(answer.result).seen(answer.us)

    def seen_all(self, answer: ApiAnswer) -> list[OrderSeen]:
        """Return the orders of an answer that has several."""
        return [entry.seen(answer.us) for entry in ORDERS.decode(answer.result)]

    def amended(self, answer: ApiAnswer) -> OrderSeen:
        """Return the order after its amendment."""
        found = AMEND.decode(answer.result)
        return found.amendedOrder.seen(answer.us, found.transactTime)

    def replaced(self, answer: ApiAnswer) -> Replaced:
        """Return the outcome of a replacement, executed or refused, in both halves."""
        parts, message = REPLACE.decode(answer.result) if answer.result else ReplaceAnswer(), answer.message
        if parts.cancelResult == "SUCCESS":
            cancelled: OrderSeen | Refusal = ORDER.decode(parts.cancelResponse).seen(answer.us)
        else:
            cancelled = _refusal(parts.cancelResponse, answer)
            if bytes(parts.cancelResponse) != b"null":
                message = f"{message} The order to replace was not cancelled: {cancelled[0]} {cancelled[1]}"
        if parts.newOrderResult == "SUCCESS":
            return Replaced(cancelled, ORDER.decode(parts.newOrderResponse).seen(answer.us))
        return Replaced(cancelled, _refusal(parts.newOrderResponse, answer, message))

    def trades(self, answer: ApiAnswer) -> Sequence[TradeEntry]:
        """Return the trades of an answer."""
        return TRADES.decode(answer.result)

    def entry(self, answer: ApiAnswer) -> OrderEntry:
        """Return the order of a query."""
        return ORDER.decode(answer.result)

    def entries(self, answer: ApiAnswer) -> Sequence[OrderEntry]:
        """Return the open orders of a query."""
        return ORDERS.decode(answer.result)

    def holdings(self, answer: ApiAnswer) -> AccountEntry:
        """Return the account of a query."""
        return ACCOUNT.decode(answer.result)

    def counts(self, answer: ApiAnswer) -> Sequence[ApiLimit]:
        """Return the exchange's counts of orders."""
        return msgspec.json.decode(answer.result, type=list[ApiLimit])

    def price(self, answer: ApiAnswer) -> str:
        """Return the price of an answer, as text."""
        return msgspec.json.decode(answer.result, type=AssetPrice).price

    def earlier(self, entry: OrderEntry) -> LiveOrder:
        """Return an order for one of the exchange's that is not in the audit log."""
        side = BUY if entry.side == "BUY" else SELL
        order = LiveOrder(EARLIER, entry.clientOrderId, side, entry.price, entry.origQty, entry.type)
        order.exchange_id = entry.orderId
        return order

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

    def _of(self, exchange_id: int) -> dict[str, str | int]:
        return {"symbol": self._symbol, "orderId": exchange_id}

    def _named(self, order: LiveOrder) -> dict[str, str | int]:
        return {"symbol": self._symbol, "origClientOrderId": order.client_id}


def code_of(answer: ApiAnswer) -> int:
    """Return the code of a refusal; `NOT_SENT` if the request was not sent."""
    return NOT_SENT if answer.code == NO_CONNECTION else answer.code


def _refusal(part: msgspec.Raw, answer: ApiAnswer, message: str = "") -> Refusal:
    """Return the error of one half of a cancel-replace; if it has none, that of the whole request."""
    found = WS_ERROR.decode(part) if bytes(part) != b"null" else WsError()
    return (found.code, found.msg) if found.code else (code_of(answer), message or answer.message)
