"""Reads raw captures of Binance Spot and USD-M, line by line, as typed messages with their receive times."""

import mmap
import re
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import Raw, Struct

from mm.base.paths import shown_name
from mm.clock import LAST_US, US_PER_S, iso, stamp_to_us
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.line_files import GZIP_FORMAT
from mm.errors import BrokenFile, OffGrid, Sentence
from mm.market_data.message_batch import MessageBatch
from mm.market_data.partial_books import MOST_LINES, BookContent, content_of
from mm.market_data.stamps import Moved, Steady
from mm.markets.feed import Feed, feed_of
from mm.markets.grid import Grid
from mm.markets.market import Market
from mm.markets.messages import (
    AggTrade,
    Funding,
    Futures,
    Message,
    Other,
    Partial,
    Several,
    TradePrint,
    Unreadable,
    WrongMarket,
)
from mm.markets.registry import DEFAULT, MARKETS

BOM = b"\xef\xbb\xbf"  # before the text of files that editors and spreadsheets have saved
CHUNK_BYTES = 1 << 18
LONGEST_LINE = 1 << 26
_GZIP = b"\x1f\x8b\x08"
_OTHER_PACKINGS = {
    b"\x28\xb5\x2f\xfd": ("zstd", "unpack it with `zstd -d`"),
    b"BZh": ("bzip2", "unpack it with `bunzip2`"),
    b"\xfd7zXZ": ("xz", "unpack it with `unxz`"),
    b"PK\x03\x04": ("zip", "unpack it with `unzip`"),
    b"PAR1": ("Parquet", "give the raw lines it was made from"),
}
ACCEPTED = (
    "accepted: plain or gzip lines of '<receive stamp> <JSON>', and captures that begin with a "
    'configuration record ("wss://… <-> time", or JSON with "t":"header"); files of other sources need --format '
    "(mm data import --help lists the forms)"
)


class CaptureLines:
    """The lines of one file, without their newlines, empty ones included.

    Attributes:
        cut: Whether the line has no newline and so may be a fragment: at the end of the file, or in a damaged stretch.
    """

    def __init__(self, path: Path, progress: Callable[[int], None] = lambda _done: None) -> None:
        self.path = path
        self.number = 0
        self.cut = False
        self.lost_bytes = 0
        self.ends_early = False
        self._progress = progress
        self._head = _head(path)

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            rest = b""
            for chunk in self._gunzip(data) if self._head.startswith(_GZIP) else self._plain(data):
                if chunk is None:
                    yield from self._fragment(rest)
                    rest = b""
                    continue
                block = rest + chunk
                yield from self._whole(block)
                rest = block[block.rfind(b"\n") + 1 :]
                if len(rest) > LONGEST_LINE:
                    raise BrokenFile(
                        f"{self.path}:{self.number + 1}: a line of more than {LONGEST_LINE} bytes; {ACCEPTED}"
                    )
            yield from self._fragment(rest)

    def _whole(self, block: bytes) -> Iterator[bytes]:
        at = 0
        while (end := block.find(b"\n", at)) >= 0:
            self.number += 1
            yield block[at:end] if self.number > 1 else block[at:end].removeprefix(BOM)
            at = end + 1

    def _fragment(self, rest: bytes) -> Iterator[bytes]:
        if rest:
            self.number += 1
            self.cut = True
            yield rest
            self.cut = False

    def _plain(self, data: mmap.mmap) -> Iterator[bytes]:
        for at in range(0, len(data), CHUNK_BYTES):
            yield data[at : at + CHUNK_BYTES]
            self._progress(min(at + CHUNK_BYTES, len(data)))

    def _gunzip(self, data: mmap.mmap) -> Iterator[bytes | None]:
        start = 0
        while 0 <= start < len(data):
            inflate, at = zlib.decompressobj(GZIP_FORMAT), start
            before = inflate.copy()
            try:
                while at < len(data) and not inflate.eof:
                    before = inflate.copy()
                    yield inflate.decompress(data[at : at + CHUNK_BYTES])
                    at = min(at + CHUNK_BYTES, len(data)) - len(inflate.unused_data)
                    self._progress(at)
            except zlib.error:
                following = _next_member(data, start + 1)
                chunk = data[at : min(at + CHUNK_BYTES, following)]
                good, used = _salvage(before, chunk)
                self.lost_bytes += max(following - at, 0) - used
                start = following
                yield good
                yield None
            else:
                self.ends_early = not inflate.eof
                start = _skip_zeros(data, at)


def refuse_folder(path: Path) -> None:
    if path.is_dir():
        inside = sorted(entry for entry in path.iterdir() if entry.is_file())
        example = f", such as {inside[0]}" if inside else ""
        raise BrokenFile(f"{path}: this is a folder; give the captures in it{example}")


def _head(path: Path) -> bytes:
    refuse_folder(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise BrokenFile(f"{path}: cannot be read ({error.strerror}); give the path of a capture") from error
    if not head:
        raise BrokenFile(f"{path}: the file is empty; leave it out, or copy the capture again")
    for magic, (name, remedy) in _OTHER_PACKINGS.items():
        if head.startswith(magic):
            raise BrokenFile(f"{path}: this is a {name} file; {remedy}; {ACCEPTED}")
    return head


def _salvage(inflate: "zlib._Decompress", chunk: bytes) -> tuple[bytes, int]:
    good = bytearray()
    for at in range(len(chunk)):
        try:
            good += inflate.decompress(chunk[at : at + 1])
        except zlib.error:
            return bytes(good), at
    return bytes(good), len(chunk)


def _next_member(data: mmap.mmap, start: int) -> int:
    at = data.find(_GZIP, start)
    while at >= 0:
        try:
            if zlib.decompressobj(GZIP_FORMAT).decompress(data[at : at + CHUNK_BYTES]):
                return at
        except zlib.error:
            pass
        at = data.find(_GZIP, at + 1)
    return len(data)


def _skip_zeros(data: mmap.mmap, at: int) -> int:
    while at < len(data) and data[at] == 0:
        at += 1
    return at


EARLIEST_US = 10**15
RECOGNISE_LINES = 20


class Broken(Struct):
    """A line that could not be read, perhaps because it was cut off."""

    raw: bytes
    reason: str
    cut: bool


class BookLoss(Struct):
    """The book is no longer valid; *unseen*: since an unknown instant after its last message."""

    cause: str
    unseen: bool = False


class Remark(Struct):
    kind: str
    details: dict[str, Any]


class CapturedMessage(NamedTuple):
    """One line: receive time (µs; None without a stamp), message, and whether it is a REST response."""

    recv_us: int | None
    message: Message | Broken | BookLoss | Remark | Funding | MessageBatch
    answer: bool = False


@dataclass
class FilePlace:
    """Position in a file that is used completely or not at all."""

    path: Path
    number: int = 0
    lost_bytes: int = 0
    ends_early: bool = False
    symbols: Counter[str] = field(default_factory=Counter)

    def broken(self, what: str, way_out: Sentence | str, row: int | None = None) -> BrokenFile:
        row = self.number if row is None else row
        return BrokenFile("{}:{}: {}; {}", self.path, row, what, way_out)


class CaptureLike(Protocol):
    """A capture as an import reads it: one symbol's messages in order of arrival."""

    @property
    def lines(self) -> CaptureLines | FilePlace: ...

    @property
    def line(self) -> int: ...

    @property
    def symbols(self) -> Counter[str]: ...

    @property
    def told(self) -> Sequence[str]:
        """How the files were read, if that had to be inferred."""

    @property
    def warnings(self) -> Sequence[str]: ...

    def __iter__(self) -> Iterator[CapturedMessage]: ...

    def where(self) -> str: ...

    def write_order_logs(self, folders: Sequence[DayFolder], zone: str, tick_e8: int, lot_e8: int) -> Sequence[str]: ...


class _Packet(NamedTuple):
    recv_us: int | None
    url: str
    body: bytes | str


class _CaptureLine(NamedTuple):
    """*far_us* is its own receive time, if that was far from its neighbours' and replaced."""

    number: int
    text: bytes
    cut: bool
    packet: _Packet | None
    reason: str = ""
    far_us: int = 0


class _Record(Struct, gc=False):
    t: str
    ts: Raw = Raw(b"")
    url: str = ""
    addr: str = ""
    data: str = ""
    exchange: str = ""
    conn: str = ""


_HEADER = re.compile(rb'\{\s*"t"\s*:\s*"header"')
_RECORD = msgspec.json.Decoder(_Record)
_OTHER = Other()


class Capture:
    def __init__(
        self,
        path: Path,
        symbol: str,
        grid: Grid,
        progress: Callable[[int], None] = lambda _done: None,
        feed: Feed | None = None,
    ) -> None:
        self.lines = CaptureLines(path, progress)
        self._symbol = symbol
        feed = feed or feed_of(DEFAULT)
        self._messages = feed.decoder(symbol, grid, packs=not grid.tick_e8)  # prices off a given tick are counted
        self.symbols = self._messages.symbols
        self.market = feed.market
        self.line = 0
        self.told: Sequence[str] = ()
        self._far = Moved()
        self._split = self._recognise()

    def content(self) -> BookContent:
        return content_of(self._symbol, self._packets())

    def read_partial(self, content: BookContent) -> None:
        self._messages.partial = Partial(True, content.bare_updates, content.bare_answers)

    def _packets(self) -> Iterator[tuple[str, bytes | str]]:
        for line in islice(CaptureLines(self.lines.path), MOST_LINES):
            with suppress(ValueError, msgspec.MsgspecError):
                _, url, body = self._split(line)
                yield url, body

    @property
    def warnings(self) -> list[str]:
        return self._far.far()

    def __iter__(self) -> Iterator[CapturedMessage]:
        lines = (self._parsed(line) for line in self.lines if line.strip())
        if isinstance(self._split, _Records):  # a REST response may precede all messages
            return _answers_in_time(_single(map(self._received, lines)))
        return _single(map(self._received, Steady(lines, _us_of, self._far_line)))

    def where(self) -> str:
        return f"{shown_name(self.lines.path)}:{self.line}"

    def write_order_logs(self, _folders: Sequence[DayFolder], _zone: str, _tick_e8: int, _lot_e8: int) -> Sequence[str]:
        return ()

    def _parsed(self, text: bytes) -> _CaptureLine:
        try:
            return _CaptureLine(self.lines.number, text, self.lines.cut, self._split(text))
        except (ValueError, msgspec.MsgspecError) as error:
            return _CaptureLine(self.lines.number, text, self.lines.cut, None, str(error))

    def _far_line(self, line: _CaptureLine, us: int, _first_us: int) -> _CaptureLine:
        packet = line.packet
        assert packet is not None
        own_us = packet.recv_us or 0
        self._far.note(f"{shown_name(self.lines.path)}:{line.number}", own_us, us)
        return line._replace(packet=packet._replace(recv_us=us), far_us=own_us)

    def _received(self, line: _CaptureLine) -> CapturedMessage:
        self.line = line.number
        if line.packet is None:
            return CapturedMessage(None, Broken(line.text, f"{self.where()}: {line.reason}", line.cut))
        recv_us, url, body = line.packet
        try:
            message = self._message(url, body)
        except (ValueError, OffGrid, msgspec.MsgspecError) as error:
            return CapturedMessage(recv_us, Broken(line.text, f"{self.where()}: {error}", line.cut))
        except WrongMarket as error:
            where = f"{self.lines.path}:{self.line}: {error}"
            if isinstance(error, Futures):
                raise Futures(
                    f"{where} belongs to futures, whose update ids follow another rule; give captures "
                    f"entirely of Binance Spot or entirely of USD-M"
                ) from error
            raise WrongMarket(f"{where} does not belong to {self.market.title}; give captures of one market") from error
        if line.far_us and isinstance(message, (TradePrint, AggTrade)):
            reason = f"{self.where()}: its receive time {iso(line.far_us)} is far from the lines around it"
            return CapturedMessage(recv_us, Broken(line.text, reason, cut=False))
        return CapturedMessage(recv_us, message, answer=bool(url and body))

    def _message(self, url: str, body: bytes | str) -> Message:
        if not body:
            return self._messages.connected(url) if url else _OTHER
        return self._messages.answer(url, body) if url else self._messages.received(body)

    def _recognise(self) -> Callable[[bytes], _Packet]:
        first = [line for line in islice(CaptureLines(self.lines.path), RECOGNISE_LINES) if line.strip()]
        for line in first:
            if _HEADER.match(line):
                self._check_recorder(line)
                return _Records(self.market)
            try:
                _split_stamped(line)
            except ValueError:
                continue
            return _split_stamped
        what = _describe(first[0]) if first else "its first lines are empty"
        raise BrokenFile(f"{self.lines.path}:1: not a capture of {self.market.title}: {what}; {ACCEPTED}")

    def _check_recorder(self, line: bytes) -> None:
        path = self.lines.path
        try:
            exchange = _RECORD.decode(line).exchange
        except (ValueError, msgspec.MsgspecError) as error:
            raise BrokenFile(f"{path}:1: the configuration record is broken ({error}); {ACCEPTED}") from error
        if exchange in self.market.recorded_as:
            return
        known = ", ".join(name for market in MARKETS for name in MARKETS[market].recorded_as)
        kind = (
            Futures
            if any(exchange in MARKETS[name].recorded_as for name in MARKETS if MARKETS[name].contract)
            else WrongMarket
        )
        raise kind(f"{path}:1: a capture of exchange {exchange!r}; accepted: {known}")


def _single(received: Iterator[CapturedMessage]) -> Iterator[CapturedMessage]:
    """Yield the messages of a frame one by one."""
    for captured in received:
        if isinstance(captured.message, Several):
            yield from (captured._replace(message=message) for message in captured.message.messages)
        else:
            yield captured


def _answers_in_time(received: Iterator[CapturedMessage]) -> Iterator[CapturedMessage]:
    answers: deque[CapturedMessage] = deque()
    for captured in received:
        if captured.answer:
            answers.append(captured)
            continue
        while answers and (answers[0].recv_us or 0) <= (captured.recv_us or 0):
            yield answers.popleft()
        yield captured
    yield from answers


def _us_of(line: _CaptureLine) -> int | None:
    return line.packet.recv_us if line.packet else None


def _split_stamped(line: bytes) -> _Packet:
    url = ""
    if not line[:1].isdigit():
        address, arrow, line = line.partition(b"-> ")
        url = address.rstrip(b" <").decode()
        if not line.strip() or not arrow or "://" not in url:
            raise Unreadable("no receive stamp at its start")
    stamp, *rest = line.split(maxsplit=1)
    body = rest[0] if rest else b""
    if (body or not url) and not body.startswith((b"{", b"[")):
        raise Unreadable("no JSON after the receive stamp")
    return _Packet(_stamp_us(stamp.rstrip(b":")), url, body)


def exchange_markets(path: Path) -> list[Market]:
    """Return the markets of the exchange whose frames or name are in the first lines, the likeliest first."""
    lines = [line for line in islice(CaptureLines(path), RECOGNISE_LINES) if line.strip()]
    named: set[str] = set()
    for line in lines:
        with suppress(ValueError, msgspec.MsgspecError):
            named |= {_RECORD.decode(line).exchange} if _HEADER.match(line) else set()
    return [
        market
        for market in MARKETS.values()
        if named.intersection(market.recorded_as)
        or (market.frames and any(re.search(market.frames.encode(), line) for line in lines))
    ]


class _Records:
    """Splits records of cryptofeed; those of connections that serve another market are left out."""

    def __init__(self, market: Market) -> None:
        self._mine = re.compile(market.connections)
        self._others: set[str] = set()

    def __call__(self, line: bytes) -> _Packet:
        record = _RECORD.decode(line)
        if record.t == "connect" and not self._mine.search(record.addr):
            self._others.add(record.conn)
        if record.conn in self._others:
            return _Packet(None, "", "")
        if record.t == "connect":
            return _Packet(_stamp_us(bytes(record.ts)), record.addr, "")
        if record.t in ("http", "recv"):
            return _Packet(_stamp_us(bytes(record.ts)), record.url if record.t == "http" else "", record.data)
        return _Packet(None, "", "")


def _stamp_us(text: bytes) -> int:
    whole, _, fraction = text.partition(b".")
    if not whole.isdigit() or (fraction and not fraction.isdigit()):
        raise Unreadable(f"{text[:40].decode(errors='replace')!r} is not a receive stamp")
    stamp = int(whole)
    us = stamp_to_us(stamp)
    if not EARLIEST_US <= us < LAST_US:
        raise Unreadable(f"receive stamp {stamp} is not within the years 2001 to 2099, in s, ms, µs or ns")
    if fraction and us > stamp:  # s or ms: the fraction reaches down to the µs
        places = 6 if us == stamp * US_PER_S else 3
        us += int(fraction[:places].ljust(places, b"0"))
    return us


def _describe(line: bytes) -> str:
    text = line[:60].decode(errors="replace")
    if line.startswith((b"{", b"[")):
        return f"JSON without a receive stamp before it ({text!r})"
    if line.count(b",") >= 2 and b"{" not in line[:60]:
        return f"a CSV table ({text!r})"
    return f"its first line is {text!r}"
