"""What has happened to resting orders: at which distances they were sent and stand, and the market that they see.

How often a resting order fills depends on more than its distance from the mid. One that was sent farther away, and that
the mid has just come up to, waits for its cancel while the price runs; one that stays at its price through moves back
and forth keeps its place in the queue. One that has rested for long has fewer orders before it. Aggressive orders come
in bursts, from which a strategy that follows its inventory moves away. And at one distance from the mid an order is
inside a wide spread, where it is first, and behind the best price of a narrow one.

So an order's state is the distance at which it was sent, the distance at which it stands, which way the mid went last
(towards the order or away), whether that is as recent as quotes need to follow, whether the order has rested for long,
whether it is inside the spread, at its side's best price, or behind it, and what `mm.backtest.metrics.market_paths` has
of the market: the flow, the ticks swept and the mid's deviation. Distances are whole half ticks from the mid.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mm.backtest.journal import FILL_COLUMNS
from mm.backtest.metrics._resting_states import NOWHERE, LifeStates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Table
    from mm.backtest.metrics.market_paths import MarketPaths
    from mm.backtest.metrics.order_lives import Lives

    Ints = NDArray[np.int64]

TOUCHES = (-1, 0, 1)  # an order inside the spread, at its side's best price, behind it


class Stretches(NamedTuple):
    """How orders stood, each stretch in one state; one order after the other.

    Attributes:
        begin_us: int64[n], begin of each stretch.
        spent_us: int64[n], its length.
        state: int64[n], its row in *states*.
        states: int64[m, 7], each state once. The columns are the distance at which the order was sent, in half ticks;
            that at which it stands; the mid's last move, 0 to 3: away from the order, or towards it (1), and recent
            (+ 2); whether it has rested for long (1), plus twice the number of the flow; which of `TOUCHES` it is;
            the class of the mid's deviation; and that of the ticks swept.
    """

    begin_us: "Ints"
    spent_us: "Ints"
    state: "Ints"
    states: "Ints"

    def where(self, rows: "Ints") -> "Stretches":
        """Return some of them."""
        return self._replace(begin_us=self.begin_us[rows], spent_us=self.spent_us[rows], state=self.state[rows])


class RestingStates:
    """The states of the orders of a run, from its journal.

    Args:
        found: The orders.
        mids: The journal's path of the mid: when it was looked at, and bid + ask (0: no valid book).
        fills: The journal's fills.
        recent_us: How long a move of the mid is recent.
        market: What states read of the market.
    """

    def __init__(self, found: "Lives", mids: "Table", fills: "Table", recent_us: int, market: "MarketPaths") -> None:
        us, mid2 = np.ascontiguousarray(mids.T)
        moved = np.append(True, np.diff(mid2) != 0) if len(mid2) else np.zeros(0, bool)
        us, mid2 = us[moved], mid2[moved]
        self._found = found
        row = fills[:, FILL_COLUMNS.index("order_id")] - found.first_id
        self._fills = fills[row >= 0, 0], row[row >= 0]
        rested = found.rested.view(np.uint8)
        self._orders = LifeStates(found.table, rested, _sent_at(found, us, mid2), (us, mid2), recent_us, market)

    def stretches(self, span: tuple[int, int], also: "Ints") -> Stretches:
        """Return how orders stood in ``[start, end)``; time without a valid book is left out.

        Args:
            span: First instant, and the first one after it, in µs.
            also: Instants, rising, at which stretches are cut, beside those at which a state changes.
        """
        begin_us, spent_us, state = self._orders.stretches(span[0], min(span[1], self._found.last_us), also)
        return Stretches(begin_us, spent_us, state, self._orders.met())

    def filled(self, span: tuple[int, int]) -> "tuple[Ints, Ints, Ints]":
        """Return the instant of each fill in ``[start, end)`` and the row of its state, and the states.

        The state is that in which the order stood until then; fills without a valid book are left out.
        """
        us, row = self._fills
        counted = (us >= span[0]) & (us < span[1])
        us = us[counted]
        state = self._orders.filled(us, row[counted])
        return us[state >= 0], state[state >= 0], self._orders.met()


def _sent_at(found: "Lives", us: "Ints", mid2: "Ints") -> "Ints":
    """Return the distance at which each order was sent, on a path of the mid; `NOWHERE` without a valid book."""
    row = np.searchsorted(us, found.sent_us, side="right") - 1
    there = mid2[np.maximum(row, 0)] if len(mid2) else np.zeros(len(row), np.int64)
    distance: Ints = np.where((row >= 0) & (there > 0), found.side * (there - 2 * found.ticks), NOWHERE)
    return distance
