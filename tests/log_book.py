"""The book of an order log, rebuilt in two ways that must agree, and the rows of the log's file."""

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from mm.dayfolder.order_log import OrderLogWriter
from mm.errors import BrokenFile
from mm.sim.matching.order_log import (
    COLUMNS,
    ROW_CANCEL,
    ROW_EXPIRE,
    ROW_LEVEL,
    ROW_REDUCE,
    ROW_REST,
    ROW_TRADE,
    Row,
)


class Book:
    """The book of a log, rebuilt in two ways: L2 from LEVEL rows, L3 from all other rows.

    The log must begin with an empty book.

    Attributes:
        rows: Number of applied rows.
        update_id: Update id of the last LEVEL row; 0 before the first.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.update_id = 0
        self._levels: dict[int, dict[int, int]] = {+1: {}, -1: {}}
        self._queues: dict[tuple[int, int], dict[int, list[int]]] = {}
        self._places: dict[int, tuple[int, int]] = {}

    def apply(self, row: Row) -> None:
        """Apply the next row.

        Raises:
            BrokenFile: If the order of the row does not rest, the row removes more than its remaining lots or skips an
                update id, or the lots of a LEVEL row differ from the total of the resting orders.
        """
        _, kind, order_id, other_id, account, side, ticks, lots, _, update_id = row
        self.rows += 1
        if kind == ROW_LEVEL:
            self._set_level(side, ticks, lots, update_id)
        elif kind == ROW_TRADE:
            if self._place(other_id) != (-side, ticks):
                raise self._broken(f"order {other_id} is not resting at {ticks} ticks, where it would trade")
            self._leave(other_id, lots)
        elif kind == ROW_REST:
            self._places[order_id] = (side, ticks)
            self._queues.setdefault((side, ticks), {})[order_id] = [account, lots]
        elif kind == ROW_REDUCE:
            self._leave(order_id, self._left(order_id) - lots)
        elif kind == ROW_CANCEL:
            self._leave(order_id, lots)
        elif kind == ROW_EXPIRE and order_id in self._places:
            self._leave(order_id, self._left(order_id))

    def play(self, rows: Iterable[Row]) -> None:
        """Apply *rows* in order; raises what `apply` raises."""
        for row in rows:
            self.apply(row)

    def depth(self, side: int) -> list[tuple[int, int]]:
        """Return (ticks, lots) of every level of *side* (+1 bids, -1 asks), best first: the L2 view."""
        return sorted(self._levels[side].items(), reverse=side > 0)

    def orders(self, side: int) -> list[tuple[int, int, int, int]]:
        """Return (order_id, account, ticks, lots) of every order of *side* in priority order: the L3 view."""
        prices = sorted((ticks for at, ticks in self._queues if at == side), reverse=side > 0)
        return [
            (order_id, account, ticks, lots)
            for ticks in prices
            for order_id, (account, lots) in self._queues[side, ticks].items()
        ]

    def _set_level(self, side: int, ticks: int, lots: int, update_id: int) -> None:
        if self.update_id and update_id not in (self.update_id, self.update_id + 1):
            raise self._broken(f"update id {update_id} follows {self.update_id}")
        self.update_id = update_id
        resting = sum(left for _, left in self._queues.get((side, ticks), {}).values())
        if resting != lots:
            raise self._broken(f"{lots} lots at {ticks} ticks on side {side:+d}, but orders of {resting} rest there")
        if lots:
            self._levels[side][ticks] = lots
        else:
            self._levels[side].pop(ticks, None)

    def _place(self, order_id: int) -> tuple[int, int]:
        if order_id not in self._places:
            raise self._broken(f"order {order_id} is not resting")
        return self._places[order_id]

    def _left(self, order_id: int) -> int:
        return self._queues[self._place(order_id)][order_id][1]

    def _leave(self, order_id: int, lots: int) -> None:
        """Reduce a resting order by *lots*, and remove it from the book if no lots are left."""
        left = self._left(order_id) - lots
        if left < 0 or lots < 0:
            raise self._broken(f"{lots} lots cannot be taken from order {order_id}, which has {left + lots}")
        queue = self._queues[self._places[order_id]]
        queue[order_id][1] = left
        if left == 0:
            del queue[order_id]
            place = self._places.pop(order_id)
            if not queue:
                del self._queues[place]

    def _broken(self, what: str) -> BrokenFile:
        return BrokenFile(f"order log, row {self.rows}: {what}; a log must be complete and begin with an empty book")


def read_log(path: Path) -> Iterator[Row]:
    """Yield the rows of the log at *path*, in columns or as CSV."""
    if path.suffix == ".parquet":
        for row in pq.read_table(path).select(COLUMNS).to_pylist():
            yield tuple(row.values())  # type: ignore[misc]
        return
    with gzip.open(path, "rt", encoding="ascii") as texts:
        assert next(texts) == ",".join(COLUMNS) + "\n"
        for text in texts:
            us, kind, order_id, other_id, account, side, ticks, lots, trade_id, update_id = map(int, text.split(","))
            yield us, kind, order_id, other_id, account, side, ticks, lots, trade_id, update_id


def write_order_log(path, rows):
    """*path* must not exist."""
    with OrderLogWriter(path) as log:
        log.add(np.array([*rows], np.int64).reshape(-1, len(COLUMNS)))
