"""``mm data``."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mm.base.common_knobs import Name, data_root_knob, day_knob, symbol_knob
from mm.base.knobs import day_list, decimal, knob, matching, one_of
from mm.base.numbers import noun
from mm.base.paths import read_twice
from mm.cli.frame import command
from mm.cli.task_knobs import BinanceMarket, PublicFiles, Streams
from mm.clock import now_us, run_stamp
from mm.dayfolder.held_out import FILE
from mm.dayfolder.layout import DayFolder
from mm.errors import BrokenFile, DataError, Incomplete, NeverSynced, RunExists, Sentence, UsageError
from mm.markets import binance, bybit
from mm.markets.registry import MARKETS
from mm.play.knobs import DamagedDay, Market, Results, Source
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.dayfolder.check import CheckReport
    from mm.dayfolder.seal import AlteredFile
    from mm.formats.day_parquet import MovedFile
    from mm.formats.published import Fetched
    from mm.formats.table import TableColumns
    from mm.market_data.import_session import ImportReport
    from mm.tape.warnings import BookDoubts


_PATH = click.Path(path_type=Path)


_FILES = click.Argument(["captures"], type=_PATH, nargs=-1, required=True, metavar="CAPTURE...")


_BYBIT = {"bybit": bybit.LINEAR, "bybit-spot": bybit.SPOT}
_FORMATS = ("raw", *_BYBIT, "bitstamp", "hftbacktest", "tardis", "lobster", "databento", "binance_vision", "table")


_FORMAT = click.Option(
    ["--format", "form"],
    type=click.Choice(_FORMATS),
    default=_FORMATS[0],
    show_default=True,
    help="File format: raw captures of Binance or Bybit, or files of Bybit's archive; else that of another source.",
)


_HELD = (
    click.Argument(["symbol"], metavar="SYMBOL"),
    click.Argument(["days"], nargs=-1, metavar="[DAY]…"),
    click.Option(["--until"], metavar="YYYYMMDD", help="Date from which they are no longer held out."),
    click.Option(["--release", "released"], is_flag=True, help="Let the days, or all of SYMBOL, be played again."),
)


_COLUMN = matching(r"\S.*", "names of columns, separated by commas", "NAME")


_WORDS = matching(r"[^=]+=\w+(,[^=]+=\w+)*", "words with their meaning, such as 0=bid,1=ask", "WORD=MEANING,…")


_FILE_PATTERN = matching(r"\S.*", "patterns of file names, such as trades*.csv", "PATTERN")


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Units of a file, and columns of a table; of several names the first in the file counts."""

    contract_size: str | None = knob(
        None,
        decimal("0.00000001", "1000000000"),
        "Base asset of one contract, if quantities are numbers of contracts: they are multiplied by it.",
    )
    price_scale: str | None = knob(
        None,
        matching("1(0{1,12})", "a power of ten, such as 1000", "POWER_OF_TEN"),
        "Prices are multiplied by it and quantities divided, for prices finer than 0.00000001.",
    )
    time_column: str | None = knob(None, _COLUMN, "Receive time; without it a usual name, such as timestamp.")
    exchange_time_column: str | None = knob(None, _COLUMN, "The exchange's time; without it a usual name, or none.")
    time_unit: str | None = knob(
        None,
        one_of("s", "ms", "us", "ns", "iso"),
        "Unit of all times; without it the first row's, which is printed.",
    )
    price_column: str | None = knob(None, _COLUMN, "Price; without it price or px.")
    qty_column: str | None = knob(None, _COLUMN, "Quantity; without it qty, quantity, size, amount or volume.")
    side_column: str | None = knob(None, _COLUMN, "bid or ask, or the buying or selling aggressor; without it side.")
    maker_column: str | None = knob(None, _COLUMN, "Whether the buyer was the maker; without it is_buyer_maker.")
    id_column: str | None = knob(
        None, _COLUMN, "Id of a trade (missing ones are gaps if they count by one), or of the message of a row."
    )
    order_id_column: str | None = knob(
        None, _COLUMN, "Id of a single order; then the kind of a row is add, modify, cancel, delete, trade or clear."
    )
    kind_column: str | None = knob(None, _COLUMN, "Kind of each row: snapshot, change or trade; of orders, as above.")
    symbol_column: str | None = knob(None, _COLUMN, "Symbol of each row; others are left out.")
    side_words: str | None = knob(None, _WORDS, "Words of the side column, such as 0=bid,1=ask.")
    kind_words: str | None = knob(None, _WORDS, "Words of the kind column, such as P=snapshot,U=change,T=trade.")
    levels: str | None = knob(
        None,
        _COLUMN,
        "Columns of files with a whole book in each row: prices and sizes of bids and asks, with {n}, or of lists.",
    )
    trade_files: str | None = knob(None, _FILE_PATTERN, "Names of the files with trades, if their columns do not tell.")
    change_files: str | None = knob(None, _FILE_PATTERN, "Names of the files with changes of levels.")
    book_files: str | None = knob(None, _FILE_PATTERN, "Names of the files with whole books, a level in each row.")
    best_files: str | None = knob(
        None, _FILE_PATTERN, "Names of the files with best prices alone, which books of the same time may stand beside."
    )


@dataclass(frozen=True, kw_only=True)
class PublishedDay:
    """The symbol and the days; without both, the project's sample."""

    symbol: str | None = symbol_knob("Symbol, in any case; without it the sample's.", None)
    day: str | None = day_knob(
        "Day of UTC, YYYYMMDD, a list or a range; without it the sample's.", None, many=True, common="Days of UTC"
    )
    data_root: Path = data_root_knob("Folder of the day folders.", common="Folder of the days")


@dataclass(frozen=True, kw_only=True)
class NamedDays:
    """Day folders by symbol and day, if no path is given."""

    symbol: str | None = symbol_knob("Symbol, if no DAY_FOLDER is given.", None, common="Symbol, without a folder")
    day: str | None = day_knob(
        "YYYYMMDD, if no DAY_FOLDER is given; for check and coverage also a list or a range.",
        None,
        many=True,
        common="YYYYMMDD, without a folder",
    )
    data_root: Path = data_root_knob("Folder of the day folders.", common="Folder of the days")

    def folders(self, given: Sequence[Path]) -> tuple[Path, ...]:
        if given:
            return tuple(given)
        if self.symbol is None or self.day is None:
            raise UsageError(Sentence("no day was given; give DAY_FOLDER, or {symbol} and {day}"))
        return tuple(self.data_root / self.symbol / day for day in day_list(self.day))

    def one(self, given: Path | None) -> Path:
        folders = self.folders([] if given is None else [given])
        if len(folders) > 1:
            raise UsageError("{day} is {}; this command takes one day", self.day)
        return folders[0]


FEW_USED = 0.1
"""Share of the messages below which an import is not what was asked for."""


_FOLDER = click.Argument(["folder"], type=_PATH, required=False, metavar="[DAY_FOLDER]")
_FOLDERS = click.Argument(["folders"], type=_PATH, nargs=-1, metavar="[DAY_FOLDER]...")


ORDER_FORMS = ("databento", "dbn", "lobster", "hftbacktest_l3")
_SUFFIXES = {"hftbacktest": ".npz", "hftbacktest_l3": ".npz", "databento": ".csv", "dbn": ".dbn"}
_FORM = click.Option(
    ["--format", "--to", "form"],
    type=click.Choice(["parquet", "hftbacktest", *ORDER_FORMS]),
    default="parquet",
    show_default=True,
    help="File format: a folder of Parquet files, one .npz of hftbacktest, or the single orders of an order log.",
)


_OUT = click.Option(["--out"], type=_PATH, help="Output path; default <OUT_ROOT>/<FORMAT>/<SYMBOL>/<DAY>[.npz].")


_ROOT = click.Option(
    ["--data-root"], type=_PATH, default=Path("data"), envvar="DATA_ROOT", help="Folder of the day folders."
)


_PICTURE = click.Option(["--out"], type=_PATH, help="File, .html; default <OUT_ROOT>/inspect/…/<DAY>.html.")


@command(arguments=[_FILES, _FORMAT], defaults={"trade_stream": None})
def data_import(
    console: Console,
    source: Source,
    market: Market,
    streams: Streams,
    tables: Tables,
    name: Name,
    captures: tuple[Path, ...],
    form: str,
) -> None:
    """Write the day folders of one symbol from raw captures or third-party files, given in the order of recording.

    Example: mm data import book.csv.gz trades.csv.gz --format tardis --symbol BTCUSDT --tick-size 0.01

    Tables of your own, CSV or Parquet: mm data import book.csv trades.parquet --format table --symbol BTCUSDT
    --time-column received --qty-column size
    """
    asked = (source, market, streams, tables, name)
    report = imported(captures, form, asked, lambda size: console.progress("import", size))
    for line in report.lines():
        console.print(line)
    console.set_json(report.to_json())
    require_synced(report)


def imported(
    captures: Sequence[Path],
    form: str,
    asked: tuple[Source, Market, Streams, Tables, Name],
    progress: Callable[[int], AbstractContextManager[Callable[[int], None]]],
) -> "ImportReport":
    """Tell also what each day's trades say of its book."""
    from mm.market_data.capture_import import RAW, ImportOptions, import_captures, steps

    source, market, streams, tables, name = asked
    options = ImportOptions(
        tick_size=market.tick_size,
        qty_step=market.qty_step,
        min_notional=market.min_notional,
        top_n=streams.top_n,
        trade_stream=streams.trade_stream,
    )
    read_as = RAW
    if form in (RAW.name, *_BYBIT) and tables == Tables():
        from mm.formats.bybit import form_of_files

        read_as = form_of_files([path for path in captures if path.is_file()], _BYBIT.get(form)) or RAW
    elif form != RAW.name or tables != Tables():
        from mm.formats.registry import form_of  # they need numpy, which a recorder-only installation does not have

        read_as = form_of(form, tables.contract_size, _columns(form, tables), tables.price_scale)
    with read_twice(captures) as files:
        size = sum(path.stat().st_size for path in files if path.is_file())
        with progress(size) as advance:
            report = import_captures(
                files,
                source.symbol,
                source.data_root,
                run_id=name.run_id or _named_after(files),
                options=options,
                progress=steps(advance),
                form=read_as,
            )
    _doubt_days(report, form)
    return report


def _doubt_days(report: "ImportReport", form: str = "") -> None:
    for day in report.days:
        folder = DayFolder.at(Path(day.path))
        if not day.synced or (form != "bitstamp" and _names_makers(folder)):
            continue
        if doubts := _doubts(folder, just_sealed=True):
            report.warnings += [f"{day.day}: {doubt}" for doubt in (*doubts.notes, *doubts.contrary)]


def _names_makers(folder: DayFolder) -> bool:
    if not folder.order_log_columns.exists():
        return False
    from mm.dayfolder.order_log import names_makers

    return names_makers(folder.order_log_columns)


def _doubts(folder: DayFolder, *, just_sealed: bool = False) -> "BookDoubts | None":
    """Return None if unreadable, or where only a recorder is installed."""
    if find_spec("numpy") is None:
        return None
    from mm.tape.load import book_doubts

    return book_doubts(folder, just_sealed=just_sealed)


def require_synced(report: "ImportReport") -> None:
    """Raise NeverSynced without a moving book, BrokenFile if mostly unusable; the days stay."""
    if any(day.synced for day in report.days) and not any(day.book.diffs for day in report.days):
        raise NeverSynced(
            f"{report.days[-1].path}: the book stands still: of {sum(one.lines for one in report.captures):,} lines "
            f"only a snapshot is of it; remove that folder, and import again with a capture of the depth stream, or "
            f"of whole books"
        )
    if not any(day.synced for day in report.days):
        raise NeverSynced(
            f"{report.days[-1].path}: never synced: no snapshot could be used (see snapshot_failed in the "
            f"ledger); what was read is stored; remove that folder, and import again with a capture that has a snapshot"
        )
    unread, used = sum(one.unread_lines for one in report.captures), sum(day.lines for day in report.days)
    if used < FEW_USED * (used + unread):
        reason = next(reason for one in report.captures for reason in one.unread)
        raise BrokenFile(
            f"{report.days[-1].path}: only {used:,} of {used + unread:,} messages could be read, and the others are in "
            f"quarantine, such as {reason}; what was read is stored; correct the capture, remove that folder, and "
            f"import it again"
        )
    changes, frames = sum(day.book.diffs for day in report.days), sum(day.book.frames for day in report.days)
    if frames < FEW_USED * changes:
        raise BrokenFile(
            f"{report.days[-1].path}: only {frames:,} of {changes:,} changes are of a valid book, so nearly nothing "
            f"can be played (see mm data coverage); what was read is stored; remove that folder, and import again "
            f"with a snapshot at the start of the capture, and after each loss of messages"
        )


def _columns(form: str, tables: Tables) -> "TableColumns | None":
    from mm.formats.table import TableColumns

    given = asdict(tables)
    for name in ("contract_size", "price_scale"):
        given.pop(name)
    if form != "table" and not any(given.values()):
        return None
    return TableColumns(**{name.removesuffix("_column"): value for name, value in given.items()})


@command(defaults={"market": binance.USDM.name})
def data_fetch(
    console: Console, chosen: PublishedDay, of_market: BinanceMarket, published: PublicFiles, market: Market
) -> None:
    """Fetch published days of Binance or Bybit into day folders; without --symbol and --day, the sample.

    Bybit's days have book and prints, and of contracts funding and mark prices by the minute; its archive publishes no
    checksums. Of Binance's days, USD-M from 20230516 to 20240330 has best prices and can be played; all others have
    only trades. Each of these files is verified by its published checksum.

    Of several days those that are there already are passed over, so that the same command goes on where it was ended.

    Example: mm data fetch --market bybit --symbol BTCUSDT --day 20260701:20260730
    """
    of, symbol, days = of_market.market, chosen.symbol, chosen.day
    if symbol is None and days is None:
        from mm.formats.published import SAMPLE

        of, symbol, days = SAMPLE
    if symbol is None or days is None:
        raise UsageError(Sentence("{symbol} and {day} must be set together; give both, or neither for the sample"))
    fetch = (_bybit_days if of in _BYBIT else _binance_days)(of, symbol, chosen.data_root, published, market)
    names = day_list(days)
    if len(names) == 1:
        fetched = fetch(names[0], console)
        console.set_json(fetched.to_json())
        _require_market(fetched, of)
        return
    _fetch_each(names, of, fetch, console)


_Fetch = Callable[[str, Console], "Fetched"]


def _fetch_each(names: Sequence[str], of: str, fetch: _Fetch, console: Console) -> None:
    """Fetch days in order; after the last raise Incomplete if some are missing. TryLater ends it at once."""
    told, missing = list[dict[str, object]](), dict[str, DataError]()
    for name in names:
        try:
            fetched = fetch(name, console)
        except RunExists:
            console.print(f"{name}: is there already, and was passed over")
            continue
        except DataError as error:
            missing[name] = error
            console.print(f"{name}: {error}")
            continue
        told.append(fetched.to_json())
        try:
            _require_market(fetched, of)
        except DataError as error:
            missing[name] = error
    console.set_json({"days": told, "missing": {name: str(error) for name, error in missing.items()}})
    if missing:
        first = next(iter(missing.values()))
        raise Incomplete(
            f"{len(missing)} of {len(names)} days cannot be played: {', '.join(missing)}; the first: {first}",
            first.exit_code,
        )


def _binance_days(of: str, symbol: str, data_root: Path, published: PublicFiles, market: Market) -> _Fetch:
    from mm.formats.published import PublishedFiles, fetch_day  # as for any format but raw captures
    from mm.market_data.capture_import import ImportOptions

    options = ImportOptions(
        tick_size=market.tick_size, qty_step=market.qty_step, min_notional=market.min_notional, top_n=1
    )
    sha256 = frozenset((published.sha256 or "").lower().split(",")) - {""}
    limit = round(published.max_download_mb * 1e6)

    def fetch(day: str, console: Console) -> "Fetched":
        wanted = PublishedFiles(market=of, symbol=symbol, day=day, sha256=sha256, options=options)
        return _told(fetch_day(wanted, data_root, published.fetch_url, limit, console.progress), console)

    return fetch


def _bybit_days(of: str, symbol: str, data_root: Path, published: PublicFiles, market: Market) -> _Fetch:
    from mm.formats.bybit_days import ArchiveDay, fetch_archive_day
    from mm.market_data.capture_import import ImportOptions

    options = ImportOptions(tick_size=market.tick_size, qty_step=market.qty_step, min_notional=market.min_notional)
    archives = published.bybit_book_archive, published.bybit_trades_archive
    limit = round(published.max_download_mb * 1e6)

    def fetch(day: str, console: Console) -> "Fetched":
        wanted = ArchiveDay(_BYBIT[of], symbol, day, *archives, options, published.bybit_rest)
        return _told(fetch_archive_day(wanted, data_root, limit, console.progress), console)

    return fetch


def _told(fetched: "Fetched", console: Console) -> "Fetched":
    _doubt_days(fetched.report)
    for line in fetched.lines():
        console.print(line)
    return fetched


def _require_market(fetched: "Fetched", of: str) -> None:
    """Raise DataError if a day that should have a book has none; Binance publishes no book of Spot."""
    if of in _BYBIT or MARKETS[of].best_prices:
        require_synced(fetched.report)


def _named_after(captures: Sequence[Path]) -> str:
    """Name a run after its captures, so that two imports of them are byte-identical."""
    digest = hashlib.sha256()
    for path in captures:
        if path.is_file():
            with path.open("rb") as file:
                digest.update(file.read(65536))
            digest.update(str(path.stat().st_size).encode())
    return f"import_{digest.hexdigest()[:12]}"


@command(arguments=[*_HELD, _ROOT])
def data_hold(
    console: Console, symbol: str, days: tuple[str, ...], until: str | None, released: bool, data_root: Path
) -> None:
    """Hold days out: whatever plays or fits them refuses, until they are opened; or --release them.

    DAYS are as for mm backtest. Without any, the days of SYMBOL that are held out are listed. They are for one test of
    the design that you have chosen: mm evaluate --held-out.

    Example: mm data hold BTCUSDT 20251216:20251220 --until 20260201
    """
    from mm.dayfolder.held_out import held_days, held_of, hold, release

    named = [day for words in days for day in _listed(words)]
    symbol, root = symbol.upper(), data_root
    if released:
        changed = release(root, symbol, named or held_days(root).get(symbol, ()))
        console.print(f"{symbol}: released {', '.join(changed) or 'nothing, as no such day was held out'}")
    elif named:
        hold(root, symbol, named, None if until is None else _date(until))
    held = held_of(root, symbol, held_days(root).get(symbol, ()))
    ends = held_days(root).get(symbol, {})
    console.set_json({"symbol": symbol, "held_out": {day: ends[day] for day in held}, "path": str(root / FILE)})
    for day in held:
        console.print(f"{symbol} {day}: held out" + (f" until {ends[day]}" if ends[day] else ""))
    if not held and not released:
        console.print(f"{symbol}: no day is held out")


def _listed(words: str) -> tuple[str, ...]:
    try:
        return day_list(words)
    except ValueError as error:
        raise UsageError(f"DAY {words!r}: {error}; give YYYYMMDD, a list or a range FIRST:LAST") from error


def _date(text: str) -> str:
    (day, *more) = _listed(text.replace("-", ""))
    if more:
        raise UsageError(f"--until {text!r}: give one date, YYYYMMDD")
    return day


@command(arguments=[_FOLDERS])
def data_check(console: Console, days: NamedDays, folders: tuple[Path, ...]) -> None:
    """Check day folders: every file, the ledger, books, ids and hashes; a defect ends with exit code 3.

    Example: mm data check --symbol BTCUSDT --day 20251216:20251220
    """
    folders = days.folders(folders)
    if len(folders) == 1:
        content, defects = _check_day(folders[0], console)
        console.set_json(content)
        if defects:
            raise DataError(defects)
        return
    contents, failed = list[dict[str, object]](), list[str]()
    for folder in folders:
        try:
            content, defects = _check_day(folder, console)
        except DataError as error:
            content, defects = {"path": str(folder), "ok": False, "error": str(error)}, str(error)
            console.print(defects)
        contents.append(content)
        failed += [defects] if defects else []
    console.set_json({"days": contents})
    if failed:
        raise DataError(f"{len(failed)} of {len(folders)} days have defects; the first: {failed[0]}")


def _check_day(folder: Path, console: Console) -> tuple[dict[str, object], str]:
    """Print what is found of a day; return it, and a sentence if it has defects."""
    import msgspec

    from mm.dayfolder.check import check_day
    from mm.dayfolder.coverage import PROVABLE
    from mm.dayfolder.rows import Defect

    day = DayFolder.at(folder)
    doubts = _doubts(day)
    report, notes = check_day(day, doubts.standing if doubts else ()), doubts.notes if doubts else ()
    if doubts and doubts.contrary:
        added = [Defect(day.trades.name, None, "aggressor", contrary) for contrary in doubts.contrary]
        report = msgspec.structs.replace(report, ok=False, defects=[*report.defects, *added])
    for defect in report.defects:
        console.print(f"{defect.place}: {defect.kind}: {defect.message}")
    sealed = "sealed" if report.sealed else "not sealed, so checked without hashes"
    gaps = f"{report.gaps} {noun(report.gaps, 'gap')} in the ledger"
    console.print(f"{folder}: {sealed}; {report.covered_s:.1f} s covered, {gaps}{_trade_gaps(report)}")
    if report.order_log:
        console.print(report.order_log)
    for note in notes:
        console.print(f"note: {note}")
    if report.trades_provable is not None:
        console.print(f"trades: {PROVABLE[report.trades_provable]}")
    if not report.trades:
        console.print(
            "note: 0 trades: backtests fill only if the book moves through an order; calibrations have no trade flow"
        )
    defects = f"{len(report.defects)} {noun(len(report.defects), 'defect')}"
    repaired = f"{folder}: {defects}; `mm data repair` repairs what can be repaired"
    return {**msgspec.to_builtins(report), "warnings": notes}, "" if report.ok else repaired


def _trade_gaps(report: "CheckReport") -> str:
    if not report.trade_gaps:
        return ""
    spans = f"{report.trade_gaps:,} {noun(report.trade_gaps, 'span')} of {report.trade_gaps_s:,.1f} s"
    return f"; trades are missing in {spans}, which {'is' if report.trade_gaps == 1 else 'are'} no time with a market"


@command(arguments=[_FOLDER])
def data_repair(console: Console, days: NamedDays, name: Name, folder: Path | None) -> None:
    """Repair a damaged day folder from its raw messages; a folder without damage is not changed."""
    import msgspec

    from mm.dayfolder.check import check_day
    from mm.dayfolder.repair import repair_day

    folder, at_us = days.one(folder), now_us()
    repaired = repair_day(DayFolder.at(folder), name.run_id or f"repair_{run_stamp(at_us)}", at_us)
    console.set_json({**msgspec.to_builtins(repaired), "path": str(folder)})
    for line in repaired.repairs:
        console.print(line)
    after, doubts = repaired.after, _doubts(DayFolder.at(folder))
    if doubts and doubts.standing:
        after = check_day(DayFolder.at(folder), doubts.standing)
    state = "repaired" if repaired.changed else "undamaged and not changed" if after.ok else "nothing could be repaired"
    gaps = f"{after.gaps} {noun(after.gaps, 'gap')} in the ledger"
    console.print(f"{folder}: {state}; {after.covered_s:.1f} s covered, {gaps}{_trade_gaps(after)}")
    for note in doubts.notes if doubts else ():
        console.print(f"note: {note}")
    if not after.ok:
        first = after.defects[0]
        raise DataError(
            f"{folder}: {len(after.defects)} {noun(len(after.defects), 'defect')} left, "
            f"first {first.file}: {first.kind}: {first.message}; "
            f"`mm data check` lists all"
        )


@command(arguments=[_FOLDERS])
def data_coverage(console: Console, named: NamedDays, damaged: DamagedDay, folders: tuple[Path, ...]) -> None:
    """Report the coverage of day folders: seconds with a valid book, gaps, ids, and the spans excluded from backtests.

    Example: mm data coverage --symbol BTCUSDT --day 20251216:20251220
    """
    import msgspec

    from mm.dayfolder.coverage import cover, coverage_text
    from mm.dayfolder.seal import require_sealed

    coverages, altered, folders = [], [], named.folders(folders)
    sizes = [sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) for folder in folders]
    with console.progress("coverage", sum(sizes)) as advance:
        for folder, size in zip(map(DayFolder.at, folders), sizes, strict=True):
            altered.append(require_sealed(folder, damaged=damaged.damaged))
            doubts = _doubts(folder)
            coverages.append(cover(folder, doubts.standing if doubts else ()))
            advance(size)
    days = [
        {**msgspec.to_builtins(coverage), "damaged": _named(files)}
        for coverage, files in zip(coverages, altered, strict=True)
    ]
    console.set_json({"days": days})
    for coverage, files in zip(coverages, altered, strict=True):
        console.print(coverage_text(coverage))
        for sentence in _named(files):
            console.print(f"  damaged   {sentence}")


def _named(altered: "Sequence[AlteredFile]") -> list[str]:
    return [f"{path.name}: {what}" for path, what, _ in altered]


@command(arguments=[_FOLDER, _FORM, _OUT])
def data_export(
    console: Console,
    results: Results,
    days: NamedDays,
    damaged: DamagedDay,
    folder: Path | None,
    form: str,
    out: Path | None,
) -> None:
    """Write a day folder as Parquet (typed columns, exact decimal text), as the events of hftbacktest, or by order.

    The forms by order write the order log: databento and dbn count quantities in lots (import --contract-size).

    Example: mm data export data/BTCUSDT/20251216 --format hftbacktest --out btcusdt_20251216.npz
    """
    day = DayFolder.at(days.one(folder))
    target = out or results.out_root / form / day.symbol / (day.day + _SUFFIXES.get(form, ""))
    if form == "parquet":
        _export_parquet(console, damaged, day, target)
    elif form in ORDER_FORMS:
        _export_orders(console, damaged, day, form, target)
    else:
        _export_hftbacktest(console, damaged, day, target)


def _export_orders(console: Console, damaged: DamagedDay, day: "DayFolder", form: str, target: Path) -> None:
    from mm.dayfolder.seal import require_sealed
    from mm.formats.order_export import export_orders

    broken = _named(require_sealed(day, damaged=damaged.damaged))
    done = export_orders(day, form, target)
    console.print(f"{done.rows:,} rows of single orders")
    for sentence in broken:
        console.print(f"damaged: {sentence}")
    for path in done.files:
        console.print(str(path))
    files = [str(path) for path in done.files]
    console.set_json({"files": files, "rows": done.rows, "damaged": broken, "path": str(target)})


def _export_parquet(console: Console, damaged: DamagedDay, day: "DayFolder", target: Path) -> None:
    from mm.dayfolder.seal import require_sealed
    from mm.formats.day_parquet import export_day

    broken = _named(require_sealed(day, damaged=damaged.damaged))
    moved = export_day(day, target)
    _print_files(console, moved)
    for sentence in broken:
        console.print(f"damaged: {sentence}")
    console.print(str(target))
    files = [asdict(file) for file in moved]
    console.set_json({"files": files, "damaged": broken, "path": str(target)})


def _export_hftbacktest(console: Console, damaged: DamagedDay, day: "DayFolder", target: Path) -> None:
    from mm.formats.hftbacktest_export import export_hftbacktest
    from mm.tape.load import load_day

    tape = load_day(day, damaged=damaged.damaged, open_held_out=True)
    with console.progress("export", len(tape)) as advance:
        done = export_hftbacktest(tape, target, advance)
    for sentence in (*tape.meta.warnings, *tape.meta.excluded):
        console.print(f"warning: {sentence}")
    console.print(f"{done.rows:,} rows of {done.events:,} events, {done.bytes / 1e6:,.2f} MB")
    if done.split:
        console.print(f"{done.split:,} events have a row for each side: their exchange times are out of order")
    if done.stray:
        console.print(f"{done.stray:,} exchange times far from the other messages' were left out")
    if done.shift_us:
        console.print(f"exchange times were moved back by {done.shift_us / 1000:,.3f} ms: none is after its receipt")
    console.print(str(target))
    console.set_json({**asdict(done), "path": str(target), "warnings": list(tape.meta.warnings)})


@command(arguments=[_FOLDER, _PICTURE])
def data_inspect(
    console: Console, results: Results, days: NamedDays, damaged: DamagedDay, folder: Path | None, out: Path | None
) -> None:
    """Summarise a day: rows, gaps, spread, volatility; and draw it.

    Example: mm data inspect data/BTCUSDT/20251216
    """
    from mm.dayfolder.seal import require_sealed
    from mm.formats.inspection import inspect_day
    from mm.tape.load import load_day

    day, tape = DayFolder.at(days.one(folder)), None
    require_sealed(day, damaged=damaged.damaged)
    try:
        tape = load_day(day, damaged=damaged.damaged, open_held_out=True)
    except NeverSynced as error:
        console.print(f"warning: {error}")
    except BrokenFile as error:
        if not day.diffs.is_file() or day.diffs.stat().st_size:
            raise
        console.print(f"warning: {error}")  # only trades
    inspection = inspect_day(day, tape)
    console.print("\n".join(inspection.lines()))
    target = None
    if tape is not None:
        target = out or results.out_root / "inspect" / day.symbol / f"{day.day}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        console.print(str(tape.plot().save(target)))
    console.set_json({**asdict(inspection), "path": str(target) if target else None})


@command(arguments=[click.Argument(["folder"], type=_PATH, metavar="PARQUET_FOLDER"), _ROOT])
def data_import_parquet(console: Console, folder: Path, data_root: Path) -> None:
    """Write the day folder from its Parquet export, with the same text in every file."""
    from mm.formats.day_parquet import import_day

    day, moved = import_day(folder, data_root)
    _print_files(console, moved)
    console.print(str(day.path))
    console.set_json({"files": [asdict(file) for file in moved], "path": str(day.path)})


def _print_files(console: Console, moved: "Sequence[MovedFile]") -> None:
    for file in moved:
        if file.rows is not None:
            console.print(
                f"{file.path:<48} {file.rows:>9,} rows  {file.text_bytes / 1e6:8.2f} MB of text, "
                f"{file.file_bytes / 1e6:7.2f} MB as Parquet"
            )
