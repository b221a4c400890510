"""Fills per second of orders by what has happened to them since they were sent, and the fills that this predicts.

How often a resting order fills depends on more than its distance from the mid. One that was sent farther away, and that
the mid has just come up to, waits for its cancel while the price runs; one that stays at its price through moves back
and forth keeps its place in the queue. So an order's state is the distance at which it was sent, the distance at which
it stands, which way the mid went last (towards the order or away), and whether that is as recent as quotes need to
follow. Distances are whole half ticks from the mid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Journal, Table
    from mm.backtest.metrics.order_lives import Lives

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

StateRow = tuple[float, float, int, int, float, float]
EXACT, GROWTH, STEPS = 4, 1.12, 80  # bins: of one half tick up to so many, then wider by this factor; how many
ZONES, MOVES = 4, 4  # stretches of distance in which bins count anew; last move towards or away, recent or not
NODE_SHARE = 0.3  # of the most order time at a distance nearby: distances sent to less often join the nearest other one
NEARBY, NEARBY_SHARE = 2, 0.2  # half ticks, and share of the distance, that are nearby
DOUBT = 1.0  # fills beyond the first at which the rate of a state is half its own and half that of the wider one
TINY = 1e-300


class Stretches(NamedTuple):
    """How orders stood, cut where the mid moves or its last move ceases to be recent.

    Attributes:
        order: Row of the order in its ``Lives``.
        begin_us: Begin of each stretch.
        spent_us: Its length.
        sent: Distance at which the order was sent, in half ticks.
        stands: Distance at which it stands.
        move: 0 to 3: the mid's last move was away from the order, or towards it (1); and is recent (+ 2).
    """

    order: "Ints"
    begin_us: "Ints"
    spent_us: "Ints"
    sent: "Ints"
    stands: "Ints"
    move: "Ints"


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

    def cuts(self) -> "tuple[Ints, Ints, NDArray[np.bool_]]":
        """Return the begin of each stretch, its row of the path, and whether the last move is recent in it."""
        stale = self.us + self.recent_us
        whole = np.append(stale[:-1] < self.us[1:], True) if len(stale) else np.zeros(0, bool)
        us = np.concatenate((self.us, stale[whole]))
        row = np.concatenate((np.arange(len(self.us)), np.flatnonzero(whole)))
        recent = np.arange(len(us)) < len(self.us)
        order = np.argsort(us, kind="stable")
        return us[order], row[order], recent[order]

    def move(self, row: "Ints", side: "Ints", recent: "NDArray[np.bool_]") -> "Ints":
        """Return the last move as orders of *side* see it in a row of the path."""
        known = self.before[row] > 0
        towards = known & (side * (self.mid2[row] - self.before[row]) < 0)
        found: Ints = towards + 2 * (known & recent)
        return found


def _sent_at(found: "Lives", path: MidPath) -> "Ints":
    """Return the distance at which each order was sent; 2^62 where there was no valid book."""
    row = np.searchsorted(path.us, found.sent_us, side="right") - 1
    mid2 = np.where(row >= 0, path.mid2[np.maximum(row, 0)], 0)
    distance: Ints = np.where(mid2 > 0, found.side * (mid2 - 2 * found.ticks), 1 << 62)
    return distance


def stretches(found: "Lives", path: MidPath, span: tuple[int, int]) -> Stretches:
    """Return how the orders *found* stood in ``[start, end)``; time without a valid book is left out."""
    us, rows, recent = path.cuts()
    sent = _sent_at(found, path)
    end_us = np.where(found.end_us < 0, found.last_us, found.end_us)
    begin_us, end_us = np.maximum(found.active_us, span[0]), np.minimum(end_us, span[1])
    begin_us = np.maximum(begin_us, us[0]) if len(us) else begin_us
    lived = np.flatnonzero(found.rested & (begin_us < end_us) & (sent < 1 << 62) & bool(len(us)))
    begin_us, end_us = begin_us[lived], end_us[lived]
    first = np.searchsorted(us, begin_us, side="right") - 1
    count = np.searchsorted(us, end_us, side="left") - first
    owner = np.repeat(np.arange(len(lived)), count)
    cut = np.arange(len(owner)) + np.repeat(first - (np.cumsum(count) - count), count)
    since = np.maximum(begin_us[owner], us[cut])
    spent = np.minimum(end_us[owner], np.append(us[1:], found.last_us)[cut]) - since
    kept = (spent > 0) & (path.mid2[rows[cut]] > 0)
    order, row, since, spent, recent = lived[owner[kept]], rows[cut[kept]], since[kept], spent[kept], recent[cut[kept]]
    side = found.side[order]
    return Stretches(
        order, since, spent, sent[order], side * (path.mid2[row] - 2 * found.ticks[order]), path.move(row, side, recent)
    )


def _fills(found: "Lives", path: MidPath, fills: "Table", span: tuple[int, int]) -> "Ints":
    """Return sent, stands and move of each fill in a span, one a column: as its order stood until then."""
    row = fills[:, 1] - found.first_id
    counted = (row >= 0) & (fills[:, 0] >= span[0]) & (fills[:, 0] < span[1])
    us, row = fills[counted, 0], row[counted]
    at = np.searchsorted(path.us, us, side="left") - 1
    sent, side = _sent_at(found, path)[row], found.side[row]
    seen = (at >= 0) & (sent < 1 << 62)
    seen[seen] = path.mid2[at[seen]] > 0
    us, row, at, sent, side = us[seen], row[seen], at[seen], sent[seen], side[seen]
    recent = us - path.us[at] <= path.recent_us
    return np.stack((sent, side * (path.mid2[at] - 2 * found.ticks[row]), path.move(at, side, recent)))


def state_sums(journal: "Journal", recent_us: int, span: tuple[int, int]) -> "Floats":
    """Return the order-seconds and fills of a run in ``[start, end)`` by state: float64[rows, 5].

    The columns: distance at which orders were sent and at which they stood, in half ticks, last move, seconds, fills.
    """
    from mm.backtest.metrics.order_lives import lives

    found, path = lives(journal), MidPath.of(journal.mids, recent_us)
    waited = stretches(found, path, span)
    filled = _fills(found, path, journal.fills, span)
    states = np.concatenate((np.stack((waited.sent, waited.stands, waited.move)), filled), axis=1).T
    seconds = np.append(waited.spent_us / US_PER_S, np.zeros(filled.shape[1]))
    count = np.append(np.zeros(len(waited.order)), np.ones(filled.shape[1]))
    return summed(np.column_stack((states, seconds, count)))


def summed(rows: "Floats") -> "Floats":
    """Return the *rows* of equal state summed, in order of their states."""
    states, into = _states(rows[:, :3])
    sums = [np.bincount(into, column, len(states)) for column in rows[:, 3:].T]
    return np.column_stack((states, *sums))


def _states(rows: "NDArray[Any]") -> "tuple[Ints, Ints]":
    """Return the distinct *rows* in order, int64[n, 3], and which of them each row is.

    What ``np.unique`` returns by axis, which compares rows field by field: here each is one whole number.
    """
    whole = rows.astype(np.int64)
    low = whole.min(axis=0, initial=0)
    size = tuple((whole.max(axis=0, initial=0) - low + 1).tolist())
    found, into = np.unique(np.ravel_multi_index(tuple((whole - low).T), size), return_inverse=True)
    return np.stack(np.unravel_index(found, size), axis=1) + low, into


def bins(sent: "Ints | Floats", stands: "Ints | Floats") -> "Ints":
    """Return the bin of the distance at which orders stand, by that at which they were *sent*.

    Bins are fine where distances matter: about the distance at which they were sent, and about the mid.
    """
    zones = [stands >= sent, 2 * stands >= sent, stands > 0]
    zone = np.select(zones, [0, 1, 2], 3)
    off = np.select(zones, [stands - sent, sent - stands, stands], -stands)
    wide = EXACT + np.ceil(np.log(np.maximum(off, EXACT) / EXACT) / np.log(GROWTH))
    step = np.where(off <= EXACT, np.round(off), np.minimum(wide, STEPS - 1))
    found: Ints = (zone * STEPS + step).astype(np.int64)
    return found


def rows_of(sums: "Floats") -> tuple[StateRow, ...]:
    """Return *sums* by bins, as ``poisson_fit.json`` holds them.

    Of each: the distance at which orders were sent and the nearest one of the bin at which they stood, in ticks;
    whether the mid's last move was towards them, and recent; order-seconds and fills.
    """
    states = np.column_stack((sums[:, 0], bins(sums[:, 0], sums[:, 1]), sums[:, 2]))
    nearest, into = _states(states)
    first = np.full(len(nearest), len(into))
    np.minimum.at(first, into, np.arange(len(into)))
    sums = sums.copy()
    sums[:, 1] = sums[first[into], 1]
    return tuple(
        (sent / 2, stands / 2, int(move) & 1, int(move) >> 1, seconds, fills)
        for sent, stands, move, seconds, fills in summed(sums).tolist()
    )


class FillStates:
    """Fills per second by state, from what was seen; between distances that were sent to they are interpolated.

    A state of few fills is drawn towards the rate of the wider ones that it belongs to, whose sum stays. Distances in
    whole ticks are interpolated apart from those half a tick off: prices are whole ticks, so the spread is even with
    the former and odd with the latter, and orders fill more often while it is not as usual.

    Args:
        rows: As ``rows_of`` returns them.
        recent_s: How long a move of the mid is recent.
        k_per_tick: How fast fills get rarer beyond the farthest distance that was sent to.
    """

    def __init__(self, rows: Sequence[StateRow], recent_s: float, k_per_tick: float) -> None:
        table = np.array(rows, np.float64).reshape(-1, 6) * (2, 2, 1, 1, 1, 1)
        self.recent_us, self._k = round(recent_s * US_PER_S), k_per_tick
        self._nodes, node = _nodes(table[:, 0], table[:, 4])
        at = node, bins(table[:, 0], table[:, 1]), (table[:, 2] + 2 * table[:, 3]).astype(np.int64)
        seconds, fills = np.zeros((2, len(self._nodes), ZONES * STEPS, MOVES))
        np.add.at(seconds, at, table[:, 4])
        np.add.at(fills, at, table[:, 5])
        rate = np.full((1, 1, 1), fills.sum() / max(seconds.sum(), TINY))
        for within, beside in (((0, 2), 1), ((2,), 0), ((), 2)):  # by bin; by node and bin; by state
            waited, seen = (one.sum(axis=within, keepdims=True) for one in (seconds, fills))
            known = np.maximum(seen - 1, 0) + waited * rate
            own = rate + known / (known + DOUBT) * (seen / np.maximum(waited, TINY) - rate)
            total, drawn = ((waited * one).sum(axis=beside, keepdims=True) for one in (rate, own))
            rate = own * np.where(drawn > 0, total / np.maximum(drawn, TINY), 1.0)
        self._rates = rate
        parts = [np.flatnonzero(self._nodes % 2 == part) for part in (0, 1)]
        self._parts = [part if len(part) else np.arange(len(self._nodes)) for part in parts]

    def rates(self, sent: "Ints", stands: "Ints", move: "Ints") -> "Floats":
        """Return the fills per second of orders in states, distances in half ticks."""
        found = np.empty(len(sent))
        for part, at in enumerate(self._parts):
            rows = np.flatnonzero(sent % 2 == part)
            found[rows] = self._interpolated(at, sent[rows], bins(sent[rows], stands[rows]), move[rows])
        return found

    def _interpolated(self, at: "Ints", sent: "Ints", place: "Ints", move: "Ints") -> "Floats":
        """Return the rates of orders between those of the nodes *at*; *place* is the bin at which they stand."""
        nodes = self._nodes[at]
        upper = np.minimum(np.searchsorted(nodes, sent), len(nodes) - 1)
        lower = np.maximum(upper - 1, 0)
        share = np.clip((sent - nodes[lower]) / np.maximum(nodes[upper] - nodes[lower], 1), 0, 1)
        near, far = (self._rates[at[one], place, move] for one in (lower, upper))
        found: Floats = near ** (1 - share) * far**share * np.exp(-self._k * np.maximum(sent - nodes[-1], 0) / 2)
        return found

    def predicted(self, found: "Lives", mids: "Table") -> "tuple[Ints, Ints, Floats]":
        """Return when each stretch of the orders *found* begins, its distance in half ticks and its predicted fills."""
        waited = stretches(found, MidPath.of(mids, self.recent_us), (0, found.last_us))
        fills: Floats = self.rates(waited.sent, waited.stands, waited.move) * waited.spent_us / US_PER_S
        return waited.begin_us, waited.stands, fills


def often_sent(distance: "Floats", seconds: "Floats") -> "NDArray[np.bool_]":
    """Return which distances orders were sent to as quotes do.

    Others come about while the spread is as it seldom is: what fills then is no measure of a quote that always stands
    there.

    Args:
        distance: In half ticks, each once.
        seconds: Order time of each.
    """
    apart = np.abs(distance[:, None] - distance)
    alike = (apart <= NEARBY + NEARBY_SHARE * np.abs(distance)[:, None]) & (apart % 2 == 0)
    often: NDArray[np.bool_] = seconds >= NODE_SHARE * np.where(alike, seconds, 0.0).max(axis=1, initial=0.0)
    return often


def _nodes(sent: "Floats", seconds: "Floats") -> "tuple[Floats, Ints]":
    """Return the distances that orders were often sent to, in half ticks, and to which of them each row belongs.

    Args:
        sent: Distance of each row, in half ticks.
        seconds: Its order time.
    """
    each, into = np.unique(sent, return_inverse=True)
    nodes = each[often_sent(each, np.bincount(into.ravel(), seconds, len(each)).astype(np.float64))]
    apart = np.abs(each[:, None] - nodes)
    other_part = np.where(apart % 2 == 0, 0.0, apart.max(initial=0.0))
    return nodes, (apart + other_part).argmin(axis=1)[into.ravel()]
