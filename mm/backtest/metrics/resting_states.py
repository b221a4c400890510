"""What has happened to resting orders: at which distances they were sent and stand, and what came about since.

How often a resting order fills depends on more than its distance from the mid. One that was sent farther away, and that
the mid has just come up to, waits for its cancel while the price runs; one that stays at its price through moves back
and forth keeps its place in the queue. One that has rested for long has fewer orders before it. And aggressive orders
cluster by side, so a fill is followed by more on its side and by fewer on the other one. A strategy that follows its
inventory sends orders at just these moments: farther off on the side that was filled, nearer on the other one.

So an order's state is the distance at which it was sent, the distance at which it stands, which way the mid went last
(towards the order or away), whether that is as recent as quotes need to follow, whether the order has rested for long,
whether the other side was just filled, and whether the own side was. That may be unknown: an order near the mid that
was filled does not show what reaches a farther one, and one far from it that was not does not show what reaches a
nearer one. Distances are whole half ticks from the mid.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mm.backtest.journal import FILL_COLUMNS
from mm.backtest.metrics._resting_states import A_TICK, JUST_US, NOWHERE, LifeStates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Table
    from mm.backtest.metrics.order_lives import Lives

    Ints = NDArray[np.int64]


class Stretches(NamedTuple):
    """How orders stood, each stretch in one state; one order after the other.

    Attributes:
        begin_us: int64[n], begin of each stretch.
        spent_us: int64[n], its length.
        state: int64[n], its row in *states*.
        states: int64[m, 4], each state once. The columns are the distance at which the order was sent, in half ticks;
            that at which it stands; the mid's last move, 0 to 3: away from the order, or towards it (1), and recent
            (+ 2); and the moment, 0 to 11: its own side was not just filled; or it was, at least about as far off (1);
            or that is unknown (2); the other side was (+ 3); and it has rested for long (+ 6).
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
    """

    def __init__(self, found: "Lives", mids: "Table", fills: "Table", recent_us: int) -> None:
        us, mid2 = np.ascontiguousarray(mids.T)
        moved = np.append(True, np.diff(mid2) != 0) if len(mid2) else np.zeros(0, bool)
        us, mid2 = us[moved], mid2[moved]
        self._found, side = found, found.side
        sent = _sent_at(found, us, mid2)
        came_near = np.zeros(len(sent), bool)
        for one in (1, -1):
            rows = np.flatnonzero((side == one) & (sent < NOWHERE))
            came_near[rows] = _farthest_before(found.sent_us[rows], sent[rows]) > sent[rows] + A_TICK
        row = fills[:, FILL_COLUMNS.index("order_id")] - found.first_id
        self._fills = filled_us, filled = fills[row >= 0, 0], row[row >= 0]
        of_side = (side[filled] == one for one in (1, -1))
        bought, sold = ((filled_us[mine], sent[filled[mine]]) for mine in of_side)
        rested, near = (one.view(np.uint8) for one in (found.rested, came_near))
        self._orders = LifeStates(found.table, rested, sent, near, (us, mid2), recent_us, (bought, sold))

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


def _farthest_before(us: "Ints", sent: "Ints") -> "Ints":
    """Return the farthest distance among each order, those sent just before it, and the last one before these.

    Args:
        us: When they were sent, in order of time.
        sent: Their distances.
    """
    first = np.maximum(np.searchsorted(us, us - JUST_US) - 1, 0)
    length = np.arange(1, len(us) + 1) - first
    found, most = np.empty(len(us), np.int64), sent  # most: over so many orders from each on
    for power in range(int(length.max(initial=0)).bit_length()):
        over = 1 << power
        at = np.flatnonzero((length >= over) & (length < 2 * over))
        found[at] = np.maximum(most[first[at]], most[first[at] + length[at] - over])
        most = np.maximum(most[:-over], most[over:])
    return found


def _sent_at(found: "Lives", us: "Ints", mid2: "Ints") -> "Ints":
    """Return the distance at which each order was sent, on a path of the mid; `NOWHERE` without a valid book."""
    row = np.searchsorted(us, found.sent_us, side="right") - 1
    there = mid2[np.maximum(row, 0)] if len(mid2) else np.zeros(len(row), np.int64)
    distance: Ints = np.where((row >= 0) & (there > 0), found.side * (there - 2 * found.ticks), NOWHERE)
    return distance
