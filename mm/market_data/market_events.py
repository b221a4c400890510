"""What happens to one symbol's market, as typed events: the output of the state machine, the input of its subscribers.

A subscriber is called with each event at the moment it happens, so that the book it refers to is the book of that
moment. `recv_us` is the arrival of the message that caused the event, in µs.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from msgspec import Struct

from mm.dayfolder.rows import Trade
from mm.ids import IdRange, MissingIds
from mm.market_data.local_orderbook import Level, LocalOrderBook
from mm.market_data.venue import AggTrade, DepthUpdate, TradePrint

TradeMessage = TradePrint | AggTrade


class Verdict(Enum):
    """What to do with a depth update or a snapshot."""

    BUFFER = "buffer"
    """Update: no book yet; it is kept until a snapshot comes."""
    APPLY = "apply"
    """Update: change the book by it. Snapshot: it is the book now, and the updates handed back change it further."""
    STALE = "stale"
    """Update or snapshot: nothing in it is new; leave the book as it is."""
    GAP = "gap"
    """Update: ids before it are missing; a book is invalid now, and the update waits for a snapshot."""
    RESET = "reset"
    """As GAP (update) or APPLY (snapshot), because the ids were reset; all earlier ids have lost their meaning."""
    TOO_OLD = "too_old"
    """Snapshot: it ends before the buffer begins; fetch another one, the buffer stays as it is."""


class TradeVerdict(Enum):
    """What the id of a trade means."""

    NEW = "new"
    """It follows the last one, or is the first."""
    GAP = "gap"
    """It is new, and ids before it are missing."""
    LATE = "late"
    """It is one of the missing."""
    DUPLICATE = "duplicate"
    """It was there before, or would stand before the first that came."""
    RESET = "reset"
    """It lies so far back that the exchange has reset its ids; it is new."""


class DepthArrived(Struct, gc=False):
    """A depth message arrived, whatever becomes of it.

    Attributes:
        number: Counts the depth messages of the market from 1; `BookChanged` names the message by it.
        verdict: What it does to the book; a buffered one may change it later.
        book: The book that shows it, where it was applied and the book is valid; None where it was not, or where
            something else happens before a `BookChanged`.
    """

    recv_us: int
    number: int
    update: DepthUpdate
    verdict: Verdict
    book: LocalOrderBook | None


class BookChanged(Struct, gc=False):
    """The depth message *number*, which arrived before, was applied; *book* is valid and shows it."""

    number: int
    update: DepthUpdate
    book: LocalOrderBook


class EpochOpened(Struct, gc=False):
    """A snapshot is the book now.

    Attributes:
        tag: Why: ``initial``, ``resync``, ``refresh`` or ``carried``.
        bids: Its levels, best first.
    """

    recv_us: int
    tag: str
    last_update_id: int
    bids: list[Level]
    asks: list[Level]


class BookResynced(Struct, gc=False):
    """After a `BookLost` there is a book again."""

    recv_us: int
    last_update_id: int


class BookLost(Struct, gc=False):
    """There is no valid book until a snapshot bridges; *cause* is the reason."""

    recv_us: int
    cause: str


class SnapshotRefused(Struct, gc=False):
    """A snapshot did not become the book."""

    recv_us: int
    cause: str


class DepthMissing(Struct, gc=False):
    """Update ids did not arrive, and the cause."""

    recv_us: int
    missing: MissingIds
    cause: str


class TradesMissing(Struct, gc=False):
    """Trade ids did not arrive, and the cause."""

    recv_us: int
    missing: MissingIds
    cause: str


class TradeArrived(Struct, gc=False):
    """A trade arrived that the ids allow to store; *verdict* is NEW, GAP, RESET or LATE."""

    recv_us: int
    trade: TradeMessage
    verdict: TradeVerdict


class TradesFetched(Struct, gc=False):
    """Missing trades came by REST: *trades*, which stand for the ids *ids*, in order and perhaps not all of them."""

    recv_us: int
    trades: Sequence[Trade]
    ids: IdRange


class TradeRepeated(Struct, gc=False):
    """A trade arrived that was there before."""

    recv_us: int
    trade: TradeMessage


class MessageRefused(Struct, gc=False):
    """A depth message or a trade whose ids are far ahead is no part of the feed: what came since shows that.

    Attributes:
        recv_us: When that was shown.
        arrived_us: When it had arrived.
        raw: As it came.
    """

    recv_us: int
    arrived_us: int
    message: DepthUpdate | TradeMessage
    raw: bytes


class Anomaly(Struct, gc=False):
    """Something that should not happen, by its kind, with the numbers that describe it."""

    recv_us: int
    kind: str
    details: Mapping[str, Any]


MarketEvent = (
    DepthArrived
    | BookChanged
    | EpochOpened
    | BookResynced
    | BookLost
    | SnapshotRefused
    | DepthMissing
    | TradesMissing
    | TradeArrived
    | TradesFetched
    | TradeRepeated
    | MessageRefused
    | Anomaly
)
Subscriber = Callable[[MarketEvent], None]
"""Takes each event when it happens."""


def trade_id_of(trade: TradeMessage) -> int:
    """Return the id under which a trade, or an aggregate of trades, is counted."""
    return trade.t if isinstance(trade, TradePrint) else trade.a


def stream_of(trade: TradeMessage) -> str:
    """Return the stream that a trade comes from, ``trade`` or ``aggTrade``."""
    return "trade" if isinstance(trade, TradePrint) else "aggTrade"
