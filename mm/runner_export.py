"""``mm data export`` and ``mm data import-parquet``: day folders as Parquet, and back."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mm.cli.console import Console
from mm.cli.frame import command
from mm.config import Results

if TYPE_CHECKING:
    from mm.day_parquet import Moved

_PATH = click.Path(path_type=Path)
_FOLDER = click.Argument(["folder"], type=_PATH, metavar="DAY_FOLDER")
_TO = click.Option(["--to", "form"], type=click.Choice(["parquet"]), default="parquet", help="Form of the files.")
_OUT = click.Option(["--out"], type=_PATH, help="Folder that is written; else <OUT_ROOT>/parquet/<SYMBOL>/<DAY>.")
_ROOT = click.Option(
    ["--data-root"], type=_PATH, default=Path("data"), envvar="DATA_ROOT", help="Folder of the day folders."
)


@command(Results, arguments=[_FOLDER, _TO, _OUT])
def export_command(console: Console, results: Results, folder: Path, form: str, out: Path | None) -> None:
    """Write a day folder as Parquet: typed columns, and prices and quantities as their exact text."""
    from mm.day_parquet import export_day, read_again
    from mm.dayfolder.layout import DayFolder

    day = DayFolder.at(folder)
    target = out or results.out_root / form / day.symbol / day.day
    moved = export_day(day, target)
    began = time.perf_counter()
    rows = read_again(target)
    read_s = time.perf_counter() - began
    text_mb = sum(one.text_bytes for one in moved if one.rows is not None) / 1e6
    _tell(console, moved)
    console.say(f"read again: {rows:,} rows in {read_s:.2f} s, {text_mb / read_s:,.0f} MB of text a second")
    console.say(str(target))
    files = [asdict(one) for one in moved]
    console.answer({"files": files, "rows": rows, "read_s": round(read_s, 4), "path": str(target)})


@command(arguments=[click.Argument(["folder"], type=_PATH, metavar="PARQUET_FOLDER"), _ROOT])
def import_command(console: Console, folder: Path, data_root: Path) -> None:
    """Write the day folder that an export was made of, with the same text in every file."""
    from mm.day_parquet import import_day

    day, moved = import_day(folder, data_root)
    _tell(console, moved)
    console.say(str(day.path))
    console.answer({"files": [asdict(one) for one in moved], "path": str(day.path)})


def _tell(console: Console, moved: "Sequence[Moved]") -> None:
    """Print each file with its rows and sizes."""
    for one in moved:
        if one.rows is not None:
            console.say(
                f"{one.path:<48} {one.rows:>9,} rows  {one.text_bytes / 1e6:8.2f} MB of text, "
                f"{one.file_bytes / 1e6:7.2f} MB here"
            )
