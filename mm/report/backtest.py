"""The report page of a run: one HTML file that needs nothing else, light or dark as the reader's screen is."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.notes import NULL
from mm.clock import iso
from mm.numbers import lasting, number, percent, signed
from mm.report.cards import (
    activity_card,
    assumptions_card,
    data_card,
    days_card,
    honesty_card,
    luck_card,
    markouts_card,
)
from mm.report.charts import distance_chart, markout_chart, split_chart
from mm.report.course import course
from mm.report.frame import About, Row, card, document, notes, nothing, origin, table, tile, wide
from mm.report.over_time import panels
from mm.report.rates import hours_chart, rate_chart, told_of_rates
from mm.report.rolling import rolling_card
from mm.report.run_columns import RunColumns, columns_of
from mm.report.timeline import script, timeline

if TYPE_CHECKING:
    from mm.backtest.result import Result

SUMMARY, PAGE = "summary.json", "report.html"
BOTH = (("buy", "our buys"), ("sell", "our sells"))


def page(summary: Mapping[str, Any], run: RunColumns, about: About | None = None) -> str:
    """Return the page as HTML.

    Args:
        summary: The numbers of ``summary.json``.
        run: The columns of the run's files.
        about: The command and the knobs, to print at the end.
    """
    about = about or About()
    days = " – ".join(dict.fromkeys([*summary["days"][:1], *summary["days"][-1:]]))
    title = f"{summary['symbol']} {days}"
    body = [
        _header(summary, days, run.state),
        _tiles(summary),
        notes([line for line in summary["warnings"] if not line.startswith(NULL)], "notes"),
        assumptions_card(summary, about),
        _time_card(summary, run),
        _pair(_split_card(summary), _markout_card(summary, run.fills)),
        _pair(_distance_card(summary, run.fills), _rate_card(summary)),
        _foreseen_card(summary),
        honesty_card(summary),
        markouts_card(summary),
        days_card(summary),
        rolling_card(run),
        f'<div class="trio">{activity_card(summary)}{luck_card(summary)}{data_card(summary, run)}</div>',
        _numbers(summary),
        origin(about),
    ]
    return document(f"{title} · backtest", body, script() if len(run.state["recv_us"]) else "")


def write_run(result: "Result", folder: Path, about: About | None = None) -> dict[str, int | None]:
    """Write the files of a backtest's run folder but its manifest; return the rows of each, None where it is no table.

    Args:
        result: The finished backtest.
        folder: Created where it does not exist.
        about: The command and the knobs, for the page.
    """
    # The tables are written without the interpreter's lock: beside the summary, on another core.
    with ThreadPoolExecutor(1) as other:
        tables = other.submit(result.write_tables, folder)
        summary = json.dumps(result.summary, indent=1, allow_nan=False, ensure_ascii=False)
        html = page(result.summary, columns_of(result), about)
        rows = tables.result()
    (folder / SUMMARY).write_text(summary + "\n", encoding="utf-8")
    (folder / PAGE).write_text(html, encoding="utf-8")
    return {**rows, SUMMARY: None, PAGE: None}


def _pair(left: str, right: str) -> str:
    return f'<div class="pair">{left}{right}</div>'


def _header(summary: Mapping[str, Any], days: str, state: Mapping[str, Any]) -> str:
    models = summary["models"]
    us = np.asarray(state["recv_us"], dtype=np.int64)
    window = f"{_minute(us[0])} – {_minute(us[-1])} UTC" if len(us) else "no state rows"
    return (
        f"<header><h1>{escape(summary['symbol'])} <small>{escape(days)}</small></h1>"
        f'<p class="sub">{escape(models["quote"])} quotes, {escape(models["fill"])} fills · {window}</p></header>'
    )


def _minute(us: int) -> str:
    return iso(int(us))[:16].replace("T", " ")


def _tiles(summary: Mapping[str, Any]) -> str:
    ends, inventory = summary["sharpe_ci95"], summary["inventory"]
    interval = "no interval" if ends is None else f"95 %: {number(ends[0], 3)} to {number(ends[1], 3)}"
    pnl = summary["pnl_total"] or 0.0
    return (
        '<section class="tiles">'
        + tile(
            "PnL " + escape(summary["quote_asset"]),
            signed(summary["pnl_total"]),
            f"after {number(summary['fees'])} fees",
            "gain" if pnl > 0 else "loss" if pnl < 0 else "",
        )
        + tile("Sharpe, annual", number(summary["sharpe"], 3), interval)
        + tile(
            "Max drawdown",
            number(summary["max_drawdown"]),
            f"longest {lasting(summary['drawdown_duration_s'])}",
        )
        + tile("Fills", f"{summary['n_fills']:,}", f"{percent(summary['fill_ratio'])} of placed quantity")
        + tile(
            "Inventory, rms " + escape(summary["base_asset"]),
            number(inventory["rms"], 3),
            f"at most {number(inventory['max'], 3)}",
        )
        + tile("Quoting both sides", percent(summary["two_sided_uptime"]), "of the time with a valid book")
        + "</section>"
    )


def _time_card(summary: Mapping[str, Any], run: RunColumns) -> str:
    if len(run.state["recv_us"]) == 0:
        return card("Over time", "", nothing("There are no state rows."))
    drawn = course(run)
    off = [("off", f"no valid book: {lasting(summary['seconds_excluded'])}")] if summary["seconds_excluded"] else []
    hint = "One span of time for all. Point at a fill to see why it came and what a unit was worth later; "
    hint += "mm runs explain shows the market around it."
    return card("Over time", hint, timeline(panels(run, drawn, summary), drawn.x, run.excluded), off)


def _split_card(summary: Mapping[str, Any]) -> str:
    return card("Where the PnL came from", f"In {_quote(summary)}, from zero to the total.", split_chart(summary))


def _markout_card(summary: Mapping[str, Any], fills: Mapping[str, Any]) -> str:
    quantity = float(np.asarray(fills["qty"], dtype=np.float64).sum())
    fee = None if quantity == 0 or summary["fees"] is None else summary["fees"] / quantity
    paid = f" Fees took {number(fee)} a unit (dashed, where it fits)." if fee else ""
    hint = f"Half-spread left, in {_quote(summary)} a unit, with 95 % bars.{paid}"
    return card("What a fill was worth later", hint, markout_chart(summary, fee))


def _distance_card(summary: Mapping[str, Any], fills: Mapping[str, Any]) -> str:
    hint = "Ticks from the mid of its instant; the outermost bars hold what lies beyond."
    return card("Fills by distance", hint, distance_chart(fills, summary["tick_size"]), BOTH)


def _rate_card(summary: Mapping[str, Any]) -> str:
    chart = rate_chart(summary.get("fills_by_distance") or [])
    return card("How often a quote filled", told_of_rates(summary), chart)


def _foreseen_card(summary: Mapping[str, Any]) -> str:
    rows = summary.get("fills_by_hour") or []
    if not rows:
        return ""
    hint = "By hour, 95 % Poisson bars; dashed: foreseen by A and k. Where they part, A and k did not hold."
    return card("Fills against what was foreseen", hint, wide(hours_chart(rows)))


def _quote(summary: Mapping[str, Any]) -> str:
    return escape(summary["quote_asset"] or "quote asset")


def _numbers(summary: Mapping[str, Any]) -> str:
    signs = [(name, signed(summary[name], 6)) for name in ("pnl_total", "pnl_spread_capture", "pnl_inventory")]
    left_out = summary["adverse_selection_left_out"]
    groups = {
        "Profit": [*signs, *_named(summary, "fees", "pnl_realised", "pnl_unrealised", "initial_equity")],
        "Risk": _named(
            summary, "sharpe", "sharpe_autocorr", "sortino", "calmar", "max_drawdown", "drawdown_duration_s"
        ),
        "Inventory": _all(summary, "inventory"),
        "Half-spread": [
            ("effective", number(summary["effective_half_spread"])),
            *((f"realised after {h} s", number(value)) for h, value in summary["realised_half_spread"].items()),
        ],
        "Move of the mid after a fill (fills left out)": [
            (f"{h} s ({left_out[h]})", signed(value)) for h, value in summary["adverse_selection"].items()
        ],
        "Round trips": _all(summary, "round_trips"),
        "Volume": [*_all(summary, "volume"), *_named(summary, "inventory_turnover")],
        "Fee rate that leaves nothing": [
            (name if name == "pnl" else f"realised after {name} s", number(value))
            for name, value in (summary.get("break_even_fee_rate") or {}).items()
        ],
        "Changes of equity, by period": _all(summary, "returns"),
        "Under water": _all(summary, "under_water"),
    }
    tables = "".join(table(caption, rows) for caption, rows in groups.items() if rows)
    bootstrap = summary["sharpe_bootstrap"]
    hint = (
        f"Sharpe and Sortino from {bootstrap['periods']} periods of 60 s; interval by {bootstrap['draws']:,} circular "
        f"block resamples of {bootstrap['block_periods']} periods. Names are those of summary.json."
    )
    undefined = notes([line for line in summary["warnings"] if line.startswith(NULL)], "why")
    return card("All numbers", hint, f'<div class="groups">{tables}</div>{undefined}')


def _named(numbers: Mapping[str, Any], *names: str) -> list[Row]:
    """Return the rows of some numbers; those that an older run does not have are left out."""
    return [(name, _told(numbers[name])) for name in names if name in numbers]


def _told(value: float | bool | None) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else number(value, 6)


def _all(summary: Mapping[str, Any], name: str) -> list[Row]:
    """Return the rows of all numbers that the summary has under a *name*."""
    return _named(summary.get(name) or {}, *(summary.get(name) or {}))
