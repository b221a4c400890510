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

from collections.abc import Iterator
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mm.backtest.journal import FILL_COLUMNS
from mm.backtest.metrics._resting_states import time_by_state
from mm.backtest.metrics.arithmetic import changes, distinct
from mm.backtest.metrics.market_paths import DEVIATIONS, FLOWS, SWEPT
from mm.base.arrays import Ints, Mask

if TYPE_CHECKING:
    from mm.backtest.journal import Table
    from mm.backtest.metrics.market_paths import MarketPaths
    from mm.backtest.metrics.order_lives import Lives


TOUCHES = (-1, 0, 1)  # an order inside the spread, at its side's best price, behind it
RESTED_US = 1_000_000  # time at rest from which on an order counts as rested for long
FOREVER_US = 1 << 62
AT_ONCE = 1 << 19  # stretches per piece


def stretches(begin_us: Ints, end_us: Ints, cuts: Ints, valid: Mask) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Yield, in pieces, the stretches into which *cuts* divide spans of time: span, last cut before it, and length.

    Time before the first cut is left out; spans that end before they begin have no stretch.

    Args:
        begin_us: Begin of each span.
        end_us: Its end.
        cuts: Ascending instants.
        valid: Whether stretches that begin at a cut are returned.
    """
    first = np.maximum(np.searchsorted(cuts, begin_us, side="right") - 1, 0)
    count = np.where(end_us > begin_us, np.maximum(np.searchsorted(cuts, end_us) - first, 0), 0)
    until_us, upto = np.append(cuts[1:], FOREVER_US), np.cumsum(count)
    pieces = np.searchsorted(upto, np.arange(AT_ONCE, upto[-1:].sum(), AT_ONCE))
    for spans in np.split(np.arange(len(count)), pieces):
        many = count[spans]
        span = np.repeat(spans, many)
        cut = np.arange(len(span)) + np.repeat(first[spans] - np.cumsum(many) + many, many)
        if not valid.all():
            span, cut = span[valid[cut]], cut[valid[cut]]
        yield span, cut, np.minimum(end_us[span], until_us[cut]) - np.maximum(begin_us[span], cuts[cut])


class Stretches(NamedTuple):
    """Time at rest by state; there may be several rows of one period and state.

    Attributes:
        period: int64[n], number of cuts passed.
        spent_us: int64[n], time.
        state: int64[n], its row in *states*.
        states: int64[m, 7], the distinct states. The columns are the distance at which the order was sent, in half
            ticks; its current distance; the mid's last move, 0 to 3: away from the order (0) or towards it (1), and
            recent (+ 2); whether it has rested for long (1), plus twice the number of the flow; one of `TOUCHES`;
            the class of the mid's deviation; and the class of the ticks swept.
    """

    period: Ints
    spent_us: Ints
    state: Ints
    states: Ints


class _MarketStates(NamedTuple):
    """The market of the orders of one side, from each of its changes on: columns of int64[n].

    Attributes:
        us: Instant of the change.
        mid2: Bid + ask; 0 without a valid book.
        spread: In ticks.
        number: Last move, flow, ticks swept and deviation of the mid, as one number (`_numbered`).
    """

    us: Ints
    mid2: Ints
    spread: Ints
    number: Ints

    @classmethod
    def of(cls, us: Ints, mid2: Ints, side: int, recent_us: int, market: "MarketPaths") -> "_MarketStates":
        """Return the states for orders of *side*; *us* are the instants at which bid + ask changes to *mid2*."""
        paths = [of_sides[0 if side > 0 else 1] for of_sides in market]
        late_us = us + recent_us
        late_us = late_us[late_us < np.append(us[1:], FOREVER_US)]
        cuts = np.sort(np.concatenate((us, late_us, *(at for at, _ in paths))), kind="stable")  # merges sorted columns
        cuts = cuts[changes(cuts)]
        cuts = cuts[cuts >= us[0]]
        row = _last_at(us, cuts)
        before = mid2[np.maximum(row - 1, 0)]
        towards, recent = side * (mid2[row] - before) < 0, cuts - us[row] < recent_us
        flow, swept, spread, deviation = (number[np.maximum(_last_at(at, cuts), 0)] for at, number in paths)
        move = np.where(before > 0, towards + 2 * recent, 0)
        return cls(cuts, mid2[row], spread, _numbered(move, flow, deviation, swept))


def _numbered(move: Ints, flow: Ints, deviation: Ints, swept: Ints) -> Ints:
    """Return one number, below 2 to the power of ``MARKET_BITS``, for the state of the market."""
    number: Ints = ((move * FLOWS + flow) * len(DEVIATIONS) + deviation - DEVIATIONS[0]) * len(SWEPT) + swept
    return number


def _of_numbers(number: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Return last move, flow, deviation and ticks swept of `_numbered`."""
    rest, swept = np.divmod(number, len(SWEPT))
    rest, deviation = np.divmod(rest, len(DEVIATIONS))
    move, flow = np.divmod(rest, FLOWS)
    return move, flow, deviation + DEVIATIONS[0], swept


class OrderMarkets:
    """The market of the orders of each side, which runs of the same days share.

    Args:
        recent_us: Time for which a move of the mid counts as recent.
        market: The market inputs of states.
    """

    def __init__(self, recent_us: int, market: "MarketPaths") -> None:
        self._recent_us, self._market, self._lock = recent_us, market, Lock()
        self._us, self._mid2 = np.empty(0, np.int64), np.empty(0, np.int64)
        self._found: dict[int, _MarketStates] = {}

    def of(self, us: Ints, mid2: Ints) -> dict[int, _MarketStates]:
        """Return the market by side (+1, -1); *us* are the instants at which bid + ask changes to *mid2*."""
        with self._lock:
            if not (np.array_equal(us, self._us) and np.array_equal(mid2, self._mid2)):
                known = (_MarketStates.of(us, mid2, side, self._recent_us, self._market) for side in (1, -1))
                self._us, self._mid2, self._found = us, mid2, dict(zip((1, -1), known, strict=True))
            return self._found if len(us) else {}


class RestingStates:
    """The states of the orders of a run, from its journal.

    Args:
        found: The orders.
        mids: The journal's path of the mid: instants, and bid + ask from each on (0: no valid book).
        fills: The journal's fills.
        markets: The market of the orders.
    """

    def __init__(self, lives: "Lives", mids: "Table", fills: "Table", markets: OrderMarkets) -> None:
        us, mid2 = np.ascontiguousarray(mids[np.append(True, np.diff(mids[:, 1]) != 0)[: len(mids)]].T)
        self._found = lives
        row = fills[:, FILL_COLUMNS.index("order_id")] - lives.first_id
        self._fills = fills[row >= 0, 0], row[row >= 0]
        there = _last_at(us, lives.sent_us)
        at_sending = np.where(there >= 0, mid2[there], 0) if len(us) else np.zeros(len(lives), np.int64)
        self._is_known = at_sending > 0  # sent with a valid book
        self._sent = lives.side * (at_sending - 2 * lives.ticks)
        self._markets = markets.of(us, mid2)

    def stretches(self, span: tuple[int, int], also: Ints) -> Stretches:
        """Return the time of orders by state over ``[start, end)``, in order; the arguments are those of `times`."""
        *columns, spent_us = self.times(span, also)
        ordered, into = distinct(np.stack(columns).T)
        spent = np.bincount(into, spent_us, len(ordered)).astype(np.int64)
        distinct_states, state = distinct(ordered[:, 1:])
        return Stretches(ordered[:, 0], spent, state, distinct_states)

    def times(self, span: tuple[int, int], also: Ints) -> Ints:
        """Return the time of orders by state over ``[start, end)``; time without a valid book is left out.

        Args:
            span: Start, and end (exclusive), in µs.
            also: Ascending instants, the cuts between periods.

        Returns:
            int64[9, n]: period, the columns of `Stretches.states`, and µs; both sides may have rows of one state.
        """
        lives, parts = self._found, [np.empty((9, 0), np.int64)]
        for side, market in self._markets.items():
            orders = np.flatnonzero((lives.side == side) & lives.rested & self._is_known)
            # an order counts as rested for long by its arrival, also if that is before the span
            active_us, until_us = lives.active_us[orders], np.minimum(lives.until_us[orders], span[1])
            resting = self._sent[orders], lives.ticks[orders], active_us, until_us
            period, states, distances, spent_us = time_by_state(
                resting, side, span[0], (market.us, market.mid2, market.spread, market.number), also, RESTED_US
            )
            move, flow, deviation, swept = _of_numbers(states >> 2)
            columns = move, (period & 1) + 2 * flow, (states & 3) - 1, deviation, swept, spent_us
            parts.append(np.stack((period >> 1, *distances.T, *columns)))
        return np.concatenate(parts, axis=1)

    def filled(self, span: tuple[int, int]) -> tuple[Ints, Ints]:
        """Return the instant of each fill in ``[start, end)``, and its state, int64[n, 7], as in `Stretches`.

        The state is that of the order just before the fill; fills without a valid book are left out.
        """
        us, order = self._fills
        counted = (us >= span[0]) & (us < span[1]) & self._is_known[order]
        us, order = us[counted] - 1, order[counted]
        states, valid = np.empty((len(us), 7), np.int64), np.zeros(len(us), np.bool_)
        for side, market in self._markets.items():
            row = _last_at(market.us, us)
            own = (self._found.side[order] == side) & (row >= 0) & (market.mid2[row] > 0)
            orders, rows = order[own], row[own]
            long = us[own] - self._found.active_us[orders] >= RESTED_US
            stands = side * (market.mid2[rows] - 2 * self._found.ticks[orders])
            move, flow, deviation, swept = _of_numbers(market.number[rows])
            touch = np.sign(stands - market.spread[rows])
            columns = self._sent[orders], stands, move, long + 2 * flow, touch, deviation, swept
            states[own], valid[own] = np.stack(columns, axis=1), True
        return us[valid] + 1, states[valid]


def _last_at(us: Ints, instants: Ints) -> Ints:
    """Return the last of ascending instants *us* at or before each of *instants*; -1 before the first."""
    return np.searchsorted(us, instants, side="right") - 1
