"""A and k of all modes beside the one in use, from sums over blocks: what they cost does not grow with the past.

Modes that train on everything so far look at the same blocks, each with its own weights. Exposure and sweeps of a block
by cell are a short row of numbers; the rows of days that have passed are kept until the reach of the flow changes.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Self

import numpy as np

from mm.calibration._row_sums import expected_by_block, weighed_sums
from mm.calibration.depth_counts import DistanceGrid
from mm.calibration.estimators import Absent, maximum_likelihood
from mm.calibration.fit_result import PoissonFit
from mm.calibration.likelihood import Table
from mm.calibration.reference import PER_TICK
from mm.calibration.state_space import RateForecast, forecasts_of, gain_of
from mm.calibration.windows import WEIGHING, Window, WindowFitter, WindowPlan, weights_of
from mm.dataclass import dataclass, replace

if TYPE_CHECKING:
    from mm.calibration.calibrator import Calibrator
    from mm.calibration.points import Floats, Points

_Sums = tuple[DistanceGrid, "Floats", "Floats", "Floats", float]  # what `_Past.of` takes
Rates = tuple[float, float] | None  # A in 1/s and k in 1/tick; None without usable ones
SHARED = ("expanding", *WEIGHING)  # modes that train on everything so far
TOGETHER = 36  # windows, as those of `mm.calibration.windows`; their past by block and column is held meanwhile


class ModeRates:
    """Finds A and k of training windows in any mode, by highest likelihood alone.

    Args:
        calibrator: Measures the days.
        plan: Its half-life and the length of its segments.
        windows: Of each mode, in order of time.
        points: Points of ``[start, end)`` in µs; those of the calibrator, of which it may keep some.
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
        self._apart = {
            mode: lru_cache(maxsize=1)(  # the window of ``static`` is the same in each segment
                WindowFitter(points, bare_fit, replace(plan, mode=mode), calibrator.length_s).one
            )
            for mode in windows
            if mode not in SHARED or not marks
        }
        self._past: tuple[float, list[tuple[Floats, Floats]]] = (-1.0, [])
        self._found: dict[int, dict[str, Rates]] = {}

    def each(self, number: int) -> dict[str, Rates]:
        """Return A and k of the window of this number of each mode."""
        return {mode: self.one(mode, number) for mode in self._windows}

    def one(self, mode: str, number: int) -> Rates:
        """Return A and k of the training window of this number in a mode."""
        if mode in self._apart:
            window = self._windows[mode][number]
            found = self._apart[mode](window.train_start_us, window.train_end_us)
            return None if found.A is None or found.k is None else (found.A, found.k)
        if number not in self._found:
            self._found = self._of_a_day(number, self._windows[mode])
        return self._found[number][mode]

    def _of_a_day(self, first: int, windows: Sequence[Window]) -> dict[int, dict[str, Rates]]:
        """Return A and k of the windows from a number on that end in one day, in the modes that share the past."""
        calibrator, plan = self._calibrator, self._plan
        ends = [window.train_end_us for window in windows[first:]]
        until_us = next((start_us for start_us, _ in calibrator.days if start_us >= ends[0]), calibrator.end_us)
        ends = list(takewhile(lambda us: us <= until_us, ends))
        pasts: list[_Past] = []
        while some := ends[len(pasts) : len(pasts) + TOGETHER]:
            sums = [self._sums(us) for us in some]
            pasts += [_Past.of(*one) for one in sums]
        asked = "state_space" in self._windows
        ahead = forecasts_of([past.counts if asked else None for past in pasts], 60 * plan.step_min)
        return {at: past.rates(one) for at, (past, one) in enumerate(zip(pasts, ahead, strict=True), start=first)}

    def _sums(self, end_us: int) -> "_Sums":
        """Return the sums of everything before an instant, and its exposure up to the last block with any."""
        grid, exposure_s, fills = self._blocks(end_us)
        length_s = self._calibrator.length_s(self._calibrator.start_us, end_us)
        weights = weights_of(np.arange(len(fills)), length_s, self._plan.half_life_min)
        sums, by_block, seen = weighed_sums(exposure_s, fills, weights)
        # blocks after the last exposure may not be over
        return grid, sums, exposure_s[:seen].copy(), by_block[:seen], length_s

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


@dataclass(frozen=True, slots=True)
class _Past:
    """What the modes make of everything before an instant.

    Attributes:
        whole: A and k of all blocks alike.
        recent: Those of blocks by their weights.
        pooled: A of the weighed blocks, with the k of all.
        counts: Fills of each block that are expected at A = 1 with the k of *recent*, those seen, and the seconds that
            were recorded; None without such a k.
    """

    whole: Rates
    recent: Rates
    pooled: Rates
    counts: "tuple[Floats, Floats, float] | None"

    @classmethod
    def of(cls, grid: DistanceGrid, sums: "Floats", exposure_s: "Floats", by_block: "Floats", length_s: float) -> Self:
        """Return it of sums by column of *grid*, exposure by block and column, and fills by block."""
        whole, recent = _peak(grid, sums[0], sums[1]), _peak(grid, sums[2], sums[3])
        pooled, counts = None, None
        if whole is not None:
            gain = gain_of(*grid.ends, whole[1])
            pooled = float(sums[3].sum()) / float((sums[2] * gain).sum()), whole[1]
        if recent is not None:
            expected = expected_by_block(exposure_s, gain_of(*grid.ends, recent[1]), len(exposure_s))
            counts = expected, by_block, length_s
        return cls(whole, recent, pooled, counts)

    def rates(self, ahead: RateForecast | None) -> dict[str, Rates]:
        """Return A and k by mode; *ahead* is the forecast of *counts*."""
        state = self.recent if self.recent is None or ahead is None else (ahead.A, self.recent[1])
        return {"expanding": self.whole, "ewma": self.recent, "pooled_k": self.pooled, "state_space": state}


def _peak(grid: DistanceGrid, exposure_s: "Floats", fills: "Floats") -> Rates:
    """Return A and k at the highest likelihood of sums by column."""
    found = maximum_likelihood(Table.of_sums(grid.ends[0], grid.width, exposure_s, fills))
    return None if isinstance(found, Absent) or found.k <= 0 else (found.A, found.k)


def bare_fit(points: "Points") -> PoissonFit:
    """Return the highest likelihood alone, without intervals and checks."""
    found = maximum_likelihood(Table.of_points(points))
    fit = PoissonFit(
        fit_method="poisson_mle", n_fills=float(points.fills.sum()), exposure_s=0.0, usable=False, status="", reason=""
    )
    if isinstance(found, Absent) or found.k <= 0:
        return fit
    return replace(fit, usable=True, A=found.A, k=found.k, se_k=found.se_k, se_logA=found.se_logA)
