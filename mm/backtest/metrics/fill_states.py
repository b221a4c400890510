"""Fills per second of orders by state, and predicted fills.

The states are those of `mm.backtest.metrics.resting_states`. The rate of a state is that of its distances and the mid's
last move, times a factor for each of these: the flow on the order's side, its position relative to its side's best
price, the mid's deviation, and the ticks swept. There are too few fills to measure each state separately.
`mm.calibration.state_rates` estimates them from observed orders.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from msgspec import Meta

from mm.backtest.metrics._market_paths import LEAST_FLOW, MOST_FLOW, SINCE_S
from mm.backtest.metrics.arithmetic import distinct
from mm.backtest.metrics.market_paths import DEVIATIONS, FLOWS, LEVELS, SWEPT
from mm.backtest.metrics.order_lives import lives
from mm.backtest.metrics.resting_states import TOUCHES, OrderMarkets, RestingStates, Stretches
from mm.base.arrays import Floats, Ints, Mask
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from mm.backtest.journal import Journal


Ticks = Annotated[float, Meta(multiple_of=0.5)]
Flag = Annotated[int, Meta(ge=0, le=1)]
Sum = Annotated[float, Meta(ge=0)]
Level = Annotated[int, Meta(ge=LEAST_FLOW, le=MOST_FLOW)]
Touch = Annotated[int, Meta(ge=TOUCHES[0], le=TOUCHES[-1])]
Deviation = Annotated[int, Meta(ge=DEVIATIONS[0], le=DEVIATIONS[-1])]
Swept = Annotated[int, Meta(ge=SWEPT[0], le=SWEPT[-1])]
StateRow = tuple[Ticks, Ticks, Flag, Flag, Sum, Sum, Sum]
HitRow = tuple[Ticks, Flag, Annotated[float, Meta(ge=0, le=SINCE_S[-1])], Level, Sum]
ClassRow = tuple[Ticks, int, Sum]
EXACT, GROWTH, STEPS = 4, 1.12, 80  # bins: one half tick wide up to EXACT, then wider by GROWTH; STEPS per zone
ZONES, MOVES = 4, 4  # ranges of distance with their own bins; last move towards or away, recent or not
NODE_SHARE = 0.3  # of the most order time at a nearby distance; distances with less are merged into the nearest node
NEARBY, NEARBY_SHARE = 2, 0.2  # half ticks, and share of the distance, that are nearby
# Weight of the rate towards which the rate of a state is shrunk, in fills beyond the first, by bin: the parts of an
# order that the mid has come close to fill at once, and carry as much information as one fill.
PRIOR_FILLS = np.repeat((1.0, 1.0, 10.0, 10.0), STEPS)[:, None]
ALIKE = 0.3  # bandwidth, in the logarithm of distance, of the weights between distances
JUMP_S = 0.01  # added to the order time of a state with fills: an order that a jump of the mid passes fills in no time
HALF = 0.5  # fills, and seconds, added to the observed ones at a distance
TINY = 1e-300


@dataclass(frozen=True, slots=True)
class StateRates:
    """Fill rates of orders by state, as stored in a fit; distances in ticks.

    Attributes:
        states: Rows by distances and last move: the distance at which orders were sent; the smallest current distance
            seen in its bin; whether the mid's last move was towards them, and recent (1 or 0); order-seconds,
            order-seconds weighted by the factors, and fills.
        hits: Rows by distance at which orders were sent, by whether they had rested for long, and by the flow of
            aggressive orders (the least time since the last one, in s, and the level): factor of the fill rate.
        touch: Rows by distance at which orders were sent, and by whether they were inside the spread (-1), at their
            side's best price (0) or behind it (1): factor of the fill rate.
        deviation: Rows by distance at which orders were sent, and by the class of the mid's deviation from its average
            (0 up to half a tick, then one more whenever it doubles, positive away from the order): factor of the fill
            rate.
        swept: Rows by distance at which orders were sent, and by the class of the ticks swept on their side, in the
            same form: factor of the fill rate.
    """

    states: tuple[StateRow, ...]
    hits: tuple[HitRow, ...]
    touch: tuple[tuple[Ticks, Touch, Sum], ...]
    deviation: tuple[tuple[Ticks, Deviation, Sum], ...]
    swept: tuple[tuple[Ticks, Swept, Sum], ...]

    @property
    def fills(self) -> float:
        """Number of observed fills."""
        return sum(row[-1] for row in self.states)


def state_sums(journal: "Journal", span: tuple[int, int], markets: OrderMarkets) -> Floats:
    """Return the order-seconds and fills of a run by state: float64[rows, 10].

    The columns: distance at which orders were sent, in half ticks; bin of the current distance;
    the smallest current distance seen in that bin; last move, flow, touch, deviation and ticks swept as in `Stretches`;
    seconds; fills.

    Args:
        journal: The run.
        span: Start, and end (exclusive), in µs.
        markets: The market of the orders.
    """
    orders = RestingStates(lives(journal), journal.mids, journal.fills, markets)
    (_, *waited, spent_us), (_, filled) = orders.times(span, np.empty(0, np.int64)), orders.filled(span)
    sent, stands, *others = np.concatenate((waited, filled.T), axis=1)
    groups, group = distinct(np.stack((sent, bins(sent, stands), *others)).T)
    nearest = np.full(len(groups), np.inf)
    np.minimum.at(nearest, group, stands)
    rested, came = np.split(group, [len(spent_us)])
    seconds = np.bincount(rested, spent_us, len(groups)) / US_PER_S
    fills = np.bincount(came, minlength=len(groups))
    return np.column_stack((groups[:, :2], nearest, groups[:, 2:], seconds, fills))


def bins(sent: Ints | Floats, stands: Ints | Floats) -> Ints:
    """Return the bin of the current distance of orders, given the distance at which they were *sent*.

    Bins are fine where distances matter: around the distance at which orders were sent, and around the mid.
    """
    zones = [stands >= sent, 2 * stands >= sent, stands > 0]
    zone = np.select(zones, [0, 1, 2], 3)
    off = np.select(zones, [stands - sent, sent - stands, stands], -stands)
    wide = EXACT + np.ceil(np.log(np.maximum(off, EXACT) / EXACT) / np.log(GROWTH))
    step = np.where(off <= EXACT, np.round(off), np.minimum(wide, STEPS - 1))
    flat_bins: Ints = (zone * STEPS + step).astype(np.int64)
    return flat_bins


class FillStates:
    """Fills per second by state, estimated from observed orders and interpolated between the distances of orders.

    The rate of a state with few fills is shrunk towards that of similar distances; the total fills of each distance do
    not change. Whole-tick distances are interpolated separately from half-tick ones: prices are whole ticks, so the
    spread is even with the former and odd with the latter, and orders fill more often while it is unusual. A level of
    the flow that was never observed gets the factor of the nearest observed one, and so does a class of another factor.

    Args:
        rates: As ``rates_until`` returns them.
        recent_s: Time for which a move of the mid counts as recent.
        k_per_tick: Decay rate of fills beyond the farthest distance of orders.

    Attributes:
        times: Factors of the fill rate of orders that have rested for long, by the distances *ticks* and each class:
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

    def _by_class(self, rows: Sequence[ClassRow], classes: Sequence[int]) -> Floats:
        """Return the factors of *rows* by node and class."""
        sent, number, times = np.array(rows, np.float64).reshape(-1, 3).T
        places = np.searchsorted(self._nodes, 2 * sent), number.astype(int) - classes[0]
        return _at_all_levels((len(self._nodes), len(classes)), places, times)

    @property
    def ticks(self) -> Floats:
        """Distances at which orders were often sent (nodes), in ticks."""
        return self._nodes / 2

    def rates(self, states: Ints) -> Floats:
        """Return the fills per second of orders in *states*, int64[n, 7], with the columns of `Stretches`.

        Orders sent nearer than the nearest node count as orders of that node; their current distance shifts equally.
        """
        rates = np.empty(len(states))
        for part, at in enumerate(self._parts):
            rows = np.flatnonzero(states[:, 0] % 2 == part)
            if not len(rows):
                continue
            sent, stands, move, flow, touch, deviation, swept = states[rows].T
            counted = np.maximum(sent, self._nodes[at[0]])
            stands_bin = bins(counted, stands + counted - sent)
            classes = touch - TOUCHES[0], deviation - DEVIATIONS[0], swept
            rates[rows] = self._interpolated(at, counted, (stands_bin, move, flow & 1, flow >> 1, *classes))
        return rates

    def _interpolated(self, at: Ints, sent: Ints, state: tuple[Ints, ...]) -> Floats:
        """Return the rates of orders, interpolated between the nodes *at*, by current bin and other columns."""
        nodes, (stands, move, rested, flow, touch, deviation, swept) = self._nodes[at], state
        upper = np.minimum(np.searchsorted(nodes, sent), len(nodes) - 1)
        lower = np.maximum(upper - 1, 0)
        share = np.clip((sent - nodes[lower]) / np.maximum(nodes[upper] - nodes[lower], 1), 0, 1)
        near, far = (
            self._rates[node, stands, move]
            * self._times[node, rested, flow]
            * self._touch[node, touch]
            * self._deviation[node, deviation]
            * self._swept[node, swept]
            for node in (at[lower], at[upper])
        )
        rate: Floats = near ** (1 - share) * far**share * np.exp(-self._k * np.maximum(sent - nodes[-1], 0) / 2)
        return rate

    def predicted(self, waited: Stretches) -> Floats:
        """Return the predicted fills of each stretch."""
        fills: Floats = self.rates(waited.states)[waited.state] * waited.spent_us / US_PER_S
        return fills


class Sums(NamedTuple):
    """Order time and fills by node, bin and last move.

    Attributes:
        nodes: Distances at which orders were often sent, in half ticks.
        weighted_s: float64[nodes, bins, moves], order time, weighted by the factors of its states.
        fills: Fills, in the same shape.
    """

    nodes: Floats
    weighted_s: Floats
    fills: Floats

    @classmethod
    def of(cls, rows: Sequence[StateRow]) -> "Sums":
        """Return the sums of rows of ``StateRates``."""
        table = np.array(rows, np.float64).reshape(-1, 7) * (2, 2, *[1] * 5)
        nodes, node = nodes_of(table[:, 0], table[:, 4])
        move = (table[:, 2] + 2 * table[:, 3]).astype(np.int64)
        return cls(nodes, *by_state(len(nodes), (node, bins(table[:, 0], table[:, 1]), move), *table[:, 5:].T))


def by_state(nodes: int, at: tuple[Ints, Ints, Ints], *columns: Floats) -> list[Floats]:
    """Return columns summed by node, bin and last move."""
    shape = nodes, ZONES * STEPS, MOVES
    place = np.ravel_multi_index(at, shape)
    return [np.bincount(place, column, math.prod(shape)).astype(np.float64).reshape(shape) for column in columns]


def _at_all_levels(shape: tuple[int, ...], at: tuple[Ints, ...], times: Floats) -> Floats:
    """Return factors by node and level; a level that was never observed gets that of the nearest observed one."""
    table = np.full(shape, np.nan)
    table[at] = times
    for row in table.reshape(-1, shape[-1]):
        known = np.flatnonzero(~np.isnan(row))
        row[:] = row[known[np.abs(np.arange(len(row))[:, None] - known).argmin(axis=1)]] if len(known) else 1.0
    return table


def by_move(nodes: Floats, seconds: Floats, fills: Floats) -> Floats:
    """Return the fills per second by node, bin and last move.

    Rates from little order time are shrunk towards those of similar distances, in proportion to the rates of all orders
    sent there: an order that keeps its price while the mid approaches by half a tick may be observed at a few distances
    only. The total fills of each node do not change.

    Args:
        nodes: Distances, in half ticks.
        seconds: float64[nodes, bins, moves], order time, weighted.
        fills: Fills, in the same shape.
    """
    waited, seen = seconds.sum(axis=(1, 2)), fills.sum(axis=(1, 2))
    level = ((seen + HALF) / (waited + HALF))[:, None, None]
    near = distance_weights(nodes)
    lasted = seconds + JUMP_S * (fills > 0)
    expected, rate = lasted * level, np.ones((1, 1, 1))
    for wide in ((0, 2), (0,)):  # by bin; by bin and move
        rate = shrunk(rate, expected.sum(axis=wide, keepdims=True), fills.sum(axis=wide, keepdims=True), PRIOR_FILLS)
    # not by a matrix product, see ``arithmetic.dot``
    expected_near, fills_near = (np.einsum("nm,mbv->nbv", near, cells) for cells in (expected, fills))
    own = shrunk(level * shrunk(rate, expected_near, fills_near, PRIOR_FILLS), lasted, fills, PRIOR_FILLS)
    rates: Floats = own * (seen / np.maximum((seconds * own).sum(axis=(1, 2)), TINY))[:, None, None]
    return rates


def distance_weights(nodes: Floats) -> Floats:
    """Return the weight of each distance in the estimate of each other one, at most 1 (a Gaussian in log distance)."""
    scale = np.log(np.maximum(nodes, 0.0) + EXACT)
    weights: Floats = np.exp(-(np.subtract.outer(scale, scale) ** 2) / (2 * ALIKE**2))
    return weights


def shrunk(rate: Floats, seconds: Floats, fills: Floats, prior_fills: float | Floats) -> Floats:
    """Return the observed fills per second, shrunk towards a *rate* where there are few."""
    known = np.maximum(fills - 1, 0) + seconds * rate
    shrunk_rate: Floats = rate + known / (known + prior_fills) * (fills / np.maximum(seconds, TINY) - rate)
    return shrunk_rate


def often_sent(distance: Floats, seconds: Floats) -> Mask:
    """Return whether orders were often sent at each distance.

    Other distances occur only while the spread is unusual: fills at that time do not measure a quote that is always at
    that distance.

    Args:
        distance: Distinct distances, in half ticks, ascending.
        seconds: Order time of each.
    """
    often = np.empty(len(distance), np.bool_)
    for parity in (0, 1):  # prices are whole ticks: neighbours are an even number of half ticks apart
        own = np.flatnonzero(distance % 2 == parity)
        if own.size:
            at, reach = distance[own], np.floor(NEARBY + NEARBY_SHARE * np.abs(distance[own]))
            nearby = np.searchsorted(at, at - reach), np.searchsorted(at, at + reach, side="right")
            most = np.maximum.reduceat(np.append(seconds[own], 0.0), np.stack(nearby, axis=1).ravel())[::2]
            often[own] = seconds[own] >= NODE_SHARE * most
    return often


def nodes_of(sent: Floats, seconds: Floats) -> tuple[Floats, Ints]:
    """Return the distances at which orders were often sent (nodes), in half ticks, and the index of each row's node.

    Args:
        sent: Distance of each row, in half ticks.
        seconds: Its order time.
    """
    each, into = np.unique(sent, return_inverse=True)
    nodes = each[often_sent(each, np.bincount(into.ravel(), seconds, len(each)).astype(np.float64))]
    apart = np.abs(each[:, None] - nodes)
    other_part = np.where(apart % 2 == 0, 0.0, apart.max(initial=0.0))
    return nodes, (apart + other_part).argmin(axis=1)[into.ravel()]
