"""Shell completion of flag values (symbols, days, models, fits, runs), from folder names only."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

_DIGITS = 8  # of YYYYMMDD
_CALIBRATIONS = ("calibration/*/{symbol}/*",)
_RUNS = ("backtest/*/*", "calibration/*/*/*", "walkforward/*/*", "sweep/*/*", "shadow/*/*", "trade/*/*")


def complete(kind: str, ctx: click.Context, typed: str) -> list[CompletionItem]:
    """*kind* is ``Reader.completes``."""
    if kind == "path":
        return [CompletionItem(typed, type="file")]
    names = [name for name in dict.fromkeys(_KINDS[kind](ctx.params)) if name.startswith(typed)] if kind else []
    files = [CompletionItem(typed, type="file")] if kind in ("fit", "run") and not names else []
    return [*(CompletionItem(name) for name in names), *files]


def runs(ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    return complete("run", ctx, typed)


def _symbols(params: Mapping[str, Any]) -> Iterator[str]:
    yield from (folder.name for folder in _folders(_root(params, "data_root", "data"), "*") if any(_days_in(folder)))


def _days(params: Mapping[str, Any]) -> Iterator[str]:
    symbol = str(params.get("symbol") or "*").split(",")[0]
    root = _root(params, "data_root", "data")
    yield from sorted({day for folder in _folders(root, symbol) for day in _days_in(folder)})


def _days_in(folder: Path) -> Iterator[str]:
    yield from (day.name for day in _folders(folder, "*") if day.name.isdigit() and len(day.name) == _DIGITS)


def _fits(params: Mapping[str, Any]) -> Iterator[str]:
    yield "last"
    symbol = str(params.get("symbol") or "*").split(",")[0]
    yield from _run_ids(params, [place.format(symbol=symbol) for place in _CALIBRATIONS])


def _run_ids(params: Mapping[str, Any], places: Any) -> Iterator[str]:
    root = _root(params, "out_root", "out")
    folders = [folder for place in places for folder in _folders(root, place) if not folder.name.endswith(".partial")]
    yield from (
        folder.name.partition("_")[2] for folder in sorted(folders, key=lambda folder: folder.name, reverse=True)
    )


def _models(registry: str) -> Callable[[Mapping[str, Any]], Iterator[str]]:
    def names(_params: Mapping[str, Any]) -> Iterator[str]:
        try:
            yield from sorted(getattr(import_module("mm.backtest.models"), registry))
        except ImportError:  # a box without the kernels plays no model
            return

    return names


def _root(params: Mapping[str, Any], name: str, default: str) -> Path:
    return Path(params.get(name) or default)


def _folders(root: Path, pattern: str) -> list[Path]:
    try:
        return sorted(path for path in root.glob(pattern) if path.is_dir())
    except OSError:
        return []


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "symbol": _symbols,
    "day": _days,
    "run": lambda params: _run_ids(params, _RUNS),
    "fit": _fits,
    "quote_model": _models("QUOTE_MODELS"),
    "fill_model": _models("FILL_MODELS"),
}
