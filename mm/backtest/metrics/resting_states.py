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

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from mm.backtest.journal import FILL_COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Table
    from mm.backtest.metrics.order_lives import Lives

    Ints = NDArray[np.int64]

RESTED_US = 1_000_000  # an order that has rested so long has rested for long
JUST_US = 2_000_000  # what is younger has just happened
A_TICK = 2  # half ticks: what one order shows does not hold for another whose distance differs by more


class Stretches(NamedTuple):
    """How orders stood, each stretch in one state; in no order.

    Attributes:
        order: Row of the order in its ``Lives``.
        begin_us: Begin of each stretch.
        spent_us: Its length.
        sent: Distance at which the order was sent, in half ticks.
        stands: Distance at which it stands.
        move: 0 to 3: the mid's last move was away from the order, or towards it (1); and is recent (+ 2).
        moment: 0 to 11: its own side was not just filled; or it was, at least about as far off (1); or that is unknown
            (2); the other side was (+ 3); and it has rested for long (+ 6).
    """

    order: "Ints"
    begin_us: "Ints"
    spent_us: "Ints"
    sent: "Ints"
    stands: "Ints"
    move: "Ints"
    moment: "Ints"

    def where(self, rows: "Ints") -> "Stretches":
        """Return some of them."""
        return Stretches(*(column[rows] for column in self))


@dataclass(frozen=True)
class MidPath:
    """The mid of a run, a row for each change: when, bid + ask (0: no valid book), and bid + ask before."""

    us: "Ints"
    mid2: "Ints"
    before: "Ints"
    recent_us: int

    @classmethod
    def of(cls, mids: "Table", recent_us: int) -> Self:
        """Return the path of a journal's *mids*; a move is recent for *recent_us*."""
        us, mid2 = mids.T
        moved = np.append(True, np.diff(mid2) != 0) if len(mid2) else np.zeros(0, bool)
        us, mid2 = us[moved], mid2[moved]
        return cls(us, mid2, np.append(mid2[:1], mid2[:-1]), recent_us)

    def cuts(self, also: "Ints") -> "tuple[Ints, Ints, NDArray[np.bool_]]":
        """Return the begin of each stretch, its row of the path, and whether the last move is recent in it.

        Args:
            also: Further instants, in µs, at which a stretch begins.
        """
        stale = self.us + self.recent_us
        whole = np.append(stale[:-1] < self.us[1:], True) if len(stale) else np.zeros(0, bool)
        within = np.searchsorted(self.us, also, side="right") - 1
        also, within = also[within >= 0], within[within >= 0]
        us = np.concatenate((self.us, stale[whole], also))
        row = np.concatenate((np.arange(len(self.us)), np.flatnonzero(whole), within))
        recent = np.arange(len(us)) < len(self.us)
        recent[len(us) - len(also) :] = also < stale[within]
        order = np.argsort(us, kind="stable")
        return us[order], row[order], recent[order]

    def move(self, row: "Ints", side: "Ints", recent: "NDArray[np.bool_]") -> "Ints":
        """Return the last move as orders of *side* see it in a row of the path."""
        known = self.before[row] > 0
        towards = known & (side * (self.mid2[row] - self.before[row]) < 0)
        found: Ints = towards + 2 * (known & recent)
        return found


@dataclass(frozen=True)
class OwnFills:
    """The orders of a run, a row each, and their fills by side (+1 is a buy), in order of time.

    Attributes:
        side: Of each order.
        active_us: When it came to rest.
        sent: Distance at which it was sent, in half ticks; 2^62 where there was no valid book.
        came_near: Whether an order of its side was sent, or stood, farther off by more than a tick just before it.
        us: When a fill came; before them all one long ago.
        sent_of: Distance at which the filled order was sent.
    """

    side: "Ints"
    active_us: "Ints"
    sent: "Ints"
    came_near: "NDArray[np.bool_]"
    us: "dict[int, Ints]"
    sent_of: "dict[int, Ints]"

    @classmethod
    def of(cls, found: "Lives", path: MidPath, fills: "Table") -> Self:
        """Return a journal's *fills* and the orders *found*."""
        sent, side = _sent_at(found, path), found.side
        came_near = np.zeros(len(sent), bool)
        for one in (1, -1):
            rows = np.flatnonzero((side == one) & (sent < 1 << 62))
            came_near[rows] = _farthest_before(found.sent_us[rows], sent[rows]) > sent[rows] + A_TICK
        row = fills[:, FILL_COLUMNS.index("order_id")] - found.first_id
        us, row = fills[row >= 0, 0], row[row >= 0]
        filled = {one: side[row] == one for one in (1, -1)}
        return cls(
            side=side,
            active_us=found.active_us,
            sent=sent,
            came_near=came_near,
            us={one: np.append(-JUST_US, us[filled[one]]) for one in (1, -1)},
            sent_of={one: np.append(0, sent[row[filled[one]]]) for one in (1, -1)},
        )

    def cuts(self) -> "Ints":
        """Return the instants at which a fill comes, and at which it no longer has just come."""
        us = np.unique(np.concatenate([one[1:] for one in self.us.values()]))
        return np.union1d(us, us + JUST_US)

    def moment(self, order: "Ints", us: "Ints") -> "Ints":
        """Return what has just happened to the sides of orders and how long these have rested, at instants in µs.

        The values are those of `Stretches`. A fill at an instant has happened there.
        """
        side, sent, rested_us = self.side[order], self.sent[order], us - self.active_us[order]
        found = 6 * (rested_us >= RESTED_US)
        for one in (1, -1):
            rows = np.flatnonzero(side == one)
            own, other = (np.searchsorted(self.us[which], us[rows], "right") - 1 for which in (one, -one))
            just = us[rows] - self.us[one][own] < JUST_US
            nearer = self.sent_of[one][own] < sent[rows] - A_TICK
            unseen = self.came_near[order[rows]] & (rested_us[rows] < JUST_US)
            found[rows] += np.where(just, 1 + nearer, 2 * unseen) + 3 * (us[rows] - self.us[-one][other] < JUST_US)
        return found


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


def _sent_at(found: "Lives", path: MidPath) -> "Ints":
    """Return the distance at which each order was sent; 2^62 where there was no valid book."""
    row = np.searchsorted(path.us, found.sent_us, side="right") - 1
    mid2 = np.where(row >= 0, path.mid2[np.maximum(row, 0)], 0)
    distance: Ints = np.where(mid2 > 0, found.side * (mid2 - 2 * found.ticks), 1 << 62)
    return distance


def stretches(found: "Lives", path: MidPath, own: OwnFills, span: tuple[int, int], also: "Ints") -> Stretches:
    """Return how the orders *found* stood in ``[start, end)``; time without a valid book is left out.

    Args:
        found: The orders.
        path: The mid.
        own: Their fills.
        span: First instant, and the first one after it.
        also: Instants at which stretches are cut, beside those at which a state changes.
    """
    us, rows, recent = path.cuts(np.union1d(own.cuts(), also))
    end_us = np.where(found.end_us < 0, found.last_us, found.end_us)
    begin_us, end_us = np.maximum(found.active_us, span[0]), np.minimum(end_us, span[1])
    begin_us = np.maximum(begin_us, us[0]) if len(us) else begin_us
    lived = np.flatnonzero(found.rested & (begin_us < end_us) & (own.sent < 1 << 62) & bool(len(us)))
    begin_us, end_us = begin_us[lived], end_us[lived]
    first = np.searchsorted(us, begin_us, side="right") - 1
    count = np.searchsorted(us, end_us, side="left") - first
    owner = np.repeat(np.arange(len(lived)), count)
    cut = np.arange(len(owner)) + np.repeat(first - (np.cumsum(count) - count), count)
    since = np.maximum(begin_us[owner], us[cut])
    spent = np.minimum(end_us[owner], np.append(us[1:], found.last_us)[cut]) - since
    kept = (spent > 0) & (path.mid2[rows[cut]] > 0)
    order, row, recent = lived[owner[kept]], rows[cut[kept]], recent[cut[kept]]
    since, spent = since[kept], spent[kept]
    for age_us in (RESTED_US, JUST_US):  # at which an order's state may change
        part, since, spent = _parted(found.active_us[order] + age_us, since, spent)
        order, row, recent = order[part], row[part], recent[part]
    side = found.side[order]
    return Stretches(
        order=order,
        begin_us=since,
        spent_us=spent,
        sent=own.sent[order],
        stands=side * (path.mid2[row] - 2 * found.ticks[order]),
        move=path.move(row, side, recent),
        moment=own.moment(order, since),
    )


def _parted(at_us: "Ints", since: "Ints", spent: "Ints") -> "tuple[Ints, Ints, Ints]":
    """Return stretches parted where an instant of each lies within it: the row of each part, its begin and length."""
    before = at_us - since
    parted = np.flatnonzero((before > 0) & (before < spent))
    row = np.append(np.arange(len(since)), parted)
    since, after = np.append(since, at_us[parted]), spent[parted] - before[parted]
    spent = np.append(spent, after)
    spent[parted] = before[parted]
    return row, since, spent


def states_filled(found: "Lives", path: MidPath, own: OwnFills, fills: "Table", span: tuple[int, int]) -> "Ints":
    """Return instant and state of each fill in ``[start, end)``, one a column: as its order stood until then."""
    row = fills[:, 1] - found.first_id
    counted = (row >= 0) & (fills[:, 0] >= span[0]) & (fills[:, 0] < span[1])
    us, row = fills[counted, 0], row[counted]
    at = np.searchsorted(path.us, us, side="left") - 1
    sent, side = own.sent[row], found.side[row]
    seen = (at >= 0) & (sent < 1 << 62)
    seen[seen] = path.mid2[at[seen]] > 0
    us, row, at, sent, side = us[seen], row[seen], at[seen], sent[seen], side[seen]
    recent = us - path.us[at] <= path.recent_us
    stands = side * (path.mid2[at] - 2 * found.ticks[row])
    return np.stack((us, sent, stands, path.move(at, side, recent), own.moment(row, us - 1)))
