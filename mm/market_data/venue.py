"""The interface of a venue: its message types, addresses, limits, and the decoder of its messages.

Everything else uses these types. Another venue is one module that implements `MarketVenue`. Its decoder returns updates
whose ids follow the rule of `mm.ids`: if a venue sends the last id of the previous update (`pu` of futures), the update
covers the ids from there on. Prices and quantities stay the exchange's own text.
"""

import ssl
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Annotated, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from mm.dayfolder.rows import Trade
from mm.errors import BrokenFile
from mm.ids import IdRange, MissingIds
from mm.market_data.grid import Grid
from mm.market_data.local_orderbook import Level

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A non-negative whole number of 64 bits."""


class DepthUpdate(Struct, gc=False):
    """A ``depthUpdate``: absolute quantities for the ids `U` to `u`, zero removes a level.

    `E` is when it was sent, `T` when its orders were matched; `pu` and `T` are None on Spot.
    """

    E: int
    s: str
    U: Number
    u: Number
    b: Sequence[Level]
    a: Sequence[Level]
    pu: int | None = None
    T: int | None = None


EXECUTED = (None, "MARKET")
"""Kinds (`X`) of a ``trade`` that were executions in the order book; others are transfers, such as INSURANCE_FUND and
ADL, empty messages (NA), or deals outside the book."""


class TradePrint(Struct, gc=False):
    """A ``trade``; its kind `X` is None on Spot."""

    E: int
    s: str
    t: Number
    p: str
    q: str
    T: int
    m: bool
    X: str | None = None


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
    """A REST depth response; `symbol` is None if unknown, `E` is None on Spot."""

    lastUpdateId: Number
    bids: list[Level]
    asks: list[Level]
    E: int | None = None
    symbol: str | None = None


class BookFrame(Struct, gc=False):
    """A message of a stream of partial books: the best levels, whole; `E` and `T` are None on Spot."""

    bids: Sequence[Level]
    asks: Sequence[Level]
    E: int | None = None
    T: int | None = None


@dataclass(frozen=True)
class Partial:
    """Which messages are partial books.

    Attributes:
        named: Those of streams with such a name.
        updates: Those without a name that have the form of changes, as on USD-M.
        answers: Those without a name that have the form of a REST response, as on Spot.
    """

    named: bool = False
    updates: bool = False
    answers: bool = False


class ExchangeInfo(Struct):
    """The exchange's own entry of a symbol, as JSON text."""

    text: str


class Connected(Struct):
    """A WebSocket connection was opened."""

    url: str


class Other(Struct):
    """A message of another symbol, or of a kind that is not stored in a day folder."""


class MarkPrice(Struct, gc=False):
    """A ``markPriceUpdate`` of a perpetual: mark price `p`, funding rate `r` payable at `T` (0: none).

    The index price `i` and the estimated settlement price `P` are empty where a source does not have them.
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
    """A past or future funding payment of a perpetual: instant in ms, rate, and mark price.

    A long position pays quantity times mark price times rate to the short ones; it receives a negative amount.
    """

    paid_ms: int
    rate: str
    mark_price: str


class ServerShutdown(Other):
    """The exchange will soon close the connection: another one should be opened at once."""


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
    | Other
)


class Unreadable(ValueError):
    """An invalid message; the text is the reason."""


class WrongMarket(BrokenFile):
    """A message, or an address, of another market than expected."""


class Futures(WrongMarket):
    """Something that only futures markets have."""


@dataclass(frozen=True)
class RestRequest:
    """One GET request.

    Attributes:
        weight: Its weight in the venue's budget.
    """

    path: str
    params: Mapping[str, str]
    weight: int


@cache
def trusted() -> ssl.SSLContext:
    """Return the trust settings of connections: the certificates of the system, read once per process."""
    return ssl.create_default_context()


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one request.

    Attributes:
        recv_us: When the response arrived, in µs.
        url: The address of the request.
        status: HTTP status; None without a response.
        cause: Why it cannot be used; None if it can.
    """

    recv_us: int
    url: str
    status: int | None
    body: bytes
    cause: str | None


class RestRefusal(Enum):
    """The meaning of a refusal for the next request."""

    PASSES = "passes"
    """The same request may be answered later."""
    HOLDS_OFF = "holds_off"
    """No request is answered before the time in ``Retry-After``."""
    STAYS = "stays"
    """The same request will never be answered."""


@dataclass(frozen=True)
class TradePage:
    """Past trades, from one response.

    Attributes:
        trades: In the response's order, each with its range of ids, in the used numbering.
        more: The request for the next ones; None if their ids determine it.
    """

    trades: Sequence[tuple[IdRange, Trade]]
    more: RestRequest | None = None


class PastTrades(Protocol):
    """One interface of a venue for past trades."""

    def request(self, missing: MissingIds) -> RestRequest:
        """Return the request, without the symbol, for as many of these trades as one response can have."""

    def page(self, body: bytes) -> TradePage:
        """Return the trades in a response; raises msgspec.MsgspecError if it has none."""


@dataclass(frozen=True)
class Limits:
    """The limits of a venue for one address, slightly below its own figures.

    Attributes:
        weight: Maximum weight of REST requests in *weight_window_s* seconds.
        connections: Maximum connection attempts in *connections_window_s* seconds.
    """

    weight: float
    weight_window_s: float
    connections: float
    connections_window_s: float


class Decoder(Protocol):
    """Decodes the messages of one symbol; raises ValueError, OffGrid or MsgspecError for unusable ones."""

    partial: Partial

    @property
    def symbols(self) -> Counter[str]:
        """Number of messages per symbol, for all symbols in the input."""

    def received(self, body: bytes | str) -> Message:
        """Return a decoded message of the stream."""

    def answer(self, url: str, body: bytes | str) -> Message:
        """Return a decoded REST response from *url*."""

    def connected(self, url: str) -> Connected:
        """Return the message for an opened connection to *url*."""


class MarketVenue(Protocol):
    """An exchange and one of its markets."""

    @property
    def name(self) -> str:
        """Its name in ``schema.json``."""

    @property
    def bases(self) -> tuple[str, str]:
        """Default base URLs of its streams and of its REST interface."""

    @property
    def limits(self) -> Limits:
        """Its limits for one address."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of every REST request."""

    def decoder(self, symbol: str, grid: Grid, *, packs: bool = False) -> Decoder:
        """Return the decoder for the messages of *symbol*; *packs*: levels may be parsed by a kernel."""

    def check_address(self, url: str) -> None:
        """Raise WrongMarket if *url* serves another market, whose rule of ids differs."""

    def stream_url(self, base: str, symbol: str, trade_stream: str) -> str:
        """Return the address of the depth stream and of *trade_stream* of *symbol*."""

    def depth(self, symbol: str, limit: int) -> RestRequest:
        """Return the request for the best *limit* levels per side."""

    def levels(self, wanted: int) -> int:
        """Return the number of levels per side to request in a snapshot if *wanted* are needed."""

    def exchange_info(self, symbol: str) -> RestRequest:
        """Return the request for the filters and the status of *symbol*."""

    def trade_history(self, *, aggregates: bool) -> Sequence[PastTrades]:
        """Return the interfaces for past trades, the best first; *aggregates*: whether ids are those of aggregates."""

    def last_trade(self) -> RestRequest:
        """Return the request for the last trade, without the symbol."""

    def last_trade_id(self, body: bytes, *, aggregates: bool) -> int | None:
        """Return the highest id in the response to `last_trade`; None if it has none."""

    def refusal(self, status: int | None) -> RestRefusal:
        """Return the meaning of a refusal with this HTTP status; None: no response."""

    def refuses_symbol(self, answer: Answer, symbol: str) -> bool:
        """Return True if *answer*, of `exchange_info`, states that the venue does not have *symbol*."""

    def funding(self) -> RestRequest | None:
        """Return the request for the last funding payments, without the symbol; None if there are none."""

    def payments(self, body: bytes) -> Sequence[Funding]:
        """Return the payments in the response to `funding`, in order; raises msgspec.MsgspecError if it has none."""

    def time(self) -> RestRequest:
        """Return the request for the venue's time."""

    def server_time_us(self, body: bytes) -> int | None:
        """Return the time in the response to `time`, in µs; None if it has none."""

    def used_weight(self, headers: Mapping[str, str]) -> int | None:
        """Return the venue's own count of the used weight, from the headers of a response."""


def with_symbol(request: RestRequest, symbol: str) -> RestRequest:
    """Return *request* for one symbol."""
    return RestRequest(request.path, {"symbol": symbol, **request.params}, request.weight)
