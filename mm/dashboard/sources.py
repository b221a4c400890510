"""The dashboard's day and run folders and their columns; a broken one is an error of one line."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st

from mm.backtest.metrics.numbers import Summary
from mm.base.numbers import signed
from mm.base.paths import as_given
from mm.dayfolder.layout import DayFolder, days_of, existing
from mm.errors import BrokenFile, DataError, MMError
from mm.instrument import e8
from mm.report.contents import SUMMARY
from mm.report.run_columns import MarketColumns, market_of
from mm.report.tear_sheet import ComparedRun
from mm.runs.find import InvalidRun, find_runs, open_part
from mm.runs.finished import RunFolder
from mm.runs.manifest import MANIFEST, headlines, read_manifest
from mm.tape.load import load_day

LISTED_S = 2.0  # lifetime of the cached list of runs
NEEDED = ("pnl_total", "fees", "n_orders", "n_fills", "max_drawdown", "warnings", "models", "days", "markouts")


@dataclass(frozen=True)
class Folders:
    data_root: Path
    out_root: Path

    def symbols(self) -> list[str]:
        there = self.data_root.iterdir() if self.data_root.is_dir() else ()
        return sorted(path.name for path in there if path.is_dir() and days_of(self.data_root, path.name))

    def days(self, symbol: str) -> list[str]:
        try:
            return list(days_of(self.data_root, symbol))[::-1] if symbol else []
        except MMError:  # the input is not a symbol
            return []

    def runs(self, *kinds: str) -> list[RunFolder]:
        runs = _find_runs(str(self.out_root))[0]
        return [run for run in reversed(runs) if not kinds or run.manifest["kind"] in kinds]

    def menu(self, *kinds: str) -> dict[str, RunFolder]:
        ids = Counter(str(run.manifest["run_id"]) for run in self.runs())
        named = ((str(run.manifest["run_id"]), run) for run in self.runs(*kinds))
        return {name if ids[name] == 1 else str(run.folder): run for name, run in named}

    @staticmethod
    def choice(name: str | None, menu: Mapping[str, RunFolder]) -> str | None:
        return next((key for key, run in menu.items() if name not in menu and run.manifest["run_id"] == name), name)

    @staticmethod
    def list_again() -> None:
        _find_runs.clear()

    def invalid_runs(self) -> list[InvalidRun]:
        return _find_runs(str(self.out_root))[1]

    def run(self, name: str) -> RunFolder:
        try:
            run = open_part(name, self.out_root)
            if not as_given(run.folder).is_relative_to(as_given(self.out_root)):
                raise DataError(f"{name} is not below {self.out_root}; give mm dashboard its folder as --out-root")
            return run
        except DataError:
            for invalid_run in self.invalid_runs():
                if name and name in invalid_run.folder.name:
                    raise BrokenFile(f"{invalid_run.folder}: {invalid_run.why}") from None
            raise


@st.cache_resource(ttl=LISTED_S, show_spinner=False)
def _find_runs(out_root: str) -> tuple[list[RunFolder], list[InvalidRun]]:
    return find_runs(Path(out_root), _manifest) if Path(out_root).is_dir() else ([], [])


def _manifest(folder: Path) -> dict[str, Any]:
    """All runs are listed at each click, but only new ones are read."""
    return _read(folder, (folder / MANIFEST).stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _read(folder: Path, changed_ns: int) -> dict[str, Any]:  # noqa: ARG001 - part of the cache key
    return read_manifest(folder)


def label_of(run: RunFolder) -> str:
    manifest, summary = run.manifest, run.manifest["summary"]
    models = {"calibration": "calib_method", "backtest": "quote_model", "walkforward": "quote_model"}
    named = run.knob(models.get(manifest["kind"], "quote_model"))
    words = [manifest["kind"], str(named) if named else None]
    numbers = headlines(manifest)
    pnl = numbers.get("pnl_quoting", numbers.get("pnl_total"))
    state = f"PnL {signed(pnl)}" if isinstance(pnl, int | float) else summary.get("status", manifest["status"])
    return f"{run.name}: {' '.join(filter(None, words))} {manifest['symbol']} {manifest['day']}, {state}"


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    try:
        yield
    except MMError as error:
        st.error(" ".join(str(error).split()), icon=":material/error:")


def short_label(run: RunFolder) -> str:
    return ", ".join(filter(None, (run.name, run.summary["models"].get("quote"), run.manifest["day"])))


def compared(run: RunFolder) -> ComparedRun:
    return ComparedRun(short_label(run), run.manifest, Summary.read(run.now), columns=run.columns)


def traded_run(run: RunFolder) -> RunFolder:
    path = run.folder / MANIFEST
    folder = run.folder / run.symbol if run.account else run.folder
    return _traded(str(folder), path.stat().st_mtime_ns if path.exists() else 0)


@st.cache_resource(max_entries=8, show_spinner="Reading the run …")
def _traded(folder: str, changed_ns: int) -> RunFolder:  # noqa: ARG001 - part of the cache key
    run = open_part(folder)
    if missing := [name for name in NEEDED if name not in run.summary]:
        raise BrokenFile(f"{run.traded / SUMMARY}: {missing[0]} is missing; make the run again")
    run.columns  # noqa: B018 - read here, so that an error is one line
    return run


def market_of_run(run: RunFolder, folders: Folders) -> MarketColumns:
    """Read a run's day in the run's price and quantity steps; DataError if it is missing, broken, or not the played
    one.
    """
    manifest = run.manifest
    steps: dict[str, int] = {}
    for entry in manifest["inputs"]:
        there = folders.data_root / entry["path"]
        if there.is_file() and there.stat().st_size != entry["bytes"]:
            sizes = f"it has {there.stat().st_size:,} bytes, but had {entry['bytes']:,} when the run read it"
            raise DataError(f"{there} is not the data that the run read: {sizes}")
    for knob, name in (("tick_size", "tick_size_e8"), ("qty_step", "qty_step_e8")):
        if (value := run.knob(knob)) is not None:
            steps[name] = e8(str(value))
    days = [folders.data_root / manifest["symbol"] / day for day in run.days()]
    changed = tuple(day.stat().st_mtime_ns if day.is_dir() else 0 for day in days)
    damaged = bool(run.knob("damaged"))
    feed = tuple((run.summary.get("feed") or {}).items())
    return _market(tuple(map(str, days)), tuple(steps.items()), damaged, str(folders.out_root / "tapes"), changed, feed)


def day_market(folders: Folders, symbol: str, day: str) -> MarketColumns:
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
    return market_of(
        [load_day(day, cache=cache, damaged=damaged, open_held_out=True, **dict(steps)) for day in days], dict(feed)
    )
