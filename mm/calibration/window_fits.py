"""The fits of a schedule's windows, one after the other: A, k, the curve of λ(δ), and what a segment may bring.

Comparing shapes of λ(δ) takes ten times as long as a fit, and a shape changes more slowly than a rate. So the shapes
are compared once an hour of the schedule; the windows until then keep the curve's shape and set its level to their own
fills. What a window has is from its own training data and that of earlier windows, which ended before.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.calibration.alternatives import compare
from mm.calibration.exposure import pooled_rates
from mm.calibration.fit_result import Line, PoissonFit, ShapeChoice
from mm.calibration.intervals import predictive_ci95
from mm.calibration.lambda_curve import chosen_curve, rates_on
from mm.calibration.points import Floats, Points, grouped
from mm.calibration.state_rates import StateLevels
from mm.calibration.window_clustering import Memory, WindowClustering
from mm.calibration.window_moves import WindowMoves
from mm.calibration.windows import Window, WindowFit, WindowFitter, WindowPlan

if TYPE_CHECKING:
    from mm.calibration.calibrator import Calibrator

SHAPE_MIN = 60.0  # minutes of a schedule between two comparisons of shapes
KEPT = (
    *("A", "k", "se_k", "se_logA", "sigma_ticks", "half_spread_ticks", "predicted", "moves", "measured"),
    *("states_until_us", "states_level"),
)
STATES_FILLS = 300  # states of fewer fills say less of a later window than its own rates by distance


@dataclass(frozen=True)
class Lead:
    """The first window of an hour of a schedule, at which the shapes were compared.

    Attributes:
        fit: Of it.
        line: The points of its λ(δ), which the windows until the next comparison keep at a level of their own.
        shape: What they keep of its shape.
    """

    fit: PoissonFit
    line: Line
    shape: ShapeChoice | None


@dataclass(frozen=True)
class WindowFits:
    """Fits windows in order of time, one when it is needed.

    Attributes:
        calibrator: Measures the days.
        plan: Windows and mode.
        points: Points of ``[start, end)`` in µs; None for those of the calibrator, of which it keeps the last.
        fit: Points to fit; None for the calibrator's way.
        memory: Returns a value by its name, from the function where it has none yet.
        clustering: Has the mean of its process over each window; None where segments have no clustering.
    """

    calibrator: "Calibrator"
    plan: WindowPlan
    points: Callable[[int, int], Points] | None = None
    fit: Callable[[Points], PoissonFit] | None = None
    memory: Memory = lambda _, make, *__: make()
    clustering: WindowClustering | None = None

    def each(self, windows: Sequence[Window]) -> Iterator[WindowFit]:
        """Yield the fit of each window of the plan, in order of time; windows of one training stretch share it."""
        points = self.points or lru_cache(maxsize=1)(self.calibrator.points)
        apart = max(round(SHAPE_MIN / self.plan.step_min), 1)
        moves, rates = WindowMoves(self.calibrator), self._rates()
        known: dict[tuple[int, int], WindowFit] = {}
        lead: Lead | None = None
        for number, window in enumerate(windows):
            span = window.train_start_us, window.train_end_us
            if number % apart == 0:
                lead = None
            if span not in known:
                make = partial(self._one, (points, moves, rates), span, lead)
                read = partial(_from_json, lead=lead)
                known[span] = self.memory(f"fit {self.plan.mode} {span[0]} {span[1]}", make, _as_json, read)
                if self.clustering is not None:
                    known[span] = replace(known[span], mean_per_s=self.clustering.mean(*span))
            if number % apart == 0:
                fit = known[span].fit
                lead = Lead(fit, fit.line, fit.shape and replace(fit.shape, parameters={}))
            yield known[span]

    def _rates(self) -> dict[int, Line]:
        """Return fills per second by distance up to each instant up to which states of orders are enough to predict."""
        calibrator, start_us = self.calibrator, self.calibrator.start_us
        known = [us for us, rows in calibrator.states.items() if rows.fills >= STATES_FILLS]
        rates = {us: partial(lambda us: pooled_rates(calibrator.points(start_us, us)), us) for us in known}
        found = {us: self.memory(f"rates until {us}", make) for us, make in rates.items()}
        return {us: tuple((delta, rate) for delta, rate in rates) for us, rates in found.items() if rates}

    @cached_property
    def _levels(self) -> StateLevels:
        return StateLevels(self.calibrator.tapes, self.calibrator.recent_s or 0.0)

    def _one(
        self,
        shared: tuple[Callable[[int, int], Points], WindowMoves, dict[int, Line]],
        span: tuple[int, int],
        lead: "Lead | None",
    ) -> WindowFit:
        """Return a window's fit, at the curve of *lead* where there is one."""
        (points, moves, known), calibrator, plan = shared, self.calibrator, self.plan
        until_us = max((us for us in known if us <= span[1]), default=None)
        plain = self.fit or calibrator.fit_window
        curve: tuple[Line, float] | None = None

        def fit(points: Points) -> PoissonFit:
            nonlocal curve
            found = plain(points)
            if lead is None or not found.usable or not lead.line:
                return with_curve(found, points, None if lead is None else lead.fit)
            curve = lead.line, level_of(points, lead.line)
            return replace(found, shape=lead.shape)

        own = WindowFitter(points, fit, plan, calibrator.length_s).one(*span)
        return replace(
            own,
            sigma_ticks=calibrator.sigma_ticks(*span),
            half_spread_ticks=calibrator.half_spread_ticks(*span),
            predicted=own.ahead.interval if own.ahead else predictive_ci95(points(*span), 60 * plan.step_min),
            moves=moves.between(*span),
            measured=pooled_rates(points(*span)) if calibrator.config.fills else (),
            states_until_us=until_us,
            states_level=None
            if until_us is None
            else self._levels.level(points(*span), known[until_us], (until_us, calibrator.states[until_us]), span),
            curve=curve,
        )


def _as_json(own: WindowFit) -> dict[str, Any]:
    """Return what a checkpoint holds of a window's fit; of one that keeps the curve of another window, its level."""
    kept = {name: getattr(own, name) for name in KEPT}
    return {**kept, "level": own.curve and own.curve[1], "fit": own.fit}


def _from_json(kept: dict[str, Any], lead: Lead | None) -> WindowFit:
    """Return the fit that `_as_json` has described, after the window *lead*."""
    return WindowFit(
        **{name: kept[name] for name in KEPT}
        | {"predicted": kept["predicted"] and tuple(kept["predicted"])}
        | {name: tuple(map(tuple, kept[name])) for name in ("moves", "measured")},
        fit=PoissonFit.from_json(kept["fit"], "the fit of a window"),
        curve=None if lead is None or kept["level"] is None else (lead.line, kept["level"]),
    )


def with_curve(fit: PoissonFit, points: Points, lead: PoissonFit | None = None) -> PoissonFit:
    """Return a fit with the shape of λ(δ) and its curve; itself where it is not usable.

    Args:
        fit: Of *points*.
        points: What was fitted.
        lead: An earlier fit without a curve, whose shape is kept; without one, or where it has no shape, the shapes are
            compared.
    """
    if not fit.usable:
        return fit
    if lead is None or lead.shape is None:
        compared = compare(points)
        if compared is None:
            return fit
        curve, shape = chosen_curve(compared, (), fit.pivot_delta or 0.0)
        return replace(fit, lambda_curve=curve, shape=shape)
    return replace(fit, shape=lead.shape)


def level_of(points: Points, line: Line) -> float:
    """Return how many times as many fills *points* have as a curve expects of them."""
    return float(points.fills.sum() / (points.exposure_s * reached(points, line)).sum())


def reached(points: Points, line: Line) -> Floats:
    """Return how often each row is reached, in 1/s: λ(δ), of a cell less λ at its far end."""
    first, row = grouped(points)
    near = points.delta_ticks[first]
    rate = rates_on(line, np.concatenate((near, near + points.width_ticks[first])))
    gain: Floats = (rate[: len(first)] - rate[len(first) :])[row]
    return gain
