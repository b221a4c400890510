"""Cards of the report page that are tables: activity, data, what luck could have done, and the sensitivity."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.notes import by_reason
from mm.backtest.summary_text import by_distance, curve, outside, quoted_distance
from mm.clock import US_PER_S, iso
from mm.numbers import lasting, number, percent, short, signed
from mm.report.frame import About, Row, card, grid, table

if TYPE_CHECKING:
    from mm.report.run_columns import RunColumns

LONGEST = 3  # stretches without a book that are named


_EFFECTIVE = (  # knobs that stand at the top of the page, by name
    "quote_params_json",
    "fill_params_json",
    "order_latency_ms",
    "cancel_latency_ms",
    "requote_interval_ms",
    "maker_fee_rate",
    "initial_cash",
    "initial_inventory",
)


def assumptions_card(summary: Mapping[str, Any], about: About) -> str:
    """Return what the run stands on and the parameters in effect; nothing for a run of an earlier version."""
    if "reference_why" not in summary:
        return ""
    title = "What this run assumes"
    why = summary["reference_why"]
    rejects = f"{summary['n_rejects']:,} of {summary['n_orders']:,} orders"
    reasons = f" ({by_reason(summary['rejects'])})" if summary["rejects"] else ""
    trust: list[Row] = [
        ("reference", escape(summary["reference"] + (f": {why}" if why else ""))),
        ("curve", escape(curve(summary))),
        ("fill model", escape(f"{summary['models']['fill']}: {summary['fill_bias'] or 'no bias is declared'}")),
        ("outside the fit", escape(outside(summary))),
        ("seen / expected fills", escape(" · ".join(by_distance(summary)) or "–")),
        ("quoted distance", escape(quoted_distance(summary))),
        ("rejected", escape(rejects + reasons)),
    ]
    effective: list[Row] = [
        ("gamma", number(summary["gamma"])),
        ("clip", f"{short(summary['quote_qty'])} {escape(summary['base_asset'])}"),
        ("target inventory", short(summary["target_inventory"])),
    ]
    for name in _EFFECTIVE:
        value = about.knobs.get(name, {}).get("value")
        if value is not None:
            effective.append((name, escape(str(value))))
    hint = "In the order in which an error would matter: check from the top."
    body = f'<div class="basis">{table("Assumptions", trust)}{table("Parameters in effect", effective)}</div>'
    return card(title, hint, body)


def activity_card(summary: Mapping[str, Any]) -> str:
    """Return what was sent, and what became of it."""
    rows = [
        ("orders placed", f"{summary['n_orders']:,}"),
        *([("rejected", f"{summary['n_rejects']:,}")] if "n_rejects" in summary else []),
        ("fills", f"{summary['n_fills']:,}"),
        ("fills the intensity foresaw", number(summary["predicted_fills"])),
        ("orders filled in parts", f"{summary['n_partial']:,}"),
        ("filled over placed quantity", percent(summary["fill_ratio"])),
        ("messages for a fill", number(summary["quote_to_trade"])),
        ("time with quotes on both sides", percent(summary["two_sided_uptime"])),
    ]
    rows += [
        (f"{name}, median", lasting_short(summary[key]["p50"]))
        for key, name in (("quote_lifetime_s", "life of a quote"), ("live_to_fill_s", "rest before a fill"))
        if key in summary
    ]
    return card("Activity", "Orders and fills.", table("", rows))


def lasting_short(seconds: float | None) -> str:
    """Return a duration, in ms or in seconds with digits where it is short."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{number(1000 * seconds, 3)} ms"
    return f"{number(seconds, 3)} s" if seconds < 60 else lasting(seconds)


def data_card(summary: Mapping[str, Any], run: "RunColumns") -> str:
    """Return how much of the time the data were good, and the longest stretches that are excluded."""
    covered, excluded = summary["seconds_covered"], summary["seconds_excluded"]
    share = excluded / (covered + excluded) if covered + excluded else None
    length = run.excluded[:, 1] - run.excluded[:, 0]
    rows: list[Row] = [
        ("time with a valid book", lasting(covered)),
        ("time excluded", f"{lasting(excluded)} ({percent(share)})" if excluded else "none"),
        ("stretches without one", f"{np.count_nonzero(length):,}"),
        ("changes of the mid", f"{np.count_nonzero(~np.isnan(run.mid)):,}"),
    ]
    longest = [row for row in np.argsort(-length, kind="stable")[:LONGEST].tolist() if length[row]]
    for row in sorted(longest):
        rows.append((f"from {_second(run.excluded[row, 0])}", f"{lasting(float(length[row]) / US_PER_S)} excluded"))
    if "feed" in summary:
        rows += [(f"feed: {escape(name)}", number(value)) for name, value in summary["feed"].items()]
    hint = "Statistics leave out the time without a valid book; charts over time shade it."
    return card("Data", hint, table("", rows))


def _second(us: int) -> str:
    return iso(int(us))[:19].replace("T", " ")


def luck_card(summary: Mapping[str, Any]) -> str:
    """Return what the Sharpe ratio is worth: its interval, and the chance that it is skill."""
    ends = summary["sharpe_ci95"]
    rows: list[Row] = [
        ("Sharpe, annual", number(summary["sharpe"], 3)),
        ("95 % interval", "–" if ends is None else f"{number(ends[0], 3)} to {number(ends[1], 3)}"),
        ("corrected for autocorrelation", number(summary["sharpe_autocorr"], 3)),
        ("chance that it is above 0", percent(summary.get("psr"))),
    ]
    returns = summary.get("returns") or {}
    rows += [
        (f"{name} of {returns['period_s']} s changes", number(returns[name], 3))
        for name in ("skew", "kurtosis")
        if name in returns
    ]
    if "pnl_band" in summary:
        band = summary["pnl_band"]
        rows.append((f"PnL under {band['draws']:g} redrawn fits", f"{signed(band['low'])} to {signed(band['high'])}"))
    hint = "Of one run alone. Who tries many finds a good one by luck: mm sweep counts the trials and deflates."
    return card("Skill or luck", hint, table("", rows))


def markouts_card(summary: Mapping[str, Any]) -> str:
    """Return what fills were worth later, by side, by what they did to the inventory, and by distance."""
    found = {(row["fills"], row["horizon_s"]): row for row in summary.get("markouts") or []}
    if not found:
        return ""
    kinds, horizons = (dict.fromkeys(key[place] for key in found) for place in (0, 1))
    rows = []
    for kind in kinds:
        told = [found.get((kind, horizon)) for horizon in horizons]
        count = max(row["n"] for row in told if row)
        rows.append((escape(str(kind)), f"{count:,}", *map(_worth, told)))
    hint = "Half-spread left so long after the fill, a unit, ± its standard error where fills are enough to tell."
    head = ("fills", "number", *(f"{horizon} s" for horizon in horizons))
    return card("By kind of fill", hint, grid(head, rows))


def _worth(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "–"
    kind = (
        "" if row["se"] is None or abs(row["realised"]) < 2 * row["se"] else "gain" if row["realised"] > 0 else "loss"
    )
    error = "" if row["se"] is None else f" <small>± {number(row['se'], 2)}</small>"
    return f'<b class="{kind}">{signed(row["realised"], 3)}</b>{error}'


def days_card(summary: Mapping[str, Any]) -> str:
    """Return the PnL of each day; nothing for one day."""
    days = summary.get("daily") or []
    if len(days) < 2:
        return ""
    rows = [
        (escape(day["day"]), _coloured(day["pnl"]), f"{day['n_fills']:,}", number(day["equity"], 8)) for day in days
    ]
    hint = f"Sharpe over days, annual: {number(summary['sharpe_daily'], 3)}."
    return card("By day", hint, grid(("day", "PnL", "fills", "equity at its end"), rows))


def honesty_card(summary: Mapping[str, Any]) -> str:
    """Return the same strategy under kinder and harsher fills and latencies; without them, how to add them."""
    rows: Sequence[Mapping[str, Any]] = (summary.get("honesty") or {}).get("rows", ())
    title = "Sensitivity"
    if not rows:
        return card(title, "HONESTY=1 plays it under kinder and harsher fills, and at other latencies, too.", "")
    head = ("fills", "latency", "PnL", "Sharpe", "fills", "inventory, rms", "mid 60 s after a fill")
    cells = [
        (
            f"{escape(str(row['fills']))}{_role(row.get('role'))}",
            f"{short(row['latency'])} ×",
            _coloured(row["pnl_total"]),
            number(row["sharpe"], 3),
            "–" if row["n_fills"] is None else f"{row['n_fills']:,}",
            number(row["inventory_rms"], 3),
            signed(row["adverse_selection_60"]),
        )
        for row in rows
    ]
    signs = {(row["pnl_total"] or 0) > 0 for row in rows}
    verdict = "The sign of the PnL hangs on the assumptions." if len(signs) > 1 else "The PnL has the same sign in all."
    hint = f"The same strategy under kinder and harsher fills, and at other latencies. {verdict}"
    return card(title, hint, grid(head, cells))


def _role(role: str | None) -> str:
    return f" <small>{escape(role)}</small>" if role else ""


def _coloured(pnl: float | None) -> str:
    kind = "gain" if (pnl or 0) > 0 else "loss" if (pnl or 0) < 0 else ""
    return f'<b class="{kind}">{signed(pnl)}</b>'
