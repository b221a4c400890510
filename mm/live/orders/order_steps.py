"""What follows from a report of the exchange about one of our orders: requests, and reports to the engine."""

from typing import NamedTuple

from mm.live.venues.fills import AccountFill
from mm.live.venues.live_orders import LiveOrder
from mm.live.venues.refusals import Refusal

EARLIER = 0
"""The order id in reports about orders of earlier runs, which have no caller."""
KEPT_ORDERS = 20_000
"""Minimum number of ended orders that are kept for late reports."""


class Ask(NamedTuple):
    """Request the order's state by its client id."""

    order: LiveOrder


class Fetch(NamedTuple):
    """Request the order's trades, because some executions are not booked."""

    order: LiveOrder


class Resend(NamedTuple):
    """Send a cancel of the order."""

    order: LiveOrder


class Reamend(NamedTuple):
    """Send an amendment of the order to *qty*, which was asked for before the order was known to be open."""

    order: LiveOrder
    qty: str


class Accepted(NamedTuple):
    """The exchange has accepted the order."""

    order: LiveOrder
    us: int


class InBook(NamedTuple):
    """The exchange's book has *left_e8* of the order from *exchange_us* on; 0 if it has none."""

    order: LiveOrder
    exchange_us: int
    left_e8: int


class Rejected(NamedTuple):
    """The order was never open."""

    order: LiveOrder
    us: int
    refusal: Refusal


class Booked(NamedTuple):
    """A fill, reported exactly once; *order_id* is `EARLIER` if the caller's order had ended before."""

    order: LiveOrder
    order_id: int
    fill: AccountFill


class Closed(NamedTuple):
    """The order has ended unfilled or partly filled, with *status*; all its fills have been booked."""

    order: LiveOrder
    us: int
    status: str


class CancelFailed(NamedTuple):
    """The order is still open."""

    order: LiveOrder
    us: int
    code: int


class Amended(NamedTuple):
    """The order has the quantity *qty* (if this is booked already, it has ended), and *price* if that changed."""

    order: LiveOrder
    us: int
    qty: str
    price: str = ""


class AmendFailed(NamedTuple):
    """The order is unchanged: the exchange has refused the amendment, or it was not sent, or never arrived."""

    order: LiveOrder
    us: int
    refusal: Refusal


class Contradiction(NamedTuple):
    """The exchange reported something contradictory; for the log."""

    order: LiveOrder
    what: str


OrderReport = Accepted | InBook | Rejected | Booked | Closed | CancelFailed | Amended | AmendFailed
OrderStep = Ask | Fetch | Resend | Reamend | Contradiction | OrderReport
