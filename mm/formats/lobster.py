"""LOBSTER pairs of message and orderbook files as messages for the import."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from mm.clock import US_PER_S, midnight_us, parse_day
from mm.errors import BrokenFile, Mismatch
from mm.formats.event_columns import EventColumns, Prints, Records, Texts
from mm.formats.events import BytesRead, TimedEvent
from mm.formats.feed import FileReader
from mm.formats.orders import LEAST_SILENCE_US, OP, Commands, OrderRecords
from mm.formats.tables import COPY_AGAIN, CsvTable, RowBlock, one_of, whole_column
from mm.instrument import E8
from mm.market_data.captures import BookLoss, FilePlace, Remark

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

ZONE = "America/New_York"
MESSAGE_COLUMNS = ("time", "type", "order_id", "size", "price", "direction")
SUBMITTED, REDUCED, DELETED, EXECUTED, HIDDEN, CROSS, HALT = range(1, 8)
_MASKED_FROM = date(2014, 7, 14)
"""From this day on, NASDAQ masks the side of hidden orders: the direction of a hidden execution is always 1."""
_KINDS = {str(kind): kind for kind in range(SUBMITTED, HALT + 1)}
_DIRECTIONS = {"1": 1, "-1": -1}
_HALTS = {-1: "halted", 0: "quoting resumed", 1: "trading resumed"}
_RESUMED = 1
HALTED = "trading_halt"
"""The ledger's word for a halt: the book is not valid until trading resumes."""
HOLE = "silence_and_other_book"
"""The ledger's word for messages that the files lack: after a silence the book has changed where no message says so."""
NO_PRICE = 9_999_999_999
_NAME = re.compile(r"(?P<symbol>.+?)_(?P<day>\d{4}-\d\d-\d\d)_\d+_\d+_(?P<kind>message|orderbook)_(?P<levels>\d+)")
_KIND_OPS = np.array(
    [OP[name] for name in ("nothing", "add", "cancel", "cancel", "execute", "anonymous", "nothing", "clear")], np.int8
)
_NO_BOOK = np.empty((0, 0), np.int64)


class _Pair(NamedTuple):
    day: str
    levels: int
    message: Path
    book: Path


class _Part(NamedTuple):
    us: "Ints"
    kind: "NDArray[np.int8]"
    number: "Ints"
    shares: "Ints"
    price: "Ints"
    direction: "Ints"
    row: "Ints"
    book: "Ints"

    def cut(self, begin: int, book: "Ints") -> "_Part":
        part = slice(begin, begin + len(book))
        times, orders = (self.us[part], self.kind[part]), (self.number[part], self.shares[part], self.price[part])
        return _Part(*times, *orders, self.direction[part], self.row[part], book)


class LobsterReader(FileReader):
    """Yield the events of one or more days, from files in any order; positions are in the message file.

    Raises:
        BrokenFile: If a file has no partner, another name, another number of rows, or an invalid row.
        Mismatch: If a file belongs to another ticker.
    """

    def __init__(self, paths: Sequence[Path], symbol: str, moved: BytesRead = lambda _: None) -> None:
        super().__init__(paths, symbol, moved)
        self._pairs = _pairs(paths, symbol)
        self._crosses = self._last_us = self._prints = self._silences = 0
        self.orders = self._orders = OrderRecords(price_e8=Fraction(10**4), qty_e8=Fraction(E8))

    def _streams(self) -> "list[Iterator[TimedEvent | EventColumns]]":
        return [self._days()]

    def _days(self) -> "Iterator[TimedEvent | EventColumns]":
        for pair in self._pairs:
            self._at.path, self._at.number = pair.message, 0
            yield from self._day(pair)
            if pair is not self._pairs[-1]:  # orders do not outlive a day
                self._orders.clear(pair.message, self._last_us, self._at.number)
                yield self._last_us, 0, (pair.message, self._at.number), BookLoss("end_of_day")
        if self._orders.corrected:
            self.notes.append(
                f"{self._orders.corrected:,} levels differ from their orders: the order log has the orderbook file's, "
                f"with orders of unknown id"
            )
        if self._silences:
            self.notes.append(
                f"{self._silences:,} times the book has changed without a message in {LEAST_SILENCE_US // US_PER_S} s "
                f"or more: the files lack messages there, and the ledger has a gap ({HOLE})"
            )
        if self._crosses:
            self.notes.append(
                f"{self._crosses:,} cross trades (type 6) were left out: they repeat executions of an auction"
            )

    def _day(self, pair: _Pair) -> "Iterator[TimedEvent | EventColumns]":
        orders, halted = self._orders, False
        for part, lost in _pieces(self._parts(pair)):
            self.place.symbols[self._symbol] += len(part.us)
            self._crosses += int(np.count_nonzero(part.kind == CROSS))
            if lost and orders.has_book:
                self._silences += 1
                orders.clear(pair.message, int(part.us[0]), int(part.row[0]))
                yield int(part.us[0]), 0, (pair.message, int(part.row[0])), BookLoss(HOLE, unseen=True)
            at = 0
            while at < len(part.us):
                self._at.number = int(part.row[at])
                if part.kind[at] == HALT:
                    state, here = int(part.price[at]), (pair.message, self._at.number)
                    yield int(part.us[at]), 0, here, Remark(HALTED, {"state": _HALTS.get(state, str(state))})
                    halted = state != _RESUMED
                    if halted:
                        if orders.has_book:
                            orders.clear(pair.message, int(part.us[at]), self._at.number)
                            yield int(part.us[at]), 0, here, BookLoss(HALTED)
                        at += 1
                        continue
                events, upto, halted = self._watched(pair, part, at, halted=halted)
                if len(events):
                    yield events
                at = upto
        self._last_us = int(part.us[-1])

    def _watched(self, pair: _Pair, part: "_Part", begin: int, *, halted: bool) -> tuple[EventColumns, int, bool]:
        """Events from *begin* to the next halt, that message, and whether the market is halted.

        The book begins anew with the first message after a halt.
        """
        hidden = part.kind == HIDDEN
        taker: Ints = np.where(hidden & _masked(pair), 0, -part.direction)
        op, none = _KIND_OPS[part.kind], np.zeros(len(part.us), np.int8)
        sides = np.where(hidden, taker, part.direction).astype(np.int8)
        commands = Commands(part.us, op, part.number, sides, part.price, part.shares, none, part.row)
        messages, upto, halted, wrong = self._orders.watch(pair.message, commands, part.book, begin, halted=halted)
        if wrong:
            row, kind = int(part.row[upto]), int(part.kind[upto])
            what = f"message {row} is of type {kind}, which changes no level, and the book has changed"
            raise FilePlace(pair.book).broken(what, "give the two files of one request", row)
        at = begin + np.flatnonzero(np.isin(part.kind[begin:upto], (EXECUTED, HIDDEN)))
        number = self._prints + 1 + np.arange(len(at))
        self._prints += len(at)
        prints = Prints(at, taker[at], part.price[at], part.shares[at], number)
        records = Records(pair.message, part.us, part.us, part.row)
        return EventColumns.of(records, prints, messages, Texts(_price, str)), upto, halted

    def _parts(self, pair: _Pair) -> "Iterator[_Part]":
        columns = [f"{side}_{what}_{n}" for n in range(1, pair.levels + 1) for side in ("ask", "bid") for what in "pq"]
        messages = CsvTable(pair.message, self._progress(pair.message), MESSAGE_COLUMNS)
        table = CsvTable(pair.book, self._progress(pair.book), columns)
        if len(table.columns) != len(columns):
            what = f"{len(table.columns)} cells for {pair.levels} levels per side, which need {len(columns)}"
            raise FilePlace(pair.book).broken(what, COPY_AGAIN, 1)
        books, held = _books(table, FilePlace(pair.book)), np.empty((0, len(columns)), np.int64)
        for part in self._messages(messages, midnight_us(pair.day, ZONE)):
            at = 0
            while at < len(part.us):
                if not len(held):
                    held = next(books, held)
                    if not len(held):
                        raise _ends(pair.book, int(part.row[at]), pair.message)
                count = min(len(held), len(part.us) - at)
                yield part.cut(at, held[:count])
                held, at = held[count:], at + count
            last = int(part.row[-1])
        if len(held) or next(books, None) is not None:
            raise _ends(pair.message, last + 1, pair.book)

    def _messages(self, table: CsvTable, midnight: int) -> "Iterator[_Part]":
        place = self._at
        for block in table:
            cells = block.cells
            if cells.width < len(MESSAGE_COLUMNS):
                raise place.broken(f"{cells.width} cells for {', '.join(MESSAGE_COLUMNS)}", COPY_AGAIN, block.first_row)
            yield _Part(
                midnight + _seconds(block, place),
                np.array(one_of(block, "type", _KINDS, place), np.int8),
                whole_column(block, "order_id", place).to_numpy(),
                whole_column(block, "size", place).to_numpy(),
                whole_column(block, "price", place).to_numpy(),
                np.array(one_of(block, "direction", _DIRECTIONS, place), np.int64),
                np.arange(block.first_row, block.first_row + cells.height),
                _NO_BOOK,
            )


def _pieces(parts: "Iterator[_Part]") -> "Iterator[tuple[_Part, bool]]":
    """The parts, cut where messages are missing, and whether they are before each."""
    last: tuple[int, list[int]] | None = None
    for part in parts:
        silent = np.diff(part.us, prepend=last[0] if last else part.us[0]) >= LEAST_SILENCE_US
        begin, lost = 0, False
        for at in np.flatnonzero(silent).tolist():
            before = part.book[at - 1].tolist() if at else last[1] if last else []
            if _jumps(before, part.book[at].tolist(), int(part.kind[at]), int(part.direction[at]), int(part.price[at])):
                if at > begin:
                    yield part.cut(begin, part.book[begin:at]), lost
                begin, lost = at, True
        yield part.cut(begin, part.book[begin:]), lost
        last = int(part.us[-1]), part.book[-1].tolist()


def _jumps(before: list[int], after: list[int], kind: int, direction: int, price: int) -> bool:
    """Whether a level that both windows reach has changed at another price than that of the message, no cross."""
    for side, first in ((-1, 0), (1, 2)):
        old, new = (
            {side * cells[at]: cells[at + 1] for at in range(first, len(cells), 4) if cells[at + 1]}
            for cells in (before, after)
        )
        # A full window ends at its worst price: what is behind it may have been there before.
        reach = max((min(levels) for levels in (old, new) if 4 * len(levels) == len(after)), default=-NO_PRICE)
        own = side * price if kind in (SUBMITTED, REDUCED, DELETED, EXECUTED) and side == direction else None
        if any(
            at >= reach and at != own and old.get(at) != new.get(at) and kind != CROSS for at in old.keys() | new.keys()
        ):
            return True
    return False


@lru_cache(maxsize=1 << 16)
def _price(price: int) -> str:
    return f"{price // 10_000}.{price % 10_000:04d}"


def _pairs(paths: Sequence[Path], symbol: str) -> list[_Pair]:
    by_day: dict[tuple[str, int], dict[str, Path]] = {}
    for path in paths:
        named = _NAME.match(path.name)
        if named is None:
            raise BrokenFile(
                f"{path}:1: the name is not TICKER_YYYY-MM-DD_START_END_message_LEVELS.csv (or orderbook), and only "
                f"the name has the date; keep LOBSTER's file names"
            )
        if named["symbol"].upper() != symbol:
            raise Mismatch("{} is of {}; {symbol} is {}", path, named["symbol"], symbol)
        day = named["day"].replace("-", "")
        try:
            parse_day(day)
        except ValueError as error:
            raise BrokenFile(f"{path}:1: {error}; keep LOBSTER's file names") from error
        files = by_day.setdefault((day, int(named["levels"])), {})
        if named["kind"] in files:
            raise BrokenFile(f"{path}:1: {files[named['kind']]} is of the same day; give each file once")
        files[named["kind"]] = path
    for (day, _), files in by_day.items():
        for kind, other in (("message", "orderbook"), ("orderbook", "message")):
            if kind not in files:
                raise BrokenFile(f"{files[other]}:1: the {kind} file of {day} is missing; give both files of each day")
    days = Counter(day for day, _ in by_day)
    if twice := [day for day, count in days.items() if count > 1]:
        raise BrokenFile(f"{paths[0]}:1: files of two requests for {twice[0]}; give the files of one")
    return [_Pair(day, levels, files["message"], files["orderbook"]) for (day, levels), files in sorted(by_day.items())]


def _masked(pair: _Pair) -> bool:
    return parse_day(pair.day) >= _MASKED_FROM


def _ends(short: Path, row: int, other: Path) -> BrokenFile:
    return BrokenFile(f"{short}:{row}: the file ends before {other.name}; give the two files of one request, whole")


def _seconds(block: RowBlock, place: FilePlace) -> "Ints":
    """Seconds with at most nine places as µs, rounded down."""
    text = block.cells["time"]
    parts = text.str.splitn(".", 2).struct
    whole = parts.field("field_0").cast(pl.Int64, strict=False)
    digits = parts.field("field_1").fill_null("0")
    places = digits.str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64, strict=False)
    wrong = whole.is_null() | places.is_null() | (whole < 0) | (whole > 86_400) | ~digits.str.contains(r"^\d+$")
    if wrong.any():
        at = wrong.arg_max() or 0
        raise place.broken(f"time is {text[at]!r}, not seconds after midnight", COPY_AGAIN, block.first_row + at)
    return (whole * 1_000_000 + places).to_numpy()


def _books(table: CsvTable, place: FilePlace) -> "Iterator[Ints]":
    """Price and shares of each level, of the ask and then of the bid."""
    for block in table:
        book = np.column_stack([whole_column(block, name, place).to_numpy() for name in table.columns])
        price, shares = book[:, ::2], book[:, 1::2]
        sign = np.where(np.arange(price.shape[1]) % 2, -1, 1)
        shares[sign * price >= NO_PRICE] = 0
        wrong = ((shares != 0) & ((price <= 0) | (shares < 0))).any(axis=1)
        if wrong.any():
            row = block.first_row + int(wrong.argmax())
            raise place.broken("a level has no price above zero, or no shares", COPY_AGAIN, row)
        yield book
