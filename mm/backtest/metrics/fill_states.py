"""Fills per second of orders by what has happened to them since they were sent, and the fills that this predicts.

The states are those of `mm.backtest.metrics.resting_states`. That of an order whose own side shows nothing of it never
comes about where orders keep their distance, so it has the rate of all other moments together.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.order_lives import lives
from mm.backtest.metrics.resting_states import RestingStates, Stretches
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Journal

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

StateRow = tuple[float, float, int, int, int, int, int, float, float]
STATE_ROW = "sent at, stands at, towards, recent, rested, other, own, seconds, fills"
EXACT, GROWTH, STEPS = 4, 1.12, 80  # bins: of one half tick up to so many, then wider by this factor; how many
ZONES, MOVES = 4, 4  # stretches of distance in which bins count anew; last move towards or away, recent or not
MOMENTS = 12  # rested for long or not; the other side just filled or not; what is known of the own one
NODE_SHARE = 0.3  # of the most order time at a distance nearby: distances sent to less often join the nearest other one
NEARBY, NEARBY_SHARE = 2, 0.2  # half ticks, and share of the distance, that are nearby
# Weight of the rate that the rate of a state is shrunk towards, in fills beyond the first, by bin: the parts of an
# order that the mid has come close to fill at once, and say as much as one fill.
PRIOR_FILLS = np.repeat((1.0, 1.0, 10.0, 10.0), STEPS)[:, None]
MOMENT_PRIOR_FILLS = 700.0  # likewise of all moments together: bursts of fills are few where fills are not
ALIKE = 0.3  # of the logarithm of distance, which makes two distances alike
JUMP_S = 0.01  # beside the order time of a state with fills: an order that a jump of the mid passes fills in no time
HALF = 0.5  # of a fill, and of a second, beside what was seen at a distance
TINY = 1e-300


def state_sums(journal: "Journal", recent_us: int, cuts: Sequence[int]) -> "Floats":
    """Return the order-seconds and fills of a run by period and state: float64[rows, 7].

    The columns: number of the period, distance at which orders were sent and at which they stood, in half ticks, last
    move and moment as `Stretches` has them, seconds, fills.

    Args:
        journal: The run.
        recent_us: How long a move of the mid is recent.
        cuts: Begin of the first period, of each other one, and end of the last, in µs.
    """
    at, span = np.array(cuts, np.int64), (cuts[0], cuts[-1])
    orders = RestingStates(lives(journal), journal.mids, journal.fills, recent_us)
    waited, (filled_us, filled, states) = orders.stretches(span, at[1:-1]), orders.filled(span)
    size = len(cuts) * len(states)
    begun, came = (
        (np.searchsorted(at, us, side="right") - 1) * len(states) + state
        for us, state in ((waited.begin_us, waited.state), (filled_us, filled))
    )
    seconds = np.bincount(begun, waited.spent_us, size) / US_PER_S
    fills = np.bincount(came, minlength=size)
    seen = np.flatnonzero((seconds > 0) | (fills > 0))
    period, state = np.divmod(seen, max(len(states), 1))
    rows = np.column_stack((period, states[state], seconds[seen], fills[seen]))
    return rows[np.lexsort(rows[:, 4::-1].T)]


def summed(rows: "Floats") -> "Floats":
    """Return the *rows* of equal state summed, in order of their states; the last two columns are seconds and fills."""
    states, into = _states(rows[:, :-2])
    sums = [np.bincount(into, column, len(states)) for column in rows[:, -2:].T]
    return np.column_stack((states, *sums))


def _states(rows: "NDArray[Any]") -> "tuple[Ints, Ints]":
    """Return the distinct *rows* in order, as whole numbers, and which of them each row is.

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


def is_state(row: Any) -> bool:
    """Return whether *row* is one of measured states: half ticks, 0 or 1 (the last 0 to 2), seconds and fills."""
    if not isinstance(row, list | tuple) or [type(value) in (int, float) for value in row] != [True] * 9:
        return False
    sent, stands, towards, recent, rested, other, own, seconds, fills = row
    flags = {towards, recent, rested, other} <= {0, 1} and own in (0, 1, 2)
    halves = math.isfinite(sent + stands) and float(2 * sent).is_integer() and float(2 * stands).is_integer()
    return flags and halves and 0 <= seconds < math.inf and 0 <= fills < math.inf


def rows_of(sums: "Floats") -> tuple[StateRow, ...]:
    """Return *sums* by bins, as ``poisson_fit.json`` holds them; their first column, the period, does not count.

    Of each: the distance at which orders were sent and the nearest one of the bin at which they stood, in ticks;
    whether the mid's last move was towards them, and recent; whether they had rested for long, whether the other side
    was just filled, and whether the own one was (1; 2: unknown); order-seconds and fills.
    """
    sums = sums[:, 1:].copy()
    found, into = _states(np.column_stack((sums[:, 0], bins(sums[:, 0], sums[:, 1]), sums[:, 2:4])))
    nearest = np.full(len(found), np.inf)
    np.minimum.at(nearest, into, sums[:, 1])
    sums[:, 1] = nearest[into]
    columns = summed(sums)
    return tuple(
        (sent / 2, stands / 2, move & 1, move >> 1, moment // 6, moment // 3 % 2, moment % 3, round(seconds, 6), fills)
        for (sent, stands, seconds, fills), (move, moment) in zip(
            columns[:, (0, 1, 4, 5)].tolist(), columns[:, 2:4].astype(int).tolist(), strict=True
        )
    )


class FillStates:
    """Fills per second by state, from what was seen; between distances that were sent to they are interpolated.

    A state of few fills is shrunk towards what was seen at distances like its own, and a moment of few towards all
    moments together; the fills of each distance stay. Distances in whole ticks are interpolated apart from those half a
    tick off: prices are whole ticks, so the spread is even with the former and odd with the latter, and orders fill
    more often while it is not as usual.

    Args:
        rows: As ``rows_of`` returns them.
        recent_s: How long a move of the mid is recent.
        k_per_tick: How fast fills get rarer beyond the farthest distance that was sent to.
    """

    def __init__(self, rows: Sequence[StateRow], recent_s: float, k_per_tick: float) -> None:
        table = np.array(rows, np.float64).reshape(-1, 9) * (2, 2, *[1] * 7)
        self.recent_us, self._k = round(recent_s * US_PER_S), k_per_tick
        self._nodes, node = _nodes(table[:, 0], table[:, 7])
        towards, recent, rested, other, own = table[:, 2:7].astype(np.int64).T
        move, moment = towards + 2 * recent, own + 3 * other + 6 * rested
        at = node, bins(table[:, 0], table[:, 1]), move, moment
        seconds, fills = np.zeros((2, len(self._nodes), ZONES * STEPS, MOVES, MOMENTS))
        np.add.at(seconds, at, table[:, 7])
        np.add.at(fills, at, table[:, 8])
        self._rates = _by_moment(_by_move(self._nodes, seconds.sum(axis=3), fills.sum(axis=3)), seconds, fills)
        parts = [np.flatnonzero(self._nodes % 2 == part) for part in (0, 1)]
        self._parts = [part if len(part) else np.arange(len(self._nodes)) for part in parts]

    def rates(self, sent: "Ints", stands: "Ints", move: "Ints", moment: "Ints") -> "Floats":
        """Return the fills per second of orders in states, distances in half ticks.

        Orders that are sent nearer than any other count as those, moved with the distance at which they stand.
        """
        found = np.empty(len(sent))
        for part, at in enumerate(self._parts):
            rows = np.flatnonzero(sent % 2 == part)
            if not len(rows):
                continue
            counted = np.maximum(sent[rows], self._nodes[at[0]])
            state = bins(counted, stands[rows] + counted - sent[rows]), move[rows], moment[rows]
            found[rows] = self._interpolated(at, counted, state)
        return found

    def _interpolated(self, at: "Ints", sent: "Ints", state: "tuple[Ints, Ints, Ints]") -> "Floats":
        """Return the rates of orders between those of the nodes *at*, by the bin at which they stand and the rest."""
        nodes = self._nodes[at]
        upper = np.minimum(np.searchsorted(nodes, sent), len(nodes) - 1)
        lower = np.maximum(upper - 1, 0)
        share = np.clip((sent - nodes[lower]) / np.maximum(nodes[upper] - nodes[lower], 1), 0, 1)
        near, far = (self._rates[at[one], *state] for one in (lower, upper))
        found: Floats = near ** (1 - share) * far**share * np.exp(-self._k * np.maximum(sent - nodes[-1], 0) / 2)
        return found

    def predicted(self, waited: Stretches) -> "Floats":
        """Return the fills that each of the stretches predicts."""
        fills: Floats = self.rates(*waited.states.T)[waited.state] * waited.spent_us / US_PER_S
        return fills


def _by_move(nodes: "Floats", seconds: "Floats", fills: "Floats") -> "Floats":
    """Return the fills per second by node, bin and last move.

    What few orders saw at a distance is shrunk towards what was seen at distances like it, in proportion to the rates
    of all orders sent there: an order that stays where it is while the mid comes up by half a tick may be seen at some
    distances alone. The fills of each node stay.

    Args:
        nodes: Distances, in half ticks.
        seconds: float64[nodes, bins, moves], order time.
        fills: Likewise.
    """
    waited, seen = seconds.sum(axis=(1, 2)), fills.sum(axis=(1, 2))
    level = ((seen + HALF) / (waited + HALF))[:, None, None]
    scale = np.log(np.maximum(nodes, 0.0) + EXACT)
    alike = np.exp(-(np.subtract.outer(scale, scale) ** 2) / (2 * ALIKE**2))
    lasted = seconds + JUMP_S * (fills > 0)
    expected, rate = lasted * level, np.ones((1, 1, 1))
    for wide in ((0, 2), (0,)):  # by bin; by bin and move
        rate = _shrunk(rate, expected.sum(axis=wide, keepdims=True), fills.sum(axis=wide, keepdims=True), PRIOR_FILLS)
    # not by a product of matrices, see ``arithmetic.dot``
    expected_near, fills_near = (np.einsum("nm,mbv->nbv", alike, one) for one in (expected, fills))
    own = _shrunk(level * _shrunk(rate, expected_near, fills_near, PRIOR_FILLS), lasted, fills, PRIOR_FILLS)
    found: Floats = own * (seen / np.maximum((seconds * own).sum(axis=(1, 2)), TINY))[:, None, None]
    return found


def _by_moment(rate: "Floats", seconds: "Floats", fills: "Floats") -> "Floats":
    """Return the fills per second by node, bin, last move and moment, those of all moments together being *rate*."""
    own = _shrunk(rate[..., None], seconds, fills, MOMENT_PRIOR_FILLS)
    total, shrunk = ((seconds * one).sum(axis=3, keepdims=True) for one in (rate[..., None], own))
    found: Floats = own * np.where(shrunk > 0, total / np.maximum(shrunk, TINY), 1.0)
    return found


def _shrunk(rate: "Floats", seconds: "Floats", fills: "Floats", prior_fills: "float | Floats") -> "Floats":
    """Return fills per second as they were seen, shrunk towards a *rate* where few were."""
    known = np.maximum(fills - 1, 0) + seconds * rate
    found: Floats = rate + known / (known + prior_fills) * (fills / np.maximum(seconds, TINY) - rate)
    return found


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
