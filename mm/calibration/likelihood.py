"""The likelihood of A and k, with A profiled out: a function of k alone.

A row has ``fills ~ Poisson(exposure · A · g(k))``. An order resting at distance d is reached by
``g = exp(-k d)``; a cell ``[d, d + w)`` of the depth of aggressive orders has
``g = exp(-k d) - exp(-k (d + w))``. Given their sum, the fills are multinomial with shares
``p ∝ exposure · g(k)``; that multinomial is the profile likelihood. Its slope in k is
``n · (mean of the depth under p - mean of the depth of the fills)``: for plain rows the first falls
in k and the second is constant, so there is one root at most.

Distances in a `Table` are shifted and scaled so that its nearest row lies at 0 and its farthest at 1.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from mm.calibration.points import Floats, Ints, group, sum_by

SMALL = 0.1  # below, the series are exact to the last digit and the closed forms are not
LARGE = 700.0  # exp(LARGE) is still finite
TINY = 1e-290  # a variance below is lost to underflow
LEAST_K = 1e-6  # cells only: below this, over the whole span, k is 0 to any data


@dataclass(frozen=True)
class Shape:
    """Where the rows lie, without counts: g(k) of every row, and its derivatives.

    Attributes:
        delta: Distance of a row, or the near edge of its cell.
        width: Width of its cell; inf for an order resting at delta.
    """

    delta: Floats
    width: Floats

    @cached_property
    def cells(self) -> Ints:
        """The rows that are cells of finite width; with any of them, k must be positive."""
        return np.flatnonzero(np.isfinite(self.width))

    @cached_property
    def _widths(self) -> tuple[Floats, Ints]:
        """The distinct widths of the cells, few as a rule, and which of them each cell has."""
        widths, which = np.unique(self.width[self.cells], return_inverse=True)
        return widths, which.astype(np.int64)

    def log_gain(self, k: Floats | float) -> Floats:
        """Return ln g(k); *k* is a number, or a column of numbers for a row of each."""
        gain: Floats = -k * self.delta
        if self.cells.size:
            width, which = self._widths
            gain[..., self.cells] += np.log(-np.expm1(-k * width))[..., which]
        return gain

    def depth(self, k: Floats | float) -> Floats:
        """Return each row's mean depth: its delta, or with cells the mean of an exponential depth within."""
        if not self.cells.size:
            return self.delta
        within = np.broadcast_to(1 / k, np.broadcast_shapes(np.shape(k), self.delta.shape)).copy()
        width, which = self._widths
        within[..., self.cells] = (width * _mean_in_cell(k * width))[..., which]
        depth: Floats = self.delta + within
        return depth

    def spread(self, k: Floats | float) -> Floats:
        """Return the variance of the depth within each row's cell; 0 for plain rows."""
        if not self.cells.size:
            return np.zeros_like(self.delta)
        within = np.broadcast_to((1 / k) ** 2, np.broadcast_shapes(np.shape(k), self.delta.shape)).copy()
        width, which = self._widths
        within[..., self.cells] = (width**2 * _variance_in_cell(k * width))[..., which]
        return within

    def steepness(self, k: float) -> Floats:
        """Return -d ln g / dk: for a plain row, its delta."""
        return self.depth(k) - (1 / k if self.cells.size else 0.0)


@dataclass(frozen=True)
class Table:
    """Rows of distinct (delta, width) with exposure, in units of their span.

    Attributes:
        near: Distance of the nearest row, in ticks.
        span: From the nearest to the farthest, in ticks; 0 if there are not two.
        shape: Where the rows lie: (delta - near) / span.
        exposure_s: Order-seconds, all above 0.
        fills: Counts.
        total: Their sum.
    """

    near: float
    span: float
    shape: Shape
    exposure_s: Floats
    fills: Floats
    total: float

    @classmethod
    def of(cls, delta: Floats, width: Floats, exposure_s: Floats, fills: Floats) -> Self:
        """Return the table of raw rows: rows of equal distance and width are summed, unexposed ones left out."""
        first, groups = group(delta, width)
        exposure = sum_by(groups, exposure_s, len(first))
        seen = exposure > 0
        kept = first[seen]
        counts = sum_by(groups, fills, len(first))[seen]
        near, far = (float(delta[kept[0]]), float(delta[kept[-1]])) if kept.size else (0.0, 0.0)
        unit = (far - near) or 1.0
        shape = Shape((delta[kept] - near) / unit, width[kept] / unit)
        return cls(near, far - near, shape, exposure[seen], counts, float(counts.sum()))

    @cached_property
    def log_exposure(self) -> Floats:
        """Ln of the exposure."""
        return np.log(self.exposure_s)

    @property
    def far(self) -> float:
        """Distance of the farthest row, in ticks."""
        return self.near + self.span

    def shares(self, k: Floats | float) -> tuple[Floats, Floats]:
        """Return ln of the sum of exposure · g(k), and each row's share of it."""
        logs = self.log_exposure + self.shape.log_gain(k)
        top = logs.max(axis=-1, keepdims=True)
        shares: Floats = np.exp(logs - top)
        mass = shares.sum(axis=-1, keepdims=True)
        shares /= mass
        return (top + np.log(mass))[..., 0], shares

    def log_likelihood(self, k: Floats | float) -> Floats:
        """Return the profile log-likelihood of *k*: ln of the multinomial, without its factorials."""
        logs = self.log_exposure + self.shape.log_gain(k)
        log_mass, _ = self.shares(k)
        value: Floats = logs @ self.fills - self.total * log_mass
        return value

    def score(self, k: Floats | float) -> Floats:
        """Return the slope of the profile log-likelihood in *k*."""
        _, shares = self.shares(k)
        depth = self.shape.depth(k)
        slope: Floats = self.total * (shares * depth).sum(axis=-1) - depth @ self.fills
        return slope

    def moments(self, k: Floats | float) -> tuple[Floats, Floats]:
        """Return mean and variance of the depth under the shares: the pivot, and the information of one fill."""
        _, shares = self.shares(k)
        depth = self.shape.depth(k)
        mean = (shares * depth).sum(axis=-1, keepdims=True)
        variance: Floats = (shares * (depth - mean) ** 2).sum(axis=-1)
        return mean[..., 0], variance

    def penalised_log_likelihood(self, k: Floats | float) -> Floats:
        """Return the profile log-likelihood plus ln of the Jeffreys prior: half of ln of one fill's information."""
        value: Floats = self.log_likelihood(k) + np.log(np.maximum(self.moments(k)[1], TINY)) / 2
        return value

    def penalised_score(self, k: Floats | float) -> Floats:
        """Return the slope of `penalised_log_likelihood`; beyond the reach of floats, a slope back towards 0."""
        return self.score(k) + self.prior_slope(k)

    def prior_slope(self, k: Floats | float) -> Floats:
        """Return the slope of the prior's part of it."""
        _, shares = self.shares(k)
        depth = self.shape.depth(k)
        off = depth - (shares * depth).sum(axis=-1, keepdims=True)
        variance = (shares * off**2).sum(axis=-1)
        change = -(shares * off * (off**2 + 2 * self.shape.spread(k))).sum(axis=-1)
        away = -np.sign(np.reshape(k, np.shape(variance))) / 2
        slope: Floats = np.where(variance > TINY, change / np.maximum(2 * variance, TINY), away)
        return slope


def _mean_in_cell(z: Floats) -> Floats:
    """Return the mean of an exponential depth of rate z within [0, 1): 1/z - 1/(exp(z) - 1)."""
    series = 1 / 2 - z / 12 + z**3 / 720 - z**5 / 30240
    safe = np.clip(z, SMALL, LARGE)
    closed: Floats = np.where(z < LARGE, 1 / safe - 1 / np.expm1(safe), 1 / np.maximum(z, LARGE))
    return np.where(z < SMALL, series, closed)


def _variance_in_cell(z: Floats) -> Floats:
    """Return the variance of the same depth: 1/z² - 1/(2 sinh(z/2))²."""
    series = 1 / 12 - z**2 / 240 + z**4 / 6048 - z**6 / 172800
    safe = np.clip(z, SMALL, LARGE)
    closed: Floats = np.where(z < LARGE, safe**-2 - (2 * np.sinh(safe / 2)) ** -2, np.maximum(z, LARGE) ** -2.0)
    return np.where(z < SMALL, series, closed)
