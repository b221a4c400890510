"""What the oracle's backtest is made of: events, the book, our orders and the two fill models (docs/engine.md)."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

SNAPSHOT, DEPTH, TRADE, GAP, KEYFRAME = 1, 2, 3, 4, 5
BUY, SELL = 1, -1
NEVER = -1


class Event(NamedTuple):
    """One event of a tape; a row is (side, ticks, lots), a trade has one, whose side is the aggressor's."""

    us: int
    kind: int
    rows: list[tuple[int, int, int]]
    exch_us: int = 0
    recv_seq: int = 0
    id: int = 0


class Trade(NamedTuple):
    """A print."""

    us: int
    side: int
    ticks: int
    lots: int
    id: int


@dataclass
class Order:
    """One of our orders; *delta*, *since_us* and *due_us* are those of its present Poisson stretch."""

    id: int
    side: int
    ticks: int
    lots: int
    left: int
    status: str
    sent_us: int = NEVER
    active_us: int = NEVER
    expire_us: int = NEVER
    cancel_req_us: int = NEVER
    cancel_effective_us: int = NEVER
    cancel_reason: str = ""
    delta: float | None = None
    since_us: int = NEVER
    due_us: int | None = None

    @property
    def rests(self) -> bool:
        return self.status in ("LIVE", "CANCELLING")

    @property
    def wanted(self) -> bool:
        return self.status in ("SENT", "LIVE") and self.cancel_req_us == NEVER


class Book:
    """The recorded market: lots by price and side. While it is not valid, it shows no prices."""

    def __init__(self) -> None:
        self.valid = False
        self.levels: dict[int, dict[int, int]] = {BUY: {}, SELL: {}}

    def apply(self, event: Event) -> None:
        if event.kind == GAP:
            self.valid = False
        if event.kind == SNAPSHOT:
            self.valid, self.levels = True, {BUY: {}, SELL: {}}
        for side, ticks, lots in event.rows:
            self.levels[side][ticks] = lots

    def lots_at(self, side: int, ticks: int) -> int:
        return self.levels[side].get(ticks, 0)

    def best(self, side: int) -> int:
        """Return a side's best price in ticks, 0 where it has none."""
        prices = [ticks for ticks, lots in self.levels[side].items() if lots and self.valid]
        return (max(prices) if side == BUY else min(prices)) if prices else 0

    def best_lots(self, side: int) -> int:
        return self.lots_at(side, self.best(side))

    @property
    def mid2(self) -> int:
        """Best bid + best ask, 0 where one is missing."""
        bid, ask = self.best(BUY), self.best(SELL)
        return bid + ask if bid and ask else 0


class FillModel:
    """What a fill model may answer to; one that has no intensity leaves the last four as they are."""

    reason: int
    expected_fills: float | None = None

    def on_trade(self, orders: list[Order], trade: Trade) -> Iterable[tuple[Order, int]]:
        """Yield which of the resting *orders*, best price first, a trade fills, and how many lots of them."""
        return ()

    def moved(self, event: Event, book: Book) -> bool:
        """Tell whether a book event changed the reference, so that new stretches begin."""
        return False

    def accept(self, order: Order) -> None:
        """Count an order that comes to rest."""

    def begin(self, order: Order, book: Book, us: int) -> None:
        """Begin a stretch of an order that rests."""

    def end(self, order: Order, us: int) -> None:
        """End the stretch of an order, if it is in one."""


class TradeCross(FillModel):
    """A resting order fills when a trade prints at or through its price."""

    reason = 0

    def __init__(self, strict: bool = False, share: float = 1.0, penetration_ticks: int = 0) -> None:
        self.share, self.through_ticks = share, max(penetration_ticks, 1) if strict else penetration_ticks

    def on_trade(self, orders: list[Order], trade: Trade) -> Iterator[tuple[Order, int]]:
        left = math.floor(self.share * trade.lots)
        for order in orders:
            reached = order.side * (order.ticks - trade.ticks) >= self.through_ticks
            lots = min(order.left, left)
            if order.side != trade.side and reached and lots > 0:
                left -= lots
                yield order, lots


class Poisson(FillModel):
    """An order fills with intensity A·exp(−k·delta); a piece is (start_us, end_us, A_bid, k_bid, A_ask, k_ask, k)."""

    reason = 2

    def __init__(self, pieces: Iterable[tuple], reference: str = "mid", seed: int = 0) -> None:
        self.pieces, self.reference, self.seed = pieces, reference, seed
        self.seen: tuple | None = None  # what tells one reference from another
        self.moved_at = (0, 0)  # instant and recv_seq of the book event that last changed it
        self.accepted = {BUY: 0, SELL: 0}  # orders since then
        self.expected_fills = 0.0

    def moved(self, event: Event, book: Book) -> bool:
        bid, ask = book.best(BUY), book.best(SELL)
        seen = {
            "mid": (bid > 0, ask > 0, book.mid2),
            "best": (bid, ask),
            "micro": (bid, ask, book.best_lots(BUY), book.best_lots(SELL)),
        }[self.reference]
        if seen == self.seen:
            return False
        self.seen, self.moved_at, self.accepted = seen, (event.us, event.recv_seq), {BUY: 0, SELL: 0}
        return True

    def accept(self, order: Order) -> None:
        self.accepted[order.side] += 1

    def begin(self, order: Order, book: Book, us: int) -> None:
        self.end(order, us)
        order.delta, order.since_us = self.delta(order, book), us
        order.due_us = self.due(order, self.draw(order.side))

    def end(self, order: Order, us: int) -> None:
        """Add to the expected fills those of the stretch."""
        if order.since_us != NEVER:
            self.expected_fills += sum(rate * (stop - start) for start, stop, rate in self.parts(order, us))

    def draw(self, side: int) -> float:
        us, recv_seq = self.moved_at
        return unit_exponential(self.seed, us, recv_seq, 2 * self.accepted[side] + (side == BUY))

    def delta(self, order: Order, book: Book) -> float | None:
        """Return the distance from the reference in ticks, None while a side has no price."""
        if not book.mid2:
            return None
        bid, ask, bid_lots, ask_lots = book.best(BUY), book.best(SELL), book.best_lots(BUY), book.best_lots(SELL)
        reference = {
            "mid": book.mid2 / 2,
            "best": book.best(order.side),
            "micro": (bid * ask_lots + ask * bid_lots) / (bid_lots + ask_lots),
        }[self.reference]
        return order.side * (reference - order.ticks)

    def parts(self, order: Order, until_us: float = math.inf) -> Iterator[tuple[int, int, float]]:
        """Yield the parts of constant intensity of a stretch: begin, end, intensity per µs."""
        for start, stop, a_bid, k_bid, a_ask, k_ask, _ in self.pieces:
            begin, end = max(start, order.since_us), min(stop, until_us)
            if begin < end and order.delta is not None:
                a, k = (a_bid, k_bid) if order.side == BUY else (a_ask, k_ask)
                yield begin, end, a * math.exp(-k * order.delta) * 1e-6

    def due(self, order: Order, left: float) -> int | None:
        """Return the instant at which the integrated intensity reaches *left*, if the stretch lasts so long."""
        for begin, end, rate in self.parts(order):
            wait = left / rate if rate else math.inf
            if wait < end - begin:
                return begin + int(wait)
            left -= rate * (end - begin)
        return None


def unit_exponential(seed: int, *keys: int) -> float:
    """Return the draw that belongs to a seed and its keys."""
    h = mix(seed)
    for key in keys:
        h = mix(h ^ key)
    return -math.log(((h >> 11) + 0.5) / 2**53)


def mix(z: int) -> int:
    """Return 64 bits that look like chance (splitmix64)."""
    z = (z + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)
