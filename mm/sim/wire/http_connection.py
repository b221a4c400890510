"""One HTTP/1.1 connection, which serves requests or becomes a WebSocket; h11 parses without I/O."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.client import responses
from typing import Any, Protocol, cast

import h11

from mm.sim.wire.connections import reset
from mm.sim.wire.http_messages import CONTROL_PATH, Request, Response, read_request, refusal
from mm.sim.wire.limits import WireLimits

SLOW_READER_S = 2.0
"""Time in which a client must take some of an unfinished answer, else the connection is aborted."""
METHODS = ("GET", "POST", "PUT", "DELETE")
_UNKNOWN = -1000
_Open = h11.Request | h11.Data | h11.EndOfMessage
_WAITING = (h11.NEED_DATA, h11.PAUSED)


class HttpHost(Protocol):
    """What a connection needs of its server."""

    limits: WireLimits
    seconds: Callable[[], float]
    http_connections: "set[HttpConnection]"

    def answer(self, request: Request) -> Response: ...

    def upgrade(self, request: Request, path: str, transport: asyncio.Transport) -> Response | asyncio.Protocol:
        """Return the WebSocket that the connection becomes, or the refusal."""


class HttpConnection(asyncio.Protocol):
    def __init__(self, server: HttpHost) -> None:
        self._server = server
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=server.limits.header_bytes)
        self._request: h11.Request | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._received_s = server.seconds()
        self._full = self._ended = False
        self.of_control = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.http_connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._ended = True
        self._server.http_connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._received_s = self._server.seconds()
        if not self._ended:
            self._http.receive_data(data)
            self._read()

    def eof_received(self) -> bool:
        """Pending responses are still sent."""
        if not self._ended:
            self._http.receive_data(b"")
            self._read()
        return not self._ended

    def pause_writing(self) -> None:
        self._full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        self._transport.resume_reading()
        self._read()

    def sweep(self, now_s: float) -> None:
        if not (self._ended or self._full) and now_s - self._received_s >= self._server.limits.idle_s:
            self._end()

    def close(self) -> None:
        self._ended = True
        self._transport.abort()

    def _read(self) -> None:
        while not (self._ended or self._full or self._transport.is_closing()):
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint, "Malformed HTTP request.")
                return
            if event in _WAITING:
                return
            if isinstance(event, h11.ConnectionClosed):
                self._end()
            else:
                self._take(cast(_Open, event))

    def _take(self, event: _Open) -> None:
        if isinstance(event, h11.Request):
            self._request, self._body, self._size = event, [], 0
            head = len(event.target) + sum(len(name) + len(value) for name, value in event.headers)
            if head > self._server.limits.header_bytes:
                self._refuse(431, "Request header is too large.")
            elif int(dict(event.headers).get(b"content-length", b"0")) > self._server.limits.body_bytes:
                self._refuse(413, "Request body is too large.")
            elif self._http.they_are_waiting_for_100_continue:
                self._write(h11.InformationalResponse(status_code=100, headers=[]))
        elif isinstance(event, h11.Data):
            self._size += len(event.data)
            self._body.append(bytes(event.data))
            if self._size > self._server.limits.body_bytes:
                self._refuse(413, "Request body is too large.")
        else:
            self._dispatch(cast(h11.Request, self._request))

    def _dispatch(self, head: h11.Request) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        method, target = head.method.decode("ascii"), head.target.decode("latin-1")
        if method not in METHODS:
            self._respond(refusal(405, _UNKNOWN, f"Method {method} is not allowed.", {"Allow": ", ".join(METHODS)}))
            return
        remote = str((self._transport.get_extra_info("peername") or ("",))[0])
        request = read_request(method, target, headers, b"".join(self._body), remote)
        self.of_control = request.path.startswith(CONTROL_PATH)
        if method != "GET" or headers.get("upgrade", "").lower() != "websocket":
            self._respond(self._server.answer(request))
            return
        taken = self._server.upgrade(request, target.partition("?")[0], self._transport)
        if isinstance(taken, Response):
            self._respond(taken)
            return
        self._ended = True
        self._server.http_connections.discard(self)
        self._transport.set_protocol(taken)
        if early := self._http.trailing_data[0]:
            taken.data_received(early)

    def _respond(self, response: Response) -> None:
        if response.wait:
            self._transport.pause_reading()
            response.wait(partial(self._respond_late, response))
        else:
            self._send(response)

    def _respond_late(self, response: Response) -> None:
        if not self._ended:
            self._transport.resume_reading()
            self._send(response)
            self._read()

    def _send(self, response: Response) -> None:
        if response.reset:
            self._ended = True
            reset(self._transport)
            return
        headers = [*response.headers.items(), ("Content-Length", str(len(response.body)))]
        self._write(
            h11.Response(
                status_code=response.status,
                headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
                reason=responses.get(response.status, "").encode(),
            )
        )
        if response.cut_at is not None:
            self._write(h11.Data(data=response.body[: response.cut_at]))
            self._end()
            return
        body = b"" if self._request and self._request.method == b"HEAD" else response.body
        self._write(h11.Data(data=body), h11.EndOfMessage())
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._request = None
        else:
            self._end()

    def _refuse(self, status: int, text: str) -> None:
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send(refusal(status, _UNKNOWN, text, {"Connection": "close"}))
        if not self._ended:
            self._end()

    def _write(self, *events: Any) -> None:
        self._transport.write(b"".join(self._http.send(event) or b"" for event in events))

    def _end(self) -> None:
        self._ended = True
        if self._transport.can_write_eof() and not self._transport.is_closing():
            with suppress(OSError):  # the client may have disconnected already
                self._transport.write_eof()
        self._abort_later(self._transport.get_write_buffer_size())

    def _abort_later(self, unsent: int) -> None:
        wait_s = max(self._server.limits.close_s, SLOW_READER_S if unsent else 0.0)
        asyncio.get_running_loop().call_later(wait_s, self._abort_unless_read, unsent)

    def _abort_unless_read(self, unsent: int) -> None:
        """Abort, but not while the client still reads: a long answer takes longer than a close."""
        left = self._transport.get_write_buffer_size()
        if 0 < left < unsent:
            self._abort_later(left)
        else:
            self._transport.abort()
