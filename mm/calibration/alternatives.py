"""The shape of λ(δ): curves fitted to the rows of the fit, compared out of sample."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mm.calibration.captured import Captured, pnl_gain
from mm.calibration.estimators import NoEstimate, maximum_likelihood
from mm.calibration.goodness import POOR_FIT_P, goodness
from mm.calibration.likelihood import Sample
from mm.calibration.points import Floats, Points, sum_by
from mm.calibration.shapes import EXPONENTIAL, FAMILIES, Cells, Family, FittedCurve, fitted, shares_loglik
from mm.numbers import number, signed

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
    return CurveComparison(tuple(curves), best.name, _sentence(curves[0], best, pivot, fits), sample)


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


def _sentence(exponential: Alternative, best: Alternative, pivot: float, goodness_p: float | None) -> str:
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
        gain = f"gains {best.unseen:.2g} ± {best.unseen_se:.1g} nats per fill on held-out blocks{_in_money(best)}"
    near = f"use A exp(-k δ) only near δ = {round(pivot, 3):.2g} ticks"
    return f"the exponential does not fit: {name}, {best.formula}, {gain}; {near}"


def _in_money(curve: Alternative) -> str:
    """Return the gain of a curve in money, to follow that in nats; empty if it is unknown."""
    if curve.pnl_gain is None:
        return ""
    error = f" ± {number(curve.se_pnl_gain, 2)}" if curve.se_pnl_gain else ""  # 0: the same distance is best throughout
    return f" (PnL/h {signed(curve.pnl_gain, 3)}{error})"
