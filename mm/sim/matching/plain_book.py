"""The resting orders of one symbol, to be read: prices best first, and at each price the oldest order first."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, takewhile
from operator import index


@dataclass(slots=True)
class Order:
    """An order: its limit in *ticks* (0: any price), and the *lots* that are left of it."""

    order_id: int
    account: int
    side: int
    ticks: int
    lots: int

    def accepts(self, ticks: int) -> bool:
        """Tell whether the order may trade at a price of *ticks*."""
        return self.ticks == 0 or self.side * (self.ticks - ticks) >= 0


@dataclass(slots=True)
class Level:
    """The orders that rest at one price, the oldest first, and the *lots* they show together."""

    ticks: int
    lots: int = 0
    queue: dict[int, Order] = field(default_factory=dict)


class Side:
    """The levels of one side of the book (+1 bids, -1 asks); iteration begins with the best price."""

    def __init__(self, side: int) -> None:
        self._side = side
        self._levels: dict[int, Level] = {}
        self._keys: list[int] = []  # side·ticks, ascending: the best price is last, where a list is cheap to change

    def best(self) -> Level | None:
        """Return the level of the best price, or None where the side is empty."""
        return self._levels[self._side * self._keys[-1]] if self._keys else None

    def at(self, ticks: int) -> Level | None:
        """Return the level at a price of *ticks*, or None where nothing rests there."""
        return self._levels.get(ticks)

    def add(self, order: Order) -> int:
        """Put *order* behind the others at its price; return the lots that now rest there."""
        if order.ticks not in self._levels:
            self._levels[order.ticks] = Level(order.ticks)
            insort(self._keys, self._side * order.ticks)
        level = self._levels[order.ticks]
        level.queue[order.order_id] = order
        level.lots += order.lots
        return level.lots

    def take(self, order: Order, lots: int) -> int:
        """Take *lots* from a resting *order*, which leaves with its last one; return the lots that now rest there."""
        level = self._levels[order.ticks]
        order.lots -= lots
        level.lots -= lots
        if order.lots == 0:
            del level.queue[order.order_id]
        if not level.queue:
            del self._levels[order.ticks]
            del self._keys[bisect_left(self._keys, self._side * order.ticks)]
        return level.lots

    def __iter__(self) -> Iterator[Level]:
        return (self._levels[self._side * key] for key in reversed(self._keys))


class PlainBook:
    """Both sides of a book, and how to look at them."""

    def __init__(self) -> None:
        self._sides = {+1: Side(+1), -1: Side(-1)}
        self._resting: dict[int, Order] = {}

    def best(self) -> tuple[int, int, int, int]:
        """Return the best bid's ticks and lots and the best ask's; zeros where a side is empty."""
        bid, ask = self._sides[+1].best(), self._sides[-1].best()
        return (*((bid.ticks, bid.lots) if bid else (0, 0)), *((ask.ticks, ask.lots) if ask else (0, 0)))

    def depth(self, side: int, limit: int) -> list[tuple[int, int]]:
        """Return ticks and lots of up to *limit* levels of *side*, best first: the L2 view."""
        return [(level.ticks, level.lots) for level in islice(self._side(side), limit)]

    def lots_at(self, side: int, ticks: int) -> int:
        """Return the lots that rest on *side* at a price."""
        level = self._side(side).at(ticks)
        return level.lots if level else 0

    def orders(self, side: int, limit: int | None = None) -> list[tuple[int, int, int, int]]:
        """Return (order_id, account, ticks, lots left) of up to *limit* orders of *side* by priority: the L3 view."""
        orders = (order for level in self._side(side) for order in level.queue.values())
        return [(order.order_id, order.account, order.ticks, order.lots) for order in islice(orders, limit)]

    def order(self, order_id: int) -> tuple[int, int, int, int] | None:
        """Return (account, side, ticks, lots left) of a resting order, or None."""
        order = self._resting.get(order_id)
        return (order.account, order.side, order.ticks, order.lots) if order else None

    def queue_ahead(self, order_id: int) -> int:
        """Return the lots before a resting order in the queue of its price; raises ValueError if it does not rest."""
        order = self._resting.get(order_id)
        level = order and self._sides[order.side].at(order.ticks)
        if not level:
            raise ValueError(f"order_id {order_id} does not rest")
        return sum(other.lots for other in takewhile(lambda other: other is not order, level.queue.values()))

    def open_orders(self, account: int) -> list[int]:
        """Return the ids of an account's resting orders, ascending."""
        return [order_id for order_id, order in self._resting.items() if order.account == account]

    @property
    def resting(self) -> int:
        """How many orders rest."""
        return len(self._resting)

    def _side(self, side: int) -> Side:
        return self._sides[checked_side(side)]


def checked_side(side: int) -> int:
    """Return *side*; raises ValueError where it is neither +1 nor -1."""
    if index(side) not in (+1, -1):
        raise ValueError(f"side {side} is neither +1 (buy) nor -1 (sell)")
    return index(side)
