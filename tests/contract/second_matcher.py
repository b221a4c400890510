"""A second matcher, written from docs/exchange.md alone: takes commands, returns the rows of the order log.

It uses lists instead of node queues and no code of the package, so both agree only on what the page specifies.
"""

import csv
import gzip
from bisect import bisect_left, insort
from pathlib import Path

Row = tuple[int, ...]  # us, kind, order_id, other_id, account, side, ticks, lots, trade_id, update_id
Order = dict[str, int]
NEW, TRADE, LEVEL, REST, CANCEL, REDUCE, EXPIRE, REFUSE = range(1, 9)
LIMIT, MAKER, IOC, FOK, MARKET = range(5)
REASON_NO_REST, REASON_FOK, REASON_SELF_TRADE = 1, 2, 3
STP_NONE, EXPIRE_TAKER, EXPIRE_MAKER, EXPIRE_BOTH, DECREMENT = range(5)
FIRST_IDS = ((NEW, 2), (TRADE, 8), (LEVEL, 9))  # (row kind, column of its id)
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
        self, us: int, account: int, side: int, ticks: int, lots: int, kind: int, stp: int = STP_NONE
    ) -> int:
        """Submit an order; return its id, or 0 if it is rejected."""
        self.us = us
        limit = 1 << 60 if kind == MARKET else side * ticks
        if kind == MAKER and self.prices[-side] and self.best(-side, limit) is not None:
            self.rows.append((us, REFUSE, 0, 0, account, side, ticks, lots, 0, 0))
            return 0
        self.order_id += 1
        new = {"id": self.order_id, "account": account, "side": side, "ticks": ticks, "lots": lots}
        self.rows.append((us, NEW, self.order_id, kind, account, side, ticks, lots, 0, 0))
        if kind == FOK and self.within_reach(new, limit, stp) < lots:
            self.expire(new, REASON_FOK)
            return self.order_id
        if not self.match(new, limit, stp):
            return self.order_id
        if new["lots"] and kind in (LIMIT, MAKER):
            self.rest(new)
        elif new["lots"]:
            self.expire(new, REASON_NO_REST)
        return self.order_id

    def cancel(self, us: int, order_id: int) -> bool:
        """Remove an order from the book; return whether it existed."""
        self.us = us
        if order_id not in self.orders:
            return False
        order = self.orders[order_id]
        self.rows.append(self.row(CANCEL, order, order["lots"]))
        self.remove(order)
        return True

    def reduce(self, us: int, order_id: int, lots: int) -> None:
        """Reduce the remaining lots of an order."""
        self.us = us
        order = self.orders.get(order_id)
        if order and lots < order["lots"]:
            self.subtract(order, order["lots"] - lots)
            self.rows.append(self.row(REDUCE, order, lots))
            self.log_level(order)

    def replace(self, us: int, order_id: int, ticks: int, lots: int, kind: int) -> None:
        """Cancel an order, and submit another one of the same account and side."""
        old = self.orders.get(order_id)
        if old and self.cancel(us, order_id):
            self.submit(us, old["account"], old["side"], ticks, lots, kind)

    def best(self, side: int, limit: int) -> int | None:
        """Return the best price of a side if it is within the taker's limit."""
        if not self.prices[side]:
            return None
        ticks = -side * self.prices[side][0]
        return ticks if -side * ticks <= limit else None

    def within_reach(self, taker: Order, limit: int, stp: int) -> int:
        """Return the lots that an order could match."""
        queues = self.queues[-taker["side"]]
        return sum(
            maker["lots"]
            for ticks, queue in queues.items()
            if taker["side"] * ticks <= limit
            for maker in queue
            if stp == STP_NONE or maker["account"] != taker["account"]
        )

    def match(self, taker: Order, limit: int, stp: int) -> bool:
        """Match against makers, best price first; return False if self-trade prevention expired the taker."""
        side = -taker["side"]
        while taker["lots"] and (ticks := self.best(side, limit)) is not None:
            maker = self.queues[side][ticks][0]
            if maker["account"] != taker["account"] or stp == STP_NONE:
                self.trade(taker, maker)
            elif stp == DECREMENT:
                if self.decrement(taker, maker):
                    return False
            else:
                if stp in (EXPIRE_MAKER, EXPIRE_BOTH):
                    self.expire(maker, REASON_SELF_TRADE)
                    self.remove(maker)
                if stp in (EXPIRE_TAKER, EXPIRE_BOTH):
                    self.expire(taker, REASON_SELF_TRADE)
                    return False
        return True

    def trade(self, taker: Order, maker: Order) -> None:
        """Trade two orders at the maker's price."""
        lots = min(taker["lots"], maker["lots"])
        taker["lots"] -= lots
        self.subtract(maker, lots)
        self.trade_id += 1
        ids = (taker["id"], maker["id"], taker["account"], taker["side"])
        self.rows.append((self.us, TRADE, *ids, maker["ticks"], lots, self.trade_id, 0))
        self.drop_if_empty(maker)
        self.log_level(maker)

    def decrement(self, taker: Order, maker: Order) -> bool:
        """Reduce both orders by the smaller one's lots; return whether the taker is empty."""
        lots = min(taker["lots"], maker["lots"])
        taker["lots"] -= lots
        self.subtract(maker, lots)
        if maker["lots"]:
            self.rows.append(self.row(REDUCE, maker, maker["lots"]))
        else:
            self.expire(maker, REASON_SELF_TRADE)
        self.drop_if_empty(maker)
        self.log_level(maker)
        if not taker["lots"]:
            self.expire(taker, REASON_SELF_TRADE)
        return not taker["lots"]

    def rest(self, order: Order) -> None:
        """Append an order to its queue."""
        side, ticks = order["side"], order["ticks"]
        if ticks not in self.queues[side]:
            self.queues[side][ticks] = []
            insort(self.prices[side], -side * ticks)
        self.queues[side][ticks].append(order)
        self.orders[order["id"]] = order
        self.shown[side, ticks] = self.shown.get((side, ticks), 0) + order["lots"]
        self.rows.append(self.row(REST, order, order["lots"]))
        self.log_level(order)

    def subtract(self, order: Order, lots: int) -> None:
        """Subtract lots from a resting order and from its level's total."""
        order["lots"] -= lots
        self.shown[order["side"], order["ticks"]] -= lots

    def remove(self, order: Order) -> None:
        """Remove a resting order from the book, and log its level."""
        self.subtract(order, order["lots"])
        self.drop_if_empty(order)
        self.log_level(order)

    def drop_if_empty(self, order: Order) -> None:
        """Delete a resting order without lots, and its level if it was the last order there."""
        if order["lots"]:
            return
        side, ticks = order["side"], order["ticks"]
        self.queues[side][ticks].remove(order)
        del self.orders[order["id"]]
        if not self.queues[side][ticks]:
            del self.queues[side][ticks]
            del self.prices[side][bisect_left(self.prices[side], -side * ticks)]

    def log_level(self, order: Order) -> None:
        """Log the new total of a level."""
        self.update_id += 1
        place = order["side"], order["ticks"]
        self.rows.append((self.us, LEVEL, order["id"], 0, 0, *place, self.shown[place], 0, self.update_id))

    def expire(self, order: Order, reason: int) -> None:
        """Log that the remaining lots of an order expire."""
        us, kind, order_id, _, *rest = self.row(EXPIRE, order, order["lots"])
        self.rows.append((us, kind, order_id, reason, *rest))

    def row(self, kind: int, order: Order, lots: int) -> Row:
        """Return a log row for one order."""
        return (self.us, kind, order["id"], 0, order["account"], order["side"], order["ticks"], lots, 0, 0)


def replayed(log: list[Row]) -> list[Row]:
    """Return the matcher's rows after it has run the commands contained in a log.

    Self-trade prevention is off, because a log does not contain its setting.
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
