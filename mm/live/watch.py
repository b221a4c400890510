"""The terminal view of a shadow or a trader: one screen of text from the metrics, redrawn every second.

`view` is a pure function of a page of metrics, so that the screen and the dashboard never differ.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from mm.clock import iso
from mm.live import metrics
from mm.market_data.metrics import BOOK_AGE, GAPS, MESSAGES, FilledFamily, MetricFamily

if TYPE_CHECKING:
    from mm.live.symbols_page import SymbolsPage

REDRAW_S = 1.0
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_CLEAR, _HIDE, _SHOW = "\x1b[2J", "\x1b[?25l", "\x1b[?25h"
_BAR = 20
_NONE = "–"
_USUAL = os.terminal_size((80, 40))


class Screen:
    """The content of one page of metrics, by family and label.

    Args:
        families: As `TradingMetrics.filled` returns them.
    """

    def __init__(self, families: Iterable[FilledFamily]) -> None:
        self._samples = {family.name: samples for family, samples in families}

    def number(self, family: MetricFamily, **labels: str) -> Decimal | None:
        """Return the value of a family, None if it has no sample with these labels."""
        for _, given, value in self._samples.get(family.name, []):
            if given == labels:
                return Decimal(str(value)) if not isinstance(value, bool) else Decimal(int(value))
        return None

    def by_label(self, family: MetricFamily) -> dict[str, Decimal]:
        """Return the values of a family with one label, by the label's value."""
        return {
            next(iter(given.values())): Decimal(str(value)) for _, given, value in self._samples.get(family.name, [])
        }

    def quantile(self, family: MetricFamily, share: float) -> float | None:
        """Return a quantile of a histogram in s, interpolated as by Prometheus; None if it is empty."""
        found = self._samples.get(family.name, [])
        buckets = [(float(given["le"]), float(value)) for suffix, given, value in found if suffix == "_bucket"]
        if not buckets or not buckets[-1][1]:
            return None
        wanted = share * buckets[-1][1]
        for (below_s, before), (bound_s, count) in pairwise([(0.0, 0.0), *buckets]):
            if count >= wanted:
                if bound_s == float("inf"):
                    return below_s
                return below_s + (bound_s - below_s) * (wanted - before) / (count - before)
        return None


def view(
    symbol: str,
    families: Iterable[FilledFamily],
    at_us: int,
    why_not_ready: str = "",
    size: os.terminal_size = _USUAL,
) -> str:
    """Return the screen, without control characters: lines that fit a terminal, one fewer than its height.

    If there are too many lines, empty ones are dropped first, then those at the end.

    Args:
        symbol: Upper case.
        families: As `TradingMetrics.filled` returns them.
        at_us: The instant, in µs.
        why_not_ready: Why nothing is quoted; empty while quoting.
        size: Columns and lines of the terminal.
    """
    screen = Screen(families)
    killed = screen.number(metrics.KILLED)
    state = "KILLED" if killed else f"not quoting: {why_not_ready}" if why_not_ready else "quoting"
    lines = [
        f"{symbol}  {iso(at_us)}  {state}",
        "",
        *_market(screen),
        *_money(screen),
        *_orders(screen),
        *_risk(screen),
    ]
    most = max(size.lines - 1, 1)
    if len(lines) > most:
        lines = [line for line in lines if line][:most]
    return "\n".join(line[: size.columns].rstrip() for line in lines)


async def watch(draw: Callable[[], str], write: Callable[[str], object], interval_s: float = REDRAW_S) -> None:
    """Redraw the screen until cancelled, and leave the cursor below it.

    Args:
        draw: Returns the screen.
        write: Writes text to the terminal at once.
        interval_s: Redraw interval, in s.
    """
    write(_CLEAR + _HIDE)
    try:
        while True:
            write(frame(draw()))
            await asyncio.sleep(interval_s)
    finally:
        write(f"{frame(draw())}{_SHOW}\n")


@asynccontextmanager
async def serving(page: "SymbolsPage", host: str, port: int, *, watched: bool) -> AsyncIterator[None]:
    """Serve a page on *host* and *port* (0: not at all), and draw them on the terminal if *watched*.

    Raises:
        UsageError: If the address cannot be bound.
    """

    def draw() -> str:
        return page.view(shutil.get_terminal_size())

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    async with page.served(host, port):
        drawing = asyncio.create_task(watch(draw, write)) if watched else None
        try:
            yield
        finally:
            if drawing:
                drawing.cancel()
                await asyncio.gather(drawing, return_exceptions=True)


def frame(text: str) -> str:
    """Return *text* with the control characters that draw it over the previous screen."""
    return _HOME + "".join(f"{line}{_CLEAR_LINE}\r\n" for line in text.split("\n")) + _CLEAR_BELOW


def _market(screen: Screen) -> list[str]:
    messages = screen.by_label(MESSAGES)
    counts = "  ".join(f"{stream} {count:,}" for stream, count in messages.items())
    two_sided = f"two-sided {_seconds(screen.number(metrics.TWO_SIDED))}"
    return [
        _row("book", f"{_seconds(screen.number(BOOK_AGE))} old", f"gaps {_plain(screen.number(GAPS))}", counts),
        _row("quotes", *(_quote(screen, side) for side in metrics.SIDES.values()), two_sided),
    ]


def _quote(screen: Screen, side: str) -> str:
    ticks = screen.number(metrics.DISTANCE, side=side)
    return f"{side} {_NONE if ticks is None else f'{ticks:.1f} ticks'}"


def _money(screen: Screen) -> list[str]:
    pnl = screen.by_label(metrics.PNL)
    signed = {part: -pnl[part] if part == "fees" else pnl[part] for part in metrics.PARTS if part in pnl}  # they add up
    legs = screen.number(metrics.PNL_ALL_LEGS)
    unvalued = [f"{paid:,} {asset}" for asset, paid in screen.by_label(metrics.UNVALUED).items()]
    return [
        _row("position", _plain(screen.number(metrics.POSITION)), f"equity {_plain(screen.number(metrics.EQUITY))}"),
        _row("pnl", *(f"{part} {value:+,.4f}" for part, value in signed.items())),
        *([_row("all legs", f"total {legs:+,.4f}")] if legs is not None else []),
        *([_row("", f"before fees of {', '.join(unvalued)}, whose value is not known")] if unvalued else []),
    ]


def _orders(screen: Screen) -> list[str]:
    rejects = screen.by_label(metrics.REJECTS)
    return [
        "",
        _row("orders", *_counts(screen.by_label(metrics.ORDERS))),
        _row("fills", *_counts(screen.by_label(metrics.FILLS))),
        _row("rejects", *(_counts(rejects) or ["none"])),
        _row("ack", *_quantiles(screen, metrics.ACK)),
        _row("ack to fill", *_quantiles(screen, metrics.ACK_FILL)),
    ]


def _risk(screen: Screen) -> list[str]:
    used = screen.by_label(metrics.RISK_USED)
    queue, lag = screen.number(metrics.WRITER_QUEUE), screen.number(metrics.WRITER_LAG)
    widest = max(map(len, used), default=0)
    lines = [f"{limit:<{widest}}  {_bar(share)} {share:>6.1%}" for limit, share in used.items()]
    state = [] if queue is None else [_row("state", f"{queue:,} rows wait", f"{_seconds(lag)} behind")]
    return ["", *lines, *([""] if lines and state else []), *state]


def _row(name: str, *cells: str) -> str:
    return f"{name:<12}{'   '.join(cell for cell in cells if cell)}"


def _counts(counts: Mapping[str, Decimal]) -> list[str]:
    return [f"{name} {count:,}" for name, count in counts.items()]


def _quantiles(screen: Screen, family: MetricFamily) -> list[str]:
    return [f"{name} {_seconds(screen.quantile(family, share))}" for name, share in (("p50", 0.5), ("p99", 0.99))]


def _bar(share: Decimal) -> str:
    filled = min(_BAR, max(0, int(share * _BAR)))
    return "#" * filled + "." * (_BAR - filled)


def _plain(value: Decimal | None) -> str:
    return _NONE if value is None else f"{value:,}"


def _seconds(value: Decimal | float | None) -> str:
    if value is None:
        return _NONE
    return f"{float(value) * 1_000:.1f} ms" if value < 1 else f"{float(value):,.1f} s"
