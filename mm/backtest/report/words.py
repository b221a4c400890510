"""A backtest in words: a few lines for a notebook, a table for the terminal."""

from collections.abc import Mapping
from typing import Any

from mm.backtest.metrics.reasons import NULL
from mm.page.numbers import lasting, number, percent, signed

NONE = "–"


def describe(summary: Mapping[str, Any]) -> str:
    """Return a *summary* in a few lines: what was played, what it earned and from what, and what to beware of."""
    ends, inventory = summary["sharpe_ci95"], summary["inventory"]
    interval = "" if ends is None else f" (95 %: {number(ends[0], 3)} to {number(ends[1], 3)})"
    base, quote = (f" {summary[asset]}".rstrip() for asset in ("base_asset", "quote_asset"))
    rows = {
        "PnL": f"{signed(summary['pnl_total'])}{quote} = spread {signed(summary['pnl_spread_capture'])}, "
        f"inventory {signed(summary['pnl_inventory'])}, fees {number(summary['fees'])}",
        "Sharpe": f"{number(summary['sharpe'], 3)} a year{interval}, "
        f"drawdown {number(summary['max_drawdown'])}{quote} over {lasting(summary['drawdown_duration_s'])}",
        "Fills": f"{summary['n_fills']:,} of {summary['n_orders']:,} orders, {percent(summary['fill_ratio'])} of the "
        f"quantity; half-spread {number(summary['effective_half_spread'])}, "
        f"after 60 s {number(summary['realised_half_spread']['60'])}",
        "Inventory": f"rms {number(inventory['rms'], 3)}{base}, at most {number(inventory['max'], 3)}; "
        f"both sides quoted {percent(summary['two_sided_uptime'])} of the time",
        "Covered": f"{lasting(summary['seconds_covered'])}, excluded {lasting(summary['seconds_excluded'])}",
    }
    models = summary["models"]
    head = f"{summary['symbol']} {', '.join(summary['days'])}: {models['quote']} quotes, {models['fill']} fills"
    body = [f"  {name:<9} {text}" for name, text in rows.items()]
    cautions = [f"  ! {line}" for line in summary["warnings"] if not line.startswith(NULL)]
    return "\n".join([head, *body, *cautions])


def told(summary: Mapping[str, Any]) -> str:
    """Return the headline numbers of a summary as a small table; what is undefined is a dash."""
    inventory = summary["inventory"]
    rows = [
        ("PnL", _number(summary["pnl_total"], 4)),
        ("  spread capture", _number(summary["pnl_spread_capture"], 4)),
        ("  inventory", _number(summary["pnl_inventory"], 4)),
        ("  fees", _number(_negative(summary["fees"]), 4)),
        ("quote", f"{_short(summary['quote_qty'])} {summary['base_asset']}".rstrip()),
        ("orders", f"{summary['n_orders']:,}"),
        ("fills", f"{summary['n_fills']:,}, {summary['n_partial']:,} orders in parts"),
        ("fills expected", _number(summary["predicted_fills"], 1)),
        ("inventory", f"mean {_number(inventory['mean'], 4)}, largest {_number(inventory['max'], 4)}"),
        ("two-sided uptime", _number(summary["two_sided_uptime"], 3)),
        ("seconds", f"{_number(summary['seconds_covered'], 0)}, {_number(summary['seconds_excluded'], 0)} excluded"),
    ]
    if band := summary.get("pnl_band"):
        told = f"{_number(band['low'], 4)} to {_number(band['high'], 4)}, 95 % of {band['draws']} draws"
        rows.insert(1, ("  as fit allows", told))
    if feed := summary.get("feed"):
        late = f"median {feed['median_ms']:.1f} ms, 99 % {feed['p99_ms']:.1f} ms"
        rows.append(("feed", f"{late}, our clock {feed['clock_offset_ms']:+.1f} ms from the exchange's"))
    lines = [f"{name:<18}{value}" for name, value in rows]
    notes = [warning for warning in summary["warnings"] if not warning.startswith(NULL)]
    return "\n".join([*lines, *tree(summary), *(f"note: {note}" for note in notes)])


def tree(summary: Mapping[str, Any]) -> list[str]:
    """Return the eight numbers that people look for first, as lines of a small tree."""
    trips, wait, asset = summary["round_trips"], summary["order_to_fill_s"], f" {summary['quote_asset']}".rstrip()
    drawdown, began = summary["max_drawdown"], summary["initial_equity"]
    share = None if drawdown is None or not began or began < 0 else drawdown / began
    branches = [
        ("Total PnL", _number(summary["pnl_total"], 4, asset)),
        ("Sharpe ratio", f"{_number(summary['sharpe'], 2)}{_interval(summary['sharpe_ci95'])}"),
        ("Max drawdown", _number(drawdown, 4, asset) + ("" if share is None else f" ({100 * share:.2f} %)")),
        ("Total trades", f"{trips['n']:,} round trips"),
        ("Win rate", _percent(trips["win_rate"])),
        ("Avg trade", _number(trips["mean"], 6, asset)),
        ("Avg fill latency", f"{_number(wait['mean'], 3, ' s')} from sending, median {_number(wait['p50'], 3, ' s')}"),
        ("Fill rate", f"{_percent(summary['fill_ratio'])} of the quantity, {_percent(summary['hit_rate'])} of orders"),
    ]
    twigs = ["├──"] * (len(branches) - 1) + ["└──"]
    return [
        "performance",
        *(f"{twig} {name + ':':<18}{value}" for twig, (name, value) in zip(twigs, branches, strict=True)),
    ]


def _interval(ends: list[float] | None) -> str:
    return "" if ends is None else f" a year, 95 % from {ends[0]:,.1f} to {ends[1]:,.1f}"


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f} %"


def _number(value: float | None, places: int, unit: str = "") -> str:
    return NONE if value is None else f"{value:,.{places}f}{unit}"


def _short(value: float) -> str:
    return f"{value:.8f}".rstrip("0").rstrip(".")


def _negative(value: float | None) -> float | None:
    return None if value is None else 0.0 - value
