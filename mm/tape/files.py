"""The read stage: the files of a day folder as integer columns, hashed as they are read.

One thread decompresses a piece of a file while another parses the previous piece (`mm.tape._parse`).
"""

import hashlib
import io
import zlib
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from gzip import BadGzipFile
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import numpy as np

# The reader inside `isal.igzip`: it is the only one that decompresses into our own buffer. New memory for every piece
# would cost as much as the decompression itself.
from isal.igzip_lib import IsalError
from isal.isal_zlib import _GzipReader
from numpy.typing import NDArray

from mm.clock import MS_BELOW, US_PER_MS
from mm.dayfolder.layout import PACKED
from mm.errors import BrokenFile
from mm.tape._parse import DiffParser
from mm.tape.columns import DEPTH, EventName, Ints, release
from mm.tape.spill import Spill

if TYPE_CHECKING:
    from mm.tape._parse import Block, LineParser

FEW = 3
"""Number of reported places per finding; further ones are only counted."""

PER_MESSAGE = (
    "recv_us",
    "recv_seq",
    "run",
    "exchange_us",
    "start",
    "end",
    "first_id",
    "last_id",
    "repeats",
    "key",
)
"""The columns of a stream that have one item per message."""

_PIECE = 1 << 20
_PACKED_PIECE = 1 << 18
_GZIP_FORMAT = 31


class Place(NamedTuple):
    """A file, and a description of the position in it."""

    path: Path
    what: str


@dataclass(frozen=True, slots=True)
class FileRead:
    """The result of reading a file to its end.

    Attributes:
        path: The file.
        bytes: Its size on disk.
        sha256: SHA-256 of those bytes.
        cut_off: Whether it is gzip and ends in the middle of a member.
        lines: Complete lines, including the header.
        torn_lines: 1 if its last line is incomplete, else 0.
    """

    path: Path
    bytes: int
    sha256: str
    cut_off: bool = False
    lines: int = 0
    torn_lines: int = 0


def parse_file(path: Path, parser: "LineParser", take: Callable[[], None] = lambda: None) -> FileRead:
    """Feed all of *path* (plain, or gzip with many members) to *parser*; *take* is called after each piece.

    Raises:
        BrokenFile: If the file is empty, damaged before its end, or has a line that cannot be parsed.
    """
    with path.open("rb") as stream:
        text = _Text(stream)
        with closing(_ahead(text)) as pieces:  # no thread may continue reading after a rejected line
            for piece in pieces:
                parser.feed(piece)
                take()
    if text.packed.size == 0:
        no_book = "; a day without depth messages has no book" if ".ndjson" in path.name else ""
        raise BrokenFile(f"{path}: the file is empty (0 bytes); restore it, or import the day again{no_book}")
    # A truncated CSV row may look complete; a truncated JSON object cannot.
    whole_if_parsed = not text.cut_off or path.name.removesuffix(PACKED).endswith(".ndjson")
    torn = parser.finish(whole_if_parsed)
    take()
    return FileRead(path, text.packed.size, text.packed.digest.hexdigest(), text.cut_off, parser.lines, torn)


def read_small(path: Path) -> tuple[bytes, FileRead]:
    """Return all bytes of a small file, decompressed, and the result of reading it."""
    with path.open("rb") as stream:
        text = _Text(stream)
        data = b"".join(bytes(piece) for piece in _ahead(text))
    read = FileRead(path, text.packed.size, text.packed.digest.hexdigest(), text.cut_off, data.count(b"\n"))
    return data, read


def first_line(path: Path) -> str:
    """Return the first line of a text file; empty if there is none."""
    line = b""
    with path.open("rb") as stream:
        text, piece = _Text(stream), bytearray(_PIECE)
        while b"\n" not in line and (size := text.readinto(piece)):
            line += piece[:size]
    return line.split(b"\n", 1)[0].decode("utf-8", "replace").strip()


class _HashedStream(io.RawIOBase):
    """A file that counts and hashes the bytes read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]  # only these are used
        size: int = self._stream.readinto(buffer)  # type: ignore[attr-defined]  # every file opened here has it
        self.digest.update(memoryview(buffer)[:size])
        self.size += size
        return size


class _Text:
    """The text of a file; gzip members are concatenated."""

    def __init__(self, stream: BinaryIO) -> None:
        self.cut_off = False
        self.packed = _HashedStream(stream)
        self._name = stream.name
        packed = cast("BinaryIO", self.packed)
        self._source: Any = _GzipReader(packed, _PACKED_PIECE) if self._name.endswith(PACKED) else packed
        self._size = 0
        self._rest = b""

    def readinto(self, buffer: bytearray) -> int:
        """Fill *buffer* and return the number of bytes; 0 at the end, with `cut_off` True for an unfinished member."""
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
    """Return the text from *offset* on of a truncated gzip file: the part that the fast reader did not return."""
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
    """Yield all pieces while another thread reads the next one; a piece is valid until the next one is requested."""
    buffers = (bytearray(_PIECE), bytearray(_PIECE))
    with ThreadPoolExecutor(1) as reader:
        pending = reader.submit(text.readinto, buffers[0])
        while size := pending.result():
            buffers = buffers[::-1]
            pending = reader.submit(text.readinto, buffers[0])
            yield memoryview(buffers[1])[:size]


_NONE = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Steps:
    """Price and quantity step in 1e-8: as given to a parser (0 if open), or as inferred by it."""

    tick_e8: int
    lot_e8: int

    def joined(self, other: "Steps") -> "Steps":
        """Return the greatest steps that divide those of both."""
        return Steps(gcd(self.tick_e8, other.tick_e8), gcd(self.lot_e8, other.lot_e8))


@dataclass(slots=True)
class Stream:
    """The messages of a file in the order of its rows.

    Attributes:
        read: The result of reading the file.
        steps: The greatest steps that divide its prices and quantities.
        recv_us: Receive time of each message, µs.
        recv_seq: Its sequence number within the day; -1 if the file has none.
        run: Its run, as a position in *runs*; -1 if the file has none.
        exchange_us: Its exchange timestamp, µs; 0 if unknown.
        runs: Run ids by first appearance.
        start, end: The rows of message m are ``start[m]:end[m]``.
        rows: (side, price, quantity, tick, lot) in blocks; no message is split. Prices are in units of the block's
            tick and quantities of its lot, in 1e-8.
        first_id, last_id: First and last update id of a depth message or frame; both are the id of a trade.
        repeats: Whether a frame shows the same book as the previous frame.
        key: Its sort key in the day's order of messages (`mm.tape.sync`); empty before they are ordered.
        left_out, first_left_out: Number of levels or trades off the tick that were left out, and the line of the first.
        ids_out: Ids of these trades, which do not count as missing.
        fetched: Sequence numbers of the trades fetched by REST, whose receive time is that of the response; an id may
            also have arrived as a message before.
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
    fetched: Ints = field(default_factory=lambda: _NONE)

    def __len__(self) -> int:
        return len(self.recv_us)

    def reordered(self, order: Ints | slice) -> "Stream":
        """Return the messages at the positions *order*, in that order."""
        return replace(self, **{name: getattr(self, name)[order] for name in PER_MESSAGE})

    def give(self, name: str) -> Ints:
        """Return a column and drop it here, so that its memory is released with its last user (`mm.tape.build`)."""
        column: Ints = getattr(self, name)
        setattr(self, name, _NONE)
        return column

    def release(self) -> None:
        """Release the memory of columns that are in files."""
        for name in PER_MESSAGE:
            release(getattr(self, name))

    def name(self, at: int) -> str:
        """Return the name of the message at the position *at*."""
        return str(EventName(DEPTH, int(self.recv_seq[at]), int(self.last_id[at]), int(self.recv_us[at])))

    def places(self, positions: Ints) -> list[Place]:
        """Return the places of the first few of *positions*."""
        return [Place(self.read.path, f"{self.name(at)}: id {self.last_id[at]}") for at in positions[:FEW].tolist()]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A complete book, bids first; *rows* are a block and *left_out* lines as in `Stream`."""

    read: FileRead
    steps: Steps
    tag: str
    last_update_id: int
    rows: "Block"
    left_out: int = 0
    first_left_out: int = 0


def read_diffs(path: Path, steps: Steps, spill: Spill, *, lenient: bool = False) -> Stream:
    """Read the raw depth messages; *lenient* leaves out levels off the tick. Columns go to *spill*."""
    room = lines_expected(path, 100)
    parser = DiffParser(str(path), steps.tick_e8, steps.lot_e8, room, lenient, spill.keep_block)
    read = parse_file(path, parser)
    first_row = spill.kept(parser.first_row.values)
    return Stream(
        read=read,
        steps=steps_of(parser),
        recv_us=spill.kept(parser.recv_us.values),
        recv_seq=spill.kept(parser.recv_seq.values),
        run=spill.kept(parser.run_code.values),
        exchange_us=spill.kept(exchange_us(parser.exchange.values)),
        runs=tuple(parser.words),
        start=first_row[:-1],
        end=first_row[1:],
        rows=parser.blocks,
        first_id=spill.kept(parser.first_id.values),
        last_id=spill.kept(parser.last_id.values),
        repeats=np.zeros(len(first_row) - 1, bool),
        left_out=parser.left_out,
        first_left_out=parser.first_left_out,
    )


def lines_expected(path: Path, packed_bytes: int) -> int:
    """Return a high estimate of the number of lines of *path*, given the compressed bytes per line."""
    return 1024 + path.stat().st_size // (packed_bytes if path.suffix == PACKED else 3 * packed_bytes)


def steps_of(parser: "LineParser") -> Steps:
    """Return the given or inferred steps of a parser."""
    return Steps(parser.tick_e8, parser.lot_e8)


def exchange_us(stamps: Ints) -> Ints:
    """Return exchange timestamps, in ms or µs, converted to µs; 0 if there is none."""
    return np.where(stamps < MS_BELOW, np.maximum(stamps, 0) * US_PER_MS, stamps)
