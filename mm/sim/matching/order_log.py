"""The order log: the meaning of its rows.

A row is ten whole numbers, named by `COLUMNS`; a column that does not apply is 0.

========= ===================================================================================
us        time of the command, µs
kind      type of the event, one of the `ROW_` constants
order_id  id of the order; TRADE: of the taker; LEVEL: of the order that changed the level
other_id  TRADE: id of the maker, of order 0 the reason; NEW: kind of the order; EXPIRE: the reason
account   account of the order (TRADE: of the taker); LEVEL: 0
side      +1 buy, -1 sell: of the order (TRADE: of the taker); LEVEL: side of the book
ticks     limit price of the order (0 for MARKET); TRADE: price of the maker; LEVEL: its price
lots      NEW, REFUSE: quantity of the order · TRADE: traded lots · REST, REDUCE: remaining lots ·
          CANCEL, EXPIRE: lots that remained · LEVEL: resting lots at its price
trade_id  TRADE: consecutive id
update_id LEVEL: consecutive id
========= ===================================================================================

docs/exchange.md lists the rows of each command, and their order.
"""

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
