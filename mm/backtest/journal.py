"""The journal of a backtest: integer tables, and the names of their codes.

The kernel appends int64 rows: instants in µs of simulated receive time (-1 for none), prices in ticks, quantities in
lots of the tape.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.risk import LIMITS, STOPPING, WITHHOLDING
from mm.base.arithmetic import whole_sum
from mm.base.arrays import Ints, Mask, Rows
from mm.errors import UsageError
from mm.tape.columns import gathered, release, stored

if TYPE_CHECKING:
    from pathlib import Path

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

LEGS = "legs"  # folder of the tables of other markets, in a run's folder
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


NEVER = -1
PLACE, CANCEL_REQ, REJECT = map(ACTIONS.index, ("PLACE", "CANCEL_REQ", "REJECT"))
_IS_END = np.isin(ACTIONS, ("CANCEL_ACK", "CLOSE_FILLED", "EXPIRE", "REJECT"))
LONG = 1 << 20  # number of state rows above which they are moved to a file


@dataclass(frozen=True)
class Lives:
    """Orders sent during a journal, one row per id, without gaps.

    Attributes:
        active_us: Arrival, perhaps after the end of the data.
        end_us: Cancellation, complete fill, expiry or rejection; -1 while open.
    """

    first_id: int
    last_us: int
    sent_us: Ints
    active_us: Ints
    side: Ints
    ticks: Ints
    lots: Ints
    end_us: Ints
    rejected: Mask

    def __len__(self) -> int:
        return len(self.side)

    @cached_property
    def rested(self) -> Mask:
        arrived: Mask = (self.active_us <= self.last_us) | (self.end_us != NEVER)
        return arrived & ~self.rejected

    @cached_property
    def until_us(self) -> Ints:
        until = np.where(self.end_us < 0, self.last_us, self.end_us)
        return np.where(self.rejected, NEVER, until)


class LifeLog:
    def __init__(self) -> None:
        self._sent, self._ended = [np.empty((6, 0), np.int64)], [np.empty((3, 0), np.int64)]

    def add(self, orders: Ints) -> None:
        action = orders[:, 2].copy()
        sent, ended = np.flatnonzero(action == PLACE), np.flatnonzero(_IS_END[action])
        self._sent.append(np.stack([orders[:, column][sent] for column in (1, 0, 8, 4, 5, 6)]))
        self._ended.append(np.stack((orders[:, 1][ended], orders[:, 0][ended], action[ended] == REJECT)))

    def lives(self, last_us: int) -> Lives:
        order_id, *columns = np.concatenate(self._sent, axis=1)
        sent_us, active_us, side, ticks, lots = columns
        first_id = int(order_id[0]) if len(order_id) else 1
        ended, ended_us, refused = np.concatenate(self._ended, axis=1)
        row = ended - first_id
        known = (row >= 0) & (row < len(order_id))
        end_us, rejected = np.full(len(order_id), NEVER), np.zeros(len(order_id), np.bool_)
        end_us[row[known]], rejected[row[known]] = ended_us[known], refused[known]
        return Lives(first_id, last_us, sent_us, active_us, side, ticks, lots, end_us, rejected)


@dataclass(frozen=True)
class Journal:
    orders: Ints
    fills: Ints
    state: Ints
    mids: Ints
    spans: Ints = field(default_factory=lambda: np.empty((0, 2), np.int64), kw_only=True)
    fill_reasons: tuple[str, ...] = ()
    counters: dict[str, Any] = field(default_factory=dict)
    decisions: Ints | None = None
    breaches: Ints | None = None
    killed: tuple[int, str] | None = None
    order_counts: Ints | None = None
    placed_lots: float | None = None
    lives: Lives | None = None

    def spill_state(self, folder: "Path") -> None:
        """Move a long run's state rows to a mapped file."""
        state = self.state
        if len(state) > LONG:
            self.__dict__["state"] = stored(state.reshape(-1), folder).reshape(state.shape)

    def state_pieces(self, most: int = 1 << 16) -> Iterator[Ints]:
        """Mapped pieces are released after use."""
        state = self.state
        for first in range(0, max(len(state), 1), most):
            piece = state[first : first + most]
            yield piece
            release(piece)

    def state_at(self, rows: Rows) -> Ints:
        """*rows* ascend; mapped pages between them are released."""
        return gathered(self.state, rows)

    @cached_property
    def order_lives(self) -> Lives:
        """*lives*, or those of the order rows; raises UsageError if the backtest kept no rows."""
        if self.lives is not None:
            return self.lives
        if self.order_counts is not None and len(self.orders) < self.order_counts.sum():
            raise UsageError("the journal has no rows of orders; play the backtest with keeps_orders=True")
        log = LifeLog()
        log.add(self.orders)
        return log.lives(self.counters.get("last_us", 0))

    def order_totals(self) -> tuple[Ints, float]:
        """Return order rows by action and reject reason, int64[16, 64], and the lots of all orders sent."""
        if self.order_counts is not None and self.placed_lots is not None:
            return self.order_counts, self.placed_lots
        action, counts = self.orders[:, 2], np.zeros((16, 64), np.int64)
        np.add.at(counts, (action, self.orders[:, 12]), 1)
        return counts, float(whole_sum(self.orders[action == PLACE, 6]))
