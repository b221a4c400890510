"""Order-by-order market data from captures of Bitstamp: order book, trades and order log (`mm.formats._bitstamp`)."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mm.clock import US_PER_MS, US_PER_S
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.order_log import fifo_text, is_fifo
from mm.errors import BrokenFile
from mm.formats._bitstamp import LAG_US, VenueBook
from mm.formats.bitstamp_lines import BOOK, TRADE, OrderLines, matched, read_lines, with_trades
from mm.formats.orders import OrderRecords
from mm.instrument import decimal_text
from mm.market_data.captures import CapturedMessage, FilePlace, refuse_folder
from mm.market_data.message_batch import MessageBatch
from mm.market_data.stamps import FAR_US, Moved, Steady
from mm.markets import local_orderbook
from mm.markets.grid import Grid
from mm.markets.messages import DepthSnapshot, DepthUpdate, TradePrint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

LINES_AT_ONCE = 1 << 16
PLACES = 8


class _Events(NamedTuple):
    """Trades and messages of the book; those between two stops can be written as columns."""

    us: "Ints"
    is_trade: "NDArray[np.bool_]"
    id: "Ints"
    end: "Ints"
    side: "Ints"
    price: "Ints"
    qty: "Ints"
    stops: "Ints"

    @classmethod
    def of(cls, lines: OrderLines, events: "Ints", changes: "Ints") -> "_Events":
        at, is_trade, end = events[:, 0], events[:, 1] > 0, events[:, 3]
        us, numbers = lines.us[at], lines.id[at]
        side, price, qty = (np.ascontiguousarray(column) for column in changes.T)
        trades = np.flatnonzero(is_trade)
        stop = np.diff(us, prepend=us[:1]) < 0
        skipped = np.diff(numbers[trades], prepend=numbers[trades][:1]) != 1
        of_trade = end[trades] - 1
        stop[trades] |= skipped | (price[of_trade] <= 0) | (qty[of_trade] <= 0)
        return cls(us, is_trade, numbers, end, side, price, qty, np.flatnonzero(stop))

    def steps(self) -> "tuple[Ints, int, int]":
        """Of the book: its prices, and the steps of prices and quantities."""
        of_book = np.ones(len(self.price), bool)
        of_book[self.end[self.is_trade] - 1] = False
        prices = np.unique(self.price[of_book])
        return prices, int(np.gcd.reduce(prices)), int(np.gcd.reduce(self.qty[of_book]))

    def batch(self, at: int, update_id: int) -> MessageBatch | None:
        """None at a stop."""
        stop = int(np.searchsorted(self.stops, at))
        upto = int(self.stops[stop]) if stop < len(self.stops) else len(self.us)
        if upto == at:
            return None
        first = int(self.end[at - 1]) if at else 0
        events, rows = slice(at, upto), slice(first, int(self.end[upto - 1]))
        us, trade_at = self.us[events], np.flatnonzero(self.is_trade[events])
        trade_id = int(self.id[at + trade_at[0]]) if len(trade_at) else 0
        columns = local_orderbook.kernel.MessageColumns(
            us,
            us // US_PER_MS * US_PER_MS,
            self.is_trade[events].view(np.int8),
            self.end[events] - first,
            self.side[rows].astype(np.int8),
            self.price[rows],
            np.full(rows.stop - first, PLACES, np.int8),
            self.qty[rows],
            update_id,
            trade_id,
            PLACES,
            US_PER_MS,
        )
        return MessageBatch(columns, us, trade_at, update_id, trade_id)


class BitstampMarket:
    """The book of all orders and their log, which continue from capture to capture."""

    def __init__(self, symbol: str, grid: Grid) -> None:
        self.symbol, self.grid = symbol, grid
        self.book, self.records = VenueBook(), OrderRecords(Fraction(1), Fraction(1))
        self.records.grid = grid
        self._message_id = 0

    def play(self, lines: OrderLines) -> Iterator[CapturedMessage]:
        book, fills, traded = self.book, np.full((len(lines.us), 2), -1), np.zeros(len(lines.us), np.int8)
        for at, fill in matched(lines).items():
            fills[at] = fill
        traded[fills[fills >= 0]] = 1
        if not book.begun:
            book.begun = book.bookless = not (lines.kind == BOOK).any()
        else:
            book.bookless = False
        columns = (*lines[1:7], fills, traded, np.cumsum(lines.shown), lines.levels)
        for begin in range(0, len(lines.us), LINES_AT_ONCE):
            book.play(*columns, begin, min(begin + LINES_AT_ONCE, len(lines.us)))
            rows, events, changes = book.take()
            self.records.keep(rows, events[events[:, 1] == 0, 2], self._message_id + 1)
            yield from self._messages(_Events.of(lines, events, changes))

    def _messages(self, events: _Events) -> Iterator[CapturedMessage]:
        """Batches as long as somebody takes their messages, else one by one."""
        at, plain = 0, self._plain(events)
        while at < len(events.us):
            batch = events.batch(at, self._message_id + 1) if plain and self._message_id else None
            if batch is not None:
                yield CapturedMessage(int(events.us[at]), batch)
                if batch.columns.at:
                    self._message_id += batch.columns.diffs
                    at += batch.columns.at
                    continue
            yield self._single(events, at)
            at += 1

    def _plain(self, events: _Events) -> bool:
        prices, *steps = events.steps()
        if local_orderbook.kernel is None or self.grid.off or not self.grid.keeps(*steps) or not len(prices):
            return False
        for price_e8 in prices.tolist():
            self.grid.price(decimal_text(price_e8))
        self.grid.passed(*steps)
        return True

    def _single(self, events: _Events, at: int) -> CapturedMessage:
        us, begin, end = int(events.us[at]), int(events.end[at - 1]) if at else 0, int(events.end[at])
        ms, sides = us // US_PER_MS, dict[int, list[tuple[str, str]]]({1: [], -1: []})
        for side, *level in zip(*(column[begin:end].tolist() for column in events[4:7]), strict=True):
            price, qty = map(decimal_text, level)
            sides[side].append((price, qty))
        if events.is_trade[at]:
            made = TradePrint(ms, self.symbol, int(events.id[at]), price, qty, ms, side < 0)
            return CapturedMessage(us, made)
        self._message_id += 1
        number = self._message_id
        if number == 1:
            return CapturedMessage(us, DepthSnapshot(number, bids=sides[1], asks=sides[-1], symbol=self.symbol))
        return CapturedMessage(us, DepthUpdate(ms, self.symbol, number, number, sides[1], sides[-1]))


class BitstampCapture:
    """The messages of one capture; *market* continues from capture to capture."""

    def __init__(self, path: Path, market: BitstampMarket, progress: Callable[[int], None]) -> None:
        self.lines = FilePlace(path)
        self.symbols = self.lines.symbols
        self.market, self._progress = market, progress
        self.told: list[str] = []
        self._far = Moved()
        refuse_folder(path)
        if not path.is_file():
            raise BrokenFile(f"{path}: there is no such file; give the path of a capture")

    def __iter__(self) -> Iterator[CapturedMessage]:
        read = read_lines(self.lines.path, self.market.grid, self._progress, self.told)
        self.lines.number = len(read.number)
        lines = with_trades(self._steady(read))
        self.symbols[self.market.symbol] = len(lines.number)  # no message has one, so the requested one is accepted
        yield from self.market.play(lines)

    @property
    def warnings(self) -> list[str]:
        return self._far.far()

    @property
    def line(self) -> int:
        return self.lines.number

    def where(self) -> str:
        return self.lines.path.name

    def write_order_logs(self, folders: Sequence[DayFolder], zone: str, tick_e8: int, lot_e8: int) -> Sequence[str]:
        book, records = self.market.book, self.market.records
        notes = records.write(folders, zone, tick_e8, lot_e8)
        if book.bookless:
            said = (
                f"the capture has no book of the venue: the book follows from its orders, without earlier ones; "
                f"{book.outdated:,} orders were removed that a marketable order did not execute for "
                f"{LAG_US // US_PER_S} s, as their deletion is missing"
            )
        else:
            said = (
                f"{book.corrected:,} levels were corrected by the venue's own book; {book.unmatched:,} trades "
                f"matched no order of the capture; the venue skips some trade ids, so a trade gap in the ledger is not "
                f"necessarily a loss, and excludes no time"
            )
        consistency = records.written.executed, records.written.executed_first
        fifo = [text] if (text := fifo_text(*consistency)) else []
        if is_fifo(*consistency):
            self.told += fifo
            fifo = []
        return [said, *fifo, *notes]

    def _steady(self, read: OrderLines) -> OrderLines:
        gaps = np.diff(read.us)
        if not ((gaps < 0) | (gaps > FAR_US)).any():
            return read

        def far(line: tuple[int, int], us: int, _first_us: int) -> tuple[int, int] | None:
            at, own_us = line
            self._far.note(f"{self.lines.path.name}:{read.number[at]}", own_us, us)
            return None if read.kind[at] == TRADE else (at, us)

        kept = np.array(list(Steady(enumerate(read.us.tolist()), itemgetter(1), far)), np.int64).reshape(-1, 2)
        return read.at(kept[:, 0], np.ascontiguousarray(kept[:, 1]))
