"""A WebSocket connection, and the common inbox, which receives each message with its arrival time."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from select import POLLIN, poll
from time import perf_counter, time_ns
from typing import Protocol

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import OPEN, Event
from websockets.uri import parse_uri

import mm
from mm.markets.messages import Speech, trusted

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
PING_INTERVAL_S = 10.0
PING_TIMEOUT_S = 10.0
MOST_MESSAGE_BYTES = 16 << 20
MOST_WAITING_BYTES = 64 << 20
MOST_FRAGMENTS = 4_096
MOST_PINGS = 100
"""Maximum number of pings that are answered per second; an exchange sends one in 20 s."""
MOST_UNSENT_BYTES = 1 << 20
SLICE_S = 0.001
_NEVER_US = 1 << 63
GATHER_S = 0.003


class Listener(Protocol):
    """Handles messages and connections, in the order of the events."""

    def connected(self, url: str, conn: int, slot: int) -> None:
        """*conn* counts from 1; *slot* is the index from 0 among simultaneous connections."""

    def message(self, recv_us: int, conn: int, slot: int, raw: bytes) -> None: ...

    def disconnected(self, conn: int, slot: int, code: int | None, reason: str) -> None:
        """All messages of *conn* were delivered before."""

    def unreachable(self, reason: str) -> None: ...

    def joined(self, conn: int) -> bool:
        """Whether *conn* has continued the others' messages."""


Arrival = tuple[int, "Link", bytes | None]
"""A message in the inbox: its arrival in µs, its connection, and its bytes; None: an opening or an end."""


class Inbox:
    """Undelivered messages of all connections, in the order of arrival.

    Attributes:
        held: Set while `hold_from` suspends delivery.
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
        """Return whether *link* may continue: memory is bounded."""
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
        self.waiting.append((self.clock_ns() // 1_000, link, None))
        self.filled.set()

    def hold_from(self, us: int | None) -> None:
        self._hold_us = us or 0
        self.held.clear() if us else self.held.set()
        self.filled.set()

    async def hand_out(self, listener: Listener, stopping: Callable[[], bool]) -> None:
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


class _Answering(ClientProtocol):
    _pings = _pings_s = 0

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PING:
            second = int(perf_counter())
            self._pings = self._pings + 1 if second == self._pings_s else 1
            self._pings_s = second
            if self._pings > MOST_PINGS:
                return
        super().recv_frame(frame)


class _Connection(ClientConnection):
    def __init__(self, link: "Link") -> None:
        super().__init__(
            _Answering(link.uri, max_size=MOST_MESSAGE_BYTES),
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
        )
        self.link = link

    def data_received(self, data: bytes) -> None:
        link = self.link
        if link.given_up:  # `open` aborts it in its next iteration
            return
        recv_us = link.inbox.clock_ns() // 1_000
        super().data_received(data)
        link.pass_on(recv_us)
        if self.transport.get_write_buffer_size() > MOST_UNSENT_BYTES:  # the other side does not read
            link.abort()
        if self.protocol.close_expected():
            self.loop.call_later(CLOSE_TIMEOUT_S, link.abort)

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            self.link.take(event)
            return
        super().process_event(event)
        if self.protocol.handshake_exc is None:
            self.link.announce()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.link.lost()


class Link:
    """A connection, from the handshake to its last message.

    Attributes:
        changed: Set when it has ended or is to be replaced.
    """

    def __init__(self, inbox: Inbox, url: str, slot: int) -> None:
        self.inbox = inbox
        self.url = url
        self.uri = parse_uri(url)
        self.slot = slot
        self.changed = asyncio.Event()
        self.ended = self.announced = self.given_up = False
        self.connection = _Connection(self)
        self._replaced_for = ""
        self._raws: list[bytes] = []
        self._fragments: list[bytes] = []
        self._closing: asyncio.Task[None] | None = None
        self._poll: poll | None = None
        self._beat_waits = False

    async def open(self) -> None:
        context = trusted() if self.uri.secure else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await loop.create_connection(lambda: self.connection, self.uri.host, self.uri.port, ssl=context)
                await self.connection.handshake(user_agent_header=f"mm/{mm.__version__}")
        except BaseException:
            self.given_up = not self.announced
            self.abort()
            raise
        self.connection.start_keepalive()

    def replace(self, reason: str) -> None:
        """The first *reason* is kept."""
        self._replaced_for = self._replaced_for or reason
        self.changed.set()

    def close(self, reason: str = "") -> None:
        """Arrived messages are still delivered."""
        self._replaced_for = self._replaced_for or reason
        if self.announced and self._closing is None:
            self._closing = asyncio.ensure_future(self.connection.close())

    def abort(self) -> None:
        if hasattr(self.connection, "transport"):
            self.connection.transport.abort()

    @property
    def unread(self) -> bool:
        transport = getattr(self.connection, "transport", None)
        if transport is None or self.ended or transport.is_closing():
            return False
        if self._poll is None:
            self._poll = poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), POLLIN)
        return bool(self._poll.poll(0))

    def begin(self, speech: Speech) -> None:
        """Say what opens the stream, then a beat at intervals; one without an answer ends the connection."""
        self.say(speech.opening)
        if speech.beat:
            asyncio.get_running_loop().call_later(speech.beat_s, self._beat, speech)

    def say(self, texts: Sequence[bytes]) -> None:
        """Send *texts* unless the connection is closing."""
        for text in texts:
            if self.connection.protocol.state is OPEN:
                self.send(text)

    def beaten(self) -> None:
        """The last beat was answered."""
        self._beat_waits = False

    def _beat(self, speech: Speech) -> None:
        if self.ended:
            return
        if self._beat_waits:
            self.replace("no_answer_to_beat")
            return
        self._beat_waits = True
        self.say((speech.beat,))
        asyncio.get_running_loop().call_later(speech.beat_s, self._beat, speech)

    def send(self, text: bytes) -> None:
        self.connection.protocol.send_text(text)
        self.connection.send_data()

    def ending(self) -> tuple[int | None, str]:
        """The close code, and the reason: ours, or the exchange's text."""
        protocol, lost = self.connection.protocol, "no close frame received or sent"
        return protocol.close_code, self._replaced_for or protocol.close_reason or lost

    # Called by the connection.

    def announce(self) -> None:
        """Announce once, before any message: one may come with the handshake response."""
        if not self.announced:
            self.announced = True
            self.inbox.opened_or_ended(self)

    def take(self, frame: Frame) -> None:
        """Too many fragments end the connection."""
        if frame.fin and not self._fragments:
            self._raws.append(bytes(frame.data))
        elif len(self._fragments) < MOST_FRAGMENTS:
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                self._raws.append(b"".join(self._fragments))
                self._fragments.clear()
        else:
            self.abort()

    def pass_on(self, recv_us: int) -> None:
        raws, self._raws = self._raws, []
        if raws and not self.inbox.put(self, raws, recv_us):
            self.abort()

    def lost(self) -> None:
        self.ended = True
        self.changed.set()
        if self.announced:
            self.inbox.opened_or_ended(self)
