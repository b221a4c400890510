"""λ as a curve: fills per second at each distance and state of the spread, with intervals (``lambda_curve``)."""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain

import numpy as np

from mm.backtest.metrics.arithmetic import NORMAL
from mm.backtest.metrics.long_run import cosines, long_run_error
from mm.calibration.alternatives import CurveComparison, fitted_as
from mm.calibration.fit_result import ANY_SPREAD, CurvePoint, Interval, Line, ShapeChoice
from mm.calibration.intervals import LEVEL
from mm.calibration.likelihood import LARGE, Sample
from mm.calibration.points import Floats, Points, sum_by
from mm.calibration.shapes import FAMILIES, FittedCurve

LEAST_FILLS = 20  # minimum in a spread state for a separate curve
TRUSTED = 2.0  # intervals within this factor of λ are trusted
KEPT_LINES = 32


def chosen_curve(
    compared: CurveComparison, states: Iterable[tuple[str, Points]] = (), pivot: float = 0.0
) -> tuple[tuple[CurvePoint, ...], ShapeChoice]:
    """Return the curve of the chosen shape, and the choice.

    Args:
        compared: The comparison over all rows.
        states: States of the spread with the points of each; the same shape is fitted to them.
        pivot: Distance in ticks; each trusted range is the one nearest to it.
    """
    best = compared.chosen
    curve = _points(ANY_SPREAD, best.fitted, compared.sample)
    fitted = best.fitted
    family = next((known for known in FAMILIES if known.name == best.name), None)
    near, unit = float(fitted.cells.shape.delta[0]), fitted.cells.scale
    named = {} if family is None else family.named(fitted.log_height, fitted.shape, near, unit)
    exponential = {
        one.delta_ticks: one.lambda_per_s for one in _points(ANY_SPREAD, compared.curves[0].fitted, compared.sample)
    }
    choice = ShapeChoice(
        chosen=best.name,
        formula=best.formula,
        parameters=named,
        gain_nats_per_fill=best.unseen,
        se=best.unseen_se,
        why=compared.sentence,
        trusted_ticks=_trusted_range(curve, [_narrow(one) for one in curve], pivot),
        exponential_trusted_ticks=_trusted_range(
            curve, [_contains(one, exponential.get(one.delta_ticks, 0.0)) for one in curve], pivot
        ),
    )
    for name, points in states:
        if points.fills.sum() < LEAST_FILLS:
            continue
        found = fitted_as(best.name, points)
        if found is not None:
            curve += _points(name, *found)
    return curve, choice


def rates_on(line: Line, delta_ticks: Floats) -> Floats:
    """Return λ in 1/s at distances, interpolated in a `PoissonFit.line`; 0 at an infinite distance."""
    place, log_rate, fall = _logs(line)
    beyond = np.maximum(delta_ticks - place[-1], 0.0)
    found: Floats = np.exp(np.interp(delta_ticks, place, log_rate) + fall * beyond)
    return found


@lru_cache(maxsize=KEPT_LINES)
def _logs(line: Line) -> tuple[Floats, Floats, float]:
    """Return distances of a line, ln λ at each, and its slope beyond; cached, as windows of an hour share a line."""
    place, rate = np.ascontiguousarray(np.fromiter(chain.from_iterable(line), np.float64).reshape(-1, 2).T)
    log_rate = np.log(rate)
    return place, log_rate, (log_rate[-1] - log_rate[-2]) / (place[-1] - place[-2])


@np.errstate(all="ignore")
def _points(state: str, fitted: FittedCurve, sample: Sample) -> tuple[CurvePoint, ...]:
    """Return a point for each distance at which a row begins, nearest first."""
    delta = np.unique(fitted.cells.shape.delta)
    at = np.searchsorted(fitted.cells.edges, delta)
    log_rate = np.minimum.accumulate(fitted.at_edges[at])
    half_width = np.nan_to_num(_half_width(fitted, sample, fitted.edge_slopes[at]), nan=np.inf)
    # λ decreases, so bounds at one distance are upper bounds farther out, and lower bounds nearer
    high = np.minimum.accumulate(log_rate + half_width)
    low = np.maximum.accumulate((log_rate - half_width)[::-1])[::-1]
    rows = np.stack((delta, log_rate, low, high))[:, np.abs(log_rate) < LARGE]
    return tuple(
        CurvePoint(delta_ticks=distance, spread_state=state, lambda_per_s=math.exp(rate), ci95=_ends(*ends))
        for distance, rate, *ends in rows.T.tolist()
    )


def _ends(low: float, high: float) -> Interval | None:
    """Return the interval of λ of one of ln λ, to six digits; None if unbounded."""
    if low < -LARGE or high > LARGE:
        return None
    return float(f"{math.exp(low):.6g}"), float(f"{math.exp(high):.6g}")


def _half_width(fitted: FittedCurve, sample: Sample, slopes: Floats) -> Floats:
    """Return the half-width of the 95 % interval of ln λ, given its *slopes* by parameter.

    The covariance is a sandwich of the scores of the blocks, with the variance of their sum from their slowest cosines,
    as for A and k. Without two blocks, fills are assumed independent.
    """
    from scipy.special import stdtrit

    points, rows = sample.points, len(fitted.log_gain)
    rate = np.exp(fitted.log_gain)
    expected = sum_by(sample.row, points.exposure_s, rows) * rate
    information = (fitted.gain_slopes * expected[:, None]).T @ fitted.gain_slopes
    influence = slopes @ _inverse(information)
    degrees = cosines(sample.n_blocks)
    if degrees == 0:
        variance = (influence * (influence @ information)).sum(axis=1)
        return np.asarray(NORMAL * np.sqrt(variance))
    blocks = sample.n_blocks
    residual = points.fills - points.exposure_s * rate[sample.row]
    by_row = sum_by(sample.block * rows + sample.row, residual, blocks * rows).reshape(blocks, rows)
    errors = long_run_error(by_row @ (fitted.gain_slopes @ influence.T))
    half_width: Floats = float(stdtrit(degrees, (1 + LEVEL) / 2)) * errors
    return half_width


def _inverse(information: Floats) -> Floats:
    """Return the pseudo-inverse of an information matrix."""
    scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    known = np.where(values > 1e-10 * values[-1], 1 / values, 0.0)
    inverse: Floats = (vectors * known) @ vectors.T / np.outer(scale, scale)
    return inverse


def _narrow(point: CurvePoint) -> bool:
    """Return whether the interval ends within a factor of λ."""
    if point.ci95 is None:
        return False
    return point.ci95[1] <= TRUSTED * point.lambda_per_s and point.ci95[0] >= point.lambda_per_s / TRUSTED


def _contains(point: CurvePoint, rate: float) -> bool:
    """Return whether another rate lies within the interval of a point."""
    return point.ci95 is not None and point.ci95[0] <= rate <= point.ci95[1]


def _trusted_range(curve: Sequence[CurvePoint], good: Sequence[bool], around: float) -> Interval | None:
    """Return the first and the last distance of the contiguous good points nearest to a distance."""
    places = [place for place, is_good in enumerate(good) if is_good]
    if not places:
        return None
    first = last = min(places, key=lambda place: abs(curve[place].delta_ticks - around))
    while first > 0 and good[first - 1]:
        first -= 1
    while last + 1 < len(good) and good[last + 1]:
        last += 1
    return curve[first].delta_ticks, curve[last].delta_ticks
