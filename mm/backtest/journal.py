"""The journal of a backtest: integer tables, and the names of their codes.

The kernel appends int64 rows: instants in µs of simulated receive time (-1 for none), prices in ticks, quantities in
lots of the tape.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.own_series import OwnSeries
from mm.backtest.risk import LIMITS, STOPPING, WITHHOLDING
from mm.backtest.table import Column, Kind, Table, Written
from mm.base.arithmetic import whole_sum
from mm.base.arrays import Ints, Mask, Rows
from mm.errors import UsageError
from mm.tape.columns import gathered, release, stored

if TYPE_CHECKING:
    from pathlib import Path

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
    "reduce_only",  # the exchange takes only orders that reduce the position
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

NUMBER = Kind("number", "number")
INSTANT = Kind("µs", "µs")
INSTANT_MS = Kind("µs", "ms")
SIDE = Kind("+1 or −1", "`BUY` or `SELL`")
PRICE = Kind("ticks", "quote asset")
MID = Kind("half ticks", "quote asset")
QTY = Kind("lots", "base asset")
MONEY = Kind("1e-8", "quote asset")
NOTIONAL = Kind("ticks times lots", "quote asset")
CASH = Kind("ticks times lots, less 1e-8", "quote asset")
WORTH = Kind("half ticks times lots", "quote asset")
EQUITY = Kind("cash and worth", "quote asset")
REASON = Kind("code", "word")  # of a fill: the words are the run's
ACTED = Kind("bits", "words")


def word(names: tuple[str, ...], first: int = 0) -> Kind:
    """Return the kind of codes whose words are *names*."""
    return Kind("code", "word", names, first)


class Orders(Table):
    """What happened to our orders, a row per event."""

    us = Column(INSTANT_MS, "when it happened", file="recv_ms", frame="time")
    order_id = Column(NUMBER, "counts from 1; 0 for an order that was not sent", file="order_id", frame="order_id")
    action = Column(word(ACTIONS), "what happened", file="action", frame="action")
    status = Column(word(STATUSES), "of the order after it", file="status", frame="status")
    side = Column(SIDE, "of the order", file="side", frame="side")
    ticks = Column(PRICE, "price of the order", file="price", frame="price")
    lots = Column(QTY, "quantity of the order, in each of its rows", file="qty", frame="qty")
    remaining_lots = Column(QTY, "what is left after the row", file="remaining_qty", frame="remaining_qty")
    active_us = Column(
        INSTANT_MS, "when it begins to rest", null="it is not sent", file="active_recv_ms", frame="active_time"
    )
    expire_us = Column(INSTANT_MS, "when it expires", null="it does not", file="expire_recv_ms", frame="expire_time")
    cancel_req_us = Column(
        INSTANT_MS, "when its cancel was sent", null="none was", file="cancel_req_ms", frame="cancel_request_time"
    )
    cancel_effective_us = Column(
        INSTANT_MS,
        "when its cancel takes effect",
        null="none was sent",
        file="cancel_effective_ms",
        frame="cancel_effective_time",
    )
    reject_reason = Column(
        word(REJECT_REASONS[1:], 1),
        "why it was refused or not sent",
        null="it was not refused",
        file="reject_reason",
        frame="reject_reason",
    )
    cancel_reason = Column(
        word(CANCEL_REASONS[1:], 1),
        "why it was cancelled",
        null="no cancel",
        file="cancel_reason",
        frame="cancel_reason",
    )
    recv_us = Written(INSTANT, "`recv_ms` to the µs", us)
    active_recv_us = Written(INSTANT, "`active_recv_ms` to the µs", active_us, null="it is not sent")
    cancel_effective_recv_us = Written(
        INSTANT,
        "`cancel_effective_ms` to the µs",
        cancel_effective_us,
        null="none was sent",
        file="cancel_effective_us",
    )
    expire_recv_us = Written(INSTANT, "`expire_recv_ms` to the µs", expire_us, null="it does not expire")


class Fills(Table):
    """Our fills, a row each."""

    us = Column(INSTANT_MS, "when it filled", file="recv_ms", frame="time")
    order_id = Column(NUMBER, "of the order", file="order_id", frame="order_id")
    side = Column(SIDE, "of the order", file="side", frame="side")
    ticks = Column(PRICE, "price of the fill", file="price", frame="price")
    lots = Column(QTY, "quantity of the fill", file="qty", frame="qty")
    fee_e8 = Column(MONEY, "commission, negative for a rebate", file="fee", frame="fee")
    reason = Column(REASON, "fill model and what triggered it", file="reason", frame="reason")
    recv_us = Written(INSTANT, "`recv_ms` to the µs", us)
    mid2 = Column(
        MID, "last valid mid before the filling event", null="no book was valid before", file="mid", frame="mid"
    )
    inventory_lots = Column(QTY, "inventory after the fill", file="inventory_after", frame="inventory")


class State(Table):
    """The account after every fill, and every `STATE_INTERVAL_MS`."""

    us = Column(INSTANT_MS, "of the row", file="recv_ms", frame="time")
    inventory_lots = Column(QTY, "inventory", file="inventory", frame="inventory")
    cash_tl = Column(NOTIONAL, "sold less bought since the start")
    fees_e8 = Column(MONEY, "commissions since the start")
    cash = Written(CASH, "initial cash, less signed notionals and fees", cash_tl, fees_e8)
    mid2 = Column(MID, "last valid mid", null="none yet", file="mid", frame="mid")
    mtm_value = Written(WORTH, "inventory at the mid", inventory_lots, mid2, null="no mid yet")
    open_orders = Column(NUMBER, "our open orders", file="open_orders", frame="open_orders")
    recv_us = Written(INSTANT, "`recv_ms` to the µs", us)
    equity = Written(EQUITY, "`cash` and `mtm_value`", cash_tl, fees_e8, inventory_lots, mid2, null="no mid yet")


class Mids(Table):
    """Each change of the mid."""

    us = Column(INSTANT, "of the change")
    mid2 = Column(MID, "the mid from then on", null="0: no valid book")


class Stretches(Table):
    """Stretches of time with a market, in order."""

    begin_us = Column(INSTANT, "begin")
    end_us = Column(INSTANT, "end, excluded")


class Decisions(Table):
    """What the strategy wanted at each requote, and what was done for it."""

    us = Column(INSTANT, "of the requote")
    recv_seq = Column(NUMBER, "of its last input")
    best_bid_ticks = Column(PRICE, "best bid of the market")
    best_ask_ticks = Column(PRICE, "best ask of the market")
    bid_ticks = Column(PRICE, "wanted bid")
    bid_lots = Column(QTY, "its quantity", null="-1: no bid")
    ask_ticks = Column(PRICE, "wanted ask")
    ask_lots = Column(QTY, "its quantity", null="-1: no ask")
    bid_acted = Column(ACTED, "what was done on the side of the bids")
    ask_acted = Column(ACTED, "what was done on the side of the asks")


class Breaches(Table):
    """Limits that were reached."""

    us = Column(INSTANT, "when it was reached")
    limit = Column(word(BREACHES), "the limit, by its knob")
    value_e8 = Column(MONEY, "what was reached")
    bound_e8 = Column(MONEY, "what is allowed")
    side = Column(SIDE, "the side that it holds for", null="0: both")


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

    def add(self, orders: Orders) -> None:
        action = orders.action.copy()
        sent, ended = np.flatnonzero(action == PLACE), np.flatnonzero(_IS_END[action])
        of_sent = (orders.order_id, orders.us, orders.active_us, orders.side, orders.ticks, orders.lots)
        self._sent.append(np.stack([column[sent] for column in of_sent]))
        self._ended.append(np.stack((orders.order_id[ended], orders.us[ended], action[ended] == REJECT)))

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
    """What a backtest has done, row by row.

    Attributes:
        base_fee_lots: Of a trade that is played again: what each fill's commission took of the bought lots, which
            *fills* are without.
    """

    orders: Orders
    fills: Fills
    state: State
    mids: Mids
    spans: Stretches = field(default_factory=Stretches, kw_only=True)
    fill_reasons: tuple[str, ...] = ()
    counters: dict[str, Any] = field(default_factory=dict)
    decisions: Decisions | None = None
    breaches: Breaches | None = None
    killed: tuple[int, str] | None = None
    order_counts: Ints | None = None
    placed_lots: float | None = None
    lives: Lives | None = None
    recorded: OwnSeries = field(default_factory=OwnSeries)
    base_fee_lots: Ints | None = None

    def __post_init__(self) -> None:
        for name, table in TABLES.items():
            rows = getattr(self, name)
            if rows is not None and not isinstance(rows, table):
                self.__dict__[name] = table(rows)

    def spill_state(self, folder: "Path") -> None:
        """Move a long run's state rows to a mapped file."""
        state = self.state
        if len(state) > LONG:
            self.__dict__["state"] = State(stored(state.array.reshape(-1), folder).reshape(state.shape))

    def state_pieces(self, most: int = 1 << 16) -> Iterator[State]:
        """Mapped pieces are released after use."""
        state = self.state
        for first in range(0, max(len(state), 1), most):
            piece = state[first : first + most]
            yield piece
            release(piece)

    def state_at(self, rows: Rows) -> State:
        """*rows* ascend; mapped pages between them are released."""
        return State(gathered(self.state, rows))

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
        action, counts = self.orders.action, np.zeros((16, 64), np.int64)
        np.add.at(counts, (action, self.orders.reject_reason), 1)
        return counts, float(whole_sum(self.orders.lots[action == PLACE]))


TABLES: dict[str, type[Table]] = {
    "orders": Orders,
    "fills": Fills,
    "state": State,
    "mids": Mids,
    "spans": Stretches,
    "decisions": Decisions,
    "breaches": Breaches,
}
"""The tables of a run, by their names in the journal."""
