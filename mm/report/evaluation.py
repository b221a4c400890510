"""``report.html`` of an evaluation: the days, their distribution, and the PnL by symbol, hour and volatility."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mm.backtest.metrics.verdict import GAIN, LOSS, colour, unseen, words
from mm.backtest.run_terms import OWN_MARKET, QUOTING_OWN_MARKET, quoting_of
from mm.backtest.summary_text import tried
from mm.base.estimate import Estimate
from mm.base.numbers import in_column, number, percent, signed
from mm.clock import iso
from mm.report import figures
from mm.report.contents import EVALUATION, read_content
from mm.report.earned import day_map, rolling_card
from mm.report.figures import Figure, Panel, signs
from mm.report.frame import (
    About,
    Amount,
    Cell,
    card,
    chart,
    coloured,
    document,
    grid,
    header,
    in_row,
    interval,
    kind_of,
    notes,
    origin,
    tile,
    tiles,
)

KEYS = ("symbols", "daily", "pnl_by_day", "by_symbol", "by_hour", "by_volatility", "rows", "holes", "warnings")
MOST_LABELS, SYMBOL_PX = 12, 26
Content = Mapping[str, Any]


def page(folder: Path, about: About | None = None, more: Sequence[str] = ()) -> str:
    content, about = read_evaluation(folder), about or About()
    content = {**content, "warnings": [*more, *content["warnings"]]}
    asset = escape(content["quote_asset"])
    parts = [
        *headline(content, about.name),
        _days_card(content),
        _symbols_card(content),
        _accounts_card(content),
        in_row(_map_card(content), _rolling_card(content), kind="wholes"),
        in_row(
            _distribution_card(content),
            card(
                "By hour of day",
                f"UTC; mean PnL over the days, {asset}, with its 95 % interval.",
                chart(_hours_figure(content), "No hours."),
            ),
            card(
                "By volatility",
                "Thirds of each symbol's hours by the volatility of the mid in a minute; PnL per hour, "
                f"{asset}, with the 95 % interval over days.",
                chart(_volatility_figure(content), "No hours."),
            ),
        ),
        _holes_card(content),
        _table_card(content),
        origin(about),
    ]
    return document(f"{', '.join(content['symbols'])} evaluation", parts, about.plotly)


def read_evaluation(folder: Path) -> dict[str, Any]:
    return read_content(folder / EVALUATION, KEYS)


def evaluation_figures(content: Content) -> list[tuple[str, Figure]]:
    figures_ = (
        ("Day by day", _days_figure(content)),
        ("Distribution", _distribution_figure(content)),
        ("By hour of day", _hours_figure(content)),
        ("By volatility", _volatility_figure(content)),
    )
    return [(heading, figure) for heading, figure in figures_ if figure is not None]


def headline(content: Content, name: str = "") -> list[str]:
    days = content["days"]
    span = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "no day"
    line = f"evaluation of {_days_of(content)}{name}"
    return [header(", ".join(content["symbols"]), span, line), _tiles(content), notes(content["warnings"])]


def _days_of(content: Content) -> str:
    count, played, symbols = content["daily"]["days"], content["played"], len(content["symbols"])
    days = f"{count:,} day{'s' * (count != 1)}"
    return days if symbols == 1 else f"{days}, {played:,} played of {symbols} symbols"


def verdict_colour(content: Content) -> str:
    return colour(content.get("verdict"), content.get("undone_by"))


def _colour(row: Content) -> str:
    return kind_of(Estimate(row["mean"], None, row["low"], row["high"], row["days"]).sign)


def _ends(row: Content) -> str:
    return "" if row["low"] is None else interval((row["low"], row["high"]))


def _tiles(content: Content) -> str:
    daily, asset = content["daily"], escape(content["quote_asset"])
    worst, best = content["worst_day"], content["best_day"]
    gained = round((daily["share_above_0"] or 0.0) * daily["days"])
    days, kind = f"{gained:,} of them with a gain", verdict_colour(content)
    sign, _, why = words(content.get("verdict"), daily["days"]).partition(" (")
    beyond = unseen(content.get("verdict"), sum(row["seconds_covered"] or 0.0 for row in content["rows"]))
    told = "; ".join(filter(None, (escape(why.replace(")", "", 1)), beyond)))
    fall, own, trials = number(content["drawdown_of_days"]), content.get(OWN_MARKET), content.get("trials")
    return tiles(
        tile("PnL of the quoting", signed(content["pnl"]), "sum of all days", kind, asset),
        tile("A day", signed(daily["mean"]), _ends(daily) or "no interval", kind, asset),
        tile("Sign of the mean PnL", sign, told, kind),
        *([] if own is None else [tile("Own market", signed(own["pnl"]), "without the other legs", unit=asset)]),
        tile("Days", f"{daily['days']:,}", days, unit="days"),
        *(
            [tile("On these days", f"{trials['on_these_days']:,}", escape(tried(trials, daily["low"])), unit="trials")]
            if trials
            else []
        ),
        tile("Best day", signed(best and best["pnl"]), best["day"] if best else "", unit=asset),
        tile("Worst day", signed(worst and worst["pnl"]), worst["day"] if worst else "", unit=asset),
        tile("Drawdown of days", fall, "from the highest sum so far", unit=asset),
    )


def _days_card(content: Content) -> str:
    figure = _days_figure(content)
    hint = "Each day begins with the initial inventory and cash; days without a bar were not played, or earned nothing."
    return card("Day by day", hint, chart(figure)) if figure else ""


def _days_figure(content: Content) -> Figure | None:
    names = [row["day"] for row in content["pnl_by_day"]]
    pnl = np.array([row["pnl"] for row in content["pnl_by_day"]])
    if not names:
        return None
    asset = content["quote_asset"]
    tips = [f"{day}: {signed(value)}" for day, value in zip(names, pnl.tolist(), strict=True)]
    colours = signs(pnl, decided=verdict_colour(content) in (GAIN, LOSS))
    total = figures.points("sum", names, np.cumsum(pnl), figures.MAIN, mode="lines+markers")
    panels = [
        Panel("Sum of the PnL", asset, [total], 170),
        Panel("PnL of each day", asset, [figures.bars("PnL", names, pnl, colours, tips)], 130),
    ]
    return figures.stacked(panels, figures.names_axis(nticks=MOST_LABELS, tickangle=0))


def _map_card(content: Content) -> str:
    symbols, days = content["symbols"], content["days"]
    hint = f"PnL of the quoting, {escape(content['quote_asset'])}. Empty: not played."
    if len(symbols) < 2 or len(days) < 2:
        return ""
    pnl = np.full((len(symbols), len(days)), np.nan)
    for row in content["rows"]:
        pnl[symbols.index(row["symbol"]), days.index(row["day"])] = quoting_of(row)
    return card("Symbol by day", hint, chart(day_map(days, symbols, pnl, SYMBOL_PX)))


def _rolling_card(content: Content) -> str:
    pnl = [day["pnl"] for day in content["pnl_by_day"]]
    if "sharpe_daily" not in content:  # of an earlier version
        return ""
    return rolling_card(content["days"], pnl, content["sharpe_daily"])


def _distribution_card(content: Content) -> str:
    figure = _distribution_figure(content)
    if figure is None:
        return card("Distribution", "Of the PnL of a day.", "<p>Fewer than two days.</p>")
    quantiles = np.quantile([row["pnl"] for row in content["pnl_by_day"]], (0.05, 0.25, 0.5, 0.75, 0.95)).tolist()
    below = grid(("5 %", "25 %", "median", "75 %", "95 %"), [in_column(quantiles)])
    return card("Distribution", "Of the PnL of a day.", chart(figure) + below)


def _distribution_figure(content: Content) -> Figure | None:
    pnl = np.array([row["pnl"] for row in content["pnl_by_day"]])
    if len(pnl) < 2:
        return None
    return figures.histogram(pnl, f"PnL of a day, {escape(content['quote_asset'])}", "days")


def _symbols_card(content: Content) -> str:
    asset = escape(content["quote_asset"])
    head = (
        "symbol",
        f"PnL, {asset}",
        f"a day, {asset}",
        "days",
        "fills",
        "PnL per turnover, bp",
        "of the volume",
        "QUOTE_QTY at 1 %, base asset",
    )
    rows = [
        (
            escape(row["symbol"]),
            coloured(row["pnl"], (row["low"], row["high"]), row["days"]),
            Amount(row["mean"], around=f'{{}} <small class="line">{_ends(row)}</small>'),
            f"{row['days']:,}",
            f"{row['fills']:,}",
            Amount(row["pnl_per_turnover_bp"]),
            _share(row["share_of_volume"]),
            Amount(row["quote_qty_at_share"], plus=False),
        )
        for row in content["by_symbol"]
    ]
    hint = (
        "Capacity by proportion: the clip at which our fills would be one percent of what the market trades. Whether "
        "they would fill at these prices is not in the data."
    )
    return card("By symbol", hint, grid(head, rows))


def _accounts_card(content: Content) -> str:
    accounts = content.get("accounts")
    if not accounts:
        return ""
    asset = escape(content["quote_asset"])
    head = ("day", f"PnL, {asset}", "deviation", "max drawdown", "balances at the end", "ended early")
    rows = [
        (
            row["day"],
            Amount(row["pnl_quoting"]),
            percent(row["std_60s_share"]),
            percent(row["max_drawdown_share"]),
            escape(", ".join(f"{ends['end']} {name}" for name, ends in row["balances"].items())),
            escape(early_end(row)),
        )
        for row in accounts
    ]
    hint = (
        "All symbols of a day on one account. Deviation of a minute's PnL and drawdown: of the sum, as a share of the "
        "sum of the symbols' own."
    )
    return card("The account by day", hint, grid(head, rows))


def early_end(row: Content) -> str:
    us, reason = row["killed"] or (0, "")
    liquidated = row.get("liquidated_at")
    return f"liquidated at {liquidated}" if liquidated else f"{reason} at {iso(us)}" if reason else ""


def _whiskers(rows: Sequence[Content], x: Sequence[str], name: str, asset: str) -> Figure | None:
    if not rows:
        return None
    means = np.array([np.nan if row["mean"] is None else row["mean"] for row in rows])
    half = np.array([0.0 if row["low"] is None else (row["high"] - row["low"]) / 2 for row in rows])
    tips = [f"{at}: {signed(row['mean'])} {_ends(row)}, {row['days']} days" for at, row in zip(x, rows, strict=True)]
    told = {"gain": figures.GAIN, "loss": figures.LOSS, "": figures.MAIN}
    colours = [told[_colour(row)] for row in rows]
    error = {"type": "data", "array": half, "color": figures.SOFT, "thickness": 1, "width": 2}
    bars = figures.bars(name, list(x), means, colours, tips, error_y=error)
    return figures.chart([bars], figures.names_axis(), 200, title=name, unit=asset)


def _hours_figure(content: Content) -> Figure | None:
    rows = content["by_hour"]
    return _whiskers(rows, [f"{row['hour']:02d}" for row in rows], "PnL of the hour", escape(content["quote_asset"]))


def _volatility_figure(content: Content) -> Figure | None:
    rows = [row for row in content["by_volatility"] if row["mean"] is not None]
    names = [f"{row['regime']}<br>{number(row['volatility_bp'], 2)} bp" for row in rows]
    return _whiskers(rows, names, "PnL an hour", escape(content["quote_asset"]))


def _holes_card(content: Content) -> str:
    if not content["holes"]:
        return ""
    rows = [(escape(hole["day"]), escape(hole["symbol"]), escape(hole["reason"])) for hole in content["holes"]]
    return card(
        "Not played", "These days are in none of the numbers.", grid(("day", "symbol", "reason"), rows, "listing words")
    )


def _share(share: float | None) -> Amount:
    return Amount(None if share is None else 100 * share, plus=False, around="–" if share is None else "{} %")


def _table_card(content: Content) -> str:
    asset = escape(content["quote_asset"])
    legs = bool(content["rows"]) and QUOTING_OWN_MARKET in content["rows"][0]
    head = (
        *(
            "day",
            "symbol",
            f"PnL, {asset}",
            *([f"own market, {asset}"] if legs else []),
            f"hold, {asset}",
            f"fees, {asset}",
            "fills",
            f"drawdown, {asset}",
            "both sides",
            "inventory, mean, base asset",
        ),
        *("of the volume", "volatility, bp a minute"),
    )
    rows: list[Sequence[Cell]] = [
        (
            escape(row["day"]),
            escape(row["symbol"]),
            Amount(quoting_of(row)),
            *([Amount(row[QUOTING_OWN_MARKET])] if legs else []),
            Amount(row["pnl_hold"]),
            Amount(row["fees"], plus=False),
            f"{row['n_fills']:,}",
            Amount(row["max_drawdown"], plus=False),
            _share(row["two_sided_uptime"]),
            Amount(row["inventory_abs_mean"], plus=False),
            _share(row["share_of_volume"]),
            Amount(row["volatility_bp"], plus=False),
        )
        for row in content["rows"]
    ]
    return card(
        "Every day", "evaluation_days.csv has these rows, and the command of each.", grid(head, rows, "listing")
    )
