"""LOBSTER pairs of message and orderbook files as messages for the import."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from fractions import Fraction
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import polars as pl

from mm.clock import midnight_us, parse_day
from mm.errors import BrokenFile, Mismatch
from mm.formats.events import BytesRead, FileEvent, FileTrade, LevelChanges, TimedEvent, WholeBook
from mm.formats.feed import FileReader
from mm.formats.orders import OrderRecords
from mm.formats.tables import COPY_AGAIN, CsvTable, RowBlock, one_of, whole_numbers
from mm.formats.visible_orders import VisibleOrders
from mm.instrument import E8
from mm.market_data.captures import BookLoss, FilePlace, Remark
from mm.market_data.local_orderbook import Level

ZONE = "America/New_York"
MESSAGE_COLUMNS = ("time", "type", "order_id", "size", "price", "direction")
SUBMITTED, REDUCED, DELETED, EXECUTED, HIDDEN, CROSS, HALT = range(1, 8)
_MASKED_FROM = date(2014, 7, 14)
"""From this day on, NASDAQ masks the side of hidden orders: the direction of a hidden execution is always 1."""
_KINDS = {str(kind): kind for kind in range(SUBMITTED, HALT + 1)}
_DIRECTIONS = {"1": 1, "-1": -1}
_HALTS = {-1: "halted", 0: "quoting resumed", 1: "trading resumed"}
_RESUMED = 1
_TAKEN = {REDUCED: "cancel", DELETED: "cancel", EXECUTED: "execute"}
HALTED = "trading_halt"
"""The ledger's word for a halt: the book is not valid until trading resumes."""
NO_PRICE = 9_999_999_999
_NAME = re.compile(r"(?P<symbol>.+?)_(?P<day>\d{4}-\d\d-\d\d)_\d+_\d+_(?P<kind>message|orderbook)_(?P<levels>\d+)")
_Side = dict[int, int]
"""Shares by price."""
_Book = tuple[_Side, _Side]


class _Pair(NamedTuple):
    """Message and orderbook file of a day."""

    day: str
    levels: int
    message: Path
    book: Path


class LobsterReader(FileReader):
    """Yield the events of one or more days, from files in any order.

    The place is in the message file.

    Raises:
        BrokenFile: If a file has no partner, another name, another number of rows, or an invalid row.
        Mismatch: If a file belongs to another ticker.
    """

    def __init__(self, paths: Sequence[Path], symbol: str, moved: BytesRead = lambda _: None) -> None:
        super().__init__(paths, symbol, moved)
        self._pairs = _pairs(paths, symbol)
        self._crosses = self._last_us = self._prints = 0
        self.orders = OrderRecords(price_e8=Fraction(10**4), qty_e8=Fraction(E8))
        self._visible = VisibleOrders(self.orders)

    def _streams(self) -> list[Iterator[TimedEvent]]:
        return [self._days()]

    def _days(self) -> Iterator[TimedEvent]:
        for pair in self._pairs:
            self._at.path, self._at.number = pair.message, 0
            yield from self._day(pair)
            if pair is not self._pairs[-1]:  # orders do not outlive a day
                self._visible.clear()
                self._visible.end((self._last_us, 0, (pair.message, self._at.number), BookLoss("end_of_day")))
            yield from self._visible.events(pair.message, last=True)
        if self._visible.corrected:
            self.notes.append(
                f"{self._visible.corrected:,} levels differ from their orders: the order log has the orderbook file's, "
                f"with orders of unknown id"
            )
        if self._crosses:
            self.notes.append(
                f"{self._crosses:,} cross trades (type 6) were left out: they repeat executions of an auction"
            )

    def _day(self, pair: _Pair) -> Iterator[TimedEvent]:
        midnight = midnight_us(pair.day, ZONE)
        columns = [f"{side}_{what}_{n}" for n in range(1, pair.levels + 1) for side in ("ask", "bid") for what in "pq"]
        messages = CsvTable(pair.message, self._progress(pair.message), MESSAGE_COLUMNS)
        books = CsvTable(pair.book, self._progress(pair.book), columns)
        book_place = FilePlace(pair.book)
        if len(books.columns) != len(columns):
            what = f"{len(books.columns)} cells for {pair.levels} levels per side, which need {len(columns)}"
            raise book_place.broken(what, COPY_AGAIN, 1)
        shown: _Book | None = None  # None while there is no book: at first, and in a halt
        halted = False
        masked = parse_day(pair.day) >= _MASKED_FROM
        rows = zip_longest(self._messages(messages, midnight), _books(books, book_place))
        for message, book in rows:
            if message is None or book is None:
                short, other = (pair.message, pair.book) if message is None else (pair.book, pair.message)
                raise BrokenFile(
                    f"{short}:{self._at.number + 1}: the file ends before {other.name}; give the two files of "
                    f"one request, whole"
                )
            self._at.number, recv_us, kind, number, shares, price, direction = message
            self.place.symbols[self._symbol] += 1
            self._last_us = recv_us
            here = pair.message, self._at.number
            self._visible.at(recv_us, self._at.number)
            if kind in (EXECUTED, HIDDEN):
                side = 0 if masked and kind == HIDDEN else -direction
                self._prints += 1
                trade = FileTrade(recv_us, _price(price), str(shares), side, self._prints)
                self._visible.trade(side, price, shares, (recv_us, 0, here, trade))
            elif kind == CROSS:
                self._crosses += 1
            elif kind == HALT:
                self._visible.end((recv_us, 0, here, Remark(HALTED, {"state": _HALTS.get(price, str(price))})))
            halted = price != _RESUMED if kind == HALT else halted and kind != EXECUTED
            if halted and shown:
                self._visible.clear()
                self._visible.end((recv_us, 0, here, BookLoss(HALTED)))
                shown = None
            if halted:
                continue
            if kind in (HIDDEN, HALT) and shown not in (None, book):
                what = f"message {self._at.number} is of type {kind}, which changes no level, and the book has changed"
                raise book_place.broken(what, "give the two files of one request", self._at.number)
            self._follow(kind, number, shares, price, direction, shown, book)
            event: FileEvent | None = None
            if shown is None:
                event = WholeBook(_levels(book[0]), _levels(book[1]))
            elif book != shown:
                event = LevelChanges(recv_us, _changed(shown[0], book[0]), _changed(shown[1], book[1]))
            self._visible.end(None if event is None else (recv_us, 0, here, event))
            yield from self._visible.events(pair.message)
            shown = book

    def _follow(  # noqa: PLR0913, PLR0917 - the cells of a message
        self, kind: int, number: int, shares: int, price: int, direction: int, shown: _Book | None, book: _Book
    ) -> None:
        if kind == SUBMITTED:
            self._visible.add(number, direction, price, shares)
        elif kind in _TAKEN:
            self._visible.take(number, direction, price, shares, _TAKEN[kind])
        for side, old, new in zip((1, -1), shown or ({}, {}), book, strict=True):
            prices = {*new, *self._visible.prices(side)} if shown is None else _differing(old, new)
            if kind == SUBMITTED or kind in _TAKEN:
                prices = {*prices, price} if side == direction else prices
            self._visible.correct(side, old, new, prices)

    def _messages(self, table: CsvTable, midnight: int) -> Iterator[tuple[int, int, int, int, int, int, int]]:
        place = self._at
        for block in table:
            cells = block.cells
            if cells.width < len(MESSAGE_COLUMNS):
                raise place.broken(f"{cells.width} cells for {', '.join(MESSAGE_COLUMNS)}", COPY_AGAIN, block.first_row)
            kinds = one_of(block, "type", _KINDS, place)
            directions = one_of(block, "direction", _DIRECTIONS, place)
            columns = (
                range(block.first_row, block.first_row + cells.height),
                [midnight + us for us in _seconds(block, place)],
                kinds,
                whole_numbers(block, "order_id", place),
                whole_numbers(block, "size", place),
                whole_numbers(block, "price", place),
                directions,
            )
            yield from zip(*columns, strict=True)


@lru_cache(maxsize=1 << 16)
def _price(price: int) -> str:
    return f"{price // 10_000}.{price % 10_000:04d}"


def _levels(side: _Side) -> list[Level]:
    return [(_price(price), str(shares)) for price, shares in side.items()]


def _differing(old: _Side, new: _Side) -> set[int]:
    return {price for price in {**old, **new} if old.get(price) != new.get(price)}


def _changed(old: _Side, new: _Side) -> list[Level]:
    gone = [(_price(price), "0") for price in old if price not in new]
    return gone + [(_price(price), str(shares)) for price, shares in new.items() if old.get(price) != shares]


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


def _seconds(block: RowBlock, place: FilePlace) -> list[int]:
    text = block.cells["time"]
    parts = text.str.splitn(".", 2).struct
    whole = parts.field("field_0").cast(pl.Int64, strict=False)
    digits = parts.field("field_1").fill_null("0")
    places = digits.str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64, strict=False)
    wrong = whole.is_null() | places.is_null() | (whole < 0) | (whole > 86_400) | ~digits.str.contains(r"^\d+$")
    if wrong.any():
        at = wrong.arg_max() or 0
        raise place.broken(f"time is {text[at]!r}, not seconds after midnight", COPY_AGAIN, block.first_row + at)
    return (whole * 1_000_000 + places).to_list()


def _books(table: CsvTable, place: FilePlace) -> Iterator[tuple[_Side, _Side]]:
    for block in table:
        columns = [whole_numbers(block, name, place) for name in table.columns]
        for row, cells in enumerate(zip(*columns, strict=True), block.first_row):
            asks, bids = (
                {
                    price: shares
                    for price, shares in zip(cells[at::4], cells[at + 1 :: 4], strict=True)
                    if sign * price < NO_PRICE and shares
                }
                for at, sign in ((0, 1), (2, -1))
            )
            if min((*asks, *bids, *asks.values(), *bids.values()), default=1) <= 0:
                raise place.broken("a level has no price above zero, or no shares", COPY_AGAIN, row)
            yield bids, asks
