"""Where faults take hold of the wire. Nothing here is called unless a script of faults is armed."""

from collections.abc import Collection
from typing import Protocol

from mm.sim.wire.http_messages import Request, Response
from mm.sim.wire.stream_messages import Message


class FaultyConnection(Protocol):
    """A stream connection, as faults see it.

    Attributes:
        id: Counted from 1 over the server's life.
        path: Of its handshake, as it came, with its query.
        micro: Whether its stamps are µs, not ms.
        phase_ms: When its depth batches end, in ms behind each whole second; it counts for later subscriptions.
    """

    id: int
    path: str
    micro: bool
    phase_ms: int

    @property
    def combined(self) -> bool:
        """Whether its events are wrapped with their stream's name."""

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of its streams."""

    def write(self, frame: bytes) -> None:
        """Send a whole frame, past the hooks."""

    def close(self, code: int, reason: str = "") -> None:
        """Close in order, with a close frame; with 1006 the stream ends without one."""

    def abort(self) -> None:
        """Cut the connection with a reset: no close frame, nothing that still waits to be sent."""

    def stall(self, on: bool, streams: Collection[str] | None = None, *, silent: bool = False) -> None:
        """Hold back the events of *streams*, of all without them, or let them go again.

        Depth goes on without a hole, as one message; what else would have been sent is lost. *silent* also holds
        back pings, pongs and answers.
        """

    def pause_reading(self) -> None:
        """Take nothing more from the socket: the client's end of a half-open connection."""


class Faults(Protocol):
    """What the wire asks and tells, when faults are armed."""

    def handshake(self, path: str) -> Response | None:
        """Return what a handshake for *path* is answered with, or how it is cut, instead; None lets it through."""

    def opened(self, connection: FaultyConnection) -> None:
        """Learn of a stream connection, before anything is sent on it."""

    def closed(self, connection: FaultyConnection) -> None:
        """Learn that a connection is gone."""

    def outgoing(self, connection: FaultyConnection, message: Message) -> list[Message | bytes]:
        """Return what is sent instead of *message*; bytes are whole frames."""

    def response(self, request: Request, response: Response) -> Response:
        """Return what is answered instead of *response*."""

    def advanced(self, us: int) -> None:
        """Learn that the exchange's time has come to *us*, and all its events were handed out."""
