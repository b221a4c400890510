"""An order of ours, and what an exchange tells of it."""

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from mm.instrument import e8

AHEAD_MS = 1_000
"""How far the timestamp of a request may be ahead of the exchange's clock."""
_MARGIN_MS = 500


class OrderState(Enum):
    """The state of an order; the last four are final."""

    PENDING_NEW = "PENDING_NEW"
    """Its intent is written; no response yet."""
    LIVE = "LIVE"
    PENDING_AMEND = "PENDING_AMEND"
    """It is open, with the terms before or after an amendment."""
    PENDING_CANCEL = "PENDING_CANCEL"
    PENDING_REPLACE = "PENDING_REPLACE"
    UNKNOWN = "UNKNOWN"
    """A request had no response, or an inconclusive one: the exchange is queried."""
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


RESTING = frozenset((OrderState.LIVE, OrderState.PENDING_AMEND))
"""States in which an order is known to be open and no cancel is in flight."""
ENDS = frozenset((OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED))


class Doubt(Enum):
    """Which request of an order has an unknown outcome."""

    NONE = ""
    PLACE = "place"
    CANCEL = "cancel"


@dataclass(slots=True, eq=False)
class LiveOrder:
    """One of our orders.

    Attributes:
        order_id: The caller's number; `EARLIER` for an order without a caller.
        sent_ms: Timestamp of the request that placed it; 0 before it is sent, and for an earlier run.
        judged: The request arrived and was refused for its timestamp: it cannot arrive later.
        ending: The final state reported by the exchange; it is applied when the fills are complete.
        amend_wanted: Quantity to which to amend it once it is known to be open; empty for none.
        amend_price: New price of an amendment in flight; empty if it stays.
        moved_us: Since when it has its price, by the exchange's clock, in µs; 0 for the price that it was placed at.
        exchange_us: Since when it has been as last reported, by the exchange's clock, in µs; 0 if unknown.
    """

    order_id: int
    client_id: str
    side: int
    price: str
    qty: str
    kind: str
    sent_ms: int = 0
    window_ms: int = 0
    judged: bool = False
    state: OrderState = OrderState.PENDING_NEW
    exchange_id: int = 0
    executed_e8: int = 0
    booked_e8: int = 0
    trade_ids: set[int] = field(default_factory=set)
    ending: OrderState | None = None
    doubt: Doubt = Doubt.NONE
    cancel_wanted: bool = False
    cancelling: bool = False
    presumed: bool = False
    counts_after: int = -1
    cancels: int = 0
    amend_wanted: str = ""
    amend_qty: str = ""
    amend_price: str = ""
    amends: int = 0
    moved_us: int = 0
    amend_until_ms: int = 0
    amend_doubt: bool = False
    leaving: bool = False
    replaces: "LiveOrder | None" = None
    cancel_sent_s: float = 0.0
    asked: bool = False
    fetching: bool = False
    reduces: bool = False
    us: int = 0
    exchange_us: int = 0

    @property
    def ended(self) -> bool:
        return self.state in ENDS

    @property
    def qty_e8(self) -> int:
        return e8(self.qty)

    @property
    def most_e8(self) -> int:
        return max(self.qty_e8, e8(self.amend_qty)) if self.amend_qty else self.qty_e8

    def proves_absence(self, query_ms: int) -> bool:
        """Return whether a query at *query_ms* that found no order proves that there will be none.

        The exchange accepts the order until its clock shows ``sent_ms + window_ms``, and a query only from ``query_ms -
        AHEAD_MS`` on.
        """
        return self.judged or is_too_late(self.sent_ms + self.window_ms, query_ms)


def is_too_late(until_ms: int, query_ms: int) -> bool:
    """Return whether a request that is accepted until *until_ms* has been decided for a query at *query_ms*."""
    return query_ms >= until_ms + AHEAD_MS + _MARGIN_MS


class OrderSeen(NamedTuple):
    client_id: str
    exchange_id: int
    state: OrderState
    executed_e8: int
    us: int
    qty_e8: int = 0
    exchange_us: int = 0
    price_e8: int = 0
