"""A market with a moving price: a book of many levels, of which a snapshot contains a part."""

from random import Random

from mm.sim.matching.order_log import IOC

LOTS = 100_000


class Ladder:
    """A book of *levels* levels per side in the matching of a simulated exchange, *gap* ticks apart, moved by orders.

    Levels also appear and vanish at random over the whole depth, so that some beyond a snapshot become known.
    """

    def __init__(self, box, mid=1_000_000, levels=1_500, gap=2, seed=7, churn=10):
        self._core, self._scheduler = box.exchange._core, box.scheduler
        self._luck, self._gap, self._churn, self._levels = Random(seed), gap, churn, levels
        self.mid = mid
        self._orders = {}
        for step in range(1, levels + 1):
            for side in (1, -1):
                self._place(side, mid - side * step * gap)

    def move(self, ticks):
        """Move the price by *ticks*: orders in the way are traded, and new orders follow behind it."""
        step, far = (1 if ticks > 0 else -1), self._levels * self._gap
        for _ in range(abs(ticks)):
            self.mid += step
            self._take(-step, self.mid)
            if self.mid % self._gap == 0:
                self._place(step, self.mid - step * self._gap)
                self._place(-step, self.mid + step * far)
        for _ in range(self._churn):
            side = self._luck.choice((1, -1))
            ticks = self.mid - side * self._luck.randint(2, far)
            if ticks in self._orders:
                self._core.cancel(self._scheduler.done_us, self._orders.pop(ticks)[1])
            else:
                self._place(side, ticks)

    def _place(self, side, ticks):
        if ticks not in self._orders:
            number = self._core.submit(self._scheduler.done_us, 1_000, side, ticks, LOTS * self._luck.randint(1, 3))
            self._orders[ticks] = (side, number)

    def _take(self, side, ticks):
        """Trade the order of *side* at a price."""
        if ticks in self._orders and self._orders[ticks][0] == side:
            del self._orders[ticks]
            self._core.submit(self._scheduler.done_us, 1_001, -side, ticks, 3 * LOTS, IOC)
