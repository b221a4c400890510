"""The shapes that λ(δ) may have, each fitted to rows of a fit by maximum likelihood.

A row is an order resting at its distance, reached by λ(δ), or a cell ``[δ, δ + w)`` of the depth of aggressive
orders, reached by λ(δ) - λ(δ + w). Given how many fills there are, they are multinomial over the rows; the height of
a curve is profiled out, and what is left is its shape.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mm.calibration._curve_steps import KINDS, NEVER, climb, climb_curve, curve_at
from mm.calibration.likelihood import Shape
from mm.calibration.points import Floats, Ints

HALF = 0.5  # of a fill: how much two exponentials weigh in each row of the curve that only has to fall
LEAST_LOG = -25.0  # of what two exponentials weigh in, below the highest: sums of steps hold no smaller ones
TURNS_EM = 400
ENOUGH_EM = 1e-4


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of curve with a few parameters.

    Attributes:
        name: What it is called.
        formula: As a person writes it.
        starts: From where its shape is searched for.
        named: Of its height, its shape, the nearest distance and the unit, in ticks: the parameters of the formula.
    """

    name: str
    formula: str
    starts: tuple[tuple[float, ...], ...]
    named: Callable[[float, Floats, float, float], dict[str, float]]

    @property
    def kind(self) -> int:
        """Its number among the compiled curves."""
        return KINDS.index(self.name)

    def curve(self, shape: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Return its logarithm at distances beyond the nearest in units of 1/k of the exponential, and its slopes."""
        return curve_at(self.kind, shape, x)


@dataclass(frozen=True)
class Cells:
    """The rows of a fit, in units of a scale, and the distances at which a curve is looked at.

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
        """Of each row, the edge at which it begins and the one at which it ends; no edge, but their number, if open."""
        far = self.shape.delta + self.shape.width
        return np.searchsorted(self.edges, self.shape.delta), np.searchsorted(self.edges, far)

    def units(self, delta: Floats) -> Floats:
        """Return distances in units beyond the nearest row."""
        units: Floats = (delta - self.shape.delta[0]) / self.scale
        return units

    def log_gain(self, curve: Floats) -> tuple[Floats, Floats]:
        """Return ln of what each row is reached by, from ln λ at the edges, and the share that its far end takes."""
        begin, end = self.spans
        ended = np.full(len(curve) + 1, -np.inf)
        ended[:-1] = curve
        fall = ended[end] - curve[begin]
        left = -np.expm1(np.minimum(fall, -1e-300))
        return np.maximum(curve[begin] + np.log(left), NEVER), np.exp(fall) / left

    def slopes(self, rises: Floats, taken: Floats) -> Floats:
        """Return the slopes of ``log_gain``, from those of ln λ at the edges and the shares of the far ends."""
        begin, end = self.spans
        ended = np.zeros((len(rises) + 1, rises.shape[1]))
        ended[:-1] = rises
        begun = rises[begin]
        slopes: Floats = begun - taken[:, None] * (ended[end] - begun)
        return slopes


@dataclass(frozen=True)
class FittedCurve:
    """A curve at its highest likelihood.

    Attributes:
        cells: The rows that it was fitted to.
        log_height: ln λ where its shape is 0.
        log_gain: ln of what each row is reached by, in 1/s.
        at_edges: ln λ at the edges of *cells*, in 1/s.
        gain_slopes: Slopes of *log_gain* by each parameter, its height the first; a column each.
        edge_slopes: Slopes of *at_edges*.
        shape: The parameters beside the height; of the curve that only has to fall, its steps, in 1/s.
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
    """Return the log-likelihood of how the fills of each block are spread over the rows, given how many there are.

    What belongs to the exposure alone, and is the same for every curve, is left out.

    Args:
        log_gain: ln of what each row is reached by.
        exposure_s: One row a block, in seconds.
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
    """Return the curve of a family of highest likelihood: Fisher's scoring, damped, from the best of its *starts*.

    Args:
        family: The kind of curve.
        cells: The rows.
        exposure_s: Of each row, in seconds, all above 0.
        fills: Of each row.
        starts: None for those of the family.
    """
    x = cells.units(cells.edges)
    found = [
        climb_curve(family.kind, np.array(start), x, cells.spans, exposure_s, fills)
        for start in starts or family.starts
    ]
    shape, _ = max(found, key=lambda one: one[1])
    return _at_best_height(family, cells, (exposure_s, fills), shape)


def _at_best_height(family: Family, cells: Cells, counts: tuple[Floats, Floats], shape: Floats) -> FittedCurve:
    """Return a curve at a shape, at its best height."""
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
    """Return the falling curve of highest likelihood, with any steps.

    Its steps from edge to edge are 0 or more, and a row is reached by the sum of those within it: Poisson counts of
    sums of steps, whose likelihood has one peak, which expectation and maximisation climbs (Vardi, Shepp and Kaufman,
    JASA 80 (1985) 8-20). Resting orders alone need no search: pools of adjacent violators are the peak.

    Two exponentials weigh in as half a fill in each row, so that no row is thought to be out of reach.
    """
    smooth = search(FAMILIES[-1], cells, exposure_s, fills)
    least = smooth.log_gain.max() + LEAST_LOG
    counts, waited = fills + HALF, exposure_s + HALF / np.exp(np.maximum(smooth.log_gain, least))
    begin, end = cells.spans
    size = len(cells.edges)
    if (end == size).all():
        steps = -np.diff(np.append(_pooled(waited, counts), 0.0))
    else:
        steps = np.maximum(-np.diff(np.append(np.exp(smooth.at_edges), 0.0)), math.exp(least))
        climb((begin, end), counts, waited, steps, TURNS_EM, ENOUGH_EM)
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


def _pooled(waited: Floats, counts: Floats) -> Floats:
    """Return the rate of each row by pools of adjacent violators: fills per second, falling from pool to pool."""
    pools: list[tuple[float, float, int]] = []
    for weight, count in zip(waited.tolist(), counts.tolist(), strict=True):
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
