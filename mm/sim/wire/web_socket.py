"""A WebSocket connection on an asyncio transport: frames, pings, limits of size and age, and how it ends.

What is sent is gathered and written once a slice of time, so that thousands of events cost a few system calls.
"""

import asyncio
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import Any, Protocol, cast

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from mm.sim.wire.limits import WireLimits

GOING_AWAY, ABNORMAL, INVALID_DATA, POLICY_VIOLATION = 1001, 1006, 1007, 1008
_GATHERED = 512
_AT_ONCE = 16
"""Frames of one connection that are taken before the others have their turn."""
_NO_LINGER = struct.pack("ii", 1, 0)  # SO_LINGER: on, for 0 s
_CONTROL = (Opcode.PING, Opcode.PONG)


class Host(Protocol):
    """What a connection needs of its server.

    Attributes:
        limits: Of connections.
        unsent: Connections that have gathered something to send.
    """

    limits: WireLimits
    unsent: list["WebSocket"]

    def seconds(self) -> float:
        """Return a clock that only rises, in s."""

    def flush(self) -> None:
        """Send what all connections have gathered."""

    def left(self, gone: "WebSocket") -> None:
        """Learn that a connection's transport is closed."""


class WebSocket(asyncio.Protocol):
    """One connection after its handshake; what it is for is said by `take_text`.

    Args:
        host: Its server.
        transport: Which it takes over.
        protocol: Whose handshake is done.

    Attributes:
        closing: Whether it is about to end: nothing more is taken or sent.
    """

    def __init__(self, host: Host, transport: asyncio.Transport, protocol: ServerProtocol) -> None:
        self.closing = False
        self._host = host
        self._transport = transport
        self._protocol = protocol
        self._gathered: list[bytes] = []
        self._fragments: list[bytes] = []
        self._frames: deque[Frame] = deque()
        self._resting = self._deaf = False
        self._opened_s = self._pinged_s = host.seconds()
        self._pings: dict[bytes, float] = {}
        self._cut: asyncio.TimerHandle | None = None

    def take_text(self, text: str) -> None:
        """Take a message of the client."""
        raise NotImplementedError

    def announce_shutdown(self, us: int) -> None:
        """Send, at the instant *us*, the event that the server is about to go."""
        raise NotImplementedError

    def admits(self) -> bool:
        """Count an incoming frame, and return whether it is within the limit; without one every frame is."""
        return True

    def write(self, frame: bytes) -> None:
        """Gather a whole frame, to be sent with the next `flush`."""
        if self.closing:
            return
        if not self._gathered:
            self._host.unsent.append(self)
        self._gathered.append(frame)
        if len(self._gathered) >= _GATHERED:
            self._write_gathered()

    def flush(self) -> None:
        """Send what was gathered; a client that is too far behind is cut."""
        self._write_gathered()
        if not self.closing and self.waiting_bytes > self._host.limits.lost_bytes:
            self.close(POLICY_VIOLATION, "Too slow")

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the system did not take yet."""
        return self._transport.get_write_buffer_size()

    def close(self, code: int, reason: str = "") -> None:
        """Close in order: a close frame behind what was gathered, and a cut where the client does not follow.

        With 1006, which no frame can carry, there is none: what was gathered is sent, and then the stream ends.
        """
        if self.closing:
            return
        if self._protocol.state is OPEN and code != ABNORMAL:
            self._protocol.send_close(code, reason)
        self._end()

    def abort(self) -> None:
        """Cut the connection with a reset: no close frame, nothing that still waits to be sent."""
        reset(self._transport)
        self.closing = True

    def pause_reading(self) -> None:
        """Take nothing more from the socket."""
        self._deaf = True
        self._transport.pause_reading()

    def sweep(self, now_s: float) -> None:
        """Do what is due at *now_s*: send a ping, or end a connection that is too old or answers none."""
        limits = self._host.limits
        if self.closing or self._resting:
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
        """Take what came from the socket."""
        if self.closing:
            return
        self._protocol.receive_data(data)
        self._frames += cast(list[Frame], self._protocol.events_received())
        if not self._resting:
            self._take_frames()

    def _take_frames(self) -> None:
        """Take what came, so much in one turn that nobody else waits for long, and what they made to be sent."""
        for _ in range(min(_AT_ONCE, len(self._frames))):
            if not self.closing:
                self._take_frame(self._frames.popleft())
        rested, self._resting = self._resting, bool(self._frames) and not self.closing
        if self._resting:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._take_frames)
        elif not self.closing:
            if rested and not self._deaf:
                self._transport.resume_reading()
            self._send_control()
        self._host.flush()

    def eof_received(self) -> bool:
        """Learn that the client sends no more; the transport closes."""
        self.closing = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Learn that the transport is closed."""
        self.closing = True
        self._gathered.clear()
        if self._cut:
            self._cut.cancel()
        self._host.left(self)

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            return
        if not self.admits():
            self.close(POLICY_VIOLATION, "Too many requests")
        elif frame.opcode is Opcode.PONG:
            self._take_pong(bytes(frame.data))
        elif frame.opcode not in _CONTROL:
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                whole, self._fragments = b"".join(self._fragments), []
                self._take_message(whole)

    def _take_message(self, whole: bytes) -> None:
        try:
            text = whole.decode()
        except UnicodeDecodeError:
            self.close(INVALID_DATA, "Not UTF-8")
            return
        self.take_text(text)

    def _take_pong(self, payload: bytes) -> None:
        """Count the ping of *payload* and those before it as answered; a pong that nobody asked for changes nothing."""
        if payload in self._pings:
            for earlier in list(self._pings):
                del self._pings[earlier]
                if earlier == payload:
                    return

    def _send_control(self) -> None:
        """Send what the protocol wants sent; behind a close frame, nothing more."""
        for frame in self._protocol.data_to_send():
            if frame:
                self.write(frame)
        if self._protocol.close_expected():
            self._end()

    def _end(self) -> None:
        """Send what is left and end the sending side; the client may still speak, and is not heard."""
        self._gathered += [frame for frame in self._protocol.data_to_send() if frame]
        self._write_gathered()
        self.closing = True
        if self._transport.can_write_eof() and not self._transport.is_closing():
            with suppress(OSError):  # the client may have gone without a word
                self._transport.write_eof()
        self._cut = asyncio.get_running_loop().call_later(self._host.limits.close_s, self._transport.abort)

    def _write_gathered(self) -> None:
        if self._gathered:
            self._transport.write(b"".join(self._gathered))
            self._gathered.clear()


def reset(transport: Any) -> None:
    """Close *transport* at once, so that the client sees a connection that was reset."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
