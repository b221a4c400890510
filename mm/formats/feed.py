"""Converts third-party events to messages: levels, whole books, trades, gaps."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from mm.clock import FIRST_US, LAST_US, US_PER_S, iso
from mm.errors import OffGrid, Sentence
from mm.formats.event_columns import EventColumns, EventNumbers, numbers_of
from mm.formats.events import (
    BookEdits,
    BytesRead,
    FileEvent,
    FileTrade,
    LevelChanges,
    RowPlace,
    TimedEvent,
    WholeBook,
)
from mm.market_data.captures import BookLoss, CapturedMessage, FilePlace, Remark
from mm.market_data.message_batch import MessageBatch
from mm.market_data.partial_books import difference
from mm.market_data.stamps import FAR_US, Moved, Steady
from mm.markets import local_orderbook
from mm.markets.grid import Grid, rounded_qty
from mm.markets.local_orderbook import Level, LocalOrderBook
from mm.markets.messages import AggTrade, DepthSnapshot, DepthUpdate, TradePrint

if TYPE_CHECKING:
    from mm.dayfolder.layout import DayFolder
    from mm.formats.orders import OrderRecords

DAY_US = 86_400 * US_PER_S
MOST_PLACES = 8
_ONE = Decimal(1)
UTC = "UTC"
Sides = dict[int, dict[int, Level]]
"""Levels by side (+1 bid, -1 ask) and price in 1e-8."""
FileMessage = DepthUpdate | DepthSnapshot | TradePrint | AggTrade | BookLoss | Remark


class FileReader:
    """Base of file readers; they yield receive times (µs) and events.

    Attributes:
        grows: Whether the book builds from changes without a first whole book.
        exchange_times: Whether times are only the exchange's, raised where they step back.
        counted: Whether quantities may be contracts of known size.
    """

    grows = False
    exchange_times = False
    counted = False
    price_scale = 1
    scales = False

    def __init__(self, paths: Sequence[Path], symbol: str, moved: BytesRead = lambda _: None) -> None:
        self.place = FilePlace(paths[0])
        self.notes: list[str] = []
        self._at = FilePlace(paths[0], symbols=self.place.symbols)  # the row that is being read
        self._paths, self._symbol = paths, symbol
        self._moved, self._read = moved, dict[Path, int]()
        self._far, self._raised = Moved(), Moved()
        self.orders: OrderRecords | None = None

    @property
    def told(self) -> Sequence[str]:
        return ()

    def __iter__(self) -> Iterator[tuple[int, FileEvent | EventColumns]]:
        for recv_us, _, place, event in self._merged():
            self.place.path, self.place.number = place
            yield recv_us, event
        self.notes += [*self._far.far(), *self._raised.raised()]

    def _merged(self) -> "Iterable[tuple[int, int, RowPlace, FileEvent | EventColumns]]":
        streams = self._streams()
        if len(streams) == 1 and not self.exchange_times:
            return self._steady(streams[0])
        single = [Steady(_singly(stream), itemgetter(0), self._far_row) for stream in streams]
        never_back = [self._never_back(stream) if self.exchange_times else stream for stream in single]
        return merge(*never_back, key=itemgetter(0, 1)) if len(streams) > 1 else never_back[0]

    def _streams(self) -> "Sequence[Iterable[TimedEvent | EventColumns]]":
        """Streams are merged by time and rank; each is in order."""
        raise NotImplementedError

    def _steady(
        self, stream: "Iterable[TimedEvent | EventColumns]"
    ) -> "Iterator[tuple[int, int, RowPlace, FileEvent | EventColumns]]":
        """As columns only where no time is far from those around it."""
        whole: EventColumns | None = None

        def rows() -> Iterator[TimedEvent]:
            nonlocal whole
            for events in stream:
                for part in events.steady(lambda: steady.last_us) if isinstance(events, EventColumns) else (events,):
                    if isinstance(part, EventColumns):
                        whole = part
                        yield part.single(0)
                    else:
                        yield part

        steady = Steady(rows(), itemgetter(0), self._far_row)
        for timed in steady:
            if whole is None:
                yield timed
            else:
                part, whole = whole, None
                steady.passed(int(part.us[-1]))
                yield *timed[:3], part

    def _progress(self, path: Path) -> BytesRead:
        def moved(done: int) -> None:
            self._read[path] = done
            self._moved(sum(self._read.values()))

        return moved

    def _far_row(self, timed: TimedEvent, us: int, first_us: int) -> TimedEvent | None:
        own_us, rank, place, event = timed
        if not isinstance(event, FileTrade) and first_us <= own_us < us:
            return timed
        self._far.note(_where(place), own_us, us)
        if isinstance(event, FileTrade):
            return None
        if isinstance(event, (LevelChanges, WholeBook, BookEdits)) and abs(event.exch_us - own_us) <= FAR_US:
            event = event._replace(exch_us=0)
        return us, rank, place, event

    def _never_back(self, stream: Iterable[TimedEvent]) -> Iterator[TimedEvent]:
        last_us = 0
        for us, rank, place, event in stream:
            if last_us - us > FAR_US:
                self._raised.note(_where(place), us, last_us)
            last_us = max(last_us, us)
            yield last_us, rank, place, event


def _singly(stream: "Iterable[TimedEvent | EventColumns]") -> Iterator[TimedEvent]:
    for events in stream:
        if isinstance(events, EventColumns):
            yield from map(events.single, range(len(events)))
        else:
            yield events


def _where(place: RowPlace) -> str:
    return f"{place[0].name}:{place[1]}"


class FileCapture:
    """Iterate over the messages of a reader, with the interface of `mm.market_data.captures.Capture`.

    Args:
        contract_size: Base asset of one contract, if quantities count contracts.
        price_scale: Power of ten that multiplies prices and divides quantities.

    Raises:
        BrokenFile: If an instant is out of order or outside the years 2009 to 2099, or a number is invalid.
    """

    def __init__(
        self,
        reader: FileReader,
        symbol: str,
        grid: Grid,
        contract_size: Decimal | None = None,
        price_scale: Decimal = _ONE,
    ) -> None:
        self.reader = reader
        self.reader.price_scale = int(price_scale)
        self._symbol, self._grid, self._contract_size = symbol, grid, contract_size
        self._scale = price_scale
        if price_scale != 1:
            self._contract_size = (contract_size or 1) / price_scale
        if reader.orders:
            reader.orders.grid = grid
        if reader.orders and self._contract_size is not None:
            reader.orders.multiply(1 if reader.scales else reader.price_scale, self._contract_size)
        self._printed = Grid()  # hidden orders may trade off the grid of the book, so prints do not determine its tick
        self._book = self._new_book((), ())
        self._begun = self._valid = self._crossed = False
        self._only_books = True  # whether the source has sent no changes, but only whole books
        self._update_id, self._trade_id = 1, 0
        self._last_us = 0
        self._last_e8 = self._last_side = 0
        self._grown = self._guessed = self._empty = self._rounded = 0

    @property
    def lines(self) -> FilePlace:
        return self.reader.place

    @property
    def symbols(self) -> Counter[str]:
        return self.reader.place.symbols

    @property
    def told(self) -> Sequence[str]:
        told = [*self.reader.told, *(self.reader.orders.told() if self.reader.orders else ())]
        if self._scale != 1:
            told.append(f"prices are times {self._scale:,}, quantities are in units of {self._scale:,}")
        return told

    @property
    def warnings(self) -> list[str]:
        warnings = list(self.reader.notes)
        if self.reader.orders:
            warnings += self.reader.orders.notes()
        if self._grown:
            warnings.append(
                "the files have no initial snapshot: the book is built from changes, without earlier orders"
            )
        if self._empty:
            warnings.append(f"{self._empty:,} trades without a quantity were no executions; they were left out")
        if self._rounded:
            warnings.append(
                f"{self._rounded:,} quantities have more than eight places; they were rounded to 0.00000001, and those "
                f"that are then 0 count as none"
            )
        if self._guessed:
            warnings.append(
                f"{self._guessed:,} trades have no side; it was inferred from the book and the previous trade"
            )
        return warnings

    def write_order_logs(self, folders: "Sequence[DayFolder]", zone: str, tick_e8: int, lot_e8: int) -> list[str]:
        return self.reader.orders.write(folders, zone, tick_e8, lot_e8) if self.reader.orders else []

    @property
    def line(self) -> int:
        return self.reader.place.number

    def where(self) -> str:
        return _where((self.reader.place.path, self.line))

    def __iter__(self) -> Iterator[CapturedMessage]:
        for recv_us, event in self.reader:
            if isinstance(event, EventColumns):
                yield from self._in_columns(event)
            else:
                yield from self._one(recv_us, event)

    def _in_columns(self, events: EventColumns) -> Iterator[CapturedMessage]:
        """Batches as long as somebody takes their messages, else one by one."""
        numbers, at = self._numbers_of(events), 0
        while at < len(events):
            batch = self._batch(numbers, at) if numbers is not None else None
            if batch is not None and numbers is not None:
                self.reader.place.number = int(events.row[at])
                yield CapturedMessage(int(events.us[at]), batch)
                if batch.columns.at:
                    self._took(batch, numbers, at)
                    at += batch.columns.at
                    continue
            recv_us, _, place, event = events.single(at)
            self.reader.place.path, self.reader.place.number = place
            yield from self._one(recv_us, event)
            at += 1

    def _numbers_of(self, events: EventColumns) -> EventNumbers | None:
        price_of = self._in_units if self._contract_size is not None else str
        numbers = numbers_of(events, price_of, self.reader.orders.qty_e8) if self.reader.orders else None
        if numbers is None or not FIRST_US <= events.us[0] <= events.us[-1] < LAST_US:
            return None
        if self._grid.off or not self._grid.keeps(numbers.price_step_e8, numbers.qty_step_e8):
            return None
        numbers.note(self._grid, self._printed)
        return numbers

    def _batch(self, numbers: EventNumbers, at: int) -> MessageBatch | None:
        upto, us = numbers.plain_until(at), int(numbers.columns.us[at])
        if not self._valid or not self._begun or self._crossed or upto == at or not self._book.takes_columns:
            return None
        if us < self._last_us or us // DAY_US > self._last_us // DAY_US + 1:
            return None
        return numbers.batch(local_orderbook.kernel, at, upto, self._update_id + 1)

    def _took(self, batch: MessageBatch, numbers: EventNumbers, at: int) -> None:
        events, columns, end = numbers.columns, batch.columns, at + batch.columns.at
        part = slice(at, end)
        if columns.diffs:
            self._only_books = False
            self._update_id += columns.diffs
            columns.change(*self._book.compiled or ())
            if self.reader.orders:
                self.reader.orders.all_carried(events.number[part][~events.is_trade[part]], batch.update_id)
        if columns.trades:
            last = events.end[part][events.is_trade[part]][-1] - 1
            self._trade_id = batch.trade_id + columns.trades - 1
            self._last_e8, self._last_side = numbers.price_e8(last), int(events.side[last])
        self._last_us = int(events.us[end - 1])
        self.reader.place.number = int(events.row[end - 1])

    def _one(self, recv_us: int, event: FileEvent) -> Iterator[CapturedMessage]:
        self._check_time(recv_us)
        if self._contract_size is not None:  # once, as a whole book is also read as changes
            event = _with_numbers(event, self._in_units, self._qty)
        try:
            numbers = []
            for message in self._taken(recv_us, event):
                if isinstance(message, DepthUpdate):
                    numbers.append(message.u)
                elif isinstance(message, DepthSnapshot):
                    numbers.append(message.lastUpdateId)
                elif isinstance(message, BookLoss) and self.reader.orders:
                    self.reader.orders.lost(unseen=message.unseen)
                yield CapturedMessage(recv_us, message)
            if self.reader.orders and isinstance(event, (LevelChanges, WholeBook)) and event.log_rows:
                self.reader.orders.carried(event.log_rows, numbers[0] if numbers else self._update_id)
                if numbers:
                    self.reader.orders.has_again()
        except OffGrid as error:
            way_out = finer_way_out(_most_places(event)) or "correct the row, or leave the file out"
            raise self.reader.place.broken(f"price or quantity: {error}", way_out) from error

    def _in_units(self, price: str) -> str:
        return price if self.reader.scales else _times(price, self._scale)

    def _check_time(self, recv_us: int) -> None:
        place = self.reader.place
        if not FIRST_US <= recv_us < LAST_US:
            raise place.broken(
                f"the instant {recv_us} µs is outside the years 2009 to 2099", "give files of this form and unit"
            )
        if recv_us < self._last_us:
            raise place.broken(
                f"{iso(recv_us)} comes after {iso(self._last_us)}",
                "sort the rows by their receive time, and give the files in the order of their recording",
            )
        if self._begun and recv_us // DAY_US > self._last_us // DAY_US + 1:  # a day is missing: the import restarts
            self._void()
        self._last_us = recv_us

    def _taken(self, recv_us: int, event: FileEvent) -> Iterator[FileMessage]:
        if isinstance(event, LevelChanges):
            if self._begun or not self.reader.grows:
                self._only_books = False
                yield from self._change(_stamp(event.exch_us, recv_us), event.bids, event.asks)
            else:
                self._grown += 1
                yield from self._renew(recv_us, WholeBook(event.bids, event.asks))
        elif isinstance(event, FileTrade):
            yield from self._trade(recv_us, event)
        elif isinstance(event, WholeBook):
            yield from self._renew(recv_us, event)
        elif isinstance(event, BookEdits):
            yield from self._edit(recv_us, event)
        elif isinstance(event, BookLoss):
            self._void()
            self._update_id += 1  # the next book is not the one of the last message
            yield event
        else:
            yield event

    def _change(
        self, exch_us: int, bids: Sequence[Level], asks: Sequence[Level]
    ) -> Iterator[DepthUpdate | DepthSnapshot]:
        """If the changes uncross the book, a snapshot follows."""
        bids, asks = self._checked(bids), self._checked(asks)
        crossed = self._book.change(bids, asks)
        self._update_id += 1
        yield DepthUpdate(exch_us, self._symbol, self._update_id, self._update_id, bids, asks)
        if self._crossed and not crossed:
            yield self._snapshot()
        self._crossed = self._begun and crossed
        self._valid = self._begun and not crossed

    def _renew(self, recv_us: int, event: WholeBook) -> Iterator[BookLoss | DepthSnapshot | DepthUpdate]:
        """A difference from the tracked book means that changes were lost."""
        fresh = self._new_book(*(levels_above_zero(self._checked(side)) for side in (event.bids, event.asks)))
        if not any(fresh.levels()):
            yield from self._lose("cleared")
            return
        if self._begun and self._only_books:
            before, after = self._sides(), self._sides(fresh)
            changed = [difference(before[side], after[side]) for side in (1, -1)]
            yield from self._change(_stamp(event.exch_us, recv_us), *changed)
            return
        if self._valid:
            if fresh.levels() == self._book.levels():
                return
            yield from self._lose("other_snapshot")
        self._book, self._begun = fresh, True
        self._crossed = fresh.crossed()
        self._valid = not self._crossed
        if self._valid:
            yield self._snapshot()
            self._update_id += 1  # a message without levels, so that the day has a frame of the book
            yield DepthUpdate(recv_us, self._symbol, self._update_id, self._update_id, (), ())

    def _edit(self, recv_us: int, event: BookEdits) -> Iterator[BookLoss | DepthUpdate | DepthSnapshot]:
        before = self._sides() if self._begun else {1: {}, -1: {}}
        after = {side: dict(levels) for side, levels in before.items()}
        for side, price, qty in event.steps:
            if qty is None:
                _clear(after, side, None if price is None else self._grid.price(price))
            elif price is not None:
                ((_, shown),) = self._checked([(price, qty)])
                after[side][self._grid.price(price)] = (price, shown)
        for levels in after.values():
            for price_e8 in [key for key, (_, qty) in levels.items() if not self._grid.qty(qty)]:
                del levels[price_e8]
        if not after[1] and not after[-1]:
            yield from self._lose("cleared")
        elif event.snapshot or not self._begun:
            self._grown += not event.snapshot
            whole = WholeBook(list(after[1].values()), list(after[-1].values()), event.exch_us)
            yield from self._renew(recv_us, whole)
        else:
            self._only_books = False
            changed = [difference(before[side], after[side]) for side in (1, -1)]
            yield from self._change(_stamp(event.exch_us, recv_us), *changed)

    def _lose(self, cause: str) -> Iterator[BookLoss]:
        was_valid = self._valid
        self._void()
        self._update_id += 1
        if was_valid:
            yield BookLoss(cause, unseen=True)

    def _checked(self, levels: Sequence[Level]) -> Sequence[Level]:
        try:
            self._grid.check(levels)
        except OffGrid:
            levels = [(price, self._rounded_qty(qty)) for price, qty in levels]
            self._grid.check(levels)
        return levels

    def _qty(self, text: str) -> str:
        return self._rounded_qty(text, self._contract_size)

    def _rounded_qty(self, text: str, times: Decimal | None = None) -> str:
        qty, exact = rounded_qty(text, times)
        self._rounded += not exact
        return qty

    def _trade(self, recv_us: int, event: FileTrade) -> Iterator[TradePrint | AggTrade]:
        price, side, kind = event.price, event.side, None
        qty = self._rounded_qty(event.qty)
        if self._printed.qty(qty):
            self._printed.check_one(price, qty)
            price_e8 = self._printed.price(price)
            self._grid.passed(price_e8, self._printed.qty(qty))
            if side == 0:
                self._guessed += 1
                side = self._likely_side(price_e8)
                if self.reader.orders and event.trade_id is not None:
                    self.reader.orders.sides[event.trade_id] = side
            self._last_e8, self._last_side = price_e8, side
            self._trade_id = self._trade_id + 1 if event.trade_id is None else event.trade_id
        else:
            self._empty += 1
            kind = "NA"
            if event.trade_id is None:
                return
        number = self._trade_id if event.trade_id is None else event.trade_id
        at_us = _stamp(event.exch_us, recv_us)
        if event.span is not None:
            yield AggTrade(at_us, self._symbol, number, price, qty, *event.span, at_us, side < 0)
        else:
            yield TradePrint(at_us, self._symbol, number, price, qty, at_us, side < 0, X=kind)

    def _likely_side(self, price_e8: int) -> int:
        bid, ask = self._book.best() if self._valid else (None, None)
        beyond = 2 * price_e8 - (bid + ask) if bid is not None and ask is not None else 0
        beyond = beyond or (price_e8 - self._last_e8 if self._last_e8 else 0)
        return self._last_side or 1 if beyond == 0 else 1 if beyond > 0 else -1

    def _snapshot(self) -> DepthSnapshot:
        bids, asks = self._book.levels()
        return DepthSnapshot(self._update_id, bids, asks, symbol=self._symbol)

    def _sides(self, book: LocalOrderBook | None = None) -> Sides:
        pairs = zip((1, -1), (book or self._book).levels(), strict=True)
        return {side: {self._grid.price(price): (price, qty) for price, qty in levels} for side, levels in pairs}

    def _new_book(self, bids: Sequence[Level], asks: Sequence[Level]) -> LocalOrderBook:
        return LocalOrderBook.of(bids, asks, self._grid.price, in_e8=True)

    def _void(self) -> None:
        self._book = self._new_book((), ())
        self._begun = self._valid = self._crossed = False


def _with_numbers(event: FileEvent, price_of: Callable[[str], str], qty_of: Callable[[str], str]) -> FileEvent:
    if isinstance(event, FileTrade):
        return event._replace(price=price_of(event.price), qty=qty_of(event.qty))
    if isinstance(event, (LevelChanges, WholeBook)):
        bids, asks = ([(price_of(price), qty_of(qty)) for price, qty in side] for side in (event.bids, event.asks))
        return event._replace(bids=bids, asks=asks)
    if isinstance(event, BookEdits):
        steps = [(side, price and price_of(price), qty and qty_of(qty)) for side, price, qty in event.steps]
        return event._replace(steps=steps)
    return event


@lru_cache(maxsize=1 << 16)
def _times(price: str, scale: Decimal) -> str:
    try:
        return f"{Decimal(price) * scale:f}"
    except InvalidOperation:
        return price


def _most_places(event: FileEvent) -> int:
    most = 0

    def noted(price: str) -> str:
        nonlocal most
        whole, _, places = price.partition(".")
        if whole.isdecimal() and places.isdecimal():
            most = max(most, len(places.rstrip("0")))
        return price

    _with_numbers(event, noted, str)
    return most


def finer_way_out(places: int) -> str:
    if places <= MOST_PLACES:
        return ""
    scale = 1000 ** -((MOST_PLACES - places) // 3)
    return str(Sentence("give {price_scale} {}: prices are multiplied and quantities divided by it", scale))


def _stamp(exch_us: int, recv_us: int) -> int:
    return exch_us if FIRST_US <= exch_us < LAST_US else recv_us


def levels_above_zero(levels: Sequence[Level]) -> Sequence[Level]:
    return [level for level in levels if level[1].strip("0.")]


def _clear(sides: Sides, side: int, upto_e8: int | None) -> None:
    for cleared in (1, -1) if side == 0 else (side,):
        sides[cleared] = {
            key: level
            for key, level in sides[cleared].items()
            if upto_e8 is not None and side and cleared * (key - upto_e8) < 0
        }
