"""The oracle of ``queue_orders``: a list of orders a price, the market's and ours, in plain Python."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import oracle
from mm.dayfolder.layout import ORDER_COLUMNS, ROW_EXPIRE, ROW_LEVEL, ROW_REST, ROW_TRADE
from mm.sim.matching.order_log import REASON_IOC
from oracle_fills import FillModel
from oracle_market import Book, Order

Row = SimpleNamespace


def log_rows(table: Sequence[Sequence[int]]) -> list[Row]:
    """Return the rows of an order log by the names of its columns."""
    return [SimpleNamespace(**dict(zip(ORDER_COLUMNS, row, strict=True))) for row in table]


@dataclass(eq=False)
class Entry:
    """An order in a list: one of the market by its number, or one of ours."""

    number: int
    lots: int
    came: int
    own: Order | None = None


class OrderLists(FillModel):
    """Fills by every order of the market."""

    name = "queue_orders"

    def __init__(self, reading: str = "print") -> None:
        self.reading = reading
        self.queues: dict[tuple[int, int], list[Entry]] = {}
        self.came = 0

    def others(self, side: int, ticks: int) -> list[Entry]:
        """Return the market's orders at a price."""
        return [entry for entry in self.queues.get((side, ticks), []) if entry.own is None]

    def crosses(self, order: Order, book: Book) -> bool:
        prices = [ticks for side, ticks in self.queues if side == -order.side and self.others(side, ticks)]
        return any(order.accepts(ticks) for ticks in prices)

    def on_rest(self, order: Order, book: Book) -> None:
        self.add(order.side, order.ticks, Entry(0, 0, self.came, order))
        self.count_ahead()

    def end(self, order: Order, us: int) -> None:
        for queue in self.queues.values():
            queue[:] = [entry for entry in queue if entry.own is not order]

    def add(self, side: int, ticks: int, entry: Entry) -> None:
        self.queues.setdefault((side, ticks), []).append(entry)
        self.came += entry.own is None

    def change(self, row: Row) -> None:
        """Apply a LEVEL row: the displayed lots of a price, changed by one order."""
        shown = self.others(row.side, row.ticks)
        by = row.lots - sum(entry.lots for entry in shown)
        entry = next((entry for entry in shown if entry.number == row.order_id), None)
        if entry is None:
            entry = Entry(row.order_id, 0, self.came)
            self.add(row.side, row.ticks, entry)
        entry.lots += by
        if entry.lots <= 0:
            self.queues[row.side, row.ticks].remove(entry)
        self.count_ahead()

    def count_ahead(self) -> None:
        for queue in self.queues.values():
            lots = 0
            for entry in queue:
                if entry.own is not None:
                    entry.own.ahead = self.steps(lots)
                lots += entry.lots

    def place_of(self, number: int) -> tuple[tuple[int, int], Entry] | None:
        """Return where an order of the market rests, and the order."""
        found = ((at, entry) for at, queue in self.queues.items() for entry in queue if entry.own is None)
        return next(((at, entry) for at, entry in found if entry.number == number), None)

    def reaches(self, row: Row, order: Order) -> bool:
        """Return whether a row proves that nothing was ahead of an order of ours."""
        if row.kind == ROW_TRADE:
            return self.executed_behind(row, order)
        rests = row.kind == ROW_REST or (row.kind == ROW_EXPIRE and row.other_id == REASON_IOC)
        any_price = row.kind == ROW_EXPIRE and row.ticks == 0
        return rests and row.side != order.side and (any_price or order.side * (order.ticks - row.ticks) >= 0)

    def executed_behind(self, row: Row, order: Order) -> bool:
        side, ticks, maker = -row.side, row.ticks, self.place_of(row.other_id)
        if self.reading == "order" and maker is not None:
            side, ticks = maker[0]
        if side != order.side or order.side * (order.ticks - ticks) < 0:
            return False
        if ticks != order.ticks or maker is None:
            return True
        queue = self.queues[order.side, order.ticks]
        own = next(entry for entry in queue if entry.own is order)
        return queue.index(maker[1]) > queue.index(own) if maker[1] in queue else maker[1].came >= own.came


class LoggedBacktest(oracle.Backtest):
    """A backtest whose fills follow from the rows of an order log, all of an instant after the market's events."""

    def begin_log(self, rows: list[Row]) -> None:
        """Take the rows that are to happen."""
        self.rows = list(rows)

    def things(self) -> Iterator[tuple]:
        yield from super().things()
        if self.rows:
            yield self.rows[0].us, oracle.DRAWN, 0, partial(self.play_rows, self.rows[0].us)

    def play_rows(self, us: int) -> None:
        """Process the rows of an instant, order by order of the market."""
        lists, done, taker = self.fill_model, list[Done](), None
        while self.rows and self.rows[0].us == us:
            row = self.rows.pop(0)
            if row.kind == ROW_LEVEL:
                lists.change(row)
                continue
            expires = row.kind == ROW_EXPIRE and row.other_id == REASON_IOC
            if row.kind not in (ROW_TRADE, ROW_REST) and not expires:
                continue
            if taker not in (None, (row.order_id, row.side)):
                self.fill_left(done)
                done = []
            taker = row.order_id, row.side
            reached = {order.id for order in self.in_sequence() if lists.reaches(row, order)}
            hidden = row.kind == ROW_TRADE and lists.place_of(row.other_id) is None
            done.append(Done("trade" if row.kind == ROW_TRADE else "book", row.lots, hidden, reached))
        self.fill_left(done)

    def fill_left(self, done: list["Done"]) -> None:
        """Fill our orders with what an order of the market did behind each, or had left.

        It then has less for what was hidden, and then for what it did last.
        """
        for order in self.in_sequence():
            behind = [part for part in done if order.id in part.reached and part.lots]
            lots = self.whole(order, min(sum(part.lots for part in behind), order.left))
            if lots <= 0:
                continue
            self.fill(order, lots, f"queue_orders:{behind[0].kind}")
            for part in [*(part for part in behind if part.hidden), *reversed(behind)]:
                gone = min(part.lots, lots)
                part.lots -= gone
                lots -= gone


@dataclass
class Done:
    """A part of what an order of the market did: an execution, or what it had left; and our orders that it reached."""

    kind: str
    lots: int
    hidden: bool
    reached: set[int]
