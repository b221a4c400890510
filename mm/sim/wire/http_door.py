"""The door of the server: one HTTP/1.1 connection, whose requests are answered or which becomes a WebSocket.

Bytes are read by h11, which neither waits nor reads by itself, so that both protocols share one port and one transport.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from http.client import responses
from typing import Any, Protocol, cast

import h11

from mm.sim.wire.http_messages import Request, Response, json_response, read_request
from mm.sim.wire.limits import WireLimits
from mm.sim.wire.web_socket import reset

METHODS = ("GET", "POST", "PUT", "DELETE")
_UNKNOWN = -1000
_Open = h11.Request | h11.Data | h11.EndOfMessage
_AT_ONCE = 8
"""Requests of one connection that are answered before the others have their turn."""
_WAITING = (h11.NEED_DATA, h11.PAUSED)


class House(Protocol):
    """What a door needs of its server.

    Attributes:
        limits: Of connections.
        doors: Those that are open.
    """

    limits: WireLimits
    doors: set["Door"]

    def seconds(self) -> float:
        """Return a clock that only rises, in s."""

    def answer(self, request: Request) -> Response:
        """Return what *request* is answered with."""

    def upgrade(self, request: Request, target: str, transport: asyncio.Transport) -> Response | asyncio.Protocol:
        """Take *transport* over for a WebSocket, its handshake done, or return why not; *target* is path and query."""


class Door(asyncio.Protocol):
    """One connection, until it closes or becomes a WebSocket."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=house.limits.header_bytes)
        self._request: h11.Request | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._heard_s = house.seconds()
        self._full = self._resting = self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open."""
        self._transport = cast(asyncio.Transport, transport)
        self._house.doors.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Learn that the transport is closed."""
        self._ended = True
        self._house.doors.discard(self)

    def data_received(self, data: bytes) -> None:
        """Take what came from the socket."""
        self._heard_s = self._house.seconds()
        if not self._ended:
            self._http.receive_data(data)
            self._read()

    def eof_received(self) -> bool:
        """Learn that the client sends no more; answers that are under way still go out."""
        if not self._ended:
            self._http.receive_data(b"")
            self._read()
        return not self._ended

    def pause_writing(self) -> None:
        """Answer and read nothing more until the client has taken what it was sent."""
        self._full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on answering."""
        self._full = False
        self._transport.resume_reading()
        self._read()

    def sweep(self, now_s: float) -> None:
        """Close where the client has said nothing for too long."""
        if not self._ended and now_s - self._heard_s >= self._house.limits.idle_s:
            self._end()

    def close(self) -> None:
        """Close at once."""
        self._ended = True
        self._transport.abort()

    def _read(self) -> None:
        """Take every event that is there, until one has to wait or others have their turn."""
        answered = 0
        while not (self._ended or self._full or self._resting or self._transport.is_closing()):
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
                answered += isinstance(event, h11.EndOfMessage)
                if answered == _AT_ONCE and not self._ended:
                    self._rest()

    def _rest(self) -> None:
        self._resting = True
        self._transport.pause_reading()
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._resting = False
        if not self._ended:
            if not self._full and self._http.our_state is not h11.SEND_RESPONSE:  # a late answer reads on by itself
                self._transport.resume_reading()
            self._read()

    def _take(self, event: _Open) -> None:
        if isinstance(event, h11.Request):
            self._request, self._body, self._size = event, [], 0
            head = len(event.target) + sum(len(name) + len(value) for name, value in event.headers)
            if head > self._house.limits.header_bytes:
                self._refuse(431, "Request header is too large.")
            elif int(dict(event.headers).get(b"content-length", b"0")) > self._house.limits.body_bytes:
                self._refuse(413, "Request body is too large.")
            elif self._http.they_are_waiting_for_100_continue:
                self._write(h11.InformationalResponse(status_code=100, headers=[]))
        elif isinstance(event, h11.Data):
            self._size += len(event.data)
            self._body.append(bytes(event.data))
            if self._size > self._house.limits.body_bytes:
                self._refuse(413, "Request body is too large.")
        else:
            self._dispatch(cast(h11.Request, self._request))

    def _dispatch(self, asked: h11.Request) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in asked.headers}
        method, target = asked.method.decode("ascii"), asked.target.decode("latin-1")
        if method not in METHODS:
            self._respond(_error(405, f"Method {method} is not allowed.", {"Allow": ", ".join(METHODS)}))
            return
        remote = str((self._transport.get_extra_info("peername") or ("",))[0])
        request = read_request(method, target, headers, b"".join(self._body), remote)
        if method != "GET" or headers.get("upgrade", "").lower() != "websocket":
            self._respond(self._house.answer(request))
            return
        taken = self._house.upgrade(request, target, self._transport)
        if isinstance(taken, Response):
            self._respond(taken)
            return
        self._ended = True
        self._house.doors.discard(self)
        self._transport.set_protocol(taken)
        if early := self._http.trailing_data[0]:
            taken.data_received(early)

    def _respond(self, response: Response) -> None:
        if response.delay_s > 0:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(response.delay_s, self._respond_late, response)
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
        else:
            self._end()

    def _refuse(self, status: int, text: str) -> None:
        """Answer what cannot be read, and end; where an answer is under way already, only end."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send(_error(status, text, {"Connection": "close"}))
        if not self._ended:
            self._end()

    def _write(self, *events: Any) -> None:
        self._transport.write(b"".join(self._http.send(event) or b"" for event in events))

    def _end(self) -> None:
        """End the sending side, and close a moment later: what the client still sends is not heard."""
        self._ended = True
        if self._transport.can_write_eof() and not self._transport.is_closing():
            with suppress(OSError):  # the client may have gone without a word
                self._transport.write_eof()
        asyncio.get_running_loop().call_later(self._house.limits.close_s, self._transport.abort)


def _error(status: int, text: str, headers: Mapping[str, str]) -> Response:
    return json_response(status, {"code": _UNKNOWN, "msg": text}, headers)
