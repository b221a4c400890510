"""What a run earned: in per cent beside holding, by minute and round trip, by inventory, and over days."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mm.backtest.metrics.numbers import Summary
from mm.backtest.metrics.risk import LEAST_PERIODS, sharpe_of_days
from mm.backtest.summary_text import is_decided
from mm.base.arrays import Floats
from mm.base.numbers import SHARPE_DAYS, noun, number, percent, short, signed
from mm.report import figures
from mm.report.figures import MAIN, SOFT, THIRD, Figure, signs
from mm.report.frame import base_asset, card, chart, in_row, quote_asset
from mm.report.run_columns import RunColumns

MOST_LEVELS = 25  # bars by inventory


def returns_card(summary: Summary, run: RunColumns) -> str:
    start = (summary.account or {}).get("equity_start")
    title, drawn = "Returns beside holding", returns_figure(summary, run)
    if drawn is None:
        return card(title, "", chart(None, "The account had no equity at its begin, so returns have no unit."))
    held = "Holding is the target inventory alone, and both together the account."
    if not run.target:
        held = "The target inventory is 0, so holding it earned nothing."
    of = f" Of {summary.symbol} alone." if run.legs else ""
    hint = f"In % of the first equity, {number(start, 6)} {quote_asset(summary)}. {held}{of}"
    return card(title, hint, chart(drawn))


def returns_figure(summary: Summary, run: RunColumns) -> Figure | None:
    curve, start = run.curve, (summary.account or {}).get("equity_start")
    if not start or start < 0 or np.isnan(curve.equity).all():
        return None
    us, scale = np.asarray(run.state["recv_us"], np.int64), 100 / start
    worth = np.asarray(run.state["equity"], np.float64) - run.quoting
    hold = worth[np.maximum(np.searchsorted(us, curve.us, side="right") - 1, 0)]
    known = ~np.isnan(curve.own)
    hold = np.where(known, hold - hold[int(known.argmax())], np.nan)
    lines = {"quoting": (curve.own, MAIN)}
    if run.target:
        lines |= {"holding": (hold, SOFT), "account": (curve.own + hold, THIRD)}
    near = np.asarray(run.fills["recv_us"], np.int64)
    traces = [figures.step(name, curve.us, scale * values, colour, near) for name, (values, colour) in lines.items()]
    return figures.stacked([figures.Panel("Returns", "%", traces, 200)], figures.time_axis(*curve.x))


def draws_cards(summary: Summary, run: RunColumns) -> str:
    return in_row(_minutes_card(summary, run), _trips_card(summary, run))


def _minutes_card(summary: Summary, run: RunColumns) -> str:
    minutes, told, unit = run.draws.minutes, summary.returns or {}, quote_asset(summary)
    if minutes is None or not told:
        return card("Minutes", "", chart(None, "The files of this run do not tell the PnL of its minutes."))
    moved = minutes[minutes != 0]
    many, still = f"{told['periods']:,} {noun(told['periods'], 'minute')}", len(minutes) - len(moved)
    hint = (
        f"PnL of the quoting in each of {many} with a market: mean {signed(told['mean'])} {unit}, standard deviation "
        f"{number(told['std'])}, from {signed(told['worst'])} to {signed(told['best'])}. {still:,} of them without a "
        "change are not drawn; the outermost bars hold the tails."
    )
    few = f"{len(moved):,} {noun(len(moved), 'minute')} with a change: fewer than {LEAST_PERIODS} have no shape."
    return card("Minutes", hint, chart(_histogram(moved, f"PnL of a minute, {unit}", "minutes"), few))


def _trips_card(summary: Summary, run: RunColumns) -> str:
    trips, told, unit = run.draws.trips, summary.round_trips, quote_asset(summary)
    if trips is None:
        return card("Round trips", "", chart(None, "The files of this run do not tell its round trips."))
    hint = "PnL of each round trip, after the fees of both ends; first in, first out."
    if told["n"]:
        hint += (
            f" {told['n']:,}, {percent(told['win_rate'])} with a gain: mean {signed(told['mean'])} {unit}, median "
            f"{signed(told['median'])}, from {signed(told['worst'])} to {signed(told['best'])}."
        )
    few = f"{len(trips):,} {noun(len(trips), 'round trip')}: fewer than {LEAST_PERIODS} have no shape."
    return card("Round trips", hint, chart(_histogram(trips, f"PnL of a round trip, {unit}", "round trips"), few))


def _histogram(values: Floats, unit: str, what: str) -> Figure | None:
    return figures.histogram(values, unit, what) if len(values) >= LEAST_PERIODS else None


def inventory_card(summary: Summary, run: RunColumns) -> str:
    levels, pnl, share = by_inventory(run, summary.quote_qty)
    unit, base = quote_asset(summary), base_asset(summary)
    title = "PnL by inventory"
    if len(levels) < 2:
        return card(title, "", chart(None, "The inventory stayed on one level, so there is nothing to compare."))
    of = f" Of {summary.symbol} alone." if run.legs else ""
    hint = (
        f"By the distance of the inventory from its target, {short(run.target)} {base}, before each change of the "
        f"equity; the bars add up to the PnL of the quoting.{of}"
    )
    names = [short(round(level, 10)) for level in levels.tolist()]
    tips = [f"{at} {base}: {signed(p)} {unit}" for at, p in zip(names, pnl.tolist(), strict=True)]
    times = [f"{at} {base}: {percent(s)} of the time" for at, s in zip(names, share.tolist(), strict=True)]
    colours = signs(pnl, decided=is_decided(summary))
    panels = [
        figures.Panel("PnL", unit, [figures.bars("PnL", levels, pnl, colours, tips)], 150),
        figures.Panel("Time", "% of the time", [figures.bars("time", levels, 100 * share, SOFT, times)], 70),
    ]
    return card(title, hint, chart(figures.stacked(panels, figures.numbers_axis(f"{base} from the target"))))


def by_inventory(run: RunColumns, clip: float) -> tuple[Floats, Floats, Floats]:
    """Return levels of inventory less target, and own PnL and share of time at each."""
    curve = run.curve
    known = np.flatnonzero(~np.isnan(curve.own))
    if len(known) < 2:
        return np.empty(0), np.empty(0), np.empty(0)
    away = curve.inventory[known[:-1]] - run.target
    width = clip or 1.0
    reach = max(float(away.max() - away.min()) / width, 1.0)
    width *= np.ceil(reach / (MOST_LEVELS - 1))
    number_, at = np.unique(np.rint(away / width), return_inverse=True)
    gained, apart_us = np.diff(curve.own[known]), np.diff(curve.us[known]).astype(np.float64)
    apart_us[np.diff(known) > 1] = 0
    time_us = np.bincount(at, apart_us)
    pnl: Floats = np.bincount(at, gained).astype(np.float64).round(12)
    return number_ * width, pnl, time_us / max(float(time_us.sum()), 1.0)


def rolling_card(days: Sequence[str], pnl: Sequence[float], annual: float | None) -> str:
    if len(days) < SHARPE_DAYS:
        return ""
    title = f"Sharpe over {SHARPE_DAYS} days"
    values = rolling_sharpe(np.array(pnl, np.float64), annual)
    hint = (
        f"Mean over standard deviation of the PnL of the last {SHARPE_DAYS} days, annual; {number(annual, 3)} over all "
        f"{len(days)}. Windows overlap: neighbours are alike."
    )
    if np.isnan(values).all():
        return card(title, hint, chart(None, "All days earned the same."))
    names = list(days[SHARPE_DAYS - 1 :])
    tips = [f"{SHARPE_DAYS} days to {day}: {number(value, 3)}" for day, value in zip(names, values, strict=True)]
    traces = [figures.points("Sharpe", names, values, MAIN, tips=tips, mode="lines+markers")]
    axis = figures.names_axis(nticks=12, tickangle=0)
    drawn = figures.chart(traces, axis, 200, title="Sharpe ratio", unit="annual", levels=[0.0])
    return card(title, hint, chart(drawn))


def rolling_sharpe(pnl: Floats, annual: float | None) -> Floats:
    whole = sharpe_of_days(pnl, 1.0)
    if not whole or annual is None:
        return np.full(len(pnl) - SHARPE_DAYS + 1, np.nan)
    days_a_year = (annual / whole) ** 2
    windows = np.lib.stride_tricks.sliding_window_view(pnl, SHARPE_DAYS)
    found = [sharpe_of_days(window, days_a_year) for window in windows]
    return np.array([np.nan if value is None else value for value in found])


def hours_by_day(run: RunColumns) -> tuple[list[str], Floats]:
    """Return days, and the PnL of all legs by hour of day, [24, days]; NaN where it has none."""
    curve = run.curve
    known = np.flatnonzero(~np.isnan(curve.equity))
    us = curve.us[known[1:]]
    if run.day_us:
        names = [name for name, _ in run.day_us]
        day = np.searchsorted([begin for _, begin in run.day_us[1:]], us, side="left")
    else:
        dates, day = np.unique(us // _DAY_US, return_inverse=True)
        names = [str(np.datetime64(int(date), "D")) for date in dates]
    cells = (us // _HOUR_US % 24) * len(names) + day
    size = 24 * len(names)
    pnl = np.bincount(cells, np.diff(curve.equity[known]), minlength=size).round(12)
    return names, np.where(np.bincount(cells, minlength=size) > 0, pnl, np.nan).reshape(24, -1)


_HOUR_US, _DAY_US = 3_600_000_000, 86_400_000_000
HOUR_PX, MOST_TIPS = 17, 3_000


def hour_by_day_card(summary: Summary, run: RunColumns) -> str:
    title = "PnL by hour and day"
    names, pnl = hours_by_day(run)
    if len(names) < 2:
        return ""
    seen = np.flatnonzero(~np.isnan(pnl).all(axis=1))
    hours = range(int(seen[0]), int(seen[-1]) + 1) if len(seen) else range(0)
    days = "day of the run" if run.day_us else "day in UTC"
    hint = f"PnL of the quoting, {quote_asset(summary)}: across the {days}, down the hour in UTC. Empty: no market."
    drawn = day_map(names, [f"{hour:02d}" for hour in hours], pnl[list(hours)], HOUR_PX)
    return card(title, hint, chart(drawn))


def day_map(days: Sequence[str], rows: Sequence[str], pnl: Floats, row_px: int) -> Figure:
    values = [[None if np.isnan(value) else value for value in row] for row in pnl.tolist()]
    gap = 1 if len(days) < 100 else 0
    more: dict[str, Any] = {"xgap": gap, "ygap": gap}
    if row_px < 20:
        more["texttemplate"] = ""
    if pnl.size <= MOST_TIPS:
        more["text"] = [[f"{day}, {row}" for day in days] for row in rows]
        more["hovertemplate"] = "%{text}: %{z:,.6~r}<extra></extra>"
        more["texttemplate"] = more.get("texttemplate", "%{z:,.3~r}")
    return figures.heat(("", days), ("", rows), values, row_px=row_px, **more)
