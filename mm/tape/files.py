"""The read stage: the files of a day folder as integer columns, hashed as they are read.

One thread inflates a piece of a file while another parses the piece before it (`mm.tape._parse`).
"""

import hashlib
import io
import zlib
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from gzip import BadGzipFile
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Self, cast

import numpy as np

# The reader inside `isal.igzip`: it alone inflates into a buffer of ours. New memory for every piece would cost as
# much as the inflating itself.
from isal.igzip_lib import IsalError
from isal.isal_zlib import _GzipReader
from numpy.typing import NDArray

from mm.clock import MS_BELOW, US_PER_MS
from mm.dayfolder.layout import PACKED, levels_shown
from mm.errors import BrokenFile
from mm.tape._parse import Cell, DiffParser, TableParser
from mm.tape.columns import DEPTH, EventName, Ints

if TYPE_CHECKING:
    from mm.tape._parse import Block, LineParser

FEW = 3
"""How many places of one finding are named; the others are counted."""

_PIECE = 1 << 20
_PACKED_PIECE = 1 << 18
_STRETCH = 1 << 12  # rows of a table, which caches hold
_GZIP_FORMAT = 31


class Place(NamedTuple):
    """A file, and what to look for in it."""

    path: Path
    what: str


@dataclass(frozen=True, slots=True)
class FileRead:
    """What reading a file to its end found.

    Attributes:
        path: The file.
        bytes: Its size, packed as it lies.
        sha256: Of those bytes.
        cut_off: It is gzip and ends in the middle of a member.
        lines: Whole lines, header included.
        torn_lines: 1 where its last line is not whole, else 0.
    """

    path: Path
    bytes: int
    sha256: str
    cut_off: bool = False
    lines: int = 0
    torn_lines: int = 0


def parse_file(path: Path, parser: "LineParser") -> FileRead:
    """Feed all of *path* (plain, or gzip with many members) to *parser*.

    Raises:
        BrokenFile: If the file is empty, or damaged before its end, or holds a line that cannot be parsed.
    """
    with path.open("rb") as stream:
        text = _Text(stream)
        with closing(_ahead(text)) as pieces:  # no thread may go on reading when a line is refused
            for piece in pieces:
                parser.feed(piece)
    if text.packed.size == 0:
        bookless = "; a day without depth messages has no book" if ".ndjson" in path.name else ""
        raise BrokenFile(f"{path}: the file is empty (0 bytes); restore it, or import the day again{bookless}")
    # A row of CSV cut short may look whole; an object of JSON cannot.
    whole_if_parsed = not text.cut_off or path.name.removesuffix(PACKED).endswith(".ndjson")
    torn = parser.finish(whole_if_parsed)
    return FileRead(path, text.packed.size, text.packed.digest.hexdigest(), text.cut_off, parser.lines, torn)


def read_small(path: Path) -> tuple[bytes, FileRead]:
    """Return all bytes of a small file, inflated, and what reading it found."""
    with path.open("rb") as stream:
        text = _Text(stream)
        data = b"".join(bytes(piece) for piece in _ahead(text))
    read = FileRead(path, text.packed.size, text.packed.digest.hexdigest(), text.cut_off, data.count(b"\n"))
    return data, read


def first_line(path: Path) -> str:
    """Return the first line of a text file; empty where there is none."""
    line = b""
    with path.open("rb") as stream:
        text, piece = _Text(stream), bytearray(_PIECE)
        while b"\n" not in line and (size := text.readinto(piece)):
            line += piece[:size]
    return line.split(b"\n", 1)[0].decode("utf-8", "replace").strip()


class _HashedStream(io.RawIOBase):
    """A file that counts and hashes what is read of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]  # of all buffers, these
        size: int = self._stream.readinto(buffer)  # type: ignore[attr-defined]  # every file opened here has it
        self.digest.update(memoryview(buffer)[:size])
        self.size += size
        return size


class _Text:
    """The text of a file; gzip members follow one another as if they were one."""

    def __init__(self, stream: BinaryIO) -> None:
        self.cut_off = False
        self.packed = _HashedStream(stream)
        self._name = stream.name
        packed = cast("BinaryIO", self.packed)
        self._source: Any = _GzipReader(packed, _PACKED_PIECE) if self._name.endswith(PACKED) else packed
        self._size = 0
        self._rest = b""

    def readinto(self, buffer: bytearray) -> int:
        """Fill *buffer* and return how many bytes; 0 at the end, where `cut_off` is True for an unfinished member."""
        try:
            return self._inflate_into(buffer)
        except (BadGzipFile, IsalError, zlib.error) as error:  # type: ignore[misc]  # a stub has an instance there
            raise BrokenFile(
                f"{self._name}: damaged gzip data before byte {self.packed.size} ({error}); "
                f"restore the file, or record or import the day again"
            ) from error

    def _inflate_into(self, buffer: bytearray) -> int:
        if not self.cut_off:
            try:
                size = int(self._source.readinto(buffer))
            except EOFError:
                self.cut_off = True
                self._rest = _text_from(Path(self._name), self._size)
            else:
                self._size += size
                return size
        size = min(len(self._rest), len(buffer))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _text_from(path: Path, offset: int) -> bytes:
    """Return the text from *offset* on of a gzip file that is cut off: what the fast reader did not return."""
    texts, size = [], 0
    member = zlib.decompressobj(_GZIP_FORMAT)
    with path.open("rb") as stream:
        while data := member.unused_data.lstrip(b"\0") or stream.read(_PACKED_PIECE):
            if member.eof:
                member = zlib.decompressobj(_GZIP_FORMAT)
            text = member.decompress(data)
            texts.append(text[max(offset - size, 0) :])
            size += len(text)
    return b"".join(texts)


def _ahead(text: _Text) -> Generator[memoryview, None, None]:
    """Yield all pieces while another thread reads the next one; a piece is valid until the next."""
    buffers = (bytearray(_PIECE), bytearray(_PIECE))
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(text.readinto, buffers[0])
        while size := coming.result():
            buffers = buffers[::-1]
            coming = reader.submit(text.readinto, buffers[0])
            yield memoryview(buffers[1])[:size]


_NONE = np.empty(0, np.int64)

_MAYBE_INT = int(Cell.INT | Cell.OPTIONAL)
_MAYBE_WORD = int(Cell.WORD | Cell.OPTIONAL)
_STAMPS = {"recv_time_ms": _MAYBE_INT, "recv_time_us": _MAYBE_INT, "recv_seq": _MAYBE_INT, "run_id": _MAYBE_WORD}
_TRADE_CELLS = {
    **_STAMPS,
    "event_time_ms": _MAYBE_INT,
    "trade_time_ms": _MAYBE_INT,
    "trade_id": int(Cell.INT),
    "price": int(Cell.PRICE),
    "qty": int(Cell.QTY),
    "is_buyer_maker": int(Cell.FLAG),
}
_SNAPSHOT_CELLS = {
    "side": int(Cell.WORD),
    "price": int(Cell.PRICE),
    "qty": int(Cell.QTY),
    "lastUpdateId": int(Cell.INT),
}


@dataclass(frozen=True, slots=True)
class Steps:
    """Price and quantity step in 1e-8: as given to a parser (0 where open), or as it found them."""

    tick_e8: int
    lot_e8: int

    def joined(self, other: "Steps") -> "Steps":
        """Return the greatest steps that divide both."""
        return Steps(gcd(self.tick_e8, other.tick_e8), gcd(self.lot_e8, other.lot_e8))


@dataclass(slots=True)
class Stream:
    """The messages of a file in the order of its rows.

    Attributes:
        read: The file as it was read.
        steps: The steps its prices and quantities need.
        recv_us: When each message arrived.
        recv_seq: Its number of the day; -1 where the file has none.
        run: Its run, as a position in *runs*; -1 where the file names none.
        exchange_us: When it happened by the exchange's clock; 0 where it is not given.
        runs: Run ids by first appearance.
        start, end: The rows of message m are ``start[m]:end[m]``.
        rows: (side, price, quantity, tick, lot) in blocks; no message stands in two. Prices are counted in the block's
            tick and quantities in its lot, in 1e-8.
        first_id, last_id: Update ids of a depth message or frame; both the id of a trade.
        repeats: A frame shows the same book as the frame before it.
        key: Its place in the day's order of messages (`mm.tape.sync`); empty before they are ordered.
        left_out, first_left_out: Levels or trades off the tick that were left out, and the line of the first.
        ids_out: Ids of these trades: they came, and are not missing.
    """

    read: FileRead
    steps: Steps
    recv_us: Ints
    recv_seq: Ints
    run: Ints
    exchange_us: Ints
    runs: tuple[str, ...]
    start: Ints
    end: Ints
    rows: "list[Block]"
    first_id: Ints
    last_id: Ints
    repeats: NDArray[np.bool_]
    key: Ints = field(default_factory=lambda: _NONE)
    left_out: int = 0
    first_left_out: int = 0
    ids_out: Ints = field(default_factory=lambda: _NONE)

    def __len__(self) -> int:
        return len(self.recv_us)

    def reordered(self, order: Ints) -> "Stream":
        """Return the messages at the positions *order*, in that order."""
        columns = ("recv_us", "recv_seq", "run", "exchange_us", "start", "end", "first_id", "last_id", "repeats", "key")
        return replace(self, **{name: getattr(self, name)[order] for name in columns})

    def give(self, name: str) -> Ints:
        """Return a column and drop it here, so that its memory ends with its last user (`mm.tape.build`)."""
        column: Ints = getattr(self, name)
        setattr(self, name, _NONE)
        return column

    def name(self, at: int) -> str:
        """Return the name of the message at the position *at*."""
        return str(EventName(DEPTH, int(self.recv_seq[at]), int(self.last_id[at]), int(self.recv_us[at])))

    def places(self, positions: Ints) -> list[Place]:
        """Return where the first few of *positions* are found."""
        return [Place(self.read.path, f"{self.name(at)}: id {self.last_id[at]}") for at in positions[:FEW].tolist()]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole book, bids first; *rows* are a block and *left_out* lines as in `Stream`."""

    read: FileRead
    steps: Steps
    tag: str
    last_update_id: int
    rows: "Block"
    left_out: int = 0
    first_left_out: int = 0


def read_diffs(path: Path, steps: Steps, *, lenient: bool = False) -> Stream:
    """Read the raw depth messages; *lenient* leaves levels off the tick out."""
    parser = DiffParser(str(path), steps.tick_e8, steps.lot_e8, _lines_expected(path, 100), lenient)
    read = parse_file(path, parser)
    recv_us, first_row = parser.recv_us.values, parser.first_row.values
    return Stream(
        read=read,
        steps=_steps(parser),
        recv_us=recv_us,
        recv_seq=parser.recv_seq.values,
        run=parser.run_code.values,
        exchange_us=_exchange_us(parser.exchange.values),
        runs=tuple(parser.words),
        start=first_row[:-1],
        end=first_row[1:],
        rows=parser.blocks,
        first_id=parser.first_id.values,
        last_id=parser.last_id.values,
        repeats=np.zeros(len(recv_us), bool),
        left_out=parser.left_out,
        first_left_out=parser.first_left_out,
    )


def read_trades(path: Path, steps: Steps, *, lenient: bool = False) -> Stream:
    """Read the trades; a row's side is the aggressor's. *lenient* leaves those off the tick out."""
    table = _Table(path, _TRADE_CELLS, steps, lenient=lenient).copied()
    maker = table["is_buyer_maker"]
    traded = table["trade_time_ms"]
    ids = table["trade_id"]
    bounds = np.arange(len(ids) + 1)
    return Stream(
        read=table.read,
        steps=table.steps,
        recv_us=table.recv_us(),
        recv_seq=table["recv_seq"],
        run=table["run_id"],
        exchange_us=_exchange_us(np.where(traded < 0, table["event_time_ms"], traded)),
        runs=table.words,
        start=bounds[:-1],
        end=bounds[1:],
        rows=[((1 - 2 * maker).astype(np.int8), table["price"], table["qty"], 1, 1)],
        first_id=ids,
        last_id=ids,
        repeats=np.zeros(len(ids), bool),
        left_out=len(table.left_out),
        first_left_out=_first(table.left_out),
        ids_out=table.ids_out,
    )


def read_frames(path: Path, steps: Steps) -> Stream:
    """Read the top-N frames of valid books (epoch 1 and later), each as the rows of a whole book."""
    top_n = max(1, levels_shown(first_line(path).split(",")))
    price, qty = int(Cell.PRICE | Cell.OPTIONAL), int(Cell.QTY | Cell.OPTIONAL)
    levels = {
        f"{side}{n}_{what}": cell
        for what, cell in (("price", price), ("qty", qty))
        for side in ("bid", "ask")
        for n in range(1, top_n + 1)
    }
    head = {**_STAMPS, "event_time_ms": _MAYBE_INT, "epoch_id": _MAYBE_INT, "last_update_id": _MAYBE_INT}
    table = _Table(path, {**head, **levels}, steps)
    table.keep(table["epoch_id"] != 0)
    books = table.cells[:, -len(levels) :]
    prices, quantities = books[:, : 2 * top_n], books[:, 2 * top_n :]
    sides = np.repeat(np.array([1, -1], np.int8), top_n)
    there = prices > 0
    levels_there = there.sum(axis=1)
    ends = np.cumsum(levels_there)
    ids = np.maximum(table["last_update_id"], 0)
    return Stream(
        read=table.read,
        steps=table.steps,
        recv_us=table.recv_us(),
        recv_seq=table["recv_seq"],
        run=table["run_id"],
        exchange_us=_exchange_us(table["event_time_ms"]),
        runs=table.words,
        start=ends - levels_there,
        end=ends,
        rows=[(sides[np.nonzero(there)[1]], prices[there], quantities[there], 1, 1)],
        first_id=ids,
        last_id=ids,
        repeats=np.concatenate((np.zeros(min(len(ids), 1), bool), (books[1:] == books[:-1]).all(axis=1))),
    )


def read_snapshot(path: Path, steps: Steps, known_id: int | None, *, lenient: bool = False) -> Snapshot:
    """Read a snapshot file; *known_id* is the lastUpdateId that the ledger names, *lenient* as for trades.

    Raises:
        BrokenFile: If its rows name another id, several, or none where the ledger names none.
    """
    table = _Table(path, _SNAPSHOT_CELLS, steps, lenient=lenient)
    ids = set(np.unique(table["lastUpdateId"]).tolist())
    if known_id is not None:
        ids.add(known_id)
    if len(ids) != 1:
        raise BrokenFile(
            f"{path}: lastUpdateId is {' and '.join(map(str, sorted(ids))) or 'nowhere'} in file and ledger, "
            f"where one id is expected; restore the file, or take its event out of the ledger"
        )
    if table.read.torn_lines or table.read.cut_off:
        raise BrokenFile(f"{path}: the file breaks off after line {table.read.lines}; restore it")
    words = [{"bid": 1, "ask": -1}.get(word, 0) for word in table.words]
    side = np.array(words or [0], np.int8)[table["side"]]
    if not side.all():
        line = int(np.flatnonzero(side == 0)[0]) + 2
        raise BrokenFile(f"{path}:{line}: side is neither bid nor ask; restore the file")
    order = np.argsort(-side, kind="stable")
    rows = side[order], table["price"][order], table["qty"][order], 1, 1
    tag = path.name.removesuffix(PACKED).removesuffix(".csv").split("_")[-1]
    return Snapshot(table.read, table.steps, tag, ids.pop(), rows, len(table.left_out), _first(table.left_out))


class _Table:
    """A parsed CSV file, column by column; *lenient* leaves rows out whose ``price`` is off the tick.

    Attributes:
        left_out: Lines of the rows that were left out.
        ids_out: Their trade ids, where they are trades.
    """

    def __init__(self, path: Path, columns: dict[str, int], steps: Steps, *, lenient: bool = False) -> None:
        tick_e8 = 0 if lenient else steps.tick_e8
        parser = TableParser(str(path), columns, tick_e8, steps.lot_e8, _lines_expected(path, 4 + len(columns)))
        self.read = parse_file(path, parser)
        self.steps = _steps(parser)
        self.words = tuple(parser.words)
        self.cells = parser.cells.values.reshape(-1, len(columns))
        self._place = {name: place for place, name in enumerate(columns)}
        self._apart: list[Ints] = []
        self.ids_out = _NONE
        self.left_out = self._leave_out(steps.tick_e8) if lenient else _NONE

    def _leave_out(self, tick_e8: int) -> Ints:
        """Leave out rows off the tick, and return their lines."""
        on_tick = self["price"] % tick_e8 == 0
        self.ids_out = self["trade_id"][~on_tick] if "trade_id" in self._place else _NONE
        self.keep(on_tick)
        self.steps = Steps(tick_e8, self.steps.lot_e8)
        return np.flatnonzero(~on_tick) + 2

    def copied(self) -> Self:
        """Put each column in memory of its own, a stretch of rows at a time: one by one, each would read all cells."""
        columns = [np.empty(len(self.cells), np.int64) for _ in self._place]
        for begin in range(0, len(self.cells), _STRETCH):
            stretch = self.cells[begin : begin + _STRETCH]
            for place, column in enumerate(columns):
                column[begin : begin + _STRETCH] = stretch[:, place]
        self._apart, self.cells = columns, np.empty((0, len(columns)), np.int64)
        return self

    def __getitem__(self, name: str) -> Ints:
        place = self._place[name]
        return self._apart[place] if self._apart else np.ascontiguousarray(self.cells[:, place])

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Drop all other rows."""
        self.cells = self.cells[rows]

    def recv_us(self) -> Ints:
        """Return the receive times; older files have milliseconds only."""
        micros, millis = self["recv_time_us"], self["recv_time_ms"]
        if (wild := (micros < 0) & (millis >= MS_BELOW)).any():
            at = int(np.flatnonzero(wild)[0])
            raise BrokenFile(f"{self.read.path}:{at + 2}: recv_time_ms {millis[at]} is no time in ms; restore the file")
        stamps = np.where(micros < 0, millis * US_PER_MS, micros)
        if len(stamps) and stamps.min() < 0:
            line = int(np.flatnonzero(stamps < 0)[0]) + 2
            raise BrokenFile(f"{self.read.path}:{line}: neither recv_time_us nor recv_time_ms; restore the file")
        return stamps


def _lines_expected(path: Path, packed_bytes: int) -> int:
    """Return about how many lines *path* has, rather too many, if a line takes so many bytes when packed."""
    return 1024 + path.stat().st_size // (packed_bytes if path.suffix == PACKED else 3 * packed_bytes)


def _first(lines: Ints) -> int:
    return int(lines[0]) if len(lines) else 0


def _steps(parser: "LineParser") -> Steps:
    return Steps(parser.tick_e8, parser.lot_e8)


def _exchange_us(stamps: Ints) -> Ints:
    """Return exchange stamps, ms or µs as they came, in µs; 0 where there is none."""
    return np.where(stamps < MS_BELOW, np.maximum(stamps, 0) * US_PER_MS, stamps)
