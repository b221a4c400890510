"""A WebSocket connection, and the common inbox, which receives each message with its arrival time.

A connection is a custom transport around the library's sans-I/O protocol (`websockets.client.ClientProtocol`). Arrival
is stamped in the transport's callback, when bytes are read from the socket, before any processing. Nothing else happens
there: no queue of the library is filled, reading is never paused, and pings are answered regardless of the length of
the inbox.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter, time_ns
from typing import Protocol, cast

from websockets.client import ClientProtocol
from websockets.exceptions import WebSocketException
from websockets.frames import DATA_OPCODES, CloseCode, Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

import mm
from mm.market_data.venue import trusted
from mm.market_data.ws_frames import FrameCutter, fresh_masks, text_frame

_MASKS = fresh_masks()
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
PING_INTERVAL_S = 10.0
PING_TIMEOUT_S = 10.0
MOST_MESSAGE_BYTES = 16 << 20
MOST_WAITING_BYTES = 64 << 20
MOST_FRAGMENTS = 4_096
MOST_CONTROL_FRAMES = 100
"""Maximum number of pings and pongs per second that are handled; an exchange sends one ping in 20 s."""
MOST_UNSENT_BYTES = 1 << 20
SLICE_S = 0.001
_NEVER_US = 1 << 63
GATHER_S = 0.003
_END_OF_HEAD = b"\r\n\r\n"
_MOST_HEAD_BYTES = 1 << 16


class Listener(Protocol):
    """Handles messages and connections, in the order of the events."""

    def connected(self, url: str, conn: int, slot: int) -> None:
        """Connection number *conn*, counted from 1, is open; *slot* is its index, from 0, among simultaneous ones."""

    def message(self, recv_us: int, conn: int, slot: int, raw: bytes) -> None:
        """A message arrived on *conn* at *recv_us*."""

    def disconnected(self, conn: int, slot: int, code: int | None, reason: str) -> None:
        """Connection *conn* has ended, and all its messages were delivered."""

    def unreachable(self, reason: str) -> None:
        """A connection attempt failed; another one follows."""

    def joined(self, conn: int) -> bool:
        """Return True if *conn* has received a continuation of the messages of the others."""


Arrival = tuple[int, "Link", bytes | None]
"""A message in the inbox: its arrival in µs, its connection, and its bytes; None: an opening or an end."""


class Inbox:
    """Undelivered messages of all connections, in the order of arrival.

    Args:
        clock_ns: Returns the wall clock, in ns.
        gather_s: Time, in s, for which messages are gathered before delivery; 0: not at all.

    Attributes:
        clock_ns: As given.
        waiting: The undelivered messages.
        filled: Set when something was added.
        held: Set while delivery is suspended by `hold_from`.
        links: Connections that are being opened or whose end was not delivered.
        numbers: Numbers, from 1, of connections whose opening was delivered and whose end was not.
    """

    def __init__(self, clock_ns: Callable[[], int] = time_ns, gather_s: float = GATHER_S) -> None:
        self.clock_ns = clock_ns
        self._gather_s = gather_s
        self.waiting: deque[Arrival] = deque()
        self.filled = asyncio.Event()
        self.held = asyncio.Event()
        self._hold_us = _NEVER_US
        self.links: list[Link] = []
        self.numbers: dict[Link, int] = {}
        self._count = 0
        self._bytes = 0
        self._direct_listener: Listener | None = None
        self._error: Exception | None = None

    def put(self, link: "Link", raws: list[bytes], recv_us: int) -> bool:
        """Add messages that arrived on *link*, and return whether it may continue: memory is bounded.

        Without gathering they are delivered here, without an iteration of the event loop. Messages beyond
        `MOST_WAITING_BYTES` are dropped.
        """
        if self._bytes > MOST_WAITING_BYTES:
            return False
        self.waiting.extend([(recv_us, link, raw) for raw in raws])
        self._bytes += sum(map(len, raws))
        if self._direct_listener is not None and self._error is None:
            try:
                self._deliver_slice(self._direct_listener)
            except Exception as error:  # `hand_out` raises it
                self._error = error
        if self.waiting or self._error is not None:
            self.filled.set()
        return self._bytes <= MOST_WAITING_BYTES

    def opened_or_ended(self, link: "Link") -> None:
        """Add the opening or the end of *link*."""
        self.waiting.append((self.clock_ns() // 1_000, link, None))
        self.filled.set()

    def hold_from(self, us: int | None) -> None:
        """Deliver only what arrived before the instant *us* (None: nothing); the rest waits for the next call."""
        self._hold_us = us or 0
        self.held.clear() if us else self.held.set()
        self.filled.set()

    async def hand_out(self, listener: Listener, stopping: Callable[[], bool]) -> None:
        """Deliver messages until it is *stopping* and the last connection has ended.

        Messages may be gathered briefly, because a batch costs less per message; all keep their arrival stamps. After
        each time slice the event loop runs, so that the sockets are served regularly.
        """
        self._direct_listener = None if self._gather_s else listener
        try:
            while self.links or self.waiting or not stopping():
                await self.filled.wait()
                if self._gather_s:
                    await asyncio.sleep(self._gather_s)
                self.filled.clear()
                while self.waiting and self._error is None and not self.held.is_set():
                    self._deliver_slice(listener)
                    if self.waiting:
                        await asyncio.sleep(0)
                if self._error is not None:
                    raise self._error
        finally:
            self._direct_listener = None

    def _deliver_slice(self, listener: Listener) -> None:
        """Deliver waiting messages for one time slice."""
        waiting, ends_s = self.waiting, perf_counter() + SLICE_S
        while waiting:
            recv_us, link, raw = waiting[0]
            if recv_us >= self._hold_us:
                self.held.set()
                return
            waiting.popleft()
            if raw is not None:
                self._bytes -= len(raw)
                listener.message(recv_us, self.numbers[link], link.slot, raw)
            elif link in self.numbers:
                self.links.remove(link)
                listener.disconnected(self.numbers.pop(link), link.slot, *link.ending())
            else:
                self._count += 1
                self.numbers[link] = self._count
                listener.connected(link.url, self._count, link.slot)
            if perf_counter() > ends_s:
                return


class Link(asyncio.Protocol):
    """A connection, from the handshake to its last message.

    Messages of a single frame, which nearly all are, go directly to the inbox; the library's protocol handles the
    handshake, control frames, fragments and errors.

    Args:
        inbox: Receives its messages.
        url: The address.
        slot: Its index among the simultaneous connections.

    Attributes:
        url: As given.
        slot: As given.
        changed: Set when it has ended, or is to be replaced.
        ended: Whether no more data will arrive.
        announced: Whether its opening was added to the inbox.
    """

    def __init__(self, inbox: Inbox, url: str, slot: int) -> None:
        self.url = url
        self.slot = slot
        self.changed = asyncio.Event()
        self.ended = False
        self.announced = False
        self._inbox = inbox
        self._uri = parse_uri(url)
        self._protocol = ClientProtocol(self._uri, max_size=MOST_MESSAGE_BYTES)
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._replaced_for = ""
        self._head = b""
        self._refused = False
        self._cutter: FrameCutter | None = None
        self._recv_us = 0
        self._fragments = bytearray()
        self._fragment_count = self._control_count = self._control_s = 0
        self._pong = asyncio.Event()
        self._pings: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect; raises OSError or WebSocketException if that fails."""
        context = trusted() if self._uri.secure else None
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: self, self._uri.host, self._uri.port, ssl=context)
                await self._opened
        except BaseException:
            self._opened.cancel()
            self.abort()
            raise

    def replace(self, reason: str) -> None:
        """Request another connection in place of this one; the first *reason* is kept."""
        self._replaced_for = self._replaced_for or reason
        self.changed.set()

    def close(self, reason: str = "") -> None:
        """Close it, if it is open; messages that have arrived are still delivered."""
        self._replaced_for = self._replaced_for or reason
        if self.announced and self._closing is None:
            self._closing = asyncio.ensure_future(self._close())

    def abort(self) -> None:
        """End it at once."""
        if self._transport:
            self._transport.abort()

    def send(self, text: bytes) -> None:
        """Send a text message on an open connection; raises WebSocketException if it is closing."""
        transport = self._transport
        if self._protocol.state is not OPEN or transport is None or transport.is_closing():
            self._protocol.send_text(text)
            self._send()
        else:
            transport.write(text_frame(text, next(_MASKS)))

    def ending(self) -> tuple[int | None, str]:
        """Return the close code, and the reason of the end: ours, or the exchange's text."""
        lost = "no close frame received or sent"
        return self._protocol.close_code, self._replaced_for or self._protocol.close_reason or lost

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request of the handshake."""
        self._transport = cast(asyncio.Transport, transport)
        request = self._protocol.connect()
        request.headers["User-Agent"] = f"mm/{mm.__version__}"
        self._protocol.send_request(request)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Process bytes from the socket."""
        if self._opened.cancelled():  # given up: `open` aborts it in its next iteration
            return
        self._recv_us = self._inbox.clock_ns() // 1_000
        if self._cutter is None:
            data = self._handshake(data)
        raws: list[bytes] = []
        for whole, piece in self._cutter.cut(data) if self._cutter else ():
            if whole:
                raws.append(piece)
            elif not self._surplus(piece):
                self._put(raws)
                raws = []
                self._process(piece)
        self._put(raws)

    def eof_received(self) -> None:
        """Handle the end of the other side's data; the transport closes itself."""
        self._protocol.receive_eof()
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Add the end to the inbox: no more data will arrive."""
        self._protocol.receive_eof()
        if self._pings:
            self._pings.cancel()
        if not self._opened.done():
            error = self._protocol.handshake_exc or exc or EOFError("the connection closed during the handshake")
            known = isinstance(error, OSError | WebSocketException)
            self._opened.set_exception(error if known else OSError(str(error)))
        self._over.set()
        self.ended = True
        self.changed.set()
        if self.announced:
            self._inbox.opened_or_ended(self)

    async def _close(self) -> None:
        """Close it gracefully, or after a second abruptly."""
        if self._protocol.state is OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._send()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), CLOSE_TIMEOUT_S)
        self.abort()

    def _handshake(self, data: bytes) -> bytes:
        """Process the handshake response, and return the data after it; frames, if the connection is open."""
        if self._refused:
            self._process(data)
            return b""
        head, end, rest = (self._head + data).partition(_END_OF_HEAD)
        if not end and len(head) < _MOST_HEAD_BYTES:
            self._head = head
            return b""
        self._head = b""
        self._process(head + end)
        if self._protocol.state is OPEN:
            self._cutter = FrameCutter(MOST_MESSAGE_BYTES)
            self.announced = True
            self._inbox.opened_or_ended(self)  # before any message: one may come with the handshake response
            self._pings = asyncio.ensure_future(self._keep_alive())
            self._opened.set_result(None)
            return rest
        self._refused = True
        self._process(rest)
        return b""

    def _process(self, data: bytes) -> None:
        """Pass *data* to the library, and act on its events."""
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        self._send()
        for event in events:
            if not isinstance(event, Frame):
                continue
            if event.opcode is Opcode.PONG:
                self._pong.set()
            elif event.opcode in DATA_OPCODES:
                self._take_fragment(event)
        if self._protocol.handshake_exc and self._transport:
            self._transport.close()
        elif self._protocol.close_expected():
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self.abort)

    def _take_fragment(self, frame: Frame) -> None:
        """Process a fragment of a message; too many fragments end the connection."""
        self._fragments += frame.data
        self._fragment_count += 1
        if frame.fin:
            raw = bytes(self._fragments)
            self._fragments.clear()
            self._fragment_count = 0
            self._put([raw])
        elif self._fragment_count > MOST_FRAGMENTS:
            self._protocol.fail(CloseCode.MESSAGE_TOO_BIG, f"a message in more than {MOST_FRAGMENTS} fragments")
            self._send()
            self.abort()

    def _surplus(self, frame: bytes) -> bool:
        """Return True for a ping or a pong beyond the limit of this second, which is ignored."""
        if frame[0] & 0x0F not in (Opcode.PING, Opcode.PONG):
            return False
        second = self._recv_us // 1_000_000
        self._control_count = self._control_count + 1 if second == self._control_s else 1
        self._control_s = second
        if self._control_count > MOST_CONTROL_FRAMES and frame[0] & 0x0F == Opcode.PONG:
            self._pong.set()
        return self._control_count > MOST_CONTROL_FRAMES

    def _send(self) -> None:
        """Write the library's output; an empty piece ends the sending side.

        If the other side does not read, the connection is ended.
        """
        for data in self._protocol.data_to_send():
            if self._transport is None or self._transport.is_closing():
                return
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
        if self._transport is not None and self._transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            self.abort()

    def _put(self, raws: list[bytes]) -> None:
        if raws and not self._inbox.put(self, raws, self._recv_us):
            self.abort()

    async def _keep_alive(self) -> None:
        """Ping the other side every `PING_INTERVAL_S`; without a response within `PING_TIMEOUT_S` it counts as lost."""
        while self._protocol.state is OPEN:
            await asyncio.sleep(PING_INTERVAL_S)
            if self._protocol.state is not OPEN:
                return
            self._pong.clear()
            self._protocol.send_ping(os.urandom(4))
            self._send()
            try:
                await asyncio.wait_for(self._pong.wait(), PING_TIMEOUT_S)
            except TimeoutError:
                self._protocol.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
                self._send()
                asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self.abort)
                return
