"""Days of Bybit's archive: book and prints of a day of UTC, downloaded, checked and imported.

Addresses and names are known from ten public tools that agree; they were never tried from here. Nothing publishes
checksums: a file is checked by its length, its kind, and each of its lines when it is imported.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from mm.base.code_identity import hash_file
from mm.clock import parse_day
from mm.dayfolder.day_writer import lock_day
from mm.dayfolder.layout import DayFolder
from mm.errors import BrokenFile, RunExists
from mm.formats.bybit import form_of_files
from mm.market_data.capture_import import ImportOptions, import_captures, steps
from mm.market_data.downloads import Bar, Downloads, NotPublished
from mm.market_data.import_session import ImportReport
from mm.markets.market import Market

DOWNLOADS = ".download"
_DEEPER_UNTIL = "20250820"
"""The last day whose books of linear contracts have 500 levels; Spot and later days have 200."""
_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"


@dataclass(frozen=True)
class ArchiveDay:
    """A day of one symbol, and the servers of its files."""

    market: Market
    symbol: str
    day: str
    books: str
    trades: str
    options: ImportOptions

    @property
    def book_place(self) -> str:
        day, linear = f"{parse_day(self.day):%Y-%m-%d}", self.market.contract
        levels = 500 if linear and self.day <= _DEEPER_UNTIL else 200
        return f"/orderbook/{'linear' if linear else 'spot'}/{self.symbol}/{day}_{self.symbol}_ob{levels}.data.zip"

    @property
    def trades_place(self) -> str:
        day = f"{parse_day(self.day):%Y-%m-%d}"
        if self.market.contract:
            return f"/trading/{self.symbol}/{self.symbol}{day}.csv.gz"
        return f"/spot/{self.symbol}/{self.symbol}_{day}.csv.gz"


class FetchedDay(NamedTuple):
    """What was loaded, and what became of it."""

    files: list[dict[str, object]]
    report: ImportReport


def fetch_archive_day(
    wanted: ArchiveDay,
    data_root: Path,
    most_bytes: int,
    bar: Bar,
    pause: Callable[[float], None] = time.sleep,
) -> FetchedDay:
    """Load a day, check and import it; RunExists, DataError or TryLater.

    An interrupted call continues in ``<DATA_ROOT>/<SYMBOL>/<DAY>.download``; the day folder appears completely or not
    at all.
    """
    folder = DayFolder(data_root, wanted.symbol, wanted.day)
    if folder.path.is_dir() and any(folder.path.iterdir()):
        raise RunExists("{} already contains a day; move it away, or fetch into another {data_root}", folder.path)
    home = folder.path.with_name(wanted.day + DOWNLOADS)
    place = DayFolder(home, wanted.symbol, wanted.day)
    sources = ((wanted.books, wanted.book_place, _ZIP), (wanted.trades, wanted.trades_place, _GZIP))
    with ExitStack() as held:
        lock_day(place, held)
        paths = [_loaded(*source, place.path, most_bytes, bar, pause) for source in sources]
        form = form_of_files(paths, wanted.market)
        assert form
        with bar("import", sum(path.stat().st_size for path in paths)) as advance:
            report = import_captures(
                paths,
                wanted.symbol,
                data_root,
                run_id=f"fetch_{min(map(hash_file, paths))[:12]}",
                options=replace(wanted.options),
                progress=steps(advance),
                form=form,
            )
        files = [
            {"url": base + at, "bytes": path.stat().st_size, "sha256": hash_file(path)}
            for (base, at, _), path in zip(sources, paths, strict=True)
        ]
    shutil.rmtree(home)
    return FetchedDay(files, report)


def _loaded(  # noqa: PLR0913, PLR0917 - the parts of a download
    base: str, at: str, begins: bytes, folder: Path, most_bytes: int, bar: Bar, pause: Callable[[float], None]
) -> Path:
    instead = "download {name} by hand and use mm data import"
    with Downloads(base, folder, most_bytes, bar, pause, instead=instead) as load:
        try:
            path = load.load_unsigned(at)
        except NotPublished as error:
            hint = "is the symbol spelt as the exchange does, and was it traded that day?"
            raise NotPublished(f"{error}; {hint}") from None
    with path.open("rb") as file:
        head = file.read(64)
    if not head.startswith(begins):
        path.unlink()
        kind = "a page of HTML" if head.lstrip().lower().startswith((b"<!doctype", b"<html")) else f"{head[:20]!r}"
        raise BrokenFile(f"{base}{at}: it begins with {kind}, not as the archive's files; nothing was kept")
    return path
