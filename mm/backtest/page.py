"""The report page of a run: one HTML file that needs nothing else, light or dark as the reader's screen is."""

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest._page_charts import (
    course,
    distance_chart,
    equity_chart,
    inventory_chart,
    markout_chart,
    mid_chart,
    split_chart,
)
from mm.backtest._text import NULL
from mm.clock import iso
from mm.page.frame import About, Row, card, document, notes, nothing, origin, table, tile, wide
from mm.page.numbers import lasting, number, percent, short, signed

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOTH = (("buy", "our buys"), ("sell", "our sells"))


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
        notes([line for line in summary["warnings"] if not line.startswith(NULL)], "notes"),
        _time_cards(summary, fills, state, off),
        _fill_cards(summary, fills),
        _numbers(summary),
        origin(about),
    ]
    return document(f"{title} · backtest", body)


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
        + card("Activity", "Orders, fills and the time they had.", table("", _activity(summary)))
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
    tables = "".join(table(caption, rows) for caption, rows in groups.items())
    bootstrap = summary["sharpe_bootstrap"]
    hint = (
        f"Sharpe and Sortino from {bootstrap['periods']} periods of 60 s; interval by {bootstrap['draws']:,} circular "
        f"block resamples of {bootstrap['block_periods']} periods. Names are those of summary.json."
    )
    undefined = notes([line for line in summary["warnings"] if line.startswith(NULL)], "why")
    return card("All numbers", hint, f'<div class="groups">{tables}</div>{undefined}')


def _named(numbers: Mapping[str, Any], *names: str) -> list[Row]:
    return [(name, number(numbers[name], 6)) for name in names]
