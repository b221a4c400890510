"""Faults of connections as a whole: closed, reset, mute, half open, refused."""

from dataclasses import dataclass
from typing import ClassVar

from mm.sim.wire.faults.base import ConnectionFault, HandshakeFault
from mm.sim.wire.faults.parameters import least, micros
from mm.sim.wire.hooks import FaultyConnection
from mm.sim.wire.http_messages import Response
from mm.sim.wire.stream_messages import server_shutdown

ABNORMAL, GOING_AWAY = 1006, 1001


@dataclass(frozen=True)
class Close(ConnectionFault):
    """The connection is closed with `code` and `reason`; 1006, which no frame can carry, ends it without a word."""

    code: int = least(1000, 1000)
    reason: str = ""

    def begin(self, connection: FaultyConnection, now_us: int) -> None:
        """Close it."""
        connection.close(self.code, self.reason)


@dataclass(frozen=True)
class Reset(ConnectionFault):
    """The connection is reset (RST); what was on its way is lost."""

    def begin(self, connection: FaultyConnection, now_us: int) -> None:
        """Reset it."""
        connection.abort()


@dataclass(frozen=True)
class Mute(ConnectionFault):
    """Nothing is sent any more, no ping and no pong, for `for_s` seconds or for good; what comes is still read."""

    for_s: float | None = None

    def begin(self, connection: FaultyConnection, now_us: int) -> None:
        """Fall silent."""
        connection.stall(True, silent=True)

    def end_us(self, opened_us: int, now_us: int) -> int | None:
        """Return when it speaks again."""
        return None if self.for_s is None else now_us + (micros(self.for_s) or 0)

    def end(self, connection: FaultyConnection) -> None:
        """Speak again: depth goes on without a hole, what else was said meanwhile is lost."""
        connection.stall(False, silent=True)


@dataclass(frozen=True)
class HalfOpen(ConnectionFault):
    """Nothing is sent and nothing is read any more: the other end is gone and nobody said so."""

    def begin(self, connection: FaultyConnection, now_us: int) -> None:
        """Leave it."""
        connection.stall(True, silent=True)
        connection.pause_reading()


@dataclass(frozen=True)
class Shutdown(ConnectionFault):
    """The connection is told ``serverShutdown``, and closed with 1001 after `lead_s` seconds."""

    lead_s: float = 10.0

    def begin(self, connection: FaultyConnection, now_us: int) -> None:
        """Say so."""
        told = server_shutdown(now_us, micro=connection.micro)
        connection.write(told.frame(combined=connection.combined))

    def end_us(self, opened_us: int, now_us: int) -> int | None:
        """Return when it goes."""
        return now_us + (micros(self.lead_s) or 0)

    def end(self, connection: FaultyConnection) -> None:
        """Go."""
        connection.close(GOING_AWAY, "")


@dataclass(frozen=True)
class Age(ConnectionFault):
    """Connections, later ones too, are closed with `code` when they are `max_s` seconds old."""

    later: ClassVar[bool] = True
    max_s: float = 60.0
    code: int = least(GOING_AWAY, 1000)

    def end_us(self, opened_us: int, now_us: int) -> int | None:
        """Return when it is old."""
        return opened_us + (micros(self.max_s) or 0)

    def end(self, connection: FaultyConnection) -> None:
        """Close it."""
        connection.close(self.code, "")


@dataclass(frozen=True)
class Storm(ConnectionFault):
    """The next `n` connections are accepted, and closed at once with `code`."""

    now: ClassVar[bool] = False
    later: ClassVar[bool] = True
    n: int = least(5, 1)
    code: int = least(ABNORMAL, 1000)

    @property
    def openings(self) -> int | None:
        """How many later connections it befalls."""
        return self.n

    def begin(self, connection: FaultyConnection, now_us: int) -> None:
        """Close it."""
        connection.close(self.code, "")


@dataclass(frozen=True)
class Phase(ConnectionFault):
    """The next connection has its depth batches end `ms` behind each whole second (of 100 ms streams: modulo 100)."""

    now: ClassVar[bool] = False
    later: ClassVar[bool] = True
    ms: int = 50

    @property
    def openings(self) -> int | None:
        """How many later connections it befalls."""
        return 1

    def begin(self, connection: FaultyConnection, now_us: int) -> None:
        """Set it, before the connection has streams."""
        connection.phase_ms = self.ms


@dataclass(frozen=True)
class RefuseHandshake(HandshakeFault):
    """The next `n` handshakes are answered with `status`, and Retry-After of `retry_after` seconds if not 0."""

    status: int = least(503, 300)
    retry_after: int = 0

    def refusal(self) -> Response:
        """Return the answer."""
        return Response(self.status, {"Retry-After": str(self.retry_after)} if self.retry_after else {})


@dataclass(frozen=True)
class RefuseConnect(HandshakeFault):
    """The next `n` handshakes are reset before any answer: what a client sees of a host that is gone."""

    def refusal(self) -> Response:
        """Return a reset."""
        return Response(0, reset=True)
