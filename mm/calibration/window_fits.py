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
from mm.calibration.fit_result import Line, PoissonFit
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
STATES_FILLS = 300  # states of fewer fills say less of a later window than its own rates by distance


@dataclass(frozen=True)
class Lead:
    """The first window of an hour of a schedule, at which the shapes were compared.

    Attributes:
        fit: Of it.
        line: The points of its λ(δ), which the windows until the next comparison keep at a level of their own.
    """

    fit: PoissonFit
    line: Line


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
    memory: Memory = lambda _, make: make()
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
                name = f"fit {self.plan.mode} {span[0]} {span[1]}"
                make = partial(self._as_json, (points, moves, rates), span, lead)
                mean_per_s = None if self.clustering is None else self.clustering.mean(*span)
                known[span] = replace(_from_json(self.memory(name, make), lead), mean_per_s=mean_per_s)
            if number % apart == 0:
                lead = Lead(known[span].fit, known[span].fit.line)
            yield known[span]

    def _rates(self) -> dict[int, Line]:
        """Return fills per second by distance up to each instant up to which states of orders are enough to predict."""
        calibrator, start_us = self.calibrator, self.calibrator.start_us
        known = [us for us, rows in calibrator.states.items() if rows.fills >= STATES_FILLS]
        made = {us: partial(lambda us: pooled_rates(calibrator.points(start_us, us)), us) for us in known}
        found = {us: self.memory(f"rates until {us}", make) for us, make in made.items()}
        return {us: tuple((delta, rate) for delta, rate in rates) for us, rates in found.items() if rates}

    def _level(self, points: Points, line: Line, until_us: int, span: tuple[int, int]) -> float | None:
        """Return how many times as many fills a window has as the states up to an instant expect."""
        return self._levels.level(points, line, (until_us, self.calibrator.states[until_us]), span)

    @cached_property
    def _levels(self) -> StateLevels:
        return StateLevels(self.calibrator.tapes, self.calibrator.recent_s or 0.0)

    def _as_json(
        self,
        shared: tuple[Callable[[int, int], Points], WindowMoves, dict[int, Line]],
        span: tuple[int, int],
        lead: "Lead | None",
    ) -> dict[str, Any]:
        """Return a window's fit as JSON holds it; of one that keeps the curve of *lead*, its level alone."""
        (points, moves, known), calibrator, plan = shared, self.calibrator, self.plan
        until_us = max((us for us in known if us <= span[1]), default=None)
        plain = self.fit or calibrator.fit_window
        level: float | None = None

        def fit(points: Points) -> PoissonFit:
            nonlocal level
            found = plain(points)
            if lead is None or not found.usable or not lead.line:
                return with_curve(found, points, None if lead is None else lead.fit)
            level = level_of(points, lead.line)
            return found

        own = WindowFitter(points, fit, plan, calibrator.length_s).one(*span)
        predicted = own.ahead.interval if own.ahead else predictive_ci95(points(*span), 60 * plan.step_min)
        rates = {name: getattr(own, name) for name in ("A", "k", "se_k", "se_logA")}
        beside = {
            "sigma_ticks": calibrator.sigma_ticks(*span),
            "predicted": predicted,
            "moves": moves.between(*span),
            "measured": pooled_rates(points(*span)) if calibrator.config.fills else (),
            "states_until_us": until_us,
            "states_level": None if until_us is None else self._level(points(*span), known[until_us], until_us, span),
        }
        return {**rates, **beside, "level": level, "fit": own.fit.to_json(brief=True)}


def _from_json(kept: dict[str, Any], lead: Lead | None) -> WindowFit:
    fit = PoissonFit.from_json(kept["fit"], "the fit of a window")
    curve = None
    if lead is not None and kept["level"] is not None:
        fit = replace(fit, shape=lead.fit.shape and replace(lead.fit.shape, parameters={}))
        curve = lead.line, kept["level"]
    return WindowFit(
        **{
            name: kept[name] for name in ("A", "k", "se_k", "se_logA", "sigma_ticks", "states_until_us", "states_level")
        },
        fit=fit,
        curve=curve,
        predicted=kept["predicted"] and tuple(kept["predicted"]),
        moves=tuple(map(tuple, kept["moves"])),
        measured=tuple(map(tuple, kept["measured"])),
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
