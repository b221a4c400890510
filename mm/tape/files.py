"""The read stage: a day folder's files as integer columns, hashed while reading.

One thread decompresses a piece while another parses the previous one (`mm.tape._parse`).
"""

import hashlib
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from isal import isal_zlib
from isal.igzip_lib import IsalError
from numpy.typing import NDArray

from mm.clock import MS_BELOW, US_PER_MS
from mm.dayfolder.layout import PACKED
from mm.errors import BrokenFile
from mm.tape._parse import DIFF_NUMBERS, DiffParser
from mm.tape.columns import DEPTH, EventName, Ints, Rows, ahead, bounds, growing, release, stored

if TYPE_CHECKING:
    from mm.tape._parse import LineParser, TableParser

FEW = 3
"""Number of reported places per finding; further ones are only counted."""

PER_MESSAGE = (
    *("recv_us", "recv_seq", "run", "exchange_us", "start", "size"),
    *("first_id", "last_id", "repeats", "key"),
)
"""The columns of a stream that have one item per message."""

ROWS = {"side": np.int8, "price": np.int64, "qty": np.int64}
"""The columns of parsed rows: prices and quantities are in 1e-8."""

_PIECE, _PACKED_PIECE = 1 << 20, 1 << 17
"""Bytes that are read at a time; few of gzip data, whose rest is copied after each of its many members."""
_GZIP_FORMAT, _GZIP_MAGIC = 31, b"\x1f\x8b"


class Place(NamedTuple):
    path: Path
    what: str


@dataclass(frozen=True, slots=True)
class FileRead:
    path: Path
    bytes: int
    sha256: str
    cut_off: bool = False
    lines: int = 0
    torn_lines: int = 0


class FileText:
    """The text of a file (plain, or gzip with many members), hashed as it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read = FileRead(path, 0, "")

    def __iter__(self) -> Generator[bytes, None, None]:
        digest, size = hashlib.sha256(), 0
        member = isal_zlib.decompressobj(_GZIP_FORMAT) if self.path.name.endswith(PACKED) else None
        begun = False  # whether a member has begun that has not ended
        with self.path.open("rb") as stream:
            while data := stream.read(_PACKED_PIECE if member else _PIECE):
                digest.update(data)
                size += len(data)
                if member is None:
                    yield data
                    continue
                try:
                    while data := data if begun else data.lstrip(b"\0"):  # zeros may follow a member
                        if not begun and not _GZIP_MAGIC.startswith(data[:2]):
                            raise ValueError("no gzip member begins here")
                        yield member.decompress(data)
                        begun, data = not member.eof, member.unused_data
                        if not begun:
                            member = isal_zlib.decompressobj(_GZIP_FORMAT)
                except (IsalError, ValueError) as error:  # type: ignore[misc]  # a stub has an instance there
                    raise BrokenFile(
                        f"{self.path}: damaged gzip data before byte {size} ({error}); "
                        f"restore the file, or record or import the day again"
                    ) from error
        self.read = FileRead(self.path, size, digest.hexdigest(), begun)


class ParsedFile:
    def __init__(self, path: Path, parser: "LineParser") -> None:
        self._text, self._parser = FileText(path), parser
        self.read = self._text.read

    def __iter__(self) -> Iterator[None]:
        path, parser = self._text.path, self._parser
        with closing(ahead(iter(self._text))) as pieces:  # no thread may continue reading after a rejected line
            for piece in pieces:
                parser.feed(piece)
                yield
        self.read = self._text.read
        if self.read.bytes == 0:
            no_book = "; a day without depth messages has no book" if ".ndjson" in path.name else ""
            raise BrokenFile(f"{path}: the file is empty (0 bytes); restore it, or import the day again{no_book}")
        # A truncated CSV row may look complete; a truncated JSON object cannot.
        whole_if_parsed = not self.read.cut_off or path.name.removesuffix(PACKED).endswith(".ndjson")
        torn = parser.finish(whole_if_parsed)
        self.read = replace(self.read, lines=parser.lines, torn_lines=torn)
        yield


def parse_table(path: Path, parser: "TableParser") -> tuple[Ints, FileRead]:
    parsed = ParsedFile(path, parser)
    return np.concatenate([parser.take() for _ in parsed]), parsed.read


def read_small(path: Path) -> tuple[bytes, FileRead]:
    text = FileText(path)
    data = b"".join(text)
    return data, replace(text.read, lines=data.count(b"\n"))


_NONE = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class FileSteps:
    tick_e8: int
    lot_e8: int

    def joined(self, other: "FileSteps") -> "FileSteps":
        return FileSteps(gcd(self.tick_e8, other.tick_e8), gcd(self.lot_e8, other.lot_e8))


@dataclass(slots=True)
class DiffStream:
    read: FileRead
    steps: FileSteps
    recv_us: Ints
    recv_seq: Ints
    run: Ints
    exchange_us: Ints
    runs: tuple[str, ...]
    start: Ints
    size: Ints
    rows: Rows
    first_id: Ints
    last_id: Ints
    repeats: NDArray[np.bool_]
    key: Ints = field(default_factory=lambda: _NONE)
    left_out: int = 0
    first_left_out: int = 0
    blocks: int = 0
    ids_out: Ints = field(default_factory=lambda: _NONE)
    fetched: Ints = field(default_factory=lambda: _NONE)

    def __len__(self) -> int:
        return len(self.recv_us)

    def reordered(self, order: Ints | slice) -> "DiffStream":
        return replace(self, **{name: getattr(self, name)[order] for name in PER_MESSAGE})

    def release(self) -> None:
        for name in PER_MESSAGE:
            release(getattr(self, name))

    def name(self, at: int) -> str:
        return str(EventName(DEPTH, int(self.recv_seq[at]), int(self.last_id[at]), int(self.recv_us[at])))

    def places(self, positions: Ints) -> list[Place]:
        return [Place(self.read.path, f"{self.name(at)}: id {self.last_id[at]}") for at in positions[:FEW].tolist()]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A complete book, bids first."""

    read: FileRead
    steps: FileSteps
    tag: str
    last_update_id: int
    rows: Rows
    left_out: int = 0
    first_left_out: int = 0


def read_diffs(path: Path, steps: FileSteps, folder: Path | None, *, lenient: bool = False) -> DiffStream:
    """*lenient* leaves out levels off the tick; columns are stored in *folder*."""
    parser = DiffParser(str(path), steps.tick_e8, steps.lot_e8, lenient)
    parsed = ParsedFile(path, parser)
    with growing(dict.fromkeys(DIFF_NUMBERS, np.int64) | ROWS, folder) as columns:
        for _ in parsed:
            numbers, side, price, qty = parser.take()
            columns.add(*numbers.T, side, price, qty)
        whole = columns.whole()
    rows = whole.pop("side"), whole.pop("price"), whole.pop("qty")
    return DiffStream(
        read=parsed.read,
        steps=steps_of(parser),
        runs=tuple(parser.words),
        start=stored(bounds(whole["size"])[:-1], folder),
        rows=rows,
        repeats=np.zeros(len(whole["size"]), bool),
        left_out=parser.left_out,
        first_left_out=parser.first_left_out,
        blocks=0,
        **whole | {"exchange_us": stored(exchange_us(whole["exchange_us"]), folder)},
    )


def steps_of(parser: "LineParser") -> FileSteps:
    return FileSteps(parser.tick_e8, parser.lot_e8)


def exchange_us(stamps: Ints) -> Ints:
    return np.where(stamps < MS_BELOW, np.maximum(stamps, 0) * US_PER_MS, stamps)
