"""``report.html`` of an evaluation: the days, their distribution, and the PnL by symbol, hour and volatility."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mm.base.numbers import number, percent, signed
from mm.errors import BrokenFile
from mm.report import figures
from mm.report.figures import Figure, Panel, signs
from mm.report.frame import (
    About,
    card,
    chart,
    coloured,
    document,
    gain_or_loss,
    grid,
    header,
    in_row,
    interval,
    listing,
    notes,
    origin,
    tile,
    tiles,
)

EVALUATION = "evaluation.json"
KEYS = ("symbols", "daily", "pnl_by_day", "by_symbol", "by_hour", "by_volatility", "rows", "holes", "warnings")
MOST_BINS = 40
Content = Mapping[str, Any]


def page(folder: Path, about: About | None = None) -> str:
    """Return the page of the evaluation in *folder*."""
    content = read_content(folder)
    days, symbols = content["days"], ", ".join(content["symbols"])
    span = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "no day"
    line = f"evaluation of {content['played']:,} days{(about or About()).name}"
    parts = [
        header(escape(symbols), span, line),
        _tiles(content),
        notes(content["warnings"], "notes"),
        _days_card(content),
        _symbols_card(content),
        in_row(_distribution_card(content), _hours_card(content), _volatility_card(content)),
        _holes_card(content),
        _table_card(content),
        origin(about) if about else "",
    ]
    return document(f"{escape(symbols)} {span} evaluation", parts, about.plotly if about else "")


def read_content(folder: Path) -> dict[str, Any]:
    """Return ``evaluation.json``.

    Raises:
        BrokenFile: If it cannot be read, or lacks what this version shows.
    """
    path = folder / EVALUATION
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        missing = [name for name in KEYS if name not in content]
    except (OSError, ValueError) as error:
        raise BrokenFile(f"{path}: cannot be read ({error}); make the evaluation again") from error
    if missing:
        raise BrokenFile(f"{path}: has no {', '.join(missing)}; make the evaluation again")
    return content


def _ends(one: Content) -> str:
    return "" if one["low"] is None else interval((one["low"], one["high"]))


def _tiles(content: Content) -> str:
    daily, asset = content["daily"], escape(content["quote_asset"])
    worst, best = content["worst_day"], content["best_day"]
    above = f"above 0 on {percent(daily['share_above_0'])} of the days"
    fall = number(content["drawdown_of_days"])
    return tiles(
        tile(f"PnL of the quoting {asset}", signed(content["pnl"]), "sum of all days", gain_or_loss(content["pnl"])),
        tile("A day", signed(daily["mean"]), _ends(daily) or "one day has no interval", gain_or_loss(daily["low"])),
        tile("Days", f"{daily['days']:,}", above),
        tile("Best day", signed(best and best["pnl"]), best["day"] if best else ""),
        tile(
            "Worst day",
            signed(worst and worst["pnl"]),
            worst["day"] if worst else "",
            gain_or_loss(worst and worst["pnl"]),
        ),
        tile("Drawdown of days", fall, "from the highest sum so far"),
    )


def _days_card(content: Content) -> str:
    names = [row["day"] for row in content["pnl_by_day"]]
    pnl = np.array([row["pnl"] for row in content["pnl_by_day"]])
    if not names:
        return ""
    asset = content["quote_asset"]
    tips = [f"{day}: {signed(value)}" for day, value in zip(names, pnl.tolist(), strict=True)]
    panels = [
        Panel("Sum of the PnL", asset, [figures.line("sum", names, np.cumsum(pnl))], 170),
        Panel("PnL of each day", asset, [figures.bars("PnL", names, pnl, signs(pnl), tips)], 130),
    ]
    hint = "Each day begins with the initial inventory and cash; days without a bar were not played, or earned nothing."
    return card("Day by day", hint, chart(figures.stacked(panels, figures.names_axis())))


def _distribution_card(content: Content) -> str:
    pnl = np.array([row["pnl"] for row in content["pnl_by_day"]])
    if len(pnl) < 2:
        return card("Distribution", "Of the PnL of a day.", "<p>Fewer than two days.</p>")
    counts, edges = np.histogram(pnl, bins=min(MOST_BINS, max(5, round(2 * len(pnl) ** 0.5))))
    middle = (edges[1:] + edges[:-1]) / 2
    tips = [
        f"{count} days from {signed(low, 3)} to {signed(high, 3)}"
        for count, low, high in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
    drawn = figures.chart(
        [figures.bars("days", middle, counts, signs(middle), tips)], figures.numbers_axis("PnL of a day"), 200
    )
    quantiles = np.quantile(pnl, (0.05, 0.25, 0.5, 0.75, 0.95)).tolist()
    rows = [tuple(coloured(value) for value in quantiles)]
    return card(
        "Distribution", "Of the PnL of a day.", chart(drawn) + grid(("5 %", "25 %", "median", "75 %", "95 %"), rows)
    )


def _symbols_card(content: Content) -> str:
    head = (
        "symbol",
        "PnL",
        "a day",
        "95 %",
        "days",
        "fills",
        "PnL per turnover, bp",
        "of the volume",
        "QUOTE_QTY at 1 %",
    )
    rows = [
        (
            escape(row["symbol"]),
            coloured(row["pnl"]),
            f"{signed(row['mean'])} {_ends(row)}",
            f"{row['days']:,}",
            f"{row['fills']:,}",
            signed(row["pnl_per_turnover_bp"], 3),
            percent(row["share_of_volume"]),
            number(row["quote_qty_at_share"]),
        )
        for row in content["by_symbol"]
    ]
    hint = (
        "Capacity by proportion: the clip at which our fills would be one percent of what the market trades. Whether "
        "they would fill at these prices is not in the data."
    )
    return card("By symbol", hint, grid(head, rows))


def _whiskers(rows: Sequence[Content], x: Sequence[str], name: str) -> Figure:
    """Return the mean of each row as a bar, with its 95 % interval."""
    means = np.array([np.nan if row["mean"] is None else row["mean"] for row in rows])
    half = np.array([0.0 if row["low"] is None else (row["high"] - row["low"]) / 2 for row in rows])
    tips = [f"{at}: {signed(row['mean'])} {_ends(row)}, {row['days']} days" for at, row in zip(x, rows, strict=True)]
    error = {"type": "data", "array": half, "thickness": 1, "width": 2}
    return figures.chart(
        [figures.bars(name, list(x), means, signs(means), tips, error_y=error)], figures.names_axis(), 200
    )


def _hours_card(content: Content) -> str:
    rows = content["by_hour"]
    drawn = _whiskers(rows, [f"{row['hour']:02d}" for row in rows], "PnL of the hour")
    return card("By hour of day", "UTC; mean over the days, with its 95 % interval.", chart(drawn) if rows else "")


def _volatility_card(content: Content) -> str:
    rows = [row for row in content["by_volatility"] if row["mean"] is not None]
    names = [f"{row['regime']}, {number(row['volatility_bp'], 2)} bp a minute" for row in rows]
    hint = "Thirds of each symbol's hours by the volatility of the mid; PnL per hour, with the 95 % interval over days."
    return card("By volatility", hint, chart(_whiskers(rows, names, "PnL an hour")) if rows else "")


def _holes_card(content: Content) -> str:
    if not content["holes"]:
        return ""
    rows = [(escape(hole["day"]), escape(hole["symbol"]), escape(hole["reason"])) for hole in content["holes"]]
    return card("Not played", "These days are in none of the numbers.", listing(("day", "symbol", "reason"), rows))


def _table_card(content: Content) -> str:
    head = (
        *("day", "symbol", "PnL", "hold", "fees", "fills", "drawdown", "both sides", "inventory, mean"),
        *("of the volume", "volatility, bp a minute"),
    )
    rows = [
        (
            escape(row["day"]),
            escape(row["symbol"]),
            coloured(row["pnl_quoting"]),
            signed(row["pnl_hold"]),
            number(row["fees"]),
            f"{row['n_fills']:,}",
            number(row["max_drawdown"]),
            percent(row["two_sided_uptime"]),
            number(row["inventory_abs_mean"]),
            percent(row["share_of_volume"]),
            number(row["volatility_bp"], 3),
        )
        for row in content["rows"]
    ]
    return card("Every day", "evaluation_days.csv has these rows, and the command of each.", listing(head, rows))
