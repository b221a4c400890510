"""The parts of a tape: its facts, the names and types of its columns, and columns in mapped files."""

import ctypes
import mmap
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mm.instrument import Instrument
from mm.markets.market import Market
from mm.markets.registry import DEFAULT, MARKETS

Ints = NDArray[np.int64]
Column = NDArray[Any]
Rows = tuple[NDArray[np.int8], Ints, Ints]
"""Side, ticks and lots."""

SNAPSHOT, DEPTH, TRADE, GAP, KEYFRAME = 1, 2, 3, 4, 5
KIND_NAMES = {SNAPSHOT: "snapshot", DEPTH: "depth", TRADE: "trade", GAP: "gap", KEYFRAME: "keyframe"}

EVENT_COLUMNS = ("event_us", "event_exch_us", "recv_seq", "event_id")
ROW_COLUMNS = ("row_side", "row_ticks", "row_lots")
TOP_COLUMNS = ("top_event", "top_bid_ticks", "top_ask_ticks", "top_bid_lots", "top_ask_lots")
MARK_COLUMNS = ("mark_us", "mark_told_us", "mark_e8")
ARRAYS = (*EVENT_COLUMNS, "kind", "first_row", *ROW_COLUMNS, *TOP_COLUMNS, *MARK_COLUMNS)
DTYPES: dict[str, Any] = dict.fromkeys(ARRAYS, np.int64) | {"kind": np.uint8, "row_side": np.int8}

_Part = TypeVar("_Part")

AS_BEFORE = -1
"""Placeholder instant of an event that is detected later: it gets the instant of the previous event."""

MANY_EVENTS = 1 << 21
"""In a larger tape, memory that can be read again is released during replay: slower, with less memory."""
PIECE = 1 << 20
"""Number of values of a mapped column or table that are read before their pages are released."""


def none() -> Ints:
    return np.empty(0, np.int64)


class EventName(NamedTuple):
    """Identifies an event of a tape; *recv_seq* -1 is none."""

    kind: int
    recv_seq: int
    last_id: int
    recv_us: int

    def __str__(self) -> str:
        if self.recv_seq >= 0:
            return f"recv_seq {self.recv_seq}"
        return f"id {self.last_id}" if self.last_id > 0 else f"recv_us {self.recv_us}"


class Payment(NamedTuple):
    """A funding payment of a perpetual: the instant by the exchange's clock, rate and mark price in 1e-8.

    A long position pays quantity times mark price times rate; a short one receives it. *doubt* says why rate and price
    are not the instant's own; a mark price of 0 is unknown. A payment that became known only at *us* was due at
    *due_us*, for the position then.
    """

    us: int
    rate_e8: int
    mark_e8: int
    doubt: str = ""
    due_us: int = 0


class ClockReading(NamedTuple):
    """A measurement of our clock against the exchange's.

    Attributes:
        seq: Its row's number: it holds for larger numbers.
        least_us: Our clock minus the exchange's, at least.
    """

    seq: int
    least_us: int


@dataclass(frozen=True)
class TapeMeta:
    """The origin of a tape.

    Attributes:
        hindsight: Spans (start, end, µs) that became known at their end: a gap begins at the last message before the
            missing ids, and the next message revealed it. See `Tape.known_at`.
        standing: Spans (start, end, µs) excluded because trades print through a book without messages.
        opened: The DATA_ROOT whose held-out day was opened, else empty; this, *cache* (``hit``, ``miss``, ``off``) and
            *file* are no properties of the tape.
    """

    inputs: tuple[tuple[str, int, str], ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    last_update_id: int | None = None
    carried_from: int | None = None
    hindsight: tuple[tuple[int, int], ...] = ()
    standing: tuple[tuple[int, int], ...] = ()
    venue: str = DEFAULT.venue
    funding: tuple[Payment, ...] = ()
    clock: tuple[ClockReading, ...] = ()
    opened: str = field(default="", compare=False)
    cache: str = field(default="off", compare=False)
    file: str = field(default="", compare=False)

    @property
    def market(self) -> Market:
        """The market that *venue* names."""
        return MARKETS.of_venue(self.venue)


@dataclass(frozen=True, slots=True)
class TapeFacts:
    """A tape without its arrays."""

    instrument: Instrument
    days: tuple[str, ...]
    step_lots: int
    start_us: int
    end_us: int
    meta: TapeMeta = field(default_factory=TapeMeta)
    step_ticks: int = 1


def ahead(parts: Generator[_Part, None, None]) -> Generator[_Part, None, None]:
    """Makes the next part in another thread meanwhile; close the generator at the end."""
    with closing(parts), ThreadPoolExecutor(1) as maker:
        pending = maker.submit(next, parts, None)
        while (part := pending.result()) is not None:
            pending = maker.submit(next, parts, None)
            yield part


def bounds(size: Ints) -> Ints:
    ends = np.zeros(len(size) + 1, np.int64)
    np.cumsum(size, out=ends[1:])
    return ends


def mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as stream:
        return _mapped(stream)


def _mapped(file: IO[bytes]) -> mmap.mmap:
    if sys.version_info >= (3, 13):  # no file stays open: a range of days maps hundreds
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ, trackfd=False)
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class Growing:
    """Columns to which items are appended, in memory or in files."""

    def __init__(self, dtypes: Mapping[str, Any], files: Sequence[IO[bytes]] | None) -> None:
        self._dtypes = {name: np.dtype(dtype) for name, dtype in dtypes.items()}
        self._files = files
        self._parts: list[list[Column]] = [[] for _ in dtypes]

    def add(self, *parts: Column) -> None:
        for place, (part, dtype) in enumerate(zip(parts, self._dtypes.values(), strict=True)):
            if self._files is None:
                self._parts[place].append(part.astype(dtype))
            else:
                self._files[place].write(np.ascontiguousarray(part, dtype).view(np.uint8).data)

    def whole(self) -> dict[str, Column]:
        if self._files is None:  # the parts of a column are freed before the next one is joined
            return {
                name: np.concatenate([np.empty(0, self._dtypes[name]), *self._parts.pop(0)]) for name in self._dtypes
            }
        for file in self._files:
            file.flush()
        memory = [_mapped(file) if file.tell() else b"" for file in self._files]
        return {
            name: np.frombuffer(items, self._dtypes[name]) for name, items in zip(self._dtypes, memory, strict=True)
        }


@contextmanager
def growing(dtypes: Mapping[str, Any], folder: Path | None) -> Iterator[Growing]:
    with ExitStack() as held:
        yield Growing(dtypes, [held.enter_context(TemporaryFile(dir=folder)) for _ in dtypes] if folder else None)


def stored(column: Column, folder: Path | None) -> Column:
    """*column* itself, or with a *folder* the same items in a file."""
    if folder is None:
        return column
    with growing({"items": column.dtype}, folder) as columns:
        columns.add(column)
        return columns.whole()["items"]


def in_memory(column: Column) -> Column:
    """Copy a mapped column, and release its pages."""
    copy = np.empty_like(column)
    for begin, piece in in_pieces(column):
        copy[begin : begin + len(piece)] = piece
    return copy


def release(column: Column) -> None:
    """The system reads the pages again on use."""
    base: Any = column
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if not isinstance(base, mmap.mmap) or not len(column):
        return
    first = column.ctypes.data - np.frombuffer(base, np.uint8).ctypes.data
    begin = -(-first // mmap.PAGESIZE) * mmap.PAGESIZE
    size = (first + column.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - begin
    if size > 0:
        base.madvise(mmap.MADV_DONTNEED, begin, size)


def in_pieces(column: Column, more: int = 0) -> Iterator[tuple[int, Column]]:
    """Yield position and items of each piece; each is released before the next."""
    most = max(PIECE * len(column) // max(column.size, 1), 1)
    for begin in range(0, len(column), most):
        piece = column[begin : begin + most + more]
        yield begin, piece
        release(piece)


def gathered(column: Column, places: Ints) -> Column:
    """The items at ascending *places*; the pages in between are released."""
    taken = np.empty((len(places), *column.shape[1:]), column.dtype)
    for begin, piece in in_pieces(column):
        first, stop = np.searchsorted(places, (begin, begin + len(piece)))
        taken[first:stop] = piece[places[first:stop] - begin]
    return taken


def trim_heap() -> None:
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


WINDOW_ROWS = 1 << 19
"""Number of rows that are ordered at a time: little memory, but many compared with the levels of a book."""


def windows(first_row: Ints) -> Iterator[tuple[int, int]]:
    """Yield ranges of events with at most `WINDOW_ROWS` rows, or of one event."""
    begin, events = 0, len(first_row) - 1
    while begin < events:
        stop = int(np.searchsorted(first_row, first_row[begin] + WINDOW_ROWS, "right")) - 1
        yield begin, (stop := max(stop, begin + 1))
        begin = stop
