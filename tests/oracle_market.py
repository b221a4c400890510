"""Basic types of the oracle: events, trades, our orders, the book, and draws (docs/specification/engine.md)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

SNAPSHOT, DEPTH, TRADE, GAP, KEYFRAME = 1, 2, 3, 4, 5
BUY, SELL = 1, -1
NEVER = -1
QUOTED = "LIMIT_MAKER"


class Event(NamedTuple):
    """One event of a tape; a row is (side, ticks, lots). A trade has one row with the aggressor's side."""

    us: int
    kind: int
    rows: list[tuple[int, int, int]]
    exch_us: int = 0
    recv_seq: int = 0
    id: int = 0
    late_us: int = 0  # how late the market is as of it


class Trade(NamedTuple):
    """A market trade."""

    us: int
    side: int
    ticks: int
    lots: int
    id: int


@dataclass
class Order:
    """One of our orders.

    *last_book_us* is the last call of a model's `on_book` for it, *ahead* the lots before it in its queue; *delta*,
    *since_us* and *due_us* belong to its current Poisson stretch, before which *known* orders arrived on each side.
    """

    id: int
    side: int
    ticks: int
    lots: int
    left: int
    status: str
    kind: str = QUOTED
    manual: bool = False
    level: int = 0
    sent_us: int = NEVER
    active_us: int = NEVER
    expire_us: int = NEVER
    cancel_req_us: int = NEVER
    cancel_effective_us: int = NEVER
    cancel_reason: str = ""
    amend_us: int = NEVER
    amend_lots: int = 0
    amends: int = 0
    move_ticks: int = 0  # the price of an amendment under way, 0 if it has none
    more: int = 0  # the lots that it adds
    turn: int = 0  # its number among those of all orders
    moves: int = 0  # such amendments that were sent
    last_book_us: int = NEVER
    offered: int = 0  # by the other side at its price or better, beyond what ours met
    ahead: float = 0.0
    given: float = 0.0  # of it by decreases of the book that no print has explained
    delta: float | None = None
    since_us: int = NEVER
    due_us: int | None = None
    known: tuple[int, ...] = ()

    @property
    def rests(self) -> bool:
        return self.status in ("LIVE", "CANCELLING")

    @property
    def open_lots(self) -> int:
        """The lots that may still fill."""
        return self.left + self.more

    @property
    def wanted(self) -> bool:
        return self.status in ("SENT", "LIVE") and self.cancel_req_us == NEVER

    def accepts(self, ticks: int) -> bool:
        """Return whether the order would trade at a price of the other side."""
        return self.kind == "MARKET" or self.side * (self.ticks - ticks) >= 0


class Book:
    """The recorded market: lots by price and side. While invalid, it has no prices.

    *printed* holds the lots traded against a side at a price since the last book event, *taken* those that our orders
    took.
    """

    def __init__(self) -> None:
        self.valid, self.us = False, 0
        self.levels: dict[int, dict[int, int]] = {BUY: {}, SELL: {}}
        self.printed: dict[tuple[int, int], int] = {}
        self.taken: dict[tuple[int, int], int] = {}

    def apply(self, event: Event) -> None:
        """Apply a SNAPSHOT, DEPTH or GAP event."""
        self.us, self.printed, self.taken = event.us, {}, {}
        if event.kind == GAP:
            self.valid = False
        if event.kind == SNAPSHOT:
            self.valid, self.levels = True, {BUY: {}, SELL: {}}
        for side, ticks, lots in event.rows:
            self.levels[side][ticks] = lots

    def add_trade(self, trade: Trade) -> None:
        """Record a trade."""
        place = (-trade.side, trade.ticks)
        self.printed[place] = self.printed.get(place, 0) + trade.lots

    def lots_at(self, side: int, ticks: int) -> int:
        return self.levels[side].get(ticks, 0)

    def printed_at(self, side: int, ticks: int) -> int:
        return self.printed.get((side, ticks), 0)

    def prices(self, side: int) -> list[int]:
        """Return a side's prices, best first."""
        shown = [ticks for ticks, lots in self.levels[side].items() if lots and self.valid]
        return sorted(shown, reverse=side == BUY)

    def best(self, side: int) -> int:
        """Return a side's best price in ticks, 0 if it is empty."""
        return next(iter(self.prices(side)), 0)

    def best_lots(self, side: int) -> int:
        return self.lots_at(side, self.best(side))

    @property
    def mid2(self) -> int:
        """Best bid + best ask, 0 if one is missing."""
        bid, ask = self.best(BUY), self.best(SELL)
        return bid + ask if bid and ask else 0

    def takes(self, order: Order) -> Iterator[tuple[int, int]]:
        """Yield the prices and lots at which the remainder of an order would trade now."""
        left = order.left
        for ticks in self.prices(-order.side):
            lots = min(left, self.available(-order.side, ticks))
            if lots > 0 and order.accepts(ticks):
                left -= lots
                yield ticks, lots

    def available(self, side: int, ticks: int) -> int:
        """Return the lots of a level that a taker can still get: none if a print traded beyond its price."""
        if any(of == side and side * (printed - ticks) < 0 for of, printed in self.printed):
            return 0
        traded = self.printed_at(side, ticks) + self.taken.get((side, ticks), 0)
        return max(self.lots_at(side, ticks) - traded, 0)

    def take(self, side: int, ticks: int, lots: int) -> None:
        """Record that our orders took lots of a side."""
        self.taken[side, ticks] = self.taken.get((side, ticks), 0) + lots


def unit(seed: int, *keys: int) -> float:
    """Return the number between 0 and 1 that belongs to a seed and its keys."""
    h = mix(seed)
    for key in keys:
        h = mix(h ^ key)
    return ((h >> 11) + 0.5) / 2**53


def mix(z: int) -> int:
    """Return 64 pseudo-random bits (splitmix64)."""
    z = (z + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)
