"""Trades of single orders and the messages of their book, in the order of their records, as columns."""

import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mm.clock import FIRST_US, LAST_US
from mm.formats.events import FileTrade, LevelChanges, TimedEvent, WholeBook
from mm.market_data.message_batch import MessageBatch
from mm.market_data.stamps import FAR_US
from mm.markets.grid import MOST_SHOWN_E8, Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.formats.orders import BookMessages

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]


class Records(NamedTuple):
    """The records of a file: times in µs, and rows in the file."""

    path: Path
    us: "Ints"
    exch_us: "Ints"
    row: "Ints"


class Prints(NamedTuple):
    """Trades: index of the record, side of the aggressor (0: unknown), price and quantity in the source's units.

    *number* is the trade's id; 0 is no execution.
    """

    at: "Ints"
    side: "Ints"
    price: "Ints"
    qty: "Ints"
    number: "Ints"


class Texts(NamedTuple):
    price: Callable[[int], str]
    qty: Callable[[int], str]


@dataclass(frozen=True, eq=False, slots=True)
class EventColumns:
    """Events, and the rows of their levels; a trade has one row, with the side of its aggressor."""

    path: Path
    texts: Texts
    us: "Ints"
    exch_us: "Ints"
    row: "Ints"
    number: "Ints"
    is_trade: "Bools"
    whole: "Bools"
    end: "Ints"
    side: "Ints"
    price: "Ints"
    qty: "Ints"

    @classmethod
    def of(cls, records: Records, prints: Prints, messages: "BookMessages", texts: Texts) -> "EventColumns":
        """A trade comes before the message of its own record."""
        records_at = np.concatenate((prints.at, messages.at))
        order = np.argsort(records_at, kind="stable")
        at, is_trade = records_at[order], order < len(prints.at)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        counts = np.concatenate((np.ones(len(prints.at), np.int64), np.diff(messages.end, prepend=0)))
        rows = np.argsort(np.repeat(place, counts), kind="stable")
        side, price, qty = (
            np.concatenate((of_print, messages.changes[:, column]))[rows]
            for column, of_print in enumerate((prints.side, prints.price, prints.qty))
        )
        return cls(
            path=records.path,
            texts=texts,
            us=records.us[at],
            exch_us=records.exch_us[at],
            row=records.row[at],
            number=np.concatenate((prints.number, messages.rows))[order],
            is_trade=is_trade,
            whole=np.concatenate((np.zeros(len(prints.at), bool), messages.whole))[order],
            end=np.cumsum(counts[order]),
            side=side,
            price=price,
            qty=qty,
        )

    def __len__(self) -> int:
        return len(self.us)

    def is_trade_row(self) -> "Bools":
        trades = np.zeros(len(self.side), bool)
        trades[self.end[self.is_trade] - 1] = True
        return trades

    def part(self, begin: int, end: int) -> "EventColumns":
        events = slice(begin, end)
        first = int(self.end[begin - 1]) if begin else 0
        rows = slice(first, int(self.end[end - 1]))
        return EventColumns(
            path=self.path,
            texts=self.texts,
            us=self.us[events],
            exch_us=self.exch_us[events],
            row=self.row[events],
            number=self.number[events],
            is_trade=self.is_trade[events],
            whole=self.whole[events],
            end=self.end[events] - first,
            side=self.side[rows],
            price=self.price[rows],
            qty=self.qty[rows],
        )

    def single(self, at: int) -> TimedEvent:
        begin, end = int(self.end[at - 1]) if at else 0, int(self.end[at])
        number, exch_us = int(self.number[at]), int(self.exch_us[at])
        rows = zip(*(column[begin:end].tolist() for column in (self.side, self.price, self.qty)), strict=True)
        levels = [(side, (self.texts.price(price), self.texts.qty(qty))) for side, price, qty in rows]
        event: FileTrade | WholeBook | LevelChanges
        if self.is_trade[at]:
            side, level = levels[0]
            event = FileTrade(exch_us, *level, side, number or None)
        else:
            bids, asks = ([level for of, level in levels if of == side] for side in (1, -1))
            event = (
                WholeBook(bids, asks, log_rows=number) if self.whole[at] else LevelChanges(exch_us, bids, asks, number)
            )
        return int(self.us[at]), 0, (self.path, int(self.row[at])), event

    def steady(self, last_us: Callable[[], int | None]) -> "Iterator[TimedEvent | EventColumns]":
        """Parts without far times, and the events before and between them one by one."""
        far = np.flatnonzero((np.diff(self.us) < 0) | (np.diff(self.us) > FAR_US)) + 1
        at = 0
        while at < len(self):
            us = last_us()
            if us is None or not 0 <= int(self.us[at]) - us <= FAR_US:
                yield self.single(at)
                at += 1
                continue
            after = far[np.searchsorted(far, at, "right") :]
            upto = int(after[0]) if len(after) else len(self)
            yield self.part(at, upto)
            at = upto


_USUAL = re.compile(r"(0|[1-9]\d{0,10})(?:\.(\d{1,8}))?", re.ASCII)


class _Prices(NamedTuple):
    """Prices that occur, each once: their texts, in 1e-8, and their decimal places."""

    texts: list[str]
    e8: "Ints"
    places: "NDArray[np.int8]"


@dataclass(frozen=True, eq=False, slots=True)
class EventNumbers:
    columns: EventColumns
    prices: _Prices
    price_at: "Ints"
    qty_e8: "Ints"
    stops: "Ints"
    price_step_e8: int
    qty_step_e8: int

    def note(self, book: Grid, printed: Grid) -> None:
        is_print = self.columns.is_trade_row()
        for rows, grid in ((~is_print, book), (is_print, printed)):
            for price in np.unique(self.price_at[rows]).tolist():
                grid.price(self.prices.texts[price])
        book.passed(self.price_step_e8, self.qty_step_e8)

    def price_e8(self, row: int) -> int:
        return int(self.prices.e8[self.price_at[row]])

    def plain_until(self, at: int) -> int:
        next_stop = int(np.searchsorted(self.stops, at))
        return int(self.stops[next_stop]) if next_stop < len(self.stops) else len(self.columns)

    def batch(self, kernel: Any, begin: int, end: int, update_id: int) -> MessageBatch:
        columns = self.columns
        first = int(columns.end[begin - 1]) if begin else 0
        events, rows = slice(begin, end), slice(first, int(columns.end[end - 1]))
        us, is_trade = columns.us[events], columns.is_trade[events]
        exch_us = columns.exch_us[events]
        # An unknown exchange time, or one out of range, counts as the receive time.
        exch_us = np.where((exch_us >= FIRST_US) & (exch_us < LAST_US), exch_us, us)
        trade_at = np.flatnonzero(is_trade)
        trade_id = int(columns.number[begin + trade_at[0]]) if len(trade_at) else 0
        price_at = self.price_at[rows]
        made = kernel.MessageColumns(
            us,
            exch_us,
            is_trade.view(np.int8),
            columns.end[events] - first,
            columns.side[rows].astype(np.int8),
            self.prices.e8[price_at],
            self.prices.places[price_at],
            self.qty_e8[rows],
            update_id,
            trade_id,
        )
        return MessageBatch(made, us, trade_at, update_id, trade_id)


def numbers_of(columns: EventColumns, price_of: Callable[[str], str], qty_e8: Fraction) -> EventNumbers | None:
    """None if a number is missing, or a price is not a plain decimal above 0; *qty_e8* is the source's unit of
    quantity.
    """
    price, price_at = np.unique(columns.price, return_inverse=True)
    prices = _prices(price_of(columns.texts.price(value)) for value in price.tolist())
    most = int(columns.qty.max(initial=0))
    if prices is None or not len(price) or prices.e8.min() < 1 or int(columns.qty.min()) < 0:
        return None
    if most * qty_e8.numerator >= MOST_SHOWN_E8 or (columns.qty % qty_e8.denominator).any():
        return None
    qty = columns.qty // qty_e8.denominator * qty_e8.numerator
    row = columns.end - 1
    stops = columns.whole | (columns.is_trade & ((columns.number == 0) | (columns.side[row] == 0)))
    steps = int(np.gcd.reduce(prices.e8)), int(np.gcd.reduce(qty))
    return EventNumbers(columns, prices, price_at, qty, np.flatnonzero(stops), *steps)


def _prices(texts: Iterable[str]) -> _Prices | None:
    """None if a decimal has more than eight places."""
    known, numbers, places = list(texts), array("q"), array("b")
    for text in known:
        match = _USUAL.fullmatch(text)
        if match is None:
            return None
        whole, after = match[1], match[2] or ""
        value = int(whole + after.ljust(8, "0"))
        if value > MOST_SHOWN_E8:
            return None
        numbers.append(value)
        places.append(len(after))
    return _Prices(known, np.frombuffer(numbers, np.int64), np.frombuffer(places, np.int8))
