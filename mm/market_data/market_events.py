"""Events of one symbol's market: the output of the state machine, and the input of its subscribers.

A subscriber gets each event as it happens, with the book in its state at that time. `recv_us` is the arrival (µs) of
the message that caused the event.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from mm.ids import IdRange, MissingIds
from mm.markets.local_orderbook import Level, LocalOrderBook
from mm.markets.messages import AggTrade, DepthUpdate, TradePrint
from mm.markets.records import Trade
from mm.markets.sequence import Verdict
from mm.markets.trade_ids import TradeVerdict

TradeMessage = TradePrint | AggTrade


class DepthArrived(Struct, gc=False):
    """Any arriving depth message.

    Attributes:
        book: The valid book after applying it; else None (see `BookChanged` for buffered messages).
    """

    recv_us: int
    number: int
    update: DepthUpdate
    verdict: Verdict
    book: LocalOrderBook | None


class BookChanged(Struct, gc=False):
    """The earlier depth message *number* was applied; *book* is valid and includes it."""

    number: int
    update: DepthUpdate
    book: LocalOrderBook


class EpochOpened(Struct, gc=False):
    """A snapshot became the book."""

    recv_us: int
    tag: str
    last_update_id: int
    bids: list[Level]
    asks: list[Level]


class BookResynced(Struct, gc=False):
    """The book is valid again after a `BookLost`."""

    recv_us: int
    last_update_id: int


class BookLost(Struct, gc=False):
    recv_us: int
    cause: str


class StatusReported(Struct, gc=False):
    recv_us: int
    status: str
    traded: bool
    last_update_id: int
    book: LocalOrderBook | None


class SnapshotRefused(Struct, gc=False):
    recv_us: int
    cause: str


class DepthMissing(Struct, gc=False):
    recv_us: int
    missing: MissingIds
    cause: str


class TradesMissing(Struct, gc=False):
    recv_us: int
    missing: MissingIds
    cause: str


class TradeArrived(Struct, gc=False):
    recv_us: int
    trade: TradeMessage
    verdict: TradeVerdict


class TradesFetched(Struct, gc=False):
    """REST returned *trades*, in order but perhaps incomplete, for the missing *ids*."""

    recv_us: int
    trades: Sequence[Trade]
    ids: IdRange


class TradeRepeated(Struct, gc=False):
    recv_us: int
    trade: TradeMessage


class MessageRefused(Struct, gc=False):
    """A message with far ids that later messages contradict."""

    recv_us: int
    arrived_us: int
    message: DepthUpdate | TradeMessage
    raw: bytes


class ClockRead(Struct, gc=False):
    recv_us: int
    offset_us: int
    within_us: int

    @property
    def least_us(self) -> int:
        return self.offset_us - self.within_us


class Anomaly(Struct, gc=False):
    recv_us: int
    kind: str
    details: Mapping[str, Any]


MarketEvent = (
    DepthArrived
    | BookChanged
    | EpochOpened
    | BookResynced
    | BookLost
    | StatusReported
    | SnapshotRefused
    | DepthMissing
    | TradesMissing
    | TradeArrived
    | TradesFetched
    | TradeRepeated
    | MessageRefused
    | ClockRead
    | Anomaly
)
Subscriber = Callable[[MarketEvent], None]
"""Called with each event when it happens."""


def trade_id_of(trade: TradeMessage) -> int:
    return trade.t if isinstance(trade, TradePrint) else trade.a


def stream_of(trade: TradeMessage) -> str:
    return "trade" if isinstance(trade, TradePrint) else "aggTrade"
