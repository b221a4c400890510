"""Binance Spot as a `Feed`: addresses, limits, and the decoder of messages and REST responses."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
from msgspec import Raw, Struct

from mm.clock import US_PER_MS, US_STAMPS, checked_stamp, exchange_us
from mm.errors import UsageError
from mm.markets import local_orderbook
from mm.markets.binance import SPOT
from mm.markets.binance_trades import Aggregates, SingleTrades, SpannedTrades, last_id
from mm.markets.grid import Grid
from mm.markets.local_orderbook import Level, read_packed
from mm.markets.market import Market
from mm.markets.messages import (
    EXECUTED,
    AggTrade,
    Answer,
    BookFrame,
    BookTicker,
    Connected,
    DepthSnapshot,
    DepthUpdate,
    ExchangeInfo,
    Funding,
    Futures,
    Limits,
    Message,
    Other,
    Partial,
    PastTrades,
    RestRefusal,
    RestRequest,
    ServerShutdown,
    Speech,
    TradePrint,
    Unreadable,
)
from mm.markets.records import SENT_LATE_MS, Number, Trade

_FUTURES_HOSTS = ("fstream.", "dstream.", "fapi.", "dapi.")
FUTURES_EVENTS = frozenset(("markPriceUpdate", "forceOrder", "indexPriceUpdate", "continuous_kline", "compositeIndex"))
_FUTURES_STREAMS = frozenset(
    ("markPrice", "forceOrder", "indexPrice", "compositeIndex", "assetIndex", "contractInfo", "continuousKline")
)
_FUTURES_SPEEDS = frozenset(("0ms", "250ms", "500ms"))
SHUTDOWN_EVENT = "serverShutdown"
KINDS = {"depthUpdate": "depth", "markPriceUpdate": "markPrice"}
"""Streams by their events, where the names differ."""


class _Envelope(Struct, gc=False):
    stream: str = ""
    data: Raw = Raw(b"")
    e: str = ""
    s: str = ""
    u: int | None = None
    lastUpdateId: int | None = None
    symbols: Raw = Raw(b"")


class _Partial(Struct, gc=False):
    bids: list[Level] = []
    asks: list[Level] = []
    b: list[Level] = []
    a: list[Level] = []
    E: int | None = None
    T: int | None = None


class _Info(Struct):
    symbols: list[Raw]


class _InfoEntry(Struct):
    symbol: str


Payload = TypeVar("Payload")

_BEGINNING = b'{"stream":"'


class _FramedMessage(Struct, Generic[Payload], gc=False):
    stream: str
    data: Payload
    e: str = ""


class PackedDepth(Struct, gc=False):
    """A ``depthUpdate`` whose levels the kernel parses."""

    E: int
    s: str
    U: Number
    u: Number
    b: Raw
    a: Raw
    pu: int | None = None
    T: int | None = None

    def levels(self) -> tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]] | None:
        """Checked bids and asks in the kernel's form; None if a level does not have the exchange's format."""
        return read_packed(self.b, self.a)


class FramedStreams(Generic[Payload]):
    def __init__(self) -> None:
        self._decoders: dict[bytes, tuple[str, Any]] = {}

    def learn(self, name: str, payload: type[Payload]) -> None:
        self._decoders[name.encode()] = name, msgspec.json.Decoder(_FramedMessage[payload])  # type: ignore[valid-type]

    def read(self, body: bytes | str) -> Payload | None:
        """None if *body* needs the full decoder."""
        if not isinstance(body, bytes) or not body.startswith(_BEGINNING):
            return None
        known = self._decoders.get(body[len(_BEGINNING) : body.find(b'"', len(_BEGINNING))])
        if known is None:
            return None
        name, decoder = known
        try:
            framed: _FramedMessage[Payload] = decoder.decode(body)
        except msgspec.MsgspecError:
            return None
        return framed.data if not framed.e and framed.stream == name else None


_Stream = DepthUpdate | TradePrint | AggTrade | BookTicker
_FRAMED: dict[str, type[_Stream]] = {
    "depth": DepthUpdate,
    "trade": TradePrint,
    "aggTrade": AggTrade,
    "bookTicker": BookTicker,
}
_DECODERS: dict[str, msgspec.json.Decoder[_Stream]] = {
    kind: msgspec.json.Decoder(payload) for kind, payload in _FRAMED.items()
}
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_PARTIAL = msgspec.json.Decoder(_Partial)
_SNAPSHOT = msgspec.json.Decoder(DepthSnapshot)
MOST_PARTIAL = 20
_PARTIAL_KINDS = ("depth5", "depth10", "depth20")
_OTHER = Other()
_SHUTDOWN = ServerShutdown()


class Messages:
    """Decodes the messages of one symbol; other markets override the methods that begin with ``_own``."""

    def __init__(self, symbol: str, grid: Grid, *, packs: bool = False) -> None:
        self.symbols: Counter[str] = Counter()
        self._symbol = symbol
        self._grid = grid
        self._streams: dict[str, tuple[str, str]] = {}
        self._framed: FramedStreams[_Stream | PackedDepth] = FramedStreams()
        self._packs = packs and bool(local_orderbook.kernel)
        self.partial = Partial()

    def received(self, body: bytes | str) -> Message:
        """Decode a JSON text: a combined-stream message, a bare payload, or a REST response without its address.

        Raises:
            ValueError: If fields contradict each other (Unreadable), or a time is implausible.
            OffGrid: If a price or a quantity is not a decimal.
            msgspec.MsgspecError: If the JSON is broken or lacks a field.
        """
        framed = self._framed.read(body)
        message = _unpacked(framed) if isinstance(framed, PackedDepth) else framed
        if message is not None:
            self.symbols[self._symbol] += 1
            self._check(message)
            return message
        envelope = _ENVELOPE.decode(body)
        if SHUTDOWN_EVENT in (envelope.e, envelope.stream.removeprefix("!")):
            return _SHUTDOWN
        if envelope.stream:
            symbol, kind = self._streams.get(envelope.stream) or self._stream(envelope.stream)
            return self._message(kind, symbol, envelope.data)
        return self._bare(envelope, body)

    def _bare(self, envelope: _Envelope, body: bytes | str) -> Message:
        if envelope.symbols:
            return self._exchange_info(body)
        if envelope.lastUpdateId is not None:
            return (self._frame(body) if self.partial.answers else None) or self._snapshot(body, None)
        self._own_event(envelope.e)
        kind = KINDS.get(envelope.e, envelope.e)
        if kind == "depth" and self.partial.updates and envelope.s == self._symbol:
            return self._frame(body) or _OTHER
        if not kind and envelope.u is not None:
            kind = "bookTicker"
        return self._message(kind, envelope.s, body)

    def answer(self, url: str, body: bytes | str) -> Message:
        address = urlsplit(url)
        self._own_host(url)
        if address.path.endswith("/exchangeInfo"):
            return self._exchange_info(body)
        if not address.path.endswith("/depth"):
            return _OTHER
        symbol = parse_qs(address.query).get("symbol", [""])[0].upper()
        self.symbols[symbol] += 1
        return self._snapshot(body, symbol) if symbol == self._symbol else _OTHER

    def connected(self, url: str) -> Connected:
        self._own_host(url)
        return Connected(url)

    def _stream(self, name: str) -> tuple[str, str]:
        symbol, _, rest = name.partition("@")
        kind, _, speed = rest.partition("@")
        base = symbol[1:] if symbol.startswith("!") else kind.partition("_")[0]
        self._own_stream(name, base, speed)
        self._streams[name] = (symbol.upper(), kind)
        if symbol.upper() == self._symbol and kind in _FRAMED:
            self._framed.learn(name, PackedDepth if self._packs and kind == "depth" else _FRAMED[kind])
        return self._streams[name]

    def _message(self, kind: str, symbol: str, body: bytes | str | Raw) -> Message:
        decoder = _DECODERS.get(kind)
        if decoder is None and self.partial.named and kind in _PARTIAL_KINDS and symbol == self._symbol:
            return self._frame(body) or _OTHER
        if decoder is None:
            return self._own_message(kind, symbol, body)
        self.symbols[symbol] += 1
        if symbol != self._symbol:
            return _OTHER
        message = decoder.decode(body)
        self._check(message)
        return message

    def _check(self, message: _Stream) -> None:
        if message.s != self._symbol:
            raise Unreadable(f"a message of {message.s} in the stream of {self._symbol}")
        if isinstance(message, DepthUpdate):
            self._check_depth(message)
        elif isinstance(message, BookTicker):
            for price, qty in ((message.b, message.B), (message.a, message.A)):
                if self._grid.qty(qty):
                    self._grid.price(price)
        else:
            self._own_trade(message)
            checked_stamp(message.E, "E")
            checked_stamp(message.T, "T")
            if abs(message.E - message.T) > SENT_LATE_MS and abs(exchange_us(message.E) - exchange_us(message.T)) > (
                SENT_LATE_MS * US_PER_MS
            ):
                raise Unreadable(f"a trade of T={message.T} that was sent at E={message.E}")
            if isinstance(message, AggTrade) or message.X in EXECUTED:
                self._grid.check_one(message.p, message.q)

    def _check_depth(self, update: DepthUpdate) -> None:
        self._own_ids(update)
        if update.u < update.U:
            raise Unreadable(f"a depth update from U={update.U} down to u={update.u}")
        if update.E not in US_STAMPS:
            checked_stamp(update.E, "E")
        if update.T is not None and update.T not in US_STAMPS:
            checked_stamp(update.T, "T")
        if isinstance(update.b, list):
            self._grid.check([*update.b, *update.a])
            return
        self._grid.check_packed(update.b, update.a)

    def _snapshot(self, body: bytes | str, symbol: str | None) -> DepthSnapshot:
        snapshot = _SNAPSHOT.decode(body)
        self._own_snapshot(snapshot)
        self._grid.check(snapshot.bids)
        self._grid.check(snapshot.asks)
        snapshot.symbol = symbol
        return snapshot

    def _frame(self, body: bytes | str | Raw) -> BookFrame | None:
        partial = _PARTIAL.decode(body)
        bids, asks = partial.bids or partial.b, partial.asks or partial.a
        if max(len(bids), len(asks)) > MOST_PARTIAL:
            return None
        self.symbols[self._symbol] += 1
        self._grid.check([*bids, *asks])
        return BookFrame(bids, asks, partial.E, partial.T)

    def _exchange_info(self, body: bytes | str) -> Message:
        for entry in msgspec.json.decode(body, type=_Info).symbols:
            if msgspec.json.decode(entry, type=_InfoEntry).symbol == self._symbol:
                return ExchangeInfo(bytes(entry).decode())
        return _OTHER

    def _own_host(self, url: str) -> None:
        check_spot_host(url)

    def _own_event(self, event: str) -> None:
        if event in FUTURES_EVENTS:
            raise Futures(f"event {event!r}")

    def _own_message(self, kind: str, symbol: str, body: bytes | str | Raw) -> Message:  # noqa: ARG002
        return _OTHER

    def _own_stream(self, name: str, base: str, speed: str) -> None:
        if base in _FUTURES_STREAMS or (base == "depth" and speed in _FUTURES_SPEEDS):
            raise Futures(f"stream {name!r}")

    def _own_trade(self, trade: TradePrint | AggTrade) -> None:
        if isinstance(trade, TradePrint) and trade.X is not None:
            raise Futures("a trade with 'X'")

    def _own_ids(self, update: DepthUpdate) -> None:
        if update.pu is not None:
            raise Futures("a depth update with 'pu'")

    def _own_snapshot(self, snapshot: DepthSnapshot) -> None:
        if snapshot.E is not None:
            raise Futures("a depth snapshot with 'E'")


def _unpacked(packed: PackedDepth) -> DepthUpdate | None:
    levels = packed.levels()
    return levels and DepthUpdate(packed.E, packed.s, packed.U, packed.u, *levels, packed.pu, packed.T)


def check_spot_host(url: str) -> None:
    host = urlsplit(url).netloc
    if any(name in host for name in _FUTURES_HOSTS):
        raise Futures(f"host {host!r}")


_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1_000, 50), (5_000, 250))
_INFO_WEIGHT = 20
_WEIGHT_DIGITS = 6
_USED_WEIGHT = "X-MBX-USED-WEIGHT-1M"
_HEADERS = MappingProxyType({"X-MBX-TIME-UNIT": "MICROSECOND"})


_HELD_OFF = (418, 429)
_BAD_REQUEST = 400
_FORBIDDEN = 403  # by a firewall; the next request may pass
_INVALID_SYMBOL = -1121


class _Code(Struct):
    code: int


_CODE = msgspec.json.Decoder(_Code)


class _Time(msgspec.Struct):
    serverTime: int


class BinanceSpot:
    """Binance Spot, or an exchange with the same API."""

    market: Market = SPOT
    bases = "wss://stream.binance.com:9443", "https://api.binance.com"
    limits = Limits(weight=4_800, weight_window_s=60.0, connections=290, connections_window_s=300.0)
    headers: Mapping[str, str] = _HEADERS

    def decoder(self, symbol: str, grid: Grid, *, packs: bool = False) -> Messages:
        return Messages(symbol, grid, packs=packs)

    def check_address(self, url: str) -> None:
        check_spot_host(url)

    def stream_url(self, base: str, symbol: str, trade_stream: str) -> str:
        stream = quote(symbol.lower())
        return f"{base}/stream?streams={stream}@depth@100ms/{stream}@{trade_stream}&timeUnit=MICROSECOND"

    def speech(self, symbol: str, book_depth: int | None = None) -> Speech:  # noqa: ARG002 - the address says it
        if book_depth is not None:
            raise UsageError("{book_depth} {}: {} sends all changes of a book; omit it", book_depth, self.market.title)
        return Speech()

    def depth(self, symbol: str, limit: int) -> RestRequest:
        weight = next(weight for most, weight in _DEPTH_WEIGHTS if limit <= most)
        return RestRequest("/api/v3/depth", {"symbol": symbol, "limit": str(limit)}, weight)

    def levels(self, wanted: int) -> int:
        return wanted

    def exchange_info(self, symbol: str) -> RestRequest:
        return RestRequest("/api/v3/exchangeInfo", {"symbol": symbol}, _INFO_WEIGHT)

    def trade_history(self, *, aggregates: bool) -> Sequence[PastTrades]:
        return (Aggregates(),) if aggregates else (SingleTrades(), SpannedTrades())

    def last_trade(self) -> RestRequest:
        return Aggregates().last()

    def last_trade_id(self, body: bytes, *, aggregates: bool) -> int | None:
        return last_id(body, aggregates=aggregates)

    def recent_prints(self) -> RestRequest | None:
        return None

    def prints(self, body: bytes) -> Sequence[Trade]:  # noqa: ARG002
        return ()

    def refusal(self, status: int | None) -> RestRefusal:
        if status in _HELD_OFF:
            return RestRefusal.HOLDS_OFF
        stays = status is not None and 400 <= status < 500 and status != _FORBIDDEN
        return RestRefusal.STAYS if stays else RestRefusal.PASSES

    def refuses_symbol(self, answer: Answer, symbol: str) -> bool:  # noqa: ARG002 - not part of the error
        try:
            return answer.status == _BAD_REQUEST and _CODE.decode(answer.body).code == _INVALID_SYMBOL
        except (ValueError, msgspec.MsgspecError):
            return False

    def funding(self) -> RestRequest | None:
        return None

    def payments(self, body: bytes) -> Sequence[Funding]:  # noqa: ARG002
        return ()

    def mark_price(self, paid_ms: int) -> RestRequest | None:  # noqa: ARG002 - payments have it
        return None

    def mark_of(self, body: bytes) -> str:  # noqa: ARG002
        return ""

    def time(self) -> RestRequest:
        return RestRequest("/api/v3/time", {}, 1)

    def server_time_us(self, body: bytes) -> int | None:
        try:
            return exchange_us(msgspec.json.decode(body, type=_Time).serverTime)
        except (ValueError, msgspec.MsgspecError):
            return None

    def used_weight(self, headers: Mapping[str, str]) -> int | None:
        used = headers.get(_USED_WEIGHT, "")
        return int(used) if used.isascii() and used.isdigit() and len(used) <= _WEIGHT_DIGITS else None


BINANCE_SPOT = BinanceSpot()
