"""A market's feed: addresses, requests, limits, and the decoder of its messages."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from mm.markets.grid import Grid
from mm.markets.market import Market, load
from mm.markets.messages import (
    Answer,
    Connected,
    Funding,
    Limits,
    Message,
    Partial,
    PastTrades,
    RestRefusal,
    RestRequest,
    Speech,
)
from mm.markets.records import Trade


class Decoder(Protocol):
    """Decodes one symbol's messages; raises ValueError, OffGrid or MsgspecError for unusable ones."""

    partial: Partial

    @property
    def symbols(self) -> Counter[str]: ...

    def received(self, body: bytes | str) -> Message: ...

    def answer(self, url: str, body: bytes | str) -> Message: ...

    def connected(self, url: str) -> Connected: ...


class Feed(Protocol):
    """What a market answers and sends: addresses, requests, limits, decoder."""

    @property
    def market(self) -> Market: ...

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

    def speech(self, symbol: str, book_depth: int | None = None) -> Speech:
        """Return what is said on a connection; *book_depth*: levels a side of its book, None: the usual."""

    def depth(self, symbol: str, limit: int) -> RestRequest: ...

    def levels(self, wanted: int) -> int: ...

    def exchange_info(self, symbol: str) -> RestRequest: ...

    def trade_history(self, *, aggregates: bool) -> Sequence[PastTrades]:
        """Best first; *aggregates*: ids number aggregates."""

    def last_trade(self) -> RestRequest: ...

    def last_trade_id(self, body: bytes, *, aggregates: bool) -> int | None: ...

    def recent_prints(self) -> RestRequest | None:
        """Return the request for the latest prints, if ids do not say which are missing."""

    def prints(self, body: bytes) -> Sequence[Trade]:
        """Return the prints of a response to `recent_prints`, oldest first, not numbered."""

    def refusal(self, status: int | None) -> RestRefusal: ...

    def refuses_symbol(self, answer: Answer, symbol: str) -> bool: ...

    def funding(self) -> RestRequest | None: ...

    def payments(self, body: bytes) -> Sequence[Funding]: ...

    def mark_price(self, paid_ms: int) -> RestRequest | None:
        """Return the request for the mark price of a payment, if `payments` lack it."""

    def mark_of(self, body: bytes) -> str:
        """Return the price of a response to `mark_price`; empty if it has none."""

    def time(self) -> RestRequest: ...

    def server_time_us(self, body: bytes) -> int | None:
        """None if the response lacks it."""

    def used_weight(self, headers: Mapping[str, str]) -> int | None: ...


def feed_of(market: Market) -> Feed:
    """Return the feed that the market's declaration names."""
    feed: Feed = load(market.feed_at)
    return feed
