"""Pages of several runs: an index of all, and two backtests over one span of time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from mm.base.numbers import SHARPE_DAYS, number, signed
from mm.report.figures import SERIES, Figure, Panel, stacked, step, time_axis
from mm.report.frame import base_asset, card, chart, document, grid, header, nothing, quote_asset, zoom_bar
from mm.report.run_columns import EquityCurve, RunColumns

if TYPE_CHECKING:
    from mm.report.figures import Floats

# Numbers of summary.json to compare.
_COMPARED = (
    *("pnl_quoting", "pnl_hold", "pnl_total"),
    *("pnl_spread_capture", "pnl_inventory", "fees", "max_drawdown", "sharpe", "n_orders", "n_rejects"),
    *("n_fills", "fill_ratio", "hit_rate", "effective_half_spread", "two_sided_uptime", "seconds_covered"),
    *("inventory.rms", "inventory.max", "round_trips.n", "round_trips.win_rate", "round_trips.mean"),
)
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
    head = ("number", first.name, second.name, "difference")
    figure = runs_figure([(one.name, one.columns) for one in pair], first.summary)
    if figure is None:
        drawn = card("Over time", "", nothing("There are no state rows."))
    else:
        drawn = card("Over time", "Drag to zoom; a click on a name hides it.", zoom_bar() + chart(figure))
    body = [
        header(symbols, days, f"run <b>{escape(first.name)}</b> and run <b>{escape(second.name)}</b>"),
        drawn,
        card("Numbers", "Names are those of summary.json.", grid(head, compared([one.summary for one in pair]))),
        card("Knobs that differ", "Without those that only name or locate a run.", _knobs(pair)),
    ]
    return document(f"{first.name} and {second.name}", body)


def runs_figure(runs: Sequence[tuple[str, RunColumns]], summary: Mapping[str, Any]) -> Figure | None:
    """Return PnL, drawdown and inventory of several runs on one time axis; None without a state row.

    Args:
        runs: Name and columns of each.
        summary: The numbers of the first one, for the names of the assets.
    """
    known = [(name, run.curve) for name, run in runs if len(run.state["recv_us"])]
    if not known:
        return None
    x = (min(curve.x[0] for _, curve in known), max(curve.x[1] for _, curve in known))
    return stacked(account_panels(known, quote_asset(summary), base_asset(summary)), time_axis(*x))


def account_panels(curves: Sequence[tuple[str, EquityCurve]], quote: str, base: str) -> list[Panel]:
    """Return the panels of PnL, drawdown and inventory of several accounts, each with its name."""
    charts: tuple[tuple[str, str, int, Callable[[EquityCurve], Floats]], ...] = (
        ("PnL of the quoting", f"{quote}, without what the target inventory earns", 230, lambda one: one.equity),
        ("Under water", f"{quote}, below the highest PnL of the quoting", 110, lambda one: one.drawdown),
        ("Inventory", base, 140, lambda one: one.inventory),
    )
    named = [(escape(name), curve, colour) for (name, curve), colour in zip(curves, SERIES, strict=False)]
    return [
        Panel(title, unit, [step(name, curve.us, values(curve), colour) for name, curve, colour in named], height)
        for title, unit, height, values in charts
    ]


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
