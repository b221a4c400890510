"""Whether the trades of a connection have stalled, or nobody trades: updates may go on without them for minutes.

Silence proves nothing here, so REST is asked for the last trade there was. One that happened behind those the
connection has brought, and that it has still not brought a moment later, proves a stall. On a connection that has
brought none, the first answer only tells from where on trades are owed. An answer that shows a quiet market doubles the
patience, as with `Silence`, so that a symbol that trades once an hour costs one cheap question a minute.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mm.market_data.silence import Silence

GRACE_S = 1.0
"""How much later than REST the stream may tell of a trade."""


class TradeStall(NamedTuple):
    """A connection that should have brought trades, and for how long it has been silent."""

    conn: int
    silent_s: float


@dataclass
class _Watched:
    """A connection: when it brought something last, and the ids known when it was opened and told by REST since."""

    silence: Silence
    conn: int = 0
    heard_s: float = 0.0
    opened_id: int | None = None
    told_id: int | None = None


class TradeWatch:
    """Watch the trades of all connections.

    Args:
        silences: Measure silence; as many as connections are kept at a time.
        last_id: Returns the id of the last trade that came over any of them; None before the first.
        ask: Returns the id of the last trade that REST knows; None where it does not tell.
        settled: Returns when all that has arrived was taken.
    """

    def __init__(
        self,
        silences: Sequence[Silence],
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
        """Connection *conn* is open."""
        watched = self._watched[slot]
        watched.conn, watched.heard_s, watched.opened_id, watched.told_id = conn, now_s, self._last_id(), None
        watched.silence.connected(now_s)

    def gone(self, slot: int) -> None:
        """The connection has ended, or is being replaced: what it owes no longer matters."""
        self._watched[slot].conn = 0
        self._watched[slot].silence.disconnected()

    def heard(self, slot: int, now_s: float, *, ids_missing: bool, advanced: bool) -> None:
        """Take notice of a trade; where it *advanced* the feed, the other connection must bring it as well."""
        watched = self._watched[slot]
        watched.heard_s = now_s
        watched.silence.heard(now_s, ids_missing=ids_missing or self._found_missing)
        self._found_missing = False
        if advanced and len(self._watched) > 1:
            self._watched[1 - slot].silence.owed(now_s)

    def lost(self, conn: int) -> list[tuple[int, int]]:
        """Return the first and the last id that *conn* was found not to bring, now that it brings nothing more."""
        if conn not in self._lost:
            return []
        self._found_missing = True
        return [self._lost.pop(conn)]

    async def stalls(self) -> list[TradeStall]:
        """Return those that have stalled, once; takes as long as the questions that this needs."""
        loop, found = asyncio.get_running_loop(), []
        for slot, watched in enumerate(self._watched):
            conn, owes = watched.conn, watched.silence.owes(loop.time())
            if watched.silence.stalled_s(loop.time()) is None:
                continue
            ids = None if owes else await self._not_brought(watched)
            if watched.conn != conn:
                continue
            if ids:
                self._lost[conn] = ids
            if ids or owes:
                found.append(TradeStall(conn, loop.time() - watched.heard_s))
                self.gone(slot)
            else:
                watched.silence.connected(loop.time())
        return found

    async def _not_brought(self, watched: _Watched) -> tuple[int, int] | None:
        """Return the ids that REST knows and the connection has not brought; None where there are none."""
        told_id = await self._ask()
        if told_id is None:
            return None
        await asyncio.sleep(GRACE_S)
        await self._settled()
        last_id = self._last_id()
        known_id = watched.told_id if last_id == watched.opened_id else last_id
        watched.told_id = told_id
        if known_id is None or told_id <= known_id:
            return None
        return (known_id if last_id is None else last_id) + 1, told_id
