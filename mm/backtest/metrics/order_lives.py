"""The life of every order: when it was sent, when it rested, when it ended, and how soon it filled."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics._lives import read_lives
from mm.backtest.metrics.arithmetic import quantiles_of_sorted
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Journal, Table

    Column = NDArray[np.int64]

NEVER = -1
SHARES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
EDGES_US = np.array([digit * 10**power for power in range(11) for digit in (1, 2, 5)], dtype=np.int64)


@dataclass(frozen=True)
class Lives:
    """The orders that a journal saw being sent, one a column, in order of their ids, which have no holes.

    Attributes:
        first_id: Id of the first one.
        table: int64[7, orders]: the rows are sent_us, active_us, side, ticks, lots, end_us and whether it was rejected.
        cancels: How many cancel requests there were.
        last_us: End of the data.
    """

    first_id: int
    table: "Table"
    cancels: int
    last_us: int

    def __len__(self) -> int:
        return len(self.table[0])

    @property
    def sent_us(self) -> "Column":
        """When each was sent."""
        column: Column = self.table[0]
        return column

    @property
    def active_us(self) -> "Column":
        """When it arrived, or will."""
        column: Column = self.table[1]
        return column

    @property
    def side(self) -> "Column":
        """+1 for a buy, -1 for a sell."""
        column: Column = self.table[2]
        return column

    @property
    def ticks(self) -> "Column":
        """Its price."""
        column: Column = self.table[3]
        return column

    @property
    def lots(self) -> "Column":
        """Its quantity."""
        column: Column = self.table[4]
        return column

    @property
    def end_us(self) -> "Column":
        """When it was cancelled, filled, expired or rejected; -1 while it is open."""
        column: Column = self.table[5]
        return column

    @property
    def rested(self) -> "NDArray[np.bool_]":
        """Whether it came to rest: it arrived, and was not rejected."""
        rested: NDArray[np.bool_] = ((self.active_us <= self.last_us) | (self.end_us != NEVER)) & (self.table[6] == 0)
        return rested

    @property
    def ids(self) -> "Column":
        """Their ids."""
        return np.arange(self.first_id, self.first_id + len(self))


def lives(journal: "Journal") -> Lives:
    """Return the orders of a *journal* with the instants of their lives."""
    return Lives(*read_lives(journal.orders), last_us=journal.counters["last_us"])


def order_times(found: Lives, fills: "Table") -> dict[str, Any]:
    """Return how long orders took and lived, in s, each as ``spread_of``; None in it without such an order.

    ``quote_lifetime_s`` is from resting to the end, of orders that rested and ended. ``order_to_ack_s`` is from
    sending to arriving, of those that arrived. ``live_to_fill_s`` and ``order_to_fill_s`` end with an order's first
    fill. ``hit_rate`` is the share of the orders sent that had a fill.
    """
    sent_us, active_us, end_us = found.sent_us, found.active_us, found.end_us
    row = fills[:, 1] - found.first_id
    row, fill_us = row[row >= 0], fills[row >= 0, 0]
    hit, first = np.unique(row, return_index=True)
    first_us = fill_us[first]
    ended = end_us != NEVER
    arrived, whole = ended | (active_us <= found.last_us), ended & found.rested
    return {
        "hit_rate": len(hit) / len(found) if len(found) else None,
        "quote_lifetime_s": spread_of(end_us[whole] - active_us[whole]),
        "order_to_ack_s": spread_of((active_us - sent_us)[arrived]),
        "live_to_fill_s": spread_of(first_us - active_us[hit]),
        "order_to_fill_s": spread_of(first_us - sent_us[hit]),
    }


def partial_orders(order_ids: "Column", filled: "Column", placed_ids: "Column", placed: "Column") -> int:
    """Return how many orders have a fill smaller than themselves; *placed_ids* rise."""
    size = placed[np.searchsorted(placed_ids, order_ids)]
    return len(set(order_ids[filled < size].tolist()))


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
    at = quantiles_of_sorted(inside, list(SHARES.values()))
    return {
        "n": len(inside),
        "mean": float(inside.mean()) / US_PER_S,
        **{name: us / US_PER_S for name, us in zip(SHARES, at, strict=True)},
        "max": float(inside[-1]) / US_PER_S,
        "histogram": [[edge, count] for edge, count in zip(edges, counts, strict=True) if count],
    }
