"""The public view of a shadow: the metrics of a trader, and the state store, filled from the paper exchange."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mm.backtest.journal import REJECT_REASONS
from mm.clock import now_us
from mm.instrument import E8, decimal_text
from mm.live.ledger import AccountFill, Ledger
from mm.live.market_watch import MarketWatch
from mm.live.metrics import TradingMetrics
from mm.live.trade_desk import BreachWarnings, ThrottledWarnings
from mm.live.watch import serving

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.live.shadow import PaperPlay
    from mm.live.state import StateWriter

REFRESH_S, WRITER_S = 0.25, 2.0
REQUESTS = {"place": "PLACE", "cancel": "CANCEL_REQ", "amend": "AMEND"}  # requests, and their rows in the journal


class ShadowDesk:
    """Follows a shadow; `serving` keeps its metrics up to date.

    Args:
        play: The strategy on the paper exchange.
        log: Logs breaches, and the end of all trading.
        writer: The state store; None for none.
        clock: Returns the instant, in µs.

    Attributes:
        metrics: The metrics for Prometheus.
        market: Subscriber of market events.
    """

    def __init__(
        self,
        play: "PaperPlay",
        log: "Logger",
        writer: "StateWriter | None" = None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self.metrics = TradingMetrics(play.grid.symbol, clock)
        self._play, self._writer, self._clock = play, writer, clock
        held_e8 = play.rules.start_lots * play.grid.lot_e8
        self._ledger = Ledger(play.grid, position_e8=held_e8)
        self.market = MarketWatch(self.metrics, writer)
        self._breaches = BreachWarnings(play.exchange, ThrottledWarnings(log))
        self._log, self._fills, self._counted, self._killed = log, 0, Counter[str](), False

    @asynccontextmanager
    async def serving(self, host: str, port: int, *, watched: bool) -> AsyncIterator[None]:
        """Serve current metrics on *host* and *port* until the block ends, and draw them if *watched*."""
        keeping = asyncio.create_task(self._keep())
        try:
            async with serving(self.metrics, host, port, watched=watched):
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
        """Update metrics and state store."""
        exchange, grid, metrics = self._play.exchange, self._play.grid, self.metrics
        bid, ask, *_ = exchange.best
        mid2 = bid + ask if bid and ask else 0
        self._take_fills()
        self._count_requests()
        self.market.show()
        self._breaches.warned(us)
        self._show_kill()
        metrics.position(self._ledger.position_e8)
        metrics.quotes(us, *((abs(mid2 / 2 - ticks) if ticks and mid2 else None) for ticks in exchange.quoted))
        metrics.why_not_ready = "" if mid2 else "no valid book"
        for limit, share in exchange.limits_used.items():
            metrics.risk_used(limit, share)
        if self._writer:
            metrics.state_writer(self._writer.queue, self._writer.lag_s)
        if mid2:
            self._show_money(us, mid2 * grid.tick_e8 // 2)

    def _show_kill(self) -> None:
        """Show whether all trading has ended, and log it once."""
        killed = self._play.exchange.killed
        self.metrics.killed(killed is not None)
        if killed is not None and not self._killed:
            self._killed = True
            self._log.warning("killed", reason=killed[1], note="quoting has stopped; the recording continues")

    def _take_fills(self) -> None:
        """Count and book the fills since the last call."""
        grid, rate_e8 = self._play.grid, self._play.rules.maker_fee_e8
        for us, order_id, side, ticks, lots in self._play.exchange.fills_from(self._fills):
            self._fills += 1
            notional_e16 = ticks * grid.tick_e8 * lots * grid.lot_e8
            fee = decimal_text(notional_e16 * rate_e8 // E8 // E8)
            price, qty = decimal_text(ticks * grid.tick_e8), decimal_text(lots * grid.lot_e8)
            fill = AccountFill(self._fills, order_id, "", side, price, qty, fee, grid.quote_asset, us, maker=True)
            self._ledger.book(fill)
            self.metrics.fill(side)

    def _count_requests(self) -> None:
        """Count the requests and the rejections since the last call."""
        exchange, metrics = self._play.exchange, self.metrics
        now = Counter({name: exchange.order_rows(action) for name, action in REQUESTS.items()})
        now |= Counter({reason: exchange.order_rows("REJECT", reason) for reason in REJECT_REASONS if reason})
        for name in (now - self._counted).elements():
            if name in REQUESTS:
                metrics.order(name)
            else:
                metrics.reject(name)
        self._counted |= now

    def _show_money(self, us: int, mid_e8: int) -> None:
        """Show PnL and equity at a mid, and pass the state store the data of a run without an audit log."""
        found = self._ledger.pnl_e8(mid_e8)
        parts = {"realized": found.realized, "unrealized": found.unrealized, "fees": found.fees, "total": found.total}
        self.metrics.pnl(**parts)
        held_e8 = self._ledger.position_e8 * mid_e8 // E8
        self.metrics.equity(self._play.rules.start_cash_e8 + self._ledger.cash_e8 + held_e8)
        if self._writer is None:
            return
        self.market.store(us)
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
