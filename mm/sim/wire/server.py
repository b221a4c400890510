"""The server: one port for HTTP, market streams and WebSocket API, and everyone who is connected to it."""

import asyncio
import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from websockets.http11 import Request as HandshakeRequest
from websockets.server import ServerProtocol

from mm.errors import UsageError
from mm.sim.wire.connections import ApiConnection, StreamConnection
from mm.sim.wire.feed import Feed
from mm.sim.wire.hooks import Faults
from mm.sim.wire.http_door import Door
from mm.sim.wire.http_messages import Answer, MessageSession, Request, Response, json_response
from mm.sim.wire.limits import Window, WireLimits
from mm.sim.wire.stream_names import API_PATH, BadTimeUnit, is_micro, read_opening
from mm.sim.wire.web_socket import GOING_AWAY, WebSocket

CONTROL_PATH = "/sim/"
OpenSession = Callable[[Callable[[Any], None], Request], MessageSession]
_BACKLOG = 1_024
_LONGEST_SWEEP_S = 1.0
_HANDSHAKE = ("host", "connection", "upgrade", "origin")


@dataclass(frozen=True, slots=True)
class Routes:
    """Who answers what.

    Attributes:
        rest: Every HTTP request but those of `control`.
        open_session: A session of the WebSocket API, made of the function that sends an object, and the handshake.
        control: Requests below ``/sim/``, which are taken from loopback addresses only; None where there are none.
    """

    rest: Answer
    open_session: OpenSession
    control: Answer | None = None


class Server:
    """Serves one exchange.

    Args:
        feed: Its streams.
        routes: Who answers what.
        limits: Of connections.
        seconds: A clock of wall time that only rises, in s.

    Attributes:
        feed: As above.
        limits: As above.
        faults: What goes wrong on purpose; None while nothing does.
        unsent: Connections that have gathered something to send.
        doors: HTTP connections that are open.
        sockets: WebSocket connections that are open, in the order of their handshakes.
        opened: Stream connections that were ever opened.
    """

    def __init__(
        self, feed: Feed, routes: Routes, limits: WireLimits, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self.feed = feed
        self.limits = limits
        self.seconds = seconds
        self.faults: Faults | None = None
        self.unsent: list[WebSocket] = []
        self.doors: set[Door] = set()
        self.sockets: dict[WebSocket, None] = {}
        self.opened = 0
        self._routes = routes
        self._attempts: dict[str, Window] = {}
        self._listener: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen on *host* and *port*, 0 for one that is free, and return the port.

        Raises:
            UsageError: If that cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(partial(Door, self), host, port, backlog=_BACKLOG)
        except (OSError, UnicodeError) as error:
            raise UsageError(
                f"--host (SERVE_HOST) {host!r}, --port (SERVE_PORT) {port}: cannot be listened on "
                f"({error.strerror if isinstance(error, OSError) else error}); give others, or port 0 for a free one"
            ) from error
        self._sweep()
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Tell everybody that the server goes, close all connections, and cut those that do not follow."""
        assert self._listener
        self._listener.close()
        if self._sweeping:
            self._sweeping.cancel()
        self.announce_shutdown()
        for socket in list(self.sockets):
            socket.close(GOING_AWAY, "")
        for door in list(self.doors):
            door.close()
        ends_s = time.monotonic() + self.limits.close_s
        while self.sockets and time.monotonic() < ends_s:
            await asyncio.sleep(0.01)
        for socket in list(self.sockets):
            socket.abort()
        await asyncio.sleep(0)

    @property
    def streams(self) -> list[StreamConnection]:
        """The stream connections that are open, in the order of their handshakes."""
        return [socket for socket in self.sockets if isinstance(socket, StreamConnection)]

    def announce_shutdown(self) -> None:
        """Send every connection the event that its server is about to go."""
        for socket in list(self.sockets):
            socket.announce_shutdown(self.feed.now_us)
        self.flush()

    def passed(self, us: int) -> None:
        """Hand out what the streams have up to the instant *us*; all rows up to it must have been taken."""
        self.feed.advance(us)
        if self.faults:
            self.faults.advanced(us)
        self.flush()

    def flush(self) -> None:
        """Send what was gathered."""
        unsent, self.unsent = self.unsent, []
        for socket in unsent:
            socket.flush()

    def answer(self, request: Request) -> Response:
        """Return what *request* is answered with."""
        if self._routes.control and request.path.startswith(CONTROL_PATH):
            is_local = _is_loopback(request.remote)
            response = self._routes.control(request) if is_local else _refusal(403, -1002, "Local only.")
        else:
            response = self._routes.rest(request)
            if self.faults:
                response = self.faults.response(request, response)
        self.flush()
        return response

    def upgrade(self, request: Request, target: str, transport: asyncio.Transport) -> Response | asyncio.Protocol:
        """Take *transport* over for a WebSocket, its handshake done, or return why not."""
        refusal = self._refuses(request, target)
        if refusal:
            return refusal
        path = target.partition("?")[0]
        try:
            opening = read_opening(path, request.query)
            is_micro(parse_qs(request.query))
        except BadTimeUnit:
            return _refusal(400, -1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
        if opening is None and path.removesuffix("/") != API_PATH:
            return _refusal(404, -1000, "Not found.")
        protocol = _shake_hands(request, self.limits, transport)
        if isinstance(protocol, Response):
            return protocol
        if opening is None:
            api = ApiConnection(self, transport, protocol)
            self.sockets[api] = None
            api.begin(lambda send: self._routes.open_session(send, request))
            return api
        self.opened += 1
        connection = StreamConnection(self, transport, protocol, self.opened, target)
        self.sockets[connection] = None
        connection.begin(opening)
        self.flush()
        return connection

    def left(self, gone: WebSocket) -> None:
        """Learn that a connection's transport is closed."""
        self.sockets.pop(gone, None)

    def sweep(self) -> None:
        """Do what is due for each connection: pings, and the end of those that are too old or silent."""
        now_s = self.seconds()
        for socket in list(self.sockets):
            socket.sweep(now_s)
        for door in list(self.doors):
            door.sweep(now_s)
        self._attempts = {remote: came for remote, came in self._attempts.items() if not came.forget(now_s)}
        self.flush()

    def _sweep(self) -> None:
        limits = self.limits
        self.sweep()
        often_s = min(_LONGEST_SWEEP_S, *(s / 4 for s in (limits.ping_s, limits.pong_s, limits.age_s, limits.idle_s)))
        self._sweeping = asyncio.get_running_loop().call_later(often_s, self._sweep)

    def _refuses(self, request: Request, target: str) -> Response | None:
        most = self.limits.attempts
        if most is not None:
            now_s = self.seconds()
            came = self._attempts.setdefault(request.remote, Window(most, self.limits.attempts_s))
            if not came.admit(now_s):
                wait = {"Retry-After": str(math.ceil(came.free_in_s(now_s)))}
                return _refusal(429, -1003, f"Too many connection attempts; the limit is {most}.", wait)
        return self.faults.handshake(target) if self.faults else None


def _shake_hands(request: Request, limits: WireLimits, transport: asyncio.Transport) -> ServerProtocol | Response:
    """Return a WebSocket protocol whose handshake is answered on *transport*, or why there is none."""
    protocol = ServerProtocol(max_size=limits.message_bytes)
    kept = {name: value for name, value in request.headers.items() if name in _HANDSHAKE or name.startswith("sec-")}
    head = "".join(f"{name}: {value}\r\n" for name, value in kept.items())
    protocol.receive_data(f"GET / HTTP/1.1\r\n{head}\r\n".encode("latin-1"))
    events = protocol.events_received()
    if not events or not isinstance(events[0], HandshakeRequest):
        return _refusal(400, -1000, "Malformed handshake.")
    answer = protocol.accept(events[0])
    if answer.status_code != 101:
        return Response(answer.status_code, {"Content-Type": "text/plain"}, bytes(answer.body or b""))
    protocol.send_response(answer)
    transport.write(b"".join(protocol.data_to_send()))
    return protocol


def _refusal(status: int, code: int, msg: str, headers: dict[str, str] | None = None) -> Response:
    return json_response(status, {"code": code, "msg": msg}, headers)


def _is_loopback(remote: str) -> bool:
    try:
        return ipaddress.ip_address(remote.partition("%")[0]).is_loopback
    except ValueError:
        return False
