"""Rehearsals: orders without a destination that keep the code path of real orders in the processor's caches.

Between two orders there are milliseconds in which other work fills the caches; the next order then takes three times as
long as one right after it. A rehearsal runs the complete path of an order, from the trader through checks, audit row
and signature to the bytes for a socket, and the path of its response back, with separate objects: another trader,
gateway and audit log, and an exchange in memory (`RehearsedExchange`). Nothing of it reaches the real ones: it has its
own client ids, counts and states, its log is an unlinked file of one row, and its bytes end in a socket pair within
this process.
"""

import asyncio
import math
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

import httpx
import msgspec

from mm.clock import now_us
from mm.dataclass import dataclass, replace
from mm.errors import MMError, TryLater
from mm.instrument import Instrument, decimal_text
from mm.live.api_requests import REST_ROUTES
from mm.live.audit import AuditLog
from mm.live.gateway import Gateway, GatewayRun, Surroundings
from mm.live.held_reports import HeldReports
from mm.live.order_access import OrderAccess, VenueUrls
from mm.live.trader import Message, Trader, TraderParts
from mm.market_data.ws_frames import text_frame

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger as Logger

    from mm.live._live_engine import LiveEngine
    from mm.live.keys import Credentials
    from mm.live.trader import TradeAccount

GAP_S, IDLE_S = 0.0005, 0.002
"""Minimum time between two rehearsals, and maximum time without market data before one runs, in s."""
MOST_SHARE = 0.3
"""Maximum share of the loop's time: on a slow or busy machine, rehearsals are rare."""
_URLS = VenueUrls("ws://rehearsal", "http://rehearsal", "ws://rehearsal")
_METHODS = {route: method for method, route in REST_ROUTES.items()}
_PLENTY = "1000000000.00000000"
_MASK = b"\x11\x22\x33\x44"
_KEPT_ORDERS, _PRICES, _SELDOM_S = 100, 8, 3_600.0
_LIMITS = [
    {"rateLimitType": kind, "interval": unit, "intervalNum": 1, "limit": 10**6, "count": 1}
    for kind, unit in (("REQUEST_WEIGHT", "MINUTE"), ("ORDERS", "SECOND"), ("ORDERS", "DAY"))
]


@dataclass(frozen=True)
class RehearsedTerms:
    """The rehearsed order.

    Attributes:
        entry: The symbol's entry of exchangeInfo.
        grid: Grid of the engine.
        ticks: Price: the best one at the start.
        lots: Quantity, in lots of the grid.
    """

    entry: Mapping[str, Any]
    grid: Instrument
    ticks: int
    lots: int


class RehearsedExchange:
    """An exchange in memory that accepts every order, and fills none.

    Args:
        terms: The rehearsed order.
        clock: Returns the instant, in µs.
    """

    def __init__(self, terms: RehearsedTerms, clock: Callable[[], int]) -> None:
        self.clock, self._count = clock, 0
        self._price = decimal_text(terms.ticks * terms.grid.tick_e8)
        self._names: dict[int, str] = {}  # of the resting orders
        self._numbers: dict[str, int] = {}
        assets = (terms.grid.base_asset, terms.grid.quote_asset)
        self._known: dict[str, Any] = {
            "account.status": {"balances": [{"asset": one, "free": _PLENTY, "locked": "0.0"} for one in assets]},
            "exchangeInfo": {"symbols": [terms.entry], "rateLimits": _LIMITS},
            "openOrders.status": [],
            "openOrders.cancelAll": [],
            "myTrades": [],
        }

    def answer(self, method: str, given: Mapping[str, Any]) -> Any:
        """Return the result of a request."""
        if method == "order.place":
            return self._place(given)
        if method == "order.cancel":
            return self._cancel(int(given.get("orderId") or self._numbers.get(given["origClientOrderId"], 0)))
        if method == "order.cancelReplace":
            gone, new = self._cancel(int(given["cancelOrderId"])), self._place(given)
            done = {"cancelResult": "SUCCESS", "newOrderResult": "SUCCESS"}
            return {**done, "cancelResponse": gone, "newOrderResponse": new}
        return self._known.get(method, {"serverTime": self.clock(), "mins": 5, "price": self._price})

    def _place(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self._count += 1
        name = self._names[self._count] = given["newClientOrderId"]
        self._numbers[name] = self._count
        return {"orderId": self._count, "clientOrderId": name, "status": "NEW", "executedQty": "0.00000000"}

    def _cancel(self, number: int) -> dict[str, Any]:
        name = self._names.pop(number, "")
        self._numbers.pop(name, None)
        return {"orderId": number, "origClientOrderId": name, "status": "CANCELED", "executedQty": "0.00000000"}


class _RehearsedLink:
    """A connection to a `RehearsedExchange`: messages are sent through sockets, and read back at once."""

    def __init__(self, exchange: RehearsedExchange, take: Callable[[bytes, int], None]) -> None:
        self.changed = asyncio.Event()
        self._exchange, self._take = exchange, take
        self._near, self._far = socket.socketpair()
        self._far.setblocking(False)
        self._transport: asyncio.WriteTransport | None = None

    async def open(self) -> None:
        """Create a transport on the sockets."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(asyncio.Protocol, sock=self._near)

    def send(self, text: bytes) -> None:
        """Send a message, and answer it in the next iteration of the event loop."""
        assert self._transport
        self._transport.write(text_frame(text, _MASK))
        self._far.recv(1 << 16)
        asyncio.get_running_loop().call_soon(self._answer, text)

    def _answer(self, text: bytes) -> None:
        request = msgspec.json.decode(text)
        result = self._exchange.answer(request["method"], request["params"])
        answer = {"id": request["id"], "status": 200, "result": result, "rateLimits": _LIMITS}
        self._take(msgspec.json.encode(answer), self._exchange.clock())

    def close(self, reason: str = "") -> None:  # noqa: ARG002 - as of a connection
        """End it."""
        self.abort()

    def abort(self) -> None:
        """End it."""
        if self._transport:
            self._transport.close()
        else:
            self._near.close()
        self._far.close()
        self.changed.set()

    def ending(self) -> tuple[int | None, str]:
        """Return the close code, and the reason of the end."""
        return 1000, "the rehearsals have ended"


class _RehearsedRest(httpx.AsyncBaseTransport):
    """REST of a `RehearsedExchange`."""

    def __init__(self, exchange: RehearsedExchange) -> None:
        self._exchange = exchange

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        given = dict(parse_qsl(request.url.query.decode()))
        return httpx.Response(200, json=self._exchange.answer(_METHODS[request.method, request.url.path], given))


class _OneRowLog(AuditLog):
    """An audit log that keeps no row: each row overwrites the previous one, in a file without a name."""

    def __init__(self, path: "Path") -> None:
        path.unlink(missing_ok=True)
        super().__init__(path, sync=False)
        path.unlink()

    def append(self, type: str, /, **fields: object) -> int:
        """Write a row over the last one."""
        self._size = 0
        return super().append(type, **fields)


class _RehearsedEngine:
    """The engine interface of a trader: it replaces its one order of each side again and again.

    Args:
        terms: The rehearsed order.
    """

    killed_for = None

    def __init__(self, terms: RehearsedTerms) -> None:
        self.manager = self
        self._terms, self._count = terms, 0
        self._resting: dict[int, int] = {}

    def advance(self, us: int) -> list[Message]:  # noqa: ARG002 - the engine's signature
        """Return an order that replaces the resting one of its side."""
        self._count += 1
        terms, side = self._terms, 1 if self._count % 2 else -1
        messages: list[Message] = []
        before, self._resting[side] = self._resting.get(side), self._count
        if before:
            messages.append(("cancel", before, side, terms.ticks, terms.lots, "LIMIT_MAKER"))
        ticks = terms.ticks - side * (self._count // 2 % _PRICES)
        messages.append(("place", self._count, side, ticks, terms.lots, "LIMIT_MAKER"))
        return messages

    def rejected(self, order_id: int, us: int, reason: str) -> None:  # noqa: ARG002 - the engine's signature
        """Handle a rejected order: the next one of its side is placed, without a replacement."""
        self._resting = {side: one for side, one in self._resting.items() if one != order_id}

    def _report(self, *_: object) -> None:
        """Ignore a report of the gateway."""

    accepted = closed = open_again = funds = pull = resume = _report


class _Silent:
    """Discards the logs of a gateway and a trader."""

    def _drop(self, event: str, **numbers: object) -> None:
        """Log nothing."""

    debug = info = warning = error = critical = _drop


class Rehearsal:
    """Rehearses an order after each market message, and while there is none.

    Args:
        terms: The order.
        credentials: Sign it as real orders.
        access: Settings of the connection for real orders.
        scratch: A temporary file next to the real audit log.
        log: Logs that there are no rehearsals, and why.
        clock: Returns the instant, in µs.

    Attributes:
        count: Number of rehearsals so far.
    """

    def __init__(
        self,
        terms: RehearsedTerms,
        credentials: "Credentials",
        access: OrderAccess,
        scratch: "Path",
        *,
        log: "Logger",
        clock: Callable[[], int] = now_us,
    ) -> None:
        self.count = 0
        self._log, self._audit = log, _OneRowLog(scratch)
        exchange, held = RehearsedExchange(terms, clock), HeldReports()
        run = GatewayRun(
            symbol=terms.grid.symbol,
            run_id="rehearsal",
            access=replace(access, reconcile_interval_s=_SELDOM_S, adopt=False),
            sync=False,
            share_budget=False,
            kept_orders=_KEPT_ORDERS,
        )
        around = Surroundings(
            clock=clock, connect=lambda _, take: _RehearsedLink(exchange, take), rest=_RehearsedRest(exchange)
        )
        self._gateway = Gateway(_URLS, credentials, run, held, self._audit, log=_Silent(), around=around)
        parts = TraderParts(
            engine=cast("LiveEngine", _RehearsedEngine(terms)),
            grid=terms.grid,
            account=cast("TradeAccount", None),  # it handles fills, and there are none
            log=_Silent(),
            clock=clock,
        )
        self._trader = Trader(parts, self._gateway)
        held.release(self._trader)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._next_s = math.inf

    async def start(self) -> None:
        """Start; if that fails, there are no rehearsals."""
        try:
            await self._gateway.start()
        except MMError as error:
            self._log.warning("not_rehearsed", why=str(error))
            return
        self._rehearse()

    def after_message(self) -> None:
        """Rehearse after the market data received so far has been processed; called after each market message."""
        if self._loop.time() >= self._next_s:
            self._plan(self._loop.call_soon(self._after_sockets))
            self._next_s = math.inf

    def _after_sockets(self) -> None:
        """Wait one more iteration of the event loop, so that data received meanwhile is processed first."""
        self._plan(self._loop.call_soon(self._rehearse))

    def _rehearse(self) -> None:
        begun_s = self._loop.time()
        self.count += 1
        self._trader.act()
        self._trader.accepted_us.clear()
        ended_s = self._loop.time()
        rest_s = (ended_s - begun_s) / MOST_SHARE
        self._next_s = ended_s + max(GAP_S, rest_s)
        self._plan(self._loop.call_at(ended_s + max(IDLE_S, rest_s), self._rehearse))

    def _plan(self, timer: asyncio.Handle) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = timer

    async def stop(self) -> None:
        """Stop rehearsing."""
        self._next_s = math.inf
        if self._timer:
            self._timer.cancel()
        await self._gateway.stop()
        with suppress(TryLater):  # none of its rows is needed
            self._audit.close()
