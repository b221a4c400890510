"""What a venue is: the types of what it sends, its addresses, its limits, and the reader of its messages.

Everything else works on these types. Another venue is one module that implements `MarketVenue`. Its reader returns
updates whose ids follow the rule of `mm.ids`: where a venue names the last id of the update before (`pu` of futures),
the update is one of the ids from there on. Prices and quantities stay the exchange's own text.
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
"""A whole number of 64 bits that is not negative."""


class DepthUpdate(Struct, gc=False):
    """A ``depthUpdate``: absolute quantities of the ids `U` to `u`, zero removes a level; `pu` is None on Spot."""

    E: int
    s: str
    U: Number
    u: Number
    b: Sequence[Level]
    a: Sequence[Level]
    pu: int | None = None


class TradePrint(Struct, gc=False):
    """A ``trade``; `X` is None on Spot."""

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
    """A ``bookTicker``: best bid (`b`, `B`) and ask (`a`, `A`) after update `u`."""

    u: Number
    s: str
    b: str
    B: str
    a: str
    A: str


class DepthSnapshot(Struct, gc=False):
    """A REST depth answer; `symbol` is None where nothing says whose it is, `E` is None on Spot."""

    lastUpdateId: Number
    bids: list[Level]
    asks: list[Level]
    E: int | None = None
    symbol: str | None = None


class ExchangeInfo(Struct):
    """The exchange's own entry of a symbol, JSON text."""

    text: str


class Connected(Struct):
    """A WebSocket connection was opened."""

    url: str


class Other(Struct):
    """A message of another symbol, or of a kind that has no place in a day folder."""


class MarkPrice(Struct, gc=False):
    """A ``markPriceUpdate`` of a perpetual: mark price `p`, funding rate `r` to be paid at `T` (0: none is paid)."""

    E: int
    s: str
    p: str
    r: str
    T: Number


class Funding(NamedTuple):
    """What a perpetual paid, or is to pay: instant in ms, the rate and the mark price that it was paid at.

    A long position pays quantity times mark price times rate to the short ones; below 0 it receives that.
    """

    paid_ms: int
    rate: str
    mark_price: str


class ServerShutdown(Other):
    """The exchange will soon close the connection: another one should be opened at once."""


Message = (
    DepthUpdate | TradePrint | AggTrade | BookTicker | DepthSnapshot | ExchangeInfo | MarkPrice | Connected | Other
)


class Unreadable(ValueError):
    """A message is not what it should be; its text is the reason."""


class OtherMarket(BrokenFile):
    """A message, or an address, of another market than the one that is read."""


class Futures(OtherMarket):
    """What only futures markets have."""


@dataclass(frozen=True)
class RestRequest:
    """One GET request.

    Attributes:
        path: Of the request.
        params: Its parameters.
        weight: What it costs of the venue's budget.
    """

    path: str
    params: Mapping[str, str]
    weight: int


@cache
def trusted() -> ssl.SSLContext:
    """Return what connections trust: the certificates of the system, read once for all of a process."""
    return ssl.create_default_context()


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request.

    Attributes:
        recv_us: When the answer arrived, in µs.
        url: The address of the request.
        status: HTTP status; None where no answer came.
        body: Its body.
        cause: Why it cannot be used; None where it can.
    """

    recv_us: int
    url: str
    status: int | None
    body: bytes
    cause: str | None


class Refusal(Enum):
    """What a refusal says about the next request."""

    PASSES = "passes"
    """The same request may be answered later."""
    HOLDS_OFF = "holds_off"
    """No request is answered before the time in ``Retry-After``."""
    STAYS = "stays"
    """The same request will never be answered."""


@dataclass(frozen=True)
class TradePage:
    """Trades of the past, from one answer.

    Attributes:
        trades: In the answer's order, each with the ids it stands for, of the kind that is counted.
        more: The request for those after them; None where their ids show where to go on.
    """

    trades: Sequence[tuple[IdRange, Trade]]
    more: RestRequest | None = None


class PastTrades(Protocol):
    """One way in which a venue serves trades of the past."""

    def request(self, missing: MissingIds) -> RestRequest:
        """Return the request, without the symbol, for as many of these trades as one answer has."""

    def page(self, body: bytes) -> TradePage:
        """Return the trades in an answer; raises msgspec.MsgspecError where it has none."""


@dataclass(frozen=True)
class Limits:
    """What a venue allows one address, a little below its own figures.

    Attributes:
        weight: Most weight of REST requests in *weight_window_s* seconds.
        connections: Most attempts to connect in *connections_window_s* seconds.
    """

    weight: float
    weight_window_s: float
    connections: float
    connections_window_s: float


class Decoder(Protocol):
    """Reads the messages of one symbol; ValueError, OffGrid and MsgspecError say that one cannot be used."""

    @property
    def symbols(self) -> Counter[str]:
        """Messages a symbol, of every symbol that was seen."""

    @property
    def own_streams(self) -> Sequence[tuple[str, str]]:
        """Names and kinds of the symbol's streams that were met, in the order in which they came."""

    def received(self, body: bytes | str) -> Message:
        """Return what a message of the stream is."""

    def answer(self, url: str, body: bytes | str) -> Message:
        """Return what the REST answer from *url* is."""

    def connected(self, url: str) -> Connected:
        """Return the message that a connection to *url* was opened."""


class MarketVenue(Protocol):
    """An exchange and one of its markets."""

    @property
    def name(self) -> str:
        """As ``schema.json`` names it."""

    @property
    def bases(self) -> tuple[str, str]:
        """Bases of its streams and of its REST, where a user names none."""

    @property
    def limits(self) -> Limits:
        """What it allows one address."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of every REST request."""

    def decoder(self, symbol: str, grid: Grid, *, packs: bool = False) -> Decoder:
        """Return the reader of the messages of *symbol*; *packs*: levels may come as a kernel reads them."""

    def check_address(self, url: str) -> None:
        """Raise OtherMarket where *url* serves another market, whose rule of ids differs."""

    def stream_url(self, base: str, symbol: str, trade_stream: str) -> str:
        """Return the address of the depth stream and of *trade_stream* of *symbol*."""

    def depth(self, symbol: str, limit: int) -> RestRequest:
        """Return the request for the best *limit* levels per side."""

    def levels(self, wanted: int) -> int:
        """Return how many levels per side a snapshot is requested for *wanted* ones."""

    def exchange_info(self, symbol: str) -> RestRequest:
        """Return the request for the filters and the status of *symbol*."""

    def trade_history(self, *, aggregates: bool) -> Sequence[PastTrades]:
        """Return how trades of the past are served, the best way first; *aggregates*: whether those are counted."""

    def last_trade(self) -> RestRequest:
        """Return the request for the last trade, without the symbol."""

    def last_trade_id(self, body: bytes, *, aggregates: bool) -> int | None:
        """Return the highest id in the answer to `last_trade`; None where it has none."""

    def refusal(self, status: int | None) -> Refusal:
        """Return what the HTTP status of a refusal says; None: no answer came."""

    def refuses_symbol(self, answer: Answer, symbol: str) -> bool:
        """Return True if *answer*, of `exchange_info`, says that the venue does not have *symbol*."""

    def funding(self) -> RestRequest | None:
        """Return the request for the last funding payments, without the symbol; None where there are none."""

    def payments(self, body: bytes) -> Sequence[Funding]:
        """Return the payments in the answer to `funding`, in order; raises msgspec.MsgspecError where it has none."""

    def time(self) -> RestRequest:
        """Return the request for the venue's time."""

    def server_time_us(self, body: bytes) -> int | None:
        """Return the time in the answer to `time`, in µs; None where it has none."""

    def used_weight(self, headers: Mapping[str, str]) -> int | None:
        """Return the venue's own count of the weight used, as the headers of an answer give it."""


def with_symbol(request: RestRequest, symbol: str) -> RestRequest:
    """Return *request* for one symbol."""
    return RestRequest(request.path, {"symbol": symbol, **request.params}, request.weight)
