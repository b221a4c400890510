"""The file formats of ``mm data import --format`` other than raw captures, with one reader each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from mm.errors import UsageError
from mm.formats.feed import UTC, FileCapture, FileReader, Moved
from mm.market_data.capture_import import CAPTURE_FORMS, CaptureForm, Progress
from mm.market_data.grid import Grid

Opened = Callable[[Sequence[Path], str, Moved], FileReader]


@dataclass(frozen=True)
class FileFormat:
    """A third-party file format.

    Attributes:
        reader: ``module:function`` that takes paths, the symbol and a progress callback, and returns a reader.
        files: Description of the files, for messages.
    """

    reader: str
    files: str


FORMATS = {
    "hftbacktest": FileFormat("mm.formats.hftbacktest:HftbacktestReader", "an .npz or .npy of hftbacktest"),
    "tardis": FileFormat(
        "mm.formats.tardis:TardisReader", "CSV of Tardis, incremental_book_L2 and trades, with their headers"
    ),
    "lobster": FileFormat("mm.formats.lobster:LobsterReader", "pairs of LOBSTER message and orderbook CSV"),
    "databento": FileFormat("mm.formats.databento:DatabentoReader", "CSV of Databento in the schema MBO"),
    "binance_vision": FileFormat(
        "mm.formats.binance_vision:BinanceVisionReader",
        "CSV or ZIP of Binance's published trades, aggTrades, bookTicker",
    ),
}
NAMES = (*CAPTURE_FORMS, *FORMATS)


def form_of(name: str) -> CaptureForm:
    """Return the format *name* for `import_captures`; its days are UTC days (raw captures have Berlin days).

    Raises:
        UsageError: If there is no such format.
    """
    if name in CAPTURE_FORMS:
        return CAPTURE_FORMS[name]
    if name not in FORMATS:
        raise UsageError(f"--format {name!r} is not one of {', '.join(NAMES)}")
    one = FORMATS[name]
    nothing = f"no row of the symbol could be read; --format {name} reads {one.files}"
    return CaptureForm(name, UTC, partial(_opened, one), nothing)


def _opened(one: FileFormat, paths: Sequence[Path], symbol: str, grid: Grid, progress: Progress) -> list[FileCapture]:
    """Return one capture of all files, which may have to be merged."""
    module, _, name = one.reader.partition(":")
    opened: Opened = getattr(import_module(module), name)
    return [FileCapture(opened(paths, symbol, progress), symbol, grid)]
