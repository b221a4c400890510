"""The file formats of ``mm data import --format`` other than raw captures, with one reader each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from mm.clock import DAY_ZONE
from mm.errors import UsageError
from mm.formats.feed import UTC, FileCapture, FileReader
from mm.market_data.capture_import import RAW, CaptureForm, Progress, steps_of
from mm.market_data.captures import CaptureLike
from mm.markets.grid import Grid

if TYPE_CHECKING:
    from mm.formats.table import TableColumns

Opened = Callable[..., FileReader]
"""Takes paths, the symbol and a progress callback, and for a table its columns."""


@dataclass(frozen=True)
class FileFormat:
    reader: str
    files: str
    counts: bool = False


FORMATS = {
    "hftbacktest": FileFormat("mm.formats.hftbacktest:HftbacktestReader", "an .npz or .npy of hftbacktest", True),
    "tardis": FileFormat(
        "mm.formats.tardis:TardisReader", "CSV of Tardis, incremental_book_L2 and trades, with their headers", True
    ),
    "lobster": FileFormat("mm.formats.lobster:LobsterReader", "pairs of LOBSTER message and orderbook CSV"),
    "databento": FileFormat("mm.formats.databento:DatabentoReader", "CSV or DBN of Databento in the schema MBO", True),
    "binance_vision": FileFormat(
        "mm.formats.binance_vision:BinanceVisionReader",
        "CSV or ZIP of Binance's published trades, aggTrades, bookTicker",
    ),
    "table": FileFormat("mm.formats.table:TableReader", "CSV or Parquet with columns that options name", True),
}


def _order_by_order(paths: Sequence[Path], symbol: str, grid: Grid, progress: Progress) -> Sequence[CaptureLike]:
    from mm.formats.bitstamp import BitstampCapture, BitstampMarket

    market = BitstampMarket(symbol, grid)
    return [BitstampCapture(path, market, step) for path, step in steps_of(paths, progress)]


BITSTAMP = CaptureForm("bitstamp", DAY_ZONE, _order_by_order, RAW.nothing, ids_skip=True, one_book=True)
CAPTURE_FORMS = {form.name: form for form in (RAW, BITSTAMP)}
NAMES = (*CAPTURE_FORMS, *FORMATS)


def form_of(
    name: str,
    contract_size: str | None = None,
    columns: "TableColumns | None" = None,
    price_scale: str | None = None,
) -> CaptureForm:
    """Its days are UTC days; UsageError if there is no such format, or it has no contracts, fine prices or columns."""
    counts = name in FORMATS and FORMATS[name].counts
    if name not in NAMES:
        raise UsageError(f"--format {name!r} is not one of {', '.join(NAMES)}")
    allowed = ", ".join(form for form in FORMATS if FORMATS[form].counts)
    if contract_size is not None and not counts:
        raise UsageError(
            "{contract_size} is for {}; --format {} has quantities of the base asset: leave it out", allowed, name
        )
    if price_scale is not None and not counts:
        raise UsageError(
            "{price_scale} is for {}; prices of --format {} have at most eight places: leave it out", allowed, name
        )
    if columns is not None and name != "table":
        raise UsageError(f"--format {name} has columns of its own; name columns only with --format table")
    if name in CAPTURE_FORMS:
        return CAPTURE_FORMS[name]
    file_format = FORMATS[name]
    nothing = f"no row of the symbol could be read; --format {name} reads {file_format.files}"
    size = None if contract_size is None else Decimal(contract_size)
    opened = partial(_opened, partial(_reader, file_format, columns), (size, Decimal(price_scale or 1)))
    units = {"contract_size": contract_size, "price_scale": price_scale}
    return CaptureForm(name, UTC, opened, nothing, units={key: text for key, text in units.items() if text is not None})


def _opened(
    make: Callable[[Sequence[Path], str, Progress], FileReader],
    units: tuple[Decimal | None, Decimal],
    paths: Sequence[Path],
    symbol: str,
    grid: Grid,
    progress: Progress,
) -> list[FileCapture]:
    reader, (contract_size, price_scale) = make(paths, symbol, progress), units
    reader.counted = contract_size is not None
    return [FileCapture(reader, symbol, grid, contract_size, price_scale)]


def _reader(
    file_format: FileFormat, columns: "TableColumns | None", paths: Sequence[Path], symbol: str, progress: Progress
) -> FileReader:
    module, _, name = file_format.reader.partition(":")
    opened: Opened = getattr(import_module(module), name)
    return opened(paths, symbol, progress, columns) if columns is not None else opened(paths, symbol, progress)
