"""Consecutive depth messages and trades of a source that numbers nothing, as columns."""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class MessageBatch:
    """A batch whose times do not step back and whose prices and quantities are on the known grid.

    Attributes:
        columns: ``mm.markets._levels.MessageColumns``; its attribute *at* tells how many were taken.
    """

    columns: Any
    us: Any
    trade_at: Any
    update_id: int
    trade_id: int
