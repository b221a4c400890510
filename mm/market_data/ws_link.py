"""One WebSocket connection: every message goes, with the time of its arrival, straight into the inbox of all of them.

Arrival is stamped in the protocol's own callback, when bytes come off the socket, before anything is done with them.
Nothing else happens there: no queue of the library is filled, no reading is ever paused, and pings are answered however
much waits in the inbox.
"""

import asyncio
import os
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import WebSocketException
from websockets.frames import DATA_OPCODES, CloseCode, Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

import mm

_TEXT, _BINARY, _CONTINUATION = 1, 2, 0
_FINAL, _MASKED = 0x80, 0x80
_WHOLE = (_FINAL | _TEXT, _FINAL | _BINARY)
_TWO_BYTES, _EIGHT_BYTES = 126, 127

Piece = tuple[bool, bytes]
"""True and the payload of a whole message, or False and a whole frame of another kind."""


class FrameCutter:
    """Cut what comes from a server into frames; what is left of the last one waits for its end.

    Args:
        most_bytes: The longest frame; one that claims more, and all after it, goes to the library uncut.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._rest = bytearray()
        self._needed = 0
        self._in_fragments = self._uncut = False

    def cut(self, data: bytes) -> list[Piece]:
        """Return what has become whole with *data*, in order."""
        if self._uncut:
            return [(False, data)]
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        pieces: list[Piece] = []
        at, size = self._usual(data, pieces), len(data)
        while at < size:
            begin, end = self._bounds(data, at, size)
            if end > size:
                self._rest += data[at:]
                self._needed = end - at
                break
            if data[at] in _WHOLE and data[at + 1] < _MASKED and not self._in_fragments and not self._uncut:
                pieces.append((True, data[begin:end]))
            else:
                pieces.append((False, data[at:end]))
                self._note(data[at])
            at = end
        return pieces

    def _usual(self, data: bytes, pieces: list[Piece]) -> int:
        """Cut off the messages of a usual length that *data* begins with; return where they end. The rest takes longer.

        They are whole, of 126 to 65,535 bytes: two bytes of head, and two of length.
        """
        at, size = 0, len(data)
        while size - at > 4 and data[at + 1] == _TWO_BYTES and data[at] in _WHOLE and not self._in_fragments:
            end = at + 4 + (data[at + 2] << 8 | data[at + 3])
            if end > size or end - at - 4 > self._most_bytes:
                break
            pieces.append((True, data[at + 4 : end]))
            at = end
        return at

    def _bounds(self, data: bytes, at: int, size: int) -> tuple[int, int]:
        """Return where the payload of the frame at *at* begins and ends, as far as its head shows by now."""
        if size - at < 2:
            return size, at + 2
        length, begin = data[at + 1] & ~_MASKED, at + 2
        if length >= _TWO_BYTES:
            begin = at + (4 if length == _TWO_BYTES else 10)
            if size < begin:
                return size, begin
            length = int.from_bytes(data[at + 2 : begin])
        if length > self._most_bytes or data[at + 1] >= _MASKED:
            self._uncut = True
            return begin, size
        return begin, begin + length

    def _note(self, first: int) -> None:
        """Note fragments: until the last one has come, all frames are the library's."""
        kind = first & 0x0F
        if kind in (_TEXT, _BINARY):
            self._in_fragments = not first & _FINAL
        elif kind == _CONTINUATION and first & _FINAL:
            self._in_fragments = False


OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
PING_INTERVAL_S = 10.0
PING_TIMEOUT_S = 10.0
MOST_MESSAGE_BYTES = 16 << 20
MOST_WAITING_BYTES = 64 << 20
_END_OF_HEAD = b"\r\n\r\n"
_MOST_HEAD_BYTES = 1 << 16


Arrival = tuple[int, "Link", bytes | None]
"""A message in the inbox: its arrival in µs, where it came from, and its bytes; None: it opened or ended."""


class Inbox:
    """What has arrived over all connections and was not handed out yet, in the order of arrival.

    Args:
        clock: Returns the wall clock, in µs.

    Attributes:
        clock: As given.
        waiting: The messages.
        filled: Set when something was put in.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.waiting: deque[Arrival] = deque()
        self.filled = asyncio.Event()
        self._bytes = 0

    def put(self, link: "Link", raws: list[bytes], recv_us: int) -> bool:
        """Put in messages that arrived over *link*, and return whether more may come: memory is bounded."""
        self.waiting.extend([(recv_us, link, raw) for raw in raws])
        self.filled.set()
        self._bytes += sum(map(len, raws))
        return self._bytes <= MOST_WAITING_BYTES

    def opened_or_ended(self, link: "Link") -> None:
        """Put in that *link* has opened, or ended."""
        self.waiting.append((self.clock(), link, None))
        self.filled.set()

    def take(self) -> Arrival:
        """Take out the oldest."""
        arrival = self.waiting.popleft()
        raw = arrival[2]
        if raw:
            self._bytes -= len(raw)
        return arrival


class Link:
    """A connection, from the handshake to its last message.

    Args:
        inbox: Where its messages go.
        slot: Which of the connections that are kept at the same time it is one of.

    Attributes:
        slot: As given.
        number: Counted from 1 over all connections; 0 until its opening is handed out.
        changed: Set when it has ended, or is to be replaced.
        ended: Whether nothing more will come.
        announced: Whether its opening is in the inbox, or was handed out.
        replaced_for: Why it is to be replaced, or was closed; empty where it is not.
    """

    def __init__(self, inbox: Inbox, slot: int) -> None:
        self.slot = slot
        self.number = 0
        self.changed = asyncio.Event()
        self.ended = False
        self.replaced_for = ""
        self._inbox = inbox
        self._connection: _Connection | None = None
        self.announced = False
        self._closing: asyncio.Task[None] | None = None

    async def open(self, url: str) -> None:
        """Connect to *url*; raises OSError or WebSocketException where that fails."""
        self._connection = await _connect(self, url)

    def replace(self, reason: str) -> None:
        """Ask for another connection in this one's place; the first *reason* stands."""
        self.replaced_for = self.replaced_for or reason
        self.changed.set()

    def close(self, reason: str = "") -> None:
        """Close it, if it is open; what has arrived is still handed out."""
        self.replaced_for = self.replaced_for or reason
        if self._connection and self._closing is None:
            self._closing = asyncio.ensure_future(self._connection.close())

    def abort(self) -> None:
        """End it at once."""
        if self._connection:
            self._connection.abort()

    def ending(self) -> tuple[int | None, str]:
        """Return the close code, and why it has ended: by whose will, or in the exchange's words."""
        if self._connection is None:
            return None, self.replaced_for
        lost = "no close frame received or sent"
        protocol = self._connection.protocol
        return protocol.close_code, self.replaced_for or protocol.close_reason or lost

    def came(self, raws: list[bytes], recv_us: int) -> bool:
        """Put messages into the inbox; False where too much waits there already."""
        return self._inbox.put(self, raws, recv_us)

    def now_us(self) -> int:
        """Return the time of an arrival, in µs."""
        return self._inbox.clock()

    def lost(self) -> None:
        """Note the end of the connection."""
        self.ended = True
        self.changed.set()
        if self.announced:
            self._inbox.opened_or_ended(self)

    def announce(self) -> None:
        """Put the opening into the inbox, before any message: one may come with the answer to the handshake."""
        if not self.announced:
            self.announced = True
            self._inbox.opened_or_ended(self)


class _Connection(asyncio.Protocol):
    """The transport of one connection: it stamps what arrives, and the library's sans-I/O protocol does the rest.

    Messages that are one frame, which nearly all are, go straight to the link; the library takes the handshake, control
    frames, fragments and whatever is wrong.

    Args:
        link: Takes messages, the opening and the end.
        url: The address.

    Attributes:
        protocol: The state of the connection, as the library keeps it.
        opened: Done when the handshake is, with its error if it failed.
        ended: Set when nothing more will come.
    """

    def __init__(self, link: Link, url: str) -> None:
        self.protocol = ClientProtocol(parse_uri(url), max_size=MOST_MESSAGE_BYTES)
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self._link = link
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._refused = False
        self._cutter: FrameCutter | None = None
        self._recv_us = 0
        self._fragments: list[bytes] = []
        self._pong = asyncio.Event()
        self._pings: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request of the handshake."""
        self._transport = cast(asyncio.Transport, transport)
        request = self.protocol.connect()
        request.headers["User-Agent"] = f"mm/{mm.__version__}"
        self.protocol.send_request(request)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take what came off the socket."""
        self._recv_us = self._link.now_us()
        if self._cutter is None:
            data = self._shake_hands(data)
        raws: list[bytes] = []
        for whole, piece in self._cutter.cut(data) if self._cutter else ():
            if whole:
                raws.append(piece)
            else:
                self._hand_over(raws)
                raws = []
                self._process(piece)
        self._hand_over(raws)

    def eof_received(self) -> None:
        """Take the end of what the other side sends; the transport closes itself."""
        self.protocol.receive_eof()
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report that nothing more will come."""
        self.protocol.receive_eof()
        if self._pings:
            self._pings.cancel()
        if not self.opened.done():
            error = self.protocol.handshake_exc or exc or EOFError("the connection closed during the handshake")
            self.opened.set_exception(error if isinstance(error, OSError | WebSocketException) else OSError(str(error)))
        self.ended.set()
        self._link.lost()

    async def close(self) -> None:
        """Close it in order, or after a second without it."""
        if self.protocol.state is OPEN:
            self.protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._send()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.ended.wait(), CLOSE_TIMEOUT_S)
        self.abort()

    def abort(self) -> None:
        """End it at once."""
        if self._transport:
            self._transport.abort()

    def _shake_hands(self, data: bytes) -> bytes:
        """Take the answer to the handshake, and return what stands after it; frames, if the connection is open."""
        if self._refused:
            self._process(data)
            return b""
        head, end, rest = (self._head + data).partition(_END_OF_HEAD)
        if not end and len(head) < _MOST_HEAD_BYTES:
            self._head = head
            return b""
        self._head = b""
        self._process(head + end)
        if self.protocol.state is OPEN:
            self._cutter = FrameCutter(MOST_MESSAGE_BYTES)
            self._link.announce()
            self._pings = asyncio.ensure_future(self._keep_alive())
            self.opened.set_result(None)
            return rest
        self._refused = True
        self._process(rest)
        return b""

    def _process(self, data: bytes) -> None:
        """Let the library take *data*, and act on what it makes of it."""
        self.protocol.receive_data(data)
        events = self.protocol.events_received()
        self._send()
        for event in events:
            if not isinstance(event, Frame):
                continue
            if event.opcode is Opcode.PONG:
                self._pong.set()
            elif event.opcode in DATA_OPCODES:
                self._fragment(event)
        if self.protocol.handshake_exc and self._transport:
            self._transport.close()
        elif self.protocol.close_expected():
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self.abort)

    def _fragment(self, frame: Frame) -> None:
        """Hand a message in fragments over when the last of them is there."""
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            raw = b"".join(self._fragments)
            self._fragments.clear()
            self._hand_over([raw])

    def _send(self) -> None:
        """Write what the library has to send; an empty piece ends the sending side."""
        for data in self.protocol.data_to_send():
            if self._transport is None or self._transport.is_closing():
                return
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()

    def _hand_over(self, raws: list[bytes]) -> None:
        if raws and not self._link.came(raws, self._recv_us):
            self.abort()

    async def _keep_alive(self) -> None:
        """Ping the other side every `PING_INTERVAL_S`; one that does not answer in `PING_TIMEOUT_S` is gone."""
        while self.protocol.state is OPEN:
            await asyncio.sleep(PING_INTERVAL_S)
            if self.protocol.state is not OPEN:
                return
            self._pong.clear()
            self.protocol.send_ping(os.urandom(4))
            self._send()
            try:
                await asyncio.wait_for(self._pong.wait(), PING_TIMEOUT_S)
            except TimeoutError:
                self.protocol.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
                self._send()
                asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self.abort)
                return


async def _connect(link: Link, url: str) -> _Connection:
    """Return an open connection to *url*; raises OSError or WebSocketException where there is none."""
    address, connection = parse_uri(url), _Connection(link, url)
    context = ssl.create_default_context() if address.secure else None
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: connection, address.host, address.port, ssl=context)
            await connection.opened
    except BaseException:
        connection.opened.cancel()
        connection.abort()
        raise
    return connection
