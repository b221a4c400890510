"""Fills per second by the state of an order, from order-seconds and fills, for fits under a fill model.

The rate of a state is a product: of its distances and the mid's last move, of the flow of the order's side, and of its
place relative to its side's best price (`mm.backtest.metrics.fill_states`). Factors are updated in turn to observed
over expected fills until convergence: iterative proportional fitting, the maximum likelihood of a Poisson model with
log-additive effects (Bishop, Fienberg, Holland 1975, chapter 3). Estimates from few fills at a distance are shrunk
towards those at similar distances, and these towards all of them.

A schedule predicts the fills of a segment by states of its past, times the level of its training window. A busy window
has more fills for two reasons: more aggressive orders, which the flow of the states includes, and causes outside of the
states. The level is only of the latter: fills over those expected by rates by distance, corrected for the flow of the
window relative to that of the past.
"""

from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.metrics._flow_levels import LEAST_FLOW, SINCE_S
from mm.backtest.metrics.fill_states import (
    FillStates,
    StateRates,
    by_move,
    by_state,
    distance_weights,
    distinct,
    nodes_of,
    shrunk,
)
from mm.backtest.metrics.flow_levels import FLOWS, LEVELS, aggressors, flow_of_sides
from mm.backtest.metrics.resting_states import TOUCHES
from mm.calibration.lambda_curve import rates_on
from mm.calibration.reference import BLOCK_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mm.backtest.metrics.flow_levels import Flow
    from mm.calibration.fit_result import Line
    from mm.calibration.points import Points
    from mm.tape.tape import Tape

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

TURNS = 8  # after which no factor of the real captures moves by more than a percent
FACTOR_PRIOR_FILLS = 30.0  # weight of the shrinkage of a factor, in fills
TINY = 1e-300


def rates_of(sums: "Floats") -> StateRates:
    """Return the rates of ``state_sums``, whose first column, the period, is ignored."""
    if not len(sums):
        return StateRates((), (), ())
    keys, into = distinct(sums[:, [1, 2, 4, 5, 6]])
    nearest = np.full(len(keys), np.inf)
    np.minimum.at(nearest, into, sums[:, 3])
    seconds, fills = (np.bincount(into, sums[:, column], len(keys)).astype(np.float64) for column in (7, 8))
    sent, stands, move, flow, touch = keys.T
    nodes, node = nodes_of(sent.astype(np.float64), seconds)
    at, place, side = (node, stands, move), (node, (flow & 1) * FLOWS + (flow >> 1)), (node, touch - TOUCHES[0])
    times, by_touch, weighted = np.ones((len(nodes), 2 * FLOWS)), np.ones((len(nodes), len(TOUCHES))), seconds
    for _ in range(TURNS):
        weighted = seconds * times[place] * by_touch[side]
        expected = seconds * by_move(nodes, *by_state(len(nodes), at, weighted, fills))[at]
        times = _times(nodes, place, expected * by_touch[side], fills, 2 * FLOWS)
        by_touch = _times(nodes, side, expected * times[place], fills, len(TOUCHES))
    mean = expected * times[place] * by_touch[side]
    seen, foreseen = (np.bincount(node, column, len(nodes)) for column in (fills, mean))
    times *= (seen / np.maximum(foreseen, TINY))[:, None]
    came = np.unique(place[1])
    hits = tuple(
        (ticks / 2, number // FLOWS, SINCE_S[number % FLOWS // LEVELS], number % LEVELS + LEAST_FLOW, round(value, 9))
        for ticks, row in zip(nodes.tolist(), times[:, came].tolist(), strict=True)
        for number, value in zip(came.tolist(), row, strict=True)
    )
    touches = tuple(
        (ticks / 2, number, round(row[number - TOUCHES[0]], 9))
        for ticks, row in zip(nodes.tolist(), by_touch.tolist(), strict=True)
        for number in np.unique(touch).tolist()
    )
    return StateRates(_state_rows(keys, nearest, (seconds, weighted, fills)), hits, touches)


def _times(nodes: "Floats", at: "tuple[Ints, Ints]", expected: "Floats", fills: "Floats", size: int) -> "Floats":
    """Return the ratio of fills to *expected* by node and class, of *size* classes, normalised to a mean of 1.

    The common factor of all classes of a node belongs to its states, as distances share the classes.
    """
    shape = len(nodes), size
    place = np.ravel_multi_index(at, shape)
    foreseen, seen = (
        np.bincount(place, one, len(nodes) * size).astype(np.float64).reshape(shape) for one in (expected, fills)
    )
    everywhere = shrunk(np.ones(size), foreseen.sum(axis=0), seen.sum(axis=0), FACTOR_PRIOR_FILLS)
    near = distance_weights(nodes)
    # not by a product of matrices, see ``arithmetic.dot``
    foreseen_near, seen_near = (np.einsum("nm,mv->nv", near, one) for one in (foreseen, seen))
    found = shrunk(everywhere, foreseen_near, seen_near, FACTOR_PRIOR_FILLS)
    share = seen.sum(axis=0) / max(seen.sum(), TINY)
    times: Floats = found / np.exp((share * np.log(np.maximum(found, TINY))).sum(axis=1, keepdims=True))
    return times


def _state_rows(
    keys: "Ints", nearest: "Floats", sums: "tuple[Floats, Floats, Floats]"
) -> "tuple[tuple[float, float, int, int, float, float, float], ...]":
    """Return the sums by distances and last move, over all levels."""
    states, into = distinct(keys[:, :3])
    stands = np.full(len(states), np.inf)
    np.minimum.at(stands, into, nearest)
    columns = [np.bincount(into, one, len(states)).tolist() for one in sums]
    return tuple(
        (sent / 2, stood / 2, move & 1, move >> 1, round(seconds, 6), round(weighted, 6), fills)
        for sent, move, stood, seconds, weighted, fills in zip(
            states[:, 0].tolist(), states[:, 2].tolist(), stands.tolist(), *columns, strict=True
        )
    )


def flow_of(tapes: "Sequence[Tape]") -> "Flow":
    """Return the flow of consecutive days, by side."""
    return flow_of_sides(np.concatenate([aggressors(one) for one in tapes]))


class StateLevels:
    """The levels of windows, from the market of days by blocks of five minutes.

    Args:
        tapes: The days.
        recent_s: Time for which a move of the mid is recent in the states.
    """

    def __init__(self, tapes: "Sequence[Tape]", recent_s: float) -> None:
        self._recent_s = recent_s
        sides = flow_of(tapes)
        self._begin_us = np.concatenate([np.arange(one.start_us, one.end_us, BLOCK_US) for one in tapes])
        ends_us = np.concatenate([(*range(one.start_us + BLOCK_US, one.end_us, BLOCK_US), one.end_us) for one in tapes])
        bids, asks = (_seconds_by_level(side, self._begin_us, ends_us) for side in sides)
        self._spent_us = bids + asks
        self._found: dict[int, FillStates] = {}

    def level(
        self, points: "Points", line: "Line", states: "tuple[int, StateRates]", span: tuple[int, int]
    ) -> float | None:
        """Return the ratio of the fills of *points* to the expected ones; None if none are expected.

        Args:
            points: Points of the window, possibly at distances outside of *line*.
            line: Rates by distance up to an instant.
            states: That instant in µs, and the states up to there.
            span: The window.
        """
        inside = (points.delta_ticks >= line[0][0]) & (points.delta_ticks <= line[-1][0])
        delta = points.delta_ticks[inside]
        until_us, rates = states
        if until_us not in self._found:
            self._found[until_us] = FillStates(rates, self._recent_s, 0.0)
        known = self._found[until_us]
        past = self._times(known, (int(self._begin_us[0]), until_us))
        times = np.where(past > 0, self._times(known, span) / np.where(past > 0, past, 1.0), 1.0)  # 0: of no fill
        nodes, row = np.unique(delta, return_inverse=True)
        expected = points.exposure_s[inside] * (rates_on(line, nodes) * np.interp(nodes, known.ticks, times))[row]
        total = expected.sum()
        return float(points.fills[inside].sum() / total) if total > 0 else None

    def _times(self, states: FillStates, span: tuple[int, int]) -> "Floats":
        """Return the mean factor of the flow over the blocks that begin in a span, by node."""
        first, last = np.searchsorted(self._begin_us, span)
        spent = self._spent_us[first : max(last, first + 1)].sum(axis=0)
        mean: Floats = (states.times * spent).sum(axis=1) / spent.sum()
        return mean


def _seconds_by_level(side: "tuple[Ints, Ints]", begin_us: "Ints", ends_us: "Ints") -> "Floats":
    """Return the seconds of a side at each level, float64[blocks, levels]."""
    since, number = side
    at = np.union1d(since[1:], np.concatenate((begin_us, ends_us)))
    block = np.searchsorted(begin_us, at[:-1], side="right") - 1
    inside = (block >= 0) & (at[:-1] < ends_us[np.maximum(block, 0)])
    level = number[np.searchsorted(since, at[:-1], side="right") - 1]
    size = len(begin_us) * FLOWS
    spent = np.bincount((block * FLOWS + level)[inside], np.diff(at)[inside].astype(np.float64), size)
    return spent.astype(np.float64).reshape(len(begin_us), FLOWS)
