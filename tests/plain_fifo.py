"""What each of our orders would be filled in a book of lists, by the NEW rows of an order log alone.

A new order walks the orders of the other side, ours among them, best price first and oldest first. Orders of the market
then go by their own rows, as if ours were not there; so does one that would have been refused as it meets ours.
"""

from dataclasses import dataclass

from mm.dayfolder.layout import ROW_CANCEL, ROW_EXPIRE, ROW_NEW, ROW_REDUCE, ROW_REST, ROW_TRADE
from mm.sim.matching.order_log import FOK, REASON_FOK


@dataclass(eq=False)
class Waiting:
    """An order in a list; one of ours has a negative number."""

    number: int
    lots: int


class PlainFifo:
    """Lists of orders by side and price.

    Attributes:
        fills: (µs, order of ours, lots).
        refused: Orders of ours that would have crossed.
    """

    def __init__(self, log):
        """*log* are the rows of the simulator, int64[n, 10]."""
        self.rows, self.done = log.tolist(), 0
        self.lists, self.where, self.fills, self.refused = {1: {}, -1: {}}, {}, [], []

    def until(self, us):
        """Play all rows up to an instant."""
        while self.done < len(self.rows) and self.rows[self.done][0] <= us:
            row = self.rows[self.done]
            self.done += 1
            following = self.rows[self.done] if self.done < len(self.rows) else row
            killed = row[3] == FOK and following[1:4] == [ROW_EXPIRE, row[2], REASON_FOK]
            if row[1] == ROW_NEW and not killed:
                self._walk(row)
            self._follow(row)

    def _walk(self, row):
        us, _, _, _, _, side, limit, left, *_ = row
        best = self.best(-side)
        while left and best is not None and (not limit or side * (limit - best) >= 0):
            for order in list(self.lists[-side][best]):
                taken = min(left, order.lots)
                left -= taken
                if taken and order.number < 0:
                    self.fills.append((us, -order.number, taken))
                    self.left(order.number, order.lots - taken)
            worse = (ticks for ticks in self.lists[-side] if side * (ticks - best) > 0)
            best = min(worse, key=lambda ticks: side * ticks, default=None)

    def best(self, side):
        """Return a side's best price, None without one."""
        return max(self.lists[side], key=lambda ticks: side * ticks, default=None)

    def _follow(self, row):
        _, kind, number, maker, _, side, ticks, lots, *_ = row
        if kind == ROW_REST:
            self.rest(number, side, ticks, lots)
        elif kind == ROW_TRADE:
            self.left(maker, self.lots(maker) - lots)
        elif kind == ROW_REDUCE:
            self.left(number, lots)
        elif kind in (ROW_CANCEL, ROW_EXPIRE):
            self.left(number, 0)

    def rest(self, number, side, ticks, lots):
        """Let an order join the end of a list."""
        order = Waiting(number, lots)
        self.lists[side].setdefault(ticks, []).append(order)
        self.where[number] = side, ticks, order

    def place(self, us, number, side, ticks, lots):
        """Let an order of ours arrive."""
        self.until(us)
        best = self.best(-side)
        if best is not None and side * (ticks - best) >= 0:
            self.refused.append(number)
        else:
            self.rest(-number, side, ticks, lots)

    def lots(self, number):
        """Return the remaining lots of an order."""
        return self.where[number][2].lots if number in self.where else 0

    def left(self, number, lots):
        """Set the remaining lots of an order; one without any leaves."""
        if number not in self.where:
            return
        side, ticks, order = self.where[number]
        order.lots = lots
        if lots <= 0:
            self.lists[side][ticks].remove(order)
            del self.where[number]
            if not self.lists[side][ticks]:
                del self.lists[side][ticks]
