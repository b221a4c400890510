"""A matcher of its own, written from docs/exchange.md alone: commands in, rows of the order log out.

Lists instead of queues of nodes, and no code of the package: what it and the exchange agree on is in the page.
"""

import csv
import gzip
from bisect import bisect_left, insort
from pathlib import Path

Row = tuple[int, ...]  # us, kind, order_id, other_id, account, side, ticks, lots, trade_id, update_id
Order = dict[str, int]
NEW, TRADE, LEVEL, REST, CANCEL, REDUCE, EXPIRE, REFUSE = range(1, 9)
LIMIT, MAKER, IOC, FOK, MARKET = range(5)
MAY_NOT_REST, NOT_WHOLE, SELF = 1, 2, 3
TRADES, TAKER_GOES, MAKER_GOES, BOTH_GO, BOTH_LOSE = range(5)
FIRST_IDS = ((NEW, 2), (TRADE, 8), (LEVEL, 9))  # which kind shows which ids, and in which column
COLUMNS = "us,kind,order_id,other_id,account,side,ticks,lots,trade_id,update_id"


def log_of(path: Path) -> list[Row]:
    """Return the rows of an order log."""
    with gzip.open(path, "rt") as file:
        assert file.readline().strip() == COLUMNS
        return [tuple(map(int, row)) for row in csv.reader(file)]


class SecondMatcher:
    """One symbol with price-time priority."""

    def __init__(self, order_id: int = 0, trade_id: int = 0, update_id: int = 0) -> None:
        self.order_id, self.trade_id, self.update_id = order_id, trade_id, update_id
        self.queues: dict[int, dict[int, list[Order]]] = {+1: {}, -1: {}}
        self.prices: dict[int, list[int]] = {+1: [], -1: []}  # keys: minus the price of bids, so the best is first
        self.orders: dict[int, Order] = {}
        self.shown: dict[tuple[int, int], int] = {}
        self.rows: list[Row] = []
        self.us = 0

    def submit(  # noqa: PLR0917
        self, us: int, account: int, side: int, ticks: int, lots: int, kind: int, own: int = TRADES
    ) -> int:
        """Take an order; return its id, or 0 where it was refused."""
        self.us = us
        wanted = 1 << 60 if kind == MARKET else side * ticks
        if kind == MAKER and self.prices[-side] and self.best(-side, wanted) is not None:
            self.rows.append((us, REFUSE, 0, 0, account, side, ticks, lots, 0, 0))
            return 0
        self.order_id += 1
        new = {"id": self.order_id, "account": account, "side": side, "ticks": ticks, "lots": lots}
        self.rows.append((us, NEW, self.order_id, kind, account, side, ticks, lots, 0, 0))
        if kind == FOK and self.within_reach(new, wanted, own) < lots:
            self.expire(new, NOT_WHOLE)
            return self.order_id
        if not self.take(new, wanted, own):
            return self.order_id
        if new["lots"] and kind in (LIMIT, MAKER):
            self.rest(new)
        elif new["lots"]:
            self.expire(new, MAY_NOT_REST)
        return self.order_id

    def cancel(self, us: int, order_id: int) -> bool:
        """Take an order from the book; return whether it was there."""
        self.us = us
        if order_id not in self.orders:
            return False
        order = self.orders[order_id]
        self.rows.append(self.row(CANCEL, order, order["lots"]))
        self.leave(order)
        return True

    def reduce(self, us: int, order_id: int, lots: int) -> None:
        """Lower what is left of an order."""
        self.us = us
        order = self.orders.get(order_id)
        if order and lots < order["lots"]:
            self.lose(order, order["lots"] - lots)
            self.rows.append(self.row(REDUCE, order, lots))
            self.tell(order)

    def replace(self, us: int, order_id: int, ticks: int, lots: int, kind: int) -> None:
        """Cancel an order, and take another of the same account and side."""
        old = self.orders.get(order_id)
        if old and self.cancel(us, order_id):
            self.submit(us, old["account"], old["side"], ticks, lots, kind)

    def best(self, side: int, wanted: int) -> int | None:
        """Return the best price of a side if a taker that wants to pay so much accepts it."""
        if not self.prices[side]:
            return None
        ticks = -side * self.prices[side][0]
        return ticks if -side * ticks <= wanted else None

    def within_reach(self, taker: Order, wanted: int, own: int) -> int:
        """Return the lots that an order could meet."""
        queues = self.queues[-taker["side"]]
        return sum(
            maker["lots"]
            for ticks, queue in queues.items()
            if taker["side"] * ticks <= wanted
            for maker in queue
            if own == TRADES or maker["account"] != taker["account"]
        )

    def take(self, taker: Order, wanted: int, own: int) -> bool:
        """Meet makers, best first; return False where self-trade prevention ended the taker."""
        side = -taker["side"]
        while taker["lots"] and (ticks := self.best(side, wanted)) is not None:
            maker = self.queues[side][ticks][0]
            if maker["account"] != taker["account"] or own == TRADES:
                self.trade(taker, maker)
            elif own == BOTH_LOSE:
                if self.decrement(taker, maker):
                    return False
            else:
                if own in (MAKER_GOES, BOTH_GO):
                    self.expire(maker, SELF)
                    self.leave(maker)
                if own in (TAKER_GOES, BOTH_GO):
                    self.expire(taker, SELF)
                    return False
        return True

    def trade(self, taker: Order, maker: Order) -> None:
        """Let two orders trade at the maker's price."""
        lots = min(taker["lots"], maker["lots"])
        taker["lots"] -= lots
        self.lose(maker, lots)
        self.trade_id += 1
        ids = (taker["id"], maker["id"], taker["account"], taker["side"])
        self.rows.append((self.us, TRADE, *ids, maker["ticks"], lots, self.trade_id, 0))
        self.gone(maker)
        self.tell(maker)

    def decrement(self, taker: Order, maker: Order) -> bool:
        """Let both lose what the smaller has; return whether the taker is gone."""
        lots = min(taker["lots"], maker["lots"])
        taker["lots"] -= lots
        self.lose(maker, lots)
        if maker["lots"]:
            self.rows.append(self.row(REDUCE, maker, maker["lots"]))
        else:
            self.expire(maker, SELF)
        self.gone(maker)
        self.tell(maker)
        if not taker["lots"]:
            self.expire(taker, SELF)
        return not taker["lots"]

    def rest(self, order: Order) -> None:
        """Put an order at the end of its queue."""
        side, ticks = order["side"], order["ticks"]
        if ticks not in self.queues[side]:
            self.queues[side][ticks] = []
            insort(self.prices[side], -side * ticks)
        self.queues[side][ticks].append(order)
        self.orders[order["id"]] = order
        self.shown[side, ticks] = self.shown.get((side, ticks), 0) + order["lots"]
        self.rows.append(self.row(REST, order, order["lots"]))
        self.tell(order)

    def lose(self, order: Order, lots: int) -> None:
        """Take lots from a resting order and from what its level shows."""
        order["lots"] -= lots
        self.shown[order["side"], order["ticks"]] -= lots

    def leave(self, order: Order) -> None:
        """Take a resting order from the book, and say what its level shows."""
        self.lose(order, order["lots"])
        self.gone(order)
        self.tell(order)

    def gone(self, order: Order) -> None:
        """Forget a resting order that has nothing left, and its level if it was the last one there."""
        if order["lots"]:
            return
        side, ticks = order["side"], order["ticks"]
        self.queues[side][ticks].remove(order)
        del self.orders[order["id"]]
        if not self.queues[side][ticks]:
            del self.queues[side][ticks]
            del self.prices[side][bisect_left(self.prices[side], -side * ticks)]

    def tell(self, order: Order) -> None:
        """Say what a level shows from now on."""
        self.update_id += 1
        place = order["side"], order["ticks"]
        self.rows.append((self.us, LEVEL, order["id"], 0, 0, *place, self.shown[place], 0, self.update_id))

    def expire(self, order: Order, reason: int) -> None:
        """Say that what is left of an order is no more."""
        us, kind, order_id, _, *rest = self.row(EXPIRE, order, order["lots"])
        self.rows.append((us, kind, order_id, reason, *rest))

    def row(self, kind: int, order: Order, lots: int) -> Row:
        """Return a row about one order."""
        return (self.us, kind, order["id"], 0, order["account"], order["side"], order["ticks"], lots, 0, 0)


def replayed(log: list[Row]) -> list[Row]:
    """Return what the matcher says when the commands that a log shows are played to it.

    Without self-trade prevention, whose setting a log does not show.
    """
    ids = [next((row[column] for row in log if row[1] == kind), 1) - 1 for kind, column in FIRST_IDS]
    matcher = SecondMatcher(*ids)
    for us, kind, order_id, other_id, account, side, ticks, lots, _, _ in log:
        if kind == NEW:
            matcher.submit(us, account, side, ticks, lots, other_id)
        elif kind == REFUSE:
            matcher.submit(us, account, side, ticks, lots, MAKER)
        elif kind == CANCEL:
            matcher.cancel(us, order_id)
        elif kind == REDUCE:
            matcher.reduce(us, order_id, lots)
    return matcher.rows
