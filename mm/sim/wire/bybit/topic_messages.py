"""Messages of Bybit's public topics, in the order of fields that each kind of market sends."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from uuid import NAMESPACE_OID, uuid5

from mm.clock import US_PER_MS
from mm.instrument import Instrument, short_text
from mm.markets.local_orderbook import Level
from mm.sim.matching.order_log import Row
from mm.sim.wire.http_messages import json_bytes
from mm.sim.wire.stream_messages import Message

SNAPSHOT, DELTA = "snapshot", "delta"
_FIRST_SPOT_ID = 2_290_000_001_189_048_100


class TopicMessage(Message):
    """A message of a topic; a fault sees and changes what is in ``data``."""

    texts: "TopicTexts"

    @property
    def event(self) -> dict[str, Any]:
        whole = super().event
        return whole["data"] if isinstance(whole["data"], dict) else whole

    def changed(self, event: Mapping[str, Any]) -> "TopicMessage":
        whole: Mapping[str, Any] = json.loads(self.raw)
        whole = {**whole, "data": event} if isinstance(whole["data"], dict) else event
        return self.with_content(whole)

    def with_content(self, whole: Mapping[str, Any]) -> "TopicMessage":
        """Return the message with another content."""
        copy = type(self)(self.stream, self.kind, self.first_id, self.last_id, json_bytes(whole))
        copy.texts = self.texts
        return copy


class BookMessage(TopicMessage):
    """A change or snapshot of a topic's book; its ids are those of the exchange's book, `last_id` is its ``seq``."""

    def as_snapshot(self, bids: Sequence[Level], asks: Sequence[Level]) -> "TopicMessage":
        whole = json.loads(self.raw)
        levels = int(self.stream.split(".")[1])
        whole["type"] = SNAPSHOT
        sides = {"b": bids[:levels], "a": asks[:levels]}
        whole["data"] |= {name: [self.texts.level(level) for level in side] for name, side in sides.items()}
        return self.with_content(whole)


class PrintsMessage(TopicMessage):
    """Prints of one taker."""

    def split(self, most: int) -> "list[TopicMessage]":
        """Return messages of up to *most* prints each, with the same ``seq``."""
        whole = json.loads(self.raw)
        prints = whole["data"]
        return [self.with_content({**whole, "data": prints[at : at + most]}) for at in range(0, len(prints), most)]


Made = TypeVar("Made", bound=TopicMessage)


class BookPart(NamedTuple):
    """What a message of a book has beside its times: levels best first, the count of its topic, the exchange's id."""

    bids: Sequence[Level]
    asks: Sequence[Level]
    u: int
    seq: int


class TopicTexts:
    """Texts of one symbol.

    Args:
        contract: Linear contracts and Spot differ in the order of fields, ids of prints, and tickers.
    """

    def __init__(self, instrument: Instrument, *, contract: bool) -> None:
        self._grid, self._contract = instrument, contract
        self._prices: dict[int, str] = {}
        self._qtys: dict[int, str] = {}

    def price(self, ticks: int) -> str:
        """Return a price as Bybit writes it: contracts with all places of the tick, Spot without closing zeros."""
        known = self._prices.get(ticks)
        if known is None:
            places = len(short_text(self._grid.tick_e8).partition(".")[2]) if self._contract else 0
            known = self._prices[ticks] = padded(short_text(ticks * self._grid.tick_e8), places)
        return known

    def qty(self, lots: int) -> str:
        known = self._qtys.get(lots)
        if known is None:
            places = len(short_text(self._grid.lot_e8).partition(".")[2]) if self._contract and lots else 0
            known = self._qtys[lots] = padded(short_text(lots * self._grid.lot_e8), places)
        return known

    def level(self, level: Level) -> Level:
        """Return *level*, of decimals of any length, as Bybit writes it."""
        price, qty = level
        return self.price(self._grid.ticks(price)), self.qty(self._grid.lots(qty))

    def book(self, topic: str, kind: str, part: BookPart, sent_us: int, matched_us: int) -> BookMessage:
        data = {"s": self._grid.symbol, "b": part.bids, "a": part.asks, "u": part.u, "seq": part.seq}
        stamps = sent_us // US_PER_MS, matched_us // US_PER_MS
        whole = {**self._head(topic, kind, stamps[0]), "data": data, "cts": stamps[1]}
        return self._attach_texts(BookMessage(topic, "depth", part.seq, part.seq, json_bytes(whole)))

    def prints(self, topic: str, rows: Sequence[Mapping[str, Any]], us: int) -> PrintsMessage:
        whole = {**self._head(topic, SNAPSHOT, us // US_PER_MS), "data": rows}
        number = int(rows[-1]["seq"])
        return self._attach_texts(PrintsMessage(topic, "trade", number, number, json_bytes(whole)))

    def print(self, row: Row, seq: int, tick: str) -> dict[str, Any]:
        """Return a print of a taker; *tick* is its direction against the print before it."""
        us, _, _, _, _, side, ticks, lots, trade_id, _ = row
        stamp, price, qty = us // US_PER_MS, self.price(ticks), self.qty(lots)
        taker, symbol = "Buy" if side > 0 else "Sell", self._grid.symbol
        flags = {"BT": False, "RPI": False}
        if not self._contract:
            number = str(_FIRST_SPOT_ID + trade_id)
            return {"i": number, "T": stamp, "p": price, "v": qty, "S": taker, "seq": seq, "s": symbol} | flags
        number = str(uuid5(NAMESPACE_OID, f"{symbol} {trade_id}"))
        given = {"T": stamp, "s": symbol, "S": taker, "v": qty, "p": price, "L": tick, "i": number}
        return given | flags | {"seq": seq}

    def ticker(self, topic: str, kind: str, fields: Mapping[str, str], seq: int, us: int) -> TopicMessage:
        data, stamp = {"symbol": self._grid.symbol, **fields}, us // US_PER_MS
        if self._contract:
            whole = {"topic": topic, "type": kind, "data": data, "cs": seq, "ts": stamp}
        else:
            whole = {**self._head(topic, kind, stamp), "cs": seq, "data": data}
        return self._attach_texts(TopicMessage(topic, "other", seq, seq, json_bytes(whole)))

    def _attach_texts(self, message: Made) -> Made:
        message.texts = self
        return message

    def _head(self, topic: str, kind: str, stamp: int) -> dict[str, Any]:
        if self._contract:
            return {"topic": topic, "type": kind, "ts": stamp}
        return {"topic": topic, "ts": stamp, "type": kind}


def padded(text: str, places: int) -> str:
    """Return *text* with at least *places* decimal places."""
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest.ljust(places, '0')}" if places else text
