"""A and k of all training modes for comparison, from sums over blocks, at a cost independent of the history's length.

Modes that train on all data so far use the same blocks with different weights. Exposure and sweep counts of a block by
cell form a short row of numbers; the rows of past days are kept until the farthest distance of the flow changes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Self

import numpy as np

from mm.calibration.distance_grid import DistanceGrid
from mm.calibration.estimators import NoEstimate, maximum_likelihood
from mm.calibration.fit_result import PoissonFit
from mm.calibration.likelihood import Table
from mm.calibration.reference import PER_TICK
from mm.calibration.state_space import RateForecast, forecasts_of, gain_of
from mm.calibration.windows import WEIGHING, Window, WindowFitter, WindowPlan, weights_of

if TYPE_CHECKING:
    from mm.calibration.calibrator import Calibrator
    from mm.calibration.points import Floats, Points

_Sums = tuple[DistanceGrid, "Floats", "Floats", "Floats", float]  # arguments of `_Past.of`
Rates = tuple[float, float] | None  # A in 1/s and k in 1/tick; None if there are no usable ones
SHARED = ("expanding", *WEIGHING)  # modes that train on all data so far


class ModeRates:
    """Estimates A and k of training windows in any mode, by maximum likelihood only (no intervals, no checks).

    Args:
        calibrator: Measures the days.
        plan: Gives the half-life and the length of segments.
        windows: Windows by mode, in order of time.
        points: Returns the points of ``[start, end)`` in µs; None for those of the calibrator, which may cache some.
    """

    def __init__(
        self,
        calibrator: "Calibrator",
        plan: WindowPlan,
        windows: Mapping[str, Sequence[Window]],
        points: "Callable[[int, int], Points] | None" = None,
    ) -> None:
        self._calibrator, self._plan, self._windows = calibrator, plan, windows
        points, marks = points or calibrator.points, calibrator.config.method == "marks"
        self._separate = {
            mode: lru_cache(maxsize=1)(  # the window of ``static`` is the same in each segment
                WindowFitter(points, bare_fit, replace(plan, mode=mode), calibrator.length_s).one
            )
            for mode in windows
            if mode not in SHARED or not marks
        }
        self._past: tuple[float, list[tuple[Floats, Floats]]] = (-1.0, [])
        self._found: dict[int, dict[str, Rates]] = {}

    def each(self, number: int) -> dict[str, Rates]:
        """Return A and k of window *number* in each mode."""
        return {mode: self.one(mode, number) for mode in self._windows}

    def one(self, mode: str, number: int) -> Rates:
        """Return A and k of training window *number* in a mode."""
        if mode in self._separate:
            window = self._windows[mode][number]
            found = self._separate[mode](window.train_start_us, window.train_end_us)
            return None if found.A is None or found.k is None else (found.A, found.k)
        if number not in self._found:
            self._found = self._rates_of_day(number, self._windows[mode])
        return self._found[number][mode]

    def _rates_of_day(self, first: int, windows: Sequence[Window]) -> dict[int, dict[str, Rates]]:
        """Return A and k, in the modes of ``SHARED``, of the windows from *first* on whose training ends in one day."""
        calibrator, plan = self._calibrator, self._plan
        ends = [window.train_end_us for window in windows[first:]]
        until_us = next((start_us for start_us, _ in calibrator.days if start_us >= ends[0]), calibrator.end_us)
        ends = list(takewhile(lambda us: us <= until_us, ends))
        pasts = [_Past.of(*self._sums(us)) for us in ends]
        needed = "state_space" in self._windows
        ahead = forecasts_of([past.counts if needed else None for past in pasts], 60 * plan.step_min)
        return {at: past.rates(one) for at, (past, one) in enumerate(zip(pasts, ahead, strict=True), start=first)}

    def _sums(self, end_us: int) -> "_Sums":
        """Return the sums of all data before an instant, and exposure and fills up to the last block with exposure."""
        grid, exposure_s, fills = self._blocks(end_us)
        length_s = self._calibrator.length_s(self._calibrator.start_us, end_us)
        weights = weights_of(np.arange(len(fills)), length_s, self._plan.half_life_min)
        sums = np.stack(
            [
                *(
                    np.einsum("b,bc->c", one, column)
                    for one in (np.ones(len(fills)), weights)
                    for column in (exposure_s, fills)
                )
            ]
        )
        # blocks after the last exposure may be incomplete
        seen = int(np.flatnonzero(exposure_s.any(axis=1)).max(initial=-1)) + 1
        return grid, sums, exposure_s[:seen], fills[:seen].sum(axis=1), length_s

    def _blocks(self, end_us: int) -> "tuple[DistanceGrid, Floats, Floats]":
        """Return the grid of all data before an instant, and exposure and sweep counts by block and column."""
        calibrator = self._calibrator.known_at(end_us)
        parts = calibrator.parts(calibrator.start_us, end_us)
        reach = calibrator.reach(calibrator.start_us, end_us)
        grid = DistanceGrid.of(reach, PER_TICK[calibrator.config.reference])
        if self._past[0] != reach:
            self._past = reach, []
        past = self._past[1]
        past.extend(calibrator.marks.cells(*part, grid) for part in parts[len(past) : -1])
        exposure_s, fills = calibrator.marks.cells(*parts[-1], grid)
        if past:
            each = [*past, (exposure_s, fills)]
            exposure_s, fills = (np.concatenate(column) for column in zip(*each, strict=True))
        return grid, exposure_s, fills


@dataclass(frozen=True, slots=True)
class _Past:
    """Estimates of the modes from all data before an instant.

    Attributes:
        whole: A and k of all blocks with equal weights.
        recent: A and k of the weighted blocks.
        pooled: A of the weighted blocks, with the k of *whole*.
        counts: Expected fills per block at A = 1 with the k of *recent*, observed fills per block, and recorded
            seconds; None without such a k.
    """

    whole: Rates
    recent: Rates
    pooled: Rates
    counts: "tuple[Floats, Floats, float] | None"

    @classmethod
    def of(cls, grid: DistanceGrid, sums: "Floats", exposure_s: "Floats", by_block: "Floats", length_s: float) -> Self:
        """Return the estimates from sums by column of *grid*, exposure by block and column, and fills by block."""
        whole, recent = _peak(grid, sums[0], sums[1]), _peak(grid, sums[2], sums[3])
        pooled, counts = None, None
        if whole is not None:
            gain = gain_of(*grid.ends, whole[1])
            pooled = float(sums[3].sum()) / float((sums[2] * gain).sum()), whole[1]
        if recent is not None:
            expected = (exposure_s * gain_of(*grid.ends, recent[1])).sum(axis=1)
            counts = expected, by_block, length_s
        return cls(whole, recent, pooled, counts)

    def rates(self, ahead: RateForecast | None) -> dict[str, Rates]:
        """Return A and k by mode; *ahead* is the forecast of *counts*."""
        state = self.recent if self.recent is None or ahead is None else (ahead.A, self.recent[1])
        return {"expanding": self.whole, "ewma": self.recent, "pooled_k": self.pooled, "state_space": state}


def _peak(grid: DistanceGrid, exposure_s: "Floats", fills: "Floats") -> Rates:
    """Return the maximum-likelihood A and k of sums by column."""
    found = maximum_likelihood(Table.of_sums(grid.ends[0], grid.width, exposure_s, fills))
    return None if isinstance(found, NoEstimate) or found.k <= 0 else (found.A, found.k)


def bare_fit(points: "Points") -> PoissonFit:
    """Return the maximum-likelihood fit only, without intervals and checks."""
    found = maximum_likelihood(Table.of_points(points))
    fit = PoissonFit(
        fit_method="poisson_mle", n_fills=float(points.fills.sum()), exposure_s=0.0, usable=False, status="", reason=""
    )
    if isinstance(found, NoEstimate) or found.k <= 0:
        return fit
    return replace(fit, usable=True, A=found.A, k=found.k, se_k=found.se_k, se_logA=found.se_logA)
