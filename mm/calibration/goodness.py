"""Does the model hold? Deviance, dispersion over blocks, curvature, and whether the two sides agree."""

import math
from dataclasses import dataclass

import numpy as np

from mm.calibration.estimators import Absent, Estimate, likelihood_peak
from mm.calibration.likelihood import LARGE, Shape, Table
from mm.calibration.points import Floats, Points, group, sum_by


@dataclass(frozen=True, slots=True)
class Goodness:
    """How well an estimate describes the rows it was made of.

    Attributes:
        loglik: Log-likelihood, with the factorials of the counts.
        deviance: Twice its distance from a model with a rate for every row.
        pearson_chi2: Sum of (fills - expected)² / expected.
        df_resid: Rows less two.
        deviance_p: Chance of a deviance as large or larger, were the model true; 1 without a degree of freedom.
        aic: Akaike's criterion.
    """

    loglik: float
    deviance: float
    pearson_chi2: float
    df_resid: int
    deviance_p: float
    aic: float


def goodness(table: Table, estimate: Estimate) -> Goodness:
    """Return how well *estimate* describes *table*."""
    from scipy.special import chdtrc, gammaln, xlogy

    log_expected = table.log_exposure + _log_rate(table, estimate)
    expected, fills = np.exp(np.minimum(log_expected, LARGE)), table.fills
    loglik = float((fills * log_expected - expected - gammaln(fills + 1)).sum())
    deviance = max(float(2 * (xlogy(fills, fills) - fills * log_expected - fills + expected).sum()), 0.0)
    df = len(fills) - 2
    return Goodness(
        loglik=loglik,
        deviance=deviance,
        pearson_chi2=_pearson(fills, expected),
        df_resid=df,
        deviance_p=float(chdtrc(df, deviance)) if df > 0 else 1.0,
        aic=4 - 2 * loglik,
    )


def dispersion(points: Points, estimate: Estimate) -> float | None:
    """Return how many times more the counts of block, side and distance vary than Poisson counts; None below 3."""
    exposed = points.where(points.exposure_s > 0)
    keys = exposed.block, exposed.side, exposed.delta_ticks, exposed.width_ticks
    first, cell = group(*keys)
    if len(first) < 3:
        return None
    shape = Shape(exposed.delta_ticks[first], exposed.width_ticks[first])
    exposure = sum_by(cell, exposed.exposure_s, len(first))
    fills = sum_by(cell, exposed.fills, len(first))
    expected = exposure * np.exp(np.minimum(estimate.logA + shape.log_gain(estimate.k), LARGE))
    return _pearson(fills, expected) / (len(first) - 2)


def curvature_p(table: Table, estimate: Estimate) -> float | None:
    """Return the likelihood-ratio p of a term in delta² beside k (df 1); None below three distances.

    Small: ln λ(δ) is not a straight line, and must not be used beyond the distances that were fitted.
    """
    from scipy.special import chdtrc

    delta = table.shape.delta
    if len(np.unique(delta)) < 3:
        return None
    offset = table.log_exposure + table.shape.log_gain(estimate.k * table.span)
    line = _tilted(table.fills, offset, delta[:, None])
    curve = _tilted(table.fills, offset, np.stack([delta, delta**2], axis=1))
    ratio = 2 * (curve - line)
    return float(chdtrc(1, max(ratio, 0.0))) if math.isfinite(ratio) else None


def sides_p(sides: tuple[Table, Table], pooled: Estimate) -> float | None:
    """Return the likelihood-ratio p of one A and k for both *sides* against one each (df 2).

    *pooled* has to be the maximum likelihood of both together.
    """
    from scipy.special import chdtrc

    apart = sum(_highest_loglik(side) for side in sides)
    together = 0.0
    for side in sides:
        log_expected = side.log_exposure + _log_rate(side, pooled)
        together += float(side.fills @ log_expected - np.exp(np.minimum(log_expected, LARGE)).sum())
    ratio = 2 * (apart - together)
    return float(chdtrc(2, max(ratio, 0.0))) if math.isfinite(ratio) else None


def _log_rate(table: Table, estimate: Estimate) -> Floats:
    """Return ln of the estimated intensity of each row of *table*."""
    unit = table.span or 1.0
    return estimate.logA - estimate.k * table.near + table.shape.log_gain(estimate.k * unit)


def _highest_loglik(table: Table) -> float:
    """Return the highest log-likelihood of *table*, factorials left out; also where A or k has no finite best."""
    if table.total == 0:
        return 0.0
    peak = likelihood_peak(table)
    k = peak.edge if isinstance(peak, Absent) else peak
    shares = float(table.log_likelihood(k)) if math.isfinite(k) else 0.0  # at an infinite k one row has them all
    return shares + table.total * (math.log(table.total) - 1)


def _tilted(fills: Floats, offset: Floats, design: Floats) -> float:
    """Return the highest log-likelihood of shares ∝ exp(offset + design · b), by damped Newton steps."""
    total = fills.sum()
    weights = np.zeros(design.shape[1])

    def height(at: Floats) -> tuple[float, Floats]:
        logs = offset + design @ at
        top = logs.max()
        mass = np.exp(logs - top)
        return float(fills @ logs - total * (top + np.log(mass.sum()))), mass / mass.sum()

    best, shares = height(weights)
    for _ in range(50):
        off = design - shares @ design
        curvature = total * (off * shares[:, None]).T @ off
        ridge = 1e-12 * np.trace(curvature) + 1e-300
        step = np.linalg.solve(curvature + ridge * np.eye(len(weights)), fills @ off)
        for _ in range(30):
            higher, shares_there = height(weights + step)
            if higher >= best:
                break
            step = step / 2
        else:
            return best
        gained, weights, best, shares = higher - best, weights + step, higher, shares_there
        if gained <= 1e-10:
            return best
    return best


def _pearson(fills: Floats, expected: Floats) -> float:
    """Return Pearson's statistic; a count of 0 where nothing is expected adds nothing."""
    seen = expected > 0
    return float(((fills[seen] - expected[seen]) ** 2 / expected[seen]).sum())
