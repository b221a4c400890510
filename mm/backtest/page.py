"""The report page of a run: one HTML file that needs nothing else, light or dark as the reader's screen is."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest._page_charts import (
    card,
    course,
    distance_chart,
    equity_chart,
    inventory_chart,
    markout_chart,
    mid_chart,
    nothing,
    split_chart,
    wide,
)
from mm.backtest._page_style import STYLE
from mm.backtest._text import NULL, lasting, number, percent, short, signed
from mm.clock import iso

if TYPE_CHECKING:
    from numpy.typing import NDArray

Row = tuple[str, str]
BOTH = (("buy", "our buys"), ("sell", "our sells"))


@dataclass(frozen=True)
class About:
    """What the numbers alone cannot say.

    Attributes:
        command: The exact command, as the words of its line; empty where there was none (a notebook).
        knobs: Name to ``{"value": …, "source": …}``, as in the manifest.
    """

    command: Sequence[str] = ()
    knobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def page(
    summary: Mapping[str, Any],
    fills: Mapping[str, Any],
    state: Mapping[str, Any],
    about: About | None = None,
    excluded: "NDArray[np.int64] | None" = None,
) -> str:
    """Return the page as HTML.

    Args:
        summary: The numbers of ``summary.json``.
        fills: The columns of the fills file, by name: numpy arrays or a polars frame.
        state: The columns of the state file, likewise.
        about: The command and the knobs, to print at the end.
        excluded: First and last µs of each stretch without a valid book, to shade.
    """
    about = about or About()
    off = np.empty((0, 2), np.int64) if excluded is None else excluded
    days = " – ".join(dict.fromkeys([*summary["days"][:1], *summary["days"][-1:]]))
    title = f"{summary['symbol']} {days}"
    body = [
        _header(summary, days, state),
        _tiles(summary),
        _notes([line for line in summary["warnings"] if not line.startswith(NULL)], "notes"),
        _time_cards(summary, fills, state, off),
        _fill_cards(summary, fills),
        _numbers(summary),
        _origin(about),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · backtest</title><style>{STYLE}</style></head>\n"
        f"<body><main>\n{chr(10).join(part for part in body if part)}\n</main></body></html>\n"
    )


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
        + _tile(
            "PnL " + escape(summary["quote_asset"]),
            signed(summary["pnl_total"]),
            f"after {number(summary['fees'])} fees",
            "gain" if pnl > 0 else "loss" if pnl < 0 else "",
        )
        + _tile("Sharpe, annual", number(summary["sharpe"], 3), interval)
        + _tile(
            "Max drawdown",
            number(summary["max_drawdown"]),
            f"longest {lasting(summary['drawdown_duration_s'])}",
        )
        + _tile("Fills", f"{summary['n_fills']:,}", f"{percent(summary['fill_ratio'])} of placed quantity")
        + _tile(
            "Inventory, rms " + escape(summary["base_asset"]),
            number(inventory["rms"], 3),
            f"at most {number(inventory['max'], 3)}",
        )
        + _tile("Quoting both sides", percent(summary["two_sided_uptime"]), "of the time with a valid book")
        + "</section>"
    )


def _tile(name: str, value: str, more: str, kind: str = "") -> str:
    return f'<div class="tile"><span>{name}</span><b class="{kind}">{value}</b><i>{more}</i></div>'


def _notes(warnings: Sequence[str], kind: str) -> str:
    if not warnings:
        return ""
    return f'<ul class="{kind}">{"".join(f"<li>{escape(line)}</li>" for line in warnings)}</ul>'


def _time_cards(
    summary: Mapping[str, Any], fills: Mapping[str, Any], state: Mapping[str, Any], excluded: "NDArray[np.int64]"
) -> str:
    if len(state["recv_us"]) == 0:
        return card("Over time", "", nothing("There are no state rows."))
    run = course(state, excluded)
    quote, base = escape(summary["quote_asset"] or "quote asset"), escape(summary["base_asset"] or "base asset")
    off = [("off", f"no valid book: {lasting(summary['seconds_excluded'])}")] if summary["seconds_excluded"] else []
    clip = short(summary["quote_qty"])
    return (
        card(
            "Equity", f"Change since the first state row, in {quote}, marked at the mid.", wide(equity_chart(run)), off
        )
        + card("Inventory", f"Held, in {base}; one quote offers {clip}.", wide(inventory_chart(run)), off)
        + card(
            "Mid and fills",
            f"In {quote}; least and greatest of every two pixels. Below, the number of fills.",
            wide(mid_chart(run, fills)),
            [*BOTH, *off],
        )
    )


def _fill_cards(summary: Mapping[str, Any], fills: Mapping[str, Any]) -> str:
    quantity = float(np.asarray(fills["qty"], dtype=np.float64).sum())
    fee = None if quantity == 0 or summary["fees"] is None else summary["fees"] / quantity
    quote = escape(summary["quote_asset"] or "quote asset")
    paid = f" Fees took {number(fee)} a unit (dashed, where it fits)." if fee else ""
    return (
        '<div class="pair">'
        + card("Where the PnL came from", f"In {quote}, from zero to the total.", split_chart(summary))
        + card(
            "What a fill was worth later",
            f"Half-spread left, in {quote} a unit, with 95 % bars.{paid}",
            markout_chart(summary, fee),
        )
        + '</div><div class="pair">'
        + card(
            "Fills by distance",
            "Ticks from the mid of its instant; the outermost bars hold what lies beyond.",
            distance_chart(fills, summary["tick_size"]),
            BOTH,
        )
        + card("Activity", "Orders, fills and the time they had.", _table("", _activity(summary)))
        + "</div>"
    )


def _activity(summary: Mapping[str, Any]) -> list[Row]:
    return [
        ("orders placed", f"{summary['n_orders']:,}"),
        ("fills", f"{summary['n_fills']:,}"),
        ("fills the intensity predicted", number(summary["predicted_fills"])),
        ("orders filled in parts", f"{summary['n_partial']:,}"),
        ("filled over placed quantity", percent(summary["fill_ratio"])),
        ("messages for a fill", number(summary["quote_to_trade"])),
        ("time with quotes on both sides", percent(summary["two_sided_uptime"])),
        ("time with a valid book", lasting(summary["seconds_covered"])),
        ("time excluded", lasting(summary["seconds_excluded"])),
    ]


def _numbers(summary: Mapping[str, Any]) -> str:
    signs = [(name, signed(summary[name], 6)) for name in ("pnl_total", "pnl_spread_capture", "pnl_inventory")]
    left_out = summary["adverse_selection_left_out"]
    groups = {
        "Profit": [*signs, *_named(summary, "fees", "initial_equity")],
        "Risk": _named(
            summary, "sharpe", "sharpe_autocorr", "sortino", "calmar", "max_drawdown", "drawdown_duration_s"
        ),
        "Inventory": _named(summary["inventory"], *summary["inventory"]),
        "Half-spread": [
            ("effective", number(summary["effective_half_spread"])),
            *((f"realised after {h} s", number(value)) for h, value in summary["realised_half_spread"].items()),
        ],
        "Move of the mid after a fill (fills left out)": [
            (f"{h} s ({left_out[h]})", signed(value)) for h, value in summary["adverse_selection"].items()
        ],
    }
    tables = "".join(_table(caption, rows) for caption, rows in groups.items())
    bootstrap = summary["sharpe_bootstrap"]
    hint = (
        f"Sharpe and Sortino from {bootstrap['periods']} periods of 60 s; interval by {bootstrap['draws']:,} circular "
        f"block resamples of {bootstrap['block_periods']} periods. Names are those of summary.json."
    )
    undefined = _notes([line for line in summary["warnings"] if line.startswith(NULL)], "why")
    return card("All numbers", hint, f'<div class="groups">{tables}</div>{undefined}')


def _named(numbers: Mapping[str, Any], *names: str) -> list[Row]:
    return [(name, number(numbers[name], 6)) for name in names]


def _table(caption: str, rows: Sequence[Row]) -> str:
    head = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f"<table>{head}{''.join(f'<tr><th>{escape(name)}</th><td>{value}</td></tr>' for name, value in rows)}</table>"
    )


def _origin(about: About) -> str:
    if not about.command and not about.knobs:
        return ""
    command = f"<pre>{escape(shlex.join(about.command))}</pre>" if about.command else ""
    knobs = "".join(_knob(name, str(knob["value"]), str(knob["source"])) for name, knob in about.knobs.items())
    return card(
        "How to get this again", "The exact command, and every knob.", f'{command}<div class="knobs">{knobs}</div>'
    )


def _knob(name: str, value: str, source: str) -> str:
    kind = "default" if source == "default" else "set"
    return f'<div class="{kind}"><code>{escape(name)}</code><b>{escape(value)}</b><span>{escape(source)}</span></div>'
