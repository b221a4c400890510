"""Numbers as people read them, and a run in a few lines."""

import math
from collections.abc import Mapping
from typing import Any

NULL = "null: "  # how a warning begins that only explains nulls


def number(value: float | None, digits: int = 4) -> str:
    """Return *value* with at most so many digits that count, thousands parted; a dash for None."""
    if value is None or math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -6:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    text = f"{value:,.{max(0, digits - 1 - size)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def signed(value: float | None, digits: int = 4) -> str:
    """Return *value* with its sign in front, also where it is positive."""
    text = number(value, digits)
    return f"+{text}" if value is not None and value > 0 else text


def short(value: float) -> str:
    """Return *value* as an axis or a knob says it, with all its digits up to ten."""
    return f"{value:,.10g}".replace("-", "−")


def percent(share: float | None) -> str:
    """Return a *share* of one in percent."""
    return "–" if share is None else f"{number(100 * share, 3)} %"


def lasting(seconds: float | None) -> str:
    """Return a duration in its two largest units."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


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
