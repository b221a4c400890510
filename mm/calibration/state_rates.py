"""Fills per second by the state of an order, from order-seconds and fills, for fits under a fill model.

The rate of a state is a product of factors: of its distances and the mid's last move, the flow of the order's side, its
position relative to the best price of its side, the mid's deviation, and the ticks swept
(`mm.backtest.metrics.fill_states`). Factors are updated in turn to observed over expected fills until convergence:
iterative proportional fitting, the maximum likelihood of a Poisson model with log-additive effects (Bishop, Fienberg,
Holland 1975, chapter 3). Estimates from few fills at a distance are shrunk towards those at similar distances, and
these towards that of all distances.
"""

import math
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from mm.backtest.metrics._market_paths import LEAST_FLOW, SINCE_S
from mm.backtest.metrics.arithmetic import distinct
from mm.backtest.metrics.fill_states import (
    MOVES,
    STEPS,
    ZONES,
    StateRates,
    by_move,
    distance_weights,
    nodes_of,
    shrunk,
)
from mm.backtest.metrics.market_paths import DEVIATIONS, FLOWS, LEVELS, SWEPT
from mm.backtest.metrics.resting_states import TOUCHES
from mm.base.arrays import Floats, Ints

if TYPE_CHECKING:
    from collections.abc import Sequence


TURNS = 8  # iterations, after which no factor of the real captures changes by more than 1 %
FACTOR_PRIOR_FILLS = 30.0  # weight of the shrinkage of a factor, in fills
CLASSES = TOUCHES, DEVIATIONS, SWEPT  # of the factors without further columns
TINY = 1e-300


def rates_of(sums: Floats) -> StateRates:
    """Return the rates of the rows of `state_sums` of several runs."""
    if not len(sums):
        return StateRates((), (), (), (), ())
    keys, into = distinct(np.stack([sums[:, column].astype(np.int64) for column in (0, 1, 3, 4, 5, 6, 7)]).T)
    distance, spent_s, filled = (sums[:, column] for column in (2, 8, 9))
    nearest = np.full(len(keys), np.inf)
    np.minimum.at(nearest, into, distance)
    seconds, fills = (np.bincount(into, column, len(keys)).astype(np.float64) for column in (spent_s, filled))
    sent, current, move, flow, *classes = keys.T
    nodes, node = nodes_of(sent.astype(np.float64), seconds)
    states = _CellPlaces.of((len(nodes), ZONES * STEPS, MOVES), (node, current, move), fills)
    numbers = (flow & 1) * FLOWS + (flow >> 1), *(column - of[0] for column, of in zip(classes, CLASSES, strict=True))
    factors = [
        _CellPlaces.of((len(nodes), size), (node, number), fills)
        for number, size in zip(numbers, (2 * FLOWS, *map(len, CLASSES)), strict=True)
    ]
    times = [np.ones(factor.shape) for factor in factors]
    each = [factor.taken(table) for factor, table in zip(factors, times, strict=True)]
    for _ in range(TURNS):
        weighted = seconds * reduce(np.multiply, each)
        expected = seconds * states.taken(by_move(nodes, states.summed(weighted), states.fills))
        for i, factor in enumerate(factors):
            others = reduce(np.multiply, each[:i] + each[i + 1 :])
            times[i] = _times(nodes, factor.summed(expected * others), factor.fills)
            each[i] = factor.taken(times[i])
    mean = expected * reduce(np.multiply, each)
    observed, predicted = (np.bincount(node, column, len(nodes)) for column in (fills, mean))
    by_flow, *by_class = times
    by_flow *= (observed / np.maximum(predicted, TINY))[:, None]
    hits = tuple(
        (ticks, number // FLOWS, SINCE_S[number % FLOWS // LEVELS], number % LEVELS + LEAST_FLOW, factor)
        for ticks, number, factor in _class_rows(nodes, by_flow, numbers[0], range(2 * FLOWS))
    )
    rows = (_class_rows(nodes, *table) for table in zip(by_class, classes, CLASSES, strict=True))
    return StateRates(_state_rows(keys, nearest, (seconds, weighted, fills)), hits, *rows)


class _CellPlaces(NamedTuple):
    """The cell of each row in a table of sums.

    Attributes:
        shape: Shape of the table.
        cell: Cell of each row, as a flat index.
        fills: Fills by cell.
    """

    shape: tuple[int, ...]
    cell: Ints
    fills: Floats

    @classmethod
    def of(cls, shape: tuple[int, ...], at: tuple[Ints, ...], fills: Floats) -> Self:
        """Return the places of rows with these indices and fills."""
        cell = np.ravel_multi_index(at, shape)
        return cls(shape, cell, np.bincount(cell, fills, math.prod(shape)).astype(np.float64).reshape(shape))

    def taken(self, table: Floats) -> Floats:
        """Return the value of a table at each row."""
        return table.ravel().take(self.cell)

    def summed(self, column: Floats) -> Floats:
        """Return the sums of a column by cell."""
        return np.bincount(self.cell, column, math.prod(self.shape)).astype(np.float64).reshape(self.shape)


def _class_rows(
    nodes: Floats, times: Floats, observed: Ints, classes: "Sequence[int]"
) -> "tuple[tuple[float, int, float], ...]":
    """Return factors by node and class as rows, for the *observed* classes."""
    numbers = (np.flatnonzero(np.bincount(observed - classes[0])) + classes[0]).tolist()
    return tuple(
        (ticks / 2, number, round(row[number - classes[0]], 9))
        for ticks, row in zip(nodes.tolist(), times.tolist(), strict=True)
        for number in numbers
    )


def _times(nodes: Floats, predicted: Floats, observed: Floats) -> Floats:
    """Return observed over predicted fills by node and class, normalised to a weighted geometric mean of 1.

    The factor common to all classes of a node is part of its state rates, as distances share the classes.
    """
    size = predicted.shape[1]
    overall = shrunk(np.ones(size), predicted.sum(axis=0), observed.sum(axis=0), FACTOR_PRIOR_FILLS)
    near = distance_weights(nodes)
    # not by a product of matrices, see ``arithmetic.dot``
    predicted_near, observed_near = (np.einsum("nm,mv->nv", near, fills) for fills in (predicted, observed))
    factor = shrunk(overall, predicted_near, observed_near, FACTOR_PRIOR_FILLS)
    share = observed.sum(axis=0) / max(observed.sum(), TINY)
    times: Floats = factor / np.exp((share * np.log(np.maximum(factor, TINY))).sum(axis=1, keepdims=True))
    return times


def _state_rows(
    keys: Ints, nearest: Floats, sums: tuple[Floats, Floats, Floats]
) -> "tuple[tuple[float, float, int, int, float, float, float], ...]":
    """Return the sums by distances and last move, over all levels."""
    states, into = distinct(keys[:, :3])
    nearest_current = np.full(len(states), np.inf)
    np.minimum.at(nearest_current, into, nearest)
    columns = [np.bincount(into, weights, len(states)).tolist() for weights in sums]
    return tuple(
        (sent / 2, current / 2, move & 1, move >> 1, round(seconds, 6), round(weighted, 6), fills)
        for sent, move, current, seconds, weighted, fills in zip(
            states[:, 0].tolist(), states[:, 2].tolist(), nearest_current.tolist(), *columns, strict=True
        )
    )
