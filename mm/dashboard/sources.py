"""Data of the dashboard: day folders, run folders and their columns; a broken one gives an error of one line."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from mm.base.numbers import signed
from mm.dayfolder.layout import DayFolder, days_of, existing
from mm.errors import BrokenFile, DataError, MMError
from mm.instrument import e8
from mm.report.run_columns import EquityCurve, MarketColumns, RunColumns, equity_curve, market_of, read_columns
from mm.report.tear_sheet import ComparedRun
from mm.runs.find import Found, InvalidRun, find_run, find_runs
from mm.runs.finished import TRADED, open_run
from mm.runs.manifest import MANIFEST, headlines
from mm.tape.load import load_day

LISTED_S = 2.0  # lifetime of the cached list of runs
NEEDED = ("pnl_total", "fees", "n_orders", "n_fills", "max_drawdown", "warnings", "models", "days", "markouts")


@dataclass(frozen=True)
class Folders:
    """The folders of days and runs.

    Attributes:
        data_root: Folder of the day folders.
        out_root: Folder of the run folders.
    """

    data_root: Path
    out_root: Path

    def symbols(self) -> list[str]:
        """Return the symbols that have a recorded day."""
        there = self.data_root.iterdir() if self.data_root.is_dir() else ()
        return sorted(path.name for path in there if path.is_dir() and days_of(self.data_root, path.name))

    def days(self, symbol: str) -> list[str]:
        """Return the recorded days of a symbol, newest first."""
        try:
            return list(days_of(self.data_root, symbol))[::-1] if symbol else []
        except MMError:  # the input is not a symbol
            return []

    def runs(self, *kinds: str) -> list[Found]:
        """Return the finished runs of some *kinds*, or of all, newest first."""
        found = _found(str(self.out_root))[0]
        return [run for run in reversed(found) if not kinds or run.manifest["kind"] in kinds]

    def menu(self, *kinds: str) -> dict[str, Found]:
        """Return the finished runs of some *kinds*, or of all, by RUN_ID; by folder if several have the same."""
        ids = Counter(str(run.manifest["run_id"]) for run in self.runs())
        found = ((str(run.manifest["run_id"]), run) for run in self.runs(*kinds))
        return {name if ids[name] == 1 else str(run.folder): run for name, run in found}

    @staticmethod
    def choice(name: str | None, menu: Mapping[str, Found]) -> str | None:
        """Return the key of the newest run with a RUN_ID in *menu*; *name* itself if there is none."""
        return next((key for key, run in menu.items() if name not in menu and run.manifest["run_id"] == name), name)

    @staticmethod
    def list_again() -> None:
        """Reload the list of runs at its next use, because a run has ended."""
        _found.clear()

    def invalid_runs(self) -> list[InvalidRun]:
        """Return the folders among the runs that are not runs."""
        return _found(str(self.out_root))[1]

    def run(self, name: str) -> Found:
        """Return the finished run with a RUN_ID.

        Raises:
            DataError: If there is none, or several, or it is not below OUT_ROOT; an unfinished or broken folder is
                named with its problem.
        """
        try:
            found = find_run(name, self.out_root)
            if not found.folder.resolve().is_relative_to(self.out_root.resolve()):
                raise DataError(f"{name} is not below {self.out_root}; give mm dashboard its folder as --out-root")
            return found
        except DataError:
            for one in self.invalid_runs():
                if name and name in one.folder.name:
                    raise BrokenFile(f"{one.folder}: {one.why}") from None
            raise


@st.cache_data(ttl=LISTED_S, show_spinner=False)
def _found(out_root: str) -> tuple[list[Found], list[InvalidRun]]:
    return find_runs(Path(out_root)) if Path(out_root).is_dir() else ([], [])


def label_of(run: Found) -> str:
    """Return a one-line label: RUN_ID, command, method or model, symbol, day, and the PnL or the status of the fit."""
    manifest, summary = run.manifest, run.manifest["summary"]
    models = {"calibration": "calib_method", "backtest": "quote_model", "walkforward": "quote_model"}
    named = run.knob(models.get(manifest["kind"], "quote_model"))
    words = [manifest["kind"], str(named) if named else None]
    numbers = headlines(manifest)
    pnl = numbers.get("pnl_quoting", numbers.get("pnl_total"))
    found = f"PnL {signed(pnl)}" if isinstance(pnl, int | float) else summary.get("status", manifest["status"])
    return f"{manifest['run_id']}: {' '.join(filter(None, words))} {manifest['symbol']} {manifest['day']}, {found}"


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Show an error of the project as one line, and skip the rest of the block."""
    try:
        yield
    except MMError as error:
        st.error(" ".join(str(error).split()), icon=":material/error:")


@dataclass(frozen=True)
class TradedRun:
    """A loaded backtest, shadow or walk-forward.

    Attributes:
        found: Its folder and manifest.
        summary: The numbers of its ``summary.json``.
        columns: Columns of its fills, state and quotes.
        curve: Its state over time.
    """

    found: Found
    summary: Mapping[str, Any]
    columns: RunColumns
    curve: EquityCurve

    @property
    def name(self) -> str:
        """Its RUN_ID."""
        return str(self.found.manifest["run_id"])

    @property
    def label(self) -> str:
        """Its RUN_ID, quote model and day."""
        model = self.summary["models"].get("quote")
        return ", ".join(filter(None, (self.name, model, self.found.manifest["day"])))

    @property
    def compared(self) -> ComparedRun:
        """It as a run of a tear sheet, called by its label."""
        return ComparedRun(self.label, self.found.manifest, self.summary, columns=self.columns)


def traded_run(found: Found) -> TradedRun:
    """Return a run that has traded; it is cached.

    Raises:
        BrokenFile: If a file is missing or cannot be read.
    """
    path = found.folder / MANIFEST
    return _traded(str(found.folder), path.stat().st_mtime_ns if path.exists() else 0)


@st.cache_resource(max_entries=8, show_spinner="Reading the run …")
def _traded(folder: str, changed_ns: int) -> TradedRun:  # noqa: ARG001 - part of the cache key
    run = open_run(folder)
    summary, traded = run.summary, run.folder / TRADED.get(run.kind, "")
    if missing := [name for name in NEEDED if name not in summary]:
        raise BrokenFile(f"{traded / 'summary.json'}: {missing[0]} is missing; make the run again")
    try:
        columns = read_columns(traded, run.found.manifest["symbol"])
        return TradedRun(run.found, summary, columns, equity_curve(columns))
    except (OSError, ValueError, LookupError, TypeError, pl.exceptions.PolarsError) as error:
        why = f"fills, orders or state cannot be read ({' '.join(str(error).split())[:200]})"
        raise BrokenFile(f"{traded}: {why}; make the run again") from error


def market_of_run(run: TradedRun, folders: Folders) -> MarketColumns:
    """Return best prices and prints of the days of a run, in its price and quantity steps.

    Raises:
        DataError: If a day is missing or broken, or differs from the played one.
    """
    manifest = run.found.manifest
    steps: dict[str, int] = {}
    for entry in manifest["inputs"]:
        there = folders.data_root / entry["path"]
        if there.is_file() and there.stat().st_size != entry["bytes"]:
            sizes = f"it has {there.stat().st_size:,} bytes, but had {entry['bytes']:,} when the run read it"
            raise DataError(f"{there} is not the data that the run read: {sizes}")
    for knob, name in (("tick_size", "tick_size_e8"), ("qty_step", "qty_step_e8")):
        if (value := run.found.knob(knob)) is not None:
            steps[name] = e8(str(value))
    days = [folders.data_root / manifest["symbol"] / day for day in run.found.days()]
    changed = tuple(day.stat().st_mtime_ns if day.is_dir() else 0 for day in days)
    damaged = bool(run.found.knob("damaged"))
    feed = tuple((run.summary.get("feed") or {}).items())
    return _market(tuple(map(str, days)), tuple(steps.items()), damaged, str(folders.out_root / "tapes"), changed, feed)


def day_market(folders: Folders, symbol: str, day: str) -> MarketColumns:
    """Return best prices and prints of a recorded day; they are cached.

    Raises:
        DataError: If it is missing or broken, or has no book.
    """
    folder = DayFolder(folders.data_root, symbol, day)
    files = [there for path in folder.streams() if (there := existing(path)) is not None]
    changed = tuple(path.stat().st_mtime_ns for path in files)
    market = _market((str(folder.path),), (), False, str(folders.out_root / "tapes"), changed)
    if not len(market.us):
        raise DataError(f"{folder.path} has no best prices; mm data check {folder.path} prints the reason")
    return market


@st.cache_resource(max_entries=4, show_spinner="Reading the day …")
def _market(
    days: tuple[str, ...],
    steps: tuple[tuple[str, Any], ...],
    damaged: bool,
    cache: str,
    changed: tuple[int, ...],  # noqa: ARG001 - part of the cache key
    feed: tuple[tuple[str, Any], ...] = (),
) -> MarketColumns:
    return market_of([load_day(day, cache=cache, damaged=damaged, **dict(steps)) for day in days], dict(feed))
