"""Converts Binance's published daily files into day folders: trades and, for USD-M futures, the best prices.

Published (https://data.binance.vision) are: for Spot the trades of a UTC day, and no book; for USD-M the trades and,
from 2023-05-16 to 2024-03-30, every change of the best prices and quantities (``bookTicker``). ``bookDepth`` has sums
of quantities by percentage distance, twice a minute, and is not a book. So a USD-M day of that time becomes a day with
frames of one level, and any other day has only trades.

There are no receive times: each row is received at the exchange's own transaction time, trades before the best prices
of the same instant, so that no trade comes after the prices that it caused. Equal files give equal day folders.
"""

import csv
import io
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from heapq import merge
from itertools import count
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import mm
from mm.clock import US_PER_MS, exchange_us, midnight_us, next_day, parse_day
from mm.dayfolder.day_grids import instrument_json
from mm.dayfolder.day_writer import DayWriter, lock_day
from mm.dayfolder.layout import SPOT, USDM, DayFolder
from mm.dayfolder.ledger import FUNDING_DOUBT, NO_EXECUTION
from mm.dayfolder.rows import Stamp, Trade
from mm.errors import BrokenFile, MMError, OffGrid, RunExists, TryLater
from mm.instrument import Instrument, e8, short_text
from mm.market_data.binance_usdm import FUNDING_HOURS
from mm.market_data.capture_import import ImportOptions, Staging
from mm.market_data.downloads import Bar, Downloads, Loaded, NotPublished
from mm.market_data.grid import NO_MIN_NOTIONAL, Grid, rounded_qty
from mm.market_data.stamps import FAR_US, Moved, Steady

MARKETS = {"spot": (SPOT, "/data/spot/daily"), "usdm": (USDM, "/data/futures/um/daily")}
TRADES, BOOK = "trades", "bookTicker"
BOOK_DAYS = "20230516", "20240330"
"""First and last day of the published best prices, for BTCUSDT of USD-M; other symbols may begin later."""
SAMPLE = "usdm", "XMRUSDT", "20230920"
"""The default day, of an inactive symbol, so that its files are small."""
DOWNLOADS = ".download"
NEAREST_DAYS = 10
MOST_RUNS = 64
_SPACE_PER_BYTE = 3
"""Maximum bytes on the disk for each byte of the decompressed files: rows, and those that must be sorted."""
_COLUMNS = {
    TRADES: (("id", "price", "qty", "quote_qty", "time", "is_buyer_maker"), 6),
    BOOK: (
        (
            "update_id",
            "best_bid_price",
            "best_bid_qty",
            "best_ask_price",
            "best_ask_qty",
            "transaction_time",
            "event_time",
        ),
        7,
    ),
}
_BOOLEANS = {"true": True, "false": False}


class _Dated(NamedTuple):
    """A row of a file: its instant, its rank within one instant, its id, and its cells."""

    us: int
    rank: int
    number: int
    cells: Sequence[str]


@dataclass
class FetchReport:
    """A fetched day.

    Attributes:
        symbol, day, market: As requested.
        path: The day folder.
        files: URL, bytes and sha256 of each file.
        trades, frames: Number of written rows.
        left_out: Number of other rows, by reason.
        sorted_files: Files whose rows were not in the order of their ids.
        instrument: The written steps.
        warnings: One sentence each.
    """

    symbol: str
    day: str
    market: str
    path: str = ""
    files: list[dict[str, Any]] = field(default_factory=list)
    trades: int = 0
    frames: int = 0
    trade_gaps: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    sorted_files: list[str] = field(default_factory=list)
    instrument: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        return [
            *(f"{file['url']}: {file['bytes']:,} bytes, sha256 {file['sha256']}" for file in self.files),
            f"{self.symbol} {self.day} ({self.market}): {self.frames:,} best prices, {self.trades:,} trades",
            *(f"{name} was not in the order of its ids; it was sorted" for name in self.sorted_files),
            *(f"left out: {number:,} rows, {why}" for why, number in self.left_out.items() if number),
            *(f"warning: {warning}" for warning in self.warnings),
            self.path if self.frames else f"{self.path}: it has no book, so it cannot be replayed",
        ]


@dataclass(frozen=True, kw_only=True)
class PublishedFiles:
    """The files to fetch.

    Attributes:
        market: ``spot`` or ``usdm``.
        symbol: Upper case.
        day: ``YYYYMMDD``, a UTC day.
        sha256: Allowed hashes of the files, in addition to the published ones; empty for any.
        options: Steps of our orders, unless they are to be inferred.
    """

    market: str
    symbol: str
    day: str
    sha256: frozenset[str] = frozenset()
    options: ImportOptions = field(default_factory=ImportOptions)

    def place(self, kind: str, day: str | None = None) -> str:
        """Return the server's path of the file of a *kind*."""
        at = parse_day(day or self.day).isoformat()
        return f"{MARKETS[self.market][1]}/{kind}/{self.symbol}/{self.symbol}-{kind}-{at}.zip"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of files of such a day."""
        return (BOOK, TRADES) if self.market == "usdm" else (TRADES,)


def fetch_day(
    wanted: PublishedFiles,
    data_root: Path,
    base_url: str,
    most_bytes: int,
    bar: Bar,
    pause: Callable[[float], None] | None = None,
) -> FetchReport:
    """Load the published files of a day, verify them, and write its day folder.

    The data of an interrupted call is in ``<DATA_ROOT>/<SYMBOL>/<DAY>.download`` and is continued; the day folder
    appears completely or not at all.

    Args:
        wanted: The day.
        data_root: Folder of the day folders.
        base_url: URL of the server, without a path.
        most_bytes: Maximum size of a file.
        bar: Shows the progress of each step, in bytes.
        pause: Waits for a number of seconds; None sleeps.

    Raises:
        RunExists: If the day folder exists already.
        DataError: If the server does not have the file (the message names the nearest available day), the bytes do not
            match its checksum, or rows cannot be parsed.
        TryLater: If the server cannot be reached, or there is no space.
    """
    folder = DayFolder(data_root, wanted.symbol, wanted.day)
    if folder.path.is_dir() and any(folder.path.iterdir()):
        raise RunExists(f"{folder.path} already contains a day; move it away, or fetch into another --data-root")
    home = folder.path.with_name(wanted.day + DOWNLOADS)
    place = DayFolder(home, wanted.symbol, wanted.day)
    with ExitStack() as held:
        lock_day(place, held)
        more = {} if pause is None else {"pause": pause}
        with Downloads(base_url, place.path, most_bytes, bar, **more) as downloads:
            files = {kind: _loaded(downloads, wanted, kind) for kind in wanted.kinds}
        report = _Day(wanted, place.path, files).write(data_root, bar)
    shutil.rmtree(home)
    return report


def _loaded(downloads: Downloads, wanted: PublishedFiles, kind: str) -> Loaded:
    """Load the file of a *kind*; if there is none, the error names the nearest day that has one."""
    try:
        found = downloads.load(wanted.place(kind))
    except NotPublished as error:
        raise NotPublished(f"{error}; {_nearest(downloads, wanted, kind)}") from None
    if wanted.sha256 and found.sha256 not in wanted.sha256:
        raise BrokenFile(
            f"{found.url}: its sha256 is {found.sha256}, which is not one of --sha256 (SHA256); the server has "
            f"replaced the file, or the hash is of another file"
        )
    return found


def _nearest(downloads: Downloads, wanted: PublishedFiles, kind: str) -> str:
    """Return a sentence about the nearest day with this file."""
    if kind == BOOK and not BOOK_DAYS[0] <= wanted.day <= BOOK_DAYS[1]:
        return f"best prices are published from {BOOK_DAYS[0]} to {BOOK_DAYS[1]}: choose a --day in this range"
    day = parse_day(wanted.day)
    for away in range(1, NEAREST_DAYS + 1):
        for other in (day - timedelta(days=away), day + timedelta(days=away)):
            text = other.strftime("%Y%m%d")
            try:
                if downloads.published(wanted.place(kind, text)):
                    return f"the nearest available day is --day {text}"
            except MMError:
                return "is the symbol spelt as the exchange does, and traded on that day?"
    return f"none within {NEAREST_DAYS} days either; is {wanted.symbol} a symbol of --market {wanted.market}?"


class _Day:
    """One day while its folder is written."""

    def __init__(self, wanted: PublishedFiles, scratch: Path, files: dict[str, Loaded]) -> None:
        self._wanted = wanted
        self._scratch = scratch
        self._files = files
        self._grid = Grid()
        self._from_us = midnight_us(wanted.day, "UTC")
        self._to_us = midnight_us(next_day(wanted.day), "UTC")
        self._report = FetchReport(wanted.symbol, wanted.day, wanted.market)
        self._report.files = [{"url": file.url, "bytes": file.size, "sha256": file.sha256} for file in files.values()]

    def write(self, data_root: Path, bar: Bar) -> FetchReport:
        """Write the day folder."""
        wanted, report = self._wanted, self._report
        sources = {kind: _Source(kind, file.path) for kind, file in self._files.items()}
        size = sum(source.size for source in sources.values())
        _require_space(data_root, _SPACE_PER_BYTE * size)
        hashes = sorted(file.sha256 for file in self._files.values())
        with ExitStack() as undo, bar("write the day", 2 * size) as advance:
            staging = Staging(
                data_root,
                wanted.symbol,
                f"fetch_{hashes[0][:12]}",
                1,
                write_diffs=False,
                venue=MARKETS[wanted.market][0],
            )
            undo.callback(staging.discard)
            rows = [self._rows(source, advance) for source in sources.values()]
            with staging.open(wanted.day) as writer:
                self._play(writer, merge(*rows))
                writer.seal()
            report.sorted_files = [source.path.name for source in sources.values() if source.runs > 1]
            instrument = self._instrument()
            report.path = str(staging.publish(instrument)[0])
            undo.pop_all()
        return report

    def _leave_out(self, why: str, rows: int = 1) -> None:
        self._report.left_out[why] = self._report.left_out.get(why, 0) + rows

    def _rows(self, source: "_Source", advance: Callable[[int], None]) -> Iterator[_Dated]:
        """Yield the rows of a file in order, with non-decreasing times, without those of another day or a far time."""
        far, raised, us = Moved(), Moved(), 0

        def left_out(row: _Dated, at_us: int, _first_us: int) -> None:
            far.note(f"id {row.number} of {source.path.name}", row.us, at_us)

        for row in Steady(self._of_day(source, advance), attrgetter("us"), left_out):
            if us - row.us > FAR_US:
                raised.note(f"id {row.number} of {source.path.name}", row.us, us)
            us = max(us, row.us)
            yield row._replace(us=us)
        if far.count:
            self._leave_out(f"with a time over 5 s from the rows around it, first {far.first}", far.count)
        self._report.warnings += raised.raised()
        if source.twice:
            self._leave_out("with a repeated id", source.twice)
        if source.contradicting:
            self._leave_out("with the id of another row", source.contradicting)

    def _of_day(self, source: "_Source", advance: Callable[[int], None]) -> Iterator[_Dated]:
        for number, cells in source.in_order(self._scratch, advance):
            us = exchange_us(int(cells[source.time_at]))
            if self._from_us <= us < self._to_us:
                yield _Dated(us, source.rank, number, cells)
            else:
                self._leave_out("of another day")

    def _play(self, writer: DayWriter, rows: Iterator[_Dated]) -> None:
        """Write *rows*, and the ledger around them."""
        wanted, report = self._wanted, self._report
        given = {name: value for name, value in asdict(wanted.options).items() if value is not None}
        knobs = {
            **given,
            "symbol": wanted.symbol,
            "market": wanted.market,
            "captures": [file.path.name for file in self._files.values()],
            "sha256": [file.sha256 for file in self._files.values()],
            "top_n": 1,
            "trade_stream": "trade",
            "window_tz": "UTC",
            "write_diffs": False,
        }
        epoch, last_trade, us, first = 0, 0, self._from_us, True
        for row in rows:
            us = row.us
            if first:
                writer.event(us, "run_start", 0, {"version": mm.__version__, "knobs": knobs})
                writer.event(us, "window_start", 0, {})
                first = False
            try:
                if row.rank:
                    epoch = self._best(writer, row, epoch)
                else:
                    if last_trade and row.number > last_trade + 1:
                        hole = {"from_id": last_trade + 1, "to_id": row.number - 1, "from_us": None, "to_us": us}
                        writer.gap(us, "trade_gap", epoch, {**hole, "cause": "not_published"})
                        report.trade_gaps += 1
                    last_trade = row.number
                    self._trade(writer, row, epoch)
            except (OffGrid, KeyError, ValueError) as error:
                name = self._files[BOOK if row.rank else TRADES].path.name
                raise BrokenFile(f"{name}: {','.join(row.cells)}: {error}; fetch the file again") from error
        if first:
            raise BrokenFile(f"{', '.join(file.path.name for file in self._files.values())}: no row of {wanted.day}")
        if wanted.market == "usdm":
            for hour in range(FUNDING_HOURS, 24, FUNDING_HOURS):
                due = {"paid_ms": self._from_us // US_PER_MS + hour * 3_600_000, "why": "no mark prices are published"}
                writer.event(us, "anomaly", epoch, {"kind": FUNDING_DOUBT, **due})
        for why, number in report.left_out.items():
            writer.event(us, "anomaly", epoch, {"kind": "left_out", "why": why, "rows": number})
        writer.event(us, "window_end", epoch, {})
        writer.event(us, "run_stop", epoch, {"reason": "end_of_captures"})

    def _best(self, writer: DayWriter, row: _Dated, epoch: int) -> int:
        """Write best prices as a frame, the first of them also as a snapshot; return the epoch."""
        _, bid, bid_qty, ask, ask_qty, *_ = row.cells
        bids = [(bid, bid_qty)] if bid and bid_qty and self._grid.qty(bid_qty) else []
        asks = [(ask, ask_qty)] if ask and ask_qty and self._grid.qty(ask_qty) else []
        if bids and asks and self._grid.price(bid) >= self._grid.price(ask):
            self._leave_out("crossed")
            return epoch
        self._grid.check([*bids, *asks])
        if not epoch:
            epoch = 1
            writer.snapshot(row.us, "initial", row.number, bids, asks, epoch)
        exch_time = int(row.cells[5])
        writer.frame(Stamp(row.us, writer.skip(), exch_time, row.number), epoch, bids, asks)
        self._report.frames += 1
        return epoch

    def _trade(self, writer: DayWriter, row: _Dated, epoch: int) -> None:
        """Write a trade; a row without a quantity was no execution, and keeps only its id."""
        number, price, whole_qty, _, time, maker, *_ = row.cells
        qty, _ = rounded_qty(whole_qty)
        if not self._grid.qty(qty):
            self._leave_out("without a quantity")
            details = {"kind": NO_EXECUTION, "trade_id": int(number), "price": price, "qty": qty}
            writer.event(row.us, "anomaly", epoch, details)
            return
        self._grid.check_one(price, qty)
        one = int(number)
        writer.trade(row.us, Trade(int(time), one, int(time), price, qty, _BOOLEANS[maker.lower()], one, one, "import"))
        self._report.trades += 1

    def _instrument(self) -> str:
        """Return the text of ``instrument.json``, with warnings for inferred or missing values."""
        options, grid, report = self._wanted.options, self._grid, self._report
        tick_e8 = options.tick_e8 or grid.seen_tick_e8
        lot_e8 = e8(options.qty_step) if options.qty_step else grid.seen_step_e8
        notional_e8 = e8(options.min_notional) if options.min_notional else 0
        given = {"tick size": options.tick_size, "quantity step": options.qty_step}
        inferred = [name for name, value in given.items() if value is None]
        report.instrument = {
            "tick_size": short_text(tick_e8),
            "qty_step": short_text(lot_e8),
            "min_notional": short_text(notional_e8),
        }
        if inferred:
            report.warnings.append(
                f"tick size {short_text(tick_e8)} and quantity step {short_text(lot_e8)} are inferred from the rows "
                f"({', '.join(inferred)}); give --tick-size and --qty-step if the exchange's are finer"
            )
        report.warnings += [NO_MIN_NOTIONAL] * (options.min_notional is None)
        report.warnings += grid.too_fine(options.tick_e8 or 0, report.trades)
        if report.frames:
            report.warnings.append(
                "the book has one level per side: the queue beyond the best price is unknown, so fills "
                "there are too optimistic; see docs/data.md for the uses of such a day"
            )
        else:
            report.warnings.append("Spot books are not published: the day has only trades; record one with mm record")
        if report.trade_gaps:
            report.warnings.append(f"{report.trade_gaps:,} ranges of trade ids are not published (trade_gap)")
        return instrument_json(Instrument(self._wanted.symbol, tick_e8, lot_e8, notional_e8), inferred)


class _Source:
    """A published file: one CSV in a zip, with or without a header.

    Attributes:
        size: Bytes of the CSV.
        runs: Number of ascending id sequences in its rows; 0 before they were read.
        twice: Number of rows that repeat the row of their id.
        contradicting: Number of rows with the id of a row with another time, price or quantity.
    """

    def __init__(self, kind: str, path: Path) -> None:
        self.path = path
        self.rank = int(kind == BOOK)
        self._columns, self._width = _COLUMNS[kind]
        self.time_at = 5 if kind == BOOK else 4
        self.runs = self.twice = self.contradicting = 0
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except zipfile.BadZipFile as error:
            raise BrokenFile(f"{path}: not a zip file ({error}); fetch it again") from error
        if len(members) != 1 or not members[0].filename.endswith(".csv"):
            names = ", ".join(member.filename for member in members[:5])
            raise BrokenFile(f"{path}: contains {names or 'nothing'}, not one CSV; is it a file of {kind}?")
        self._member = members[0].filename
        self.size = members[0].file_size

    def in_order(self, scratch: Path, advance: Callable[[int], None]) -> Iterator[tuple[int, Sequence[str]]]:
        """Yield id and cells of each row, in the order of their ids, each id once.

        Some published files are several ascending sequences, interleaved by rows. These are separated into files of
        *scratch* and merged, so that memory stays small.
        """
        lasts: list[int] = []
        for number, _ in self._read(advance):
            _place(lasts, number, self.path)
        self.runs = len(lasts)
        rows = self._read(advance) if self.runs < 2 else self._merged(scratch, advance)
        last, first = -1, None
        for number, cells in rows:
            if number <= last:
                same = cells == first
                self.twice += same
                self.contradicting += not same
                continue
            last, first = number, cells
            yield number, cells

    def _merged(self, scratch: Path, advance: Callable[[int], None]) -> Iterator[tuple[int, Sequence[str]]]:
        lasts: list[int] = []
        with ExitStack() as opened:
            parts: list[io.TextIOWrapper] = []
            for number, cells in self._read(advance):
                at = _place(lasts, number, self.path)
                if at == len(parts):
                    part = scratch / f"{self._member}.{at}"
                    opened.callback(part.unlink)
                    parts.append(opened.enter_context(part.open("w+", encoding="ascii", newline="\n")))
                parts[at].write(",".join(cells) + "\n")
            for file in parts:
                file.seek(0)
            yield from merge(*map(_numbered, parts), key=lambda row: row[0])

    def _read(self, advance: Callable[[int], None]) -> Iterator[tuple[int, Sequence[str]]]:
        """Yield id and cells of each row, in file order."""
        with zipfile.ZipFile(self.path) as archive, archive.open(self._member) as packed:
            before = 0
            lines = csv.reader(io.TextIOWrapper(packed, encoding="utf-8", newline=""))
            try:
                for row, cells in zip(count(1), lines, strict=False):
                    if row == 1 and cells and not cells[0].isdigit():
                        if tuple(cells[: self._width]) != self._columns:
                            raise BrokenFile(
                                f"{self.path}: its columns are {','.join(cells)}, not {','.join(self._columns)}"
                            )
                        continue
                    if len(cells) < self._width or not (cells[0].isdigit() and cells[self.time_at].isdigit()):
                        raise BrokenFile(f"{self.path}: row {row} is {','.join(cells)!r}; fetch the file again")
                    yield int(cells[0]), cells
                    if not row % 20_000:
                        advance(packed.tell() - before)
                        before = packed.tell()
            except (UnicodeDecodeError, zipfile.BadZipFile, csv.Error, EOFError) as error:
                raise BrokenFile(f"{self.path}: cannot be read ({error}); fetch it again") from error
            advance(packed.tell() - before)


def _place(lasts: list[int], number: int, path: Path) -> int:
    """Return the ascending sequence that a row with an id continues, and store the id as its last one."""
    found = max((at for at, last in enumerate(lasts) if last <= number), key=lasts.__getitem__, default=len(lasts))
    if found == len(lasts):
        if found == MOST_RUNS:
            raise BrokenFile(f"{path}: its rows are not in order (more than {MOST_RUNS} ascending sequences of ids)")
        lasts.append(number)
    lasts[found] = number
    return found


def _numbered(lines: Iterator[str]) -> Iterator[tuple[int, Sequence[str]]]:
    for line in lines:
        cells = line.rstrip("\n").split(",")
        yield int(cells[0]), cells


def _require_space(data_root: Path, wanted: int) -> None:
    existing = next(path for path in (data_root, *data_root.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < wanted:
        raise TryLater(f"no space: {existing} has {free / 1e6:,.0f} MB free, the day may take {wanted / 1e6:,.0f} MB")
