"""Downloads Binance's published daily files, and imports them as `mm data import --format binance_vision` does.

Published (https://data.binance.vision) are: for Spot the trades of a UTC day, and no book; for USD-M the trades and,
from 2023-05-16 to 2024-03-30, every change of the best prices and quantities (``bookTicker``). ``bookDepth`` has sums
of quantities by percentage distance, twice a minute, and is not a book. So a USD-M day of that time becomes a day with
frames of one level, and any other day has only trades. Equal files give equal day folders.
"""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mm.clock import parse_day
from mm.dayfolder.day_writer import lock_day
from mm.dayfolder.layout import SPOT, USDM, DayFolder
from mm.errors import BrokenFile, MMError, RunExists
from mm.formats.binance_vision import BinanceVisionReader
from mm.formats.feed import FileCapture
from mm.formats.registry import form_of
from mm.market_data.capture_import import CaptureForm, ImportOptions, Progress, import_captures, steps
from mm.market_data.downloads import Bar, Downloads, Loaded, NotPublished

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mm.market_data.grid import Grid
    from mm.market_data.import_session import ImportReport

MARKETS = {"spot": (SPOT, "/data/spot/daily"), "usdm": (USDM, "/data/futures/um/daily")}
TRADES, BOOK = "trades", "bookTicker"
BOOK_DAYS = "20230516", "20240330"
"""First and last day of the published best prices, for BTCUSDT of USD-M; other symbols may begin later."""
SAMPLE = "usdm", "XMRUSDT", "20230920"
"""The default day, of an inactive symbol, so that its files are small."""
DOWNLOADS = ".download"
NEAREST_DAYS = 10


@dataclass(frozen=True)
class Fetched:
    """A fetched day.

    Attributes:
        files: URL, bytes and sha256 of each file.
    """

    files: list[dict[str, Any]]
    report: "ImportReport"

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        files = [f"{file['url']}: {file['bytes']:,} bytes, sha256 {file['sha256']}" for file in self.files]
        return [*files, *self.report.lines()]

    def to_json(self) -> dict[str, Any]:
        """Return the report of the import, with ``files``."""
        return {**self.report.to_json(), "files": self.files}


@dataclass(frozen=True, kw_only=True)
class PublishedFiles:
    """The files to fetch.

    Attributes:
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

    def form(self) -> CaptureForm:
        """Return the format of the files, of which only the rows of the day are read."""

        def opened(paths: "Sequence[Path]", symbol: str, grid: "Grid", moved: Progress) -> list[FileCapture]:
            return [FileCapture(BinanceVisionReader(paths, symbol, moved, day=self.day), symbol, grid)]

        return replace(form_of("binance_vision"), opened=opened, venue=MARKETS[self.market][0])


def fetch_day(
    wanted: PublishedFiles,
    data_root: "Path",
    base_url: str,
    most_bytes: int,
    bar: Bar,
    pause: Callable[[float], None] | None = None,
) -> Fetched:
    """Load the published files of a day, verify them, and import them.

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
        TryLater: If the server cannot be reached.
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
            files = [_loaded(downloads, wanted, kind) for kind in wanted.kinds]
        with bar("import", sum(file.size for file in files)) as advance:
            report = import_captures(
                [file.path for file in files],
                wanted.symbol,
                data_root,
                run_id=f"fetch_{min(file.sha256 for file in files)[:12]}",
                options=wanted.options,
                progress=steps(advance),
                form=wanted.form(),
            )
    shutil.rmtree(home)
    return Fetched([{"url": file.url, "bytes": file.size, "sha256": file.sha256} for file in files], report)


def _loaded(downloads: Downloads, wanted: PublishedFiles, kind: str) -> Loaded:
    """Load the file of a *kind*; if there is none, the error names the nearest day that has one."""
    try:
        loaded = downloads.load(wanted.place(kind))
    except NotPublished as error:
        raise NotPublished(f"{error}; {_nearest(downloads, wanted, kind)}") from None
    if wanted.sha256 and loaded.sha256 not in wanted.sha256:
        raise BrokenFile(
            f"{loaded.url}: its sha256 is {loaded.sha256}, which is not one of --sha256 (SHA256); the server has "
            f"replaced the file, or the hash is of another file"
        )
    return loaded


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
