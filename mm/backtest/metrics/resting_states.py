"""States of resting orders: distance when sent, current distance, and the state of the market.

The fill rate of a resting order depends on more than its distance from the mid. An order that was sent farther away,
and that the mid has just approached, waits for its cancel while the price keeps moving; one that stays at its price
through moves back and forth keeps its queue position. One that has rested for long has fewer orders ahead of it.
Aggressive orders come in bursts, and a strategy that follows its inventory moves its quotes away from them. And the
same distance from the mid is inside a wide spread, where an order is first, but behind the best price of a narrow one.

So the state of an order is its distance when sent, its current distance, the direction of the last move of the mid
(towards the order or away), whether that move is so recent that quotes may not have followed yet, whether the order has
rested for long, whether it is inside the spread, at its side's best price, or behind it, and the market inputs of
`mm.backtest.metrics.market_paths`: flow, ticks swept and deviation of the mid. Distances are half ticks from the mid.
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
    """Stretches of time in which an order's state was constant, order by order.

    Attributes:
        begin_us: int64[n], begin of each stretch.
        spent_us: int64[n], its length.
        state: int64[n], its row in *states*.
        states: int64[m, 7], the distinct states. The columns are the distance at which the order was sent, in half
            ticks; its current distance; the mid's last move, 0 to 3: away from the order (0) or towards it (1), and
            recent (+ 2); whether it has rested for long (1), plus twice the number of the flow; one of `TOUCHES`;
            the class of the mid's deviation; and the class of the ticks swept.
    """

    begin_us: "Ints"
    spent_us: "Ints"
    state: "Ints"
    states: "Ints"

    def where(self, rows: "Ints") -> "Stretches":
        """Return the stretches at *rows*."""
        return self._replace(begin_us=self.begin_us[rows], spent_us=self.spent_us[rows], state=self.state[rows])


class RestingStates:
    """The states of the orders of a run, from its journal.

    Args:
        found: The orders.
        mids: The journal's path of the mid: instants, and bid + ask from each on (0: no valid book).
        fills: The journal's fills.
        recent_us: Time for which a move of the mid counts as recent.
        market: The market inputs of states.
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
        """Return the states of orders over ``[start, end)``; time without a valid book is left out.

        Args:
            span: Start, and end (exclusive), in µs.
            also: Ascending instants at which stretches are cut, in addition to the changes of state.
        """
        begin_us, spent_us, state = self._orders.stretches(span[0], min(span[1], self._found.last_us), also)
        return Stretches(begin_us, spent_us, state, self._orders.met())

    def filled(self, span: tuple[int, int]) -> "tuple[Ints, Ints, Ints]":
        """Return the instant of each fill in ``[start, end)``, the row of its state, and the states.

        The state is that of the order just before the fill; fills without a valid book are left out.
        """
        us, row = self._fills
        counted = (us >= span[0]) & (us < span[1])
        us = us[counted]
        state = self._orders.filled(us, row[counted])
        return us[state >= 0], state[state >= 0], self._orders.met()


def _sent_at(found: "Lives", us: "Ints", mid2: "Ints") -> "Ints":
    """Return the distance from the mid at which each order was sent; `NOWHERE` without a valid book."""
    row = np.searchsorted(us, found.sent_us, side="right") - 1
    there = mid2[np.maximum(row, 0)] if len(mid2) else np.zeros(len(row), np.int64)
    distance: Ints = np.where((row >= 0) & (there > 0), found.side * (there - 2 * found.ticks), NOWHERE)
    return distance
