"""Whether a stream has stalled, or the market is only quiet.

A trade changes the book, so an update is owed from then on: where none comes for the limit, the stream has stalled.
Where nothing at all comes, nobody can tell, and a new connection must: its first update shows whether ids are missing.
Each such test doubles the patience with silence, up to a minute, so that a quiet symbol is not torn from one connection
to the next; missing ids, or a minute without a long silence, put it back to the limit.
"""

MOST_PATIENCE_S = 60.0
HEALTHY_S = 60.0


class Silence:
    """Measure silence, in s of a monotonic clock.

    Attributes:
        limit_s: Silence that counts as a stall.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._patience_s = limit_s
        self._heard_s: float | None = None
        self._owed_s: float | None = None
        self._long_s = 0.0

    def connected(self, now_s: float) -> None:
        """A connection was opened: silence counts from here."""
        self._heard_s, self._owed_s, self._long_s = now_s, None, now_s

    def disconnected(self) -> None:
        """There is no connection: silence means nothing."""
        self._heard_s = None

    def heard(self, now_s: float, *, ids_missing: bool) -> None:
        """A message came."""
        if self._heard_s is not None and now_s - self._heard_s > self.limit_s:
            self._long_s = now_s
        if ids_missing or now_s - self._long_s >= HEALTHY_S:
            self._patience_s = self.limit_s
        self._heard_s, self._owed_s = now_s, None

    def owed(self, now_s: float) -> None:
        """A trade came, or another connection has brought an update: one must follow."""
        if self._owed_s is None:
            self._owed_s = now_s

    def owes(self, now_s: float) -> bool:
        """Tell whether what must follow has been awaited for the limit."""
        return self._owed_s is not None and now_s - self._owed_s >= self.limit_s

    def stalled_s(self, now_s: float) -> float | None:
        """Return for how long the stream has been silent, if that is too long; asked again, it starts from anew."""
        heard_s, quiet = self._heard_s, not self.owes(now_s)
        if heard_s is None:
            return None
        if quiet and now_s - heard_s < self._patience_s:
            return None
        if quiet:
            self._patience_s = max(self.limit_s, min(2 * self._patience_s, MOST_PATIENCE_S))
        self.disconnected()
        return now_s - heard_s
