"""Events of the market streams in the exchange's format: same order of fields, decimals as exact text.

JSON is formatted directly, since each text is created once and sent to many connections.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from websockets.frames import Frame, Opcode

from mm.clock import US_PER_MS
from mm.instrument import Instrument
from mm.markets.local_orderbook import Level
from mm.sim.exchange.trades import AggregateTrade
from mm.sim.matching.order_log import Row
from mm.sim.wire.http_messages import json_bytes

GOING_AWAY, ABNORMAL, INVALID_DATA, POLICY_VIOLATION = 1001, 1006, 1007, 1008
"""Close codes."""
_TEXTS = 1 << 16
SHUTDOWN_STREAM = "!serverShutdown"
EMPTY: Level = ("0.00000000", "0.00000000")
"""Best level of an empty side."""


@dataclass(slots=True, eq=False)
class Message:
    """One event; *kind* is ``depth partial trade aggTrade bookTicker``, or ``other``."""

    stream: str
    kind: str
    first_id: int
    last_id: int
    raw: bytes
    _frames: dict[bool, bytes] = field(default_factory=dict)

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.raw))

    def changed(self, event: Mapping[str, Any]) -> "Message":
        return Message(self.stream, self.kind, self.first_id, self.last_id, json_bytes(event))

    def payload(self, *, combined: bool) -> bytes:
        return b'{"stream":%b,"data":%b}' % (_quoted(self.stream), self.raw) if combined else self.raw

    def frame(self, *, combined: bool) -> bytes:
        if combined not in self._frames:
            self._frames[combined] = text_frame(self.payload(combined=combined))
        return self._frames[combined]


class Subscriber(Protocol):
    """A connection, for the streams that it subscribed to."""

    micro: bool
    phase_ms: int

    def is_slow(self, stream: str) -> bool:
        """Whether replaceable events of *stream* should be delayed."""

    def deliver(self, message: Message) -> None: ...


class Batch(NamedTuple):
    """A depth event: update ids *first_id* to *last_id*, and changed levels as text by price in ticks."""

    first_id: int
    last_id: int
    bids: dict[int, str]
    asks: dict[int, str]

    def merged(self, later: "Batch") -> "Batch":
        return Batch(self.first_id, later.last_id, self.bids | later.bids, self.asks | later.asks)


class Texts:
    def __init__(self, instrument: Instrument) -> None:
        self.price = lru_cache(_TEXTS)(instrument.price)
        self.qty = lru_cache(_TEXTS)(instrument.qty)
        self.symbol = json.dumps(instrument.symbol, ensure_ascii=False)

    def trade(self, name: str, row: Row, *, micro: bool) -> Message:
        us, _, _, _, _, side, ticks, lots, trade_id, _ = row
        stamp = stamped(us, micro=micro)
        text = (
            f'{{"e":"trade","E":{stamp},"s":{self.symbol},"t":{trade_id},"p":"{self.price(ticks)}",'
            f'"q":"{self.qty(lots)}","T":{stamp},"m":{maker_bought(side)},"M":true}}'
        )
        return Message(name, "trade", trade_id, trade_id, text.encode())

    def agg_trade(self, name: str, trade: AggregateTrade, *, micro: bool) -> Message:
        stamp = stamped(trade.us, micro=micro)
        text = (
            f'{{"e":"aggTrade","E":{stamp},"s":{self.symbol},"a":{trade.id},"p":"{self.price(trade.ticks)}",'
            f'"q":"{self.qty(trade.lots)}","f":{trade.first_id},"l":{trade.last_id},"T":{stamp},'
            f'"m":{maker_bought(trade.side)},"M":true}}'
        )
        return Message(name, "aggTrade", trade.first_id, trade.last_id, text.encode())

    def book_ticker(
        self,
        name: str,
        us: int,  # noqa: ARG002 - only contracts say when
        update_id: int,
        bids: list[Level],
        asks: list[Level],
    ) -> Message:
        (bid, bid_qty), (ask, ask_qty) = (bids or [EMPTY])[0], (asks or [EMPTY])[0]
        text = f'{{"u":{update_id},"s":{self.symbol},"b":"{bid}","B":"{bid_qty}","a":"{ask}","A":"{ask_qty}"}}'
        return Message(name, "bookTicker", update_id, update_id, text.encode())

    def depth(self, name: str, batch: Batch, us: int, *, micro: bool) -> Message:
        bids = ",".join([batch.bids[ticks] for ticks in sorted(batch.bids, reverse=True)])
        asks = ",".join([batch.asks[ticks] for ticks in sorted(batch.asks)])
        text = (
            f'{{"e":"depthUpdate","E":{stamped(us, micro=micro)},"s":{self.symbol},'
            f'"U":{batch.first_id},"u":{batch.last_id},"b":[{bids}],"a":[{asks}]}}'
        )
        return Message(name, "depth", batch.first_id, batch.last_id, text.encode())

    def partial(
        self,
        name: str,
        us: int,  # noqa: ARG002 - only contracts say when
        update_id: int,
        bids: list[Level],
        asks: list[Level],
    ) -> Message:
        raw = json_bytes({"lastUpdateId": update_id, "bids": bids, "asks": asks})
        return Message(name, "partial", update_id, update_id, raw)


def server_shutdown(us: int, *, micro: bool) -> Message:
    raw = json_bytes({"e": "serverShutdown", "E": stamped(us, micro=micro)})
    return Message(SHUTDOWN_STREAM, "other", 0, 0, raw)


def stamped(us: int, *, micro: bool) -> int:
    return us if micro else us // US_PER_MS


def text_frame(payload: bytes) -> bytes:
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


def binary_frame(payload: bytes) -> bytes:
    return Frame(Opcode.BINARY, payload).serialize(mask=False)


@lru_cache(_TEXTS)
def _quoted(name: str) -> bytes:
    return json_bytes(name)


def maker_bought(side: int) -> str:
    return "true" if side < 0 else "false"
