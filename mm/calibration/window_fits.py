"""Fits of a schedule's windows in order of time: A, k, the curve of λ(δ), and the predictions for a segment.

Comparing shapes of λ(δ) takes ten times as long as a fit, and a shape changes more slowly than a rate. So the shapes
are compared once per hour of the schedule; the windows until then keep the curve's shape and scale its level to their
own fills. A window uses only its own training data and that of earlier windows, which ended before.

For comparison, `ModeRates` estimates A and k of the other modes. Those that train on all data so far use the same
blocks with different weights: exposure and sweep counts of a block by cell form a short row of numbers, and the rows of
past days are kept until the farthest distance of the flow changes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mm.base.arrays import Floats
from mm.calibration.alternatives import chosen_curve, compare, rates_on
from mm.calibration.estimators import NoEstimate, maximum_likelihood
from mm.calibration.fit_result import Line, PoissonFit
from mm.calibration.intervals import predictive_ci95
from mm.calibration.likelihood import Table
from mm.calibration.moves import moves_between
from mm.calibration.points import Points
from mm.calibration.reference import PER_TICK
from mm.calibration.simulated_runs import pooled_rates
from mm.calibration.state_rates import StateLevels
from mm.calibration.state_space import RateForecast, forecasts_of, gain_of
from mm.calibration.tally import DistanceGrid
from mm.calibration.window_clustering import Memory, WindowClustering
from mm.calibration.windows import WEIGHING, KeptCurve, Window, WindowFit, WindowFitter, WindowPlan, weights_of

if TYPE_CHECKING:
    from mm.calibration.calibrator import Calibrator

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

    def _blocks(self, end_us: int) -> tuple[DistanceGrid, Floats, Floats]:
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
    counts: tuple[Floats, Floats, float] | None

    @classmethod
    def of(cls, grid: DistanceGrid, sums: Floats, exposure_s: Floats, by_block: Floats, length_s: float) -> Self:
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


def _peak(grid: DistanceGrid, exposure_s: Floats, fills: Floats) -> Rates:
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


SHAPE_MIN = 60.0  # minutes of a schedule between two comparisons of shapes
KEPT = (
    *("A", "k", "se_k", "se_logA", "sigma_ticks", "half_spread_ticks", "predicted", "moves", "measured"),
    *("states_until_us", "states_level"),
)
STATES_FILLS = 300  # states of fewer fills predict a later window worse than its own rates by distance

Lead = KeptCurve | None  # of an hour's first window; None for it, and if no shapes were compared
Shared = tuple[Callable[[int, int], Points], dict[int, Line]]  # shared by the windows of a schedule


@dataclass(frozen=True)
class WindowFits:
    """Fits windows in order of time, on demand.

    Attributes:
        calibrator: Measures the days.
        plan: Windows and mode.
        points: Returns the points of ``[start, end)`` in µs; None for the calibrator's, the last of which are cached.
        fit: Fits points; None for the fit of the calibrator.
        memory: Returns the stored value of a name, or else the result of the function.
        clustering: Returns the mean of its process over each window; None if segments have no clustering.
    """

    calibrator: "Calibrator"
    plan: WindowPlan
    points: Callable[[int, int], Points] | None = None
    fit: Callable[[Points], PoissonFit] | None = None
    memory: Memory = lambda _, make, *__: make()
    clustering: WindowClustering | None = None

    def each(self, windows: Sequence[Window]) -> Iterator[WindowFit]:
        """Yield the fit of each window of the plan, in order of time; windows with the same training span share it."""
        points = self.points or lru_cache(maxsize=1)(self.calibrator.points)
        per_hour = max(round(SHAPE_MIN / self.plan.step_min), 1)
        shared = points, self._rates()
        known: dict[tuple[int, int], WindowFit] = {}
        lead: Lead = None
        for number, window in enumerate(windows):
            span, leads = (window.train_start_us, window.train_end_us), number % per_hour == 0
            if span not in known:
                known[span] = self._known(shared, span, None if leads else lead)
            if leads:
                fit = known[span].fit
                lead = KeptCurve(fit.line, fit.shape.chosen, 1.0) if fit.shape else None
            yield known[span]

    def _known(self, shared: Shared, span: tuple[int, int], lead: Lead) -> WindowFit:
        """Return the fit of a training window, computed if it is not in the memory."""
        name, make = f"fit {self.plan.mode} {span[0]} {span[1]}", partial(self._made, shared, span, lead)
        own: WindowFit = self.memory(name, make, _as_json, partial(_from_json, lead=lead))
        return own if self.clustering is None else replace(own, mean_per_s=self.clustering.mean(*span))

    def _rates(self) -> dict[int, Line]:
        """Return fills per second by distance, up to each instant whose order states have enough fills to predict."""
        calibrator, start_us = self.calibrator, self.calibrator.start_us
        known = [us for us, rows in calibrator.states.items() if rows.fills >= STATES_FILLS]
        rates = {us: partial(lambda us: pooled_rates(calibrator.points(start_us, us)), us) for us in known}
        found = {us: self.memory(f"rates until {us}", make) for us, make in rates.items()}
        return {us: tuple((delta, rate) for delta, rate in rates) for us, rates in found.items() if rates}

    @cached_property
    def _levels(self) -> StateLevels:
        return StateLevels(self.calibrator.tapes, self.calibrator.recent_s or 0.0)

    def _made(self, shared: Shared, span: tuple[int, int], lead: Lead) -> WindowFit:
        """Compute the fit of a training window, with the curve of *lead* if there is one."""
        (points, known), calibrator, step_s = shared, self.calibrator, 60 * self.plan.step_min
        table = points(*span)
        fit = self._fitted(table, span, lead)
        until_us, level = self._states(table, span, known)
        return replace(
            fit,
            sigma_ticks=calibrator.sigma_ticks(*span),
            half_spread_ticks=calibrator.half_spread_ticks(*span),
            predicted=fit.ahead.interval if fit.ahead else predictive_ci95(table, step_s),
            moves=moves_between(calibrator, *span),
            measured=pooled_rates(table) if calibrator.config.fills else (),
            states_until_us=until_us,
            states_level=level,
        )

    def _fitted(self, points: Points, span: tuple[int, int], lead: Lead) -> WindowFit:
        """Return A and k of a training window, and its curve: with the shape of *lead* if there is one."""
        plain = self.fit or self.calibrator.fit_window
        curve: KeptCurve | None = None

        def fit(weighed: Points) -> PoissonFit:
            nonlocal curve
            found = plain(weighed)
            if lead is None:
                return with_curve(found, weighed)
            if found.usable and lead.line:
                curve = lead._replace(level=level_of(weighed, lead.line))
            return found

        fitter = WindowFitter(lambda *_: points, fit, self.plan, self.calibrator.length_s)
        return replace(fitter.one(*span), curve=curve)

    def _states(self, points: Points, span: tuple[int, int], known: dict[int, Line]) -> tuple[int | None, float | None]:
        """Return the end of the newest order states that a training window may use, and their level in it."""
        until_us = max((us for us in known if us <= span[1]), default=None)
        if until_us is None:
            return None, None
        states = until_us, self.calibrator.states[until_us]
        at_end = self.calibrator.known_at(span[1])
        levels = self._levels if at_end is self.calibrator else StateLevels(at_end.tapes, at_end.recent_s or 0.0)
        return until_us, levels.level(points, known[until_us], states, span)


def _as_json(own: WindowFit) -> dict[str, Any]:
    """Return the checkpoint content of a window's fit; for a curve kept from another window, only its level."""
    kept = {name: getattr(own, name) for name in KEPT}
    return {**kept, "level": own.curve and own.curve.level, "fit": own.fit}


def _from_json(kept: dict[str, Any], lead: Lead) -> WindowFit:
    """Return the fit of an `_as_json` content; a kept curve is that of *lead*."""
    level = kept["level"]
    return WindowFit(
        **{name: kept[name] for name in KEPT}
        | {"predicted": kept["predicted"] and tuple(kept["predicted"])}
        | {name: tuple(map(tuple, kept[name])) for name in ("moves", "measured")},
        fit=PoissonFit.from_json(kept["fit"], "the fit of a window"),
        curve=lead._replace(level=level) if lead and level is not None else None,
    )


def with_curve(fit: PoissonFit, points: Points) -> PoissonFit:
    """Return a fit of *points* with the shape of λ(δ) and its curve; unchanged without a comparison."""
    compared = compare(points) if fit.usable else None
    if compared is None:
        return fit
    curve, shape = chosen_curve(compared, (), fit.pivot_delta or 0.0)
    return replace(fit, lambda_curve=curve, shape=shape)


def level_of(points: Points, line: Line) -> float:
    """Return the ratio of the fills of *points* to those expected from a curve."""
    return float(points.fills.sum()) / float((points.exposure_s * reached(points, line)).sum())


def reached(points: Points, line: Line) -> Floats:
    """Return the rate at which each row is reached, in 1/s: λ(δ), for a cell minus λ at its far end."""
    first, row = points.groups
    near = points.delta_ticks[first]
    rate = rates_on(line, np.concatenate((near, near + points.width_ticks[first])))
    gain: Floats = (rate[: len(first)] - rate[len(first) :])[row]
    return gain
