"""One WebSocket stream, for ever: connect, hand out every message with the time of its arrival, connect again.

Arrival is stamped when the frame comes off the socket, not when somebody gets round to reading it. Messages that had
arrived before a connection ended are still handed out, and only then is its end told.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from functools import partial
from time import perf_counter
from typing import Any, Protocol, cast
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event

from mm.clock import now_us
from mm.market_data.backoff import Backoff, retry_after_s

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
MOST_MESSAGE_BYTES = 16 << 20
MOST_WAITING_BYTES = 64 << 20
SLICE_S = 0.001


def stream_url(base: str, symbol: str, trade_stream: str) -> str:
    """Return the address of the depth stream (100 ms) and of *trade_stream* of *symbol*, with stamps in µs."""
    name = quote(symbol.lower())
    return f"{base}/stream?streams={name}@depth@100ms/{name}@{trade_stream}&timeUnit=MICROSECOND"


class Listener(Protocol):
    """What learns of connections; it is told between the messages, in their order."""

    def connected(self, url: str, conn: int) -> None:
        """Connection number *conn*, counted from 1, is open."""

    def disconnected(self, conn: int, code: int | None, reason: str) -> None:
        """Connection *conn* has ended, and all its messages were handed out."""

    def unreachable(self, reason: str) -> None:
        """An attempt to connect failed; another one follows."""


class _Stamped(ClientConnection):
    """A connection that stamps messages as they arrive, and gives up where too many wait to be read."""

    def __init__(self, clock: Callable[[], int], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock = clock
        self._arrivals: deque[tuple[int, int]] = deque()
        self._waiting_bytes = 0
        self._fragment_bytes = 0

    def process_event(self, event: Event) -> None:
        """Stamp a message when its last frame is there."""
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            self._fragment_bytes += len(event.data)
            if event.fin:
                self._arrivals.append((self._clock(), self._fragment_bytes))
                self._waiting_bytes += self._fragment_bytes
                self._fragment_bytes = 0
                if self._waiting_bytes > MOST_WAITING_BYTES:
                    self.transport.abort()
        super().process_event(event)

    async def message(self) -> tuple[int, bytes]:
        """Return the next message with its arrival, in µs; raises ConnectionClosed behind the last one."""
        raw = await self.recv(decode=False)
        arrived_us, size = self._arrivals.popleft()
        self._waiting_bytes -= size
        return arrived_us, raw


class WsStream:
    """The messages of one address, over as many connections as it takes.

    Args:
        url: Where to connect.
        backoff: Spaces the attempts.
        max_age_s: Age, in s, at which a connection is closed and another one opened.
        clock: Returns the wall clock, in µs.

    Attributes:
        connected: Whether a connection is open.
    """

    def __init__(self, url: str, backoff: Backoff, max_age_s: float, clock: Callable[[], int] = now_us) -> None:
        self.connected = False
        self._url = url
        self._backoff = backoff
        self._max_age_s = max_age_s
        self._factory = cast("type[ClientConnection]", partial(_Stamped, clock))
        self._connection: _Stamped | None = None
        self._conn = 0
        self._reason = ""
        self._stopping = False
        self._closing: asyncio.Task[None] | None = None

    async def messages(self, listener: Listener) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield each message with its arrival, in µs, until `stop`; tell *listener* of the connections."""
        loop = asyncio.get_running_loop()
        wait_s = 0.0
        while not self._stopping:
            await asyncio.sleep(max(wait_s, self._backoff.delay(loop.time())))
            try:
                connection = await self._connect()
            except (OSError, WebSocketException) as error:
                wait_s = _asked_to_wait_s(error)
                listener.unreachable(f"{type(error).__name__}: {error}")
                continue
            wait_s = 0.0
            listener.connected(self._url, self._conn)
            rest = loop.call_later(self._max_age_s, self.drop, "max_age")
            slice_s = perf_counter()
            try:
                while True:
                    yield await connection.message()
                    if perf_counter() - slice_s > SLICE_S:
                        await asyncio.sleep(0)
                        slice_s = perf_counter()
            except ConnectionClosed as closed:
                reason = self._reason or connection.close_reason or str(closed)
                self._connection, self._closing, self._reason, self.connected = None, None, "", False
                listener.disconnected(self._conn, connection.close_code, reason)
            finally:
                rest.cancel()

    def drop(self, reason: str) -> None:
        """Close the connection, if one is open; what has arrived is handed out, and another one is opened."""
        if self._connection and self._closing is None:
            self._reason = reason
            self._closing = asyncio.ensure_future(self._connection.close())

    async def stop(self, reason: str) -> None:
        """Close the connection for good; `messages` ends behind the last one that has arrived."""
        self._stopping = True
        self.drop(reason)
        if self._closing:
            await self._closing

    async def _connect(self) -> _Stamped:
        connection = await connect(
            self._url,
            create_connection=self._factory,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=MOST_MESSAGE_BYTES,
            max_queue=None,
            compression=None,
            proxy=None,
        )
        self._connection = cast(_Stamped, connection)
        self.connected = True
        self._conn += 1
        return self._connection


def _asked_to_wait_s(error: Exception) -> float:
    """Return how long the exchange wants no further attempt, in s."""
    return retry_after_s(error.response.headers.get("Retry-After")) if isinstance(error, InvalidStatus) else 0.0
