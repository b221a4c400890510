"""Why the exchange, or we, refuse a request for an order."""

from enum import Enum
from typing import NamedTuple

NOT_SENT = 0
"""The code of a local refusal: nothing was sent."""


class Why(Enum):
    OTHER = "other"
    NOT_SENT = "not sent"
    """It was refused here."""
    BUSY = "busy"
    """The exchange is overloaded: it may be repeated later."""
    REQUESTS = "requests"
    """Too many requests: it may be repeated later."""
    ORDER_RATE = "order rate"
    """Too many orders in a time: it may be repeated later."""
    KEY = "key"
    """The exchange rejects the key, the signature or the log-on."""
    CLOCK = "clock"
    """It was too late or too early by the exchange's clock when it arrived."""
    SYMBOL = "symbol"
    """It has no such symbol."""
    NO_ORDER = "no order"
    """It has no such order, or none that is open: it may have ended."""
    DUPLICATE = "duplicate"
    """It has an order with this client id: an earlier request has arrived."""
    NOT_CANCELLED = "not cancelled"
    """Cancels have not ended the order."""
    AMENDMENT = "amendment"
    """The order cannot be amended, for its own sake: it may have ended."""
    CROSSES = "crosses"
    """A post-only order would match."""
    FUNDS = "funds"
    """The account cannot cover it."""
    BAND = "band"
    """Price filters."""
    NOTIONAL = "notional"
    QUANTITY = "quantity"
    OPEN_ORDERS = "open orders"
    """Too many open orders."""
    FILTER = "filter"
    """Another filter."""
    SETUP = "setup"
    """The account is not set up for it, such as in another position mode."""
    RESTRICTED = "restricted"
    """The exchange does not let the account trade."""
    REDUCE_ONLY = "reduce only"
    """It takes only orders that reduce the position."""
    BRACKET = "bracket"
    """The position would be above the bracket of its leverage."""


FILTERS = frozenset((Why.BAND, Why.NOTIONAL, Why.QUANTITY, Why.OPEN_ORDERS, Why.FILTER))
"""Refusals by a filter of the symbol: the filters read at the start may be outdated."""
OF_THE_ORDER = frozenset((Why.NO_ORDER, Why.AMENDMENT))
"""Refusals that say something of the order alone: it is queried, and not tried again."""
OF_THE_LIMITS = frozenset((Why.NOT_SENT, Why.REQUESTS, Why.ORDER_RATE, Why.BUSY))
"""Refusals of a request that may be repeated later."""


class Refusal(NamedTuple):
    """*code* is the exchange's, or `NOT_SENT` if it was refused here for a reason of our own."""

    code: int
    message: str
    why: Why = Why.OTHER


def unsent(why: str) -> Refusal:
    return Refusal(NOT_SENT, why, Why.NOT_SENT)
