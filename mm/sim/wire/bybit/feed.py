"""Bybit's public topics of one symbol: converts rows of the order log to messages; no socket and no clock.

A book is a window of its best levels. Each message of a topic counts `u` by one, whoever is subscribed; a subscriber
begins with a snapshot of the window as it was last sent. `seq` is the exchange's number of its last change, the same in
all topics: a print has that of the first change which its taker made, so it belongs to the first book message whose
`seq` is not below its own.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from mm.clock import US_PER_MS, US_PER_S
from mm.instrument import Instrument, short_text
from mm.markets.local_orderbook import Level, LocalOrderBook
from mm.sim.exchange.usdm.exchange import MarkTold
from mm.sim.matching.order_log import ROW_CANCEL, ROW_LEVEL, ROW_NEW, ROW_TRADE, Row
from mm.sim.wire.bybit.topic_messages import DELTA, SNAPSHOT, BookPart, TopicMessage, TopicTexts
from mm.sim.wire.bybit.topics import INTERVALS_MS, TICKER_MS, TopicDialect
from mm.sim.wire.feed import StreamFeed
from mm.sim.wire.stream_messages import Subscriber
from mm.sim.wire.stream_requests import StreamName

MOST_PRINTS = 1_024
RECENT = 1_000
_FIRST_U = 15_000_000
_REPEATED_US = 3 * US_PER_S
"""After so long without a change, a book of one level is sent again."""
_PRICES = 1 << 16
_BEST = ("bid1Price", "bid1Size"), ("ask1Price", "ask1Size")
_FIRST_ROWS = (ROW_NEW, ROW_CANCEL)


class BookTopic:
    """One topic of a book: the window that was last sent, and the count of messages.

    Attributes:
        due_us: When the next message is sent if the window changed; None: nothing changed since the last one.
    """

    def __init__(self, symbol: str, levels: int, now_us: int) -> None:
        self.name = f"orderbook.{levels}.{symbol}"
        self.levels = levels
        self.u = _FIRST_U + levels
        self.due_us: int | None = None
        self.subscribers: dict[Subscriber, None] = {}
        self._sides: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self._sent_us = self._matched_us = now_us
        self._seq = 0
        self._begins_again = False

    def changed(self, us: int) -> None:
        if self.due_us is None:
            interval_us = INTERVALS_MS[self.levels] * US_PER_MS
            self.due_us = us - us % interval_us + interval_us

    def begin_again(self, us: int, first_u: int) -> None:
        self.u, self._begins_again = first_u - 1, True
        self.changed(us)

    def emit(self, texts: TopicTexts, book: LocalOrderBook, seq: int, matched_us: int) -> None:
        """Send what changed since the last message, if anything."""
        assert self.due_us is not None
        window = book.top(self.levels)
        bids, asks = (
            _changes(old, dict(new), side) for old, new, side in zip(self._sides, window, (1, -1), strict=True)
        )
        sent_us, self.due_us = self.due_us, None
        if not (self._begins_again or bids or asks):
            return
        self.u += 1
        self._take(window, sent_us, matched_us, seq)
        if self._begins_again:
            self._begins_again = False
            self._send(self.snapshot(texts))
        elif self.subscribers:
            part = BookPart(bids, asks, self.u, seq)
            self._send(texts.book(self.name, DELTA, part, sent_us, matched_us))

    def repeat(self, texts: TopicTexts, us: int) -> None:
        if self.levels == 1 and self.subscribers and us - self._sent_us >= _REPEATED_US:
            self._sent_us = us
            self._send(self.snapshot(texts))

    def snapshot(self, texts: TopicTexts) -> TopicMessage:
        bids, asks = ([*side.items()] for side in self._sides)
        part = BookPart(bids, asks, self.u, self._seq)
        return texts.book(self.name, SNAPSHOT, part, self._sent_us, self._matched_us)

    def _take(self, window: tuple[list[Level], list[Level]], sent_us: int, matched_us: int, seq: int) -> None:
        self._sides = dict(window[0]), dict(window[1])
        self._sent_us, self._matched_us, self._seq = sent_us, matched_us, seq

    def _send(self, message: TopicMessage) -> None:
        for subscriber in tuple(self.subscribers):
            subscriber.deliver(message)


def _changes(old: Mapping[str, str], new: Mapping[str, str], side: int) -> list[Level]:
    """Return the levels that changed, best first; what left the window has the quantity 0."""
    changed = [(price, qty) for price, qty in new.items() if old.get(price) != qty]
    gone = [(price, "0") for price in old if price not in new]
    return sorted(changed + gone, key=lambda level: -side * float(level[0])) if gone else changed


class TopicFeed(StreamFeed):
    """All topics of one symbol; its log begins at *now_us* with an empty book."""

    def __init__(self, instrument: Instrument, now_us: int, dialect: TopicDialect) -> None:
        super().__init__(instrument, now_us, dialect=dialect)
        self.recent: deque[dict[str, Any]] = deque(maxlen=RECENT)
        self.told: MarkTold | None = None
        self._contract = dialect.contract
        self._topic_texts = texts = TopicTexts(instrument, contract=dialect.contract)
        self._name = instrument.symbol
        self._window = LocalOrderBook(lru_cache(_PRICES)(instrument.ticks))
        self.topics = {levels: BookTopic(self._name, levels, now_us) for levels in INTERVALS_MS}
        self._matched_us = now_us
        self._print_topic, self._ticker_topic = f"publicTrade.{self._name}", f"tickers.{self._name}"
        self._prints: dict[Subscriber, None] = {}
        self._tickers: dict[Subscriber, None] = {}
        self._ticked: dict[str, str] = {}
        self._ticker_due_us: int | None = None
        self._taken: list[dict[str, Any]] = []
        self._last_ticks, self._direction = 0, "ZeroPlusTick"
        self._seq = 0  # of the change that the current order makes first
        self._price, self._qty = texts.price, texts.qty

    @property
    def u(self) -> int:
        """Update id of the deepest topic, which REST names."""
        return self.topics[max(self.topics)].u

    @property
    def matched_us(self) -> int:
        return self._matched_us

    def levels(self, limit: int) -> tuple[list[Level], list[Level]]:
        return self._window.top(limit)

    def subscribe(self, subscriber: Subscriber, stream: StreamName) -> None:
        """Ignore other symbols' topics."""
        if stream.symbol != self._name:
            return
        if stream.kind == "publicTrade":
            self._prints[subscriber] = None
        elif stream.kind == "tickers":
            self._tickers[subscriber] = None
            fields = self._ticked or self.ticker()
            self._ticked = fields
            subscriber.deliver(self._ticker(SNAPSHOT, fields, self.now_us))
        elif stream.levels:
            topic = self.topics[stream.levels]
            subscriber.deliver(topic.snapshot(self._topic_texts))
            topic.subscribers[subscriber] = None

    def unsubscribe(self, subscriber: Subscriber, stream: StreamName) -> None:
        if stream.symbol != self._name:
            return
        if stream.kind == "publicTrade":
            self._prints.pop(subscriber, None)
        elif stream.kind == "tickers":
            self._tickers.pop(subscriber, None)
        elif stream.levels:
            self.topics[stream.levels].subscribers.pop(subscriber, None)

    def begin_again(self, first_id: int) -> bool:
        for topic in self.topics.values():
            topic.begin_again(self.now_us, first_id)
        return True

    def take(self, rows: Sequence[Row]) -> None:
        us = 0
        for row in rows:
            if row[0] != us or row[1] in _FIRST_ROWS:
                self._end_order()
                us = row[0]
                self._send_due(us)
                self._seq = self.update_id + 1
            if row[1] == ROW_LEVEL:
                self._level(row)
            elif row[1] == ROW_TRADE and row[2]:
                self._take_print(row)
        self._end_order()
        self.now_us = max(self.now_us, rows[-1][0]) if rows else self.now_us

    def advance(self, us: int) -> None:
        self.now_us = max(self.now_us, us)
        self._send_due(us)
        for topic in self.topics.values():
            topic.repeat(self._topic_texts, us)

    def marked(self, told: MarkTold) -> None:
        self.told = told
        self._ticker_changed(told.us)

    def ticker(self) -> dict[str, str]:
        """Return the fields of a ticker; Spot's have neither best prices nor a mark price."""
        last = self._price(self._last_ticks) if self._last_ticks else ""
        if not self._contract:
            return {"lastPrice": last}
        (bids, asks), fields = self._window.top(1), {"lastPrice": last}
        if told := self.told:
            mark = short_text(told.mark_e8)
            fields |= {
                "markPrice": mark,
                "indexPrice": mark,
                "nextFundingTime": str(told.next_us // US_PER_MS),
                "fundingRate": short_text(told.rate_e8),
            }
        for names, levels in zip(_BEST, (bids, asks), strict=True):
            fields |= dict(zip(names, levels[0] if levels else ("", ""), strict=True))
        return fields

    def _level(self, row: Row) -> None:
        us, _, _, _, _, side, ticks, lots, _, self.update_id = row
        self._matched_us = us
        self._window.apply(side, self._price(ticks), self._qty(lots))
        for topic in self.topics.values():
            topic.changed(us)
        self._ticker_changed(us)

    def _take_print(self, row: Row) -> None:
        ticks = row[6]
        if ticks != self._last_ticks:
            self._direction = "PlusTick" if ticks > self._last_ticks else "MinusTick"
        elif not self._direction.startswith("Zero"):
            self._direction = f"Zero{self._direction}"
        self._last_ticks = ticks
        self._taken.append(self._topic_texts.print(row, self._seq, self._direction))

    def _end_order(self) -> None:
        taken, self._taken = self._taken, []
        self.recent.extend(taken)
        for at in range(0, len(taken), MOST_PRINTS) if self._prints else ():
            rows = taken[at : at + MOST_PRINTS]
            message = self._topic_texts.prints(self._print_topic, rows, rows[0]["T"] * US_PER_MS)
            for subscriber in tuple(self._prints):
                subscriber.deliver(message)

    def _send_due(self, us: int) -> None:
        due = [(topic.due_us, topic.levels) for topic in self.topics.values() if topic.due_us is not None]
        for due_us, levels in sorted(due):
            if due_us <= us:
                self.topics[levels].emit(self._topic_texts, self._window, self.update_id, self._matched_us)
        if self._ticker_due_us is not None and self._ticker_due_us <= us:
            self._send_ticker(self._ticker_due_us)

    def _ticker_changed(self, us: int) -> None:
        if self._ticker_due_us is None:
            self._ticker_due_us = us - us % (TICKER_MS * US_PER_MS) + TICKER_MS * US_PER_MS

    def _send_ticker(self, us: int) -> None:
        self._ticker_due_us = None
        before, self._ticked = self._ticked, self.ticker()
        if self._contract:
            changed = {name for name, value in self._ticked.items() if before.get(name) != value}
            for best in _BEST:  # price and size come together
                changed |= set(best) if changed & set(best) else set()
            fields = {name: value for name, value in self._ticked.items() if name in changed}
        else:
            fields = self._ticked if before != self._ticked else {}
        if fields and self._tickers:
            message = self._ticker(DELTA if self._contract else SNAPSHOT, fields, us)
            for subscriber in tuple(self._tickers):
                subscriber.deliver(message)

    def _ticker(self, kind: str, fields: Mapping[str, str], us: int) -> TopicMessage:
        return self._topic_texts.ticker(self._ticker_topic, kind, fields, self.update_id, us)
