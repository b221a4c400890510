"""The aggregate trades that REST still knows."""

from bisect import bisect_left

from mm.sim.matching.order_log import Row
from mm.sim.wire.agg_trades import AggTrade, AggTrades
from mm.sim.wire.spans import Span, within

_KEEP = 200_000


class AggHistory:
    """The latest aggregate trades; it must see all rows of an exchange, from its first trade on.

    Args:
        keep: Aggregate trades that are kept at least; the oldest are forgotten.
    """

    def __init__(self, keep: int = _KEEP) -> None:
        self._keep = keep
        self._joining = AggTrades()
        self._trades: list[AggTrade] = []

    def take(self, rows: list[Row]) -> None:
        """Take the next rows of the log."""
        self._trades += self._joining.of(rows)
        if len(self._trades) > 2 * self._keep:
            del self._trades[: -self._keep]

    def since_id(self, agg_id: int, limit: int) -> list[AggTrade]:
        """Return up to *limit* aggregate trades from *agg_id* on, oldest first."""
        start = bisect_left(self._trades, agg_id, key=lambda trade: trade.id)
        return self._trades[start : start + limit]

    def within(self, span: Span, limit: int) -> list[AggTrade]:
        """Return up to *limit* aggregate trades of a stretch of time, oldest first."""
        return within(self._trades, span, limit, lambda trade: trade.us)
