"""True outcomes of virtual orders at the end of a queue, by an order log, which has every order (L3).

A virtual order has the minimum quantity and does not affect others. Ahead of it are the orders resting at its price
when it arrives: those with an id up to the last one assigned by then, as an amendment keeps id and queue position, and
a replacement gets a new id. It fills at the first of these:

- a trade with an order at its price that arrived after it;
- a trade at a worse price than its own, on its side;
- an order of the other side rests at its price or beyond, or, if it may not rest, expires with a remainder although its
  limit reaches that price: then nothing is ahead any more, or that order would have executed it.

Its queue position is the remainder of the orders ahead. Orders that were rejected because they would have traded at
once, or ended by self-trade prevention, are used as logged, although the virtual order might have traded with them.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mm.dayfolder.order_log import OrderLog
from mm.probes.virtual_orders import Outcomes, VirtualOrders
from mm.sim.matching.order_log import REASON_IOC, ROW_EXPIRE, ROW_LEVEL, ROW_TRADE

KINDS = (ROW_TRADE, ROW_LEVEL, ROW_EXPIRE)
_NEVER = 1 << 62


class OrderRow(NamedTuple):
    """One row of the log; its columns are described in ``mm.sim.matching.order_log``."""

    us: int
    kind: int
    order_id: int
    other_id: int
    side: int
    ticks: int
    lots: int
    trade_id: int


def read_rows(path: Path) -> Iterator[OrderRow]:
    """Yield the rows of the order log at *path* that change resting orders.

    Raises:
        BrokenFile: If it is not an order log; the message has the row.
    """
    for block in OrderLog.open(path).blocks(OrderRow._fields):
        kept = np.isin(block["kind"], KINDS)
        yield from map(OrderRow, *(block[name][kept].tolist() for name in OrderRow._fields))


@dataclass(slots=True, eq=False)
class _WaitingOrder:
    """A resting virtual order.

    Attributes:
        last_id: The last order id assigned before it; higher ids arrived later.
        ahead: Remaining lots ahead of it.
    """

    number: int
    side: int
    ticks: int
    last_id: int
    ahead: int


class Truth:
    """Follows virtual orders through an order log: every row by `play`, then `outcomes`."""

    def __init__(self, orders: VirtualOrders) -> None:
        self._orders = orders
        self._levels: dict[int, dict[int, int]] = {+1: {}, -1: {}}
        self._waiting: dict[int, dict[int, _WaitingOrder]] = {+1: {}, -1: {}}
        self._at: dict[tuple[int, int], list[_WaitingOrder]] = {}
        self._reach = {+1: 0, -1: _NEVER}  # the best price of the virtual orders of a side
        self._last_id = 0
        self._due: list[tuple[int, int, int]] = []  # instant, action, order
        self._next_us = _NEVER
        self.trade_us: dict[int, int] = {}
        self._filled_us = np.full(len(orders), -1, np.int64)
        self._ahead = np.zeros((len(orders), len(orders.checks_us)))
        self._sent = np.zeros(len(orders), bool)
        self._plan()

    def play(self, rows: Iterable[OrderRow]) -> None:
        """Process the rows of the log, from its start, in order."""
        handlers: dict[int, Callable[[OrderRow], None]] = {
            ROW_TRADE: self._trade,
            ROW_LEVEL: self._level,
            ROW_EXPIRE: self._expire,
        }
        for row in rows:
            if row.us > self._next_us:
                self._settle(row.us)
            handlers[row.kind](row)
            self._last_id = max(self._last_id, row.order_id)

    def outcomes(self) -> Outcomes:
        """End the log, and return the outcomes of all orders."""
        self._settle(_NEVER)
        return Outcomes(self._filled_us, self._ahead, self._sent)

    def _plan(self) -> None:
        """Schedule arrivals, checks and ends of orders; each happens after the rows of its instant."""
        arrive, end = 0, 1 + len(self._orders.checks_us)
        for number, us in enumerate(self._orders.us.tolist()):
            self._due.append((us, arrive, number))
            for check, after_us in enumerate(self._orders.checks_us, 1):
                self._due.append((us + after_us, check, number))
            self._due.append((us + self._orders.life_us - 1, end, number))
        heapq.heapify(self._due)
        self._next_us = self._due[0][0] if self._due else _NEVER

    def _settle(self, us: int) -> None:
        """Execute the scheduled actions before the rows of an instant."""
        while self._due and self._due[0][0] < us:
            _, action, number = heapq.heappop(self._due)
            if action == 0:
                self._arrive(number)
                continue
            order = self._waiting[int(self._orders.side[number])].get(number)
            if order is None:
                continue
            if action <= len(self._orders.checks_us):
                self._ahead[number, action - 1] = order.ahead
            else:
                self._remove(order)
        self._next_us = self._due[0][0] if self._due else _NEVER

    def _arrive(self, number: int) -> None:
        side, ticks = int(self._orders.side[number]), int(self._orders.ticks[number])
        if any(side * (ticks - other) >= 0 for other in self._levels[-side]):
            return
        self._sent[number] = True
        order = _WaitingOrder(number, side, ticks, self._last_id, self._levels[side].get(ticks, 0))
        self._waiting[side][number] = order
        self._at.setdefault((side, ticks), []).append(order)
        self._reach[side] = side * max(side * self._reach[side], side * ticks)

    def _remove(self, order: _WaitingOrder) -> None:
        side = order.side
        del self._waiting[side][order.number]
        self._at[side, order.ticks].remove(order)
        prices = [side * other.ticks for other in self._waiting[side].values()]
        self._reach[side] = side * max(prices) if prices else (0 if side > 0 else _NEVER)

    def _trade(self, row: OrderRow) -> None:
        self.trade_us[row.trade_id] = row.us
        side = -row.side
        if side * (self._reach[side] - row.ticks) >= 0:
            self._fill(
                row.us,
                side,
                lambda own: (
                    row.other_id > own.last_id if own.ticks == row.ticks else side * (own.ticks - row.ticks) > 0
                ),
            )

    def _level(self, row: OrderRow) -> None:
        side, levels = row.side, self._levels[row.side]
        change = row.lots - levels.get(row.ticks, 0)
        if row.lots:
            levels[row.ticks] = row.lots
        else:
            levels.pop(row.ticks, None)
        for order in self._at.get((side, row.ticks), ()):
            if row.order_id <= order.last_id:
                order.ahead += change
        if row.lots and -side * (self._reach[-side] - row.ticks) >= 0:
            self._reached(row.us, -side, row.ticks)

    def _expire(self, row: OrderRow) -> None:
        """Process a taker whose remainder did not rest, and has no LEVEL row."""
        if row.other_id == REASON_IOC and row.lots:
            self._reached(row.us, -row.side, row.ticks or row.side * _NEVER)  # a MARKET order has no price

    def _reached(self, us: int, side: int, ticks: int) -> None:
        """Fill the virtual orders of a side whose price is reached by an order of the other side."""
        self._fill(us, side, lambda own: side * (own.ticks - ticks) >= 0)

    def _fill(self, us: int, side: int, filled: Callable[[_WaitingOrder], bool]) -> None:
        for order in [own for own in self._waiting[side].values() if filled(own)]:
            self._filled_us[order.number] = us
            self._remove(order)
