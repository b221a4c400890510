"""The market streams: converts rows of the order log to events for the subscribers; no socket and no clock.

The events of a connection depend only on the rows and its phase, not on how the rows are split. Depth events batch the
level changes of 100 ms or a second, at the connection's phase; connections of equal phase share the batch and its
bytes. For a slow connection batches are merged, since quantities are absolute.
"""

import heapq
from collections.abc import Callable, Sequence
from functools import lru_cache

from mm.clock import US_PER_MS
from mm.instrument import Instrument
from mm.markets.local_orderbook import Level, LocalOrderBook
from mm.sim.exchange.trades import AggregateTrade, TradeAggregator
from mm.sim.matching.order_log import ROW_CANCEL, ROW_LEVEL, ROW_NEW, ROW_TRADE, Row
from mm.sim.wire.stream_messages import Batch, Message, Subscriber, Texts
from mm.sim.wire.stream_requests import SPOT_STREAMS, StreamDialect, StreamName

_PRICES = 1 << 16
_FIRST_ROWS = (ROW_NEW, ROW_CANCEL)  # rows that start a new command, after which the previous order does not trade
_BATCHED = ("depth", "partial")
_Best = tuple[list[Level], list[Level]]


class BatchTimer:
    """All depth and partial depth streams of one interval and phase."""

    def __init__(self, interval_us: int, phase_us: int, now_us: int, speed: str) -> None:
        self.key = interval_us, phase_us
        self._speed = speed
        self.due_us = self._next_due_us(now_us)
        self._first_id = 0
        self._bids: dict[int, str] = {}
        self._asks: dict[int, str] = {}
        self.depth: dict[Subscriber, Batch | None] = {}
        self.partial: dict[tuple[Subscriber, StreamName], int] = {}

    def add(self, side: int, ticks: int, level: str, update_id: int) -> None:
        self._first_id = self._first_id or update_id
        (self._bids if side > 0 else self._asks)[ticks] = level

    def join(self, subscriber: Subscriber, stream: StreamName) -> None:
        if stream.kind == "depth":
            self.depth[subscriber] = None
        else:
            self.partial[subscriber, stream] = -1

    def leave(self, subscriber: Subscriber, stream: StreamName) -> None:
        if stream.kind == "depth" and stream.interval_ms * US_PER_MS == self.key[0]:
            self.depth.pop(subscriber, None)
        self.partial.pop((subscriber, stream), None)

    def emit(self, symbol: str, texts: Texts, book: LocalOrderBook, update_id: int) -> None:
        """*symbol* is lower case, *book* is as of *update_id*."""
        batch = Batch(self._first_id, update_id, self._bids, self._asks) if self._first_id else None
        self._first_id, self._bids, self._asks = 0, {}, {}
        self._send_depth(f"{symbol}@depth{self._speed}", batch, texts)
        self._send_partial(texts, book, update_id)
        self.due_us = self._next_due_us(self.due_us)

    def skip_to(self, us: int) -> None:
        """Skip to the first end of a batch at *us* or later; earlier batches must be empty."""
        self.due_us = max(self.due_us, self._next_due_us(us - 1))

    def _send_depth(self, name: str, batch: Batch | None, texts: Texts) -> None:
        made: dict[bool, Message] = {}
        for subscriber, earlier in list(self.depth.items()):
            pending = earlier.merged(batch) if earlier and batch else earlier or batch
            if pending is None:
                continue
            if subscriber.is_slow(name):
                self.depth[subscriber] = pending
                continue
            self.depth[subscriber] = None
            micro = subscriber.micro
            if pending is not batch:
                subscriber.deliver(texts.depth(name, pending, self.due_us, micro=micro))
                continue
            if micro not in made:
                made[micro] = texts.depth(name, batch, self.due_us, micro=micro)
            subscriber.deliver(made[micro])

    def _send_partial(self, texts: Texts, book: LocalOrderBook, update_id: int) -> None:
        made: dict[StreamName, Message] = {}
        for (subscriber, stream), sent_id in list(self.partial.items()):
            if sent_id == update_id or subscriber.is_slow(stream.name):
                continue
            if stream not in made:
                made[stream] = texts.partial(stream.name, self.due_us, update_id, *book.top(stream.levels))
            self.partial[subscriber, stream] = update_id
            subscriber.deliver(made[stream])

    def _next_due_us(self, us: int) -> int:
        interval_us, phase_us = self.key
        return us + interval_us - (us - phase_us) % interval_us


class StreamFeed:
    """All market streams of one symbol; its log begins at *now_us* with an empty book."""

    def __init__(
        self,
        instrument: Instrument,
        now_us: int,
        texts: Texts | None = None,
        dialect: StreamDialect = SPOT_STREAMS,
    ) -> None:
        self.update_id = 0
        self.now_us = now_us
        self._dialect = dialect
        self._symbol = instrument.symbol.lower()
        self._texts = texts or Texts(instrument)
        self._book = LocalOrderBook(lru_cache(_PRICES)(instrument.ticks))
        self._agg_trades = TradeAggregator()
        self._live: dict[str, dict[Subscriber, None]] = {"trade": {}, "aggTrade": {}, "bookTicker": {}}
        self._names = {kind: f"{self._symbol}@{kind}" for kind in self._live}
        self._stale: dict[Subscriber, None] = {}
        self._best: _Best = ([], [])
        self._changed_us, self._changed = now_us, False
        self._timers: dict[tuple[int, int], BatchTimer] = {}
        self._due: list[tuple[int, tuple[int, int]]] = []

    def subscribe(self, subscriber: Subscriber, stream: StreamName) -> None:
        """Ignore other symbols' streams."""
        if stream.symbol != self._symbol or stream.kind not in (*self._live, *_BATCHED):
            return
        if stream.kind not in self._live:
            interval_us = stream.interval_ms * US_PER_MS
            key = interval_us, subscriber.phase_ms * US_PER_MS % interval_us
            if key not in self._timers:
                self._timers[key] = BatchTimer(*key, self.now_us, self._dialect.speeds[stream.interval_ms])
                heapq.heappush(self._due, (self._timers[key].due_us, key))
            self._timers[key].join(subscriber, stream)
            return
        if stream.kind == "bookTicker":
            self._best = self._book.top(1)
        self._live[stream.kind][subscriber] = None

    def unsubscribe(self, subscriber: Subscriber, stream: StreamName) -> None:
        if stream.symbol != self._symbol:
            return
        if stream.kind not in self._live:
            for timer in self._timers.values():
                timer.leave(subscriber, stream)
            return
        self._live[stream.kind].pop(subscriber, None)
        if stream.kind == "bookTicker":
            self._stale.pop(subscriber, None)

    def end_users(self, subscriber: Subscriber) -> None:
        """A market has no streams of users."""

    def begin_again(self, first_id: int) -> bool:  # noqa: ARG002 - of feeds with ids of their own
        """Count on from *first_id*, if the messages have ids of their own; return whether they have."""
        return False

    def take(self, rows: Sequence[Row]) -> None:
        traded_us = 0
        for row in rows:
            us, kind = row[0], row[1]
            if us != traded_us or kind in _FIRST_ROWS:
                self._end_order()
                if self._due and us >= self._due[0][0]:
                    self._emit_due(us)
            if kind == ROW_LEVEL:
                self._level(row)
            elif kind == ROW_TRADE:
                traded_us = us
                self._trade(row)
        self._end_order()
        self.now_us = max(self.now_us, rows[-1][0]) if rows else self.now_us

    def advance(self, us: int) -> None:
        self.now_us = max(self.now_us, us)
        self._emit_due(us)
        for subscriber in [reader for reader in self._stale if not reader.is_slow(self._names["bookTicker"])]:
            del self._stale[subscriber]
            subscriber.deliver(self._book_ticker())

    def _level(self, row: Row) -> None:
        self._changed_us, _, _, _, _, side, ticks, lots, _, update_id = row
        price, qty = self._texts.price(ticks), self._texts.qty(lots)
        self.update_id, self._changed = update_id, True
        self._book.apply(side, price, qty)
        if self._timers:
            level = f'["{price}","{qty}"]'
            for timer in self._timers.values():
                timer.add(side, ticks, level, update_id)

    def _end_order(self) -> None:
        self._agg_trade(self._agg_trades.close())
        if self._live["bookTicker"] and self._changed:
            self._changed = False
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
                made[micro] = make(self._names[kind], micro)
            subscriber.deliver(made[micro])

    def _publish_best(self) -> None:
        message, name = self._book_ticker(), self._names["bookTicker"]
        for subscriber in tuple(self._live["bookTicker"]):
            if subscriber.is_slow(name):
                self._stale[subscriber] = None
            else:
                self._stale.pop(subscriber, None)
                subscriber.deliver(message)

    def _book_ticker(self) -> Message:
        return self._texts.book_ticker(self._names["bookTicker"], self._changed_us, self.update_id, *self._best)

    def _emit_due(self, us: int) -> None:
        due = self._due
        while due and due[0][0] <= us:
            timer = self._timers[due[0][1]]
            timer.emit(self._symbol, self._texts, self._book, self.update_id)
            if not (timer.depth or timer.partial):
                del self._timers[timer.key]
                heapq.heappop(due)
                continue
            timer.skip_to(us)
            heapq.heapreplace(due, (timer.due_us, timer.key))
