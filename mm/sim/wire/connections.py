"""WebSocket connections of streams and WebSocket API on an asyncio transport: frames, pings, limits, closing."""

import asyncio
import socket
import struct
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Protocol, cast

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from mm.clock import US_PER_MS
from mm.sim.wire.faults.channel import FaultScope
from mm.sim.wire.faults.injector import FaultInjector
from mm.sim.wire.http_messages import json_bytes
from mm.sim.wire.limits import RateWindow, WireLimits
from mm.sim.wire.several import Feeds, SymbolSessions
from mm.sim.wire.stream_messages import (
    ABNORMAL,
    GOING_AWAY,
    INVALID_DATA,
    POLICY_VIOLATION,
    Message,
    server_shutdown,
    text_frame,
)
from mm.sim.wire.stream_requests import Opening, Reply, StreamDialect, StreamName
from mm.sim.wire.ws_api import ApiSession

_GATHERED = 512
_PHASE_STEP = 437
"""Coprime to 1000 and 100, so that consecutive connections have different phases for both depth intervals."""
_NO_LINGER = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 s
_CONTROL = (Opcode.PING, Opcode.PONG)
USER_EVENTS = ("executionReport", "outboundAccountPosition", "balanceUpdate")
"""User events to which faults apply."""


class SocketHost(Protocol):
    """What a connection needs of its server; in *unsent* are the connections with gathered frames."""

    limits: WireLimits
    seconds: Callable[[], float]
    faults: FaultInjector | None
    feed: Feeds
    streams_of: StreamDialect
    unsent: "list[WebSocket]"
    sockets: "dict[WebSocket, None]"

    def flush(self) -> None: ...


class WebSocket(asyncio.Protocol):
    """One connection after its handshake; subclasses implement `take_text`."""

    def __init__(self, server: SocketHost, transport: asyncio.Transport, protocol: ServerProtocol) -> None:
        self.closing = False
        self._server = server
        self._transport = transport
        self._protocol = protocol
        self._gathered: list[bytes] = []
        self._fragments: list[bytes] = []
        self._opened_s = self._pinged_s = server.seconds()
        self._pings: dict[bytes, float] = {}
        self._cut: asyncio.TimerHandle | None = None
        self._silent = False

    def take_text(self, text: str) -> None:
        raise NotImplementedError

    def shutdown_frame(self, us: int) -> bytes:
        raise NotImplementedError

    def admits(self) -> bool:
        """Count an incoming frame; False beyond the limit."""
        return True

    def write(self, frame: bytes) -> None:
        if self.closing or self._silent:
            return
        if not self._gathered:
            self._server.unsent.append(self)
        self._gathered.append(frame)
        if len(self._gathered) >= _GATHERED:
            self._write_gathered()

    def flush(self) -> None:
        self._write_gathered()
        if not self.closing and self.waiting_bytes > self._server.limits.lost_bytes:
            self.close(POLICY_VIOLATION, "Too slow")

    @property
    def waiting_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    def close(self, code: int, reason: str = "") -> None:
        """Abort if the client does not close. With code 1006 the stream ends without a close frame."""
        if self.closing:
            return
        if self._protocol.state is OPEN and code != ABNORMAL:
            self._protocol.send_close(code, reason)
        self._end()

    def abort(self) -> None:
        reset(self._transport)
        self.closing = True

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def sweep(self, now_s: float) -> None:
        """Send a due ping, or close a connection that is too old or does not answer pings."""
        limits = self._server.limits
        if self.closing:
            return
        if now_s - self._opened_s >= limits.age_s:
            self.close(GOING_AWAY, "Connection lifetime is over")
        elif self._pings and now_s - next(iter(self._pings.values())) >= limits.pong_s:
            self.close(POLICY_VIOLATION, "Pong timeout")
        elif now_s - self._pinged_s >= limits.ping_s:
            self._pinged_s = now_s
            payload = str(round(now_s * 1_000)).encode()
            self._pings.setdefault(payload, now_s)
            self._protocol.send_ping(payload)
            self._send_control()

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        self._protocol.receive_data(data)
        for frame in cast(list[Frame], self._protocol.events_received()):
            if not self.closing:
                self._take_frame(frame)
        if not self.closing:
            self._send_control()
        self._server.flush()

    def eof_received(self) -> bool:
        self.closing = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.closing = True
        self._gathered.clear()
        if self._cut:
            self._cut.cancel()
        self._server.sockets.pop(self, None)

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            return
        if not self.admits():
            self.close(POLICY_VIOLATION, "Too many requests")
        elif frame.opcode is Opcode.PONG:
            # A pong answers its ping and all earlier pings; an unsolicited pong has no effect.
            pings, payload = list(self._pings), bytes(frame.data)
            for answered in pings[: pings.index(payload) + 1] if payload in pings else ():
                del self._pings[answered]
        elif frame.opcode not in _CONTROL:
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                whole, self._fragments = b"".join(self._fragments), []
                try:
                    text = whole.decode()
                except UnicodeDecodeError:
                    self.close(INVALID_DATA, "Not UTF-8")
                else:
                    self.take_text(text)

    def _send_control(self) -> None:
        for frame in self._protocol.data_to_send():
            if frame:
                self.write(frame)
        if self._protocol.close_expected():
            self._end()

    def _end(self) -> None:
        self._gathered += [frame for frame in self._protocol.data_to_send() if frame]
        self._write_gathered()
        self.closing = True
        if self._transport.can_write_eof() and not self._transport.is_closing():
            with suppress(OSError):  # the client may have disconnected already
                self._transport.write_eof()
        self._cut = asyncio.get_running_loop().call_later(self._server.limits.close_s, self._transport.abort)

    def _write_gathered(self) -> None:
        if self._gathered:
            self._transport.write(b"".join(self._gathered))
            self._gathered.clear()


def reset(transport: Any) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


class StreamConnection(WebSocket):
    """*phase_ms* is the end of its depth batches after each whole second, for later subscriptions."""

    def __init__(
        self,
        server: SocketHost,
        transport: asyncio.Transport,
        protocol: ServerProtocol,
        number: int,
        opening: Opening,
    ) -> None:
        super().__init__(server, transport, protocol)
        self.id = number
        self.path = opening.target
        self.micro = opening.micro
        self.phase_ms = number * _PHASE_STEP % 1_000
        self._control = server.streams_of.control(opening, server.limits.streams)
        self._received = RateWindow(server.limits.messages, server.limits.messages_s)
        self._stalled: Collection[str] | None = ()

    def begin(self, streams: Sequence[StreamName]) -> None:
        if self._server.faults:
            self.scope(self._server.faults).open(self)
        if reply := self._control.begin(streams):
            self._apply_reply(reply)
        for stream in self._control.streams.values():
            self._server.feed.subscribe(self, stream)

    def scope(self, faults: FaultInjector) -> FaultScope:
        return faults.scope

    @property
    def combined(self) -> bool:
        return self._control.combined

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(self._control.streams)

    def shutdown_frame(self, us: int) -> bytes:
        if not self._server.streams_of.announces_end:
            return b""
        return server_shutdown(us, micro=self.micro).frame(combined=self.combined)

    def admits(self) -> bool:
        return self._received.admit(self._server.seconds())

    def take_text(self, text: str) -> None:
        self._apply_reply(self._control.handle(text))

    def is_slow(self, stream: str) -> bool:
        return self._holds(stream) or self.waiting_bytes > self._server.limits.slow_bytes

    def deliver(self, message: Message) -> None:
        if self.closing or self._holds(message.stream):
            return
        faults = self._server.faults
        if faults is None:
            self.write(message.frame(combined=self._control.combined))
            return
        for out in self._replaced(faults, message):
            self.write(out if isinstance(out, bytes) else out.frame(combined=self._control.combined))

    def stall(self, on: bool, streams: Collection[str] | None = None, *, silent: bool = False) -> None:
        self._stalled = streams if on else ()
        self._silent = on and silent

    def connection_lost(self, exc: Exception | None) -> None:
        for stream in self._control.streams.values():
            self._server.feed.unsubscribe(self, stream)
        self._control.streams = {}
        if self._server.faults:
            self.scope(self._server.faults).close(self)
        super().connection_lost(exc)

    def _replaced(self, faults: FaultInjector, message: Message) -> list[Message | bytes]:
        return faults.outgoing(self, message)

    def _holds(self, stream: str) -> bool:
        return self._stalled is None or stream in self._stalled

    def _apply_reply(self, reply: Reply) -> None:
        self.write(text_frame(json_bytes(reply.answer)))
        for stream in reply.left:
            self._server.feed.unsubscribe(self, stream)
        for stream in reply.joined:
            self._server.feed.subscribe(self, stream)
        if reply.closes:
            self.close(POLICY_VIOLATION, reply.closes)


class PrivateConnection(StreamConnection):
    """A user's events by listen key; faults of users apply to it."""

    def scope(self, faults: FaultInjector) -> FaultScope:
        return faults.users

    @property
    def session(self) -> "PrivateConnection":
        """Faults ask for the session of the WebSocket API, which is this."""
        return self

    def log_off(self) -> None:
        """A stream by listen key has no logon."""

    def end_streams(self) -> None:
        self._server.feed.end_users(self)

    def _replaced(self, faults: FaultInjector, message: Message) -> list[Message | bytes]:
        if message.kind != "user":
            return faults.outgoing(self, message)
        return faults.user_event(self, message, self._server.feed.now_us)


class ApiConnection(WebSocket):
    combined = False

    def __init__(
        self,
        server: SocketHost,
        transport: asyncio.Transport,
        protocol: ServerProtocol,
        number: int,
        open_session: Callable[[Callable[[Any], None]], ApiSession | SymbolSessions],
        *,
        micro: bool = False,
    ) -> None:
        super().__init__(server, transport, protocol)
        self.id = number
        self.micro = micro
        self.phase_ms = 0
        self.session = open_session(self.send)

    def begin(self) -> None:
        if self._server.faults:
            self._server.faults.users.open(self)

    def send(self, content: Any) -> None:
        faults, event = self._server.faults, content.get("event", {})
        if self.closing or faults is None or event.get("e") not in USER_EVENTS:
            self.write(text_frame(json_bytes(content)))
            return
        message = Message("user", "user", 0, 0, json_bytes(content))
        us = event["E"] * (1 if self.micro else US_PER_MS)
        for out in faults.user_event(self, message, us):
            self.write(out if isinstance(out, bytes) else out.frame(combined=False))

    def stall(self, on: bool, streams: Collection[str] | None = None, *, silent: bool = False) -> None:  # noqa: ARG002
        self._silent = on and silent

    def shutdown_frame(self, us: int) -> bytes:
        return text_frame(json_bytes({"event": server_shutdown(us, micro=self.micro).event}))

    def take_text(self, text: str) -> None:
        self.session.handle(text)

    def connection_lost(self, exc: Exception | None) -> None:
        self.session.close()
        if self._server.faults:
            self._server.faults.users.close(self)
        super().connection_lost(exc)
