"""The likelihood of A and k, with A profiled out: a function of k alone.

A row has ``fills ~ Poisson(exposure · A · g(k))``: ``g = exp(-k d)`` for an order resting at distance d, ``g = exp(-k
d) - exp(-k (d + w))`` for a cell ``[d, d + w)`` of the depth of aggressive orders. Given their sum, the fills are
multinomial with shares ``p ∝ exposure · g(k)``: the profile likelihood. Its derivative in k is ``n · (mean depth under
p - mean depth of the fills)``: for plain rows the first decreases in k and the second is constant, so there is at most
one root.

A `Table` shifts and scales distances so that its nearest row is at 0 and its farthest at 1.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np

from mm.base.arrays import Floats, Ints
from mm.calibration.points import NO_BLOCK, Points, group, sum_by


class RateEstimate(Protocol):
    @property
    def logA(self) -> float: ...

    @property
    def k(self) -> float: ...


LARGE = 700.0  # exp(LARGE) is still finite
LEAST_K = 1e-6  # cells only: below this, over the whole span, no data can distinguish k from 0
SMALL = 0.1  # below, series are used: the closed forms lose digits
TINY = 1e-290  # smaller variances underflow


@dataclass(frozen=True)
class Shape:
    """Distances of rows, without counts, with g(k) and its derivative."""

    delta: Floats
    width: Floats

    @cached_property
    def closed(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return np.isfinite(self.width)

    def log_gain(self, k: float) -> Floats:
        gain: Floats = -k * self.delta
        if self.closed.any():
            gain[self.closed] += np.log(-np.expm1(-k * self.width[self.closed]))
        return gain

    def steepness(self, k: float) -> Floats:
        if not self.closed.any():
            return self.delta
        steep = self.delta.copy()
        width = self.width[self.closed]
        steep[self.closed] -= width / np.expm1(k * width)
        return steep


@dataclass(frozen=True)
class Table:
    """Rows of distinct (delta, width) with exposure, in units of their span."""

    near: float
    span: float
    shape: Shape
    exposure_s: Floats
    fills: Floats
    total: float
    cells: bool

    @classmethod
    def of(cls, delta: Floats, width: Floats, exposure_s: Floats, fills: Floats) -> Self:
        first, groups = group(delta, width)
        count = len(first)
        return cls.of_sums(delta[first], width[first], sum_by(groups, exposure_s, count), sum_by(groups, fills, count))

    @classmethod
    def of_points(cls, points: Points) -> Self:
        first, row = points.groups
        sums = (sum_by(row, column, len(first)) for column in (points.exposure_s, points.fills))
        return cls.of_sums(points.delta_ticks[first], points.width_ticks[first], *sums)

    @classmethod
    def of_sums(cls, delta: Floats, width: Floats, exposure_s: Floats, fills: Floats) -> Self:
        exposed = exposure_s > 0
        delta, width, exposure_s, fills = (column[exposed] for column in (delta, width, exposure_s, fills))
        near, far = (float(delta[0]), float(delta[-1])) if len(delta) else (0.0, 0.0)
        shape = Shape((delta - near) / (far - near or 1.0), width / (far - near or 1.0))
        return cls(near, far - near, shape, exposure_s, fills, float(fills.sum()), bool(shape.closed.any()))

    @cached_property
    def log_exposure(self) -> Floats:
        return np.log(self.exposure_s)

    @cached_property
    def widths(self) -> tuple[Floats, Ints]:
        return np.unique(self.shape.width, return_inverse=True)

    @cached_property
    def filled(self) -> tuple[Ints, Floats]:
        rows = np.flatnonzero(self.fills)
        return rows, self.fills[rows]

    @property
    def far(self) -> float:
        return self.near + self.span

    @property
    def least_k(self) -> float:
        return LEAST_K if self.cells else -np.inf

    def at(self, k: Any) -> "At":
        return At(self, k)


class At:
    """The likelihood of a table at one k, or at several: each number is then an array.

    Attributes:
        mean: Mean depth under p.
        seen: Mean depth of the fills.
    """

    @np.errstate(all="ignore")
    def __init__(self, table: Table, k: Any) -> None:
        self.k, self.total = k, table.total
        k = np.asarray(k, np.float64)[..., None]
        depth, log_share = table.shape.delta, table.log_exposure - k * table.shape.delta
        self._spread = np.zeros_like(log_share)
        if table.cells:
            widths, which = table.widths
            z = np.minimum(k * widths, LARGE)  # a depth does not leave a wider cell, as it does not leave an open one
            wide = z / k
            log_gain, mean, variance = within_cells(z)
            depth, log_share = depth + (mean * wide)[..., which], log_share + log_gain[..., which]
            self._spread = (variance * wide**2)[..., which]
        top = log_share.max(axis=-1, keepdims=True)
        share = np.exp(log_share - top)
        mass = share.sum(axis=-1, keepdims=True)
        self._share = share = share / mass
        self.log_mass = (top + np.log(mass))[..., 0]
        rows, fills = table.filled
        self.log_likelihood = (fills * log_share[..., rows]).sum(axis=-1) - table.total * self.log_mass
        self.mean, self.inner = (share * depth).sum(axis=-1), (share * self._spread).sum(axis=-1)
        self.seen, self.seen_inner = (
            (fills * column[..., rows]).sum(axis=-1) / table.total for column in (depth, self._spread)
        )
        self._off = depth - self.mean[..., None]
        self.variance = (share * self._off**2).sum(axis=-1)

    @property
    def score(self) -> Any:
        return self.total * (self.mean - self.seen)

    @property
    def bend(self) -> Any:
        return self.total * (self.seen_inner - self.variance - self.inner)

    @property
    def penalised_log_likelihood(self) -> Any:
        return self.log_likelihood + np.log(np.maximum(self.variance, TINY)) / 2

    @property
    def penalised_score(self) -> Any:
        return self.score + self.prior_slope

    @cached_property
    @np.errstate(all="ignore")
    def prior_slope(self) -> Any:
        third, tilt = ((self._share * column).sum(axis=-1) for column in (self._off**3, self._off * self._spread))
        slope = -(third + 2 * tilt) / (2 * self.variance)
        return np.where(self.variance > TINY, slope, -0.5 * np.sign(self.k))[()]


def within_cells(z: Floats) -> tuple[Floats, Floats, Floats]:
    """Return ln of the probability, mean and variance of an exponential depth within a cell, in cell widths.

    *z* is the rate times the width, at most `LARGE`.
    """
    y, grown = z * z, np.expm1(z)
    mean, variance = 1 / z - 1 / grown, 1 / y - (1 + 1 / grown) / grown
    if (z < SMALL).any():
        mean = np.where(z < SMALL, 0.5 - z / 12 + z * y / 720 - z * y * y / 30240, mean)
        variance = np.where(z < SMALL, 1 / 12 - y / 240 + y * y / 6048 - y * y * y / 172800, variance)
    return np.log(-np.expm1(-z)), mean, variance


@dataclass(frozen=True)
class Sample:
    """Points with exposure, each with its row index; points of equal distance and width form one row."""

    points: Points
    shape: Shape
    row: Ints

    @classmethod
    def of(cls, points: Points, max_delta_ticks: float = np.inf) -> Self:
        kept = (points.exposure_s > 0) & (points.delta_ticks <= max_delta_ticks)
        points = points if kept.all() else points.where(kept)
        first, row = points.groups
        return cls(points, Shape(points.delta_ticks[first], points.width_ticks[first]), row)

    @property
    def deltas(self) -> int:
        delta = self.shape.delta
        return int((delta[1:] != delta[:-1]).sum()) + 1 if delta.size else 0

    def waited(self, least_s: float) -> Self:
        long_enough = self.sums[0] >= least_s
        return self if long_enough.all() else type(self).of(self.points.where(long_enough[self.row]))

    def table(self, side: int | None = None) -> Table:
        exposure, fills = self.sums if side is None else self._summed(self.points.side == side)
        return Table.of_sums(self.shape.delta, self.shape.width, exposure, fills)

    @cached_property
    def sums(self) -> tuple[Floats, Floats]:
        return self._summed(slice(None))

    def _summed(self, kept: Any) -> tuple[Floats, Floats]:
        row, count = self.row[kept], len(self.shape.delta)
        return sum_by(row, self.points.exposure_s[kept], count), sum_by(row, self.points.fills[kept], count)

    @cached_property
    def _blocks(self) -> tuple[Ints, Ints]:
        return np.unique(self.points.block, return_inverse=True)

    @property
    def block(self) -> Ints:
        return self._blocks[1]

    @property
    def n_blocks(self) -> int:
        blocks = self._blocks[0]
        return 0 if len(blocks) and blocks[0] == NO_BLOCK else len(blocks)

    def by_block(self, values: Floats) -> Floats:
        blocks, block = self._blocks
        return sum_by(block, values, len(blocks))

    def expected(self, estimate: RateEstimate) -> Floats:
        expected: Floats = self.points.exposure_s * self.rates(estimate)[self.row]
        return expected

    def rates(self, estimate: RateEstimate) -> Floats:
        rates: Floats = np.exp(np.minimum(estimate.logA + self.shape.log_gain(estimate.k), LARGE))
        return rates
