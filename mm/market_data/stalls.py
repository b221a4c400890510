"""Tells a stalled stream from a quiet market, for depth messages and trades.

A trade changes the book, so an update must follow within the limit, or the stream has stalled. If nothing arrives at
all, only the first update's ids on a new connection tell the two apart. Each such test doubles the timeout, up to a
minute, to spare an inactive symbol constant reconnects; missing ids, or a minute without a long silence, reset it.

Trades may pause for minutes while updates arrive, so REST fetches the last trade. A newer trade there that the
connection still lacks a moment later proves a stall. A response that shows a quiet market doubles the timeout: a symbol
with one trade per hour costs one cheap request per minute.
"""

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MAX_TIMEOUT_S = 60.0
HEALTHY_S = 60.0


class StallDetector:
    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.arrivals_s = array("d")
        self._timeout_s = limit_s
        self._last_message_s: float | None = None
        self._expected_since_s: float | None = None
        self._last_silence_s = 0.0

    def connected(self, now_s: float) -> None:
        self._count()
        self._last_message_s, self._expected_since_s, self._last_silence_s = now_s, None, now_s

    def disconnected(self) -> None:
        self._count()
        self._last_message_s = None

    def received(self, now_s: float, *, ids_missing: bool) -> None:
        self._count()
        self._received(now_s, ids_missing=ids_missing)

    def _count(self) -> None:
        for now_s in self.arrivals_s:
            self._received(now_s, ids_missing=False)
        del self.arrivals_s[:]

    def _received(self, now_s: float, *, ids_missing: bool) -> None:
        if self._last_message_s is not None and now_s - self._last_message_s > self.limit_s:
            self._last_silence_s = now_s
        if ids_missing or now_s - self._last_silence_s >= HEALTHY_S:
            self._timeout_s = self.limit_s
        self._last_message_s, self._expected_since_s = now_s, None

    def expect(self, now_s: float) -> None:
        self._count()
        if self._expected_since_s is None:
            self._expected_since_s = now_s

    def overdue(self, now_s: float) -> bool:
        self._count()
        return self._expected_since_s is not None and now_s - self._expected_since_s >= self.limit_s

    def stalled_s(self, now_s: float) -> float | None:
        """A silence (s) that is too long; returning it ends its measurement."""
        last_message_s, quiet = self._last_message_s, not self.overdue(now_s)
        if last_message_s is None:
            return None
        if quiet and now_s - last_message_s < self._timeout_s:
            return None
        if quiet:
            self._timeout_s = max(self.limit_s, min(2 * self._timeout_s, MAX_TIMEOUT_S))
        self.disconnected()
        return now_s - last_message_s


GRACE_S = 1.0
"""Maximum delay of a trade in the stream compared with REST."""


class TradeStall(NamedTuple):
    """A connection that should have received trades."""

    conn: int
    silent_s: float


@dataclass
class _Watched:
    silence: StallDetector
    conn: int = 0
    arrivals_s: float = 0.0
    opened_id: int | None = None
    rest_id: int | None = None


class TradeWatch:
    def __init__(
        self,
        silences: Sequence[StallDetector],
        last_id: Callable[[], int | None],
        ask: Callable[[], Awaitable[int | None]],
        settled: Callable[[], Awaitable[None]],
    ) -> None:
        self._watched = [_Watched(silence) for silence in silences]
        self._last_id = last_id
        self._ask = ask
        self._settled = settled
        self._lost: dict[int, tuple[int, int]] = {}
        self._found_missing = False

    def connected(self, slot: int, conn: int, now_s: float) -> None:
        watched = self._watched[slot]
        watched.conn, watched.arrivals_s, watched.opened_id, watched.rest_id = conn, now_s, self._last_id(), None
        watched.silence.connected(now_s)

    def gone(self, slot: int) -> None:
        self._watched[slot].conn = 0
        self._watched[slot].silence.disconnected()

    def received(self, slot: int, now_s: float, *, ids_missing: bool, advanced: bool) -> None:
        """If a trade *advanced* the feed, the other connection must receive it too."""
        watched = self._watched[slot]
        watched.arrivals_s = now_s
        watched.silence.received(now_s, ids_missing=ids_missing or self._found_missing)
        self._found_missing = False
        if advanced and len(self._watched) > 1:
            self._watched[1 - slot].silence.expect(now_s)

    def lost(self, conn: int) -> list[tuple[int, int]]:
        if conn not in self._lost:
            return []
        self._found_missing = True
        return [self._lost.pop(conn)]

    async def stalls(self) -> list[TradeStall]:
        """Newly stalled connections; waits for the requests that this needs."""
        loop, stalls = asyncio.get_running_loop(), []
        for slot, watched in enumerate(self._watched):
            conn, overdue = watched.conn, watched.silence.overdue(loop.time())
            if watched.silence.stalled_s(loop.time()) is None:
                continue
            ids = None if overdue else await self._missing_ids(watched)
            if watched.conn != conn:
                continue
            if ids:
                self._lost[conn] = ids
            if ids or overdue:
                stalls.append(TradeStall(conn, loop.time() - watched.arrivals_s))
                self.gone(slot)
            else:
                watched.silence.connected(loop.time())
        return stalls

    async def _missing_ids(self, watched: _Watched) -> tuple[int, int] | None:
        rest_id = await self._ask()
        if rest_id is None:
            return None
        await asyncio.sleep(GRACE_S)
        await self._settled()
        last_id = self._last_id()
        known_id = watched.rest_id if last_id == watched.opened_id else last_id
        watched.rest_id = rest_id
        if known_id is None or rest_id <= known_id:
            return None
        return (known_id if last_id is None else last_id) + 1, rest_id
