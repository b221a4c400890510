"""Bybit's frames and answers (v5) as messages: books, prints, tickers, instruments.

A frame holds many prints, and a ticker's one best prices and a mark: these come as `Several`. A linear ticker tells
only what has changed; Spot's has neither best prices nor a mark.
"""

import json
import re
from collections import Counter
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct, field

from mm.clock import US_PER_MS, checked_stamp, exchange_us
from mm.instrument import e8, short_text
from mm.markets import local_orderbook
from mm.markets.bybit import LINEAR, SPOT
from mm.markets.bybit_public import BybitPublic
from mm.markets.grid import Grid
from mm.markets.local_orderbook import Level, read_packed
from mm.markets.market import Market
from mm.markets.messages import (
    BookTicker,
    Connected,
    DepthSnapshot,
    DepthUpdate,
    ExchangeInfo,
    MarkPrice,
    Message,
    Other,
    Partial,
    Several,
    StreamAnswer,
    TradePrint,
    Unreadable,
    WrongMarket,
)
from mm.markets.records import SENT_LATE_MS, Levels, Number
from mm.markets.trade_ids import TradeNumbers

_OTHER = Other()
_TOPIC = re.compile(rb'"topic"\s*:\s*"([^"]*)"')
LEAST_BOOK = 50
"""Topics of fewer levels (1) are never the book of a day."""


class _Book(Struct, gc=False):
    s: str
    u: Number
    b: list[Level]
    a: list[Level]
    seq: Number = 0


Content = TypeVar("Content")


class _BookFrame(Struct, Generic[Content], gc=False):
    type: Literal["snapshot", "delta"]
    ts: int
    data: Content
    cts: int = 0


class _PackedBook(Struct, gc=False):
    """A book whose levels the kernel parses."""

    s: str
    u: Number
    b: Raw
    a: Raw
    seq: Number = 0


class _Print(Struct, gc=False):
    T: int
    s: str
    S: Literal["Buy", "Sell"]
    v: str
    p: str
    i: str
    BT: bool = False
    RPI: bool | None = None
    seq: Number | None = None


class _PrintFrame(Struct, gc=False):
    ts: int
    data: list[_Print]


class _Ticker(Struct, gc=False):
    symbol: str
    bid1Price: str = ""
    bid1Size: str = ""
    ask1Price: str = ""
    ask1Size: str = ""
    markPrice: str = ""
    indexPrice: str = ""
    fundingRate: str = ""
    nextFundingTime: str = ""


class _TickerFrame(Struct, gc=False):
    type: str
    ts: int
    data: _Ticker
    cs: Number = 0


class _Frame(Struct, gc=False):
    topic: str = ""
    retCode: int | None = None
    result: Raw = Raw(b"")
    op: str = ""
    success: bool = False
    ret_msg: str = ""
    req_id: str = ""


class _Listing(Struct):
    category: str = ""
    entries: list[Raw] = field(name="list", default_factory=list)


class _Listed(Struct):
    symbol: str


_FRAME = msgspec.json.Decoder(_Frame)
_BOOK = msgspec.json.Decoder(_BookFrame[_Book])
_PACKED = msgspec.json.Decoder(_BookFrame[_PackedBook])
_PRINTS = msgspec.json.Decoder(_PrintFrame)
_TICKER = msgspec.json.Decoder(_TickerFrame)
_LISTING = msgspec.json.Decoder(_Listing)
_MARKS = ("markPrice", "indexPrice", "fundingRate", "nextFundingTime")
_BEST = ("bid1Price", "bid1Size", "ask1Price", "ask1Size")


class BybitMessages:
    """Decodes the messages of one symbol.

    Args:
        book_depth: Levels of the book's topic; None: of the first topic that comes, of those with at least 50.
        packs: Whether the kernel may parse the levels of changes.
    """

    def __init__(
        self, market: Market, symbol: str, grid: Grid, book_depth: int | None = None, *, packs: bool = False
    ) -> None:
        self._packs = packs and bool(local_orderbook.kernel)
        self.symbols: Counter[str] = Counter()
        self.partial = Partial()
        self.book_depth = book_depth
        self._market, self._symbol, self._grid = market, symbol, grid
        self._topics: dict[str, tuple[str, int, str]] = {}
        self._ticker: dict[str, str] = {}

    def received(self, body: bytes | str) -> Message:
        """Decode a frame, or a REST response without its address.

        Raises:
            ValueError: If fields contradict each other (Unreadable), or a time is implausible.
            OffGrid: If a price or a quantity is not a decimal.
            msgspec.MsgspecError: If the JSON is broken or lacks a field.
        """
        raw = body.encode() if isinstance(body, str) else body
        found = _TOPIC.search(raw, 0, 200)
        topic = found[1].decode() if found else _FRAME.decode(raw).topic
        if not topic:
            return self._rest(raw)
        kind, depth, symbol = self._topics.get(topic) or self._topic(topic)
        self.symbols[symbol] += kind in _KINDS
        if symbol != self._symbol or kind not in _KINDS:
            return _OTHER
        if kind == "orderbook":
            return self._book(depth, raw)
        return self._prints(raw) if kind == "publicTrade" else self._tickers(raw)

    def answer(self, url: str, body: bytes | str) -> Message:
        """Decode the response from *url*: an instrument of this market and symbol."""
        mine = re.search(self._market.connections, url)
        return self._rest(body if isinstance(body, bytes) else body.encode()) if mine else _OTHER

    def connected(self, url: str) -> Connected:
        """Return what a capture says of a new connection; raises WrongMarket for another market's."""
        check_address(self._market, url)
        return Connected(url)

    def _topic(self, topic: str) -> tuple[str, int, str]:
        kind, *rest, symbol = topic.split(".")
        depth = int(rest[0]) if kind == "orderbook" and len(rest) == 1 and rest[0].isdecimal() else 0
        self._topics[topic] = kind, depth, symbol
        return self._topics[topic]

    def _book(self, depth: int, raw: bytes) -> Message:
        if depth != self.book_depth:
            if depth < LEAST_BOOK or self.book_depth is not None:
                return _OTHER
            self.book_depth = depth
        packed = _PACKED.decode(raw) if self._packs else None
        levels = packed and read_packed(packed.data.b, packed.data.a)
        if packed and levels:
            self._grid.check_packed(*levels)
            return self._book_of(packed, depth, *levels)
        frame = _BOOK.decode(raw)
        self._grid.check([*frame.data.b, *frame.data.a])
        return self._book_of(frame, depth, frame.data.b, frame.data.a)

    def _book_of(
        self, frame: "_BookFrame[_PackedBook] | _BookFrame[_Book]", depth: int, bids: Levels, asks: Levels
    ) -> Message:
        data, matched = frame.data, frame.cts or None
        self._own(data.s)
        checked_stamp(frame.ts, "ts")
        if matched is not None:
            checked_stamp(matched, "cts")
        if frame.type == "snapshot":
            return DepthSnapshot(data.u, [*bids], [*asks], frame.ts, data.s, depth, matched, data.seq or None)
        return DepthUpdate(frame.ts, data.s, data.u, data.u, bids, asks, None, matched, data.seq or None)

    def _prints(self, raw: bytes) -> Message:
        frame = _PRINTS.decode(raw)
        checked_stamp(frame.ts, "ts")
        prints: list[Message] = [self._print(frame.ts, told) for told in frame.data]
        return prints[0] if len(prints) == 1 else Several(prints)

    def _print(self, sent: int, told: _Print) -> TradePrint:
        self._own(told.s)
        checked_stamp(told.T, "T")
        late_us = abs(exchange_us(sent) - exchange_us(told.T))
        if late_us > SENT_LATE_MS * US_PER_MS:
            raise Unreadable(f"a print of T={told.T} that was sent at ts={sent}")
        if not is_cell(told.i):
            raise Unreadable(f"a print with the id {told.i!r}")
        self._grid.check_one(told.p, told.v)
        if told.i.isdecimal() is (self._market.trade_numbers is TradeNumbers.TEXT):
            raise WrongMarket(f"the print {told.i!r}")
        text = told.p, told.v
        return TradePrint(sent, told.s, 0, *text, told.T, told.S == "Sell", None, told.i, told.seq, told.RPI, told.BT)

    def _tickers(self, raw: bytes) -> Message:
        frame = _TICKER.decode(raw)
        self._own(frame.data.symbol)
        checked_stamp(frame.ts, "ts")
        news = {name: text for name in (*_BEST, *_MARKS) if (text := getattr(frame.data, name))}
        self._ticker = news if frame.type == "snapshot" else self._ticker | news
        told: list[Message] = []
        if frame.cs and self._ticker.keys() >= {*_BEST}:
            told.append(self._best(frame))
        if news.keys() & {*_MARKS} and self._ticker.get("markPrice"):
            told.append(self._mark(frame.ts))
        return told[0] if len(told) == 1 else Several(told) if told else _OTHER

    def _best(self, frame: _TickerFrame) -> BookTicker:
        bid, bid_qty, ask, ask_qty = (self._ticker[name] for name in _BEST)
        self._grid.check([(bid, bid_qty), (ask, ask_qty)])
        return BookTicker(frame.cs, self._symbol, bid, bid_qty, ask, ask_qty, frame.ts, frame.ts)

    def _mark(self, sent: int) -> MarkPrice:
        mark, index, rate, paid = (self._ticker.get(name, "") for name in _MARKS)
        e8(mark), e8(index or "0"), e8(rate or "0")
        return MarkPrice(sent, self._symbol, mark, rate or "0", int(paid or 0), index)

    def _own(self, symbol: str) -> None:
        if symbol != self._symbol:
            raise Unreadable(f"a message of {symbol} in a topic of {self._symbol}")

    def _rest(self, raw: bytes) -> Message:
        frame = _FRAME.decode(raw)
        if frame.op:
            return StreamAnswer(frame.op, frame.req_id, frame.success, frame.ret_msg)
        if frame.retCode != 0 or not frame.result:
            return _OTHER
        listing = _LISTING.decode(frame.result)
        if listing.category and not re.search(self._market.connections, f"category={listing.category}"):
            return _OTHER
        for entry in listing.entries:
            with_symbol = bytes(entry).startswith(b"{") and b'"priceFilter"' in bytes(entry)
            if with_symbol and msgspec.json.decode(entry, type=_Listed).symbol == self._symbol:
                return ExchangeInfo(exchange_info(json.loads(bytes(entry)), listing.category))
        return _OTHER


def is_cell(name: str) -> bool:
    """Return whether a print's *name* can stand in a cell of a day's files as it is."""
    return bool(name) and name.isprintable() and not (" " in name or "," in name or '"' in name)


_KINDS = ("orderbook", "publicTrade", "tickers")


def exchange_info(entry: dict[str, Any], category: str) -> str:
    """Return an instrument in the form of ``instrument.json``, with the exchange's own entry in ``entry``.

    `priceScale` is for display, never the grid; Spot's quantity step is `basePrecision`.
    """
    price, lot = entry["priceFilter"], entry["lotSizeFilter"]
    step = lot.get("qtyStep") or lot["basePrecision"]
    notional = lot.get("minNotionalValue") or lot.get("minOrderAmt") or "0"
    lots = {"minQty": lot.get("minOrderQty", step), "stepSize": step}
    most = lot.get("maxLimitOrderQty") or lot.get("maxOrderQty")
    return json.dumps(
        {
            "symbol": entry["symbol"],
            "status": "TRADING" if entry.get("status") == "Trading" else "BREAK",
            "baseAsset": entry.get("baseCoin", ""),
            "quoteAsset": entry.get("quoteCoin", ""),
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": short_text(e8(price["tickSize"]))},
                {"filterType": "LOT_SIZE", **lots, **({"maxQty": most} if most else {})},
                {"filterType": "NOTIONAL", "minNotional": notional},
            ],
            "entry": {"category": category, **entry},
        }
    )


def check_address(market: Market, url: str) -> None:
    """Raise WrongMarket if *url* is of another market of the exchange."""
    if "/v5/public/" in url and not re.search(market.connections, url):
        raise WrongMarket(f"address {url!r}")


class Bybit(BybitPublic):
    """What Bybit sends of one market.

    Attributes:
        bases: Addresses of streams and REST.
    """

    bases = "wss://stream.bybit.com", "https://api.bybit.com"

    def __init__(self, market: Market) -> None:
        self.market = market

    def decoder(self, symbol: str, grid: Grid, *, packs: bool = False) -> BybitMessages:
        return BybitMessages(self.market, symbol, grid, packs=packs)

    def check_address(self, url: str) -> None:
        check_address(self.market, url)


BYBIT_LINEAR, BYBIT_SPOT = Bybit(LINEAR), Bybit(SPOT)
