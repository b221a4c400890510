"""What Binance's markets share: signatures, the form of answers, error codes, times."""

from collections.abc import Mapping
from urllib.parse import quote

from msgspec import Raw, Struct
from msgspec.json import Decoder

from mm.clock import exchange_us
from mm.instrument import e8
from mm.live.venues.codes import (
    AMEND_REFUSED,
    CLOSED,
    FILTER_FAILED,
    INCONCLUSIVE,
    MOST_OPEN_ORDERS,
    NO_MARGIN,
    NO_SUCH_ORDER,
    NO_SUCH_SYMBOL,
    NOT_AUTHORIZED,
    NOT_OPENING,
    OF_MODIFYING,
    OF_REDUCING,
    OF_RESTRICTIONS,
    OF_THE_PRICE,
    OF_THE_QUANTITY,
    ORDER_REFUSED,
    OTHER_POSITION_SIDE,
    OVER_LEVERAGE,
    OVERLOADED,
    SAME_CLIENT_ID,
    SMALL_NOTIONAL,
    STALE_TIMESTAMP,
    TOO_MANY_ORDERS,
    TOO_MANY_REQUESTS,
    UNKNOWN_ORDER,
    WOULD_TAKE,
)
from mm.live.venues.fills import BUY, SELL
from mm.live.venues.keys import Credentials, sorted_payload
from mm.live.venues.live_orders import OrderSeen, OrderState
from mm.live.venues.refusals import Why
from mm.live.venues.requests import ApiAnswer, ExchangeClock, Outcome, RequestParams

STATES: Mapping[str, OrderState] = {
    "NEW": OrderState.LIVE,
    "PARTIALLY_FILLED": OrderState.LIVE,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
    "REJECTED": OrderState.REJECTED,
}
"""The exchange's names of states; an order of any other is open."""
CODES: Mapping[Why, int] = {
    Why.OTHER: ORDER_REFUSED,
    Why.NO_ORDER: NO_SUCH_ORDER,
    Why.NOT_CANCELLED: UNKNOWN_ORDER,
}
"""Codes of what is inferred here, from a state or from a query."""
_WHY = {
    **dict.fromkeys(NOT_AUTHORIZED, Why.KEY),
    STALE_TIMESTAMP: Why.CLOCK,
    OVERLOADED: Why.BUSY,
    TOO_MANY_REQUESTS: Why.REQUESTS,
    TOO_MANY_ORDERS: Why.ORDER_RATE,
    NO_SUCH_SYMBOL: Why.SYMBOL,
    NO_SUCH_ORDER: Why.NO_ORDER,
    UNKNOWN_ORDER: Why.NO_ORDER,
    AMEND_REFUSED: Why.AMENDMENT,
    **dict.fromkeys(OF_MODIFYING, Why.AMENDMENT),
    **dict.fromkeys(OF_THE_PRICE, Why.BAND),
    **dict.fromkeys(OF_THE_QUANTITY, Why.QUANTITY),
    **dict.fromkeys((NOT_OPENING, CLOSED), Why.FILTER),
    NO_MARGIN: Why.FUNDS,
    OVER_LEVERAGE: Why.BRACKET,
    MOST_OPEN_ORDERS: Why.OPEN_ORDERS,
    SMALL_NOTIONAL: Why.NOTIONAL,
    WOULD_TAKE: Why.CROSSES,
    OTHER_POSITION_SIDE: Why.SETUP,
    **dict.fromkeys(OF_RESTRICTIONS, Why.RESTRICTED),
    **dict.fromkeys(OF_REDUCING, Why.REDUCE_ONLY),
    SAME_CLIENT_ID: Why.DUPLICATE,
}
_FILTERS = {  # by a part of the filter's name, the longer one first
    "PERCENT_PRICE": Why.BAND,
    "PRICE_FILTER": Why.BAND,
    "NOTIONAL": Why.NOTIONAL,
    "LOT_SIZE": Why.QUANTITY,
    "MAX_NUM_ORDERS": Why.OPEN_ORDERS,
}
_DUPLICATE = "Duplicate order"


def stamp_us(stamp: int) -> int:
    return exchange_us(stamp) if stamp else 0


def side_of(name: str) -> int:
    return BUY if name == "BUY" else SELL


class OrderAnswer(Struct, gc=False):
    orderId: int = -1
    clientOrderId: str = ""
    status: str = ""
    executedQty: str = "0"
    origQty: str = "0"
    price: str = ""
    side: str = ""
    type: str = ""
    updateTime: int = 0


class OrderReport(Struct, gc=False):
    s: str
    c: str
    S: str
    x: str
    X: str
    i: int
    q: str = "0"
    l: str = "0"  # noqa: E741 - the exchange's name
    z: str = "0"
    L: str = "0"
    n: str = "0"
    N: str | None = None
    T: int = 0
    t: int = -1
    m: bool = False

    @property
    def symbol(self) -> str:
        return self.s

    @property
    def exchange_id(self) -> int:
        return self.i

    @property
    def side(self) -> int:
        return side_of(self.S)

    def seen(self, client_id: str, us: int) -> OrderSeen:
        return order_seen(client_id, self.i, self.X, (self.z, self.q), us, self.T)


def order_seen(
    client_id: str, order_id: int, status: str, quantities: tuple[str, str], us: int, since: int
) -> OrderSeen:
    """Make the order from executed and ordered *quantities*, arrival time *us* and the exchange's stamp *since*."""
    executed_e8, qty_e8 = map(e8, quantities)
    return OrderSeen(client_id, order_id, STATES.get(status, OrderState.LIVE), executed_e8, us, qty_e8, stamp_us(since))


def outcome_of(status: int, code: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome.DONE
    if code == OVERLOADED:
        return Outcome.REFUSED
    return Outcome.UNKNOWN if code in INCONCLUSIVE or not 400 <= status < 500 else Outcome.REFUSED


def why_of(code: int, message: str) -> Why:
    if "immediately match" in message:
        return Why.CROSSES
    if "insufficient balance" in message:
        return Why.FUNDS
    if code == ORDER_REFUSED and message.startswith(_DUPLICATE):
        return Why.DUPLICATE
    if code == FILTER_FAILED:
        return next((why for name, why in _FILTERS.items() if name in message), Why.FILTER)
    return _WHY.get(code, Why.OTHER)


# ---------------------------------------------------------------------- the form of answers


class ApiLimit(Struct, gc=False):
    rateLimitType: str
    interval: str
    intervalNum: int
    limit: int
    count: int = 0


class WsError(Struct, gc=False):
    code: int = 0
    msg: str = ""
    data: Raw = Raw(b"")


class WsMessage(Struct):
    id: int | str | None = None
    status: int = 0
    result: Raw = Raw(b"")
    error: WsError | None = None
    rateLimits: list[ApiLimit] = []
    event: Raw = Raw(b"")


class RetryData(Struct, gc=False):
    """``data`` of a refusal for too many requests; instants in ms or µs."""

    serverTime: int = 0
    retryAfter: int = 0


class ServerTime(Struct, gc=False):
    serverTime: int


class EventHead(Struct, gc=False):
    e: str = ""


WS_MESSAGE = Decoder(WsMessage)
EVENT_HEAD = Decoder(EventHead)
WS_ERROR = Decoder(WsError)
RETRY_DATA = Decoder(RetryData)
SERVER_TIME = Decoder(ServerTime)
LIMITS = Decoder(list[ApiLimit])


def time_us(answer: ApiAnswer) -> int:
    return exchange_us(SERVER_TIME.decode(answer.result).serverTime)


# ---------------------------------------------------------------------- signatures


class Signer:
    """Signs requests, which the exchange accepts for *window_ms* after their timestamp."""

    def __init__(self, credentials: Credentials, clock: ExchangeClock, window_ms: int) -> None:
        self.credentials = credentials
        self.clock = clock
        self.window_ms = window_ms

    def stamped(self, parameters: RequestParams) -> dict[str, str | int]:
        return {**parameters, "recvWindow": self.window_ms, "timestamp": self.clock.timestamp_ms()}

    def signed(self, parameters: RequestParams) -> dict[str, str | int]:
        named = self.stamped(parameters)
        named["apiKey"] = self.credentials.key
        named["signature"] = self.credentials.sign(sorted_payload(named))
        return named

    def query(self, stamped: RequestParams) -> str:
        payload = unsigned_query(stamped)
        return f"{payload}&signature={quote(self.credentials.sign(payload), safe='')}"


def unsigned_query(parameters: RequestParams) -> str:
    return "&".join(f"{name}={quote(str(value), safe='')}" for name, value in parameters.items())
