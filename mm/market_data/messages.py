"""What Binance Spot sends, as types: stream payloads and REST answers, decoded and distinguished.

Prices and quantities stay the exchange's own text. Whatever belongs to futures is refused: their update ids follow
another rule (`pu`), and a book built by the rule of Spot would be silently wrong.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Raw, Struct

from mm.clock import checked_stamp
from mm.errors import BrokenFile
from mm.market_data import kernel
from mm.market_data.grid import Grid
from mm.market_data.local_orderbook import Level

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A whole number of 64 bits that is not negative."""

_FUTURES_HOSTS = ("fstream.", "dstream.", "fapi.", "dapi.")
_FUTURES_EVENTS = frozenset(("markPriceUpdate", "forceOrder", "indexPriceUpdate", "continuous_kline", "compositeIndex"))
_FUTURES_STREAMS = frozenset(
    ("markPrice", "forceOrder", "indexPrice", "compositeIndex", "assetIndex", "contractInfo", "continuousKline")
)
_FUTURES_SPEEDS = frozenset(("0ms", "250ms", "500ms"))
SHUTDOWN_EVENT = "serverShutdown"


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


class ServerShutdown(Other):
    """The exchange will soon close the connection: another one should be opened at once."""


Message = DepthUpdate | TradePrint | AggTrade | BookTicker | DepthSnapshot | ExchangeInfo | Connected | Other


class Unreadable(ValueError):
    """A message is not what it should be; it says how."""


class Futures(BrokenFile):
    """A message that only futures markets send."""


class _Envelope(Struct, gc=False):
    """The fields that distinguish messages."""

    stream: str = ""
    data: Raw = Raw(b"")
    e: str = ""
    s: str = ""
    u: int | None = None
    lastUpdateId: int | None = None
    symbols: Raw = Raw(b"")


class _Info(Struct):
    symbols: list[Raw]


class _InfoEntry(Struct):
    symbol: str


Payload = TypeVar("Payload")

_BEGINNING = b'{"stream":"'


class _Framed(Struct, Generic[Payload], gc=False):
    """What frames a payload; `e` is that of a message which is framed by nothing."""

    stream: str
    data: Payload
    e: str = ""


class PackedDepth(Struct, gc=False):
    """A ``depthUpdate`` whose levels are left to the kernel."""

    E: int
    s: str
    U: Number
    u: Number
    b: Raw
    a: Raw
    pu: int | None = None

    def levels(self) -> tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]] | None:
        """Return bids and asks, checked, as the kernel keeps them; None where one is not as the exchange writes it."""
        bids, asks = kernel.levels.read_levels(self.b), kernel.levels.read_levels(self.a)
        return None if bids is None or asks is None else (bids, asks)


class FramedStreams(Generic[Payload]):
    """Read messages of streams whose names are registered."""

    def __init__(self) -> None:
        self._decoders: dict[bytes, tuple[str, Any]] = {}

    def learn(self, name: str, payload: type[Payload]) -> None:
        """Remember that the stream *name* has messages of the type *payload*."""
        self._decoders[name.encode()] = name, msgspec.json.Decoder(_Framed[payload])  # type: ignore[valid-type]

    def read(self, body: bytes | str) -> Payload | None:
        """Return the payload; None where *body* is not plainly such a message, and must be looked at more closely."""
        if not isinstance(body, bytes) or not body.startswith(_BEGINNING):
            return None
        known = self._decoders.get(body[len(_BEGINNING) : body.find(b'"', len(_BEGINNING))])
        if known is None:
            return None
        name, decoder = known
        try:
            framed: _Framed[Payload] = decoder.decode(body)
        except msgspec.MsgspecError:
            return None
        return framed.data if not framed.e and framed.stream == name else None


_Stream = DepthUpdate | TradePrint | AggTrade | BookTicker
_DECODERS: dict[str, msgspec.json.Decoder[_Stream]] = {
    "depth": msgspec.json.Decoder(DepthUpdate),
    "trade": msgspec.json.Decoder(TradePrint),
    "aggTrade": msgspec.json.Decoder(AggTrade),
    "bookTicker": msgspec.json.Decoder(BookTicker),
}
_FRAMED: dict[str, type[_Stream]] = {"depth": DepthUpdate, "trade": TradePrint, "aggTrade": AggTrade}
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_SNAPSHOT = msgspec.json.Decoder(DepthSnapshot)
_OTHER = Other()
_SHUTDOWN = ServerShutdown()


class Messages:
    """Decode the messages of one symbol.

    Args:
        symbol: The symbol, upper case; messages of others are `Other`.
        grid: Checks, and learns from, every price and quantity of the symbol.
        packs: Whether levels of updates may come as a kernel reads them, where there is one: any sequence of texts.

    Attributes:
        symbols: Messages a symbol, of the kinds that a day folder is made of; every symbol that was seen.
    """

    def __init__(self, symbol: str, grid: Grid, *, packs: bool = False) -> None:
        self.symbols: Counter[str] = Counter()
        self._symbol = symbol
        self._grid = grid
        self._streams: dict[str, tuple[str, str]] = {}
        self._framed: FramedStreams[_Stream | PackedDepth] = FramedStreams()
        self._packs = packs and bool(kernel.levels)

    def received(self, body: bytes | str) -> Message:
        """Return what a JSON text is: a combined-stream message, a bare payload, or a REST answer without its address.

        Raises:
            ValueError: If a field contradicts the others (Unreadable), or a time is none of ours; OffGrid if a price or
                a quantity is no decimal; msgspec.MsgspecError if the JSON is broken or lacks a field.
            Futures: If only futures markets send it.
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
        if envelope.symbols:
            return self._exchange_info(body)
        if envelope.lastUpdateId is not None:
            return self._snapshot(body, None)
        if envelope.e in _FUTURES_EVENTS:
            raise Futures(f"event {envelope.e!r}")
        kind = "depth" if envelope.e == "depthUpdate" else envelope.e
        if not kind and envelope.u is not None:
            kind = "bookTicker"
        return self._message(kind, envelope.s, body)

    def answer(self, url: str, body: bytes | str) -> Message:
        """Return what the REST answer from *url* is; raises as `received`."""
        address = urlsplit(url)
        check_spot_host(url)
        if address.path.endswith("/exchangeInfo"):
            return self._exchange_info(body)
        if not address.path.endswith("/depth"):
            return _OTHER
        symbol = parse_qs(address.query).get("symbol", [""])[0].upper()
        self.symbols[symbol] += 1
        return self._snapshot(body, symbol) if symbol == self._symbol else _OTHER

    def connected(self, url: str) -> Connected:
        """Return the message that a connection to *url* was opened; raises Futures where the host serves those."""
        check_spot_host(url)
        return Connected(url)

    def _stream(self, name: str) -> tuple[str, str]:
        """Return the symbol and kind of a stream name, such as ``btcusdt@depth@100ms``."""
        symbol, _, rest = name.partition("@")
        kind, _, speed = rest.partition("@")
        base = symbol[1:] if symbol.startswith("!") else kind.partition("_")[0]
        if base in _FUTURES_STREAMS or (kind == "depth" and speed in _FUTURES_SPEEDS):
            raise Futures(f"stream {name!r}")
        self._streams[name] = (symbol.upper(), kind)
        if symbol.upper() == self._symbol and kind in _FRAMED:
            self._framed.learn(name, PackedDepth if self._packs and kind == "depth" else _FRAMED[kind])
        return self._streams[name]

    def _message(self, kind: str, symbol: str, body: bytes | str | Raw) -> Message:
        decoder = _DECODERS.get(kind)
        if decoder is None:
            return _OTHER
        self.symbols[symbol] += 1
        if symbol != self._symbol:
            return _OTHER
        message = decoder.decode(body)
        self._check(message)
        return message

    def _check(self, message: _Stream) -> None:
        """Raise where a message of the symbol's own stream is not what it should be."""
        if message.s != self._symbol:
            raise Unreadable(f"the stream is of {self._symbol}, its message of {message.s}")
        if isinstance(message, DepthUpdate):
            self._check_depth(message)
        elif isinstance(message, BookTicker):
            best = ((message.b, message.B), (message.a, message.A))
            self._grid.check([level for level in best if level[1].strip("0.")])
        else:
            if isinstance(message, TradePrint) and message.X is not None:
                raise Futures("a trade with 'X'")
            checked_stamp(message.E, "E")
            checked_stamp(message.T, "T")
            self._grid.check_one(message.p, message.q)

    def _check_depth(self, update: DepthUpdate) -> None:
        if update.pu is not None:
            raise Futures("a depth update with 'pu'")
        if update.u < update.U:
            raise Unreadable(f"a depth update from U={update.U} down to u={update.u}")
        checked_stamp(update.E, "E")
        if isinstance(update.b, list):
            self._grid.check([*update.b, *update.a])
        else:  # the kernel did
            self._grid.passed(update.b.step_e8)  # type: ignore[attr-defined]
            self._grid.passed(update.a.step_e8)  # type: ignore[attr-defined]

    def _snapshot(self, body: bytes | str, symbol: str | None) -> DepthSnapshot:
        snapshot = _SNAPSHOT.decode(body)
        if snapshot.E is not None:
            raise Futures("a depth snapshot with 'E'")
        self._grid.check(snapshot.bids)
        self._grid.check(snapshot.asks)
        snapshot.symbol = symbol
        return snapshot

    def _exchange_info(self, body: bytes | str) -> Message:
        for entry in msgspec.json.decode(body, type=_Info).symbols:
            if msgspec.json.decode(entry, type=_InfoEntry).symbol == self._symbol:
                return ExchangeInfo(bytes(entry).decode())
        return _OTHER


def _unpacked(packed: PackedDepth) -> DepthUpdate | None:
    """Return the update; None where it must be looked at more closely."""
    levels = packed.levels()
    return levels and DepthUpdate(packed.E, packed.s, packed.U, packed.u, *levels, packed.pu)


def check_spot_host(url: str) -> None:
    """Raise Futures where the host of *url* serves those."""
    host = urlsplit(url).netloc
    if any(name in host for name in _FUTURES_HOSTS):
        raise Futures(f"host {host!r}")
