"""What would have become of an order at the end of a queue: told by the order log alone, which names every order.

The order has the least quantity and changes nothing for others. Ahead of it are the orders that rest at its price
when it arrives: those with an id up to the last one given until then, for an amendment keeps an id and its place, and
a replacement has a new one. It fills at the first of these:

- a trade meets an order at its price that came after it;
- a trade happens at a worse price than its own, on its side;
- an order of the other side rests at its price or beyond, or, not allowed to rest, expires with something left though
  its limit reaches that price: nothing is ahead any more, or that order would have taken it.

Its place at any time is what is left of those ahead. Orders that were refused because they would have traded at once,
or ended by self-trade prevention, are taken as they stand in the log, though the imagined order might have met them.
"""

import heapq
from collections.abc import Callable, Iterable

import numpy as np

from mm.queues.order_rows import OrderRow
from mm.queues.phantoms import Fates, Phantoms
from mm.sim.matching.order_log import REASON_IOC, ROW_EXPIRE, ROW_LEVEL, ROW_TRADE

_NEVER = 1 << 62


class _Alive:
    """A phantom that waits.

    Attributes:
        number: Its position among all.
        side, ticks: Where it rests.
        last_id: The last order id given before it; orders above it came later.
        ahead: Lots left ahead of it.
    """

    __slots__ = ("ahead", "last_id", "number", "side", "ticks")

    def __init__(self, number: int, side: int, ticks: int, last_id: int, ahead: int) -> None:
        self.number, self.side, self.ticks, self.last_id, self.ahead = number, side, ticks, last_id, ahead


class Truth:
    """Follow phantoms through an order log; feed it every row, then ask for the fates."""

    def __init__(self, phantoms: Phantoms) -> None:
        self._phantoms = phantoms
        self._levels: dict[int, dict[int, int]] = {+1: {}, -1: {}}
        self._waiting: dict[int, dict[int, _Alive]] = {+1: {}, -1: {}}
        self._at: dict[tuple[int, int], list[_Alive]] = {}
        self._reach = {+1: 0, -1: _NEVER}  # the best price at which a phantom of a side waits
        self._last_id = 0
        self._due: list[tuple[int, int, int]] = []  # instant, what, phantom
        self._next_us = _NEVER
        self.trade_us: dict[int, int] = {}
        self._filled_us = np.full(len(phantoms), -1, np.int64)
        self._ahead = np.zeros((len(phantoms), len(phantoms.checks_us)))
        self._sent = np.zeros(len(phantoms), bool)
        self._plan()

    def play(self, rows: Iterable[OrderRow]) -> None:
        """Take the rows of the log, from its beginning, in their order."""
        take: dict[int, Callable[[OrderRow], None]] = {
            ROW_TRADE: self._trade,
            ROW_LEVEL: self._level,
            ROW_EXPIRE: self._expire,
        }
        for row in rows:
            if row.us > self._next_us:
                self._settle(row.us)
            take[row.kind](row)
            self._last_id = max(self._last_id, row.order_id)

    def fates(self) -> Fates:
        """End the log, and return what became of every phantom."""
        self._settle(_NEVER)
        return Fates(self._filled_us, self._ahead, self._sent)

    def _plan(self) -> None:
        """Note when phantoms arrive, are looked at and end; each happens behind the rows of its instant."""
        arrive, end = 0, 1 + len(self._phantoms.checks_us)
        for number, us in enumerate(self._phantoms.us.tolist()):
            self._due.append((us, arrive, number))
            for check, after_us in enumerate(self._phantoms.checks_us, 1):
                self._due.append((us + after_us, check, number))
            self._due.append((us + self._phantoms.life_us - 1, end, number))
        heapq.heapify(self._due)
        self._next_us = self._due[0][0] if self._due else _NEVER

    def _settle(self, us: int) -> None:
        """Do what is due before the rows of an instant."""
        while self._due and self._due[0][0] < us:
            _, what, number = heapq.heappop(self._due)
            if what == 0:
                self._arrive(number)
                continue
            phantom = self._waiting[int(self._phantoms.side[number])].get(number)
            if phantom is None:
                continue
            if what <= len(self._phantoms.checks_us):
                self._ahead[number, what - 1] = phantom.ahead
            else:
                self._remove(phantom)
        self._next_us = self._due[0][0] if self._due else _NEVER

    def _arrive(self, number: int) -> None:
        side, ticks = int(self._phantoms.side[number]), int(self._phantoms.ticks[number])
        if any(side * (ticks - other) >= 0 for other in self._levels[-side]):
            return
        self._sent[number] = True
        phantom = _Alive(number, side, ticks, self._last_id, self._levels[side].get(ticks, 0))
        self._waiting[side][number] = phantom
        self._at.setdefault((side, ticks), []).append(phantom)
        self._reach[side] = side * max(side * self._reach[side], side * ticks)

    def _remove(self, phantom: _Alive) -> None:
        side = phantom.side
        del self._waiting[side][phantom.number]
        self._at[side, phantom.ticks].remove(phantom)
        prices = [side * one.ticks for one in self._waiting[side].values()]
        self._reach[side] = side * max(prices) if prices else (0 if side > 0 else _NEVER)

    def _trade(self, row: OrderRow) -> None:
        self.trade_us[row.trade_id] = row.us
        side = -row.side
        if side * (self._reach[side] - row.ticks) >= 0:
            self._fill(
                row.us,
                side,
                lambda one: (
                    row.other_id > one.last_id if one.ticks == row.ticks else side * (one.ticks - row.ticks) > 0
                ),
            )

    def _level(self, row: OrderRow) -> None:
        side, levels = row.side, self._levels[row.side]
        change = row.lots - levels.get(row.ticks, 0)
        if row.lots:
            levels[row.ticks] = row.lots
        else:
            levels.pop(row.ticks, None)
        for phantom in self._at.get((side, row.ticks), ()):
            if row.order_id <= phantom.last_id:
                phantom.ahead += change
        if row.lots and -side * (self._reach[-side] - row.ticks) >= 0:
            self._reached(row.us, -side, row.ticks)

    def _expire(self, row: OrderRow) -> None:
        """A taker had something left when its limit allowed it no further; it did not rest, so no LEVEL tells."""
        if row.other_id == REASON_IOC and row.lots:
            self._reached(row.us, -row.side, row.ticks or row.side * _NEVER)  # a MARKET order names no price

    def _reached(self, us: int, side: int, ticks: int) -> None:
        """Fill the phantoms of a side whose price an order of the other side reaches."""
        self._fill(us, side, lambda one: side * (one.ticks - ticks) >= 0)

    def _fill(self, us: int, side: int, filled: Callable[[_Alive], bool]) -> None:
        for phantom in [one for one in self._waiting[side].values() if filled(one)]:
            self._filled_us[phantom.number] = us
            self._remove(phantom)
