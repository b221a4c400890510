"""What others see of a shadow: the metrics of a trader, and the state store, filled from the paper exchange."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mm.clock import now_us
from mm.instrument import E8, decimal_text
from mm.live.ledger import AccountFill, Ledger
from mm.live.metrics import TradingMetrics
from mm.live.watch import shown
from mm.market_data.market_events import BookLost, DepthArrived, MarketEvent, TradeArrived, TradeVerdict

if TYPE_CHECKING:
    from mm.live.shadow import PaperPlay
    from mm.live.state import StateWriter
    from mm.market_data.local_orderbook import LocalOrderBook

REFRESH_S, WRITER_S = 0.25, 2.0
TOP_LEVELS = 20


class ShadowDesk:
    """Follows a shadow; `watch` takes the events of its market, `shown` keeps what is shown up to date.

    Args:
        play: The strategy on the paper exchange.
        writer: The state store; None writes none.
        clock: Returns the instant, in µs.

    Attributes:
        metrics: What Prometheus reads.
    """

    def __init__(
        self, play: "PaperPlay", writer: "StateWriter | None" = None, clock: Callable[[], int] = now_us
    ) -> None:
        self.metrics = TradingMetrics(play.grid.symbol, clock)
        self._play, self._writer, self._clock = play, writer, clock
        held_e8 = play.rules.start_lots * play.grid.lot_e8
        self._ledger = Ledger(play.grid, position_e8=held_e8)
        self._book: LocalOrderBook | None = None
        self._book_us = self._last_id = self._gaps = self._fills = self._sent = 0
        self._messages = {"depth": 0, "trade": 0}

    def watch(self, event: MarketEvent) -> None:
        """Take an event of the market."""
        if isinstance(event, DepthArrived):
            self._messages["depth"] += 1
            if event.book is not None:
                self._book, self._book_us, self._last_id = event.book, event.recv_us, event.update.u
        elif isinstance(event, TradeArrived):
            self._messages["trade"] += 1
            if self._writer and event.verdict is not TradeVerdict.LATE:
                trade = event.trade
                self._writer.tick(event.recv_us, price=trade.p, qty=trade.q, side="SELL" if trade.m else "BUY")
        elif isinstance(event, BookLost):
            self._book, self._gaps = None, self._gaps + 1

    @asynccontextmanager
    async def shown(self, host: str, port: int, *, watched: bool) -> AsyncIterator[None]:
        """Keep metrics on *host* and *port* up to date until the block ends, and draw them if *watched*."""
        keeping = asyncio.create_task(self._keep())
        try:
            async with shown(self.metrics, host, port, watched=watched):
                yield
        finally:
            keeping.cancel()
            self.refresh(self._clock())
            if self._writer:
                await asyncio.to_thread(self._writer.close, WRITER_S)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            self.refresh(self._clock())

    def refresh(self, us: int) -> None:
        """Bring metrics and state store up to date."""
        exchange, grid, metrics = self._play.exchange, self._play.grid, self.metrics
        bid, ask = exchange.best
        mid2 = bid + ask if bid and ask else 0
        self._take_fills()
        while self._sent < exchange.orders_sent:
            self._sent += 1
            metrics.order("place")
        metrics.market(self._gaps, self._messages)
        metrics.position(self._ledger.position_e8)
        metrics.quotes(us, *((abs(mid2 / 2 - ticks) if ticks and mid2 else None) for ticks in exchange.quoted))
        metrics.killed(exchange.killed_for is not None)
        metrics.why_not_ready = "" if mid2 else "no valid book"
        for limit, share in exchange.limits_used.items():
            metrics.risk_used(limit, share)
        if self._writer:
            metrics.state_writer(self._writer.queue, self._writer.lag_s)
        if self._book is not None:
            metrics.book_updated(self._book_us)
        if mid2:
            self._show_money(us, mid2 * grid.tick_e8 // 2)

    def _take_fills(self) -> None:
        """Count the fills that are new since the last look, and book them."""
        grid, rate_e8 = self._play.grid, self._play.rules.maker_fee_e8
        for us, order_id, side, ticks, lots in self._play.exchange.fills_from(self._fills):
            self._fills += 1
            notional_e16 = ticks * grid.tick_e8 * lots * grid.lot_e8
            fee = decimal_text(notional_e16 * rate_e8 // E8 // E8)
            price, qty = decimal_text(ticks * grid.tick_e8), decimal_text(lots * grid.lot_e8)
            fill = AccountFill(self._fills, order_id, "", side, price, qty, fee, grid.quote_asset, us, maker=True)
            self._ledger.book(fill)
            self.metrics.fill(side)

    def _show_money(self, us: int, mid_e8: int) -> None:
        """Show PnL and equity at a mid, and give the state store what it keeps of a run without an audit log."""
        found = self._ledger.pnl_e8(mid_e8)
        parts = {"realized": found.realized, "unrealized": found.unrealized, "fees": found.fees, "total": found.total}
        self.metrics.pnl(**parts)
        held_e8 = self._ledger.position_e8 * mid_e8 // E8
        self.metrics.equity(self._play.rules.start_cash_e8 + self._ledger.cash_e8 + held_e8)
        if self._writer is None:
            return
        if self._book is not None:
            self._writer.book(*self._book.top(TOP_LEVELS), us, self._last_id)
        position = decimal_text(self._ledger.position_e8)
        self._writer.position(us, position)
        self._writer.pnl(us, **{name: decimal_text(value) for name, value in parts.items()})
        self._writer.model(
            us,
            mid=decimal_text(mid_e8),
            inventory=position,
            target=decimal_text(self._play.rules.target * self._play.grid.lot_e8),
            quoted_ticks=list(self._play.exchange.quoted),
        )
