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

from mm.calibration._rows import At, Rows
from mm.calibration.points import Floats, group, sum_by

LARGE = 700.0  # exp(LARGE) is still finite
LEAST_K = 1e-6  # cells only: below this, over the whole span, k is 0 to any data


@dataclass(frozen=True)
class Shape:
    """Where rows lie, without counts: g(k) of every row, and its slope.

    Attributes:
        delta: Distance of a row, or the near edge of its cell.
        width: Width of its cell; inf for an order resting at delta.
    """

    delta: Floats
    width: Floats

    @cached_property
    def closed(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """The rows that are cells of finite width; with any of them, k must be positive."""
        return np.isfinite(self.width)

    def log_gain(self, k: float) -> Floats:
        """Return ln g(k)."""
        gain: Floats = -k * self.delta
        if self.closed.any():
            gain[self.closed] += np.log(-np.expm1(-k * self.width[self.closed]))
        return gain

    def steepness(self, k: float) -> Floats:
        """Return -d ln g / dk: for a plain row, its delta."""
        if not self.closed.any():
            return self.delta
        steep = self.delta.copy()
        width = self.width[self.closed]
        steep[self.closed] -= width / np.expm1(k * width)
        return steep


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
        cells: Whether any row is a cell of finite width; k must be positive then.
    """

    near: float
    span: float
    shape: Shape
    exposure_s: Floats
    fills: Floats
    total: float
    cells: bool

    @classmethod
    def of(cls, delta: Floats, width: Floats, exposure_s: Floats, fills: Floats) -> Self:
        """Return the table of raw rows: rows of equal distance and width are summed, unexposed ones left out."""
        first, groups = group(delta, width)
        count = len(first)
        return cls.of_sums(delta[first], width[first], sum_by(groups, exposure_s, count), sum_by(groups, fills, count))

    @classmethod
    def of_sums(cls, delta: Floats, width: Floats, exposure_s: Floats, fills: Floats) -> Self:
        """Return the table of rows that are distinct already, in ascending order; unexposed ones are left out."""
        seen = exposure_s > 0
        if not seen.all():
            delta, width, exposure_s, fills = delta[seen], width[seen], exposure_s[seen], fills[seen]
        near, far = (float(delta[0]), float(delta[-1])) if delta.size else (0.0, 0.0)
        unit = (far - near) or 1.0
        shape = Shape((delta - near) / unit, width / unit)
        return cls(near, far - near, shape, exposure_s, fills, float(fills.sum()), bool(shape.closed.any()))

    @cached_property
    def log_exposure(self) -> Floats:
        """Ln of the exposure."""
        return np.log(self.exposure_s)

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self.shape.delta, self.shape.width, self.log_exposure, self.fills)

    @cached_property
    def narrowest(self) -> float:
        """Width of the narrowest cell."""
        return float(self.shape.width.min())

    @cached_property
    def wider(self) -> list[tuple[float, float]]:
        """The widths of the other cells that hold fills, and the share of all fills in each."""
        wider = (self.shape.width > self.narrowest) & (self.fills > 0)
        share: dict[float, float] = {}
        for width, fills in zip(self.shape.width[wider].tolist(), self.fills[wider].tolist(), strict=True):
            share[width] = share.get(width, 0.0) + fills / self.total
        return list(share.items())

    @property
    def far(self) -> float:
        """Distance of the farthest row, in ticks."""
        return self.near + self.span

    @property
    def least_k(self) -> float:
        """The least k, in units of the span, that the rows allow."""
        return LEAST_K if self.cells else -np.inf

    def at(self, k: float) -> At:
        """Return what the rows say of *k*, in units of the span."""
        return self._rows.at(k)
