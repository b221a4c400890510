"""The terminal view of a shadow or a trader: one screen of text from the metrics, redrawn every second.

`view` is a pure function of the metrics that a dashboard shows too.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from mm.clock import US_PER_S, iso
from mm.instrument import E8, decimal_text
from mm.live.pages.contract_metrics import ContractMetrics
from mm.live.pages.trading_metrics import SIDES, TradingMetrics

REDRAW_S = 1.0
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_CLEAR, _HIDE, _SHOW = "\x1b[2J", "\x1b[?25l", "\x1b[?25h"
_BAR = 20
_SMALL_E8 = 250_000
_NONE = "–"
_USUAL = os.terminal_size((80, 40))


def view(found: TradingMetrics, at_us: int, size: os.terminal_size = _USUAL) -> str:
    why = found.why_not_ready
    state = "KILLED" if found.killed else f"not quoting: {why}" if why else "quoting"
    lines = [
        f"{found.symbol}  {iso(at_us)}  {state}",
        "",
        *_market(found, at_us),
        *_money(found),
        *(_contract(found.contract) if found.contract else []),
        *_orders(found),
        *_risk(found),
    ]
    most = max(size.lines - 1, 1)
    if len(lines) > most:
        lines = [line for line in lines if line][:most]
    return "\n".join(line[: size.columns].rstrip() for line in lines)


async def watch(draw: Callable[[], str], write: Callable[[str], object], interval_s: float = REDRAW_S) -> None:
    write(_CLEAR + _HIDE)
    try:
        while True:
            write(frame(draw()))
            await asyncio.sleep(interval_s)
    finally:
        write(f"{frame(draw())}{_SHOW}\n")


def frame(text: str) -> str:
    return _HOME + "".join(f"{line}{_CLEAR_LINE}\r\n" for line in text.split("\n")) + _CLEAR_BELOW


def _market(found: TradingMetrics, at_us: int) -> list[str]:
    age_s = None if found.book_us is None else max(0, at_us - found.book_us) / US_PER_S
    quotes = [
        f"{name} {found.distances[side]:.1f} ticks" if side in found.distances else f"{name} {_NONE}"
        for side, name in SIDES.items()
    ]
    return [
        _row("book", f"{_seconds(age_s)} old", f"gaps {found.gaps:,}", "  ".join(_counts(found.messages))),
        _row("quotes", *quotes, f"two-sided {_seconds(found.two_sided_s(at_us))}"),
    ]


def _money(found: TradingMetrics) -> list[str]:
    parts = {part: -e8 if part == "fees" else e8 for part, e8 in found.known_pnl_e8().items()}  # the parts add up
    legs_e8 = found.pnl_all_legs_e8() if found.legs else None
    unvalued = [f"{_amount(paid)} {asset}" for asset, paid in sorted(found.unvalued_e8.items())]
    equity_e8 = None if found.unvalued_e8 else found.equity_e8
    return [
        _row("position", _amount(found.position_e8), f"equity {_amount(equity_e8)}"),
        _row("pnl", *(f"{part} {text}" for part, text in zip(parts, _quotes(list(parts.values())), strict=True))),
        *([_row("all legs", f"total {_quotes([legs_e8])[0]}")] if legs_e8 is not None else []),
        *([_row("", f"before fees of {', '.join(unvalued)}, whose value is not known")] if unvalued else []),
    ]


def _quotes(amounts_e8: Sequence[int]) -> list[str]:
    places = 8 if 0 < max(map(abs, amounts_e8), default=0) < _SMALL_E8 else 4
    return [f"{value_e8 / E8:+,.{places}f}" for value_e8 in amounts_e8]


def _contract(contract: ContractMetrics) -> list[str]:
    position, margin, ratio = contract.position, contract.margin, contract.ratio
    lines = [_row("funding", _amount(contract.paid_e8))]
    if position is not None and position.qty_e8:
        liquidation = _amount(position.liquidation_e8 or None)
        prices = {"entry": _amount(position.entry_e8), "mark": _amount(position.mark_e8), "liquidation": liquidation}
        lines.append(_row("contract", *(f"{name} {price}" for name, price in prices.items())))
    if margin is not None and ratio is not None:
        amounts = (f"ratio {ratio:.2%}", f"maintenance {_amount(margin.maintenance_e8)}")
        lines.append(_row("margin", *amounts, f"equity {_amount(margin.equity_e8)}"))
    return lines


def _orders(found: TradingMetrics) -> list[str]:
    fills = {name: found.fills[side] for side, name in SIDES.items()}
    times = [
        _row(name, *(f"p{100 * share:.0f} {_seconds(counts.quantile(share))}" for share in (0.5, 0.99)))
        for name, counts in (("ack", found.ack), ("ack to fill", found.ack_fill))
    ]
    return [
        "",
        _row("orders", *_counts(found.orders)),
        _row("fills", *_counts(fills)),
        _row("rejects", *(_counts(dict(sorted(found.rejects.items()))) or ["none"])),
        *times,
    ]


def _risk(found: TradingMetrics) -> list[str]:
    widest = max(map(len, found.used), default=0)
    lines = [f"{limit:<{widest}}  {_bar(share)} {share:>6.1%}" for limit, share in sorted(found.used.items())]
    state = (
        [_row("state", f"{found.writer[0]:,} rows wait", f"{_seconds(found.writer[1])} behind")] if found.writer else []
    )
    return ["", *lines, *([""] if lines and state else []), *state]


def _row(name: str, *cells: str) -> str:
    return f"{name:<12}{'   '.join(cell for cell in cells if cell)}"


def _counts(counts: Mapping[str, int]) -> list[str]:
    return [f"{name} {count:,}" for name, count in counts.items()]


def _bar(share: float) -> str:
    filled = min(_BAR, max(0, int(share * _BAR)))
    return "#" * filled + "." * (_BAR - filled)


def _amount(value_e8: int | None) -> str:
    return _NONE if value_e8 is None else f"{Decimal(decimal_text(value_e8)):,}"


def _seconds(value: float | None) -> str:
    if value is None:
        return _NONE
    return f"{value * 1_000:.1f} ms" if value < 1 else f"{value:,.1f} s"
