"""The commands of data: knobs, arguments and help."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from mm.base.common_knobs import data_root_knob, day_knob, symbol_knob
from mm.base.knobs import day_list, decimal, knob, matching, one_of
from mm.cli.config import Name
from mm.cli.frame import command
from mm.cli.task_knobs import BinanceMarket, PublicFiles, Recorder, Sources, Streams
from mm.errors import UsageError
from mm.play.knobs import DamagedDay, Market, Results, Source

_STATUS = click.Option(["--status"], is_flag=True, help="Print the state of the recording, without recording.")


record = command(
    Sources,
    BinanceMarket,
    Recorder,
    Name,
    arguments=[_STATUS],
    body="mm.market_data.recorder:main",
    text="Record one symbol or several until the window closes; SIGTERM and Ctrl-C end it in order.",
)

_PATH = click.Path(path_type=Path)


_FILES = click.Argument(["captures"], type=_PATH, nargs=-1, required=True, metavar="CAPTURE...")


_FORMATS = ("raw", "bitstamp", "hftbacktest", "tardis", "lobster", "databento", "binance_vision", "table")


_FORMAT = click.Option(
    ["--format", "form"],
    type=click.Choice(_FORMATS),
    default=_FORMATS[0],
    show_default=True,
    help="File format: raw captures of Binance, or files of another source (bitstamp: order by order).",
)


_COLUMN = matching(r"\S.*", "names of columns, separated by commas", "NAME")
_WORDS = matching(r"[^=]+=\w+(,[^=]+=\w+)*", "words with their meaning, such as 0=bid,1=ask", "WORD=MEANING,…")
_FILE_PATTERN = matching(r"\S.*", "patterns of file names, such as trades*.csv", "PATTERN")


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The columns of a table of one's own (``--format table``); of several names a file's first one counts."""

    contract_size: str | None = knob(
        None,
        decimal("0.00000001", "1000000000"),
        "Base asset of one contract, if quantities are numbers of contracts: they are multiplied by it.",
    )
    time_column: str | None = knob(None, _COLUMN, "Receive time; without it a usual name, such as timestamp.")
    exchange_time_column: str | None = knob(None, _COLUMN, "The exchange's time; without it a usual name, or none.")
    time_unit: str | None = knob(
        None,
        one_of("s", "ms", "us", "ns", "iso"),
        "Unit of all times; without it that of the first row, which is said.",
    )
    price_column: str | None = knob(None, _COLUMN, "Price; without it price or px.")
    qty_column: str | None = knob(None, _COLUMN, "Quantity; without it qty, quantity, size, amount or volume.")
    side_column: str | None = knob(None, _COLUMN, "bid or ask, or the buying or selling aggressor; without it side.")
    maker_column: str | None = knob(None, _COLUMN, "Whether the buyer was the maker; without it is_buyer_maker.")
    id_column: str | None = knob(
        None, _COLUMN, "Id of a trade (missing ones are gaps if they count by one), or of the message of a row."
    )
    kind_column: str | None = knob(None, _COLUMN, "Kind of each row: snapshot, change or trade.")
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


data_import = command(
    Source,
    Market,
    Streams,
    Tables,
    Name,
    arguments=[_FILES, _FORMAT],
    defaults={"trade_stream": None},
    body="mm.commands.data:import_command",
    text="""
    Write the day folders of one symbol from raw captures or third-party files, given in the order of recording.

    Example: mm data import book.csv.gz trades.csv.gz --format tardis --symbol BTCUSDT --tick-size 0.01

    Tables of your own, CSV or Parquet: mm data import book.csv trades.parquet --format table --symbol BTCUSDT
    --time-column received --qty-column size
    """,
)


@dataclass(frozen=True, kw_only=True)
class PublishedDay:
    """The symbol and the day; without both, the project's sample."""

    symbol: str | None = symbol_knob("Symbol, in any case; without it the sample's.", None)
    day: str | None = day_knob("Day of UTC, YYYYMMDD; without it the sample's.", None, common="Day of UTC")
    data_root: Path = data_root_knob("Folder of the day folders.", common="Folder of the days")


data_fetch = command(
    PublishedDay,
    BinanceMarket,
    PublicFiles,
    Market,
    defaults={"market": "usdm"},
    body="mm.commands.data:fetch_command",
    text="""
    Fetch a published day of Binance into a day folder; without --symbol and --day, the sample.

    USD-M days from 20230516 to 20240330 have best prices and can be played; all others have only trades. Each file is
    verified by its published checksum.

    Example: mm data fetch --symbol XMRUSDT --day 20230920
    """,
)


@dataclass(frozen=True, kw_only=True)
class NamedDays:
    """Day folders by symbol and day, if no path is given."""

    symbol: str | None = symbol_knob("Symbol, if no DAY_FOLDER is given.", None, common="Symbol, without a folder")
    day: str | None = day_knob(
        "YYYYMMDD, if no DAY_FOLDER is given; for coverage also a list or a range.",
        None,
        many=True,
        common="YYYYMMDD, without a folder",
    )
    data_root: Path = data_root_knob("Folder of the day folders.", common="Folder of the days")

    def folders(self, given: Sequence[Path]) -> tuple[Path, ...]:
        """Return the *given* folders, else those of the symbol and its days.

        Raises:
            UsageError: If neither is given.
        """
        if given:
            return tuple(given)
        if self.symbol is None or self.day is None:
            raise UsageError("no day was given; give DAY_FOLDER, or --symbol (SYMBOL) and --day (DAY)")
        return tuple(self.data_root / self.symbol / day for day in day_list(self.day))

    def one(self, given: Path | None) -> Path:
        """Return the only folder; raises UsageError if there are more, or none."""
        found = self.folders([] if given is None else [given])
        if len(found) > 1:
            raise UsageError(f"--day (DAY) is {self.day}; this command takes one day")
        return found[0]


_FOLDER = click.Argument(["folder"], type=_PATH, required=False, metavar="[DAY_FOLDER]")


data_check = command(
    NamedDays,
    arguments=[_FOLDER],
    body="mm.commands.data:check_command",
    text="""
    Check a day folder: every file, the ledger, books, ids and hashes; a defect ends with exit code 3.

    Example: mm data check --symbol BTCUSDT --day 20251216
    """,
)

data_repair = command(
    NamedDays,
    Name,
    arguments=[_FOLDER],
    body="mm.commands.data:repair_command",
    text="Repair a damaged day folder from its raw messages; a folder without damage is not changed.",
)

_FORM = click.Option(
    ["--format", "--to", "form"],
    type=click.Choice(["parquet", "hftbacktest"]),
    default="parquet",
    show_default=True,
    help="File format: a folder of Parquet files, or one .npz of hftbacktest.",
)


_OUT = click.Option(["--out"], type=_PATH, help="Output path; default <OUT_ROOT>/<FORMAT>/<SYMBOL>/<DAY>[.npz].")


data_export = command(
    Results,
    NamedDays,
    DamagedDay,
    arguments=[_FOLDER, _FORM, _OUT],
    body="mm.commands.data:export_command",
    text="""
    Write a day folder as Parquet (typed columns, exact decimal text), or as the events of hftbacktest.

    Example: mm data export data/BTCUSDT/20251216 --format hftbacktest --out btcusdt_20251216.npz
    """,
)

_ROOT = click.Option(
    ["--data-root"], type=_PATH, default=Path("data"), envvar="DATA_ROOT", help="Folder of the day folders."
)


data_import_parquet = command(
    arguments=[click.Argument(["folder"], type=_PATH, metavar="PARQUET_FOLDER"), _ROOT],
    body="mm.commands.data:import_parquet_command",
    text="Write the day folder from its Parquet export, with the same text in every file.",
)

_PICTURE = click.Option(["--out"], type=_PATH, help="File, .html; default <OUT_ROOT>/inspect/…/<DAY>.html.")


data_inspect = command(
    Results,
    NamedDays,
    DamagedDay,
    arguments=[_FOLDER, _PICTURE],
    body="mm.commands.data:inspect_command",
    text="""
    Summarise a day: rows, gaps, spread, volatility; and draw it.

    Example: mm data inspect data/BTCUSDT/20251216
    """,
)

data_coverage = command(
    NamedDays,
    DamagedDay,
    arguments=[click.Argument(["folders"], type=_PATH, nargs=-1, metavar="[DAY_FOLDER]...")],
    body="mm.commands.data:coverage_command",
    text="""
    Report the coverage of day folders: seconds with a valid book, gaps, ids, and the spans excluded from backtests.

    Example: mm data coverage --symbol BTCUSDT --day 20251216:20251220
    """,
)

tapes_list = command(
    Results,
    body="mm.commands.tapes:list_command",
    text="List the tapes under OUT_ROOT/tapes with their best prices and indices, least recently used first.",
)

_PRUNE = (
    click.Option(
        ["--older-than"], type=click.FloatRange(0), metavar="DAYS", help="Remove tapes not used for this many days."
    ),
    click.Option(
        ["--most-gb"],
        type=click.FloatRange(0),
        metavar="GB",
        help="Then remove the least recently used beyond this size.",
    ),
    click.Option(["--dry-run"], is_flag=True, help="Print what would be removed, without removing it."),
)


tapes_prune = command(
    Results,
    arguments=_PRUNE,
    body="mm.commands.tapes:prune_command",
    text="""
    Remove stored tapes by age and total size, each with its best prices and its index; runs make them again.

    A tape is used when it is written, and when it is read if the file system records access times. A process that has a
    tape open can still use it.

    Example: mm tapes prune --older-than 30 --most-gb 20 --dry-run
    """,
)
