"""Fills per second of orders by what has happened to them since they were sent, and the fills that this predicts.

The states are those of `mm.backtest.metrics.resting_states`. The rate of one is that of its distances and the mid's
last move, times a factor for each of these: the flow that the order's side sees, where it stands to its side's best
price, the mid's deviation, and the ticks swept. To measure each state on its own there are too few fills.
`mm.calibration.state_rates` finds them from what was seen.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mm.backtest.metrics._market_paths import LEAST_FLOW, MOST_FLOW, SINCE_S
from mm.backtest.metrics.market_paths import DEVIATIONS, FLOWS, LEVELS, SWEPT
from mm.backtest.metrics.order_lives import lives
from mm.backtest.metrics.resting_states import TOUCHES, RestingStates, Stretches
from mm.clock import US_PER_S
from mm.dataclass import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Journal
    from mm.backtest.metrics.market_paths import MarketPaths

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

StateRow = tuple[float, float, int, int, float, float, float]
HitRow = tuple[float, int, float, int, float]
ClassRow = tuple[float, int, float]
STATE_ROW = "sent at, stands at, towards, recent, seconds, weighted seconds, fills"
HIT_ROW = "sent at, rested, since, level, times"
TOUCH_ROW = "sent at, touch, times"
CLASS_ROW = "sent at, class, times"
EXACT, GROWTH, STEPS = 4, 1.12, 80  # bins: of one half tick up to so many, then wider by this factor; how many
ZONES, MOVES = 4, 4  # stretches of distance in which bins count anew; last move towards or away, recent or not
NODE_SHARE = 0.3  # of the most order time at a distance nearby: distances sent to less often join the nearest other one
NEARBY, NEARBY_SHARE = 2, 0.2  # half ticks, and share of the distance, that are nearby
# Weight of the rate that the rate of a state is shrunk towards, in fills beyond the first, by bin: the parts of an
# order that the mid has come close to fill at once, and say as much as one fill.
PRIOR_FILLS = np.repeat((1.0, 1.0, 10.0, 10.0), STEPS)[:, None]
ALIKE = 0.3  # of the logarithm of distance, which makes two distances alike
JUMP_S = 0.01  # beside the order time of a state with fills: an order that a jump of the mid passes fills in no time
HALF = 0.5  # of a fill, and of a second, beside what was seen at a distance
TINY = 1e-300


@dataclass(frozen=True, slots=True)
class StateRates:
    """How often orders fill by their state, as a fit holds it; distances in ticks.

    Attributes:
        states: By distances and last move: the distance at which orders were sent, and the nearest one of the bin at
            which they stood; whether the mid's last move was towards them, and recent (1 or 0); order-seconds, the same
            weighted by its factors, and fills.
        hits: By distance at which orders were sent, by whether they had rested for long, and by the flow of aggressive
            orders: the least time since the last one, in s; the level; and how many times as often they fill.
        touch: By distance at which orders were sent, and by whether they were inside the spread (-1), at their side's
            best price (0) or behind it (1): how many times as often they fill.
        deviation: By distance at which orders were sent, and by the class of the mid's deviation from its average (0 up
            to half a tick, then one more whenever it doubles, positive away from the order): how many times as often
            they fill.
        swept: By distance at which orders were sent, and by the class of the ticks swept on their side, in the same
            form: how many times as often they fill.
    """

    states: tuple[StateRow, ...]
    hits: tuple[HitRow, ...]
    touch: tuple[ClassRow, ...]
    deviation: tuple[ClassRow, ...]
    swept: tuple[ClassRow, ...]

    @property
    def fills(self) -> float:
        """All fills that were seen."""
        return sum(row[-1] for row in self.states)

    @classmethod
    def read(cls, content: Any) -> "StateRates":
        """Return the rates from JSON.

        Raises:
            ValueError: Where it holds something else.
        """
        if not isinstance(content, dict) or set(content) != set(_ROWS):
            raise ValueError(f"is {str(content)[:60]}, where an object of {', '.join(_ROWS)} belongs")
        for name, (of, is_row) in _ROWS.items():
            rows = content[name]
            wrong = [row for row in rows if not is_row(row)] if isinstance(rows, list | tuple) else [rows]
            if wrong:
                raise ValueError(f"{name} holds {str(wrong[0])[:60]}, where [{of}] belongs")
        return cls(**{name: tuple(tuple(row) for row in content[name]) for name in _ROWS})


def state_sums(journal: "Journal", recent_us: int, cuts: Sequence[int], market: "MarketPaths") -> "Floats":
    """Return the order-seconds and fills of a run by period and state: float64[rows, 11].

    The columns: number of the period, distance at which orders were sent, in half ticks, bin of that at which they
    stood, the nearest one of it that came about, last move, flow, touch, deviation and ticks swept as `Stretches` has
    them, seconds, fills.

    Args:
        journal: The run.
        recent_us: How long a move of the mid is recent.
        cuts: Begin of the first period, of each other one, and end of the last, in µs.
        market: What states read of the market.
    """
    at, span = np.array(cuts, np.int64), (cuts[0], cuts[-1])
    orders = RestingStates(lives(journal), journal.mids, journal.fills, recent_us, market)
    waited, (filled_us, filled, states) = orders.stretches(span, at[1:-1]), orders.filled(span)
    sent, stands, *others = states.T
    groups, group = distinct(np.column_stack((sent, bins(sent, stands), *others)))
    nearest = np.full(len(groups), np.inf)
    np.minimum.at(nearest, group, stands)
    size = len(cuts) * len(groups)
    begun, came = (
        (np.searchsorted(at, us, side="right") - 1) * len(groups) + group[state]
        for us, state in ((waited.begin_us, waited.state), (filled_us, filled))
    )
    seconds = np.bincount(begun, waited.spent_us, size) / US_PER_S
    fills = np.bincount(came, minlength=size)
    seen = np.flatnonzero((seconds > 0) | (fills > 0))
    period, row = np.divmod(seen, max(len(groups), 1))
    found = groups[row]
    return np.column_stack((period, found[:, :2], nearest[row], found[:, 2:], seconds[seen], fills[seen]))


def distinct(rows: "NDArray[Any]") -> "tuple[Ints, Ints]":
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


def _is_state(row: Any) -> bool:
    """Return whether *row* is one of measured states: half ticks, flags, seconds and fills."""
    if not _are_numbers(row, 7):
        return False
    sent, stands, towards, recent, *sums = row
    return (
        _is_half(sent) and _is_half(stands) and {towards, recent} <= {0, 1} and all(0 <= one < math.inf for one in sums)
    )


def _is_hit(row: Any) -> bool:
    """Return whether *row* is a distance, a flag, a class of time, a level of the flow, and a factor."""
    return (
        _are_numbers(row, 5)
        and _is_half(row[0])
        and row[1] in (0, 1)
        and row[2] in SINCE_S
        and row[3] in range(LEAST_FLOW, MOST_FLOW + 1)
        and 0 <= row[4] < math.inf
    )


def _is_class(row: Any, classes: Sequence[int]) -> bool:
    """Return whether *row* is a distance, one of *classes*, and a factor."""
    return _are_numbers(row, 3) and _is_half(row[0]) and row[1] in classes and 0 <= row[2] < math.inf


def _are_numbers(row: Any, count: int) -> bool:
    return isinstance(row, list | tuple) and [type(value) in (int, float) for value in row] == [True] * count


def _is_half(ticks: float) -> bool:
    return math.isfinite(ticks) and float(2 * ticks).is_integer()


_ROWS: "dict[str, tuple[str, Callable[[Any], bool]]]" = {
    "states": (STATE_ROW, _is_state),
    "hits": (HIT_ROW, _is_hit),
    "touch": (TOUCH_ROW, partial(_is_class, classes=TOUCHES)),
    "deviation": (CLASS_ROW, partial(_is_class, classes=DEVIATIONS)),
    "swept": (CLASS_ROW, partial(_is_class, classes=SWEPT)),
}


class FillStates:
    """Fills per second by state, from what was seen; between distances that were sent to they are interpolated.

    A state of few fills is shrunk towards what was seen at distances like its own; the fills of each distance stay.
    Distances in whole ticks are interpolated apart from those half a tick off: prices are whole ticks, so the spread is
    even with the former and odd with the latter, and orders fill more often while it is not as usual. A level
    of the flow that never came about counts as the next one that did, and so does a class of any other factor.

    Args:
        rates: As ``rates_of`` returns them.
        recent_s: How long a move of the mid is recent.
        k_per_tick: How fast fills get rarer beyond the farthest distance that was sent to.

    Attributes:
        times: How many times as often orders that have rested for long fill, by the distances *ticks* and each class:
            of the flow, of the ticks swept, and of the deviation.
    """

    def __init__(self, rates: StateRates, recent_s: float, k_per_tick: float) -> None:
        self.recent_us, self._k = round(recent_s * US_PER_S), k_per_tick
        sums = Sums.of(rates.states)
        self._nodes, self._rates = sums.nodes, by_move(sums.nodes, sums.weighted_s, sums.fills)
        sent, rested, since, level, times = np.array(rates.hits, np.float64).reshape(-1, 5).T
        flow = rested.astype(int), np.searchsorted(SINCE_S, since), level.astype(int) - LEAST_FLOW
        shape, at = (len(self._nodes), 2, len(SINCE_S), LEVELS), (np.searchsorted(self._nodes, 2 * sent), *flow)
        self._times = _at_all_levels(shape, at, times).reshape(-1, 2, FLOWS)
        self._touch = self._by_class(rates.touch, TOUCHES)
        self._deviation = self._by_class(rates.deviation, DEVIATIONS)
        self._swept = self._by_class(rates.swept, SWEPT)
        self.times: tuple[Floats, Floats, Floats] = (self._times[:, 1], self._swept, self._deviation)
        parts = [np.flatnonzero(self._nodes % 2 == part) for part in (0, 1)]
        self._parts = [part if len(part) else np.arange(len(self._nodes)) for part in parts]

    def _by_class(self, rows: Sequence[ClassRow], classes: Sequence[int]) -> "Floats":
        """Return the factors of *rows* by node and class."""
        sent, number, times = np.array(rows, np.float64).reshape(-1, 3).T
        places = np.searchsorted(self._nodes, 2 * sent), number.astype(int) - classes[0]
        return _at_all_levels((len(self._nodes), len(classes)), places, times)

    @property
    def ticks(self) -> "Floats":
        """Distances that orders were often sent to, in ticks."""
        return self._nodes / 2

    def rates(self, states: "Ints") -> "Floats":
        """Return the fills per second of orders in *states*, int64[n, 7], with the columns of `Stretches`.

        Orders that are sent nearer than any other count as those, moved with the distance at which they stand.
        """
        found = np.empty(len(states))
        for part, at in enumerate(self._parts):
            rows = np.flatnonzero(states[:, 0] % 2 == part)
            if not len(rows):
                continue
            sent, stands, move, flow, touch, deviation, swept = states[rows].T
            counted = np.maximum(sent, self._nodes[at[0]])
            stands_bin = bins(counted, stands + counted - sent)
            classes = touch - TOUCHES[0], deviation - DEVIATIONS[0], swept
            found[rows] = self._interpolated(at, counted, (stands_bin, move, flow & 1, flow >> 1, *classes))
        return found

    def _interpolated(self, at: "Ints", sent: "Ints", state: "tuple[Ints, ...]") -> "Floats":
        """Return the rates of orders between those of the nodes *at*, by the bin at which they stand and the rest."""
        nodes, (stands, move, rested, flow, touch, deviation, swept) = self._nodes[at], state
        upper = np.minimum(np.searchsorted(nodes, sent), len(nodes) - 1)
        lower = np.maximum(upper - 1, 0)
        share = np.clip((sent - nodes[lower]) / np.maximum(nodes[upper] - nodes[lower], 1), 0, 1)
        near, far = (
            self._rates[one, stands, move]
            * self._times[one, rested, flow]
            * self._touch[one, touch]
            * self._deviation[one, deviation]
            * self._swept[one, swept]
            for one in (at[lower], at[upper])
        )
        found: Floats = near ** (1 - share) * far**share * np.exp(-self._k * np.maximum(sent - nodes[-1], 0) / 2)
        return found

    def predicted(self, waited: Stretches) -> "Floats":
        """Return the fills that each of the stretches predicts."""
        fills: Floats = self.rates(waited.states)[waited.state] * waited.spent_us / US_PER_S
        return fills


class Sums(NamedTuple):
    """Order time and fills by node, bin and last move.

    Attributes:
        nodes: Distances that orders were often sent to, in half ticks.
        weighted_s: float64[nodes, bins, moves], order time, weighted by the factors of its states.
        fills: Likewise.
    """

    nodes: "Floats"
    weighted_s: "Floats"
    fills: "Floats"

    @classmethod
    def of(cls, rows: Sequence[StateRow]) -> "Sums":
        """Return the sums of rows of ``StateRates``."""
        table = np.array(rows, np.float64).reshape(-1, 7) * (2, 2, *[1] * 5)
        nodes, node = nodes_of(table[:, 0], table[:, 4])
        move = (table[:, 2] + 2 * table[:, 3]).astype(np.int64)
        return cls(nodes, *by_state(len(nodes), (node, bins(table[:, 0], table[:, 1]), move), *table[:, 5:].T))


def by_state(nodes: int, at: "tuple[Ints, Ints, Ints]", *columns: "Floats") -> "list[Floats]":
    """Return columns summed by node, bin and last move."""
    shape = nodes, ZONES * STEPS, MOVES
    place = np.ravel_multi_index(at, shape)
    return [np.bincount(place, one, math.prod(shape)).astype(np.float64).reshape(shape) for one in columns]


def _at_all_levels(shape: tuple[int, ...], at: "tuple[Ints, ...]", times: "Floats") -> "Floats":
    """Return factors by node and level, those of levels that never came about as of the next one that did."""
    found = np.full(shape, np.nan)
    found[at] = times
    for row in found.reshape(-1, shape[-1]):
        known = np.flatnonzero(~np.isnan(row))
        row[:] = row[known[np.abs(np.arange(len(row))[:, None] - known).argmin(axis=1)]] if len(known) else 1.0
    return found


def by_move(nodes: "Floats", seconds: "Floats", fills: "Floats") -> "Floats":
    """Return the fills per second by node, bin and last move.

    What few orders saw at a distance is shrunk towards what was seen at distances like it, in proportion to the rates
    of all orders sent there: an order that stays where it is while the mid comes up by half a tick may be seen at some
    distances alone. The fills of each node stay.

    Args:
        nodes: Distances, in half ticks.
        seconds: float64[nodes, bins, moves], order time, weighted.
        fills: Likewise.
    """
    waited, seen = seconds.sum(axis=(1, 2)), fills.sum(axis=(1, 2))
    level = ((seen + HALF) / (waited + HALF))[:, None, None]
    near = distance_weights(nodes)
    lasted = seconds + JUMP_S * (fills > 0)
    expected, rate = lasted * level, np.ones((1, 1, 1))
    for wide in ((0, 2), (0,)):  # by bin; by bin and move
        rate = shrunk(rate, expected.sum(axis=wide, keepdims=True), fills.sum(axis=wide, keepdims=True), PRIOR_FILLS)
    # not by a product of matrices, see ``arithmetic.dot``
    expected_near, fills_near = (np.einsum("nm,mbv->nbv", near, one) for one in (expected, fills))
    own = shrunk(level * shrunk(rate, expected_near, fills_near, PRIOR_FILLS), lasted, fills, PRIOR_FILLS)
    found: Floats = own * (seen / np.maximum((seconds * own).sum(axis=(1, 2)), TINY))[:, None, None]
    return found


def distance_weights(nodes: "Floats") -> "Floats":
    """Return how much each of the distances says of each other one, at most 1."""
    scale = np.log(np.maximum(nodes, 0.0) + EXACT)
    found: Floats = np.exp(-(np.subtract.outer(scale, scale) ** 2) / (2 * ALIKE**2))
    return found


def shrunk(rate: "Floats", seconds: "Floats", fills: "Floats", prior_fills: "float | Floats") -> "Floats":
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
    similar = (apart <= NEARBY + NEARBY_SHARE * np.abs(distance)[:, None]) & (apart % 2 == 0)
    often: NDArray[np.bool_] = seconds >= NODE_SHARE * np.where(similar, seconds, 0.0).max(axis=1, initial=0.0)
    return often


def nodes_of(sent: "Floats", seconds: "Floats") -> "tuple[Floats, Ints]":
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
