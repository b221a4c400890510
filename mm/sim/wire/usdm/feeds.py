"""Streams of mark prices and forced orders, and the streams of users by listen key."""

import json
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from mm.clock import US_PER_MS, US_PER_S
from mm.sim.exchange.accounts import MINUTE_US
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import AccountEvent, ExecutionReport
from mm.sim.exchange.usdm.exchange import MarkTold, UsdmExchange
from mm.sim.exchange.usdm.liquidation import Forced
from mm.sim.wire.answers import Json
from mm.sim.wire.http_messages import json_bytes
from mm.sim.wire.stream_messages import Message, Subscriber, stamped
from mm.sim.wire.stream_requests import StreamName
from mm.sim.wire.summaries import Arrays
from mm.sim.wire.usdm.answers import UsdmTexts
from mm.sim.wire.usdm.downloads import Downloads
from mm.sim.wire.usdm.stream_texts import UsdmStreamTexts

KEY_LIFE_US = 60 * MINUTE_US
_SLOW_MARKS_US = 3 * US_PER_S


class MarkFeed:
    """A contract's streams of mark prices, forced orders and states, and its part in the streams of all contracts."""

    def __init__(self, exchange: UsdmExchange, arrays: Arrays) -> None:
        self.now_us = exchange.now_us
        self._exchange, self._arrays = exchange, arrays
        self._symbol = exchange.rules.instrument.symbol.lower()
        self._status = exchange.rules.status
        self._texts = UsdmStreamTexts(exchange.rules.instrument)
        kinds = ("markPrice", "forceOrder", "contractInfo")
        self._live: dict[str, dict[tuple[Subscriber, StreamName], None]] = {kind: {} for kind in kinds}
        exchange.hear_marks(self._marked)
        exchange.hear_forced(self._forced)

    def advance(self, us: int) -> None:
        self.now_us = max(self.now_us, us)
        if (rules := self._exchange.rules).status != self._status:
            self._status = rules.status
            self._send("contractInfo", self._texts.contract_info(rules, self.now_us))

    def subscribe(self, subscriber: Subscriber, stream: StreamName) -> None:
        if stream.kind == "markPrice" and not stream.symbol:
            self._arrays.join(subscriber, stream.name)
        elif stream.kind in self._live and stream.symbol in ("", self._symbol):
            self._live[stream.kind][subscriber, stream] = None

    def unsubscribe(self, subscriber: Subscriber, stream: StreamName) -> None:
        self._arrays.leave(subscriber, stream.name)
        if stream.kind in self._live:
            self._live[stream.kind].pop((subscriber, stream), None)

    def end_users(self, subscriber: Subscriber) -> None: ...

    def _marked(self, told: MarkTold) -> None:
        text = self._texts.mark_price(told)
        for subscriber, stream in tuple(self._live["markPrice"]):
            if told.us % (stream.interval_ms * US_PER_MS) == 0:
                subscriber.deliver(Message(stream.name, "other", 0, 0, text.encode()))
        for name in self._arrays.names:
            if name.startswith("!markPrice") and (name.endswith("@1s") or told.us % _SLOW_MARKS_US == 0):
                self._arrays.add(name, told.us, lambda _: json.loads(text))

    def _forced(self, forced: Forced) -> None:
        self._send("forceOrder", self._texts.force_order(forced))

    def _send(self, kind: str, text: str) -> None:
        for subscriber, stream in tuple(self._live[kind]):
            subscriber.deliver(Message(stream.name, "other", 0, 0, text.encode()))


@dataclass(slots=True)
class _ListenKey:
    account: int
    expires_us: int


class UserStreams:
    def __init__(self) -> None:
        self.now_us = 0
        self._made = 0
        self._keys: dict[str, _ListenKey] = {}
        self._live: dict[str, dict[Subscriber, StreamName]] = {}
        self.downloads = Downloads()

    def attach(self, exchange: UsdmExchange) -> None:
        texts = UsdmTexts(exchange, micro=False)
        for number in exchange.accounts:
            exchange.watch(number, partial(self._happened, number, texts))

    # listen keys

    def start(self, account: int, us: int) -> str:
        self.advance(us)
        for name, key in self._keys.items():
            if key.account == account:
                key.expires_us = us + KEY_LIFE_US
                return name
        self._made += 1
        name = sha256(f"{account} {self._made} {us}".encode()).hexdigest()
        self._keys[name] = _ListenKey(account, us + KEY_LIFE_US)
        return name

    def keep(self, account: int, us: int) -> str:
        self.advance(us)
        if all(key.account != account for key in self._keys.values()):
            raise ApiError(-1125, "This listenKey does not exist.")
        return self.start(account, us)

    def stop(self, account: int, us: int) -> None:
        del self._keys[self.keep(account, us)]

    # streams

    def advance(self, us: int) -> None:
        self.now_us = max(self.now_us, us)
        for name in [name for name, key in self._keys.items() if key.expires_us <= self.now_us]:
            self._expire(name)

    def subscribe(self, subscriber: Subscriber, stream: StreamName) -> None:
        if stream.kind == "user":
            self._live.setdefault(stream.name, {})[subscriber] = stream

    def unsubscribe(self, subscriber: Subscriber, stream: StreamName) -> None:
        if stream.kind == "user":
            self._live.get(stream.name, {}).pop(subscriber, None)

    def end_users(self, subscriber: Subscriber) -> None:
        for name in [name for name, live in self._live.items() if subscriber in live and name in self._keys]:
            self._expire(name)

    def _expire(self, name: str) -> None:
        del self._keys[name]
        self._send(name, {"e": "listenKeyExpired", "E": stamped(self.now_us, micro=False), "listenKey": name})

    def _happened(self, number: int, texts: UsdmTexts, what: AccountEvent) -> None:
        for name in [name for name, key in self._keys.items() if key.account == number]:
            if not self._live.get(name):
                continue
            if isinstance(what, ExecutionReport) and what.fill:
                self._send(name, texts.trade_lite(what))
            self._send(name, texts.event(what))

    def _send(self, name: str, event: Json) -> None:
        raw = json_bytes(event)
        for subscriber, stream in tuple(self._live.get(name, {}).items()):
            if not stream.events or event["e"] in stream.events:
                subscriber.deliver(Message(name, "user", 0, 0, raw))
