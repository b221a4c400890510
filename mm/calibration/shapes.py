"""Shapes of λ(δ), each fitted to the rows of a fit by maximum likelihood.

A row is an order resting at its distance, with rate λ(δ), or a cell ``[δ, δ + w)`` of the depth of aggressive orders,
with rate λ(δ) - λ(δ + w). Given the number of fills, they are multinomial over the rows; the height of a curve is
profiled out, which leaves its shape.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mm.calibration._curve_steps import KINDS, NEVER, climb, curve_at, fit_curve
from mm.calibration.likelihood import Shape
from mm.calibration.points import Floats, Ints

HALF = 0.5  # weight of the prior (two exponentials) in each row of the monotone curve, in fills
LEAST_LOG = -25.0  # minimum ln rate of the two exponentials, relative to their highest
TURNS_EM = 400
ENOUGH_EM = 1e-4


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of curve with a few parameters.

    Attributes:
        name: Its name.
        formula: Its formula, for display.
        starts: Initial shapes of the search.
        named: Converts height, shape, smallest distance and unit (ticks) to the parameters of the formula.
    """

    name: str
    formula: str
    starts: tuple[tuple[float, ...], ...]
    named: Callable[[float, Floats, float, float], dict[str, float]]

    @property
    def kind(self) -> int:
        """Its index among the compiled curves."""
        return KINDS.index(self.name)

    def curve(self, shape: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Return its logarithm at distances beyond the nearest in units of 1/k of the exponential, and its slopes."""
        return curve_at(self.kind, shape, x)


@dataclass(frozen=True)
class Cells:
    """The rows of a fit, in units of a scale, and the distances at which curves are evaluated.

    Attributes:
        shape: The rows, in ticks.
        scale: The unit, in ticks.
    """

    shape: Shape
    scale: float

    @cached_property
    def edges(self) -> Floats:
        """Every distance at which a row begins or ends, in ticks."""
        far = self.shape.delta + self.shape.width
        return np.unique(np.concatenate((self.shape.delta, far[np.isfinite(far)])))

    @cached_property
    def spans(self) -> tuple[Ints, Ints]:
        """Start and end edge of each row, as indices; for an open row the end is the number of edges."""
        far = self.shape.delta + self.shape.width
        return np.searchsorted(self.edges, self.shape.delta), np.searchsorted(self.edges, far)

    def units(self, delta: Floats) -> Floats:
        """Return distances in units beyond the nearest row."""
        units: Floats = (delta - self.shape.delta[0]) / self.scale
        return units

    def log_gain(self, curve: Floats) -> tuple[Floats, Floats]:
        """Return ln of the rate of each row, from ln λ at the edges, and the share subtracted by its far end."""
        begin, end = self.spans
        ended = np.full(len(curve) + 1, -np.inf)
        ended[:-1] = curve
        fall = ended[end] - curve[begin]
        left = -np.expm1(np.minimum(fall, -1e-300))
        return np.maximum(curve[begin] + np.log(left), NEVER), np.exp(fall) / left

    def slopes(self, rises: Floats, taken: Floats) -> Floats:
        """Return the derivatives of ``log_gain``, from those of ln λ at the edges and the shares of the far ends."""
        begin, end = self.spans
        ended = np.zeros((len(rises) + 1, rises.shape[1]))
        ended[:-1] = rises
        begun = rises[begin]
        slopes: Floats = begun - taken[:, None] * (ended[end] - begun)
        return slopes


@dataclass(frozen=True)
class FittedCurve:
    """A curve at its maximum likelihood.

    Attributes:
        cells: The fitted rows.
        log_height: ln λ at shape 0.
        log_gain: ln of the rate of each row, in 1/s.
        at_edges: ln λ at the edges of *cells*, in 1/s.
        gain_slopes: Derivatives of *log_gain* by parameter, the height first; a column each.
        edge_slopes: Derivatives of *at_edges*.
        shape: The parameters besides the height; for the monotone curve, its steps, in 1/s.
    """

    cells: Cells
    log_height: float
    log_gain: Floats
    at_edges: Floats
    gain_slopes: Floats
    edge_slopes: Floats
    shape: Floats


EXPONENTIAL = Family(
    "exponential",
    "A exp(-k δ)",
    ((0.0,),),
    lambda height, shape, near, unit: {
        "A": math.exp(height + math.exp(shape[0]) * near / unit),
        "k": math.exp(shape[0]) / unit,
    },
)


def _two_named(height: float, shape: Floats, near: float, unit: float) -> dict[str, float]:
    slow = math.exp(shape[0]) / unit
    fast = slow + math.exp(shape[1]) / unit
    heights = height + fast * near, height + shape[2] + slow * near
    first, second = (math.exp(min(one, -NEVER - 40)) for one in heights)
    return {"A_1": first, "k_1": fast, "A_2": second, "k_2": slow}


def _power_named(height: float, shape: Floats, near: float, unit: float) -> dict[str, float]:
    offset, power = unit * math.exp(shape[0]), math.exp(shape[1])
    log_height = height + power * math.log(offset)
    return {"A": math.exp(min(log_height, -NEVER - 40)), "c": offset - near, "p": power}


def _logistic_named(height: float, shape: Floats, near: float, unit: float) -> dict[str, float]:
    slope = math.exp(shape[1]) / unit
    return {"A": math.exp(height), "a": shape[0] - slope * near, "b": slope}


FAMILIES = (
    EXPONENTIAL,
    Family("power_law", "A (δ + c)^-p", ((0.0, 1.0), (2.0, 2.1), (-1.5, 0.0)), _power_named),
    Family("logistic", "A / (1 + exp(a + b δ))", ((0.0, 0.3), (-2.0, 0.7), (3.0, 0.0)), _logistic_named),
    Family(
        "two_exponentials",
        "A_1 exp(-k_1 δ) + A_2 exp(-k_2 δ)",
        ((-0.7, 0.4, -1.0), (-1.5, 1.2, -3.0)),
        _two_named,
    ),
)


def shares_loglik(log_gain: Floats, exposure_s: Floats, fills: Floats) -> Floats:
    """Return the multinomial log-likelihood of the fills of each block over the rows, given their number.

    Terms of the exposure, equal for every curve, are left out.

    Args:
        log_gain: ln of the rate of each row.
        exposure_s: One row per block, in seconds.
        fills: Likewise.
    """
    top = log_gain.max()
    reached = (exposure_s * np.exp(log_gain - top)).sum(axis=-1)
    total = fills.sum(axis=-1)
    found: Floats = (fills * log_gain).sum(axis=-1) - np.where(total > 0, total * (np.log(reached) + top), 0.0)
    return found


@np.errstate(all="ignore")
def search(
    family: Family, cells: Cells, exposure_s: Floats, fills: Floats, starts: Sequence[Sequence[float]] | None = None
) -> FittedCurve:
    """Return the maximum-likelihood curve of a family, by damped Fisher scoring from the best of its *starts*.

    Args:
        family: The kind of curve.
        cells: The rows.
        exposure_s: Exposure of each row, in seconds, all above 0.
        fills: Fills of each row.
        starts: Initial shapes; None for those of the family.
    """
    x = cells.units(cells.edges)
    found = [
        fit_curve(family.kind, np.array(start), x, cells.spans, exposure_s, fills) for start in starts or family.starts
    ]
    shape, _ = max(found, key=lambda one: one[1])
    return _at_best_height(family, cells, (exposure_s, fills), shape)


def _at_best_height(family: Family, cells: Cells, counts: tuple[Floats, Floats], shape: Floats) -> FittedCurve:
    """Return the curve with a given shape at its maximum-likelihood height."""
    exposure_s, fills = counts
    curve, rises = family.curve(shape, cells.units(cells.edges))
    gain, taken = cells.log_gain(curve)
    height = math.log(float(fills.sum()) / float((exposure_s * np.exp(gain)).sum()))
    slopes = cells.slopes(rises, taken)
    return FittedCurve(
        cells,
        height,
        gain + height,
        curve + height,
        np.column_stack((np.ones(len(gain)), slopes)),
        np.column_stack((np.ones(len(curve)), rises)),
        shape,
    )


@np.errstate(all="ignore")
def monotone(cells: Cells, exposure_s: Floats, fills: Floats) -> FittedCurve:
    """Return the maximum-likelihood monotone curve.

    Its steps from edge to edge are 0 or more, and the rate of a row is the sum of those within it: Poisson counts of
    sums of steps, whose likelihood has one maximum, found by EM (Vardi, Shepp and Kaufman, JASA 80 (1985) 8-20).
    Resting orders alone need no iteration: pooling adjacent violators gives the maximum.

    Two exponentials add a prior weight of half a fill in each row, so that no row has rate 0.
    """
    smooth = search(FAMILIES[-1], cells, exposure_s, fills)
    least = smooth.log_gain.max() + LEAST_LOG
    counts, exposure = fills + HALF, exposure_s + HALF / np.exp(np.maximum(smooth.log_gain, least))
    begin, end = cells.spans
    size = len(cells.edges)
    if (end == size).all():
        steps = -np.diff(np.append(_pooled(exposure, counts), 0.0))
    else:
        steps = np.maximum(-np.diff(np.append(np.exp(smooth.at_edges), 0.0)), math.exp(least))
        climb((begin, end), counts, exposure, steps, TURNS_EM, ENOUGH_EM)
    steps *= fills.sum() / float((exposure_s * _summed(steps, (begin, end))).sum())
    gain = _summed(steps, (begin, end))
    rate = steps[::-1].cumsum()[::-1]
    kept = np.flatnonzero(steps > 1e-9 * rate[0])
    inside = (kept >= begin[:, None]) & (kept < end[:, None])
    return FittedCurve(
        cells,
        0.0,
        np.log(gain),
        np.log(np.maximum(rate, 1e-300)),
        inside / gain[:, None],
        (kept >= np.arange(size)[:, None]) / np.maximum(rate, 1e-300)[:, None],
        steps[kept],
    )


def _pooled(exposure: Floats, counts: Floats) -> Floats:
    """Return the rate of each row by pooling adjacent violators: fills per second, decreasing from pool to pool."""
    pools: list[tuple[float, float, int]] = []
    for weight, count in zip(exposure.tolist(), counts.tolist(), strict=True):
        pool = weight, count, 1
        while pools and pools[-1][1] * pool[0] <= pool[1] * pools[-1][0]:
            before = pools.pop()
            pool = before[0] + pool[0], before[1] + pool[1], before[2] + pool[2]
        pools.append(pool)
    return np.concatenate([np.full(size, count / weight) for weight, count, size in pools])


def _summed(steps: Floats, spans: tuple[Ints, Ints]) -> Floats:
    """Return the sum of the steps within each row."""
    total = np.zeros(len(steps) + 1)
    steps.cumsum(out=total[1:])
    found: Floats = np.maximum(total[spans[1]] - total[spans[0]], 1e-300)
    return found
