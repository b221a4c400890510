"""Databento CSV in the schema MBO (market by order) as messages for the import.

Orders are added, modified, cancelled and cleared; a level is the sum of the orders at its price. Trades and fills
change no level, as a cancel follows each fill. The book is valid only after the last record of an event (F_LAST), and
successive records of a snapshot (F_SNAPSHOT) are a whole book. The receive time is ``ts_recv``. Times are ns or ISO
8601, prices 1e-9 or decimals, as chosen in the download.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from mm.clock import us_of
from mm.errors import BrokenFile, UsageError
from mm.formats.feed import BytesRead, FileReader, FileTrade, LevelChanges, RowPlace, TimedEvent, WholeBook
from mm.formats.tables import COPY_AGAIN, CsvTable, RowBlock, file_of, one_of, plain_decimal, whole_numbers
from mm.instrument import decimal_text
from mm.market_data.captures import FilePlace
from mm.market_data.local_orderbook import Level
from mm.market_data.stamps import FAR_US

F_LAST, F_TOB, F_SNAPSHOT, F_BAD_TS_RECV, F_MAYBE_BAD_BOOK = 128, 64, 32, 8, 4
NO_PRICE = 2**63 - 1
_NEEDED = ("ts_recv", "ts_event", "action", "side", "price", "size", "order_id", "flags")
_SIDES = {"A": -1, "B": 1, "N": 0}
_ACTIONS = {name: name for name in "ACMRTFN"}
_WAY_OUT = "request the schema mbo as CSV, with its header"


@dataclass
class _Orders:
    """All resting orders and their levels.

    Attributes:
        changed: Side and price of the levels that have changed since the last message.
        cleared: Whether the book has been cleared since.
        unknown: Number of records for orders that were never added.
    """

    orders: dict[int, tuple[int, str, int]] = field(default_factory=dict)
    levels: dict[tuple[int, str], int] = field(default_factory=dict)
    changed: dict[tuple[int, str], None] = field(default_factory=dict)
    cleared: bool = False
    unknown: int = 0

    def clear(self) -> None:
        """Remove all orders."""
        self.orders.clear()
        self.levels.clear()
        self.changed.clear()
        self.cleared = True

    def add(self, number: int, side: int, price: str, size: int) -> None:
        """Add an order, or replace the one with this id."""
        self.remove(number)
        self.orders[number] = side, price, size
        self._shift(side, price, size)

    def reduce(self, number: int, size: int) -> None:
        """Reduce an order by *size*."""
        if number not in self.orders:
            self.unknown += 1
            return
        side, price, left = self.orders[number]
        gone = min(size, left)
        self._shift(side, price, -gone)
        if gone == left:
            del self.orders[number]
        else:
            self.orders[number] = side, price, left - gone

    def remove(self, number: int) -> None:
        """Remove the order with this id, if there is one."""
        if number in self.orders:
            side, price, left = self.orders.pop(number)
            self._shift(side, price, -left)

    def side_only(self, side: int) -> None:
        """Remove all orders of a side, before its only level is set (F_TOB)."""
        for number in [number for number, order in self.orders.items() if order[0] == side]:
            self.remove(number)

    def message(self, exch_us: int) -> LevelChanges | WholeBook | None:
        """Return the changes since the last message; None without any."""
        sides: dict[int, list[Level]] = {1: [], -1: []}
        cleared, self.cleared = self.cleared, False
        changed, self.changed = self.changed, {}
        if cleared:
            return self.whole()
        for side, price in changed:
            sides[side].append((price, str(self.levels.get((side, price), 0))))
        return LevelChanges(exch_us, sides[1], sides[-1]) if changed else None

    def whole(self) -> WholeBook:
        """Return all levels."""
        bids, asks = ([(price, str(qty)) for (of, price), qty in self.levels.items() if of == side] for side in (1, -1))
        return WholeBook(bids, asks)

    def _shift(self, side: int, price: str, size: int) -> None:
        key = side, price
        left = self.levels.get(key, 0) + size
        if left:
            self.levels[key] = left
        else:
            self.levels.pop(key, None)
        self.changed[key] = None


class DatabentoReader(FileReader):
    """Yield the events of one instrument in one or more files, in the given order.

    They are CSV; DBN, Databento's own encoding, needs its library and is rejected. The symbol is a value of the column
    ``symbol``; without that column, a file must be of one instrument. It may begin within a session.

    Raises:
        BrokenFile: If a file is not such a table, has an invalid row, or several instruments or venues.
    """

    grows = True

    def __init__(self, paths: Sequence[Path], symbol: str, moved: BytesRead = lambda _: None) -> None:
        super().__init__(paths, symbol, moved)
        self._orders = _Orders()
        self._alone: dict[str, Any] = {}
        self._last_us = self._doubtful = 0
        self._replay: tuple[int, RowPlace] | None = None  # time and place of the last record of an unfinished snapshot

    def _streams(self) -> list[Iterator[TimedEvent]]:
        return [self._records()]

    def _records(self) -> Iterator[TimedEvent]:
        for path in self._paths:
            self._at.path, self._at.number = path, 0
            _check_encoding(path)
            table = CsvTable(path, self._progress(path))
            lacks = [name for name in _NEEDED if name not in table.columns]
            if lacks:
                what = f"the header has no {', '.join(lacks)}: {','.join(table.columns)[:120]}"
                raise self._at.broken(what, _WAY_OUT, 1)
            for block in table:
                yield from self._events(self._ours(block))
            if self._replay is not None:
                yield self._snapshot()
        if self._orders.unknown:
            self.notes.append(
                f"{self._orders.unknown:,} records are of orders that were never added; they were left out"
            )
        if self._doubtful:
            self.notes.append(f"{self._doubtful:,} records are marked as a book that may be bad (F_MAYBE_BAD_BOOK)")

    def _ours(self, block: RowBlock) -> pl.DataFrame:
        """Return the records of the instrument, with their rows, as numbers."""
        place, cells = self._at, block.cells
        frame = pl.DataFrame(
            {
                "row": pl.arange(block.first_row, block.first_row + cells.height, eager=True),
                "recv_us": _instants(block, "ts_recv", place),
                "exch_us": _instants(block, "ts_event", place),
                "action": one_of(block, "action", _ACTIONS, place),
                "side": one_of(block, "side", _SIDES, place),
                "price": cells["price"],
                "size": whole_numbers(block, "size", place),
                "order_id": whole_numbers(block, "order_id", place, pl.UInt64()),
                "flags": whole_numbers(block, "flags", place),
            }
        )
        ours = pl.repeat(True, cells.height, eager=True)
        if "symbol" in cells.columns:
            names = cells["symbol"].str.to_uppercase()
            place.symbols.update(names.unique().to_list())
            ours = names == self._symbol
        else:
            place.symbols[self._symbol] += 1
            self._check_alone(block, ours, "instrument_id", "request the column symbol (map_symbols)")
        self._check_alone(block, ours, "publisher_id", "request the records of one venue")
        return frame.filter(ours)

    def _check_alone(self, block: RowBlock, ours: pl.Series, column: str, way_out: str) -> None:
        if column not in block.cells.columns:
            return
        for value in block.cells[column].filter(ours).unique(maintain_order=True).to_list():
            if self._alone.setdefault(column, value) != value:
                at = block.first_row + ((block.cells[column].eq(value) & ours).arg_max() or 0)
                what = f"{column} is {value}, but {self._alone[column]} in earlier rows"
                raise self._at.broken(what, f"{way_out}, or remove the other rows", at)

    def _events(self, frame: pl.DataFrame) -> Iterator[TimedEvent]:
        book = self._orders
        for row, stamp_us, exch_us, action, side, price, size, number, flags in frame.iter_rows():
            self._at.number = row
            here = self._at.path, row
            if flags & F_BAD_TS_RECV and self._last_us - stamp_us > FAR_US:
                self._raised.note(f"{here[0].name}:{row}", stamp_us, self._last_us)
            recv_us = max(stamp_us, self._last_us) if flags & F_BAD_TS_RECV else stamp_us
            if self._replay is not None and not flags & F_SNAPSHOT:
                yield self._snapshot()
            self._last_us = recv_us
            self._doubtful += bool(flags & F_MAYBE_BAD_BOOK)
            if flags & F_SNAPSHOT:
                if self._replay is None:
                    book.clear()
                self._replay = recv_us, here
            if action == "T":
                if text := self._price(price):
                    yield recv_us, 0, here, FileTrade(exch_us, text, str(size), side)
            elif action == "R":
                book.clear()
            elif action in "AMC":
                self._apply(action, side, price, size, number, tob=bool(flags & F_TOB))
            if flags & F_LAST and self._replay is None and (message := book.message(exch_us)) is not None:
                yield recv_us, 0, here, message

    def _snapshot(self) -> TimedEvent:
        """Return the book after the records of a snapshot (F_SNAPSHOT), at the time of the last of them."""
        assert self._replay is not None
        (recv_us, here), self._replay = self._replay, None
        self._orders.message(0)
        return recv_us, 0, here, self._orders.whole()

    def _apply(self, action: str, side: int, price: str, size: int, number: int, *, tob: bool) -> None:
        """Apply one record to the book."""
        if action == "C":
            self._orders.reduce(number, size)
            return
        if side == 0:
            raise self._at.broken(f"action {action} has no side", COPY_AGAIN)
        if tob:
            self._orders.side_only(side)
            number = -side if self._price(price) else 0
        text = self._price(price)
        if text and size:
            self._orders.add(number, side, text, size)
        elif not tob:
            raise self._at.broken(f"price {price!r}, size {size} are not valid for an order", COPY_AGAIN)

    def _price(self, text: str) -> str:
        """Return a price as a decimal; empty for none."""
        if not text or text == str(NO_PRICE):
            return ""
        if "." in text:
            return _shortened(plain_decimal(text))
        try:
            return _shortened(decimal_text(int(text), 9))
        except ValueError:
            raise self._at.broken(f"price is {text!r}, neither a decimal nor 1e-9", COPY_AGAIN) from None


def _shortened(text: str) -> str:
    """Return a decimal of nine places with eight, if the last is zero."""
    return text[:-1] if text.endswith("0") and len(text.partition(".")[2]) == 9 else text


def _check_encoding(path: Path) -> None:
    with file_of(path) as file:
        head = file.read(4)
    if head.startswith(b"DBN") or path.name.endswith((".dbn", ".dbn.zst")):
        raise BrokenFile(
            f"{path}:1: this is DBN, Databento's own encoding, which needs its library; request the file as CSV, or "
            f"write it by the library: DBNStore.from_file(…).to_csv(…)"
        )


def _instants(block: RowBlock, column: str, place: FilePlace) -> pl.Series:
    """Return a column of instants in µs, given in ns or as ISO 8601."""
    text = block.cells[column]
    numbers = text.cast(pl.Int64, strict=False)
    if not numbers.null_count():
        return numbers // 1_000
    if text[0].isdigit() and len(text[0]) > len("2024-03-05"):
        at = numbers.is_null().arg_max() or 0
        raise place.broken(f"{column} is {text[at]!r}, not a number of ns", COPY_AGAIN, block.first_row + at)
    instants = []
    for row, stamp in enumerate(text.to_list(), block.first_row):
        head, _, fraction = stamp.removesuffix("Z").partition(".")
        try:
            instants.append(us_of(f"{head}.{fraction[:6]:0<6}+00:00"))
        except (UsageError, ValueError) as error:
            raise place.broken(f"{column} is {stamp!r}, neither ns nor ISO 8601", COPY_AGAIN, row) from error
    return pl.Series(column, instants, pl.Int64)
