"""The messages of markets, their REST requests and answers."""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import NamedTuple, Protocol

from msgspec import Struct

from mm.errors import BrokenFile
from mm.ids import IdRange, MissingIds
from mm.markets.local_orderbook import Level
from mm.markets.records import Number, Trade


class DepthUpdate(Struct, gc=False):
    """A ``depthUpdate``: absolute quantities for ids `U` to `u`; zero removes a level.

    `E` is when it was sent, `T` when its orders matched; `pu` and `T` are None on Spot. `seq` is the matching engine's
    number, where a market is `sequenced`.
    """

    E: int
    s: str
    U: Number
    u: Number
    b: Sequence[Level]
    a: Sequence[Level]
    pu: int | None = None
    T: int | None = None
    seq: int | None = None


EXECUTED = (None, "MARKET")
"""Kinds (`X`) of a ``trade`` that were executions in the order book; others are transfers, such as INSURANCE_FUND and
ADL, empty messages (NA), or deals outside the book."""


class TradePrint(Struct, gc=False):
    """A ``trade``; its kind `X` is None on Spot.

    Where the exchange's id is no number, it is `name`, and `t` is 0 until the day's prints are counted; then `seq` is
    the matching engine's number, `rpi` a print of hidden retail liquidity, `block` one agreed outside the book.
    """

    E: int
    s: str
    t: Number
    p: str
    q: str
    T: int
    m: bool
    X: str | None = None
    name: str | None = None
    seq: int | None = None
    rpi: bool | None = None
    block: bool | None = None


class AggTrade(Struct, gc=False):
    """An ``aggTrade``: one taker order at one price, the trades `f` to `l`."""

    E: int
    s: str
    a: Number
    p: str
    q: str
    f: Number
    l: Number  # noqa: E741 - the wire's name
    T: int
    m: bool


class BookTicker(Struct, gc=False):
    """A ``bookTicker``: best bid (`b`, `B`) and ask (`a`, `A`) after update `u`; `E` and `T` are None on Spot."""

    u: Number
    s: str
    b: str
    B: str
    a: str
    A: str
    E: int | None = None
    T: int | None = None


class DepthSnapshot(Struct, gc=False):
    """A REST depth response, or a whole book in the stream; `symbol` is None if unknown, `E` is None on Spot.

    `window`: levels a side of a stream that shows only the best; `matched` and `seq` are as in
    `DepthUpdate`.
    """

    lastUpdateId: Number
    bids: list[Level]
    asks: list[Level]
    E: int | None = None
    symbol: str | None = None
    window: int | None = None
    matched: int | None = None
    seq: int | None = None


class BookFrame(Struct, gc=False):
    """A message of a partial-book stream, with all its levels; `E` and `T` are None on Spot."""

    bids: Sequence[Level]
    asks: Sequence[Level]
    E: int | None = None
    T: int | None = None


@dataclass(frozen=True)
class Partial:
    """Which messages are partial books.

    Attributes:
        updates: Unnamed messages in the form of changes, as on USD-M.
        answers: Unnamed messages in the form of a REST response, as on Spot.
    """

    named: bool = False
    updates: bool = False
    answers: bool = False


class ExchangeInfo(Struct):
    text: str


class Connected(Struct):
    url: str


class Other(Struct):
    """A message of another symbol, or of a kind that day folders do not store."""


class MarkPrice(Struct, gc=False):
    """A ``markPriceUpdate`` of a perpetual: mark price `p`, funding rate `r` payable at `T` (0: none).

    `i` (index price) and `P` (estimated settlement price) are empty where a source lacks them.
    """

    E: int
    s: str
    p: str
    r: str
    T: Number
    i: str = ""
    P: str = ""


class ForcedOrder(Struct, gc=False):
    """The order of a `ForceOrder`: quantity `q` at `p`, of which `z` was filled at `ap` on average; its state `X`."""

    s: str
    S: str
    q: str
    p: str
    ap: str
    X: str
    z: str
    T: int


class ForceOrder(Struct, gc=False):
    """A ``forceOrder``: an order by which the exchange liquidates a position."""

    E: int
    o: ForcedOrder


class Funding(NamedTuple):
    """A funding payment of a perpetual, past or future: instant (ms), rate, mark price.

    A long position pays quantity × mark price × rate to the shorts; a negative amount is received.
    """

    paid_ms: int
    rate: str
    mark_price: str


class Several(Struct):
    """The messages of one frame, in its order."""

    messages: "list[Message]"


class StreamAnswer(Other):
    """The answer to a request on a stream: to *op* of *name* (`Speech`); the text is the exchange's."""

    op: str
    name: str
    success: bool
    text: str


class ServerShutdown(Other):
    """The exchange will soon close the connection: open another at once."""


Message = (
    DepthUpdate
    | TradePrint
    | AggTrade
    | BookTicker
    | DepthSnapshot
    | BookFrame
    | ExchangeInfo
    | MarkPrice
    | ForceOrder
    | Connected
    | Several
    | Other
)


class Unreadable(ValueError):
    """An invalid message; the text is the reason."""


class WrongMarket(BrokenFile):
    """A message or address of an unexpected market."""


class Futures(WrongMarket):
    """Something that only futures markets have."""


@dataclass(frozen=True)
class RestRequest:
    path: str
    params: Mapping[str, str]
    weight: int


@cache
def trusted() -> ssl.SSLContext:
    """The system's certificates, read once per process."""
    return ssl.create_default_context()


@dataclass(frozen=True, slots=True)
class Answer:
    recv_us: int
    url: str
    status: int | None
    body: bytes
    cause: str | None


class RestRefusal(Enum):
    PASSES = "passes"
    """The same request may be answered later."""
    HOLDS_OFF = "holds_off"
    """No request is answered before the time in ``Retry-After``."""
    STAYS = "stays"
    """The same request will never be answered."""


@dataclass(frozen=True)
class TradePage:
    trades: Sequence[tuple[IdRange, Trade]]
    more: RestRequest | None = None


class PastTrades(Protocol):
    """One interface of a venue for past trades."""

    def request(self, missing: MissingIds) -> RestRequest:
        """Ask for as many of the trades as one response can hold; the symbol is added later."""

    def page(self, body: bytes) -> TradePage: ...


@dataclass(frozen=True)
class Limits:
    """A venue's limits for one address, slightly below its own figures.

    Attributes:
        banned_s: Time without any request after a refusal that names none.
    """

    weight: float
    weight_window_s: float
    connections: float
    connections_window_s: float
    banned_s: float = 0.0


@dataclass(frozen=True)
class Speech:
    """What a client says on a stream.

    Attributes:
        opening: Requests on a new connection.
        again: Requests for the book's snapshot.
        beat: Message each *beat_s* seconds, which is answered; empty: none.
    """

    opening: Sequence[bytes] = ()
    again: Sequence[bytes] = ()
    beat: bytes = b""
    beat_s: float = 0.0


def with_symbol(request: RestRequest, symbol: str) -> RestRequest:
    return RestRequest(request.path, {"symbol": symbol, **request.params}, request.weight)
