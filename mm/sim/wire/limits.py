"""What the exchange asks of a connection, and the count of what came within a window of time."""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WireLimits:
    """The rules of connections; durations in seconds of wall time, whatever the exchange's own clock does.

    Attributes:
        messages: Most incoming messages (pings, pongs, texts) of a stream connection within ``messages_s``.
        messages_s: Window of ``messages``.
        streams: Most streams of one connection.
        attempts: Most handshakes of one address within ``attempts_s``; None lifts the limit.
        attempts_s: Window of ``attempts``.
        ping_s: From one ping of the server to the next.
        pong_s: A ping that was not answered for so long ends its connection.
        age_s: A connection lives no longer.
        idle_s: An HTTP connection that sends nothing for so long, be it within a request, is closed.
        close_s: From a close frame until the connection is cut, whether the client answered or not.
        message_bytes: Most bytes of an incoming message.
        header_bytes: Most bytes of a request line and its headers.
        body_bytes: Most bytes of a request's body.
        behind_bytes: With more than this waiting to be sent, a connection is behind: its depth is conflated.
        lost_bytes: With more than this waiting, it is cut.
    """

    messages: int = 5
    messages_s: float = 1.0
    streams: int = 1024
    attempts: int | None = 300
    attempts_s: float = 300.0
    ping_s: float = 20.0
    pong_s: float = 60.0
    age_s: float = 24 * 3600.0
    idle_s: float = 60.0
    close_s: float = 0.5
    message_bytes: int = 1 << 16
    header_bytes: int = 1 << 16
    body_bytes: int = 1 << 18
    behind_bytes: int = 1 << 18
    lost_bytes: int = 1 << 23


class Window:
    """Counts what came within the last *seconds*, strictly: not a bucket that refills."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._came: deque[float] = deque()

    def admit(self, now_s: float) -> bool:
        """Count one that comes at *now_s* and return whether it is within the limit; one that is not counts too."""
        self.forget(now_s)
        self._came.append(now_s)
        if len(self._came) > self._most:
            self._came.popleft()
            return False
        return True

    def forget(self, now_s: float) -> bool:
        """Drop what is older than the window and return whether nothing is left."""
        came = self._came
        while came and came[0] <= now_s - self._seconds:
            came.popleft()
        return not came

    def free_in_s(self, now_s: float) -> float:
        """Return the seconds until the next one would be admitted, 0 where it would be now."""
        if len(self._came) < self._most:
            return 0.0
        return max(0.0, self._came[0] + self._seconds - now_s)
