"""Bybit's archive: a day's book as JSON lines in a ZIP, its prints as CSV, in the order in which they happened.

The files have no times of receipt: a change counts as received when its orders matched (`cts`), a print when it
happened (`T`), and a print comes before the change of its instant, which contains it. The first book of a file, sent
just after midnight, may have matched just before it: it counts as received at midnight. Known from ten public tools
that read these files; one ZIP of the archive itself was read here.
"""

import csv
import gzip
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from heapq import merge
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import msgspec

from mm.clock import US_PER_MS, US_PER_S, day_of, midnight_us
from mm.dayfolder.layout import DayFolder
from mm.errors import BrokenFile, OffGrid, UsageError
from mm.instrument import from_exchange_info, short_text
from mm.market_data.capture_import import CaptureForm, Progress, captures_of
from mm.market_data.captures import Broken, CapturedMessage, CaptureLike, FilePlace
from mm.market_data.stamps import FAR_US, Moved
from mm.markets.bybit import LINEAR, SPOT
from mm.markets.bybit_stream import is_cell
from mm.markets.feed import feed_of
from mm.markets.grid import Grid
from mm.markets.market import Market
from mm.markets.messages import DepthSnapshot, DepthUpdate, ExchangeInfo, Funding, MarkPrice, TradePrint, WrongMarket

LINEAR_PRINTS = ("timestamp", "symbol", "side", "size", "price", "tickDirection", "trdMatchID")
SPOT_PRINTS = ("id", "timestamp", "price", "volume", "side")
"""Columns with which files of prints begin."""
_SIDES = {"buy": False, "sell": True}
_SWITCHES = {"": None, "0": False, "false": False, "1": True, "true": True}
_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"
_CHUNK = 1 << 20
ZONE = "UTC"
_EARLY_US = 5 * US_PER_S
"""A file of a day may begin so long before its midnight."""
_BROKEN = (OSError, EOFError, zlib.error, zipfile.BadZipFile)
Told = ExchangeInfo | Funding | MarkPrice
"""What only the exchange's REST interface tells of a past day."""
Timed = tuple[int, int, tuple[Path, int], DepthUpdate | DepthSnapshot | TradePrint | Broken]
"""Instant (µs), rank at equal instants, place, message."""


class _Table(NamedTuple):
    """Columns of a file of prints."""

    market: Market
    time: int
    price: int
    qty: int
    side: int
    name: int
    rpi: int | None
    symbol: int | None


class BybitArchive:
    """The messages of one symbol from files of the archive, of any number of days.

    Args:
        beside: What REST tells of these days, with its instants in µs, in order; what is later than the files is left
            out.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        symbol: str,
        market: Market,
        grid: Grid,
        progress: Progress,
        beside: Sequence[tuple[int, Told]] = (),
    ) -> None:
        self.lines = FilePlace(paths[0])
        self._beside = beside
        self.told: Sequence[str] = ()
        self._symbol, self._market, self._progress = symbol, market, progress
        self._messages = feed_of(market).decoder(symbol, grid, packs=True)
        self.symbols: Counter[str] = self._messages.symbols
        self._grid = grid
        self._tables = {path: table for path in paths if (table := table_of(path))}
        self._books = sorted((path for path in paths if path not in self._tables), key=lambda path: path.name)
        self._read: dict[Path, int] = {}
        self._raised = Moved()

    @property
    def warnings(self) -> list[str]:
        missing = [*([] if self._books else ["no book"]), *([] if self._tables else ["no prints"])]
        return [*(f"the files have {what}" for what in missing), *self._raised.raised(), *self._coarser()]

    def _coarser(self) -> Iterator[str]:
        """Doubt today's instrument where all prices and quantities of the files have coarser steps."""
        for info in [told for _, told in self._beside if isinstance(told, ExchangeInfo)]:
            now = from_exchange_info(msgspec.json.decode(info.text), "instruments-info")
            for name, knob, step_e8, seen_e8 in (
                ("tick size", "--tick-size", now.tick_e8, self._grid.seen_tick_e8),
                ("quantity step", "--qty-step", now.lot_e8, self._grid.seen_step_e8),
            ):
                if seen_e8 > step_e8 and seen_e8 % step_e8 == 0:
                    yield (
                        f"the instrument is today's, with a {name} of {short_text(step_e8)}; all that these files have "
                        f"are multiples of {short_text(seen_e8)}: give {knob} if that was the {name} then"
                    )

    @property
    def line(self) -> int:
        return self.lines.number

    def where(self) -> str:
        return f"{self.lines.path.name}:{self.line}"

    def write_order_logs(self, _folders: Sequence[DayFolder], _zone: str, _tick_e8: int, _lot_e8: int) -> Sequence[str]:
        return ()

    def __iter__(self) -> Iterator[CapturedMessage]:
        books = self._never_back(chain.from_iterable(map(self._book, self._books)))
        tables = sorted(self._tables, key=lambda path: path.name)
        prints = self._never_back(chain.from_iterable(map(self._prints, tables)))
        beside = deque(self._beside)
        begun, early = False, list[MarkPrice]()
        for us, _, place, message in merge(prints, books, key=itemgetter(0, 1)):
            self.lines.path, self.lines.number = place
            while beside and beside[0][0] <= us:
                at_us, told = beside.popleft()
                if not begun and isinstance(told, MarkPrice):
                    early = [told]
                else:
                    yield CapturedMessage(at_us, told)
            yield CapturedMessage(us, message)
            if not begun:  # a day has no rows before its first message
                yield from (CapturedMessage(us, told) for told in early)
                begun = True

    def _never_back(self, stream: Iterable[Timed]) -> Iterator[Timed]:
        last_us = 0
        for us, rank, place, message in stream:
            if last_us - us > FAR_US:
                self._raised.note(f"{place[0].name}:{place[1]}", us, last_us)
            last_us = max(last_us, us)
            yield last_us, rank, place, message

    def _moved(self, path: Path, done: int) -> None:
        self._read[path] = done
        self._progress(sum(self._read.values()))

    def _book(self, path: Path) -> Iterator[Timed]:
        us, begins_us, received = 0, 0, self._messages.received
        for number, line in enumerate(self._whole_lines(path), start=1):
            message: object
            try:
                message = received(line)
            except (ValueError, OffGrid, msgspec.MsgspecError) as error:
                message = Broken(line, f"{path.name}:{number}: {error}", cut=False)
            except WrongMarket as error:
                raise WrongMarket(f"{path}:{number}: {error} is not of {self._market.title}") from error
            if isinstance(message, DepthUpdate):
                us = (message.T or message.E) * US_PER_MS
            elif isinstance(message, DepthSnapshot):
                us = (message.matched or message.E or 0) * US_PER_MS
            elif not isinstance(message, Broken):
                continue
            begins_us = begins_us or midnight_us(day_of(us + _EARLY_US, ZONE), ZONE)
            yield max(us, begins_us), 1, (path, number), message

    def _whole_lines(self, path: Path) -> Iterator[bytes]:
        """Yield the lines of the only member of a ZIP, or of a plain file; BrokenFile if it is damaged."""
        try:
            with path.open("rb") as raw:
                if raw.read(4) != _ZIP:
                    raise BrokenFile(f"{path}: {_what(path)}, not a ZIP of the archive; fetch the file again")
                raw.seek(0)
                with zipfile.ZipFile(raw) as archive:
                    names = archive.namelist()
                    if len(names) != 1:
                        raise BrokenFile(f"{path}: has {len(names)} members, not one of JSON lines; fetch it again")
                    with archive.open(names[0]) as stream:
                        yield from self._split(path, stream, raw.tell)
        except _BROKEN as error:
            raise BrokenFile(f"{path}: the ZIP is damaged or cut ({error}); fetch the file again") from error

    def _split(self, path: Path, stream: IO[bytes], at: Callable[[], int]) -> Iterator[bytes]:
        rest = b""
        while piece := stream.read(_CHUNK):
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
            self._moved(path, at())
        if rest.strip():
            yield rest

    def _prints(self, path: Path) -> Iterator[Timed]:
        table = self._tables[path]
        if table.market is not self._market:
            raise WrongMarket(f"{path}: prints of {table.market.title}, not of {self._market.title}")
        for number, line in self._rows(path, table):
            cells = line.split(",")
            try:
                if table.symbol is not None:
                    self.symbols[cells[table.symbol]] += 1
                    if cells[table.symbol] != self._symbol:
                        continue
                us, message = self._print(table, cells)
            except (ValueError, LookupError, OffGrid) as error:
                raise BrokenFile(
                    f"{path}:{number}: the print cannot be read ({error}); fetch the file again"
                ) from error
            yield us, 0, (path, number), message

    def _print(self, table: _Table, cells: list[str]) -> tuple[int, TradePrint]:
        time = cells[table.time]
        ms = _ms_of_seconds(time) if table.market is LINEAR else int(time)
        price, qty, name = cells[table.price], cells[table.qty], cells[table.name]
        self._grid.check_one(price, qty)
        if not is_cell(name):
            raise ValueError(f"the id is {name!r}")
        rpi = None if table.rpi is None else _SWITCHES[cells[table.rpi].lower()]
        sold = _SIDES[cells[table.side].lower()]
        return ms * US_PER_MS, TradePrint(ms, self._symbol, 0, price, qty, ms, sold, None, name, None, rpi)

    def _rows(self, path: Path, table: _Table) -> Iterator[tuple[int, str]]:
        """Yield rows upwards in time: early files are sorted downwards."""
        try:
            with path.open("rb") as raw:
                rows = self._split(path, _unpacked(raw), raw.tell)
                next(rows)
                head = [*islice(rows, 1000)]
                times = [float(row.split(b",")[table.time]) for row in head]
                if len(times) < 2 or times[0] <= times[-1]:
                    for number, row in enumerate(chain(head, rows), start=2):
                        yield number, row.decode()
                    return
                yield from _upwards(chain(head, rows))
        except (*_BROKEN, ValueError, LookupError) as error:
            raise BrokenFile(f"{path}: the file is damaged or cut ({error}); fetch it again") from error


def _upwards(rows: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    with TemporaryFile() as file:
        count = 1
        for row in rows:
            count += 1
            file.write(row + b"\n")
        end, rest = file.tell(), b""
        while end > 0:
            begin = max(end - _CHUNK, 0)
            file.seek(begin)
            rest, *lines = (file.read(end - begin) + rest).split(b"\n")
            end = begin
            for row in reversed([rest, *lines] if end == 0 else lines):
                if row:
                    yield count, row.decode()
                    count -= 1


def _unpacked(raw: IO[bytes]) -> IO[bytes]:
    packed = raw.read(2) == _GZIP
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[return-value] # it reads


def _ms_of_seconds(text: str) -> int:
    whole, _, after = text.partition(".")
    return int(whole) * 1_000 + int(after[:3].ljust(3, "0"))


def table_of(path: Path) -> _Table | None:
    """Return the columns of a file of prints; None for any other file."""
    try:
        with path.open("rb") as raw:
            columns = next(csv.reader([_unpacked(raw).readline(4096).decode().strip()]), [])
    except (*_BROKEN, UnicodeDecodeError):
        return None
    at = {name.lower(): place for place, name in enumerate(columns)}
    if tuple(columns[: len(LINEAR_PRINTS)]) == LINEAR_PRINTS:
        return _Table(LINEAR, *_places(at, "size", "trdmatchid"), at.get("rpi"), at["symbol"])
    if tuple(columns[: len(SPOT_PRINTS)]) == SPOT_PRINTS:
        return _Table(SPOT, *_places(at, "volume", "id"), at.get("rpi"), None)
    return None


def _places(at: Mapping[str, int], qty: str, name: str) -> tuple[int, int, int, int, int]:
    return at["timestamp"], at["price"], at[qty], at["side"], at[name]


def is_archive(path: Path) -> bool:
    """Return whether *path* is a file of the archive: prints by their columns, a book by its ZIP or its name."""
    if table_of(path) or path.name.endswith(".data.zip"):
        return True
    with suppress(OSError), path.open("rb") as raw:
        return raw.read(len(_ZIP)) == _ZIP
    return False


def form_of_files(
    paths: Sequence[Path], market: Market | None = None, beside: Sequence[tuple[int, Told]] = ()
) -> CaptureForm | None:
    """Return how files are read: of the archive, or captures of the stream; None if they are neither and *market* is.

    Without *market* the prints' columns decide; a book alone counts as one of linear contracts. *beside* is as in
    `BybitArchive`.
    """
    of_archive = [path for path in paths if is_archive(path)]
    if not of_archive:
        return None if market is None else captures_of(market)
    if len(of_archive) < len(paths):
        other = next(path for path in paths if path not in of_archive)
        raise UsageError(
            f"{other}: {_what(other)}, not a file of Bybit's archive as {of_archive[0].name}; import apart"
        )
    tables = [table.market for path in paths if (table := table_of(path))]
    form = captures_of(market or (tables[0] if tables else LINEAR))

    def opened(files: Sequence[Path], symbol: str, grid: Grid, progress: Progress) -> list[CaptureLike]:
        return [BybitArchive(files, symbol, form.market, grid, progress, beside)]

    return replace(form, name="bybit", zone=ZONE, opened=opened)


def _what(path: Path) -> str:
    with path.open("rb") as raw:
        head = raw.read(512).lstrip().lower()
    return "a page of HTML" if head.startswith((b"<!doctype", b"<html")) else f"it begins with {head[:40]!r}"
