"""Days of Bybit's archive: book and prints of a day of UTC, downloaded, checked and imported.

Funding as paid, mark prices by the minute and today's instrument come from the exchange's REST interface.

Addresses and names are known from ten public tools that agree; they were never tried from here. Nothing publishes
checksums: a file is checked by its length, its kind, and each of its lines when it is imported.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from mm.base.code_identity import hash_file
from mm.clock import US_PER_MS, iso, midnight_us, parse_day
from mm.dayfolder.day_writer import lock_day
from mm.dayfolder.layout import DayFolder
from mm.errors import BrokenFile, DataError, MMError, RunExists, TryLater
from mm.formats.bybit import ZONE, Told, form_of_files
from mm.formats.published import DOWNLOADS, Fetched
from mm.market_data.capture_import import ImportOptions, import_captures, steps
from mm.market_data.downloads import MOST_ANSWER_BYTES, Bar, Downloads, NotPublished
from mm.markets.bybit_public import BybitPublic
from mm.markets.feed import Feed, feed_of
from mm.markets.grid import Grid
from mm.markets.market import Market
from mm.markets.messages import ExchangeInfo, MarkPrice, RestRequest, with_symbol

_DEEPER_UNTIL = "20250820"
"""The last day whose books of linear contracts have 500 levels; Spot and later days have 200."""
_MINUTE_MS, _DAY_MS = 60_000, 86_400_000
_PART_MS = _DAY_MS // 2
"""Minutes of half a day are fewer than `MOST_BARS`."""
_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"


@dataclass(frozen=True)
class ArchiveDay:
    """A day of one symbol, the servers of its files, and of the exchange's REST interface."""

    market: Market
    symbol: str
    day: str
    books: str
    trades: str
    options: ImportOptions
    rest: str

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


def fetch_archive_day(
    wanted: ArchiveDay,
    data_root: Path,
    most_bytes: int,
    bar: Bar,
    pause: Callable[[float], None] = time.sleep,
) -> Fetched:
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
        beside, unknown = _told(wanted, place.path, bar, pause)
        form = form_of_files(paths, wanted.market, beside)
        assert form
        with bar("import", sum(path.stat().st_size for path in paths)) as advance:
            report = import_captures(
                paths,
                wanted.symbol,
                data_root,
                run_id=f"fetch_{min(map(hash_file, paths))[:12]}",
                options=wanted.options,
                progress=steps(advance),
                form=form,
            )
        files = [
            {"url": base + at, "bytes": path.stat().st_size, "sha256": hash_file(path)}
            for (base, at, _), path in zip(sources, paths, strict=True)
        ]
    shutil.rmtree(home)
    report.warnings += unknown
    return Fetched(files, report)


def _told(
    wanted: ArchiveDay, folder: Path, bar: Bar, pause: Callable[[float], None]
) -> tuple[list[tuple[int, Told]], list[str]]:
    """Return what REST tells of the day, in order, and what it does not tell, with the reason."""
    told: list[tuple[int, Told]] = []
    contract, begins_us = wanted.market.contract, midnight_us(wanted.day, ZONE)
    unknown = "instrument, funding and mark prices are unknown" if contract else "the instrument is unknown"
    instead = "import the downloaded files, whose funding then is unknown"
    try:
        with Downloads(wanted.rest, folder, MOST_ANSWER_BYTES, bar, pause, instead=instead) as rest:
            past = _Past(feed_of(wanted.market), wanted.symbol, rest)
            told.append((begins_us, past.instrument()))
            unknown = "funding and mark prices are unknown"
            told += past.payments_and_marks(begins_us // US_PER_MS) if contract else []
    except (DataError, TryLater, ValueError, msgspec.MsgspecError) as error:
        why = str(error) if isinstance(error, MMError) else f"{wanted.rest} answered otherwise than expected ({error})"
        return told, [f"{unknown}: {why}"]
    return told, []


class _Past:
    """What REST tells of a symbol's past day; raises DataError, TryLater, ValueError or MsgspecError."""

    def __init__(self, feed: Feed, symbol: str, rest: Downloads) -> None:
        assert isinstance(feed, BybitPublic)
        self._feed, self._symbol, self._rest = feed, symbol, rest

    def _ask(self, request: RestRequest) -> bytes:
        return self._rest.answer(f"{request.path}?{urlencode(with_symbol(request, self._symbol).params)}")

    def instrument(self) -> ExchangeInfo:
        """Return today's: the exchange publishes no earlier one."""
        request = self._feed.exchange_info(self._symbol)
        info = self._feed.decoder(self._symbol, Grid()).answer(urlencode(request.params), self._ask(request))
        if not isinstance(info, ExchangeInfo):
            raise ValueError(f"no instrument {self._symbol} of {self._feed.market.title}")
        return info

    def payments_and_marks(self, begins_ms: int) -> list[tuple[int, Told]]:
        """Return the payments of a day, and the mark price at the begin of each minute."""
        ends_ms, marks = begins_ms + _DAY_MS - 1, dict[int, str]()
        for from_ms in range(begins_ms, ends_ms, _PART_MS):
            marks |= self._feed.marks(self._ask(self._feed.marks_between(from_ms, from_ms + _PART_MS - _MINUTE_MS)))
        paid = self._feed.payments(self._ask(self._feed.funding_between(begins_ms, ends_ms)))
        paid = [one for one in paid if begins_ms <= one.paid_ms <= ends_ms]
        if not paid:
            raise ValueError(f"no payment from {iso(begins_ms * US_PER_MS)} to {iso(ends_ms * US_PER_MS)}")
        told: list[tuple[int, Told]] = []
        for one in paid:
            mark = marks.get(one.paid_ms - one.paid_ms % _MINUTE_MS)
            if mark is None:
                raise ValueError(f"no mark price at {iso(one.paid_ms * US_PER_MS)}, of a payment")
            told.append((one.paid_ms * US_PER_MS, one._replace(mark_price=mark)))
        told += ((ms * US_PER_MS, MarkPrice(ms, self._symbol, price, "0", 0)) for ms, price in marks.items())
        return sorted(told, key=itemgetter(0))


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
