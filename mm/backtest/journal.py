"""The journal of a backtest: integer tables, and the names of their codes.

The kernel appends int64 rows. Instants are µs of simulated receive time, prices ticks, quantities lots of the tape; -1
is no instant.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.risk import LIMITS, STOPPING, WITHHOLDING
from mm.base.arrays import Ints, Rows
from mm.tape.columns import gathered, release, stored

if TYPE_CHECKING:
    from pathlib import Path

    from mm.backtest.metrics.order_lives import Lives

    Table = Ints

ORDER_COLUMNS = (
    "us",
    "order_id",
    "action",
    "status",
    "side",
    "ticks",
    "lots",
    "remaining_lots",
    "active_us",
    "expire_us",
    "cancel_req_us",
    "cancel_effective_us",
    "reject_reason",
    "cancel_reason",
)
FILL_COLUMNS = ("us", "order_id", "side", "ticks", "lots", "fee_e8", "reason", "mid2_ticks", "inventory_lots")
BREACH_COLUMNS = ("us", "limit", "value_e8", "bound_e8", "side")
STATE_COLUMNS = ("us", "inventory_lots", "cash_tl", "fees_e8", "mid2_ticks", "open_orders")

DECISION_COLUMNS = (
    "us",
    "recv_seq",
    "best_bid_ticks",
    "best_ask_ticks",
    "bid_ticks",
    "bid_lots",
    "ask_ticks",
    "ask_lots",
    "bid_acted",
    "ask_acted",
)

ACTIONS = ("PLACE", "CANCEL_REQ", "CANCEL_ACK", "FILL", "CLOSE_FILLED", "EXPIRE", "REJECT", "SKIP", "AMEND")
KINDS = ("LIMIT_MAKER", "LIMIT", "IOC", "FOK", "MARKET")  # order type and time in force
RESTING_KINDS = frozenset(KINDS[:2])
STATUSES = ("SENT", "LIVE", "CANCELLING", "CANCELLED", "FILLED", "EXPIRED", "REJECTED")
# Codes are indices; 0 is "no reason".
REJECT_REASONS = (
    "",
    "would_cross",
    "insufficient_cash",
    "insufficient_inventory",
    "min_notional",
    "book_invalid",
    "price_not_positive",
    "quantity_below_step",
    "quantity_out_of_range",
    "max_notional",
    "price_out_of_band",
    "price_rejected",
    "order_limit_10s",
    "order_limit_day",
    *WITHHOLDING,
    "exchange_refused",  # by a live exchange, for any other reason
    "insufficient_margin",  # of a contract: −2019
    "above_bracket",  # too large a position for its leverage: −2027
)
# Actions of a requote on a side, as bits; SKIP_BITS above SKIP_SHIFT have the code of the reject reason of an order not
# sent.
CANCELLED, PLACED, KEPT, SKIPPED, AMENDED = 1, 2, 4, 8, 1 << 16
SKIP_SHIFT, SKIP_BITS = 4, 0xFFF
TAKEN = "taker:book"  # the fill reason of an order that took from the other side
FORCED = ("liquidation:book", "liquidation:insurance_fund")  # reasons of a forced order, by who took it
CANCEL_REASONS = (
    "",
    "quote_moved",
    "quote_withdrawn",
    "refresh",
    "epoch_break",
    "asked",
    *STOPPING,
    "self_trade",
    "liquidated",
)

BREACHES = LIMITS  # names of limits, by code


LONG = 1 << 20  # number of state rows above which they are moved to a file


@dataclass(frozen=True)
class Journal:
    """The tables of one run, over one or more tapes."""

    orders: "Table"
    fills: "Table"
    state: "Table"
    mids: "Table"
    spans: "Table" = field(default_factory=lambda: np.empty((0, 2), np.int64), kw_only=True)
    fill_reasons: tuple[str, ...] = ()
    counters: dict[str, Any] = field(default_factory=dict)
    decisions: "Table | None" = None
    breaches: "Table | None" = None
    killed: tuple[int, str] | None = None
    order_counts: "Table | None" = None
    placed_lots: float | None = None
    lives: "Lives | None" = None

    def spill_state(self, folder: "Path") -> None:
        """Move a long run's state rows to a mapped file; raises OSError."""
        state = self.state
        if len(state) > LONG:
            self.__dict__["state"] = stored(state.reshape(-1), folder).reshape(state.shape)

    def state_pieces(self, most: int = 1 << 16) -> "Iterator[Table]":
        """Mapped pieces are released after use."""
        state = self.state
        for first in range(0, max(len(state), 1), most):
            piece = state[first : first + most]
            yield piece
            release(piece)

    def state_at(self, rows: Rows) -> "Table":
        """*rows* ascend; mapped pages in between are released."""
        return gathered(self.state, rows)
