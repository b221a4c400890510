"""The order log: rows of ten whole numbers, specified in docs/specification/exchange.md."""

from mm.dayfolder.layout import ORDER_COLUMNS as COLUMNS
from mm.dayfolder.layout import (
    ROW_CANCEL,
    ROW_EXPIRE,
    ROW_LEVEL,
    ROW_NEW,
    ROW_REDUCE,
    ROW_REFUSE,
    ROW_REST,
    ROW_TRADE,
)
from mm.dayfolder.layout import OrderRow as Row

__all__ = [
    "COLUMNS",
    "ROW_CANCEL",
    "ROW_EXPIRE",
    "ROW_LEVEL",
    "ROW_NEW",
    "ROW_REDUCE",
    "ROW_REFUSE",
    "ROW_REST",
    "ROW_TRADE",
    "Row",
]

REASON_IOC, REASON_FOK, REASON_STP = range(1, 4)
"""Reason of an expiry: order may not rest (IOC, MARKET), cannot be filled completely (FOK), or self-trade."""

ASIDE_FUND, ASIDE_ADL = 1, 2
"""In a TRADE of order 0, which was not made in the book: whether the insurance fund took it, or another user."""

LIMIT, MAKER, IOC, FOK, MARKET = range(5)
"""Kinds of orders."""
STP_NONE, STP_EXPIRE_TAKER, STP_EXPIRE_MAKER, STP_EXPIRE_BOTH, STP_DECREMENT = range(5)
"""Modes of self-trade prevention."""
OP_SUBMIT, OP_CANCEL, OP_REDUCE, OP_REPLACE = range(1, 5)
"""Operations in the commands of `run`, whose columns are named by `COMMAND`."""
COMMAND = ("us", "op", "account", "side", "ticks", "lots", "kind", "arg")

WOULD_CROSS = -1
"""Returned instead of an order id for a MAKER order that would have matched at once."""
MOST_TICKS, MOST_LOTS = 2**40 - 1, 2**48 - 1
"""The largest price and quantity of an order."""
