"""Pages of several runs: an index of all, and two backtests over one span of time."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from mm.backtest.metrics.arithmetic import changes
from mm.clock import US_PER_MS
from mm.dataclass import dataclass, replace
from mm.numbers import SHARPE_DAYS, number, signed
from mm.report.backtest_charts import under_water
from mm.report.drawn_columns import unit_of
from mm.report.frame import base_asset, card, document, grid, header, minute, nothing, quote_asset
from mm.report.run_columns import RunColumns, equity_curve
from mm.report.svg import WIDE, Plot, padded, steps
from mm.report.timeline import Line, Panel, TimelineAxis, script, timeline

# Numbers of summary.json to compare.
_COMPARED = (
    *("pnl_quoting", "pnl_hold", "pnl_total"),
    *("pnl_spread_capture", "pnl_inventory", "fees", "max_drawdown", "sharpe", "n_orders", "n_rejects"),
    *("n_fills", "fill_ratio", "hit_rate", "effective_half_spread", "two_sided_uptime", "seconds_covered"),
    *("inventory.rms", "inventory.max", "round_trips.n", "round_trips.win_rate", "round_trips.mean"),
)
KINDS = ("line", "line carried")
NO_MATTER = ("run_id", "out_dir", "out_root", "log_root", "log_level", "data_root")


@dataclass(frozen=True)
class Listing:
    """A run in the index.

    Attributes:
        cells: Kind, symbol, day, RUN_ID, status and start, as text.
        link: Path of its page relative to the index; None without a page.
        found: Its headline numbers.
    """

    cells: Sequence[str]
    link: str | None
    found: Mapping[str, Any]


def index_page(runs: Sequence[Listing], root: str) -> str:
    """Return the page that lists the *runs* under *root*, the newest first."""
    head = ("started", "kind", "symbol", "day", "run", "status", "results")
    rows = []
    for run in reversed(runs):
        kind, symbol, day, run_id, status, started = map(escape, run.cells)
        name = run_id if run.link is None else f'<a href="{escape(run.link)}">{run_id}</a>'
        found = ", ".join(f"{escape(key)} {_text(value)}" for key, value in run.found.items())
        rows.append((started[:19].replace("T", " "), kind, symbol, day, name, status, found or "–"))
    table = grid(head, rows).replace('<div class="wide">', '<div class="wide words">', 1)
    body = table if rows else nothing("There are no runs.")
    hint = "Click on a head to sort; a name links to the page of its run."
    return document(f"{root} · runs", [header("Runs", root, f"{len(runs):,} runs"), card("All runs", hint, body)])


@dataclass(frozen=True)
class ComparedRun:
    """One of two backtests.

    Attributes:
        name: Its RUN_ID.
        knobs: Knobs of its manifest: name to value.
        summary: Its ``summary.json``.
        columns: The columns of its files.
    """

    name: str
    knobs: Mapping[str, Any]
    summary: Mapping[str, Any]
    columns: RunColumns


def two_runs_page(first: ComparedRun, second: ComparedRun) -> str:
    """Return the page of two backtests: equity, drawdown and inventory on one time axis; numbers and knobs."""
    pair = (first, second)
    symbols = " and ".join(dict.fromkeys(str(one.summary["symbol"]) for one in pair))
    days = ", ".join(dict.fromkeys(day for one in pair for day in one.summary["days"]))
    body = [
        header(symbols, days, f"run <b>{escape(first.name)}</b> and run <b>{escape(second.name)}</b>"),
        _over_time(pair),
        card("Numbers", "Names are those of summary.json.", _numbers(pair)),
        card("Knobs that differ", "Without those that only name or locate a run.", _knobs(pair)),
    ]
    drawn = any(len(one.columns.state["recv_us"]) for one in pair)
    return document(f"{first.name} and {second.name}", body, script() if drawn else "")


def _over_time(pair: tuple[ComparedRun, ComparedRun]) -> str:
    known = [(one, equity_curve(one.columns), kind) for one, kind in zip(pair, KINDS, strict=True) if _has_rows(one)]
    if not known:
        return card("Over time", "", nothing("There are no state rows."))
    x = (min(drawn.x[0] for _, drawn, _ in known), max(drawn.x[1] for _, drawn, _ in known))
    quote, base = quote_asset(pair[0].summary), base_asset(pair[0].summary)
    charts = (
        ("PnL of the quoting", f"{quote}, without what the target inventory earns", 230, lambda drawn: drawn.equity),
        ("Under water", f"{quote}, below the highest PnL of the quoting", 120, lambda drawn: under_water(drawn.equity)),
        ("Inventory", base, 150, lambda drawn: drawn.inventory),
    )
    panels = []
    for title, note, height, values in charts:
        lines = [_line(escape(one.name), kind, drawn.us, values(drawn), x[1]) for one, drawn, kind in known]
        panels.append(_panel((title, note), lines, x, height))
    span = f"{minute(int(x[0]))} – {minute(int(x[1]))} UTC."
    return card(
        "Over time",
        f"{span} Drag to zoom; a click on a name hides it.",
        timeline(panels, x, axis=TimelineAxis(stop="")),
    )


def _has_rows(one: ComparedRun) -> bool:
    return len(one.columns.state["recv_us"]) > 0


def _line(name: str, kind: str, us: Any, values: Any, end_us: float) -> Line:
    """Return a step line that ends with its run, even if the charts continue until *end_us*."""
    at = np.append(changes(values.view(np.int64)), len(us) - 1)
    us, values = us[at], values[at]
    if us[-1] < end_us:
        us, values = np.append(us, us[-1] + US_PER_MS), np.append(values, np.nan)
    return Line(name, kind, us, values, unit_of(values))


def _panel(names: tuple[str, str], lines: Sequence[Line], x: tuple[float, float], height: int) -> Panel:
    seen = np.concatenate([line.values for line in lines])
    seen = seen[~np.isnan(seen)]
    if not len(seen):
        return Panel(*names, nothing("The book was never valid."), height, lines)
    plot = Plot(WIDE, height, x, padded(float(seen.min()), float(seen.max())))
    marks = [plot.line(*steps(line.us, line.values), line.kind) for line in lines]
    picture = plot.picture(plot.value_axis(), plot.time_axis(), *marks, title=f"{names[0]} of two runs over time")
    return replace(Panel(*names, picture, height, lines), zero=names[0] == "Under water")


def _numbers(pair: tuple[ComparedRun, ComparedRun]) -> str:
    return grid(("number", pair[0].name, pair[1].name, "difference"), compared([one.summary for one in pair]))


def compared(summaries: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return the rows of a table of two summaries: name of a number, its two values and their difference, as text.

    The Sharpe ratio is omitted if a run has fewer than `SHARPE_DAYS` days.
    """
    short = any(len(one["days"]) < SHARPE_DAYS for one in summaries)
    rows: list[tuple[str, ...]] = []
    for name in _COMPARED:
        first, second = (_at(one, name) for one in summaries)
        if (first is None and second is None) or (short and name == "sharpe"):
            continue
        difference = "–" if first is None or second is None else signed(second - first)
        rows.append((name, number(first, 6), number(second, 6), difference))
    return rows


def _at(summary: Mapping[str, Any], name: str) -> float | None:
    """Return the number at a path such as ``inventory.rms``; None if it is undefined."""
    found: Any = summary
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, int | float) else None


def _knobs(pair: tuple[ComparedRun, ComparedRun]) -> str:
    first, second = (one.knobs for one in pair)
    names = [name for name in {**first, **second} if name not in NO_MATTER and first.get(name) != second.get(name)]
    rows = [(f"<code>{escape(name)}</code>", _value(first.get(name)), _value(second.get(name))) for name in names]
    return grid(("knob", pair[0].name, pair[1].name), rows) if rows else nothing("No knob with an effect differs.")


def _value(value: Any) -> str:
    return "–" if value is None else escape(str(value))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    return "–" if value is None else escape(str(value))
