"""Checks an order log against itself and its day's depth: both must be the same book at every message."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from mm.dayfolder._orders import OrderBook
from mm.dayfolder.day_grids import read_grids
from mm.dayfolder.layout import ROW_TRADE, DayFolder
from mm.dayfolder.order_log import OrderLog, Steps, fifo_text
from mm.dayfolder.rows import DefectList, DiffLine
from mm.errors import BrokenFile, OffGrid
from mm.instrument import e8

if TYPE_CHECKING:
    from mm.dayfolder.order_log import Ints

Levels = Iterable[tuple[str, str]]
_REPLAYED = ("kind", "order_id", "other_id", "side", "ticks", "lots", "update_id")
_ALL_ROWS = 1 << 62
_WRONG = {
    "twice": "order {order_id} joins, but it rests already; an id is used once",
    "order": "order {order_id} joins behind a later one; numbers ascend in the order of joining",
    "unknown": "order {named} does not rest; an order joins before it is filled, reduced or cancelled",
    "large": "{lots} lots of order {named} are filled, which has fewer",
    "level": "{lots} lots at {ticks} ticks on side {side:+d} are not the sum of the orders there, {sum}",
    "remaining": "order {named} cannot have {lots} lots here: a new order has some, a reduction leaves some and "
    "fewer, a cancellation has all that are left",
}


class OrderLogReport(NamedTuple):
    """*rows* end at the first contradiction."""

    rows: int
    messages: int
    executed: int
    first: int

    @property
    def fifo_consistency(self) -> float | None:
        return self.first / self.executed if self.executed else None

    def line(self) -> str:
        line = f"order log: {self.rows:,} rows have the levels of {self.messages:,} depth messages"
        return "; ".join(filter(None, (line, fifo_text(self.executed, self.first))))


class OrderLogCheck:
    def __init__(self, folder: DayFolder, findings: DefectList) -> None:
        self._path, self._findings = folder.order_log, findings
        self._book = OrderBook()
        self._block: list[Ints] = []
        self._at = self._before = self._messages = 0
        self._upto, self._ended, self._failed = -1, False, False
        self._blocks: Iterator[list[Ints]] = iter(())
        try:
            log = OrderLog.open(self._path)
            self._spans, self._steps = log.spans, log.steps or _steps_of(folder)
            self._blocks = log.changes(_REPLAYED)
        except BrokenFile as error:
            self._fail(None, str(error))

    def follow(self, row: int, diff: DiffLine) -> None:
        if self._advance(diff.u) and self._covers(diff.recv_us):
            self._messages += 1
            self._compare(diff.b, diff.a, "the depth message of row {}, update id {}", row, diff.u)

    def whole(self, update_id: int, bids: Levels, asks: Levels, recv_us: int) -> None:
        if self._advance(update_id) and self._covers(recv_us):
            self._compare(bids, asks, "the snapshot of update id {}", update_id)

    def report(self) -> OrderLogReport:
        self._advance(_ALL_ROWS)
        book = self._book
        return OrderLogReport(self._before + self._at, self._messages, book.executed, book.executed_first)

    def _covers(self, us: int) -> bool:
        return self._spans is None or any(begin <= us < end for begin, end in self._spans)

    def _advance(self, update_id: int) -> bool:
        if self._failed or update_id < self._upto:
            return False
        self._upto = update_id
        while not self._ended:
            if self._block:
                self._at, wrong = self._book.replay(self._at, update_id)
                if wrong:
                    self._contradiction(wrong)
                    return False
                if self._at < len(self._block[0]):
                    break
                self._before += self._at
                self._at = 0
            try:
                self._block = next(self._blocks, [])
            except BrokenFile as error:
                self._fail(None, str(error))
                return False
            if self._block:
                self._book.hold(*self._block)
            self._ended = not self._block
        return True

    def _compare(self, bids: Levels, asks: Levels, name: str, *numbers: int) -> None:
        for side, levels in ((1, bids), (-1, asks)):
            on_grid = getattr(levels, "on_grid", None)  # present on levels that a kernel has parsed
            known = on_grid(side, *self._steps) if on_grid else None
            if known is None:
                in_steps = (self._in_steps(price, qty) for price, qty in levels)
                known = [(side, *level) for level in in_steps if level is not None]
            if other := self._book.first_other(known):
                _, ticks, lots = other
                found, end = self._book.level(side, ticks), "; the log ends here" if self._ended else ""
                what = f"{found} lots at {ticks} ticks on side {side:+d} after this row, but {lots} in "
                self._fail(self._before + self._at, f"{what}{name.format(*numbers)}{end}")
                return

    def _in_steps(self, price: str, qty: str) -> tuple[int, int] | None:
        try:
            ticks, off_tick = divmod(_e8(price), self._steps.tick_e8)
            lots, off_lot = divmod(_e8(qty), self._steps.lot_e8)
        except OffGrid:
            return None
        return None if off_tick or off_lot else (ticks, lots)

    def _contradiction(self, wrong: str) -> None:
        row = dict(zip(_REPLAYED, (int(cells[self._at]) for cells in self._block), strict=True))
        named = row["other_id"] if row["kind"] == ROW_TRADE else row["order_id"]
        found = self._book.level(row["side"], row["ticks"])
        self._fail(self._before + self._at + 1, _WRONG[wrong].format(**row, named=named, sum=found))

    def _fail(self, row: int | None, what: str) -> None:
        self._failed = True
        self._findings.add(self._path, row, "order_log", what)


def _steps_of(folder: DayFolder) -> Steps:
    grids = read_grids(folder)
    if not grids:
        raise BrokenFile(f"{folder.instrument}: there is none, so the tick of {folder.order_log.name} is unknown")
    return Steps(grids[0].tick_e8, grids[0].lot_e8)


@lru_cache(maxsize=1 << 16)
def _e8(text: str) -> int:
    return e8(text)
