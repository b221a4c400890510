"""Shapes of λ(δ), each fitted to the rows of a fit by maximum likelihood."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mm.base.arrays import Floats, Ints
from mm.calibration.likelihood import Shape
from mm.calibration.points import sum_by

HALF = 0.5  # weight of the prior (two exponentials) in each row of the monotone curve, in fills
NEVER = -745.0  # below, the exponential underflows
BOUND = 25.0  # of a parameter, at which a curve has reached its limit
MIN_GAIN = 1e-8  # smallest gain of an iteration that continues, in nats
MAX_ITERATIONS = 80  # usually a dozen
LEAST_DAMPING = 1e-10  # of a step, relative to the information
MAX_ATTEMPTS = 12  # attempts per step, with increasing damping
CHECK_EVERY = 10  # updates of steps between two evaluations of the likelihood
LEAST_LOG = -25.0  # minimum ln rate of the two exponentials, relative to their highest
TURNS_EM = 400
ENOUGH_EM = 1e-4


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of curve with a few parameters.

    Attributes:
        curve: Returns its logarithm at distances beyond the nearest in units of 1/k of the exponential, and its slopes
            by parameter, in the last axis; for several shapes, a row each.
        named: Converts height, shape, smallest distance and unit (ticks) to the parameters of the formula.
    """

    name: str
    formula: str
    starts: tuple[tuple[float, ...], ...]
    curve: Callable[[Floats, Floats], tuple[Floats, Floats]]
    named: Callable[[float, Floats, float, float], dict[str, float]]


@dataclass(frozen=True)
class Cells:
    """The rows of a fit, in units of a scale, and the distances at which curves are evaluated."""

    shape: Shape
    scale: float

    @cached_property
    def edges(self) -> Floats:
        far = self.shape.delta + self.shape.width
        return np.unique(np.concatenate((self.shape.delta, far[np.isfinite(far)])))

    @cached_property
    def spans(self) -> tuple[Ints, Ints]:
        far = self.shape.delta + self.shape.width
        return np.searchsorted(self.edges, self.shape.delta), np.searchsorted(self.edges, far)

    def units(self, delta: Floats) -> Floats:
        units: Floats = (delta - self.shape.delta[0]) / self.scale
        return units

    def log_gain(self, curve: Floats) -> tuple[Floats, Floats]:
        begin, end = self.spans
        ended = np.concatenate((curve, np.full((*curve.shape[:-1], 1), -np.inf)), axis=-1)
        begun = curve[..., begin]
        fall = ended[..., end] - begun
        left = -np.expm1(np.minimum(fall, -1e-300))
        return np.maximum(begun + np.log(left), NEVER), np.exp(fall) / left

    def slopes(self, rises: Floats, taken: Floats) -> Floats:
        begin, end = self.spans
        ended = np.concatenate((rises, np.zeros((*rises.shape[:-2], 1, rises.shape[-1]))), axis=-2)
        begun = rises[..., begin, :]
        slopes: Floats = begun - taken[..., None] * (ended[..., end, :] - begun)
        return slopes


@dataclass(frozen=True)
class FittedCurve:
    """A curve at its maximum likelihood.

    Attributes:
        gain_slopes: Its derivatives by parameter (columns), the height first.
        shape: Parameters besides the height; the monotone curve's steps, 1/s.
        pools: Of a monotone curve of resting orders: each row's and edge's pool of constant rate; slopes are of ln of
            these rates.
    """

    cells: Cells
    log_height: float
    log_gain: Floats
    at_edges: Floats
    gain_slopes: Floats
    edge_slopes: Floats
    shape: Floats
    pools: tuple[Ints, Ints] | None = None


def _exponential(shape: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Its shape is the logarithm of the slope."""
    fall = -np.exp(shape[..., :1]) * x
    return fall, fall[..., None]


def _two(shape: Floats, x: Floats) -> tuple[Floats, Floats]:
    """The shape is ln of the slow slope, ln of the fast slope beyond it, ln of the slow one's weight."""
    slow, more = np.exp(shape[..., :1]), np.exp(shape[..., 1:2])
    curve = np.logaddexp(-(slow + more) * x, shape[..., 2:] - slow * x)
    share = np.exp(shape[..., 2:] - slow * x - curve)
    return curve, np.stack((-slow * x, -more * x * (1 - share), share), axis=-1)


def _exponential_named(height: float, shape: Floats, near: float, unit: float) -> dict[str, float]:
    slope = math.exp(shape[0])
    return {"A": math.exp(height + slope * near / unit), "k": slope / unit}


def _two_named(height: float, shape: Floats, near: float, unit: float) -> dict[str, float]:
    slow = math.exp(shape[0]) / unit
    fast = slow + math.exp(shape[1]) / unit
    heights = height + fast * near, height + shape[2] + slow * near
    first, second = (math.exp(min(height, -NEVER - 40)) for height in heights)
    return {"A_1": first, "k_1": fast, "A_2": second, "k_2": slow}


EXPONENTIAL = Family("exponential", "A exp(-k δ)", ((0.0,),), _exponential, _exponential_named)
TWO_EXPONENTIALS = Family(
    "two_exponentials",
    "A_1 exp(-k_1 δ) + A_2 exp(-k_2 δ)",
    ((-0.7, 0.4, -1.0), (-1.5, 1.2, -3.0)),
    _two,
    _two_named,
)
FAMILIES = (EXPONENTIAL, TWO_EXPONENTIALS)


def shares_loglik(log_gain: Floats, exposure_s: Floats, fills: Floats) -> Floats:
    """The multinomial log-likelihood of each block's fills over the rows, without the terms of the exposure."""
    top = log_gain.max()
    reached = (exposure_s * np.exp(log_gain - top)).sum(axis=-1)
    total = fills.sum(axis=-1)
    loglik: Floats = (fills * log_gain).sum(axis=-1) - np.where(total > 0, total * (np.log(reached) + top), 0.0)
    return loglik


def fitted(family: Family | None, cells: Cells, exposure_s: Floats, fills: Floats) -> list[FittedCurve]:
    """Fit several tables (rows of *exposure_s* and *fills*) by a family, or by the monotone curve for None."""
    return monotone(cells, exposure_s, fills) if family is None else search(family, cells, exposure_s, fills)


@np.errstate(all="ignore")
def search(family: Family, cells: Cells, exposure_s: Floats, fills: Floats) -> list[FittedCurve]:
    """Fit by damped Fisher scoring from the best of the family's starts."""
    tables, count = len(fills), len(family.starts)
    starts, tiled = np.tile(np.array(family.starts), (tables, 1)), np.repeat(np.arange(tables), count)
    shapes, heights = _climbed(family, cells, starts, (exposure_s[tiled], fills[tiled]))
    best = heights.reshape(tables, count).argmax(axis=1) + count * np.arange(tables)
    columns = zip(exposure_s, fills, shapes[best], strict=True)
    return [_at_best_height(family, cells, (waited, counts), shape) for waited, counts, shape in columns]


def _climbed(family: Family, cells: Cells, shapes: Floats, counts: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    x, shapes, heights = cells.units(cells.edges), shapes.copy(), np.empty(len(shapes))
    damping, climbing = np.full(len(shapes), 1e-3), np.arange(len(shapes))
    for _ in range(MAX_ITERATIONS):
        exposure_s, fills = (column[climbing] for column in counts)
        height, score, information = _ascent(family, cells, x, shapes[climbing], (exposure_s, fills))
        heights[climbing] = height
        unit = np.sqrt(np.diagonal(information, axis1=1, axis2=2) + 1e-9 * fills.sum(axis=1)[:, None])
        scaled = information / (unit[:, :, None] * unit[:, None, :])
        left, gained = np.arange(len(climbing)), np.zeros(len(climbing))
        for _ in range(MAX_ATTEMPTS):
            rows = climbing[left]
            damped = scaled[left] + np.eye(shapes.shape[1]) * damping[rows, None, None]
            step = np.linalg.solve(damped, (score[left] / unit[left])[:, :, None])[:, :, 0] / unit[left]
            ahead = np.clip(shapes[rows] + step, -BOUND, BOUND)
            gain, _ = cells.log_gain(family.curve(ahead, x)[0])
            rise = shares_loglik(gain, exposure_s[left], fills[left]) - height[left]
            better = rise > 0
            shapes[rows[better]], gained[left[better]] = ahead[better], rise[better]
            damping[rows] = np.maximum(damping[rows] * np.where(better, 1 / 8, 6.0), LEAST_DAMPING)
            # a step that promises less than the smallest gain is not tried again
            left = left[~better & ((score[left] * step).sum(axis=1) > MIN_GAIN)]
            if not left.size:
                break
        heights[climbing] += gained
        climbing = climbing[gained >= MIN_GAIN]
        if not climbing.size:
            break
    return shapes, heights


def _ascent(
    family: Family, cells: Cells, x: Floats, shapes: Floats, counts: tuple[Floats, Floats]
) -> tuple[Floats, Floats, Floats]:
    exposure_s, fills = counts
    curve, rises = family.curve(shapes, x)
    gain, taken = cells.log_gain(curve)
    slopes = cells.slopes(rises, taken)
    expected = exposure_s * np.exp(gain - gain.max(axis=1, keepdims=True))
    total = fills.sum(axis=1)
    expected *= (total / expected.sum(axis=1))[:, None]
    score = ((fills - expected)[:, :, None] * slopes).sum(axis=1)
    centred = slopes - (expected[:, :, None] * slopes).sum(axis=1, keepdims=True) / total[:, None, None]
    information = np.einsum("bri,brj->bij", centred * expected[:, :, None], centred)
    return shares_loglik(gain, exposure_s, fills), score, information


def _at_best_height(family: Family, cells: Cells, counts: tuple[Floats, Floats], shape: Floats) -> FittedCurve:
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
def monotone(
    cells: Cells, exposure_s: Floats, fills: Floats, smooth: list[FittedCurve] | None = None
) -> list[FittedCurve]:
    """Fit monotone curves; arguments as in `fitted`.

    Steps between edges are 0 or more, and a row's rate sums the steps within it: Poisson counts of sums of steps, with
    one maximum, by EM (Vardi, Shepp and Kaufman, JASA 80 (1985) 8-20). Resting orders alone need no iteration: pooling
    adjacent violators gives the maximum.

    Two exponentials (*smooth*, if known) add a prior weight of half a fill per row, so that no rate is 0.
    """
    smooth = smooth or search(TWO_EXPONENTIALS, cells, exposure_s, fills)
    log_gain = np.stack([curve.log_gain for curve in smooth])
    least = log_gain.max(axis=1, keepdims=True) + LEAST_LOG
    counts, exposure = fills + HALF, exposure_s + HALF / np.exp(np.maximum(log_gain, least))
    ended = np.zeros((len(fills), 1))
    if (cells.spans[1] == len(cells.edges)).all():
        pooled = [falling(*columns) for columns in zip(counts / exposure, exposure, strict=True)]
        steps = -np.diff(np.hstack((np.stack(pooled), ended)))
    else:
        rates = np.exp(np.stack([curve.at_edges for curve in smooth]))
        steps = np.maximum(-np.diff(np.hstack((rates, ended))), np.exp(least))
        steps = climb(cells.spans, counts, exposure, steps)
    return [_of_steps(cells, *columns) for columns in zip(exposure_s, fills, steps, strict=True)]


def falling(values: Floats, weights: Floats) -> Floats:
    """The weighted least-squares fit of *values* that never rises, by pooling adjacent violators.

    ``scipy.optimize`` has it too, but its import takes longer than all fits of a schedule.
    """
    pools: list[tuple[float, float, int]] = []  # of each: value, weight, number of rows
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pool = value, weight, 1
        while pools and pools[-1][0] < pool[0]:
            before = pools.pop()
            both = before[1] + pool[1]
            pool = (before[0] * before[1] + pool[0] * pool[1]) / both, both, before[2] + pool[2]
        pools.append(pool)
    return np.repeat([pool[0] for pool in pools], [pool[2] for pool in pools])


def _of_steps(cells: Cells, exposure_s: Floats, fills: Floats, steps: Floats) -> FittedCurve:
    begin, end = cells.spans
    steps = steps * (fills.sum() / float((exposure_s * _summed(steps, cells.spans)).sum()))
    gain, rate = _summed(steps, cells.spans), steps[::-1].cumsum()[::-1]
    kept = np.flatnonzero(steps > 1e-9 * rate[0])
    if (end == len(steps)).all() and len(kept) and kept[-1] == len(steps) - 1:
        pools = np.searchsorted(kept, begin), np.searchsorted(kept, np.arange(len(steps)))
        by_row, by_edge = (np.eye(len(kept))[pool] for pool in pools)
        at_edges = np.log(np.maximum(rate, 1e-300))
        return FittedCurve(cells, 0.0, np.log(gain), at_edges, by_row, by_edge, steps[kept], pools)
    inside = (kept >= begin[:, None]) & (kept < end[:, None])
    return FittedCurve(
        cells,
        0.0,
        np.log(gain),
        np.log(np.maximum(rate, 1e-300)),
        inside / gain[:, None],
        (kept >= np.arange(len(steps))[:, None]) / np.maximum(rate, 1e-300)[:, None],
        steps[kept],
    )


def climb(spans: tuple[Ints, Ints], counts: Floats, waited: Floats, steps: Floats) -> Floats:
    """Return steps after EM updates: each multiplied by the mean ratio of counts to expectations of its rows.

    A step without seconds stays. A table is done when ten updates gain less than `ENOUGH_EM`.

    Args:
        spans: int64[rows] each, a row's first step and the first beyond.
    """
    size, last, steps, climbing = steps.shape[1], np.full(len(steps), -np.inf), steps.copy(), np.arange(len(steps))
    seconds = _spread_over(spans, waited, size)
    seconds[:, _spread_over(spans, np.ones((1, len(spans[0]))), size)[0] < HALF] = 0.0  # without rounding residue
    for turn in range(TURNS_EM):
        reached = _summed(steps[climbing], spans)
        if turn % CHECK_EVERY == 0:
            height = (counts[climbing] * np.log(reached) - waited[climbing] * reached).sum(axis=1)
            gains = height - last >= ENOUGH_EM
            climbing, reached, last = climbing[gains], reached[gains], height[gains]
            if not climbing.size:
                break
        exposed = seconds[climbing] > 0
        ratio = np.maximum(_spread_over(spans, counts[climbing] / reached, size), 0.0)
        steps[climbing] *= np.where(exposed, ratio / np.where(exposed, seconds[climbing], 1.0), 1.0)
    return steps


def _spread_over(spans: tuple[Ints, Ints], values: Floats, size: int) -> Floats:
    first = np.arange(len(values))[:, None] * (size + 1)
    begun, ended = (sum_by((first + into).ravel(), values.ravel(), len(values) * (size + 1)) for into in spans)
    return (begun - ended).reshape(len(values), -1).cumsum(axis=1)[:, :size]


def _summed(steps: Floats, spans: tuple[Ints, Ints]) -> Floats:
    total = np.concatenate((np.zeros((*steps.shape[:-1], 1)), steps.cumsum(axis=-1)), axis=-1)
    sums: Floats = np.maximum(total[..., spans[1]] - total[..., spans[0]], 1e-300)
    return sums
