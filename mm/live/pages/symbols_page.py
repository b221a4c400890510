"""The page of a shadow or a trade: metrics and health of its symbols and their account."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mm.clock import now_us
from mm.live.pages.trading_metrics import TradingMetrics
from mm.live.pages.watch import view, watch
from mm.market_data.metrics import MetricFamily, MetricSample, exposition, metrics_served

if TYPE_CHECKING:
    from mm.base.doors import Door
    from mm.live.account.limits import TradedAccount


class SymbolsPage:
    def __init__(
        self, symbols: Sequence[TradingMetrics], account: "TradedAccount | None" = None, door: "Door | None" = None
    ) -> None:
        self._symbols, self._account, self._door = symbols, account, door

    def page(self) -> str:
        filled: dict[MetricFamily, list[MetricSample]] = {}
        for symbol in self._symbols:
            for family, samples in symbol.filled():
                named = ((suffix, {"symbol": symbol.symbol, **labels}, value) for suffix, labels, value in samples)
                filled.setdefault(family, []).extend(named)
        return exposition("", [*filled.items(), *(self._account.filled() if self._account else [])])

    def why_not_ready(self) -> str:
        if len(self._symbols) == 1:
            return str(self._symbols[0].health()["why"])
        found = {symbol.symbol: symbol.health()["why"] for symbol in self._symbols}
        return "; ".join(f"{symbol}: {why}" for symbol, why in found.items() if why)

    def health(self) -> dict[str, object]:
        account = {"account": self._account.shown()} if self._account else {}
        if len(self._symbols) == 1:
            return self._symbols[0].health() | account
        why = self.why_not_ready()
        return {
            "ready": not why,
            "why": why,
            **account,
            "symbols": {symbol.symbol: symbol.health() for symbol in self._symbols},
        }

    def view(self, size: os.terminal_size) -> str:
        account = self._account.shown() if self._account and len(self._symbols) > 1 else {}
        lines = size.lines // len(self._symbols) - len(account)
        part = os.terminal_size((size.columns, max(lines, 2)))
        screens = [view(symbol, now_us(), part) for symbol in self._symbols]
        return "\n".join([*screens, *(f"{name}  {text}" for name, text in account.items())])

    @asynccontextmanager
    async def shown(self, host: str, port: int) -> AsyncIterator[None]:
        """Serve as :meth:`served`, and draw on the terminal, until the block ends."""

        def draw() -> str:
            return self.view(shutil.get_terminal_size())

        def write(text: str) -> None:
            sys.stdout.write(text)
            sys.stdout.flush()

        async with self.served(host, port):
            drawing = asyncio.create_task(watch(draw, write))
            try:
                yield
            finally:
                drawing.cancel()
                await asyncio.gather(drawing, return_exceptions=True)

    @asynccontextmanager
    async def served(self, host: str, port: int) -> AsyncIterator[int]:
        """``/metrics``, ``/health``, ``/health/live`` and ``/health/ready``, until the block ends; yield the port."""
        if not port:
            yield 0
            return
        async with metrics_served(host, port, self.page, self.why_not_ready, self.health, self._door) as bound:
            yield bound
