"""A and k of all modes beside the one in use, from sums over blocks: what they cost does not grow with the past.

Modes that train on everything so far look at the same blocks, each with its own weights. Exposure and sweeps of a block
by cell are a short row of numbers; the rows of days that have passed are kept until the reach of the flow changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mm.calibration.depth_counts import DistanceGrid
from mm.calibration.estimators import Absent, estimate, maximum_likelihood
from mm.calibration.fit_result import PoissonFit
from mm.calibration.likelihood import Table
from mm.calibration.reference import PER_TICK
from mm.calibration.state_space import RateForecast, forecast_of, gain_of
from mm.calibration.windows import WEIGHING, Window, WindowFitter, WindowPlan, weights_of

if TYPE_CHECKING:
    from mm.calibration.calibrator import Calibrator
    from mm.calibration.points import Floats, Points

Rates = tuple[float, float] | None  # A in 1/s and k in 1/tick; None without usable ones
SHARED = ("expanding", *WEIGHING)  # modes that train on everything so far


class ModeRates:
    """Finds A and k of training windows in any mode, by highest likelihood alone.

    Args:
        calibrator: Measures the days.
        plan: Its half-life and the length of its segments.
        points: Points of ``[start, end)`` in µs; those of the calibrator, of which it may keep some.
    """

    def __init__(
        self, calibrator: "Calibrator", plan: WindowPlan, points: "Callable[[int, int], Points] | None" = None
    ) -> None:
        self._calibrator, self._plan, self._points = calibrator, plan, points or calibrator.points
        self._past: tuple[float, list[tuple[Floats, Floats]]] = (-1.0, [])
        self._apart: dict[str, tuple[tuple[int, int], Rates]] = {}
        self._last: tuple[int, _Past] | None = None

    def each(self, windows: Mapping[str, Window]) -> dict[str, Rates]:
        """Return A and k of the window of each mode."""
        return {mode: self.one(mode, window) for mode, window in windows.items()}

    def one(self, mode: str, window: Window) -> Rates:
        """Return A and k of a training window in a mode."""
        calibrator, begin_us, end_us = self._calibrator, window.train_start_us, window.train_end_us
        if mode not in SHARED or calibrator.config.method != "marks" or begin_us != calibrator.start_us:
            window_us = begin_us, end_us
            fitter = WindowFitter(self._points, bare_fit, replace(self._plan, mode=mode), calibrator.length_s)
            last = self._apart.get(mode)
            if last is None or last[0] != window_us:  # that of ``static`` is the same in each segment
                found = fitter.one(begin_us, end_us)
                last = self._apart[mode] = window_us, None if found.A is None or found.k is None else (found.A, found.k)
            return last[1]
        if self._last is None or self._last[0] != end_us:
            length_s = calibrator.length_s(begin_us, end_us)
            self._last = end_us, _Past(*self._blocks(end_us), length_s, self._plan.half_life_min)
        past = self._last[1]
        if mode == "expanding":
            return past.whole_peak
        if mode == "pooled_k":
            return past.whole_peak and (past.pooled_A(past.whole_peak[1]), past.whole_peak[1])
        if mode == "ewma" or past.recent_peak is None:
            return past.recent_peak
        ahead = past.forecast(past.recent_peak[1], 60 * self._plan.step_min)
        return past.recent_peak if ahead is None else (ahead.A, past.recent_peak[1])

    def _blocks(self, end_us: int) -> "tuple[DistanceGrid, Floats, Floats]":
        """Return the grid of everything before an instant, and exposure and sweeps by block and column."""
        calibrator = self._calibrator
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


@dataclass(frozen=True)
class _Past:
    """Everything before an instant by block and column, and what the modes make of it; each is worked out once.

    Attributes:
        grid: Its columns.
        exposure_s: float64[b, c], in s.
        fills: float64[b, c], sweeps.
        length_s: Seconds that were recorded.
        half_life_min: Age at which a block weighs half, in minutes.
    """

    grid: DistanceGrid
    exposure_s: "Floats"
    fills: "Floats"
    length_s: float
    half_life_min: float

    @cached_property
    def recent(self) -> "tuple[Floats, Floats]":
        """Exposure and sweeps by column, older blocks weighing less."""
        weights = weights_of(np.arange(len(self.fills)), self.length_s, self.half_life_min)
        return (weights[:, None] * self.exposure_s).sum(axis=0), (weights[:, None] * self.fills).sum(axis=0)

    @cached_property
    def whole_peak(self) -> Rates:
        """A and k of all blocks alike."""
        return _peak(self.grid, self.exposure_s.sum(axis=0), self.fills.sum(axis=0))

    @cached_property
    def recent_peak(self) -> Rates:
        """A and k of blocks by their weights."""
        return _peak(self.grid, *self.recent)

    def pooled_A(self, k: float) -> float:
        """Return A of the weighed blocks with a given k."""
        return float(self.recent[1].sum()) / float((self.recent[0] * self._gain(k)).sum())

    def forecast(self, k: float, horizon_s: float) -> RateForecast | None:
        """Return what the *horizon_s* to come may bring with a given k."""
        seen = np.flatnonzero(self.exposure_s.any(axis=1))[-1] + 1  # blocks after the last exposure may not be over
        expected = (self.exposure_s[:seen] * self._gain(k)).sum(axis=1)
        return forecast_of(expected, self.fills[:seen].sum(axis=1), self.length_s, horizon_s)

    def _gain(self, k: float) -> "Floats":
        """Return the share of the sweeps that end in each column."""
        near = self.grid.near / self.grid.per_tick
        return gain_of(near, near + self.grid.width, k)


def _peak(grid: DistanceGrid, exposure_s: "Floats", fills: "Floats") -> Rates:
    """Return A and k at the highest likelihood of sums by column."""
    found = maximum_likelihood(Table.of_sums(grid.near / grid.per_tick, grid.width, exposure_s, fills))
    return None if isinstance(found, Absent) or found.k <= 0 else (found.A, found.k)


def bare_fit(points: "Points") -> PoissonFit:
    """Return the highest likelihood alone, without intervals and checks."""
    found = estimate(points.delta_ticks, points.exposure_s, points.fills, points.width_ticks)
    fit = PoissonFit(
        fit_method="poisson_mle", n_fills=float(points.fills.sum()), exposure_s=0.0, usable=False, status="", reason=""
    )
    if isinstance(found, Absent) or found.k <= 0:
        return fit
    return replace(fit, usable=True, A=found.A, k=found.k, se_k=found.se_k, se_logA=found.se_logA)
