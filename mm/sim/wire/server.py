"""The server: one port for HTTP, market streams and WebSocket API, and its connections."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from websockets.http11 import Request as HandshakeRequest
from websockets.server import ServerProtocol

from mm.base.doors import is_loopback, is_other_page, named_hosts
from mm.errors import UsageError
from mm.sim.wire.connections import ApiConnection, PrivateConnection, StreamConnection, WebSocket
from mm.sim.wire.faults.injector import FaultInjector
from mm.sim.wire.http_connection import HttpConnection
from mm.sim.wire.http_messages import CONTROL_PATH, Answer, Request, Response, refusal
from mm.sim.wire.limits import RateWindow, WireLimits
from mm.sim.wire.several import Feeds, SymbolSessions
from mm.sim.wire.stream_messages import GOING_AWAY
from mm.sim.wire.stream_requests import SPOT_STREAMS, BadTimeUnit, StreamDialect, is_micro
from mm.sim.wire.ws_api import ApiSession

OpenSession = Callable[[Callable[[Any], None], Request], ApiSession | SymbolSessions]
_BACKLOG = 1_024
_LONGEST_SWEEP_S = 1.0
_HANDSHAKE = ("host", "connection", "upgrade", "origin")


@dataclass(frozen=True, slots=True)
class Routes:
    rest: Answer
    open_session: OpenSession
    control: Answer | None = None
    streams: StreamDialect = SPOT_STREAMS


class Server:
    def __init__(
        self, feed: Feeds, routes: Routes, limits: WireLimits, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self.feed = feed
        self.limits = limits
        self.seconds = seconds
        self.faults: FaultInjector | None = None
        self.unsent: list[WebSocket] = []
        self.sockets: dict[WebSocket, None] = {}
        self.http_connections: set[HttpConnection] = set()
        self.opened = self.talks = 0
        self._routes = routes
        self.streams_of = routes.streams
        self._attempts: dict[str, RateWindow] = {}
        self._listener: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> int:
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(self._accept, host, port, backlog=_BACKLOG)
        except (OSError, UnicodeError) as error:
            raise UsageError(
                "{serve_host} {!r}, {serve_port} {}: cannot be bound ({}); give others, or port 0 for a free one",
                host,
                port,
                error.strerror if isinstance(error, OSError) else error,
            ) from error
        self._sweep()
        return int(self._listener.sockets[0].getsockname()[1])

    def inject(self, faults: FaultInjector) -> None:
        for connection in list(self.sockets):
            if isinstance(connection, StreamConnection):
                connection.scope(faults).open(connection)
            elif isinstance(connection, ApiConnection):
                faults.users.open(connection)
        self.faults = faults

    def cut(self) -> None:
        for socket in list(self.sockets):
            socket.abort()
        for http in [connection for connection in self.http_connections if not connection.of_control]:
            http.close()

    async def stop(self) -> None:
        assert self._listener
        self._listener.close()
        if self._sweeping:
            self._sweeping.cancel()
        self.announce_shutdown()
        for socket in list(self.sockets):
            socket.close(GOING_AWAY, "")
        for http in list(self.http_connections):
            http.close()
        ends_s = time.monotonic() + self.limits.close_s
        while self.sockets and time.monotonic() < ends_s:
            await asyncio.sleep(0.01)
        for socket in list(self.sockets):
            socket.abort()
        await asyncio.sleep(0)

    @property
    def streams(self) -> list[StreamConnection]:
        streams = (socket for socket in self.sockets if isinstance(socket, StreamConnection))
        return [socket for socket in streams if not isinstance(socket, PrivateConnection)]

    def announce_shutdown(self) -> None:
        for socket in list(self.sockets):
            socket.write(socket.shutdown_frame(self.feed.now_us))
        self.flush()

    def flush(self) -> None:
        unsent, self.unsent = self.unsent, []
        for socket in unsent:
            socket.flush()

    def passed(self, us: int) -> None:
        self.feed.advance(us)
        if self.faults:
            self.faults.advanced(us)
        self.flush()

    def answer(self, request: Request) -> Response:
        if self._routes.control and request.path.startswith(CONTROL_PATH):
            response = self._routes.control(request) if _is_local(request) else refusal(403, -1002, "Local only.")
        elif self.faults is None:
            response = self._routes.rest(request)
        elif self.faults.requested(request.path):
            response = self.faults.response(request, self._routes.rest(request))
        else:
            response = Response(0, reset=True)
        self.flush()
        return response

    def upgrade(self, request: Request, path: str, transport: asyncio.Transport) -> Response | asyncio.Protocol:
        if refused := self._refuses(request):
            return refused
        try:
            opening = self.streams_of.open(path, request.query)
            micro = is_micro(parse_qs(request.query))
        except BadTimeUnit:
            return refusal(400, -1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
        if opening is None and path.removesuffix("/") != self.streams_of.api_path:
            return refusal(404, -1000, "Not found.")
        protocol = _shake_hands(request, self.limits, transport)
        if isinstance(protocol, Response):
            return protocol
        if opening is None:
            self.talks += 1
            open_session = self._routes.open_session
            api = ApiConnection(
                self, transport, protocol, self.talks, lambda send: open_session(send, request), micro=micro
            )
            self.sockets[api] = None
            api.begin()
            return api
        connection: StreamConnection
        if opening.private:
            self.talks += 1
            connection = PrivateConnection(self, transport, protocol, self.talks, opening)
        else:
            self.opened += 1
            connection = StreamConnection(self, transport, protocol, self.opened, opening)
        self.sockets[connection] = None
        connection.begin(opening.streams)
        self.flush()
        return connection

    def sweep(self) -> None:
        now_s = self.seconds()
        for socket in list(self.sockets):
            socket.sweep(now_s)
        for http in list(self.http_connections):
            http.sweep(now_s)
        self._attempts = {remote: window for remote, window in self._attempts.items() if not window.drop_old(now_s)}
        self.flush()

    def _accept(self) -> HttpConnection:
        return HttpConnection(self)

    def _sweep(self) -> None:
        limits = self.limits
        self.sweep()
        shortest_s = min(limits.ping_s, limits.pong_s, limits.age_s, limits.idle_s)
        often_s = min(_LONGEST_SWEEP_S, shortest_s / 4)
        self._sweeping = asyncio.get_running_loop().call_later(often_s, self._sweep)

    def _refuses(self, request: Request) -> Response | None:
        most = self.limits.attempts
        if most is not None:
            now_s = self.seconds()
            window = self._attempts.setdefault(request.remote, RateWindow(most, self.limits.attempts_s))
            if not window.admit(now_s):
                wait = {"Retry-After": str(math.ceil(window.free_in_s(now_s)))}
                return refusal(429, -1003, f"Too many connection attempts; the limit is {most}.", wait)
        return self.faults.handshake() if self.faults else None


def _shake_hands(request: Request, limits: WireLimits, transport: asyncio.Transport) -> ServerProtocol | Response:
    """Return the WebSocket protocol after the handshake, or the refusal."""
    protocol = ServerProtocol(max_size=limits.message_bytes)
    kept = {name: value for name, value in request.headers.items() if name in _HANDSHAKE or name.startswith("sec-")}
    head = "".join(f"{name}: {value}\r\n" for name, value in kept.items())
    protocol.receive_data(f"GET / HTTP/1.1\r\n{head}\r\n".encode("latin-1"))
    events = protocol.events_received()
    if not events or not isinstance(events[0], HandshakeRequest):
        return refusal(400, -1000, "Malformed handshake.")
    answer = protocol.accept(events[0])
    if answer.status_code != 101:
        return Response(answer.status_code, {"Content-Type": "text/plain"}, bytes(answer.body or b""))
    protocol.send_response(answer)
    transport.write(b"".join(protocol.data_to_send()))
    return protocol


def _is_local(request: Request) -> bool:
    host, origin = request.headers.get("host"), request.headers.get("origin")
    return all(map(is_loopback, (request.remote, *named_hosts(host, origin)))) and not is_other_page(host, origin)
