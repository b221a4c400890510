"""Order-by-order market data from captures of Bitstamp: order book, trades and order log.

The capture begins without a book and misses a few deletions, so the venue's best levels (``order_book``, every two
seconds) correct the book of orders: a price without an order message for `LAG_US` gets the venue's quantity. An order
marked unknown fills a missing quantity; an excess is taken from unknown orders, then from the oldest.

- A marketable order stays out of the book until it is no longer marketable.
- The print removes the traded quantity from the book, not the order's own message, which arrives some 10 ms before or
  after it; so the new level follows a print, as on other venues.

The order log has REST, TRADE, REDUCE and CANCEL rows, each with the resulting LEVEL (``mm.sim.matching.order_log``);
amounts and prices are in 1e-8 until `write_order_logs`.
"""

from array import array
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from mm.clock import US_PER_S, midnight_us, next_day
from mm.dayfolder.layout import (
    ORDER_COLUMNS,
    ROW_CANCEL,
    ROW_LEVEL,
    ROW_REDUCE,
    ROW_REST,
    ROW_TRADE,
    DayFolder,
)
from mm.errors import BrokenFile
from mm.instrument import decimal_text
from mm.market_data.bitstamp_lines import (
    BOOK,
    CREATED,
    DELETED,
    TRADE,
    OrderMessage,
    TradeOrders,
    book_of,
    matched,
    read_lines,
    with_trades,
)
from mm.market_data.captures import CapturedMessage, FilePlace, refuse_folder
from mm.market_data.grid import Grid
from mm.market_data.stamps import Moved, Steady
from mm.market_data.venue import DepthSnapshot, DepthUpdate, Message, TradePrint

LAG_US = 3_000_000
"""Maximum age of the venue's best levels at arrival, with a margin."""


@dataclass(slots=True)
class RestingOrder:
    """An order of the book; an *unknown* one is shown by the venue's book without a message."""

    number: int
    side: int
    price_e8: int
    left_e8: int
    unknown: bool = False
    rests: bool = False
    waits: int = 0
    ends: bool = False
    since_us: int = 0


class OrderMarket:
    """The book of all orders: converts messages to changed levels and rows of the order log.

    Attributes:
        unmatched: Trades without a matching order; the best prices give their side.
    """

    def __init__(self, symbol: str, grid: Grid) -> None:
        self.symbol, self.grid = symbol, grid
        self.rows, self.ends = array("q"), array("q")
        self.unmatched = self.corrected = self.outdated = 0
        self.bookless = False
        self._levels: dict[int, dict[int, dict[int, RestingOrder]]] = {1: {}, -1: {}}
        self._prices: dict[int, list[int]] = {1: [], -1: []}
        self._orders: dict[int, RestingOrder] = {}  # by the venue's id
        self._held: dict[int, RestingOrder] = {}  # marketable orders, by number
        self._touched: dict[tuple[int, int], int] = {}
        self._changed: set[tuple[int, int]] = set()
        self._last_number = self._update_id = self._message_id = 0
        self._begun = False

    def play(self, lines: Sequence[OrderMessage], fills: dict[int, TradeOrders]) -> Iterator[CapturedMessage]:
        traded = {at for fill in fills.values() for at in fill if at >= 0}
        self.bookless = not self._begun and not any(line.kind == BOOK for line in lines)
        self._begun |= self.bookless
        for at, line in enumerate(lines):
            if line.kind == BOOK:
                self._book(line)
            elif line.kind == TRADE:
                yield CapturedMessage(line.us, self._trade(line, fills[at], lines))
            else:
                self._order(line, waits=at in traded)
            if self.bookless and self._held:
                self._outdate(line.us)
            if self._changed and line.kind != TRADE:
                self._settle(line.us)
            if self._changed and self._begun:
                yield CapturedMessage(line.us, self._message(line.us))

    # Orders

    def _order(self, line: OrderMessage, *, waits: bool) -> None:
        order = self._orders.get(line.id)
        self._touched[line.side, line.price_e8] = line.us
        if line.kind == CREATED:
            self._orders[line.id] = order = self._new(line.side, line.price_e8, line.amount_e8)
            self._place(line.us, order)
        elif order is None:
            return
        elif waits:
            order.waits += 1
            order.ends = line.kind == DELETED
            self._end(line.us, line.id, order)
        elif line.kind == DELETED:
            order.ends = True
            self._end(line.us, line.id, order)
        elif line.amount_e8 < order.left_e8:
            self._take(line.us, order, order.left_e8 - line.amount_e8, ROW_REDUCE)
        elif line.amount_e8 > order.left_e8 and not order.waits:  # larger: it loses its priority, as a new order
            self._remove(line.us, order)
            self._orders[line.id] = order = self._new(line.side, line.price_e8, line.amount_e8)
            self._place(line.us, order)

    def _new(self, side: int, price_e8: int, amount_e8: int) -> RestingOrder:
        self._last_number += 1
        return RestingOrder(self._last_number, side, price_e8, amount_e8)

    def _end(self, us: int, name: int, order: RestingOrder) -> None:
        if order.ends and order.waits <= 0:
            self._remove(us, order)
            self._orders.pop(name, None)

    def _place(self, us: int, order: RestingOrder) -> None:
        if self._crosses(order):
            order.since_us = order.since_us or us
            self._held[order.number] = order
            return
        self._held.pop(order.number, None)
        if order.left_e8 <= 0:
            return
        order.rests = True
        levels = self._levels[order.side]
        if order.price_e8 not in levels:
            levels[order.price_e8] = {}
            insort(self._prices[order.side], order.price_e8)
        levels[order.price_e8][order.number] = order
        self._row(us, ROW_REST, order, order.left_e8)
        self._level_row(us, order)

    def _settle(self, us: int) -> None:
        for order in list(self._held.values()):
            self._place(us, order)

    def _outdate(self, us: int) -> None:
        """Remove orders that a marketable one has not executed for `LAG_US`: the capture missed their deletion."""
        for order in list(self._held.values()):
            if order.since_us > us - LAG_US:
                return  # they are in the order of their arrival
            side = -order.side
            while self._crosses(order):
                stale = self._best(side)
                for other in list(self._levels[side].get(stale, {}).values()) if stale is not None else ():
                    self.outdated += 1
                    self._take(us, other, other.left_e8, ROW_CANCEL)
            self._place(us, order)

    def _crosses(self, order: RestingOrder) -> bool:
        other = self._best(-order.side)
        return other is not None and order.side * (order.price_e8 - other) >= 0

    def _best(self, side: int) -> int | None:
        prices = self._prices[side]
        return prices[-1 if side > 0 else 0] if prices else None

    def _remove(self, us: int, order: RestingOrder) -> None:
        self._take(us, order, order.left_e8, ROW_CANCEL)
        self._held.pop(order.number, None)

    def _take(self, us: int, order: RestingOrder, amount_e8: int, kind: int, trade: tuple[int, int] = (0, 0)) -> None:
        """*trade* is the id of the print and the number of its taker."""
        amount_e8 = min(amount_e8, order.left_e8)
        if amount_e8 <= 0:
            return
        order.left_e8 -= amount_e8
        if not order.rests:
            return
        if kind == ROW_TRADE:
            self.rows.extend((us, kind, trade[1], order.number, 0, -order.side, order.price_e8, amount_e8, trade[0], 0))
        else:
            whole = kind == ROW_CANCEL or not order.left_e8
            self._row(us, ROW_CANCEL if whole else kind, order, amount_e8 if whole else order.left_e8)
        if not order.left_e8:
            level = self._levels[order.side][order.price_e8]
            del level[order.number]
            order.rests = False
            if not level:
                del self._levels[order.side][order.price_e8]
                prices = self._prices[order.side]
                del prices[bisect_left(prices, order.price_e8)]
        self._level_row(us, order)

    # Trades

    def _trade(self, line: OrderMessage, fill: TradeOrders, lines: Sequence[OrderMessage]) -> Message:
        taker = self._orders.get(lines[fill.taker].id) if fill.taker >= 0 else None
        maker = self._orders.get(lines[fill.maker].id) if fill.maker >= 0 else None
        side = lines[fill.taker].side if fill.taker >= 0 else self._side(line.price_e8)
        self.unmatched += fill.taker < 0 and fill.maker < 0
        self._touched[-side, line.price_e8] = self._touched[side, line.price_e8] = line.us
        resting = maker if maker is not None else self._oldest(-side, line.price_e8)
        if resting is None and self._begun:  # it existed, but no message had reported it
            resting = self._new(-side, line.price_e8, line.amount_e8)
            self._place(line.us, resting)
        if resting is not None:
            self._take(
                line.us, resting, line.amount_e8, ROW_TRADE, (line.id, taker.number if taker else self._last_number)
            )
        if taker is not None:
            self._take(line.us, taker, line.amount_e8, ROW_REDUCE)
        for at, order in ((fill.maker, maker), (fill.taker, taker)):
            if order is not None:
                order.waits -= 1
                self._end(line.us, lines[at].id, order)
        self._settle(line.us)
        ms, price, qty = line.us // 1000, decimal_text(line.price_e8), decimal_text(line.amount_e8)
        return TradePrint(E=ms, s=self.symbol, t=line.id, p=price, q=qty, T=ms, m=side < 0)

    def _oldest(self, side: int, price_e8: int) -> RestingOrder | None:
        return next(iter(self._levels[side].get(price_e8, {}).values()), None)

    def _side(self, price_e8: int) -> int:
        bid, ask = self._best(1), self._best(-1)
        return 1 if bid is None or (ask is not None and 2 * price_e8 >= bid + ask) else -1

    # The venue's own book

    def _book(self, line: OrderMessage) -> None:
        venue_book = book_of(line)
        for side, levels in ((1, venue_book.bids), (-1, venue_book.asks)):
            target = {self.grid.price(price): self.grid.qty(qty) for price, qty in levels}
            if not target:
                continue
            last = min(target) if side > 0 else max(target)
            known = [price for price in self._prices[side] if side * (price - last) >= 0]
            for price_e8 in sorted({*target, *known}, reverse=side > 0):
                if self._touched.get((side, price_e8), 0) <= line.us - LAG_US:
                    self._correct(line.us, side, price_e8, target.get(price_e8, 0))
        self._begun = True
        for order in list(self._held.values()):  # it has traded by now, or its counterparty is gone
            if self._touched.get((order.side, order.price_e8), 0) <= line.us - LAG_US and self._crosses(order):
                del self._held[order.number]

    def _correct(self, us: int, side: int, price_e8: int, wanted_e8: int) -> None:
        orders = self._levels[side].get(price_e8, {})
        surplus = sum(order.left_e8 for order in orders.values()) - wanted_e8
        self.corrected += self._begun and surplus != 0
        if surplus < 0:
            order = RestingOrder(self._last_number + 1, side, price_e8, -surplus, unknown=True)
            if not self._crosses(order):
                self._last_number += 1
                self._place(us, order)
            return
        for order in sorted(orders.values(), key=lambda resting: (not resting.unknown, resting.number)):
            removed_e8 = min(surplus, order.left_e8)
            self._take(us, order, removed_e8, ROW_REDUCE)
            surplus -= removed_e8

    # Output

    def _row(self, us: int, kind: int, order: RestingOrder, amount_e8: int) -> None:
        self.rows.extend((us, kind, order.number, 0, 0, order.side, order.price_e8, amount_e8, 0, 0))

    def _level_row(self, us: int, order: RestingOrder) -> None:
        self._update_id += 1
        self._changed.add((order.side, order.price_e8))
        total = self._total(order.side, order.price_e8)
        self.rows.extend((us, ROW_LEVEL, order.number, 0, 0, order.side, order.price_e8, total, 0, self._update_id))

    def _total(self, side: int, price_e8: int) -> int:
        return sum(order.left_e8 for order in self._levels[side].get(price_e8, {}).values())

    def _message(self, us: int) -> Message:
        self._message_id += 1
        self.ends.append(len(self.rows))
        changed, self._changed = self._changed, set()
        sides: dict[int, list[tuple[str, str]]] = {1: [], -1: []}
        for side, price_e8 in sorted(changed):
            sides[side].append((decimal_text(price_e8), decimal_text(self._total(side, price_e8))))
        number = self._message_id
        if number == 1:
            return DepthSnapshot(lastUpdateId=number, bids=sides[1], asks=sides[-1], symbol=self.symbol)
        return DepthUpdate(E=us // 1000, s=self.symbol, U=number, u=number, b=sides[1], a=sides[-1])


class BitstampCapture:
    """The messages of one capture; *market* is its book, which continues from capture to capture."""

    def __init__(self, path: Path, market: OrderMarket, progress: Callable[[int], None]) -> None:
        self.lines = FilePlace(path)
        self.symbols = self.lines.symbols
        self.market, self._progress = market, progress
        self.told: Sequence[str] = ()
        self._far = Moved()
        refuse_folder(path)
        if not path.is_file():
            raise BrokenFile(f"{path}: there is no such file; give the path of a capture")

    def __iter__(self) -> Iterator[CapturedMessage]:
        read = list(read_lines(self.lines.path, self.market.grid, self._progress))
        self.lines.number = len(read)
        lines = with_trades(list(Steady(read, attrgetter("us"), self._far_line)))
        self.symbols[self.market.symbol] = len(lines)  # no message has one, so the requested one is accepted
        yield from self.market.play(lines, matched(lines))

    @property
    def warnings(self) -> list[str]:
        return self._far.far()

    @property
    def line(self) -> int:
        return self.lines.number

    def where(self) -> str:
        return self.lines.path.name

    def write_order_logs(self, folders: Sequence[DayFolder], zone: str, tick_e8: int, lot_e8: int) -> Sequence[str]:
        from mm.dayfolder.order_log import (  # a recorder's machine has no numpy
            Steps,
            fifo_of,
            fifo_text,
            is_fifo,
            write_order_log,
        )

        market = self.market
        log = DayRows(market, Steps(tick_e8, lot_e8))
        for folder in folders:
            until = log.until(midnight_us(next_day(folder.day), zone))
            write_order_log(folder.order_log_columns, until, steps=Steps(tick_e8, lot_e8))
        queues = [fifo_of(folder.order_log_columns) for folder in folders]
        consistency = sum(executed for executed, _ in queues), sum(first for _, first in queues)
        fifo = [text] if (text := fifo_text(*consistency)) else []
        if market.bookless:
            said = (
                f"the capture has no book of the venue: the book follows from its orders, without earlier ones; "
                f"{market.outdated:,} orders were removed that a marketable order did not execute for "
                f"{LAG_US // US_PER_S} s, as their deletion is missing"
            )
        else:
            said = (
                f"{market.corrected:,} levels were corrected by the venue's own book; {market.unmatched:,} trades "
                f"matched no order of the capture; the venue skips some trade ids, so a trade gap in the ledger is not "
                f"necessarily a loss, and excludes no time"
            )
        if is_fifo(*consistency):
            self.told = fifo
            return [said]
        return [said, *fifo]

    def _far_line(self, line: OrderMessage, us: int, _first_us: int) -> OrderMessage | None:
        self._far.note(f"{self.lines.path.name}:{line.number}", line.us, us)
        return None if line.kind == TRADE else line._replace(us=us)


class DayRows:
    """Splits rows by day; every day begins with the resting orders."""

    def __init__(self, market: OrderMarket, steps: tuple[int, int]) -> None:
        self._rows, self._at, self._steps = market.rows, 0, steps
        self._ends, self._message = market.ends, 0
        self._resting: dict[int, tuple[int, int, int]] = {}  # number: side, ticks, lots; in the order of arrival

    def until(self, us: int) -> Iterator[tuple[int, ...]]:
        width, (tick_e8, lot_e8) = len(ORDER_COLUMNS), self._steps
        first_us = self._rows[self._at] if self._at < len(self._rows) else 0
        totals: Counter[tuple[int, int]] = Counter()
        for number, (side, ticks, lots) in self._resting.items():
            totals[side, ticks] += lots
            yield first_us, ROW_REST, number, 0, 0, side, ticks, lots, 0, 0
            yield first_us, ROW_LEVEL, number, 0, 0, side, ticks, totals[side, ticks], 0, self._message + 1
        while self._at < len(self._rows) and self._rows[self._at] < us:
            at_us, kind, number, other, account, side, price_e8, amount_e8, trade, _ = self._rows[
                self._at : self._at + width
            ]
            self._at += width
            ticks, lots = price_e8 // tick_e8, amount_e8 // lot_e8
            self._note(kind, number, other, side, ticks, lots)
            while self._message < len(self._ends) and self._ends[self._message] < self._at:
                self._message += 1
            yield (
                at_us,
                kind,
                number,
                other,
                account,
                side,
                ticks,
                lots,
                trade,
                (self._message + 1 if kind == ROW_LEVEL else 0),
            )

    def _note(self, kind: int, number: int, other: int, side: int, ticks: int, lots: int) -> None:
        if kind == ROW_REST:
            self._resting[number] = side, ticks, lots
        elif kind == ROW_REDUCE:
            self._resting[number] = (*self._resting[number][:2], lots)
        elif kind in (ROW_CANCEL, ROW_TRADE):
            gone = other if kind == ROW_TRADE else number
            left = self._resting[gone][2] - lots
            self._resting[gone] = (*self._resting[gone][:2], left)
            if not left:
                del self._resting[gone]
