"""One WebSocket connection: every message goes, with the time of its arrival, straight into the inbox of all of them.

Arrival is stamped in the protocol's own callback, when bytes come off the socket, before anything is done with them.
Nothing else happens there: no queue of the library is filled, no reading is ever paused, and pings are answered however
much waits in the inbox.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import OPEN, Event

_TEXT, _BINARY, _CONTINUATION = 1, 2, 0
_FINAL, _MASKED = 0x80, 0x80
_WHOLE = (_FINAL | _TEXT, _FINAL | _BINARY)
_TWO_BYTES, _EIGHT_BYTES = 126, 127

Piece = tuple[bool, bytes]
"""True and the payload of a whole message, or False and a whole frame of another kind."""


class FrameCutter:
    """Cut what comes from a server into frames; what is left of the last one waits for its end.

    Args:
        most_bytes: The longest frame; one that claims more, and all behind it, goes to the library uncut.
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
        """Return where the payload of the frame at *at* begins and ends, as far as its head tells by now."""
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
        """Take notice of fragments: until the last one has come, all frames are the library's."""
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
"""A message in the inbox: its arrival in µs, where it came from, and its bytes; None where the connection turned."""


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
        """Put in messages that arrived over *link*, and tell whether more may come: memory has an end."""
        self.waiting.extend([(recv_us, link, raw) for raw in raws])
        self.filled.set()
        self._bytes += sum(map(len, raws))
        return self._bytes <= MOST_WAITING_BYTES

    def turn(self, link: "Link") -> None:
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
        number: Counted from 1 over all connections; 0 until its opening is told.
        changed: Set when it has ended, or is to be replaced.
        ended: Whether nothing more will come.
        announced: Whether its opening lies in the inbox, or was told.
        replaced_for: Why it is to be replaced, or was closed; empty where nobody wants that.
    """

    def __init__(self, inbox: Inbox, slot: int) -> None:
        self.slot = slot
        self.number = 0
        self.changed = asyncio.Event()
        self.ended = False
        self.replaced_for = ""
        self._inbox = inbox
        self._connection: _Stamped | None = None
        self.announced = False
        self._closing: asyncio.Task[None] | None = None

    async def open(self, url: str) -> None:
        """Connect to *url*; raises OSError or WebSocketException where that fails."""
        factory = cast("type[ClientConnection]", partial(_Stamped, self))
        connection = await connect(
            url,
            create_connection=factory,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            max_size=MOST_MESSAGE_BYTES,
            max_queue=None,
            compression=None,
            proxy=None,
        )
        self._connection = cast(_Stamped, connection)
        self.announce()

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
        """End it without a word."""
        if self._connection:
            self._connection.transport.abort()

    def ending(self) -> tuple[int | None, str]:
        """Return the close code, and why it has ended: by whose will, or in the exchange's words."""
        if self._connection is None:
            return None, self.replaced_for
        lost = "no close frame received or sent"
        return self._connection.close_code, self.replaced_for or self._connection.close_reason or lost

    def came(self, raws: list[bytes], recv_us: int) -> bool:
        """Put messages into the inbox; False where too much waits there already."""
        return self._inbox.put(self, raws, recv_us)

    def now_us(self) -> int:
        """Return the time of an arrival, in µs."""
        return self._inbox.clock()

    def lost(self) -> None:
        """Take notice of the end of the connection."""
        self.ended = True
        self.changed.set()
        if self.announced:
            self._inbox.turn(self)

    def announce(self) -> None:
        """Put the opening into the inbox, before any message: one may come with the answer to the handshake."""
        if not self.announced:
            self.announced = True
            self._inbox.turn(self)


class _Stamped(ClientConnection):
    """A connection of the library that hands messages over as they arrive; the library sees all frames but those."""

    def __init__(self, link: Link, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._link = link
        self._head = b""
        self._refused = False
        self._cutter: FrameCutter | None = None
        self._recv_us = 0
        self._fragments: list[bytes] = []

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
                super().data_received(piece)
        self._hand_over(raws)

    def process_event(self, event: Event) -> None:
        """Hand a message in fragments over when the last of them is there."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        self._fragments.append(bytes(event.data))
        if event.fin:
            raw = b"".join(self._fragments)
            self._fragments.clear()
            self._hand_over([raw])

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that nothing more will come."""
        super().connection_lost(exc)
        self._link.lost()

    def _shake_hands(self, data: bytes) -> bytes:
        """Let the library have the answer to the handshake, and return what stands behind it; frames, if it is open."""
        if self._refused:
            super().data_received(data)
            return b""
        head, end, rest = (self._head + data).partition(_END_OF_HEAD)
        if not end and len(head) < _MOST_HEAD_BYTES:
            self._head = head
            return b""
        self._head = b""
        super().data_received(head + end)
        if self.protocol.state is OPEN:
            self._cutter = FrameCutter(MOST_MESSAGE_BYTES)
            self._link.announce()
            return rest
        self._refused = True
        super().data_received(rest)
        return b""

    def _hand_over(self, raws: list[bytes]) -> None:
        if raws and not self._link.came(raws, self._recv_us):
            self.transport.abort()
