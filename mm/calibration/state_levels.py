"""How many times as many fills a window has as the states of its past expect in the market of that window.

A schedule predicts the fills of a segment by states of its past, times the level of its training window. A busy window
has more fills for two reasons: more aggressive orders, which the flow of the states counts already, and all that states
do not see. The level is of the latter alone: of fills over those that rates by distance expect, times what the flow of
the window makes of them beside that of the past.
"""

from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.metrics.fill_states import FillStates
from mm.backtest.metrics.flow_levels import FLOWS, aggressors, flow_of_sides
from mm.calibration.lambda_curve import rates_on
from mm.calibration.reference import BLOCK_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mm.backtest.metrics.fill_states import StateRates
    from mm.calibration.fit_result import Line
    from mm.calibration.points import Points
    from mm.tape.tape import Tape

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


class StateLevels:
    """The levels of windows, from the market of days by blocks of five minutes.

    Args:
        tapes: The days.
        recent_s: How long a move of the mid is recent in the states.
    """

    def __init__(self, tapes: "Sequence[Tape]", recent_s: float) -> None:
        self._recent_s = recent_s
        sides = flow_of_sides(np.concatenate([aggressors(one) for one in tapes]))
        self._begin_us = np.concatenate([np.arange(one.start_us, one.end_us, BLOCK_US) for one in tapes])
        ends_us = np.concatenate([(*range(one.start_us + BLOCK_US, one.end_us, BLOCK_US), one.end_us) for one in tapes])
        bids, asks = (_spent(side, self._begin_us, ends_us) for side in sides)
        self._spent_us = bids + asks
        self._found: dict[int, FillStates] = {}

    def level(
        self, points: "Points", line: "Line", states: "tuple[int, StateRates]", span: tuple[int, int]
    ) -> float | None:
        """Return how many times as many fills *points* have as is expected; None where nothing is.

        Args:
            points: Of the window, which the distances of the *line* do not all hold.
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


def _spent(side: "tuple[Ints, Ints]", begin_us: "Ints", ends_us: "Ints") -> "Floats":
    """Return how long a side saw each level, float64[blocks, levels]."""
    since, number = side
    at = np.union1d(since[1:], np.concatenate((begin_us, ends_us)))
    block = np.searchsorted(begin_us, at[:-1], side="right") - 1
    inside = (block >= 0) & (at[:-1] < ends_us[np.maximum(block, 0)])
    level = number[np.searchsorted(since, at[:-1], side="right") - 1]
    size = len(begin_us) * FLOWS
    spent = np.bincount((block * FLOWS + level)[inside], np.diff(at)[inside].astype(np.float64), size)
    return spent.astype(np.float64).reshape(len(begin_us), FLOWS)
