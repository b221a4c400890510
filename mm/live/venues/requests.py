"""Requests to Binance Spot: the exchange's clock, the signature, the receive window, and the two transports.

A request is sent once and immediately, or not at all. `done` is called with its answer, never before `request` has
returned.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import quote

from mm.clock import US_PER_MS, exchange_us, now_us
from mm.live.venues.keys import Credentials, sorted_payload
from mm.live.venues.messages import NO_CONNECTION, SERVER_TIME, ApiAnswer, Outcome

RequestParams = Mapping[str, str | int]
Done = Callable[[ApiAnswer], None]
Send = Callable[[str, RequestParams, Done], int]
"""Sends a request: `OrderApi.request`."""


REST_ROUTES = {
    "order.place": ("POST", "/api/v3/order"),
    "order.cancel": ("DELETE", "/api/v3/order"),
    "order.cancelReplace": ("POST", "/api/v3/order/cancelReplace"),
    "order.amend.keepPriority": ("PUT", "/api/v3/order/amend/keepPriority"),
    "order.status": ("GET", "/api/v3/order"),
    "openOrders.status": ("GET", "/api/v3/openOrders"),
    "openOrders.cancelAll": ("DELETE", "/api/v3/openOrders"),
    "myTrades": ("GET", "/api/v3/myTrades"),
    "account.status": ("GET", "/api/v3/account"),
    "account.rateLimits.orders": ("GET", "/api/v3/rateLimit/order"),
    "exchangeInfo": ("GET", "/api/v3/exchangeInfo"),
    "avgPrice": ("GET", "/api/v3/avgPrice"),
    "ticker.price": ("GET", "/api/v3/ticker/price"),
    "time": ("GET", "/api/v3/time"),
}
"""REST verb and path of each method of the WebSocket API that is used."""
UNSIGNED = frozenset(("time", "exchangeInfo", "avgPrice", "ticker.price", "userDataStream.subscribe"))
"""Methods without a timestamp; for a subscription, the session is signed."""
WEIGHTS = {
    "order.amend.keepPriority": 4,
    "order.status": 4,
    "openOrders.status": 6,
    "myTrades": 20,
    "account.status": 20,
    "account.rateLimits.orders": 40,
    "exchangeInfo": 20,
    "avgPrice": 2,
    "ticker.price": 2,
    "session.logon": 2,
    "userDataStream.subscribe": 2,
    "userDataStream.subscribe.signature": 2,
}
"""Request weight of methods; all others have weight 1."""
COUNTED = frozenset(("order.place", "order.cancelReplace"))
"""Methods that count as orders."""
STAMPED_ONCE = COUNTED | {"order.amend.keepPriority"}
"""Methods whose request keeps its first timestamp, which determines until when the exchange accepts it."""


class ExchangeClock:
    """The exchange's time: our clock plus the measured offset.

    Args:
        now_us: Returns our wall clock, in µs.

    Attributes:
        now_us: As given.
        offset_us: The exchange's clock less ours, in µs.
        doubted: Is called when the exchange has rejected a timestamp.
    """

    def __init__(self, now_us: Callable[[], int] = now_us) -> None:
        self.now_us = now_us
        self.offset_us = 0
        self.doubted: Callable[[], None] = lambda: None

    def timestamp_ms(self) -> int:
        """Return the estimated exchange time in whole ms."""
        return (self.now_us() + self.offset_us) // US_PER_MS

    def measured(self, sent_us: int, server_us: int, received_us: int) -> None:
        """Measure the offset from the exchange's time in an answer, taken to be read at half the round trip."""
        if received_us >= sent_us:
            self.offset_us = server_us - (sent_us + received_us) // 2


class Signer:
    """Makes signed request parameters.

    Args:
        credentials: Key and signature.
        clock: Gives their timestamps.
        window_ms: Receive window: time after its timestamp in which the exchange accepts a request.
    """

    def __init__(self, credentials: Credentials, clock: ExchangeClock, window_ms: int) -> None:
        self.credentials = credentials
        self.clock = clock
        self.window_ms = window_ms

    def stamped(self, parameters: RequestParams) -> dict[str, str | int]:
        """Return *parameters* with timestamp and receive window, sufficient for a logged-on session."""
        return {**parameters, "recvWindow": self.window_ms, "timestamp": self.clock.timestamp_ms()}

    def signed(self, parameters: RequestParams) -> dict[str, str | int]:
        """Return *parameters* with timestamp, window, key and signature, for the WebSocket API."""
        named = self.stamped(parameters)
        named["apiKey"] = self.credentials.key
        named["signature"] = self.credentials.sign(sorted_payload(named))
        return named

    def query(self, stamped: RequestParams) -> str:
        """Return *stamped* as the query of a REST request, with its signature."""
        payload = unsigned_query(stamped)
        return f"{payload}&signature={quote(self.credentials.sign(payload), safe='')}"


def unsigned_query(parameters: RequestParams) -> str:
    """Return *parameters* as a query, in their order, percent-encoded."""
    return "&".join(f"{name}={quote(str(value), safe='')}" for name, value in parameters.items())


class OrderApi(Protocol):
    """A transport to the exchange: the WebSocket API, or REST."""

    @property
    def up(self) -> bool:
        """Whether a request can be sent now."""

    def request(self, method: str, parameters: RequestParams, done: Done) -> int:
        """Send a request and return its timestamp, in ms of the exchange; *done* is called later with the answer."""


def unsent(done: Done, clock: ExchangeClock, why: str) -> None:
    """Call *done* in the next iteration of the event loop, with the answer that the request was not sent."""
    answer = ApiAnswer(Outcome.UNSENT, clock.now_us(), code=NO_CONNECTION, message=why)
    asyncio.get_running_loop().call_soon(done, answer)


async def answer_of(send: Send, method: str, parameters: RequestParams) -> ApiAnswer:
    """Send a request and return its answer."""
    future: asyncio.Future[ApiAnswer] = asyncio.get_running_loop().create_future()

    def done(answer: ApiAnswer) -> None:
        if not future.done():
            future.set_result(answer)

    send(method, parameters, done)
    return await future


async def measure(send: Send, clock: ExchangeClock) -> None:
    """Measure the exchange's clock, if it answers."""
    sent_us = clock.now_us()
    answer = await answer_of(send, "time", {})
    if answer.outcome is Outcome.DONE:
        clock.measured(sent_us, exchange_us(SERVER_TIME.decode(answer.result).serverTime), answer.us)
