"""Market data for the metrics and the state store of a shadow or a trader."""

from typing import TYPE_CHECKING

from mm.market_data.market_events import BookLost, DepthArrived, MarketEvent, TradeArrived, TradeVerdict

if TYPE_CHECKING:
    from mm.live.metrics import TradingMetrics
    from mm.live.state import StateWriter
    from mm.market_data.local_orderbook import LocalOrderBook

TOP_LEVELS = 20


class MarketWatch:
    """A subscriber of a market that keeps its latest book and counts messages.

    Args:
        metrics: Metrics to update.
        writer: The state store, which receives each trade; None for none.
    """

    def __init__(self, metrics: "TradingMetrics", writer: "StateWriter | None" = None) -> None:
        self._metrics, self._writer = metrics, writer
        self._book: LocalOrderBook | None = None  # as of the last event; None without a valid one
        self._last_id = self._book_us = self._gaps = 0
        self._messages = {"depth": 0, "trade": 0}

    def __call__(self, event: MarketEvent) -> None:
        """Handle an event of the market."""
        if isinstance(event, DepthArrived):
            self._messages["depth"] += 1
            if event.book is not None:
                self._book, self._last_id, self._book_us = event.book, event.update.u, event.recv_us
        elif isinstance(event, TradeArrived):
            self._messages["trade"] += 1
            if self._writer and event.verdict is not TradeVerdict.LATE:
                trade = event.trade
                self._writer.tick(event.recv_us, price=trade.p, qty=trade.q, side="SELL" if trade.m else "BUY")
        elif isinstance(event, BookLost):
            self._book, self._gaps = None, self._gaps + 1

    def show(self) -> None:
        """Update the metrics."""
        self._metrics.market(self._gaps, self._messages)
        if self._book is not None:
            self._metrics.book_updated(self._book_us)

    def store(self, us: int) -> None:
        """Pass the best levels at an instant to the state store."""
        if self._writer and self._book is not None:
            self._writer.book(*self._book.top(TOP_LEVELS), us, self._last_id)
