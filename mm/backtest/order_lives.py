"""The life of every order: when it was sent, when it rested, when it ended, and how soon it filled."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.journal import ACTIONS
from mm.backtest.metrics import quantiles
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Journal, Table

    Column = NDArray[np.int64]

NEVER = -1
PLACE, CANCEL_REQ, REJECT = (ACTIONS.index(name) for name in ("PLACE", "CANCEL_REQ", "REJECT"))
ENDS = np.array([name in ("CANCEL_ACK", "CLOSE_FILLED", "EXPIRE", "REJECT") for name in ACTIONS])
SHARES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
EDGES_US = np.array([digit * 10**power for power in range(11) for digit in (1, 2, 5)], dtype=np.int64)


@dataclass(frozen=True)
class Lives:
    """The orders that a journal saw being sent, one a row, in order of their ids, which have no holes.

    Attributes:
        first_id: Id of the first row.
        sent_us: When the order was sent.
        active_us: When it arrived, or will.
        end_us: When it was cancelled, filled, expired or rejected; -1 while it is open.
        rested: Whether it came to rest: it arrived, and was not rejected.
        side: +1 for a buy, -1 for a sell.
        ticks: Its price.
        lots: Its quantity.
        cancels: How many cancel requests there were.
    """

    first_id: int
    sent_us: "Column"
    active_us: "Column"
    end_us: "Column"
    rested: "NDArray[np.bool_]"
    side: "Column"
    ticks: "Column"
    lots: "Column"
    cancels: int

    def __len__(self) -> int:
        return len(self.sent_us)

    def rows(self, order_ids: "Column") -> "Column":
        """Return the row of each id; -1 for an order that was sent before the journal began."""
        return np.maximum(order_ids - self.first_id, -1)


def lives(journal: "Journal") -> Lives:
    """Return the orders of a *journal* with the instants of their lives."""
    orders: Table = journal.orders
    action = np.ascontiguousarray(orders[:, 2])
    placed = np.flatnonzero(action == PLACE)
    first_id = int(orders[placed[0], 1]) if len(placed) else 1
    # Whole rows first: a row lies in one place, a column of so large a table everywhere.
    rows = orders.take(placed, axis=0)
    sent_us, active_us, side, ticks, lots = (np.ascontiguousarray(rows[:, column]) for column in (0, 8, 4, 5, 6))
    end_us = np.full(len(placed), NEVER, np.int64)
    rested = active_us <= journal.counters["last_us"]
    ended = np.flatnonzero(ENDS[action])
    row = orders[ended, 1] - first_id
    ended, row = ended[row >= 0], row[row >= 0]
    end_us[row] = orders[ended, 0]
    rested[row[action[ended] == REJECT]] = False
    cancels = int(np.count_nonzero(action == CANCEL_REQ))
    return Lives(first_id, sent_us, active_us, end_us, rested, side, ticks, lots, cancels)


def order_times(found: Lives, fills: "Table") -> dict[str, Any]:
    """Return how long orders took and lived, in s, each as ``spread_of``; None in it without such an order.

    ``quote_lifetime_s`` is from resting to the end, of orders that rested and ended. ``order_to_ack_s`` is from
    sending to arriving, of those that arrived. ``live_to_fill_s`` and ``order_to_fill_s`` end with an order's first
    fill. ``hit_rate`` is the share of the orders sent that had a fill.
    """
    row = found.rows(fills[:, 1])
    row, fill_us = row[row >= 0], fills[row >= 0, 0]
    hit, first = np.unique(row, return_index=True)
    first_us = fill_us[first]
    whole = found.rested & (found.end_us != NEVER)
    arrived = found.rested | (found.end_us != NEVER)
    return {
        "hit_rate": len(hit) / len(found) if len(found) else None,
        "quote_lifetime_s": spread_of(found.end_us[whole] - found.active_us[whole]),
        "order_to_ack_s": spread_of((found.active_us - found.sent_us)[arrived]),
        "live_to_fill_s": spread_of(first_us - found.active_us[hit]),
        "order_to_fill_s": spread_of(first_us - found.sent_us[hit]),
    }


def spread_of(times_us: "Column") -> dict[str, Any]:
    """Return how *times_us*, 0 or more, are spread: number, mean, quantiles and largest, in s, and a histogram.

    The histogram is a list of pairs: an upper edge in s, 1, 2 or 5 times a power of ten (the last one may be the
    largest time instead), and how many times are at most that and above the edge before.
    """
    if len(times_us) == 0:
        return {"n": 0, **dict.fromkeys(("mean", *SHARES, "max")), "histogram": []}
    inside = np.sort(times_us)
    below = np.searchsorted(inside, EDGES_US, side="right")
    counts = np.diff(below, prepend=0, append=len(inside)).tolist()
    edges = [*(EDGES_US / US_PER_S).tolist(), float(inside[-1]) / US_PER_S]
    at = quantiles(inside, list(SHARES.values()))
    return {
        "n": len(inside),
        "mean": float(inside.mean()) / US_PER_S,
        **{name: us / US_PER_S for name, us in zip(SHARES, at, strict=True)},
        "max": float(inside[-1]) / US_PER_S,
        "histogram": [[edge, count] for edge, count in zip(edges, counts, strict=True) if count],
    }
