"""A recorded day as a desk's market: its levels rest, its trades take, clients' orders rest in between."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mm.backtest.engine.live_feed import FeedEvent
from mm.sim.matching.order_log import IOC, LIMIT, STP_EXPIRE_MAKER, STP_NONE
from mm.tape.freshest import Row
from mm.tape.tape import DEPTH, SNAPSHOT, TRADE

if TYPE_CHECKING:
    from mm.sim.matching._core import Matching

MAKER_ACCOUNT, TAKER_ACCOUNT = 1000, 1001


class ReplayFlow:
    def __init__(self, core: "Matching", events: Iterable[FeedEvent]) -> None:
        self._core, self._events = core, iter(events)
        self._levels: dict[tuple[int, int], list[int]] = {}
        self._next = next(self._events, None)
        self._depth_messages = self._trades = 0

    @property
    def ended(self) -> bool:
        return self._next is None

    def advance(self, until_us: int) -> None:
        while self._next is not None and self._next.us <= until_us:
            self._play(self._next)
            self._next = next(self._events, None)

    def counts(self) -> dict[str, Any]:
        return {"depth_messages": self._depth_messages, "trades": self._trades}

    def _play(self, event: FeedEvent) -> None:
        if event.kind == TRADE:
            self._trades += 1
            for side, ticks, lots in event.rows:
                self._core.submit(event.us, TAKER_ACCOUNT, side, ticks, lots, IOC, STP_NONE)
        elif event.kind in (SNAPSHOT, DEPTH):
            self._depth_messages += 1
            rows = list(event.rows)
            if event.kind == SNAPSHOT:
                shown = {(side, ticks) for side, ticks, _ in rows}
                rows += [(*place, 0) for place in self._levels if place not in shown]
            self._show(event.us, rows)

    def _show(self, us: int, rows: Iterable[Row]) -> None:
        """Removals come first, so that no order trades with a removed level."""
        joins = []
        for side, ticks, lots in rows:
            more = lots - self._withdraw(us, (side, ticks), lots)
            if more > 0:
                joins.append((side, ticks, more))
        for side, ticks, lots in joins:
            number = self._core.submit(us, MAKER_ACCOUNT, side, ticks, lots, LIMIT, STP_EXPIRE_MAKER)
            self._levels.setdefault((side, ticks), []).append(number)

    def _withdraw(self, us: int, place: tuple[int, int], keep: int) -> int:
        """Remove the newest first; return the lots left."""
        core, kept, left = self._core, [], 0
        for number in self._levels.pop(place, ()):
            order = core.order(number)
            if order is None:
                continue
            lots = min(order[3], keep - left)
            if lots <= 0:
                core.cancel(us, number)
                continue
            if lots < order[3]:
                core.reduce(us, number, lots)
            kept.append(number)
            left += lots
        if kept:
            self._levels[place] = kept
        return left
