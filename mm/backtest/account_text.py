"""The summary of an account of several symbols, in lines for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from mm.base.numbers import duration, number, percent, short, signed

HEAD = ("", "PnL of the quoting", "spread", "inventory", "fees", "fills", "volume", "max drawdown")
OF_SUM = "sum"


def account_rows(summary: Mapping[str, Any]) -> list[list[Any]]:
    named = {**summary["symbols"], OF_SUM: summary}
    keys = ("pnl_quoting", "pnl_spread_capture", "pnl_inventory", "fees", "n_fills")
    return [
        [name, *(one.get(key) for key in keys), (one["volume"] or {}).get("quote"), one.get("max_drawdown")]
        for name, one in named.items()
    ]


def account_text(summary: Mapping[str, Any]) -> str:
    quote, models = summary["quote_asset"], summary["models"]
    head = f"{summary['symbol']} {', '.join(summary['days'])}, one account in {quote}: "
    ended = [f"LIQUIDATED {summary['liquidated_at']}"] if summary.get("liquidated_at") else []
    lines = [*ended, head + f"{models['quote']} quotes, {models['fill']} fills"]
    rows = [list(HEAD)]
    for name, quoting, spread, inventory, fees, fills, volume, fall in account_rows(summary):
        money = [signed(quoting), signed(spread), signed(inventory), number(fees)]
        rows.append([name, *money, "–" if fills is None else f"{fills:,}", number(volume), number(fall)])
    lines += _table(rows)
    lines += [f"  {text}" for text in (held_text(summary), margin_text(summary), diversification_text(summary)) if text]
    lines.append(f"  covered {duration(summary['seconds_covered'])}")
    return "\n".join([*lines, *(f"  ! {line}" for line in summary["warnings"])])


def held_text(summary: Mapping[str, Any]) -> str:
    held = [f"{ends['start']} to {ends['end']} {asset}" for asset, ends in summary["balances"].items()]
    return f"balances: {', '.join(held)}"


def margin_text(summary: Mapping[str, Any]) -> str:
    margin = summary.get("margin")
    if not margin:
        return ""
    used = "used up" if margin["ratio_max"] is None else f"at most {percent(margin['ratio_max'])} used"
    return f"margin of the cross positions: {used}, maintenance at most {number(margin['maintenance_max'])}"


def diversification_text(summary: Mapping[str, Any]) -> str:
    gave = summary["diversification"]
    if not gave or gave["std_60s_share"] is None:
        return ""
    deviation, fall = short(float(f"{gave['std_60s']['sum']:.4g}")), gave["max_drawdown_share"]
    text = (
        f"diversification: the PnL of a minute deviates by {deviation} {summary['quote_asset']}, "
        f"{percent(gave['std_60s_share'])} of the sum of the symbols' deviations"
    )
    return text if fall is None else f"{text}; the largest drawdown is {percent(fall)} of the sum of theirs"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
