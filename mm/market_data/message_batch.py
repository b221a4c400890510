"""Consecutive depth messages and trades of a source that numbers nothing, as columns.

A consumer takes as many of them as lead to nothing but rows and a changed book, and gets the others one by one.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class MessageBatch:
    """A batch: its times do not step back, and its prices and quantities are on the grid as it is known.

    Attributes:
        columns: ``mm.market_data._levels.MessageColumns``; its attribute *at* tells how many were taken.
        us: Arrival of each message, int64, in µs.
        trade_at: Indices of the trades.
        update_id, trade_id: Ids of the first depth message and of the first trade.
    """

    columns: Any
    us: Any
    trade_at: Any
    update_id: int
    trade_id: int
