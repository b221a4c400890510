"""Orders of a source that shows single orders within a window of levels, and the book of that window.

The window's excess over known orders is an order of unknown id, older than later ones; an order that leaves the window
is forgotten. So the order log has the window's levels.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from mm.formats.events import LevelChanges, TimedEvent, WholeBook
from mm.formats.orders import OP, Commands, OrderRecords

_AT_ONCE = 1 << 15
_Place = tuple[int, int]


class VisibleOrders:
    """Collects what happens to the orders, and the events of the source beside it."""

    def __init__(self, records: OrderRecords) -> None:
        self.corrected = 0
        self._records = records
        self._orders: dict[int, tuple[_Place, int]] = {}  # lots by number; negative ones are unknown orders
        self._queues: dict[_Place, dict[int, None]] = {}
        self._totals: dict[_Place, int] = {}
        self._unknown = 0
        self._commands: list[tuple[int, int, int, int, int, int, int, int]] = []
        self._events: list[tuple[int, TimedEvent]] = []
        self._us = self._row = 0

    def at(self, us: int, row: int) -> None:
        self._us, self._row = us, row

    def add(self, number: int, side: int, price: int, lots: int) -> None:
        if number in self._orders:  # the records name it; what it had leaves there, too
            self._drop(number, self._orders[number][1])
        self._enter(number, (side, price), lots)

    def take(self, number: int, side: int, price: int, lots: int, op: str) -> None:
        """Remove *lots* as *op* says; of an unknown order from the oldest unknown one at its price."""
        place = side, price
        if number not in self._orders:
            unknown = (known for known in self._queues.get(place, ()) if known < 0)
            number = next(unknown, number)
        if number in self._orders:
            lots = min(lots, self._orders[number][1])
            self._command(op, number, side, price, lots)
            self._drop(number, lots)
        elif op == "execute":
            self._command(op, number, side, price, lots)

    def trade(self, side: int, price: int, lots: int, event: TimedEvent) -> None:
        self._command("trade", 0, side, price, lots)
        self._events.append((len(self._commands), event))

    def clear(self) -> None:
        self._command("clear", 0, 0, 0, 0)
        self._orders.clear()
        self._queues.clear()
        self._totals.clear()

    def prices(self, side: int) -> list[int]:
        return [price for at, price in self._totals if at == side]

    def correct(self, side: int, before: Mapping[int, int], after: Mapping[int, int], changed: Iterable[int]) -> None:
        for price in sorted(changed, reverse=side > 0):
            place, wanted = (side, price), after.get(price, 0)
            missing = wanted - self._totals.get(place, 0)
            self.corrected += missing != 0 and price in before and price in after
            if missing > 0:
                self._unknown -= 1
                self._enter(self._unknown, place, missing)
            queue = sorted(self._queues.get(place, ()), key=lambda number: number > 0) if missing < 0 else ()
            for number in queue:
                if missing >= 0:
                    break
                gone = min(-missing, self._orders[number][1])
                self._command("cancel", number, side, price, gone)
                self._drop(number, gone)
                missing += gone

    def end(self, event: TimedEvent | None) -> None:
        if self._commands:
            self._commands[-1] = (*self._commands[-1][:6], 1, self._commands[-1][7])
        if event is not None:
            self._events.append((len(self._commands), event))

    def events(self, path: Path, *, last: bool = False) -> Iterator[TimedEvent]:
        if not self._events or (not last and len(self._events) < _AT_ONCE):
            return
        cells = np.array(self._commands, np.int64).reshape(-1, 8)
        us, op, number, side, price, lots, ends, row = (np.ascontiguousarray(column) for column in cells.T)
        small = (column.astype(np.int8) for column in (op, side, ends))
        kind, sides, closes = small
        after = self._records.rows_after(path, Commands(us, kind, number, sides, price, lots, closes, row))
        for count, (recv_us, rank, place, event) in self._events:
            if isinstance(event, (LevelChanges, WholeBook)):
                event = event._replace(log_rows=after[count])  # noqa: PLW2901 - the same event
            yield recv_us, rank, place, event
        self._commands, self._events = [], []

    def _enter(self, number: int, place: _Place, lots: int) -> None:
        self._command("add", number, *place, lots)
        self._orders[number] = place, lots
        self._queues.setdefault(place, {})[number] = None
        self._totals[place] = self._totals.get(place, 0) + lots

    def _drop(self, number: int, lots: int) -> None:
        place, left = self._orders[number]
        self._totals[place] -= lots
        if left > lots:
            self._orders[number] = place, left - lots
        else:
            del self._orders[number], self._queues[place][number]
        if not self._totals[place]:
            del self._totals[place]

    def _command(self, op: str, number: int, side: int, price: int, lots: int) -> None:
        self._commands.append((self._us, OP[op], number, side, price, lots, 0, self._row))
