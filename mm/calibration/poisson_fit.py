"""Fit λ(δ) = A exp(-k δ) to points: fills ~ Poisson(exposure · A · g(k)), every check and neighbour with it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from mm.calibration.estimators import (
    LOG_LINEAR,
    POISSON_FIRTH,
    POISSON_MLE,
    Absent,
    Estimate,
    estimate,
    firth,
    log_linear,
    maximum_likelihood,
)
from mm.calibration.fit_result import PoissonFit, Rates, RatesWithErrors, SideRates, Sides
from mm.calibration.goodness import Goodness, curvature_p, dispersion, goodness, sides_p
from mm.calibration.intervals import Intervals, block_robust, blocks_of, profile, wald
from mm.calibration.likelihood import Table
from mm.calibration.points import Points, as_points, group, sum_by
from mm.errors import UsageError

__all__ = ["PoissonFit", "estimate", "fit_poisson"]

ESTIMATORS = {POISSON_MLE: maximum_likelihood, POISSON_FIRTH: firth, LOG_LINEAR: log_linear}
INTERVALS = ("profile", "block")
FEW_FILLS = 20
POOR_FIT_P = 0.01
FEW_IN_A_BUCKET = 5
OVERDISPERSED = 2.0
BEYOND_MEASURE = 100.0  # a dispersion that a single count in an all but impossible cell makes


@np.errstate(all="ignore")
def fit_poisson(
    points: Points | Mapping[str, ArrayLike] | Sequence[ArrayLike],
    *,
    fit_method: str = POISSON_MLE,
    min_exposure_s: float = 0.0,
    min_usable_deltas: int = 2,
    max_delta_ticks: float | None = None,
    intervals: str = "profile",
) -> PoissonFit:
    """Fit a table of points.

    Rows of equal distance and width are summed first. A table that cannot be fitted gives a fit that
    is not usable and says why.

    Args:
        points: Points; or columns, by name or in the order delta_ticks, exposure_s, fills, side, block.
        fit_method: What A and k are: ``poisson_mle``, ``poisson_firth`` or ``log_linear``.
        min_exposure_s: Distances with less exposure are left out.
        min_usable_deltas: Fewer distances than these give no usable fit; never less than 2.
        max_delta_ticks: Distances beyond are left out; None for no limit.
        intervals: ``profile``, or ``block`` where one tape feeds dependent points.

    Raises:
        DataError: On a value that cannot be, with its row.
        UsageError: On an unknown method or kind of interval.
    """
    if fit_method not in ESTIMATORS:
        raise UsageError(f"fit method {fit_method!r} is not known; choose {', '.join(ESTIMATORS)}")
    if intervals not in INTERVALS:
        raise UsageError(f"intervals {intervals!r} are not known; choose {', '.join(INTERVALS)}")
    selection = _select(as_points(points), min_exposure_s, max(min_usable_deltas, 2), max_delta_ticks)
    task = _Task.of(selection.points, fit_method)
    fit = _beside(task)
    if selection.refusal:
        return replace(fit, status=selection.refusal[0], reason=selection.refusal[1])
    if isinstance(task.chosen, Absent):
        return replace(fit, status=task.chosen.status, reason=task.chosen.reason)
    if task.chosen.k <= 0:
        reason = f"k = {task.chosen.k:.4g}: fills do not become rarer with the distance"
        return replace(fit, status="k_nonpositive", reason=reason)
    return _finished(fit, task, task.chosen, intervals)


@dataclass(frozen=True, slots=True)
class _Selection:
    """The points that take part, and why they cannot be fitted: a status and a reason."""

    points: Points
    refusal: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class _Task:
    """A table with its three estimates, and the name of the chosen one."""

    points: Points
    table: Table
    fit_method: str
    estimates: dict[str, Estimate | Absent]

    @classmethod
    def of(cls, points: Points, fit_method: str) -> "_Task":
        """Return the task of *points*."""
        table = _table(points)
        return cls(points, table, fit_method, {name: fitter(table) for name, fitter in ESTIMATORS.items()})

    @property
    def mle(self) -> Estimate | Absent:
        """The maximum of the likelihood."""
        return self.estimates[POISSON_MLE]

    @property
    def chosen(self) -> Estimate | Absent:
        """What A and k are to be."""
        return self.estimates[self.fit_method]


def _select(points: Points, min_exposure_s: float, least: int, max_delta_ticks: float | None) -> _Selection:
    """Leave out what is too far away or too shortly exposed; say if too little remains."""
    limit = np.inf if max_delta_ticks is None else max_delta_ticks
    exposed = points.where((points.exposure_s > 0) & (points.delta_ticks <= limit))
    first, row = group(exposed.delta_ticks, exposed.width_ticks)
    long_enough = sum_by(row, exposed.exposure_s, len(first)) >= min_exposure_s
    kept = exposed.where(long_enough[row])
    seen, usable = len(np.unique(exposed.delta_ticks)), len(np.unique(kept.delta_ticks))
    refusal = None
    if not exposed.fills.any():
        refusal = "no_fills", f"no fills in {exposed.exposure_s.sum():.6g} s"
    elif seen < least:
        refusal = "too_few_deltas", f"exposure at {seen} distances; {least} are needed"
    elif usable < least:
        refusal = "too_little_exposure", f"{usable} distances have {min_exposure_s:g} s or more; {least} are needed"
    elif not kept.fills.any():
        refusal = "no_fills", f"no fills at the distances with {min_exposure_s:g} s or more"
    return _Selection(kept, refusal)


def _beside(task: _Task) -> PoissonFit:
    """Return what can be said with or without a usable estimate, as a fit that is not usable yet."""
    table, delta = task.table, task.points.delta_ticks
    return PoissonFit(
        fit_method=task.fit_method,
        n_blocks=blocks_of(task.points),
        n_fills=_count(table.total),
        exposure_s=float(table.exposure_s.sum()),
        firth=_rates(task.estimates[POISSON_FIRTH]),
        log_linear=_rates(task.estimates[LOG_LINEAR]),
        min_delta_ticks=float(delta.min()) if len(delta) else None,
        max_delta_ticks=float(delta.max()) if len(delta) else None,
        usable=False,
        status="",
        reason="",
        mle=_errors(task.mle),
    )


def _finished(fit: PoissonFit, task: _Task, chosen: Estimate, intervals: str) -> PoissonFit:
    """Return *fit* with the chosen estimate, its intervals and its checks."""
    robust = block_robust(task.points, chosen)
    ends = robust if intervals == "block" else _likelihood_intervals(task, chosen)
    good = goodness(task.table, chosen)
    sides, side_lr_p = _both_sides(task)
    status, reason = _status(task.table.total, good)
    fit = replace(
        fit,
        A=chosen.A,
        k=chosen.k,
        logA=chosen.logA,
        se_logA=chosen.se_logA,
        se_k=chosen.se_k,
        cov_logA_k=chosen.cov_logA_k,
        ci95_A=ends.A,
        ci95_k=ends.k,
        ci95_A_block=robust.A,
        ci95_k_block=robust.k,
        dispersion=dispersion(task.points, chosen),
        loglik=good.loglik,
        deviance=good.deviance,
        pearson_chi2=good.pearson_chi2,
        df_resid=good.df_resid,
        aic=good.aic,
        pivot_delta=chosen.pivot_delta,
        lambda_at_pivot=chosen.lambda_at_pivot,
        se_log_lambda_at_pivot=chosen.se_log_lambda_at_pivot,
        curvature_p=curvature_p(task.table, chosen),
        sides=sides,
        side_lr_p=side_lr_p,
        usable=True,
        status=status,
        reason=reason,
    )
    return replace(fit, warnings=tuple(_warnings(fit, task, good.deviance_p)))


def _status(n_fills: float, good: Goodness) -> tuple[str, str]:
    """Return the status of a usable fit, and why it is not simply ok."""
    if n_fills < FEW_FILLS:
        return "few_fills", f"{n_fills:g} fills, fewer than {FEW_FILLS}"
    if good.deviance_p < POOR_FIT_P:
        return "poor_fit", f"deviance {good.deviance:.4g} on {good.df_resid} df has p = {good.deviance_p:.2g}"
    return "ok", ""


def _likelihood_intervals(task: _Task, chosen: Estimate) -> Intervals:
    """Return the profile intervals; of a regression, which has no likelihood, the Wald intervals."""
    if task.fit_method == LOG_LINEAR:
        return wald(chosen)
    return profile(task.table, chosen, penalised=task.fit_method == POISSON_FIRTH)


def _both_sides(task: _Task) -> tuple[Sides, float | None]:
    """Return each side's own estimate, and the p of their being equal where both sides are known."""
    points, mle = task.points, task.mle
    bid, ask = (_table(points.where(points.side == side)) for side in (1, -1))
    fitter = ESTIMATORS[task.fit_method]
    sides = Sides(bid=_side(bid, fitter(bid)), ask=_side(ask, fitter(ask)))
    known = len(bid.fills) > 0 and len(ask.fills) > 0 and bool(points.side.all())
    return sides, sides_p((bid, ask), mle) if known and isinstance(mle, Estimate) else None


def _warnings(fit: PoissonFit, task: _Task, deviance_p: float) -> Iterator[str]:
    """Yield what the user of a usable fit should know."""
    if fit.n_fills < FEW_FILLS:
        yield f"only {fit.n_fills:g} fills: below {FEW_FILLS} the likelihood overstates k, poisson_firth does not"
    if deviance_p < POOR_FIT_P:
        yield f"the fills do not follow one exponential with Poisson noise (deviance p = {deviance_p:.2g})"
    if isinstance(task.mle, Absent):
        yield f"the likelihood has no finite maximum ({task.mle.reason}); A and k are finite by the prior alone"
    if task.fit_method == LOG_LINEAR and (task.table.fills < FEW_IN_A_BUCKET).any():
        yield f"a distance has fewer than {FEW_IN_A_BUCKET} fills: log_linear understates k, poisson_mle does not"
    if fit.n_blocks > 1 and fit.dispersion is not None and fit.dispersion > OVERDISPERSED:
        much = f"{fit.dispersion:.2g} times as much as" if fit.dispersion < BEYOND_MEASURE else "far more than"
        yield f"counts vary {much} Poisson counts: trust the intervals by blocks"
    if fit.side_lr_p is not None and fit.side_lr_p < POOR_FIT_P:
        yield f"bid and ask differ (p = {fit.side_lr_p:.2g}): see their own A and k"
    if fit.ci95_A is None or fit.ci95_k is None:
        yield "no 95 % intervals: they need at least two blocks, and a block for every row"


def _table(points: Points) -> Table:
    return Table.of(points.delta_ticks, points.width_ticks, points.exposure_s, points.fills)


def _rates(found: Estimate | Absent) -> Rates:
    return Rates() if isinstance(found, Absent) else Rates(A=found.A, k=found.k)


def _errors(found: Estimate | Absent) -> RatesWithErrors:
    if isinstance(found, Absent):
        return RatesWithErrors()
    return RatesWithErrors(A=found.A, k=found.k, se_logA=found.se_logA, se_k=found.se_k)


def _side(table: Table, found: Estimate | Absent) -> SideRates:
    """Return one side's estimate; without A and k where they could not be used."""
    n_fills = _count(table.total) if len(table.fills) else None
    if isinstance(found, Absent) or found.k <= 0:
        return SideRates(n_fills=n_fills)
    return SideRates(A=found.A, k=found.k, se_logA=found.se_logA, se_k=found.se_k, n_fills=n_fills)


def _count(number: float) -> float:
    """Return *number* as an integer where it is one."""
    return int(number) if number.is_integer() else number


if __name__ == "__main__":
    from mm.runner_fit import main

    main()
