"""What Binance's markets ask and answer alike: a market adds its routes, order types and decoders."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol, TypeVar

from msgspec import Struct
from msgspec.json import Decoder

from mm.clock import US_PER_MS
from mm.live.knobs import VenueUrls
from mm.live.venues.addresses import attempts_file, quiet_file
from mm.live.venues.binance import CODES, LIMITS, ApiLimit, time_us
from mm.live.venues.fills import SIDE_NAMES, AccountFill
from mm.live.venues.live_orders import LiveOrder, OrderSeen
from mm.live.venues.refusals import Why
from mm.live.venues.request_limits import OrderLimits
from mm.live.venues.requests import ApiAnswer, Call, RequestParams, Route
from mm.live.venues.venue import ListedOrder
from mm.market_data.rate_budget import RateBudget

PAGE = 1_000
"""The most trades that an answer has."""
_WEIGHT_S, _ATTEMPTS, _ATTEMPTS_S = 60.0, 290, 300.0  # attempts to connect; the exchange allows 300


class OfSymbol(Struct):
    symbol: str


_SYMBOLS = Decoder(list[OfSymbol])


class Entry(Protocol):
    def seen(self, us: int) -> OrderSeen: ...

    def listed(self, us: int) -> ListedOrder: ...


class Traded(Protocol):
    def fill(self) -> AccountFill: ...


_Content_co = TypeVar("_Content_co", covariant=True)


class AnswerDecoder(Protocol[_Content_co]):
    def decode(self, buf: bytes, /) -> _Content_co: ...


class AccountRoutes(NamedTuple):
    time: Route
    order_counts: Route
    last_price: Route


class OrderRoutes(NamedTuple):
    place: Route
    cancel: Route
    cancel_all: Route
    status: Route
    open_orders: Route
    trades: Route
    every_open_order: Route


class AccountRequests:
    """The part of an `AccountVenue` that both markets share."""

    account_routes: ClassVar[AccountRoutes]
    weight: ClassVar[int]
    codes: Mapping[Why, int] = CODES
    discount_asset = "BNB"
    """Commissions are taken in it, at a discount, while an account that has chosen so holds it."""

    def limits(self, urls: VenueUrls, seconds: Callable[[], float]) -> OrderLimits:
        path = quiet_file(urls.rest)
        weight = RateBudget(self.weight, _WEIGHT_S, path) if path else None
        return OrderLimits(weight, seconds, RateBudget(_ATTEMPTS, _ATTEMPTS_S, attempts_file(urls.ws_api)))

    def time(self) -> Call:
        return self.account_routes.time, {}

    def time_us(self, answer: ApiAnswer) -> int:
        return time_us(answer)

    def order_counts(self) -> Call:
        return self.account_routes.order_counts, {}

    def counts(self, answer: ApiAnswer) -> Sequence[ApiLimit]:
        return LIMITS.decode(answer.result)

    def price_of(self, asset: str, quote: str) -> Call:
        return self.account_routes.last_price, {"symbol": asset + quote}


class OrderRequests:
    """The part of a `SymbolVenue` that both markets share."""

    routes: ClassVar[OrderRoutes]
    wire_types: ClassVar[Mapping[str, RequestParams]]
    answers: ClassVar[tuple[AnswerDecoder[Entry], AnswerDecoder[Sequence[Entry]], AnswerDecoder[Sequence[Traded]]]]
    page, span_us = PAGE, 0

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol

    # requests

    def place(self, order: LiveOrder) -> Call:
        return self.routes.place, self._terms(order)

    def cancel(self, order: LiveOrder) -> Call:
        return self.routes.cancel, self._by_id(order.exchange_id) if order.exchange_id > 0 else self._named(order)

    def cancel_symbol(self) -> Call:
        return self.routes.cancel_all, {"symbol": self._symbol}

    def order(self, order: LiveOrder) -> Call:
        return self.routes.status, self._named(order)

    def order_of_id(self, exchange_id: int) -> Call:
        return self.routes.status, self._by_id(exchange_id)

    def open_orders(self) -> Call:
        return self.routes.open_orders, {"symbol": self._symbol}

    def every_open_order(self) -> Call:
        return self.routes.every_open_order, {}

    def trades_of(self, order: LiveOrder, first_id: int | None) -> Call:
        first = {} if first_id is None else {"fromId": first_id}
        return self.routes.trades, self._by_id(order.exchange_id) | first | {"limit": PAGE}

    def trades_from(self, first_id: int) -> Call:
        return self.routes.trades, {"symbol": self._symbol, "fromId": first_id, "limit": PAGE}

    def trades_since(self, us: int) -> Call:
        return self.routes.trades, {"symbol": self._symbol, "startTime": us // US_PER_MS, "limit": PAGE}

    def last_trade(self) -> Call:
        return self.routes.trades, {"symbol": self._symbol, "limit": 1}

    # answers

    def seen(self, answer: ApiAnswer) -> OrderSeen:
        return self.answers[0].decode(answer.result).seen(answer.us)

    def trades(self, answer: ApiAnswer) -> Sequence[AccountFill]:
        return [entry.fill() for entry in self.answers[2].decode(answer.result)]

    def listed(self, answer: ApiAnswer) -> ListedOrder:
        return self.answers[0].decode(answer.result).listed(answer.us)

    def listed_all(self, answer: ApiAnswer) -> Sequence[ListedOrder]:
        return [entry.listed(answer.us) for entry in self.answers[1].decode(answer.result)]

    def symbols_of(self, answer: ApiAnswer) -> set[str]:
        return {one.symbol for one in _SYMBOLS.decode(answer.result)}

    # parts of requests

    def _terms(self, order: LiveOrder) -> dict[str, str | int]:
        terms: dict[str, str | int] = {
            "symbol": self._symbol,
            "side": SIDE_NAMES[order.side],
            **self.wire_types[order.kind],
            "quantity": order.qty,
            "newClientOrderId": order.client_id,
            "newOrderRespType": "RESULT",
        }
        return terms if order.kind == "MARKET" else terms | {"price": order.price}

    def _by_id(self, exchange_id: int) -> dict[str, str | int]:
        return {"symbol": self._symbol, "orderId": exchange_id}

    def _named(self, order: LiveOrder) -> dict[str, str | int]:
        return {"symbol": self._symbol, "origClientOrderId": order.client_id}
