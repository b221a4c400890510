"""Shapes of λ(δ): curves fitted to the rows of a fit, compared out of sample, and the points of the chosen one."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mm.base.arrays import Floats, Ints
from mm.base.estimate import cosines, long_run_error, student_quantile
from mm.base.numbers import NORMAL, half_width
from mm.calibration.estimators import NoEstimate, maximum_likelihood
from mm.calibration.fit_result import ANY_SPREAD, CurvePoint, Interval, Line, ShapeChoice
from mm.calibration.goodness import POOR_FIT_P, goodness
from mm.calibration.likelihood import LARGE, Sample
from mm.calibration.points import Points, sum_by
from mm.calibration.shapes import (
    EXPONENTIAL,
    FAMILIES,
    Cells,
    Family,
    FittedCurve,
    fitted,
    monotone,
    search,
    shares_loglik,
)

MONOTONE = "monotone"
CLEAR_AIC = 10.0  # at this difference the worse model has no support (Burnham and Anderson 2002)
LEAST_BLOCKS = 4


@dataclass(frozen=True, slots=True)
class Alternative:
    """One fitted curve.

    Attributes:
        unseen: Out-of-sample gain in nats per fill over the exponential; None without blocks.
    """

    name: str
    formula: str
    parameters: int
    loglik: float
    aic: float
    unseen: float | None
    unseen_se: float | None
    fitted: FittedCurve

    @property
    def rates(self) -> Floats:
        return np.exp(self.fitted.log_gain)


@dataclass(frozen=True, slots=True)
class CurveComparison:
    """All curves of one table.

    Attributes:
        best: The simplest shape within one standard error of the best out-of-sample one.
    """

    curves: tuple[Alternative, ...]
    best: str
    sentence: str
    sample: Sample

    @property
    def chosen(self) -> Alternative:
        return next(curve for curve in self.curves if curve.name == self.best)


@dataclass(frozen=True, slots=True)
class _Rows:
    cells: Cells
    exposure_s: Floats
    fills: Floats

    @classmethod
    def of(cls, sample: Sample, scale: float) -> "_Rows":
        count = len(sample.shape.delta)
        blocks, block = max(sample.n_blocks, 1), sample.block if sample.n_blocks else np.zeros_like(sample.row)
        cell = block * count + sample.row
        sums = (sum_by(cell, v, blocks * count) for v in (sample.points.exposure_s, sample.points.fills))
        exposure, fills = (column.reshape(blocks, count) for column in sums)
        return cls(Cells(sample.shape, scale), exposure, fills)

    def tables(self) -> tuple[Floats, Floats]:
        """Exposure and fills of all blocks, then of even and of odd ones."""
        parts = [slice(None)]
        if len(self.fills) >= LEAST_BLOCKS and all(self.fills[parity::2].any() for parity in (0, 1)):
            parts += [slice(1, None, 2), slice(0, None, 2)]
        exposure_s, fills = (
            np.stack([column[part].sum(axis=0) for part in parts]) for column in (self.exposure_s, self.fills)
        )
        # also where only the other half has exposure
        return np.maximum(exposure_s, 1e-9 * exposure_s.max(axis=1, keepdims=True)), fills


@np.errstate(all="ignore")
def compare(points: Points) -> CurveComparison | None:
    """Fit curves to *points* and choose one; None if no exponential can be fitted.

    Cross-validated: the shape fitted to blocks of one parity predicts the distances of the other's fills.
    """
    sample = Sample.of(points)
    exponential = maximum_likelihood(sample.table())
    if isinstance(exponential, NoEstimate) or exponential.k <= 0:
        return None
    rows = _Rows.of(sample, 1 / exponential.k)
    tables = rows.tables()
    plain, smooth = (search(family, rows.cells, *tables) for family in FAMILIES)
    fits_by_family = (*zip(FAMILIES, (plain, smooth), strict=True), (None, monotone(rows.cells, *tables, smooth)))
    baseline: Floats | None = None
    curves, gains = list[Alternative](), list[Floats | None]()
    for family, (curve, *halves) in fits_by_family:
        held_out = _held_out(rows, halves) if halves else None
        baseline = held_out if family is EXPONENTIAL else baseline
        gains.append(None if held_out is None or baseline is None else held_out - baseline)
        curves.append(_alternative(rows, family, curve, gains[-1]))
    best = _best(curves, gains)
    fits = goodness(sample.table(), exponential).goodness_p
    pivot = max(exponential.pivot_delta, 0.0)
    return CurveComparison(tuple(curves), best.name, _sentence(curves[0], best, sample.n_blocks, pivot, fits), sample)


def fitted_as(name: str, points: Points) -> tuple[FittedCurve, Sample] | None:
    sample = Sample.of(points)
    table = sample.table()
    exponential = maximum_likelihood(table)
    if isinstance(exponential, NoEstimate) or exponential.k <= 0:
        return None
    family = next((candidate for candidate in FAMILIES if candidate.name == name), None)
    [fit] = fitted(family, Cells(sample.shape, 1 / exponential.k), table.exposure_s[None], table.fills[None])
    return fit, sample


def _held_out(rows: _Rows, halves: Sequence[FittedCurve]) -> Floats:
    loglik = np.zeros(len(rows.fills))
    for parity, curve in enumerate(halves):
        loglik[parity::2] = shares_loglik(curve.log_gain, rows.exposure_s[parity::2], rows.fills[parity::2])
    return np.where(rows.fills.any(axis=1), loglik, 0.0)


def _alternative(rows: _Rows, family: Family | None, curve: FittedCurve, gains: Floats | None) -> Alternative:
    exposure_s, fills = rows.exposure_s.sum(axis=0), rows.fills.sum(axis=0)
    total = float(fills.sum())
    loglik = float(shares_loglik(curve.log_gain, exposure_s, fills)) + float((fills * np.log(exposure_s)).sum())
    loglik += total * (math.log(total) - 1)
    parameters = curve.gain_slopes.shape[1]
    name, formula = (MONOTONE, "any falling curve") if family is None else (family.name, family.formula)
    gain, error = (None, None) if gains is None else gain_of(gains, total)
    aic = 2 * parameters - 2 * loglik
    return Alternative(name, formula, parameters, loglik, aic, gain, error, curve)


def gain_of(gains: Floats, fills: float) -> tuple[float, float]:
    return float(gains.sum()) / fills, math.sqrt(gains.size) * float(gains.std(ddof=1)) / fills


def _best(curves: Sequence[Alternative], gains: Sequence[Floats | None]) -> Alternative:
    """A curve preferred to the exponential must also have a clearly lower AIC, since gain and error may both be tiny.

    Without blocks the lowest AIC decides, if it is clear.
    """
    exponential, *others = curves
    clear = [curve for curve in others if exponential.aic - curve.aic > CLEAR_AIC]
    compared = [(curve, gain) for curve, gain in zip(curves, gains, strict=True) if gain is not None]
    compared = [pair for pair in compared if pair[0] is exponential or pair[0] in clear]
    if len(compared) < 2:
        return min([exponential] if compared else [exponential, *clear], key=lambda curve: curve.aic)
    most = max(compared, key=lambda pair: float(pair[1].sum()))
    for curve, gain in sorted(compared, key=lambda pair: pair[0].parameters):
        behind, error = gain_of(most[1] - gain, 1.0)
        if behind <= error:
            return curve
    return most[0]


def _sentence(exponential: Alternative, best: Alternative, blocks: int, pivot: float, goodness_p: float | None) -> str:
    if best is exponential and goodness_p is not None and goodness_p < POOR_FIT_P:
        return "no curve that was compared describes the fills better than the exponential, which does not fit either"
    if best is exponential and goodness_p is None:
        return "the fills are too few to show whether one exponential describes them, or another curve does better"
    if best is exponential:
        return "one exponential describes the fills: no other curve predicts unseen blocks clearly better"
    name = best.name.replace("_", " ")
    if best.unseen is None or best.unseen_se is None:
        gain = f"has an AIC lower by {exponential.aic - best.aic:.0f}"
    else:
        half = half_width(best.unseen_se, blocks) or 0.0
        gain = f"gains {best.unseen:.2g} ± {half:.1g} nats per fill on held-out blocks"
    near = f"use A exp(-k δ) only near δ = {round(pivot, 3):.2g} ticks"
    return f"the exponential does not fit: {name}, {best.formula}, {gain}; {near}"


LEAST_FILLS = 20  # minimum in a spread state for a separate curve
TRUSTED = 2.0  # intervals within this factor of λ are trusted


def chosen_curve(
    compared: CurveComparison, states: Iterable[tuple[str, Points]] = (), pivot: float = 0.0
) -> tuple[tuple[CurvePoint, ...], ShapeChoice]:
    """Return the curve of the chosen shape, and the choice.

    Args:
        pivot: Distance in ticks; each trusted range is the nearest to it.
    """
    best = compared.chosen
    curve = _points(ANY_SPREAD, best.fitted, compared.sample)
    fitted = best.fitted
    family = next((known for known in FAMILIES if known.name == best.name), None)
    near, unit = float(fitted.cells.shape.delta[0]), fitted.cells.scale
    named = {} if family is None else family.named(fitted.log_height, fitted.shape, near, unit)
    exponential = {
        point.delta_ticks: point.lambda_per_s
        for point in _points(ANY_SPREAD, compared.curves[0].fitted, compared.sample)
    }
    choice = ShapeChoice(
        chosen=best.name,
        formula=best.formula,
        parameters=named,
        gain_nats_per_fill=best.unseen,
        se=best.unseen_se,
        why=compared.sentence,
        trusted_ticks=_trusted_range(curve, [_narrow(point) for point in curve], pivot),
        exponential_trusted_ticks=_trusted_range(
            curve, [_contains(point, exponential.get(point.delta_ticks, 0.0)) for point in curve], pivot
        ),
    )
    for name, points in states:
        if points.fills.sum() < LEAST_FILLS:
            continue
        fit = fitted_as(best.name, points)
        if fit is not None:
            curve += _points(name, *fit)
    return curve, choice


def rates_on(line: Line, delta_ticks: Floats) -> Floats:
    place, rate = np.ascontiguousarray(np.array(line).T)
    log_rate = np.log(rate)
    fall = (log_rate[-1] - log_rate[-2]) / (place[-1] - place[-2])
    beyond = np.maximum(delta_ticks - place[-1], 0.0)
    rates: Floats = np.exp(np.interp(delta_ticks, place, log_rate) + fall * beyond)
    return rates


@np.errstate(all="ignore")
def _points(state: str, fitted: FittedCurve, sample: Sample) -> tuple[CurvePoint, ...]:
    delta = np.unique(fitted.cells.shape.delta)
    at = np.searchsorted(fitted.cells.edges, delta)
    log_rate = np.minimum.accumulate(fitted.at_edges[at])
    half_width = np.nan_to_num(_half_width(fitted, sample, at), nan=np.inf)
    # λ decreases, so bounds at one distance are upper bounds farther out, and lower bounds nearer
    high = np.minimum.accumulate(log_rate + half_width)
    low = np.maximum.accumulate((log_rate - half_width)[::-1])[::-1]
    rows = np.stack((delta, log_rate, low, high))[:, np.abs(log_rate) < LARGE]
    return tuple(
        CurvePoint(delta_ticks=distance, spread_state=state, lambda_per_s=math.exp(rate), ci95=_ends(*ends))
        for distance, rate, *ends in rows.T.tolist()
    )


def _ends(low: float, high: float) -> Interval | None:
    if low < -LARGE or high > LARGE:
        return None
    return float(f"{math.exp(low):.6g}"), float(f"{math.exp(high):.6g}")


def _half_width(fitted: FittedCurve, sample: Sample, at: Ints) -> Floats:
    """Half of the 95 % interval of ln λ at the edges *at*.

    The covariance is a sandwich of the blocks' scores; the variance of their sum comes from their slowest cosines, and
    is not below the likelihood's, as for A and k.
    """
    points, rows, blocks = sample.points, len(fitted.log_gain), sample.n_blocks
    rate, degrees = np.exp(fitted.log_gain), cosines(blocks)
    expected = sum_by(sample.row, points.exposure_s, rows) * rate
    residual = points.fills - points.exposure_s * rate[sample.row]
    if fitted.pools is not None:
        return _of_pools(fitted.pools, sample, expected, residual)[at]
    information = (fitted.gain_slopes * expected[:, None]).T @ fitted.gain_slopes
    influence = fitted.edge_slopes[at] @ _inverse(information)
    alone = np.sqrt((influence * (influence @ information)).sum(axis=1))
    if degrees == 0:
        return np.asarray(NORMAL * alone)
    by_row = sum_by(sample.block * rows + sample.row, residual, blocks * rows).reshape(blocks, rows)
    errors = long_run_error(by_row @ (fitted.gain_slopes @ influence.T))
    half_width: Floats = student_quantile(degrees) * np.maximum(errors, alone)
    return half_width


def _of_pools(pools: tuple[Ints, Ints], sample: Sample, expected: Floats, residual: Floats) -> Floats:
    (of_row, of_edge), count, blocks = pools, int(pools[0].max()) + 1, sample.n_blocks
    information, degrees = np.bincount(of_row, expected, count), cosines(blocks)
    alone = 1 / np.sqrt(information)
    if degrees == 0:
        return np.asarray(NORMAL * alone)[of_edge]
    place = sample.block * count + of_row[sample.row]
    scores = sum_by(place, residual, blocks * count).reshape(blocks, count)
    half_width: Floats = student_quantile(degrees) * np.maximum(long_run_error(scores / information), alone)
    return half_width[of_edge]


def _inverse(information: Floats) -> Floats:
    scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    known = np.where(values > 1e-10 * values[-1], 1 / values, 0.0)
    inverse: Floats = (vectors * known) @ vectors.T / np.outer(scale, scale)
    return inverse


def _narrow(point: CurvePoint) -> bool:
    if point.ci95 is None:
        return False
    return point.ci95[1] <= TRUSTED * point.lambda_per_s and point.ci95[0] >= point.lambda_per_s / TRUSTED


def _contains(point: CurvePoint, rate: float) -> bool:
    return point.ci95 is not None and point.ci95[0] <= rate <= point.ci95[1]


def _trusted_range(curve: Sequence[CurvePoint], good: Sequence[bool], around: float) -> Interval | None:
    places = [place for place, is_good in enumerate(good) if is_good]
    if not places:
        return None
    first = last = min(places, key=lambda place: abs(curve[place].delta_ticks - around))
    while first > 0 and good[first - 1]:
        first -= 1
    while last + 1 < len(good) and good[last + 1]:
        last += 1
    return curve[first].delta_ticks, curve[last].delta_ticks
