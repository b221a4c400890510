"""Downloads Binance's published daily files, and imports them as `mm data import --format binance_vision` does."""

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mm.clock import parse_day
from mm.dayfolder.day_writer import lock_day
from mm.dayfolder.layout import DayFolder
from mm.errors import BrokenFile, MMError, RunExists
from mm.formats.binance_vision import BinanceVisionReader
from mm.formats.feed import FileCapture
from mm.formats.registry import form_of
from mm.market_data.capture_import import CaptureForm, ImportOptions, Progress, import_captures, steps
from mm.market_data.downloads import Bar, Downloads, Loaded, NotPublished
from mm.markets.binance import SPOT, USDM
from mm.markets.registry import MARKETS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mm.market_data.import_session import ImportReport
    from mm.markets.grid import Grid

FOLDERS = {SPOT.name: "/data/spot/daily", USDM.name: "/data/futures/um/daily"}
"""Folders of Binance's archive, by market."""
TRADES, BOOK = "trades", "bookTicker"
BOOK_DAYS = "20230516", "20240330"
"""First and last day of the published best prices, for BTCUSDT of USD-M; other symbols may begin later."""
SAMPLE = USDM.name, "XMRUSDT", "20230920"
"""The default day, of an inactive symbol, so that its files are small."""
DOWNLOADS = ".download"
NEAREST_DAYS = 10


@dataclass(frozen=True)
class Fetched:
    files: list[dict[str, Any]]
    report: "ImportReport"

    def lines(self) -> list[str]:
        """Return the files, and what became of them."""
        files = [f"{file['url']}: {file['bytes']:,} bytes, sha256 {file['sha256']}" for file in self.files]
        return [*files, *self.report.lines()]

    def to_json(self) -> dict[str, Any]:
        return {**self.report.to_json(), "files": self.files}


@dataclass(frozen=True, kw_only=True)
class PublishedFiles:
    """The files to fetch.

    Attributes:
        sha256: Allowed hashes beside the published ones; empty for any.
    """

    market: str
    symbol: str
    day: str
    sha256: frozenset[str] = frozenset()
    options: ImportOptions = field(default_factory=ImportOptions)

    def place(self, kind: str, day: str | None = None) -> str:
        at = parse_day(day or self.day).isoformat()
        return f"{FOLDERS[self.market]}/{kind}/{self.symbol}/{self.symbol}-{kind}-{at}.zip"

    @property
    def kinds(self) -> tuple[str, ...]:
        return (BOOK, TRADES) if MARKETS[self.market].best_prices else (TRADES,)

    def form(self) -> CaptureForm:
        def opened(paths: "Sequence[Path]", symbol: str, grid: "Grid", moved: Progress) -> list[FileCapture]:
            return [FileCapture(BinanceVisionReader(paths, symbol, moved, day=self.day), symbol, grid)]

        return replace(form_of("binance_vision"), opened=opened, market=MARKETS[self.market])


def fetch_day(
    wanted: PublishedFiles,
    data_root: "Path",
    base_url: str,
    most_bytes: int,
    bar: Bar,
    pause: Callable[[float], None] | None = None,
) -> Fetched:
    """Load the published files of a day, verify and import them; RunExists, DataError or TryLater.

    An interrupted call continues in ``<DATA_ROOT>/<SYMBOL>/<DAY>.download``; the day folder appears completely or not
    at all.
    """
    folder = DayFolder(data_root, wanted.symbol, wanted.day)
    if folder.path.is_dir() and any(folder.path.iterdir()):
        raise RunExists("{} already contains a day; move it away, or fetch into another {data_root}", folder.path)
    home = folder.path.with_name(wanted.day + DOWNLOADS)
    place = DayFolder(home, wanted.symbol, wanted.day)
    with ExitStack() as held:
        lock_day(place, held)
        with Downloads(base_url, place.path, most_bytes, bar, pause or time.sleep) as downloads:
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
    try:
        loaded = downloads.load(wanted.place(kind))
    except NotPublished as error:
        raise NotPublished(f"{error}; {_nearest(downloads, wanted, kind)}") from None
    if wanted.sha256 and loaded.sha256 not in wanted.sha256:
        raise BrokenFile(
            "{}: its sha256 is {}, which is not one of {sha256}; the server has replaced the file, or the hash is of "
            "another file",
            loaded.url,
            loaded.sha256,
        )
    return loaded


def _nearest(downloads: Downloads, wanted: PublishedFiles, kind: str) -> str:
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
