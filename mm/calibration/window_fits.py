"""Fits of a schedule's windows in order of time: A, k, the curve of λ(δ), and the predictions for a segment."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.base.arrays import Floats
from mm.calibration.alternatives import chosen_curve, compare, rates_on
from mm.calibration.exposure import pooled_rates
from mm.calibration.fit_result import Line, PoissonFit
from mm.calibration.intervals import predictive_ci95
from mm.calibration.moves import moves_between
from mm.calibration.points import Points
from mm.calibration.window_clustering import Memory, WindowClustering
from mm.calibration.windows import KeptCurve, Window, WindowFit, WindowFitter, WindowPlan

if TYPE_CHECKING:
    from mm.calibration.calibrator import Calibrator


SHAPE_MIN = 60.0  # minutes of a schedule between two comparisons of shapes
ENDS = ("predicted", "ci95_A", "ci95_k")
KEPT = ("A", "k", "se_k", "se_logA", "cov_logA_k", "sigma_ticks", "half_spread_ticks", "moves", "measured", *ENDS)

Lead = KeptCurve | None  # of an hour's first window; None for it, and if no shapes were compared
PointsOf = Callable[[int, int], Points]


@dataclass(frozen=True)
class WindowFits:
    calibrator: "Calibrator"
    plan: WindowPlan
    points: Callable[[int, int], Points] | None = None
    fit: Callable[[Points], PoissonFit] | None = None
    memory: Memory = lambda _, make, *__: make()
    clustering: WindowClustering | None = None

    def each(self, windows: Sequence[Window]) -> Iterator[WindowFit]:
        points = self.points or lru_cache(maxsize=1)(self.calibrator.points)
        per_hour = max(round(SHAPE_MIN / self.plan.step_min), 1)
        known: dict[tuple[int, int], WindowFit] = {}
        lead: Lead = None
        for number, window in enumerate(windows):
            span, leads = (window.train_start_us, window.train_end_us), number % per_hour == 0
            if span not in known:
                known[span] = self._recall(points, span, None if leads else lead)
            if leads:
                fit = known[span].fit
                lead = KeptCurve(fit.line, fit.shape.chosen, 1.0) if fit.shape else None
            yield known[span]

    def _recall(self, points: PointsOf, span: tuple[int, int], lead: Lead) -> WindowFit:
        name, make = f"fit {self.plan.mode} {span[0]} {span[1]}", partial(self._make, points, span, lead)
        own: WindowFit = self.memory(name, make, _as_json, partial(_from_json, lead=lead))
        return own if self.clustering is None else replace(own, mean_per_s=self.clustering.mean(*span))

    def _make(self, points: PointsOf, span: tuple[int, int], lead: Lead) -> WindowFit:
        calibrator, step_s = self.calibrator, 60 * self.plan.step_min
        table = points(*span)
        fit = self._fitted(table, span, lead)
        return replace(
            fit,
            sigma_ticks=calibrator.sigma_ticks(*span),
            half_spread_ticks=calibrator.half_spread_ticks(*span),
            predicted=predictive_ci95(table, step_s),
            moves=moves_between(calibrator, *span),
            measured=pooled_rates(table) if calibrator.config.fills else (),
        )

    def _fitted(self, points: Points, span: tuple[int, int], lead: Lead) -> WindowFit:
        plain = self.fit or self.calibrator.fit_window
        curve: KeptCurve | None = None

        def fit(weighed: Points) -> PoissonFit:
            nonlocal curve
            fitted = plain(weighed)
            if lead is None:
                return with_curve(fitted, weighed)
            if fitted.usable and lead.line:
                curve = lead._replace(level=level_of(weighed, lead.line))
            return fitted

        fitter = WindowFitter(lambda *_: points, fit, self.plan, self.calibrator.length_s, plain)
        return replace(fitter.one(*span), curve=curve)


def _as_json(own: WindowFit) -> dict[str, Any]:
    """A curve kept from another window stores only its level."""
    kept = {name: getattr(own, name) for name in KEPT}
    return {**kept, "level": own.curve and own.curve.level, "fit": own.fit}


def _from_json(kept: dict[str, Any], lead: Lead) -> WindowFit:
    level = kept["level"]
    return WindowFit(
        **{name: kept[name] for name in KEPT}
        | {name: kept[name] and tuple(kept[name]) for name in ENDS}
        | {name: tuple(map(tuple, kept[name])) for name in ("moves", "measured")},
        fit=PoissonFit.from_json(kept["fit"], "the fit of a window"),
        curve=lead._replace(level=level) if lead and level is not None else None,
    )


def with_curve(fit: PoissonFit, points: Points) -> PoissonFit:
    """Add the shape of λ(δ) and its curve; unchanged without a comparison."""
    compared = compare(points) if fit.usable else None
    if compared is None:
        return fit
    curve, shape = chosen_curve(compared, (), fit.pivot_delta or 0.0)
    return replace(fit, lambda_curve=curve, shape=shape)


def level_of(points: Points, line: Line) -> float:
    return float(points.fills.sum()) / float((points.exposure_s * reached(points, line)).sum())


def reached(points: Points, line: Line) -> Floats:
    first, row = points.groups
    near = points.delta_ticks[first]
    rate = rates_on(line, np.concatenate((near, near + points.width_ticks[first])))
    gain: Floats = (rate[: len(first)] - rate[len(first) :])[row]
    return gain
