"""Streams that sum up: klines, tickers of a day or a window, mean prices, all symbols' best prices."""

from collections.abc import Callable, Mapping, Sequence

from mm.clock import US_PER_MS
from mm.sim.exchange.accounts import DAY_US
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.klines import HOUR_US, Intervals, Kline, without_trades
from mm.sim.wire.answers import GridTexts, Json
from mm.sim.wire.bars import best_prices, intervals_of, kline_event, statistics
from mm.sim.wire.http_messages import json_bytes
from mm.sim.wire.stream_messages import Message, Subscriber
from mm.sim.wire.stream_requests import StreamName

WINDOWS_US = {
    "ticker": DAY_US,
    "miniTicker": DAY_US,
    "ticker_1h": HOUR_US,
    "ticker_4h": 4 * HOUR_US,
    "ticker_1d": DAY_US,
}
_NAMES = {"ticker": "24hrTicker", "miniTicker": "24hrMiniTicker"}
SUMMARIES = frozenset({*WINDOWS_US, "kline", "continuousKline", "avgPrice", "allBook"})
_LETTERS = {
    "p": "priceChange",
    "P": "priceChangePercent",
    "w": "weightedAvgPrice",
    "c": "lastPrice",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "q": "quoteVolume",
    "F": "firstId",
    "L": "lastId",
    "n": "count",
}
_MINI = "cohlvq"


Make = Callable[[bool], Json]
"""Makes an event, with time stamps in µs or in ms."""


def deliver(name: str, subscribers: tuple[Subscriber, ...], make: Callable[[bool], object]) -> None:
    made: dict[bool, Message] = {}
    for subscriber in subscribers:
        if subscriber.micro not in made:
            made[subscriber.micro] = Message(name, "other", 0, 0, json_bytes(make(subscriber.micro)))
        subscriber.deliver(made[subscriber.micro])


class Arrays:
    """Events of all symbols at one instant, sent as one array."""

    def __init__(self) -> None:
        self.symbols = 0
        self._live: dict[str, dict[Subscriber, None]] = {}
        self._parts: dict[tuple[str, int], list[Make | None]] = {}

    def join(self, subscriber: Subscriber, name: str) -> None:
        self._live.setdefault(name, {})[subscriber] = None

    def leave(self, subscriber: Subscriber, name: str) -> None:
        self._live.get(name, {}).pop(subscriber, None)

    @property
    def names(self) -> list[str]:
        return [name for name, live in self._live.items() if live]

    def add(self, name: str, us: int, make: Make | None) -> None:
        parts = self._parts.setdefault((name, us), [])
        parts.append(make)
        if len(parts) < self.symbols:
            return
        for key in [key for key in self._parts if key[0] == name and key[1] <= us]:
            del self._parts[key]
        makes = [part for part in parts if part]
        if makes:
            deliver(name, tuple(self._live.get(name, ())), lambda micro: [make(micro) for make in makes])


class Summaries:
    def __init__(
        self, exchange: Exchange, texts: Mapping[bool, GridTexts], arrays: Arrays, array_pace_ms: int, *, full: bool
    ) -> None:
        self.now_us = exchange.now_us
        self.arrays = arrays
        arrays.symbols += 1
        self._exchange, self._texts, self._full = exchange, texts, full
        self._symbol = exchange.rules.instrument.symbol
        self._array_us = array_pace_ms * US_PER_MS
        self._arrays_due_us = self._next_due_us(self.now_us, self._array_us)
        self._live: dict[StreamName, dict[Subscriber, None]] = {}
        self._due_us: dict[StreamName, int] = {}
        self._sent: dict[str, tuple[int, ...]] = {}
        self._open_us: dict[StreamName, int] = {}
        exchange.before_trades(self._send_due)

    def subscribe(self, subscriber: Subscriber, stream: StreamName) -> None:
        if stream.kind not in SUMMARIES:
            return
        if not stream.symbol and stream.kind != "allBook":
            self.arrays.join(subscriber, stream.name)
        elif stream.symbol in ("", self._symbol.lower()):
            if not self._live.get(stream):
                self._due_us[stream] = self._next_due_us(self.now_us, stream.interval_ms * US_PER_MS)
                self._sent.pop(stream.name, None)
                if "line" in stream.kind:
                    self._open_us[stream] = _intervals(stream).begin(self.now_us)
            self._live.setdefault(stream, {})[subscriber] = None

    def unsubscribe(self, subscriber: Subscriber, stream: StreamName) -> None:
        self.arrays.leave(subscriber, stream.name)
        self._live.get(stream, {}).pop(subscriber, None)

    def end_users(self, subscriber: Subscriber) -> None: ...

    def advance(self, us: int) -> None:
        self._send_due(us)
        self.now_us = max(self.now_us, us)

    def _send_due(self, us: int) -> None:
        for stream in [stream for stream, live in self._live.items() if live]:
            while (due_us := self._due_us[stream]) <= us:
                self._due_us[stream] = due_us + stream.interval_ms * US_PER_MS
                self._send(stream, due_us)
        while self._arrays_due_us <= us:
            for name in self.arrays.names:
                if (kind := name[1:].partition("@")[0]) not in WINDOWS_US:
                    continue
                bar = self._exchange.tape.rolling(self._arrays_due_us, WINDOWS_US[kind])
                make = self._ticker(kind, self._arrays_due_us) if self._changed(name, bar and bar[1:]) else None
                self.arrays.add(name, self._arrays_due_us, make)
            self._arrays_due_us += self._array_us
        self.now_us = max(self.now_us, us)

    def _send(self, stream: StreamName, us: int) -> None:
        if "line" in stream.kind:
            self._send_klines(stream, us)
        elif stream.kind == "avgPrice":
            self._deliver(stream, self._mean(us))
        elif stream.kind == "allBook":
            best = best_prices(self._exchange)
            if self._changed(stream.name, tuple(best.values())):
                self._deliver(stream, self._best(best, us))
        else:
            bar = self._exchange.tape.rolling(us, WINDOWS_US[stream.kind])
            if self._changed(stream.name, bar and bar[1:]):
                self._deliver(stream, self._ticker(stream.kind, us))

    def _send_klines(self, stream: StreamName, us: int) -> None:
        intervals = _intervals(stream)
        while (end_us := intervals.end(self._open_us[stream])) <= us:
            self._send_kline(stream, self._open_us[stream], end_us, us)
            self._open_us[stream] = end_us
        if us > self._open_us[stream]:
            self._send_kline(stream, self._open_us[stream], end_us, us)

    def _send_kline(self, stream: StreamName, begin_us: int, end_us: int, us: int) -> None:
        tape = self._exchange.tape
        source = tape.seconds if _intervals(stream).name == "1s" else tape.minutes
        bar, closed = source.between(begin_us, end_us), end_us <= us
        if bar is None:
            before = source.close_before(begin_us)
            bar = None if before is None else without_trades(begin_us, before)
        if bar is None or not self._changed(stream.name, (begin_us, bar.last_id, closed)):
            return
        continuous = stream.kind == "continuousKline"
        symbol, made = "" if continuous else self._symbol, Kline(begin_us, end_us, bar)
        head = {"ps": self._symbol, "ct": "PERPETUAL"} if continuous else {"s": self._symbol}
        name, interval = "continuous_kline" if continuous else "kline", _intervals(stream).name

        def make(micro: bool) -> Json:
            texts = self._texts[micro]
            content = kline_event(texts, made, interval, closed=closed, symbol=symbol)
            return {"e": name, "E": texts.stamp(us), **head, "k": content}

        self._deliver(stream, make)

    def _changed(self, name: str, content: tuple[int, ...] | None) -> bool:
        if content is None or self._sent.get(name) == content:
            return False
        self._sent[name] = content
        return True

    def _deliver(self, stream: StreamName, make: Make) -> None:
        deliver(stream.name, tuple(self._live[stream]), make)

    def _ticker(self, kind: str, us: int) -> Make:
        tape, window_us = self._exchange.tape, WINDOWS_US[kind]
        bar, last = tape.rolling(us, window_us), tape.last
        letters = _MINI if kind == "miniTicker" else _LETTERS
        name = _NAMES.get(kind) or f"{kind.partition('_')[2]}Ticker"
        best = best_prices(self._exchange) if self._full and kind == "ticker" else {}
        before = tape.minutes.close_before(bar.us) if bar else None

        def make(micro: bool) -> Json:
            texts = self._texts[micro]
            told = statistics(self._exchange, texts, bar)
            event = {"e": name, "E": texts.stamp(us), "s": self._symbol} | {one: told[_LETTERS[one]] for one in letters}
            if kind == "miniTicker":
                return event
            event |= {"O": texts.stamp(us - window_us), "C": texts.stamp(us)}
            if kind == "ticker":
                event["Q"] = texts.qty(last.lots if last else 0)
            if best:
                event |= {"x": texts.price(before or 0), **dict(zip("bBaA", best.values(), strict=True))}
            return event

        return make

    def _mean(self, us: int) -> Make:
        tape, name = self._exchange.tape, f"{self._exchange.rules.average_mins}m"
        mean, last = tape.average(us), tape.last

        def make(micro: bool) -> Json:
            texts = self._texts[micro]
            head = {"e": "avgPrice", "E": texts.stamp(us), "s": self._symbol, "i": name}
            price = texts.mean_price(*mean) if mean else texts.price(0)
            return head | {"w": price, "T": texts.stamp(last.us) if last else 0}

        return make

    def _best(self, best: Json, us: int) -> Make:
        head = {"e": "bookTicker", "u": self._exchange.update_id, "s": self._symbol}
        content = head | dict(zip("bBaA", best.values(), strict=True))
        return lambda micro: content | {"T": self._texts[micro].stamp(us), "E": self._texts[micro].stamp(us)}

    @staticmethod
    def _next_due_us(us: int, pace_us: int) -> int:
        return us - us % pace_us + pace_us


def _intervals(stream: StreamName) -> Intervals:
    return intervals_of(*stream.detail.partition("@")[::2])


def add_summaries(
    exchange: Exchange, texts: Mapping[bool, GridTexts], peers: Sequence[object], array_pace_ms: int, *, full: bool
) -> Summaries:
    """The *peers* of a server share its arrays."""
    arrays = next((peer.arrays for peer in peers if isinstance(peer, Summaries)), None) or Arrays()
    return Summaries(exchange, texts, arrays, array_pace_ms, full=full)
