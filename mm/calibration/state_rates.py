"""Fills per second by the state of an order, from order-seconds and fills, for fits under a fill model.

The rate of a state is a product of factors: of its distances and the mid's last move, the flow of the order's side, its
position relative to the best price of its side, the mid's deviation, and the ticks swept
(`mm.backtest.metrics.fill_states`). Factors are updated in turn to observed over expected fills until convergence:
iterative proportional fitting, the maximum likelihood of a Poisson model with log-additive effects (Bishop, Fienberg,
Holland 1975, chapter 3). Estimates from few fills at a distance are shrunk towards those at similar distances, and
these towards that of all distances.

A schedule predicts the fills of a segment from states of past data, times the level of its training window. A busy
window has more fills for two reasons: more aggressive orders, which the flow of the states includes, and causes outside
of the states. The level measures only the latter: fills over those expected from rates by distance, corrected for the
flow, the ticks swept and the deviations of the window relative to those of the past.
"""

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.metrics._market_paths import LEAST_FLOW, SINCE_S
from mm.backtest.metrics.arithmetic import distinct
from mm.backtest.metrics.fill_states import (
    FillStates,
    StateRates,
    by_move,
    by_state,
    distance_weights,
    nodes_of,
    shrunk,
)
from mm.backtest.metrics.market_paths import DEVIATIONS, FLOWS, LEVELS, SWEPT, MarketPaths
from mm.backtest.metrics.resting_states import TOUCHES
from mm.base.arrays import Floats, Ints
from mm.calibration.alternatives import rates_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mm.backtest.metrics.market_paths import Path
    from mm.calibration.fit_result import Line
    from mm.calibration.points import Points
    from mm.tape.tape import Tape


TURNS = 8  # iterations, after which no factor of the real captures changes by more than 1 %
FACTOR_PRIOR_FILLS = 30.0  # weight of the shrinkage of a factor, in fills
CLASSES = TOUCHES, DEVIATIONS, SWEPT  # of the factors without further columns
TINY = 1e-300


def rates_of(sums: Floats) -> StateRates:
    """Return the rates of ``state_sums``, whose first column, the period, is ignored."""
    if not len(sums):
        return StateRates((), (), (), (), ())
    keys, into = distinct(sums[:, [1, 2, 4, 5, 6, 7, 8]])
    nearest = np.full(len(keys), np.inf)
    np.minimum.at(nearest, into, sums[:, 3])
    seconds, fills = (np.bincount(into, sums[:, column], len(keys)).astype(np.float64) for column in (9, 10))
    sent, current, move, flow, *classes = keys.T
    nodes, node = nodes_of(sent.astype(np.float64), seconds)
    at, flow_class = (node, current, move), (flow & 1) * FLOWS + (flow >> 1)
    indices = [(node, one) for one in (flow_class, *(one - of[0] for one, of in zip(classes, CLASSES, strict=True)))]
    times = [np.ones((len(nodes), size)) for size in (2 * FLOWS, *map(len, CLASSES))]
    for _ in range(TURNS):
        weighted = seconds * _product(times, indices)
        expected = seconds * by_move(nodes, *by_state(len(nodes), at, weighted, fills))[at]
        for i, index in enumerate(indices):
            others = _product(times[:i] + times[i + 1 :], indices[:i] + indices[i + 1 :])
            times[i] = _times(nodes, index, expected * others, fills, times[i].shape[1])
    mean = expected * _product(times, indices)
    observed, predicted = (np.bincount(node, column, len(nodes)) for column in (fills, mean))
    by_flow, *by_class = times
    by_flow *= (observed / np.maximum(predicted, TINY))[:, None]
    hits = tuple(
        (ticks, number // FLOWS, SINCE_S[number % FLOWS // LEVELS], number % LEVELS + LEAST_FLOW, factor)
        for ticks, number, factor in _class_rows(nodes, by_flow, flow_class, range(2 * FLOWS))
    )
    rows = (_class_rows(nodes, *one) for one in zip(by_class, classes, CLASSES, strict=True))
    return StateRates(_state_rows(keys, nearest, (seconds, weighted, fills)), hits, *rows)


def _product(times: list[Floats], indices: list[tuple[Ints, Ints]]) -> Floats:
    """Return the product of the factors, each at its indices."""
    return reduce(np.multiply, (one[index] for one, index in zip(times, indices, strict=True)))


def _class_rows(
    nodes: Floats, times: Floats, observed: Ints, classes: "Sequence[int]"
) -> "tuple[tuple[float, int, float], ...]":
    """Return factors by node and class as rows, for the *observed* classes."""
    return tuple(
        (ticks / 2, number, round(row[number - classes[0]], 9))
        for ticks, row in zip(nodes.tolist(), times.tolist(), strict=True)
        for number in np.unique(observed).tolist()
    )


def _times(nodes: Floats, at: tuple[Ints, Ints], expected: Floats, fills: Floats, size: int) -> Floats:
    """Return fills over *expected* by node and class, of *size* classes, normalised to a weighted geometric mean of 1.

    The factor common to all classes of a node is part of its state rates, as distances share the classes.
    """
    shape = len(nodes), size
    place = np.ravel_multi_index(at, shape)
    predicted, observed = (
        np.bincount(place, one, len(nodes) * size).astype(np.float64).reshape(shape) for one in (expected, fills)
    )
    overall = shrunk(np.ones(size), predicted.sum(axis=0), observed.sum(axis=0), FACTOR_PRIOR_FILLS)
    near = distance_weights(nodes)
    # not by a product of matrices, see ``arithmetic.dot``
    predicted_near, observed_near = (np.einsum("nm,mv->nv", near, one) for one in (predicted, observed))
    found = shrunk(overall, predicted_near, observed_near, FACTOR_PRIOR_FILLS)
    share = observed.sum(axis=0) / max(observed.sum(), TINY)
    times: Floats = found / np.exp((share * np.log(np.maximum(found, TINY))).sum(axis=1, keepdims=True))
    return times


def _state_rows(
    keys: Ints, nearest: Floats, sums: tuple[Floats, Floats, Floats]
) -> "tuple[tuple[float, float, int, int, float, float, float], ...]":
    """Return the sums by distances and last move, over all levels."""
    states, into = distinct(keys[:, :3])
    nearest_current = np.full(len(states), np.inf)
    np.minimum.at(nearest_current, into, nearest)
    columns = [np.bincount(into, one, len(states)).tolist() for one in sums]
    return tuple(
        (sent / 2, current / 2, move & 1, move >> 1, round(seconds, 6), round(weighted, 6), fills)
        for sent, move, current, seconds, weighted, fills in zip(
            states[:, 0].tolist(), states[:, 2].tolist(), nearest_current.tolist(), *columns, strict=True
        )
    )


class StateLevels:
    """The levels of windows, from the market states of days.

    Args:
        tapes: The days.
        recent_s: Time for which a move of the mid is recent in the states.
    """

    def __init__(self, tapes: "Sequence[Tape]", recent_s: float) -> None:
        self._recent_s = recent_s
        self._days = np.array([(day.start_us, day.end_us) for day in tapes], np.int64)
        market = MarketPaths.of_days(tapes)
        self._paths = (market.flow, range(FLOWS)), (market.swept, SWEPT), (market.deviations, DEVIATIONS)
        self._past: dict[int, tuple[FillStates, Floats]] = {}

    def level(
        self, points: "Points", line: "Line", states: "tuple[int, StateRates]", span: tuple[int, int]
    ) -> float | None:
        """Return the ratio of the fills of *points* to the expected ones; None if none are expected.

        Args:
            points: Points of the window, possibly at distances outside of *line*.
            line: Rates by distance, measured up to an instant.
            states: That instant in µs, and the state rates up to it.
            span: The window; the market from its end on is not known to it.
        """
        inside = (points.delta_ticks >= line[0][0]) & (points.delta_ticks <= line[-1][0])
        delta = points.delta_ticks[inside]
        until_us, rates = states
        if until_us not in self._past:
            known = FillStates(rates, self._recent_s, 0.0)
            self._past[until_us] = known, self._times(known, (int(self._days[0, 0]), until_us))
        known, past = self._past[until_us]
        times = np.where(past > 0, self._times(known, span) / np.where(past > 0, past, 1.0), 1.0)  # 0: no fills
        nodes, row = np.unique(delta, return_inverse=True)
        expected = points.exposure_s[inside] * (rates_on(line, nodes) * np.interp(nodes, known.ticks, times))[row]
        total = expected.sum()
        return float(points.fills[inside].sum() / total) if total > 0 else None

    def _times(self, states: FillStates, span: tuple[int, int]) -> Floats:
        """Return the product of the mean factors over the days' parts of a span, by node."""
        parts = [(begin, end) for begin, end in np.clip(self._days, *span).tolist() if begin < end]
        product = np.ones(len(states.ticks))
        if parts:
            for times, (paths, numbers) in zip(states.times, self._paths, strict=True):
                spent = np.sum([_us_by_number(path, part, numbers) for path in paths for part in parts], axis=0)
                product *= (times * spent).sum(axis=1) / spent.sum()
        return product


def _us_by_number(path: "Path", span: tuple[int, int], numbers: range) -> Floats:
    """Return the µs of a span in which a path is at each of *numbers*."""
    since, number = path
    first, last = np.searchsorted(since, span[0], side="right"), np.searchsorted(since, span[1])
    at = np.concatenate((span[:1], since[first:last], span[1:]))
    seen = number[np.maximum(np.arange(first - 1, last), 0)] - numbers[0]
    return np.bincount(seen, np.diff(at).astype(np.float64), len(numbers)).astype(np.float64)
