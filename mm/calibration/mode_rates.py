"""A and k of all modes beside the one in use, from sums over blocks: what they cost does not grow with the past.

Modes that train on everything so far look at the same blocks, each with its own weights. Exposure and sweeps of a block
by cell are a short row of numbers; the rows of days that have passed are kept until the reach of the flow changes.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mm.calibration.depth_counts import DistanceGrid
from mm.calibration.estimators import Absent, estimate, maximum_likelihood
from mm.calibration.fit_result import PoissonFit
from mm.calibration.likelihood import Table
from mm.calibration.reference import PER_TICK
from mm.calibration.state_space import forecast_of, gain_of
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
        self._last: tuple[int, DistanceGrid, Floats, Floats] | None = None

    def one(self, mode: str, window: Window) -> Rates:
        """Return A and k of a training window in a mode."""
        calibrator, begin_us, end_us = self._calibrator, window.train_start_us, window.train_end_us
        if mode not in SHARED or calibrator.config.method != "marks" or begin_us != calibrator.start_us:
            fitter = WindowFitter(self._points, bare_fit, replace(self._plan, mode=mode), calibrator.length_s)
            found = fitter.one(begin_us, end_us)
            return None if found.A is None or found.k is None else (found.A, found.k)
        grid, exposure_s, fills = self._blocks(end_us)
        if mode == "expanding":
            return _peak(grid, exposure_s.sum(axis=0), fills.sum(axis=0))
        length_s = calibrator.length_s(begin_us, end_us)
        weights = weights_of(np.arange(len(fills)), length_s, self._plan.half_life_min)[:, None]
        recent = (weights * exposure_s).sum(axis=0), (weights * fills).sum(axis=0)
        if mode == "pooled_k":
            whole = _peak(grid, exposure_s.sum(axis=0), fills.sum(axis=0))
            near = grid.near / grid.per_tick
            gain = gain_of(near, near + grid.width, whole[1]) if whole else near
            return whole and (float(recent[1].sum()) / float((recent[0] * gain).sum()), whole[1])
        found_recent = _peak(grid, *recent)
        if mode == "ewma" or found_recent is None:
            return found_recent
        near, k = grid.near / grid.per_tick, found_recent[1]
        seen = np.flatnonzero(exposure_s.any(axis=1))[-1] + 1  # blocks after the last exposure are not known to end
        expected = (exposure_s[:seen] * gain_of(near, near + grid.width, k)).sum(axis=1)
        ahead = forecast_of(expected, fills[:seen].sum(axis=1), length_s, 60 * self._plan.step_min)
        return found_recent if ahead is None else (ahead.A, k)

    def _blocks(self, end_us: int) -> "tuple[DistanceGrid, Floats, Floats]":
        """Return the grid of everything before an instant, and exposure and sweeps by block and column."""
        if self._last is None or self._last[0] != end_us:
            calibrator = self._calibrator
            parts = calibrator.parts(calibrator.start_us, end_us)
            reach = calibrator.reach(calibrator.start_us, end_us)
            grid = DistanceGrid.of(reach, PER_TICK[calibrator.config.reference])
            if self._past[0] != reach:
                self._past = reach, []
            past = self._past[1]
            past.extend(calibrator.marks.cells(*part, grid) for part in parts[len(past) : -1])
            each = [*past, calibrator.marks.cells(*parts[-1], grid)]
            exposure_s, fills = (np.concatenate(column) for column in zip(*each, strict=True))
            self._last = end_us, grid, exposure_s, fills
        return self._last[1:]


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
