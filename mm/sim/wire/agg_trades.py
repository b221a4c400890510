"""Aggregate trades: what one taker order traded at one price, under an id of their own.

They are counted over the exchange's whole life, so everybody who has seen all its rows gives them the same ids.
"""

from collections.abc import Iterable
from typing import NamedTuple

from mm.sim.matching.order_log import ROW_TRADE, Row


class AggTrade(NamedTuple):
    """One aggregate trade: its id, the taker's side (+1 buy), price, quantity, first and last trade id, instant."""

    id: int
    side: int
    ticks: int
    lots: int
    first_id: int
    last_id: int
    us: int


class AggTrades:
    """Joins the trades of one taker order at one price; no trade of another order comes between them.

    Attributes:
        last_id: Id of the last aggregate trade that was opened; the next one has one more.
    """

    def __init__(self, last_id: int = 0) -> None:
        self.last_id = last_id
        self._open: AggTrade | None = None
        self._order_id = 0

    def trade(self, row: Row) -> AggTrade | None:
        """Take a TRADE row, and return the aggregate trade that it ends: that of another order or another price."""
        us, _, order_id, _, _, side, ticks, lots, trade_id, _ = row
        joined = self._open
        if joined and order_id == self._order_id and ticks == joined.ticks:
            self._open = joined._replace(lots=joined.lots + lots, last_id=trade_id)
            return None
        self.last_id += 1
        self._order_id = order_id
        self._open = AggTrade(self.last_id, side, ticks, lots, trade_id, trade_id, us)
        return joined

    def close(self) -> AggTrade | None:
        """Return the aggregate trade that stands open, if one does: its order trades no more."""
        joined, self._open = self._open, None
        return joined

    def of(self, rows: Iterable[Row]) -> list[AggTrade]:
        """Return the aggregate trades of *rows*, which end with an order's last row, as every drained log does."""
        ended = [self.trade(row) for row in rows if row[1] == ROW_TRADE]
        return [joined for joined in (*ended, self.close()) if joined]
