"""The market streams: rows of the order log in, events out to whoever asked for them.

No socket and no clock: instants come with the rows, and connections are told through `Subscriber`. What a connection
gets depends on the rows and its phase alone, not on how they were cut into chunks.
"""

import heapq
from collections.abc import Callable, Sequence
from functools import lru_cache

from mm.clock import US_PER_MS
from mm.instrument import Instrument
from mm.market_data.local_orderbook import Level, LocalOrderBook
from mm.sim.exchange.trades import AggregateTrade, TradeAggregator
from mm.sim.matching.order_log import ROW_CANCEL, ROW_LEVEL, ROW_NEW, ROW_TRADE, Row
from mm.sim.wire.beats import Beat, Subscriber
from mm.sim.wire.stream_messages import Message, Texts
from mm.sim.wire.stream_names import Stream

_PRICES = 1 << 16
_BEGINS = (ROW_NEW, ROW_CANCEL)  # rows with which something else begins: the order before trades no more
_Best = tuple[list[Level], list[Level]]


class Feed:
    """Every market stream of one symbol.

    Args:
        instrument: Its grid.
        now_us: The exchange's instant, at which its log begins with an empty book.

    Attributes:
        update_id: Of the last change of the book; 0 before the first.
        now_us: How far the exchange's time has come.
    """

    def __init__(self, instrument: Instrument, now_us: int) -> None:
        self.update_id = 0
        self.now_us = now_us
        self._symbol = instrument.symbol.lower()
        self._texts = Texts(instrument)
        self._book = LocalOrderBook(lru_cache(_PRICES)(instrument.ticks))
        self._agg_trades = TradeAggregator()
        self._live: dict[str, dict[Subscriber, None]] = {"trade": {}, "aggTrade": {}, "bookTicker": {}}
        self._stale: dict[Subscriber, None] = {}
        self._best: _Best = ([], [])
        self._beats: dict[tuple[int, int], Beat] = {}
        self._due: list[tuple[int, tuple[int, int]]] = []

    def subscribe(self, subscriber: Subscriber, stream: Stream) -> None:
        """Send *subscriber* the events of *stream* from now on; streams of other symbols have none."""
        if stream.symbol != self._symbol:
            return
        if stream.kind not in self._live:
            self._beat(subscriber, stream).join(subscriber, stream)
            return
        if stream.kind == "bookTicker":
            self._best = self._book.top(1)
        self._live[stream.kind][subscriber] = None

    def unsubscribe(self, subscriber: Subscriber, stream: Stream) -> None:
        """Send *subscriber* no more of *stream*."""
        if stream.symbol != self._symbol:
            return
        if stream.kind not in self._live:
            for beat in self._beats.values():
                beat.leave(subscriber, stream)
            return
        self._live[stream.kind].pop(subscriber, None)
        if stream.kind == "bookTicker":
            self._stale.pop(subscriber, None)

    def take(self, rows: Sequence[Row]) -> None:
        """Take the next *rows* of the log; they end with the last row of what was done."""
        traded_us = 0
        for row in rows:
            us, kind = row[0], row[1]
            if us != traded_us or kind in _BEGINS:
                self._agg_trade(self._agg_trades.close())
                if self._due and us >= self._due[0][0]:
                    self._strike(us)
            if kind == ROW_LEVEL:
                self._level(row)
            elif kind == ROW_TRADE:
                traded_us = us
                self._trade(row)
        self._agg_trade(self._agg_trades.close())
        self.now_us = max(self.now_us, rows[-1][0]) if rows else self.now_us

    def advance(self, us: int) -> None:
        """Let the time come to *us*: no row before it is to follow."""
        self.now_us = max(self.now_us, us)
        self._strike(us)
        for subscriber in [one for one in self._stale if not one.behind(self._name("bookTicker"))]:
            del self._stale[subscriber]
            subscriber.deliver(self._book_ticker())

    def _level(self, row: Row) -> None:
        _, _, _, _, _, side, ticks, lots, _, update_id = row
        price, qty = self._texts.price(ticks), self._texts.qty(lots)
        self.update_id = update_id
        self._book.apply(side, price, qty)
        if self._beats:
            level = f'["{price}","{qty}"]'
            for beat in self._beats.values():
                beat.add(side, ticks, level, update_id)
        if self._live["bookTicker"]:
            best = self._book.top(1)
            if best != self._best:
                self._best = best
                self._publish_best()

    def _trade(self, row: Row) -> None:
        if self._live["trade"]:
            self._publish("trade", lambda name, micro: self._texts.trade(name, row, micro=micro))
        self._agg_trade(self._agg_trades.trade(row))

    def _agg_trade(self, trade: AggregateTrade | None) -> None:
        if trade and self._live["aggTrade"]:
            self._publish("aggTrade", lambda name, micro: self._texts.agg_trade(name, trade, micro=micro))

    def _publish(self, kind: str, make: Callable[[str, bool], Message]) -> None:
        made: dict[bool, Message] = {}
        for subscriber in tuple(self._live[kind]):
            micro = subscriber.micro
            if micro not in made:
                made[micro] = make(self._name(kind), micro)
            subscriber.deliver(made[micro])

    def _publish_best(self) -> None:
        message, name = self._book_ticker(), self._name("bookTicker")
        for subscriber in tuple(self._live["bookTicker"]):
            if subscriber.behind(name):
                self._stale[subscriber] = None
            else:
                self._stale.pop(subscriber, None)
                subscriber.deliver(message)

    def _book_ticker(self) -> Message:
        return self._texts.book_ticker(self._name("bookTicker"), self.update_id, *self._best)

    def _name(self, kind: str) -> str:
        return f"{self._symbol}@{kind}"

    def _beat(self, subscriber: Subscriber, stream: Stream) -> Beat:
        interval_us = stream.interval_ms * US_PER_MS
        key = interval_us, subscriber.phase_ms * US_PER_MS % interval_us
        if key not in self._beats:
            self._beats[key] = Beat(*key, self.now_us)
            heapq.heappush(self._due, (self._beats[key].due_us, key))
        return self._beats[key]

    def _strike(self, us: int) -> None:
        """Let every beat strike that is due at *us* or before."""
        due = self._due
        while due and due[0][0] <= us:
            beat = self._beats[due[0][1]]
            beat.strike(self._symbol, self._texts, self._book, self.update_id)
            if beat.deserted:
                del self._beats[beat.key]
                heapq.heappop(due)
                continue
            beat.skip_to(us)
            heapq.heapreplace(due, (beat.due_us, beat.key))
