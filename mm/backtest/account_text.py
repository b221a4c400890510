"""The summary of an account of several symbols, in lines for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from mm.backtest.metrics.numbers import Summary
from mm.backtest.metrics.summary_number import given
from mm.base.numbers import duration, number, percent, short, signed

HEAD = ("", "PnL of the quoting", "spread", "inventory", "fees", "fills", "volume", "max drawdown")
OF_SUM = "sum"
IN_NUMERAIRE = "numeraire"  # key of a symbol's money in it, if that is not its quote asset


def account_rows(summary: Summary) -> list[list[Any]]:
    symbols = given(summary.symbols) or {}
    named = {symbol: Summary.read({**one, **one.get(IN_NUMERAIRE, {})}) for symbol, one in symbols.items()}
    named[OF_SUM] = summary
    return [
        [
            *(name, one.pnl_quoting, one.pnl_spread_capture, one.pnl_inventory, one.fees, one.n_fills),
            *((one.volume or {}).get("quote"), one.max_drawdown),
        ]
        for name, one in named.items()
    ]


def account_text(content: Mapping[str, Any]) -> str:
    summary = Summary.read(content)
    quote, models = summary.quote_asset, summary.models
    head = f"{summary.symbol} {', '.join(summary.days)}, one account in {quote}: "
    ended = [f"LIQUIDATED {given(summary.liquidated_at)}"] if given(summary.liquidated_at) else []
    lines = [*ended, head + f"{models['quote']} quotes, {models['fill']} fills"]
    rows = [list(HEAD)]
    for name, quoting, spread, inventory, fees, fills, volume, fall in account_rows(summary):
        money = [signed(quoting), signed(spread), signed(inventory), number(fees)]
        rows.append([name, *money, "–" if fills is None else f"{fills:,}", number(volume), number(fall)])
    lines += _table(rows)
    lines += [
        f"  {text}"
        for text in (numeraire_text(summary), held_text(summary), margin_text(summary), diversification_text(summary))
        if text
    ]
    lines.append(f"  covered {duration(summary.seconds_covered)}")
    return "\n".join([*lines, *(f"  ! {line}" for line in summary.warnings)])


def numeraire_text(summary: Summary) -> str:
    by = (given(summary.numeraire) or {}).get("by", {})
    converted = [f"{symbol} at the mids of {pair}" for symbol, pair in by.items()]
    return f"in {summary.quote_asset}: {', '.join(converted)}" if by else ""


def held_text(summary: Summary) -> str:
    held = [f"{ends['start']} to {ends['end']} {asset}" for asset, ends in (given(summary.balances) or {}).items()]
    return f"balances: {', '.join(held)}"


def margin_text(summary: Summary) -> str:
    margin = given(summary.margin)
    if not margin:
        return ""
    used = "used up" if margin["ratio_max"] is None else f"at most {percent(margin['ratio_max'])} used"
    return f"margin of the cross positions: {used}, maintenance at most {number(margin['maintenance_max'])}"


def diversification_text(summary: Summary) -> str:
    gave = given(summary.diversification)
    if not gave or gave["std_60s_share"] is None:
        return ""
    deviation, fall = short(float(f"{gave['std_60s']['sum']:.4g}")), gave["max_drawdown_share"]
    text = (
        f"diversification: the PnL of a minute deviates by {deviation} {summary.quote_asset}, "
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
