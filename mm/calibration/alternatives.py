"""Other curves than the exponential on the rows of the fit, compared by AIC and on blocks that they have not seen.

Every curve is a rate λ(δ) at which an order at distance δ is reached; a cell ``[δ, δ + w)`` of the depth of
aggressive orders has λ(δ) - λ(δ + w), as in the fit. Its height is profiled out; its shape is searched for.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mm.calibration.estimators import Absent, Estimate, maximum_likelihood
from mm.calibration.goodness import POOR_FIT_P, goodness
from mm.calibration.likelihood import Sample, Shape
from mm.calibration.points import Floats, Points, sum_by

EXPONENTIAL, ISOTONIC = "exponential", "isotonic"
CLEAR_AIC = 10.0  # a difference of so much leaves the worse one no support (Burnham and Anderson 2002)
CLEAR_ERRORS = 2.0  # standard errors by which a gain on unseen blocks has to be above 0
HALF = 0.5  # of a fill, which each level of an isotonic curve is given: a level of none would rule out what comes

Curve = Callable[[Floats, Floats], Floats]  # shape parameters and distances beyond the nearest, in 1/k: ln λ


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of curve.

    Attributes:
        name: What it is called.
        formula: As a person writes it.
        curve: Its logarithm.
        starts: From where its shape is searched for; distances are in units of 1/k of the exponential.
    """

    name: str
    formula: str
    curve: Curve
    starts: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One curve, fitted.

    Attributes:
        name: ``exponential``, ``power_law``, ``logistic``, ``two_exponentials`` or ``isotonic``.
        formula: As a person writes it.
        parameters: How many numbers were fitted, the height included; of the isotonic one, its levels.
        loglik: Log-likelihood, factorials of the counts left out, of which no difference depends.
        aic: Akaike's criterion with it.
        unseen: Gain in nats a fill over the exponential on blocks that neither was fitted to; None without blocks.
        unseen_se: Its standard error, from the blocks.
        rates: The rate of each row: a cell's, or λ of a resting order, in 1/s.
    """

    name: str
    formula: str
    parameters: int
    loglik: float
    aic: float
    unseen: float | None
    unseen_se: float | None
    rates: Floats


@dataclass(frozen=True, slots=True)
class CurveComparison:
    """All curves of one table.

    Attributes:
        shape: The distances and widths of its rows, in ticks.
        curves: The exponential first.
        best: The preferred curve: the exponential, unless another is clearly better.
        sentence: The verdict for people, also that the exponential does not fit.
    """

    shape: Shape
    curves: tuple[Alternative, ...]
    best: str
    sentence: str


def _power(shape: Floats, delta: Floats) -> Floats:
    log_offset, log_power = shape
    curve: Floats = -np.exp(log_power) * np.log1p(delta * np.exp(-log_offset))
    return curve


def _logistic(shape: Floats, delta: Floats) -> Floats:
    level, log_slope = shape
    curve: Floats = -np.logaddexp(0, level + np.exp(log_slope) * delta)
    return curve


def _two(shape: Floats, delta: Floats) -> Floats:
    log_slow, log_more, odds = shape
    slow = np.exp(log_slow)
    curve: Floats = np.logaddexp(-(slow + np.exp(log_more)) * delta, odds - slow * delta)
    return curve


FAMILIES = (
    Family("power_law", "A (δ + c)^-p", _power, ((0.0, 1.0), (2.0, 2.1), (-1.5, 0.0))),
    Family("logistic", "A / (1 + exp(a + b δ))", _logistic, ((0.0, 0.3), (-2.0, 0.7), (3.0, 0.0))),
    Family("two_exponentials", "A₁ exp(-k₁ δ) + A₂ exp(-k₂ δ)", _two, ((-0.7, 0.4, -1.0), (-1.5, 1.2, -3.0))),
)


@np.errstate(all="ignore")
def compare(points: Points) -> CurveComparison | None:
    """Return the curves that describe *points*, and which of them to prefer; None where no exponential can be fitted.

    Blocks of odd and of even number take turns: the shape fitted to one half predicts how the fills of each
    block of the other are spread over the distances.
    """
    sample = Sample.of(points)
    exponential = maximum_likelihood(sample.table())
    if isinstance(exponential, Absent) or exponential.k <= 0:
        return None
    rows = _Rows.of(sample, exponential)
    models = [_exponential, *(_searched(family) for family in FAMILIES), _isotonic]
    names = [
        (EXPONENTIAL, "A exp(-k δ)"),
        *((one.name, one.formula) for one in FAMILIES),
        (ISOTONIC, "any falling curve"),
    ]
    plain = _by_block(rows, _exponential)
    curves = tuple(_alternative(rows, name, model, plain) for name, model in zip(names, models, strict=True))
    best = _best(curves)
    fits = goodness(sample.table(), exponential).goodness_p
    return CurveComparison(sample.shape, curves, best.name, _sentence((curves[0], best), exponential, fits))


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of the fit, their counts by block, and a scale.

    Attributes:
        near: Where each row begins beyond the nearest, in units of 1/k.
        far: Where its cell ends; inf for a resting order.
        exposure_s, fills: One row a block.
        scale: 1/k in ticks.
    """

    near: Floats
    far: Floats
    exposure_s: Floats
    fills: Floats
    scale: float

    @classmethod
    def of(cls, sample: Sample, exponential: Estimate) -> "_Rows":
        """Return the rows of *sample*; without blocks, all of it is one."""
        count, scale = len(sample.shape.delta), 1 / exponential.k
        blocks, block = max(sample.n_blocks, 1), sample.block if sample.n_blocks else np.zeros_like(sample.row)
        cell = block * count + sample.row
        sums = (sum_by(cell, v, blocks * count) for v in (sample.points.exposure_s, sample.points.fills))
        exposure, fills = (column.reshape(blocks, count) for column in sums)
        near = (sample.shape.delta - sample.shape.delta[0]) / scale
        return cls(near, near + sample.shape.width / scale, exposure, fills, scale)

    def of_blocks(self, blocks: slice) -> tuple[Floats, Floats]:
        """Return exposure and fills of each row, summed over *blocks*."""
        return self.exposure_s[blocks].sum(axis=0), self.fills[blocks].sum(axis=0)

    def log_gain(self, curve: Callable[[Floats], Floats]) -> Floats:
        """Return the logarithm of what each row is reached by, for the logarithm of a curve."""
        here, closed = curve(self.near), np.isfinite(self.far)
        gain = here.copy()
        gain[closed] += np.log(-np.expm1(np.minimum(curve(self.far[closed]) - here[closed], 0.0)))
        return gain


Model = Callable[[_Rows, Floats, Floats], tuple[Floats, int]]  # exposure and fills: ln of each row's gain, parameters


def _exponential(rows: _Rows, exposure_s: Floats, fills: Floats) -> tuple[Floats, int]:
    def fall(shape: Floats, delta: Floats) -> Floats:
        curve: Floats = -np.exp(shape[0]) * delta
        return curve

    return _search(rows, fall, ((0.0,),), (exposure_s, fills)), 2


def _searched(family: Family) -> Model:
    def model(rows: _Rows, exposure_s: Floats, fills: Floats) -> tuple[Floats, int]:
        return _search(rows, family.curve, family.starts, (exposure_s, fills)), len(family.starts[0]) + 1

    return model


def _isotonic(rows: _Rows, exposure_s: Floats, fills: Floats) -> tuple[Floats, int]:
    """Return the falling λ of highest likelihood, by pools of adjacent violators among resting orders.

    Disjoint cells have any falling λ that each one's own rate makes, so no two of them are pooled.
    """
    if np.isfinite(rows.far).any():
        return np.log((fills + HALF) / exposure_s), len(fills)
    pools = _pools(exposure_s, fills)
    return np.log(np.concatenate([np.full(size, (count + HALF) / weight) for weight, count, size in pools])), len(pools)


def _pools(weights: Floats, counts: Floats) -> list[tuple[float, float, int]]:
    """Return weight, count and size of pools of neighbours, in which count a weight falls from pool to pool."""
    pools: list[tuple[float, float, int]] = []
    for weight, count in zip(weights.tolist(), counts.tolist(), strict=True):
        pool = weight, count, 1
        while pools and pools[-1][1] * pool[0] <= pool[1] * pools[-1][0]:
            before = pools.pop()
            pool = before[0] + pool[0], before[1] + pool[1], before[2] + pool[2]
        pools.append(pool)
    return pools


def _search(rows: _Rows, curve: Curve, starts: Sequence[tuple[float, ...]], counts: tuple[Floats, Floats]) -> Floats:
    """Return ln of each row's gain at the shape of highest likelihood, from the best of some starts."""
    from scipy.optimize import minimize

    def cost(shape: Floats) -> float:
        value = -_shares_loglik(rows.log_gain(lambda delta: curve(np.clip(shape, -25, 25), delta)), *counts)
        return value if math.isfinite(value) else math.inf

    options = {"xatol": 1e-6, "fatol": 1e-5, "maxiter": 600}
    found = min(
        (minimize(cost, start, method="Nelder-Mead", options=options) for start in starts), key=lambda at: at.fun
    )
    return rows.log_gain(lambda delta: curve(np.clip(found.x, -25, 25), delta))


def _shares_loglik(log_gain: Floats, exposure_s: Floats, fills: Floats) -> float:
    """Return the log-likelihood of how the fills are spread over the rows, given how many there are."""
    seen = exposure_s > 0
    logs = np.log(exposure_s[seen]) + log_gain[seen]
    top = logs.max()
    return float(fills[seen] @ logs - fills.sum() * (top + math.log(np.exp(logs - top).sum())))


def _by_block(rows: _Rows, model: Model) -> Floats | None:
    """Return the log-likelihood of each block, its shape fitted to the blocks of the other parity; None below 4."""
    blocks = len(rows.fills)
    if blocks < 4:
        return None
    found = np.zeros(blocks)
    for parity in (0, 1):
        log_gain, _ = model(rows, *rows.of_blocks(slice(1 - parity, None, 2)))
        for block in range(parity, blocks, 2):
            if rows.fills[block].any():
                found[block] = _shares_loglik(log_gain, rows.exposure_s[block], rows.fills[block])
    return found


def _alternative(rows: _Rows, name: tuple[str, str], model: Model, plain: Floats | None) -> Alternative:
    """Return one curve fitted to all blocks, and what it gains over the *plain* exponential on unseen ones."""
    exposure_s, fills = rows.of_blocks(slice(None))
    log_gain, parameters = model(rows, exposure_s, fills)
    total = float(fills.sum())
    loglik = _shares_loglik(log_gain, exposure_s, fills) + total * (math.log(total) - 1)
    rates = np.exp(log_gain)
    unseen = unseen_se = None
    own = plain if name[0] == EXPONENTIAL else _by_block(rows, model)
    if own is not None and plain is not None:
        gains = own - plain
        unseen, unseen_se = float(gains.sum() / total), float(math.sqrt(gains.size) * gains.std(ddof=1) / total)
    return Alternative(
        *name,
        parameters=parameters,
        loglik=loglik,
        aic=2 * parameters - 2 * loglik,
        unseen=unseen,
        unseen_se=unseen_se,
        rates=rates * (total / float(exposure_s @ rates)),
    )


def _best(curves: tuple[Alternative, ...]) -> Alternative:
    """Return the curve of the least AIC among those that are clearly better than the exponential; else that one.

    The isotonic one, which has as many steps as it likes, also has to be clearly better than the others.
    """
    exponential, *others = curves
    better = [one for one in others if exponential.aic - one.aic > CLEAR_AIC and _predicts(one)]
    return min(better, key=lambda one: one.aic + CLEAR_AIC * (one.name == ISOTONIC), default=exponential)


def _predicts(one: Alternative) -> bool:
    """Return whether a curve is better on unseen blocks by more than chance, where there are blocks."""
    return one.unseen is None or one.unseen_se is None or one.unseen > CLEAR_ERRORS * one.unseen_se


def _sentence(curves: tuple[Alternative, Alternative], fit: Estimate, goodness_p: float | None) -> str:
    """Return what the best of *curves* (the exponential, the best) means for the use of A and k."""
    exponential, best = curves
    if best is exponential and goodness_p is not None and goodness_p < POOR_FIT_P:
        return "no curve that was compared describes the fills better than the exponential, which does not fit either"
    if best is exponential:
        return "one exponential describes the fills: no other curve is clearly better"
    gain = "" if best.unseen is None else f" and gains {best.unseen:.2g} nats a fill on blocks it has not seen"
    name = best.name.replace("_", " ")
    return (
        f"the exponential does not fit: {name}, {best.formula}, has an AIC lower by {exponential.aic - best.aic:.0f}"
        f"{gain}; trust A exp(-k δ) near δ = {max(fit.pivot_delta, 0.0):.2g} ticks alone"
    )
