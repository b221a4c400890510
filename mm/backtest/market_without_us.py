"""The market without our own orders.

A book of the exchange contains an order of ours during [accepted, ended) by the exchange's clock, with what was then
left. `MarketWithoutUs` removes it, live and in a replay of a day on which we traded.

Order reports and market messages come on two connections, in any order, so a later report corrects the book. Until
then, and within the same millisecond, we assume whatever changes the others' lots least.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mm.backtest.engine.live_feed import FeedEvent
from mm.clock import US_PER_MS
from mm.tape.tape import DEPTH, GAP, KEYFRAME, TRADE

Price = tuple[int, int]
"""Side (+1 bid, -1 ask) and ticks."""


@dataclass(slots=True)
class OwnShown:
    """What a book shows of one of our orders."""

    side: int
    ticks: int
    lots: int
    steps: list[tuple[int, int]] = field(default_factory=list)
    leaving: bool = False

    def add(self, ms: int, lots: int) -> None:
        """Reports may come in any order, and twice."""
        if (ms, lots) not in self.steps:
            self.steps.append((ms, lots))
            self.steps.sort(key=lambda step: (step[0], -step[1]))

    def at(self, ms: int) -> tuple[int, int]:
        """Fewest and most lots that a book may show."""
        if not self.steps:
            return 0, self.lots
        left = before = 0
        for since, lots in self.steps:
            if since > ms:
                break
            before, left = lots if since < ms else before, lots
        fewest, most = min(left, before), max(left, before)
        return (0, most) if self.leaving and self.steps[-1][1] else (fewest, most)

    def is_over(self, ms: int) -> bool:
        return bool(self.steps) and self.steps[-1][1] == 0 and self.steps[-1][0] < ms


class MarketWithoutUs:
    """Removes our orders and trades from a market."""

    def __init__(self) -> None:
        self._trade_ids: set[int] = set()
        self._orders: dict[int, OwnShown] = {}
        self._moving: dict[int, int] = {}  # by order, the number of what may be shown of it at its next price
        self._last_moving = 0
        self._levels: dict[Price, int] = {}  # of the exchange's book
        self._others: dict[Price, int] = {}  # what is passed on, where we have orders
        self._ms = 0  # of the exchange's book
        self._last: FeedEvent | None = None  # of the books
        self._us = self._late_us = 0  # of all events

    @property
    def alone(self) -> bool:
        return not self._orders

    # our orders

    def sent(self, order_id: int, side: int, ticks: int, lots: int) -> None:
        self._orders[order_id] = OwnShown(side, ticks, lots)
        self._others.setdefault((side, ticks), self._levels.get((side, ticks), 0))

    def leaving(self, order_id: int) -> None:
        if order_id in self._orders:
            self._orders[order_id].leaving = True

    def known(self, order_id: int, exchange_us: int, lots: int) -> FeedEvent | None:
        """*lots* are left from *exchange_us* on; return a correction of the book."""
        order = self._orders.get(order_id)
        if order is None:
            return None
        order.add(exchange_us // US_PER_MS, lots)
        return self._correction() if lots else self.moved_not(order_id)

    def moving(self, order_id: int, ticks: int, lots: int) -> None:
        """A request to move an order to another price, with *lots* in all, was sent."""
        order = self._orders.get(order_id)
        if order is not None:
            order.leaving = True
            self._last_moving -= 1
            self._moving[order_id] = self._last_moving
            self.sent(self._last_moving, order.side, ticks, lots)

    def moved(self, order_id: int, exchange_us: int) -> FeedEvent | None:
        """The order has its new price since *exchange_us*, with the lots that `known` had for that instant."""
        there = self._moving.pop(order_id, None)
        if there is None or order_id not in self._orders:
            return None
        before, after, ms = self._orders[order_id], self._orders[there], exchange_us // US_PER_MS
        after.add(ms, next((lots for since, lots in reversed(before.steps) if since == ms), after.lots))
        before.add(ms, 0)
        self._orders[order_id], self._orders[there] = after, before
        return self._correction()

    def moved_not(self, order_id: int) -> FeedEvent | None:
        there = self._moving.pop(order_id, None)
        if there in self._orders:
            self._orders[there].steps = [(0, 0)]
            if order_id in self._orders:
                self._orders[order_id].leaving = False
        return self._correction()

    def stays(self, order_id: int) -> FeedEvent | None:
        if order_id in self._orders:
            self._orders[order_id].leaving = False
        return self._correction()

    def never(self, order_id: int) -> FeedEvent | None:
        order = self._orders.get(order_id)
        if order is None:
            return None
        order.steps = [(0, 0)]
        return self._correction()

    def traded(self, trade_id: int) -> None:
        """A print of ours is removed; an aggregate of trades also has others' and stays."""
        self._trade_ids.add(trade_id)

    # the market

    def without_us(self, events: Iterable[FeedEvent]) -> tuple[FeedEvent, ...]:
        return tuple(without_us for event in events if (without_us := self._remove_ours(event)) is not None)

    def _remove_ours(self, event: FeedEvent) -> FeedEvent | None:
        self._us, self._late_us = event.us, event.late_us
        if event.kind == TRADE:
            return None if event.event_id in self._trade_ids else event
        if event.kind == GAP:
            self._levels.clear()
            self._others = dict.fromkeys(self._others, 0)
            self._last = event
            return event
        if event.kind == KEYFRAME and self._last is not None:
            return event
        if event.kind != DEPTH:
            self._levels.clear()
        for side, ticks, lots in event.rows:
            self._levels[side, ticks] = lots
        self._ms = max(self._ms, event.exch_us // US_PER_MS)
        self._last = event
        if not self._orders:
            return event
        changed = dict(self._changes())
        rows = [row for row in event.rows if row[:2] not in self._others]
        if event.kind == DEPTH:
            rows += [(*price, lots) for price, lots in changed.items()]
        else:  # the rows are the whole book
            rows += [(*price, lots) for price, lots in self._others.items() if lots]
        self._forget()
        return event._replace(rows=rows)

    def _correction(self) -> FeedEvent | None:
        last, rows = self._last, [(*price, lots) for price, lots in self._changes()]
        self._forget()
        if not rows or last is None or last.kind == GAP:
            return None
        return FeedEvent(DEPTH, self._us, last.recv_seq, last.event_id, rows, last.exch_us, self._late_us)

    def _changes(self) -> Iterator[tuple[Price, int]]:
        bounds: dict[Price, tuple[int, int]] = {}
        for order in self._orders.values():
            fewest, most = order.at(self._ms)
            low, high = bounds.get((order.side, order.ticks), (0, 0))
            bounds[order.side, order.ticks] = low + fewest, high + most
        for price, before in list(self._others.items()):
            low, high = bounds.get(price, (0, 0))
            shown = self._levels.get(price, 0)
            # The lots of ours within the bounds that leave the others' lots as they were, as nearly as possible.
            ours = min(max(shown - before, low), high)
            lots = max(shown - ours, 0)
            if lots != before:
                self._others[price] = lots
                yield price, lots

    def _forget(self) -> None:
        over = [number for number, order in self._orders.items() if order.is_over(self._ms)]
        if over:
            for number in over:
                del self._orders[number]
            kept = {(order.side, order.ticks) for order in self._orders.values()}
            self._others = {price: lots for price, lots in self._others.items() if price in kept}
