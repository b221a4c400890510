"""A venue's interface: message types, addresses, limits, decoder."""

import ssl
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import NamedTuple, Protocol

from msgspec import Struct

from mm.dayfolder.rows import Number, Trade
from mm.errors import BrokenFile
from mm.ids import IdRange, MissingIds
from mm.market_data.grid import Grid
from mm.market_data.local_orderbook import Level


class DepthUpdate(Struct, gc=False):
    """A ``depthUpdate``: absolute quantities for ids `U` to `u`; zero removes a level.

    `E` is when it was sent, `T` when its orders matched; `pu` and `T` are None on Spot.
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
        """For as many of the trades as one response can hold; the symbol is added later."""

    def page(self, body: bytes) -> TradePage: ...


@dataclass(frozen=True)
class Limits:
    """A venue's limits for one address, slightly below its own figures."""

    weight: float
    weight_window_s: float
    connections: float
    connections_window_s: float


class Decoder(Protocol):
    """Decodes one symbol's messages; raises ValueError, OffGrid or MsgspecError for unusable ones."""

    partial: Partial

    @property
    def symbols(self) -> Counter[str]: ...

    def received(self, body: bytes | str) -> Message: ...

    def answer(self, url: str, body: bytes | str) -> Message: ...

    def connected(self, url: str) -> Connected: ...


class MarketVenue(Protocol):
    """An exchange and one of its markets."""

    @property
    def name(self) -> str: ...

    @property
    def bases(self) -> tuple[str, str]: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def decoder(self, symbol: str, grid: Grid, *, packs: bool = False) -> Decoder: ...

    def check_address(self, url: str) -> None:
        """Raise WrongMarket if *url* serves another market, whose rule of ids differs."""

    def stream_url(self, base: str, symbol: str, trade_stream: str) -> str: ...

    def depth(self, symbol: str, limit: int) -> RestRequest: ...

    def levels(self, wanted: int) -> int: ...

    def exchange_info(self, symbol: str) -> RestRequest: ...

    def trade_history(self, *, aggregates: bool) -> Sequence[PastTrades]:
        """Best first; *aggregates*: ids number aggregates."""

    def last_trade(self) -> RestRequest: ...

    def last_trade_id(self, body: bytes, *, aggregates: bool) -> int | None: ...

    def refusal(self, status: int | None) -> RestRefusal: ...

    def refuses_symbol(self, answer: Answer, symbol: str) -> bool: ...

    def funding(self) -> RestRequest | None: ...

    def payments(self, body: bytes) -> Sequence[Funding]: ...

    def time(self) -> RestRequest: ...

    def server_time_us(self, body: bytes) -> int | None:
        """None if the response lacks it."""

    def used_weight(self, headers: Mapping[str, str]) -> int | None: ...


def with_symbol(request: RestRequest, symbol: str) -> RestRequest:
    return RestRequest(request.path, {"symbol": symbol, **request.params}, request.weight)
