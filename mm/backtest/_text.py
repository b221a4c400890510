"""A run in a few lines."""

from collections.abc import Mapping
from typing import Any

from mm.page.numbers import lasting, number, percent, signed

NULL = "null: "  # how a warning begins that only explains nulls


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
