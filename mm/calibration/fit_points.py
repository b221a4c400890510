"""Fits λ(δ) = A exp(-k δ) to points: fills ~ Poisson(exposure · A · g(k)), with checks and alternative estimators."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mm.calibration.estimators import (
    LOG_LINEAR,
    POISSON_FIRTH,
    POISSON_MLE,
    Estimate,
    NoEstimate,
    firth,
    likelihood_peak,
    log_linear,
    maximum_likelihood,
)
from mm.calibration.fit_result import PoissonFit, Rates, RatesWithErrors, SideRates, Sides
from mm.calibration.goodness import POOR_FIT_P, Goodness, curvature_p, dispersion, goodness, misfit, sides_p
from mm.calibration.intervals import Intervals, block_robust, drift_half_life, profile, smooth_pattern, too_slow, wald
from mm.calibration.likelihood import Sample, Table
from mm.calibration.points import Columns, Points, as_points
from mm.errors import UsageError

ESTIMATORS = (POISSON_MLE, POISSON_FIRTH, LOG_LINEAR)
INTERVALS = ("profile", "block")
FEW_FILLS = 20
LEAST_FILLS = 10  # of three, the interval of k reaches 0 in half of the fits or more: 1/k, a distance, is of any size
FEW_IN_A_BUCKET = 5
OVERDISPERSED = 2.0
RATES = ("A", "k")
WITH_ERRORS = (*RATES, "se_logA", "se_k")
ESTIMATED = (*WITH_ERRORS, "logA", "cov_logA_k", "pivot_delta", "lambda_at_pivot", "se_log_lambda_at_pivot")


@dataclass(frozen=True, slots=True)
class FitOptions:
    fit_method: str = POISSON_MLE
    min_exposure_s: float = 0.0
    min_usable_deltas: int = 2
    max_delta_ticks: float | None = None
    intervals: str = "profile"

    def __post_init__(self) -> None:
        if self.fit_method not in ESTIMATORS:
            raise UsageError(f"fit method {self.fit_method!r} is not known; choose {', '.join(ESTIMATORS)}")
        if self.intervals not in INTERVALS:
            raise UsageError(f"intervals {self.intervals!r} are not known; choose {', '.join(INTERVALS)}")


@np.errstate(all="ignore")
def fit_poisson(
    points: Points | Columns | Mapping[str, ArrayLike] | Sequence[ArrayLike],
    *,
    fit_method: str = POISSON_MLE,
    min_exposure_s: float = 0.0,
    min_usable_deltas: int = 2,
    max_delta_ticks: float | None = None,
    intervals: str = "profile",
) -> PoissonFit:
    """Fit a table of points.

    Rows of equal distance and width are summed first. A table that cannot be fitted gives an unusable fit with the
    reason.

    Args:
        points: Points; or columns, by name (of a mapping, a data frame, …) or in the order delta_ticks, exposure_s,
            fills, side, block.
        fit_method: Estimator of A and k: ``poisson_mle``, ``poisson_firth`` or ``log_linear``.
        min_exposure_s: Distances with less exposure are left out.
        min_usable_deltas: Fewer distances than these give no usable fit; never less than 2.
        max_delta_ticks: Distances beyond are left out; None for no limit.
        intervals: ``profile``, or ``block`` if points from one tape are dependent.

    Raises:
        DataError: On an invalid value, with its row.
        UsageError: On an unknown method or kind of interval.
    """
    options = FitOptions(fit_method, min_exposure_s, min_usable_deltas, max_delta_ticks, intervals)
    return _fitted(as_points(points), options, checks=True)


@np.errstate(all="ignore")
def fit_window(points: Points, options: FitOptions) -> PoissonFit:
    """Fit one of many windows, without keeping its points or making the checks unused in segments."""
    return _fitted(points, options, checks=False)


def _fitted(points: Points, options: FitOptions, *, checks: bool) -> PoissonFit:
    sample, refusal = _select(points, options)
    task = _Task(sample, options.fit_method, checks)
    chosen = task.chosen
    if not refusal and isinstance(chosen, NoEstimate):
        refusal = chosen.status, chosen.reason
    if not refusal and isinstance(chosen, Estimate) and chosen.k <= 0:
        refusal = "k_nonpositive", f"k = {chosen.k:.4g}: fills do not become rarer with the distance"
    if not refusal and task.table.total < LEAST_FILLS:
        refusal = "few_fills", f"{task.table.total:g} fills; {LEAST_FILLS} are needed for A and k"
    if refusal or isinstance(chosen, NoEstimate):
        status, reason = refusal or ("", "")
        return PoissonFit(**_fields_without_estimate(task), usable=False, status=status, reason=reason)
    return _finished(task, chosen, options.intervals)


@dataclass(frozen=True)
class _Task:
    """A table, its estimates, and the chosen one; without *checks* the other estimators are skipped."""

    sample: Sample
    fit_method: str
    checks: bool

    @cached_property
    def table(self) -> Table:
        return self.sample.table()

    @cached_property
    def estimates(self) -> dict[str, Estimate | NoEstimate]:
        peak = likelihood_peak(self.table)
        names = ESTIMATORS if self.checks else (self.fit_method,)
        return {name: _estimated(name, self.table, peak) for name in names}

    @property
    def mle(self) -> Estimate | NoEstimate:
        return self.estimates[POISSON_MLE]

    @property
    def chosen(self) -> Estimate | NoEstimate:
        return self.estimates[self.fit_method]

    @cached_property
    def missed(self) -> str:
        fault = None if isinstance(self.chosen, NoEstimate) else misfit(self.table, self.chosen)
        return f"at {fault[0]:g} ticks A and k predict {fault[1]:,.0f} of {fault[2]:,.0f} fills" if fault else ""


def _select(points: Points, options: FitOptions) -> tuple[Sample, tuple[str, str] | None]:
    limit, min_exposure_s, least = options.max_delta_ticks, options.min_exposure_s, max(options.min_usable_deltas, 2)
    exposed = Sample.of(points, np.inf if limit is None else limit)
    kept = exposed.waited(min_exposure_s)
    if not exposed.sums[1].any():
        return kept, ("no_fills", f"no fills in {exposed.points.exposure_s.sum():.6g} s")
    if exposed.deltas < least:
        return kept, ("too_few_deltas", f"exposure at {exposed.deltas} distances; {least} are needed")
    if kept is exposed:
        return kept, None
    if kept.deltas < least:
        reason = f"{kept.deltas} distances have {min_exposure_s:g} s or more; {least} are needed"
        return kept, ("too_little_exposure", reason)
    if not kept.sums[1].any():
        return kept, ("no_fills", f"no fills at the distances with {min_exposure_s:g} s or more")
    return kept, None


def _fields_without_estimate(task: _Task) -> dict[str, Any]:
    table, delta = task.table, task.sample.shape.delta
    counted = {
        "fit_method": task.fit_method,
        "n_blocks": task.sample.n_blocks,
        "n_fills": _count(table.total),
        "exposure_s": float(table.exposure_s.sum()),
        "min_delta_ticks": float(delta[0]) if len(delta) else None,
        "max_delta_ticks": float(delta[-1]) if len(delta) else None,
    }
    if not task.checks:
        return counted
    return counted | {
        "points": task.sample.points,
        "firth": Rates(**_robust(task.sample, task.estimates[POISSON_FIRTH], RATES)),
        "log_linear": Rates(**_values(task.estimates[LOG_LINEAR], RATES)),
        "mle": RatesWithErrors(**_robust(task.sample, task.mle, WITH_ERRORS)),
    }


def _finished(task: _Task, chosen: Estimate, intervals: str) -> PoissonFit:
    robust = block_robust(task.sample, chosen) if task.checks or intervals == "block" else None
    if intervals == "block" and robust:
        ends = robust
    elif task.fit_method == LOG_LINEAR:
        ends = wald(chosen)  # a regression has no profile likelihood
    else:
        ends = profile(task.table, chosen, penalised=task.fit_method == POISSON_FIRTH)
    good = goodness(task.table, chosen)
    status, reason = _status(task, good)
    spread = dispersion(task.sample, chosen)
    return PoissonFit(
        **_fields_without_estimate(task),
        **_values(chosen, ESTIMATED),
        ci95_A=ends.A,
        ci95_k=ends.k,
        dispersion=spread,
        **{name: getattr(good, name) for name in Goodness.__slots__},
        usable=True,
        status=status,
        reason=reason,
        ci95_A_block=None if robust is None else robust.A,
        ci95_k_block=None if robust is None else robust.k,
        cov_logA_k_block=None if robust is None else robust.cov,
        **(_checked(task, chosen, ends, good, spread) if task.checks else {}),
    )


def _checked(task: _Task, chosen: Estimate, ends: Intervals, good: Goodness, spread: float | None) -> dict[str, Any]:
    sides, side_lr_p = _both_sides(task)
    return {
        "curvature_p": curvature_p(task.sample, task.table, chosen),
        "sides": sides,
        "side_lr_p": side_lr_p,
        "warnings": tuple(_warnings(task, chosen, (good.goodness_p, spread, side_lr_p), ends)),
    }


def _status(task: _Task, good: Goodness) -> tuple[str, str]:
    if task.table.total < FEW_FILLS:
        return "few_fills", f"{task.table.total:g} fills, fewer than {FEW_FILLS}"
    if task.missed:
        return "misfit", task.missed
    if good.goodness_p is not None and good.goodness_p < POOR_FIT_P:
        return "poor_fit", f"deviance {good.deviance:.4g} on {good.df_resid} df has p = {good.goodness_p:.2g}"
    return "ok", ""


def _both_sides(task: _Task) -> tuple[Sides, float | None]:
    side, mle = task.sample.points.side, task.mle
    bid, ask = task.sample.table(1), task.sample.table(-1)
    peaks = likelihood_peak(bid), likelihood_peak(ask)
    sides = Sides(
        bid=_side(task.sample, 1, bid, _estimated(task.fit_method, bid, peaks[0])),
        ask=_side(task.sample, -1, ask, _estimated(task.fit_method, ask, peaks[1])),
    )
    known = len(bid.fills) > 0 and len(ask.fills) > 0 and bool(side.all())
    return sides, sides_p(task.sample, (bid, ask), peaks, mle) if known and isinstance(mle, Estimate) else None


def _estimated(fit_method: str, table: Table, peak: float | NoEstimate) -> Estimate | NoEstimate:
    if fit_method == LOG_LINEAR:
        return log_linear(table)
    return firth(table) if fit_method == POISSON_FIRTH else maximum_likelihood(table, peak)


def _warnings(
    task: _Task, chosen: Estimate, checks: tuple[float | None, float | None, float | None], ends: Intervals
) -> Iterator[str]:
    goodness_p, spread, side_lr_p = checks
    n_fills = task.table.total
    if n_fills < FEW_FILLS:
        yield f"only {n_fills:g} fills: below {FEW_FILLS} the likelihood overstates k, poisson_firth does not"
    if task.missed:
        yield f"{task.missed}: use the curve (lambda_curve)"
    if goodness_p is not None and goodness_p < POOR_FIT_P:
        yield f"the fills do not follow one exponential (goodness-of-fit p = {goodness_p:.2g})"
    if isinstance(task.mle, NoEstimate):
        yield f"the likelihood has no finite maximum ({task.mle.reason}); A and k are finite only because of the prior"
    if task.fit_method == LOG_LINEAR and (task.table.fills < FEW_IN_A_BUCKET).any():
        yield f"a distance has fewer than {FEW_IN_A_BUCKET} fills: log_linear understates k, poisson_mle does not"
    if spread is not None and spread > OVERDISPERSED:
        yield f"fills come in bursts (dispersion {spread:.2g}, 1 for Poisson flow): use the intervals by blocks"
    if side_lr_p is not None and side_lr_p < POOR_FIT_P:
        yield f"bid and ask differ (p = {side_lr_p:.2g}): compare their own A and k"
    if ends.A is None or ends.k is None:
        yield "no 95 % intervals: they need at least two blocks, and a block for every row"
    slow = too_slow(drift_half_life(task.sample, chosen), task.sample.n_blocks, "blocks")
    if told := smooth_pattern(task.sample, chosen) or slow:
        yield told


def _values(estimate: Estimate | NoEstimate, names: Sequence[str]) -> dict[str, Any]:
    return {} if isinstance(estimate, NoEstimate) else {name: getattr(estimate, name) for name in names}


def _robust(sample: Sample, estimate: Estimate | NoEstimate, names: Sequence[str]) -> dict[str, Any]:
    if isinstance(estimate, NoEstimate):
        return {}
    ends = block_robust(sample, estimate)
    return {**_values(estimate, names), "ci95_A_block": ends.A, "ci95_k_block": ends.k}


def _side(sample: Sample, side: int, table: Table, estimate: Estimate | NoEstimate) -> SideRates:
    n_fills = _count(table.total) if len(table.fills) else None
    if isinstance(estimate, NoEstimate) or not estimate.k > 0:
        return SideRates(n_fills=n_fills)
    alone = Sample.of(sample.points.where(sample.points.side == side))
    return SideRates(**_robust(alone, estimate, WITH_ERRORS), n_fills=n_fills)


def _count(number: float) -> float:
    return int(number) if number.is_integer() else number
