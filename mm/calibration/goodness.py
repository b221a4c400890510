"""Does the model hold? Deviance, dispersion over blocks, curvature, and whether the two sides agree."""

import math
from dataclasses import dataclass

import numpy as np

from mm.calibration._rows import tilted
from mm.calibration.estimators import Absent, Estimate
from mm.calibration.likelihood import LARGE, Table
from mm.calibration.points import Floats, Ints, sum_by
from mm.calibration.sample import Sample

Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]

LEAST_EXPECTED = 0.01  # fills in a cell of the dispersion


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


def dispersion(sample: Sample, estimate: Estimate) -> float | None:
    """Return how many times more the counts of block, side and distance vary than Poisson counts; None below 3.

    Pearson's statistic over these cells, less two. A cell in which less than `LEAST_EXPECTED` fills are expected
    is counted with a neighbour of its block and side: a single fill where none should ever be would else be
    all there is to see.
    """
    stretch, cell = sample.cells
    if len(stretch) < 3:
        return None
    expected = sum_by(cell, sample.expected(estimate), len(stretch))
    fills = sum_by(cell, sample.points.fills, len(stretch))
    host = _hosts(stretch, expected >= LEAST_EXPECTED)
    return _pearson(*(sum_by(host, values, len(stretch)) for values in (fills, expected))) / (len(stretch) - 2)


def _hosts(stretch: Ints, rich: Bools) -> Ints:
    """Return for each cell the one that it is counted in: itself if *rich*, else the nearest rich one before it.

    Where a stretch has none before, it is the next one after; where it has none at all, its first cell.
    """
    place = np.arange(len(stretch))
    opens = np.flatnonzero(np.concatenate(([True], stretch[1:] != stretch[:-1])))
    first = np.repeat(opens, np.diff(np.append(opens, len(stretch))))
    before = np.maximum.accumulate(np.where(rich, place, -1))
    after = np.minimum.accumulate(np.where(rich, place, len(stretch))[::-1])[::-1]
    behind = (after < len(stretch)) & (stretch[np.minimum(after, len(stretch) - 1)] == stretch)
    hosts: Ints = np.where(before >= first, before, np.where(behind, after, first))
    return hosts


def curvature_p(table: Table, estimate: Estimate) -> float | None:
    """Return the likelihood-ratio p of a term in delta² beside k (df 1); None below three distances.

    Small: ln λ(δ) is not a straight line, and must not be used beyond the distances that were fitted.
    """
    from scipy.special import chdtrc

    delta = table.shape.delta
    if len(delta) < 3 or not ((delta > 0) & (delta < 1)).any():
        return None
    offset = table.log_exposure + table.shape.log_gain(estimate.k * table.span)
    line, curve = (tilted(offset, delta, table.fills, degree) for degree in (1, 2))
    ratio = 2 * (curve - line)
    return float(chdtrc(1, max(ratio, 0.0))) if math.isfinite(ratio) else None


def sides_p(sides: tuple[Table, Table], peaks: tuple[float | Absent, ...], pooled: Estimate) -> float | None:
    """Return the likelihood-ratio p of one A and k for both *sides* against one each (df 2).

    Args:
        sides: The rows of each.
        peaks: Their `likelihood_peak`.
        pooled: The maximum likelihood of both together.
    """
    from scipy.special import chdtrc

    apart = sum(_highest_loglik(side, peak) for side, peak in zip(sides, peaks, strict=True))
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


def _highest_loglik(table: Table, peak: float | Absent) -> float:
    """Return the highest log-likelihood of *table*, factorials left out; also where A or k has no finite best."""
    if table.total == 0:
        return 0.0
    k = peak.edge if isinstance(peak, Absent) else peak
    shares = table.at(k).log_likelihood if math.isfinite(k) else 0.0  # at an infinite k one row has them all
    return shares + table.total * (math.log(table.total) - 1)


def _pearson(fills: Floats, expected: Floats) -> float:
    """Return Pearson's statistic; a count of 0 where nothing is expected adds nothing."""
    seen = expected > 0
    return float(((fills[seen] - expected[seen]) ** 2 / expected[seen]).sum())
