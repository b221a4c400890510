"""The shape of λ(δ): curves fitted to the rows of the fit, compared out of sample, and the points of the chosen one."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from mm.backtest.metrics.arithmetic import NORMAL, student_quantile
from mm.backtest.metrics.long_run import cosines, long_run_error
from mm.base.arrays import Floats, Ints
from mm.base.numbers import half_width, number, signed
from mm.calibration.estimators import NoEstimate, maximum_likelihood
from mm.calibration.fit_result import ANY_SPREAD, CurvePoint, Interval, Line, ShapeChoice
from mm.calibration.goodness import POOR_FIT_P, goodness
from mm.calibration.likelihood import LARGE, Sample
from mm.calibration.points import Points, sum_by
from mm.calibration.shapes import EXPONENTIAL, FAMILIES, Cells, Family, FittedCurve, fitted, shares_loglik

PNL_GAIN = ("pnl_gain", "se_pnl_gain")
S_PER_H = 3600


@dataclass(frozen=True)
class Captured:
    """Spread that an order at each measured distance captured: its distance from the mid times its fills.

    The value of a gain in likelihood is what its better parameters would have earned: each set of them has a distance
    at which it expects most, and the fills that came there are known. Fees and adverse selection are not deducted.

    Attributes:
        delta_ticks: Distances from the reference price.
        mid_ticks: The same distances from the mid.
        per_s: Spread captured per order and second, in ticks; NaN for a distance that was not exposed.
        spent_s: Order-seconds of the distance that was exposed longest.
    """

    delta_ticks: Floats
    mid_ticks: Floats
    per_s: Floats
    spent_s: float

    @classmethod
    def of(cls, points: Points, offset_ticks: float = 0.0) -> Self:
        """Return what orders captured at the distances of `Points.groups`; the arguments are those of `of_sums`."""
        first, into = points.groups
        exposure_s, fills = (sum_by(into, column, len(first)) for column in (points.exposure_s, points.fills))
        return cls.of_sums(points.delta_ticks[first], points.width_ticks[first], exposure_s, fills, offset_ticks)

    @classmethod
    def of_sums(
        cls, delta_ticks: Floats, width_ticks: Floats, exposure_s: Floats, fills: Floats, offset_ticks: float = 0.0
    ) -> Self:
        """Return what orders captured at distinct, ascending distances.

        Args:
            delta_ticks, width_ticks, exposure_s, fills: As in `Points`.
            offset_ticks: Distance of the mid beyond the reference price, in ticks.
        """
        if np.isfinite(width_ticks).any():  # orders that reached a cell also filled those nearer
            fills = fills[::-1].cumsum()[::-1]
        mid = delta_ticks + offset_ticks
        exposed = exposure_s > 0
        per_s = np.full(len(mid), np.nan)
        per_s[exposed] = mid[exposed] * fills[exposed] / exposure_s[exposed]
        return cls(delta_ticks, mid, per_s, float(exposure_s.max(initial=0.0)))

    def by(self, rate_per_s: Floats) -> float | None:
        """Return what the exposed distance captured that is best by these rates; None if nothing was exposed."""
        if not self.spent_s:
            return None
        expected = np.where(np.isnan(self.per_s), -np.inf, self.mid_ticks * rate_per_s)
        return float(self.per_s[np.argmax(expected)])


def mean_gain(weights: Floats, gains: Floats) -> tuple[float | None, float | None]:
    """Return the gain of spans of time per fill, or other weight, and its standard error, None for one span."""
    total, count = float(weights.sum()), len(weights)
    if not total:
        return None, None
    mean = float(gains.sum()) / total
    left = float(((gains - mean * weights) ** 2).sum())
    return mean, float(np.sqrt(count / (count - 1) * left)) / total if count > 1 else None


def pnl_gain(
    spans: Iterable[tuple[float, float | None, float | None]], tick_size: float | None
) -> dict[str, float | None]:
    """Return the spread captured beyond that of other parameters, in the quote asset per hour, and its error.

    It is of one unit of the base asset that is quoted on both sides all the time.

    Args:
        spans: Order-seconds of each span, and what `Captured.by` says of both parameters.
        tick_size: Price step, in the quote asset; None if unknown.
    """
    rows = [(spent, (own - other) * spent) for spent, own, other in spans if own is not None and other is not None]
    gains = mean_gain(*np.array(rows).T) if rows and tick_size else (None, None)
    worth = 2 * S_PER_H * (tick_size or 0.0)  # two orders
    return dict(zip(PNL_GAIN, (None if gain is None else gain * worth for gain in gains), strict=True))


MONOTONE = "monotone"
CLEAR_AIC = 10.0  # at this difference the worse model has no support (Burnham and Anderson 2002)
LEAST_BLOCKS = 4


@dataclass(frozen=True, slots=True)
class Alternative:
    """One fitted curve.

    Attributes:
        name: ``exponential``, ``power_law``, ``logistic``, ``two_exponentials`` or ``monotone``.
        formula: Its formula, as text.
        parameters: Number of fitted parameters, including the height; for the monotone curve, its steps.
        loglik: Log-likelihood, without the factorials of the counts.
        aic: Akaike's information criterion.
        unseen: Out-of-sample gain in nats per fill over the exponential; None without blocks.
        unseen_se: Its standard error, from the blocks.
        pnl_gain: The same gain in money, as in `pnl_gain`; None without blocks or a tick size.
        se_pnl_gain: Its standard error.
        fitted: The curve.
    """

    name: str
    formula: str
    parameters: int
    loglik: float
    aic: float
    unseen: float | None
    unseen_se: float | None
    pnl_gain: float | None
    se_pnl_gain: float | None
    fitted: FittedCurve

    @property
    def rates(self) -> Floats:
        """Rate of each row in 1/s: of a cell, or λ of a resting order."""
        return np.exp(self.fitted.log_gain)


@dataclass(frozen=True, slots=True)
class CurveComparison:
    """All curves of one table.

    Attributes:
        curves: The exponential first, the others by the number of their parameters.
        best: The chosen shape: the simplest within one standard error of the best out-of-sample one.
        sentence: The conclusion as text, also if the exponential does not fit.
        sample: The rows, and the counts of each block.
    """

    curves: tuple[Alternative, ...]
    best: str
    sentence: str
    sample: Sample

    @property
    def chosen(self) -> Alternative:
        """The curve of the chosen shape."""
        return next(curve for curve in self.curves if curve.name == self.best)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of the fit, and their counts by block, one row per block."""

    cells: Cells
    exposure_s: Floats
    fills: Floats

    @classmethod
    def of(cls, sample: Sample, scale: float) -> "_Rows":
        """Return the rows of *sample*; without blocks, everything is one block."""
        count = len(sample.shape.delta)
        blocks, block = max(sample.n_blocks, 1), sample.block if sample.n_blocks else np.zeros_like(sample.row)
        cell = block * count + sample.row
        sums = (sum_by(cell, v, blocks * count) for v in (sample.points.exposure_s, sample.points.fills))
        exposure, fills = (column.reshape(blocks, count) for column in sums)
        return cls(Cells(sample.shape, scale), exposure, fills)

    def tables(self) -> tuple[Floats, Floats]:
        """Return exposure and fills of all blocks; then those to which curves for even and for odd ones are fitted.

        The latter are left out below four blocks, and without fills in one of the two halves.
        """
        parts = [slice(None)]
        if len(self.fills) >= LEAST_BLOCKS and all(self.fills[parity::2].any() for parity in (0, 1)):
            parts += [slice(1, None, 2), slice(0, None, 2)]
        exposure_s, fills = (
            np.stack([column[part].sum(axis=0) for part in parts]) for column in (self.exposure_s, self.fills)
        )
        # also where only the other half has exposure
        return np.maximum(exposure_s, 1e-9 * exposure_s.max(axis=1, keepdims=True)), fills


class _HeldOut(NamedTuple):
    """The prediction of each block by a curve that was fitted to blocks of the other parity.

    Attributes:
        loglik: Its log-likelihood, by block.
        curves: λ of each row, in 1/s: of the blocks of even index, and of those of odd index.
    """

    loglik: Floats
    curves: tuple[Floats, Floats]


@np.errstate(all="ignore")
def compare(points: Points, offset_ticks: float = 0.0, tick_size: float | None = None) -> CurveComparison | None:
    """Return the curves fitted to *points*, and the chosen one; None if no exponential can be fitted.

    Cross-validation over blocks of odd and even index: the shape fitted to one half predicts the distribution over
    distances of the fills of each block of the other, and the distance that is best by it captures a spread there.

    Args:
        points: The points.
        offset_ticks: Distance of the mid beyond the reference price, in ticks.
        tick_size: Price step, in the quote asset; None leaves gains in money out.
    """
    sample = Sample.of(points)
    exponential = maximum_likelihood(sample.table())
    if isinstance(exponential, NoEstimate) or exponential.k <= 0:
        return None
    rows = _Rows.of(sample, 1 / exponential.k)
    counts = zip(rows.exposure_s, rows.fills, strict=True) if tick_size else ()
    captured = [Captured.of_sums(sample.shape.delta, sample.shape.width, *block, offset_ticks) for block in counts]
    curves, gains, tables = list[Alternative](), list[Floats | None](), rows.tables()
    baseline: _HeldOut | None = None
    for family in (*FAMILIES, None):
        curve, *halves = fitted(family, rows.cells, *tables)
        held_out = _held_out(rows, halves) if halves else None
        baseline = held_out if family is EXPONENTIAL else baseline
        gains.append(None if held_out is None or baseline is None else held_out.loglik - baseline.loglik)
        worth = _money(captured, tick_size, baseline, held_out)
        curves.append(_alternative(rows, family, curve, gains[-1], worth))
    best = _best(curves, gains)
    fits = goodness(sample.table(), exponential).goodness_p
    pivot = max(exponential.pivot_delta, 0.0)
    return CurveComparison(tuple(curves), best.name, _sentence(curves[0], best, sample.n_blocks, pivot, fits), sample)


def fitted_as(name: str, points: Points) -> tuple[FittedCurve, Sample] | None:
    """Return the curve of a shape on other *points*, with their rows; None where no exponential can be fitted."""
    sample = Sample.of(points)
    table = sample.table()
    exponential = maximum_likelihood(table)
    if isinstance(exponential, NoEstimate) or exponential.k <= 0:
        return None
    family = next((candidate for candidate in FAMILIES if candidate.name == name), None)
    [found] = fitted(family, Cells(sample.shape, 1 / exponential.k), table.exposure_s[None], table.fills[None])
    return found, sample


def _held_out(rows: _Rows, halves: Sequence[FittedCurve]) -> _HeldOut:
    """Return the prediction of each block by the curve fitted to the blocks of the other parity."""
    found, begin = np.zeros(len(rows.fills)), rows.cells.spans[0]
    for parity, curve in enumerate(halves):
        found[parity::2] = shares_loglik(curve.log_gain, rows.exposure_s[parity::2], rows.fills[parity::2])
    even, odd = (np.exp(curve.at_edges[begin]) for curve in halves)
    return _HeldOut(np.where(rows.fills.any(axis=1), found, 0.0), (even, odd))


def _money(
    blocks: Sequence[Captured], tick_size: float | None, baseline: _HeldOut | None, own: _HeldOut | None
) -> dict[str, float | None]:
    """Return the gain in money of a curve over the *baseline*, on held-out *blocks*."""
    if own is None or baseline is None:
        return pnl_gain((), tick_size)
    pairs = ((block, at % 2) for at, block in enumerate(blocks))
    spans = [(block.spent_s, block.by(own.curves[odd]), block.by(baseline.curves[odd])) for block, odd in pairs]
    return pnl_gain(spans, tick_size)


def _alternative(
    rows: _Rows, family: Family | None, curve: FittedCurve, gains: Floats | None, worth: dict[str, float | None]
) -> Alternative:
    """Return one curve fitted to all blocks, with its out-of-sample gains over the exponential, by block."""
    exposure_s, fills = rows.exposure_s.sum(axis=0), rows.fills.sum(axis=0)
    total = float(fills.sum())
    loglik = float(shares_loglik(curve.log_gain, exposure_s, fills)) + float((fills * np.log(exposure_s)).sum())
    loglik += total * (math.log(total) - 1)
    parameters = curve.gain_slopes.shape[1]
    name, formula = (MONOTONE, "any falling curve") if family is None else (family.name, family.formula)
    gain, error = (None, None) if gains is None else gain_of(gains, total)
    aic = 2 * parameters - 2 * loglik
    return Alternative(name, formula, parameters, loglik, aic, gain, error, **worth, fitted=curve)


def gain_of(gains: Floats, fills: float) -> tuple[float, float]:
    """Return the mean gain over blocks, in nats per fill, and its standard error."""
    return float(gains.sum()) / fills, math.sqrt(gains.size) * float(gains.std(ddof=1)) / fills


def _best(curves: Sequence[Alternative], gains: Sequence[Floats | None]) -> Alternative:
    """Return the simplest curve within one standard error of the best out-of-sample gain.

    A curve preferred to the exponential must also have a clearly lower AIC, since gain and error may both be tiny.
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
    """Return a sentence on how far A and k can be used, given the *best* curve."""
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
        gain = f"gains {best.unseen:.2g} ± {half:.1g} nats per fill on held-out blocks{_in_money(best, blocks)}"
    near = f"use A exp(-k δ) only near δ = {round(pivot, 3):.2g} ticks"
    return f"the exponential does not fit: {name}, {best.formula}, {gain}; {near}"


def _in_money(curve: Alternative, blocks: int) -> str:
    """Return the gain of a curve in money, to follow that in nats; empty if it is unknown."""
    if curve.pnl_gain is None:
        return ""
    # An error of 0: the same distance is best throughout.
    error = f" ± {number(half_width(curve.se_pnl_gain, blocks), 2)}" if curve.se_pnl_gain else ""
    return f" (PnL/h {signed(curve.pnl_gain, 3)}{error})"


LEAST_FILLS = 20  # minimum in a spread state for a separate curve
TRUSTED = 2.0  # intervals within this factor of λ are trusted


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
    place, rate = np.ascontiguousarray(np.array(line).T)
    log_rate = np.log(rate)
    fall = (log_rate[-1] - log_rate[-2]) / (place[-1] - place[-2])
    beyond = np.maximum(delta_ticks - place[-1], 0.0)
    found: Floats = np.exp(np.interp(delta_ticks, place, log_rate) + fall * beyond)
    return found


@np.errstate(all="ignore")
def _points(state: str, fitted: FittedCurve, sample: Sample) -> tuple[CurvePoint, ...]:
    """Return a point for each distance at which a row begins, nearest first."""
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
    """Return the interval of λ of one of ln λ, to six digits; None if unbounded."""
    if low < -LARGE or high > LARGE:
        return None
    return float(f"{math.exp(low):.6g}"), float(f"{math.exp(high):.6g}")


def _half_width(fitted: FittedCurve, sample: Sample, at: Ints) -> Floats:
    """Return the half-width of the 95 % interval of ln λ at the edges *at*.

    The covariance is a sandwich of the scores of the blocks, with the variance of their sum from their slowest cosines,
    as for A and k. Without two blocks, fills are assumed independent.
    """
    points, rows, blocks = sample.points, len(fitted.log_gain), sample.n_blocks
    rate, degrees = np.exp(fitted.log_gain), cosines(blocks)
    expected = sum_by(sample.row, points.exposure_s, rows) * rate
    residual = points.fills - points.exposure_s * rate[sample.row]
    if fitted.pools is not None:
        return _of_pools(fitted.pools, sample, expected, residual)[at]
    information = (fitted.gain_slopes * expected[:, None]).T @ fitted.gain_slopes
    influence = fitted.edge_slopes[at] @ _inverse(information)
    if degrees == 0:
        variance = (influence * (influence @ information)).sum(axis=1)
        return np.asarray(NORMAL * np.sqrt(variance))
    by_row = sum_by(sample.block * rows + sample.row, residual, blocks * rows).reshape(blocks, rows)
    errors = long_run_error(by_row @ (fitted.gain_slopes @ influence.T))
    half_width: Floats = student_quantile(degrees) * errors
    return half_width


def _of_pools(pools: tuple[Ints, Ints], sample: Sample, expected: Floats, residual: Floats) -> Floats:
    """Return the same of every edge, where each pool of rows has a rate of its own: information is diagonal."""
    (of_row, of_edge), count, blocks = pools, int(pools[0].max()) + 1, sample.n_blocks
    information, degrees = np.bincount(of_row, expected, count), cosines(blocks)
    if degrees == 0:
        return np.asarray(NORMAL / np.sqrt(information))[of_edge]
    place = sample.block * count + of_row[sample.row]
    scores = sum_by(place, residual, blocks * count).reshape(blocks, count)
    half_width: Floats = student_quantile(degrees) * long_run_error(scores / information)
    return half_width[of_edge]


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
