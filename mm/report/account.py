"""The page of an account of several symbols: a sheet by symbol and of the sum, and diversification."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.account_text import HEAD, OF_SUM, account_rows, diversification_text, numeraire_text
from mm.backtest.metrics.notes import NULL
from mm.backtest.metrics.numbers import Summary
from mm.backtest.metrics.summary_number import given
from mm.base.arrays import Floats, Ints
from mm.base.numbers import duration, number, percent
from mm.report import figures
from mm.report.backtest import page as backtest_page
from mm.report.contents import PAGE, SUMMARY
from mm.report.figures import BUY, GAIN, LOSS, MAIN, SELL, THIRD, Panel
from mm.report.frame import (
    About,
    Amount,
    Cell,
    card,
    chart,
    document,
    earnings,
    grid,
    header,
    in_row,
    notes,
    origin,
    quote_asset,
    tile,
    tiles,
)

if TYPE_CHECKING:
    import polars as pl

    from mm.backtest.account_result import AccountResult
    from mm.backtest.metrics.pnl import EquitySeries
    from mm.report.run_columns import RunColumns

_DRAWN = (("recv_us", int), ("equity", float), ("mid", float))
NO_LINKS: Mapping[str, str] = {}
COLOURS = ("#b8962e", "#d36ba6", BUY, SELL, THIRD, GAIN)  # of the symbols


@dataclass(frozen=True, eq=False)
class Curve:
    us: Ints
    pnl: Floats

    @classmethod
    def of(cls, series: "EquitySeries") -> "Curve":
        return cls(series.us, series.quoting.astype(np.float64) / series.per_quote)


def curves_in(
    state: "pl.DataFrame", targets: Mapping[str, float], pairs: Mapping[str, tuple[str, bool]]
) -> tuple[dict[str, Curve], Curve | None]:
    """*pairs* convert symbols of other quote assets: a symbol, and whether its mid is inverse."""
    import polars as pl

    curves, mids = {}, {}
    for symbol, target in targets.items():
        rows = state.filter((pl.col("symbol") == symbol) & pl.col("equity").is_not_null())
        us, equity, mid = (rows[name].cast(kind).to_numpy() for name, kind in _DRAWN)
        if len(us):
            quoting = equity - target * mid
            curves[symbol], mids[symbol] = Curve(us, quoting - quoting[0]), Curve(us, mid)
    for symbol, (pair, inverse) in pairs.items():
        if symbol in curves and pair in mids:
            curves[symbol] = _at_mids(curves[symbol], mids[pair], inverse=inverse)
        else:
            curves.pop(symbol, None)
    if not curves:
        return {}, None
    us = np.unique(np.concatenate([curve.us for curve in curves.values()]))
    at = [np.maximum(np.searchsorted(curve.us, us, side="right") - 1, 0) for curve in curves.values()]
    return curves, Curve(us, np.sum([curve.pnl[row] for curve, row in zip(curves.values(), at, strict=True)], axis=0))


def _at_mids(curve: Curve, mid: Curve, *, inverse: bool) -> Curve:
    us = np.unique(np.concatenate((curve.us, mid.us[mid.us > curve.us[0]])))
    pnl, rate = (one.pnl[np.maximum(np.searchsorted(one.us, us, side="right") - 1, 0)] for one in (curve, mid))
    return Curve(us, pnl / rate if inverse else pnl * rate)


def page_of(symbol: str) -> str:
    return f"{symbol}/{PAGE}"


def write_account_pages(
    result: "AccountResult", folder: Path, columns: "Mapping[str, RunColumns]", about: About
) -> dict[str, None]:
    summary = json.dumps(result.summary, indent=1, allow_nan=False, ensure_ascii=False)
    (folder / SUMMARY).write_text(summary + "\n", encoding="utf-8", errors="backslashreplace")
    curves = {symbol: Curve.of(series) for symbol, series in result.counted.items()}
    whole = None if result.series is None else Curve.of(result.series)
    (folder / PAGE).write_text(account_page(result.summary, curves, whole, about), encoding="utf-8")
    for symbol, run in columns.items():
        (folder / symbol).mkdir(exist_ok=True)
        text = backtest_page(result.summary["symbols"][symbol], run, about)
        (folder / page_of(symbol)).write_text(text, encoding="utf-8")
    return dict.fromkeys((SUMMARY, PAGE, *map(page_of, columns)))


def account_page(
    content: Mapping[str, Any], curves: Mapping[str, Curve], whole: Curve | None, about: About | None = None
) -> str:
    about, summary = about or About(), Summary.read(content)
    symbols, held = given(summary.symbols) or {}, given(summary.balances) or {}
    days = " – ".join(dict.fromkeys([*summary.days[:1], *summary.days[-1:]]))
    models = summary.models
    line = f"one account · {escape(models['quote'])} quotes, {escape(models['fill'])} fills{about.name}"
    sheet = list(symbol_rows(summary, {name: page_of(name) for name in symbols}))
    balances = [(escape(asset), ends["start"], ends["end"]) for asset, ends in held.items()]
    counted_in = escape(numeraire_text(summary).removeprefix("in ")) or quote_asset(summary)
    parts = [
        header(summary.symbol, days, line),
        _tiles(summary),
        notes([note for note in summary.warnings if not note.startswith(NULL)]),
        card(
            "By symbol",
            f"In {counted_in}; the rows of the symbols add up exactly to the last. Each has its own page.",
            grid(("symbol", *HEAD[1:]), sheet),
        ),
        card(
            "PnL of the quoting",
            "Of each symbol and of all; a symbol without data counts with its last PnL. Drag to zoom.",
            chart(_figure(summary, curves, whole), "No prices."),
        ),
        in_row(
            _diversification(summary),
            card("Balances", "Of the account, exactly.", grid(("asset", "at the start", "at the end"), balances)),
        ),
        origin(about),
    ]
    return document(f"{summary.symbol} {days} · account", parts, about.plotly)


def _tiles(summary: Summary) -> str:
    unit = quote_asset(summary)
    gave, ended = given(summary.diversification) or {}, given(summary.liquidated_at)
    return tiles(
        *([tile("Liquidated", ended[11:19], f"{ended[:10]} UTC: the margin was used up")] if ended else []),
        *earnings(summary),
        tile("Max drawdown", number(summary.max_drawdown), "of the sum", unit=unit),
        tile("Fills", f"{summary.n_fills:,}", f"of {summary.n_orders:,} orders", unit="fills"),
        tile("Risk of the sum", percent(gave.get("std_60s_share")), "of the sum of the symbols' risks"),
        tile("Covered", duration(summary.seconds_covered), "by any symbol"),
    )


def symbol_rows(summary: Summary, links: Mapping[str, str] = NO_LINKS) -> Iterator[list[Cell]]:
    """Yield the numbers of each symbol, and of their sum; *links* are pages by symbol."""
    for name, quoting, spread, inventory, fees, fills, volume, fall in account_rows(summary):
        shown = f'<a href="{escape(links[name])}">{escape(name)}</a>' if name in links else escape(name)
        row: list[Cell] = [shown if name != OF_SUM else f"<b>{shown}</b>"]
        row += [Amount(value) for value in (quoting, spread, inventory)]
        row += [Amount(fees, plus=False), "–" if fills is None else f"{fills:,}"]
        yield [*row, Amount(volume, plus=False), Amount(fall, plus=False)]


def _figure(summary: Summary, curves: Mapping[str, Curve], whole: Curve | None) -> Any:
    if whole is None:
        return None
    traces = [
        figures.step(escape(symbol), *_up_to(curve, whole.us[-1]), COLOURS[place % len(COLOURS)], line={"width": 1})
        for place, (symbol, curve) in enumerate(curves.items())
    ]
    traces.append(figures.step("sum", whole.us, whole.pnl, MAIN))
    below = figures.step("drawdown", whole.us, whole.pnl - np.maximum.accumulate(whole.pnl), LOSS, fill="tozeroy")
    panels = [
        Panel("PnL of the quoting", quote_asset(summary), traces, 240),
        Panel("Under water", f"{quote_asset(summary)}, the sum below its highest", [below], 70, figures.FROM_ZERO),
    ]
    return figures.stacked(panels, figures.time_axis(int(whole.us[0]), int(whole.us[-1])))


def _up_to(curve: Curve, us: int) -> tuple[Ints, Floats]:
    """A symbol that ends before the others counts with its last PnL."""
    return np.append(curve.us, max(us, curve.us[-1])), np.append(curve.pnl, curve.pnl[-1])


def _diversification(summary: Summary) -> str:
    gave = given(summary.diversification)
    if not gave:
        return ""
    names = [*(given(summary.symbols) or {}), OF_SUM]
    rows = [
        (
            escape(name),
            Amount(gave["std_60s"].get(name), plus=False),
            Amount(gave["max_drawdown"].get(name), plus=False),
        )
        for name in names
    ]
    pairs = [(escape(pair.replace(",", " and ")), number(value, 3)) for pair, value in gave["correlation"].items()]
    sheet = grid(("", "deviation of a minute's PnL", "max drawdown"), rows)
    return card(
        "What diversification gave",
        f"{escape(diversification_text(summary).partition(': ')[2])}.",
        sheet + grid(("correlation of", "minutes"), pairs),
    )
