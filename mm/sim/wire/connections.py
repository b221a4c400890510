"""What connections are for: the market streams, and the WebSocket API."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Protocol

from websockets.server import ServerProtocol

from mm.sim.wire.feed import Feed
from mm.sim.wire.hooks import Faults
from mm.sim.wire.http_messages import MessageSession, json_bytes
from mm.sim.wire.limits import Window
from mm.sim.wire.stream_control import Reply, StreamControl
from mm.sim.wire.stream_messages import Message, server_shutdown, text_frame
from mm.sim.wire.stream_names import Opening
from mm.sim.wire.web_socket import POLICY_VIOLATION, Host, WebSocket

_PHASE_STEP = 437
"""Coprime to 1000 and 100: the phases of connections that follow each other differ for both speeds of depth."""


class StreamHost(Host, Protocol):
    """What a stream connection needs of its server.

    Attributes:
        feed: Its streams.
        faults: What goes wrong on purpose; None while nothing does.
    """

    feed: Feed
    faults: Faults | None


class StreamConnection(WebSocket):
    """A connection of the market streams.

    Attributes:
        id: Counted from 1 over the server's life.
        path: Of its handshake, as it came, with its query.
        micro: Whether its stamps are µs, not ms.
        phase_ms: When its depth batches end, in ms behind each whole second; it counts for later subscriptions.
    """

    def __init__(
        self, host: StreamHost, transport: asyncio.Transport, protocol: ServerProtocol, number: int, path: str
    ) -> None:
        super().__init__(host, transport, protocol)
        self.id = number
        self.path = path
        self.micro = False
        self.phase_ms = number * _PHASE_STEP % 1_000
        self._streams_of = host
        self._control = StreamControl(combined=False, most=host.limits.streams)
        self._came = Window(host.limits.messages, host.limits.messages_s)
        self._stalled: Collection[str] | None = ()
        self._silent = False

    def begin(self, opening: Opening) -> None:
        """Start as the address asks for; faults may take hold from now on."""
        self.micro = opening.micro
        self._control.combined = opening.combined
        if self._streams_of.faults:
            self._streams_of.faults.opened(self)
        reply = self._control.begin(opening.streams)
        if reply:
            self._follow(reply)
        for stream in self._control.streams.values():
            self._streams_of.feed.subscribe(self, stream)

    @property
    def combined(self) -> bool:
        """Whether events are wrapped with their stream's name."""
        return self._control.combined

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of its streams, in the order of subscription."""
        return tuple(self._control.streams)

    def announce_shutdown(self, us: int) -> None:
        """Send the event that the server is about to go."""
        self.deliver(server_shutdown(us, micro=self.micro))

    def admits(self) -> bool:
        """Count an incoming frame, and return whether it is within the limit."""
        return self._came.admit(self._host.seconds())

    def take_text(self, text: str) -> None:
        """Take a SUBSCRIBE, or what else a client may say."""
        self._follow(self._control.handle(text))

    def behind(self, stream: str) -> bool:
        """Tell whether events of *stream* that later ones replace should not be sent now."""
        return self._holds(stream) or self.waiting_bytes > self._host.limits.behind_bytes

    def deliver(self, message: Message) -> None:
        """Send *message*, or what faults make of it."""
        if self.closing or self._holds(message.stream):
            return
        faults = self._streams_of.faults
        if faults is None:
            self.write(message.frame(combined=self._control.combined))
            return
        for out in faults.outgoing(self, message):
            self.write(out if isinstance(out, bytes) else out.frame(combined=self._control.combined))

    def stall(self, on: bool, streams: Collection[str] | None = None, *, silent: bool = False) -> None:
        """Hold back the events of *streams*, of all without them, or let them go again; see `FaultyConnection`."""
        self._stalled = streams if on else ()
        self._silent = on and silent

    def write(self, frame: bytes) -> None:
        """Gather a whole frame, to be sent with the next `flush`."""
        if not self._silent:
            super().write(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the transport is closed."""
        for stream in self._control.streams.values():
            self._streams_of.feed.unsubscribe(self, stream)
        self._control.streams = {}
        if self._streams_of.faults:
            self._streams_of.faults.closed(self)
        super().connection_lost(exc)

    def _holds(self, stream: str) -> bool:
        return self._stalled is None or stream in self._stalled

    def _follow(self, reply: Reply) -> None:
        self.write(text_frame(json_bytes(reply.answer)))
        for stream in reply.left:
            self._streams_of.feed.unsubscribe(self, stream)
        for stream in reply.joined:
            self._streams_of.feed.subscribe(self, stream)
        if reply.closes:
            self.close(POLICY_VIOLATION, reply.closes)


class ApiConnection(WebSocket):
    """A connection of the WebSocket API."""

    _session: MessageSession

    def begin(self, open_session: Callable[[Callable[[Any], None]], MessageSession]) -> None:
        """Start the session that *open_session* makes of a function that sends an object as JSON."""
        self._session = open_session(self.send)

    def send(self, content: Any) -> None:
        """Send *content* as JSON."""
        self.write(text_frame(json_bytes(content)))

    def announce_shutdown(self, us: int) -> None:
        """Send the event that the server is about to go."""
        self._session.announce_shutdown(us)

    def take_text(self, text: str) -> None:
        """Hand a request to the session."""
        self._session.handle(text)

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the transport is closed."""
        self._session.close()
        super().connection_lost(exc)
