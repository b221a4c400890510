"""A backtest in words, for the terminal."""

from collections.abc import Mapping
from typing import Any

NONE = "–"


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
        ("Sharpe, drawdown", f"{_number(summary['sharpe'], 2)}, {_number(summary['max_drawdown'], 4)}"),
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
    notes = [warning for warning in summary["warnings"] if not warning.startswith("null: ")]
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def _number(value: float | None, places: int) -> str:
    return NONE if value is None else f"{value:,.{places}f}"


def _short(value: float) -> str:
    return f"{value:.8f}".rstrip("0").rstrip(".")


def _negative(value: float | None) -> float | None:
    return None if value is None else 0.0 - value
