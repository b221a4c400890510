"""The likelihood of A and k, with A profiled out: a function of k alone.

A row has ``fills ~ Poisson(exposure · A · g(k))``. An order resting at distance d is reached by
``g = exp(-k d)``; a cell ``[d, d + w)`` of the depth of aggressive orders has
``g = exp(-k d) - exp(-k (d + w))``. Given their sum, the fills are multinomial with shares
``p ∝ exposure · g(k)``; that multinomial is the profile likelihood. Its derivative in k
is ``n · (mean of the depth under p - mean of the depth of the fills)``: for plain rows the first decreases in k and the
second is constant, so there is at most one root.

Distances in a `Table` are shifted and scaled so that its nearest row is at 0 and its farthest at 1.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from mm.calibration._row_sums import scaled_rows, sums_by_row
from mm.calibration._rows import LEAST_K, At, Rows
from mm.calibration.points import NO_BLOCK, Floats, Ints, Points, distinct, group, grouped, sum_by

if TYPE_CHECKING:
    from mm.calibration.estimators import Estimate


LARGE = 700.0  # exp(LARGE) is still finite


@dataclass(frozen=True)
class Shape:
    """Distances of rows, without counts: g(k) of every row, and its derivative.

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
        span: Distance from the nearest to the farthest row, in ticks; 0 for a single distance.
        shape: Scaled distances of the rows: (delta - near) / span.
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
        """Return the table of raw rows: rows of equal distance and width are summed, those without exposure omitted."""
        first, groups = group(delta, width)
        count = len(first)
        return cls.of_sums(delta[first], width[first], sum_by(groups, exposure_s, count), sum_by(groups, fills, count))

    @classmethod
    def of_points(cls, points: Points) -> Self:
        """Return the table of points; those of equal distance and width are summed."""
        first, row = grouped(points)
        sums = sums_by_row(row, points.exposure_s, points.fills, len(first))
        return cls.of_sums(points.delta_ticks[first], points.width_ticks[first], *sums)

    @classmethod
    def of_sums(cls, delta: Floats, width: Floats, exposure_s: Floats, fills: Floats) -> Self:
        """Return the table of rows that are already distinct and ascending; those without exposure are omitted."""
        near, span, delta, width, exposure_s, fills, total, cells = scaled_rows(delta, width, exposure_s, fills)
        return cls(near, span, Shape(delta, width), exposure_s, fills, total, cells)

    @cached_property
    def log_exposure(self) -> Floats:
        """Ln of the exposure."""
        return np.log(self.exposure_s)

    @cached_property
    def rows(self) -> Rows:
        """The rows as input of the kernel."""
        return Rows(self.shape.delta, self.shape.width, self.log_exposure, self.fills)

    @property
    def far(self) -> float:
        """Distance of the farthest row, in ticks."""
        return self.near + self.span

    @property
    def least_k(self) -> float:
        """The smallest allowed k, in units of the span."""
        return LEAST_K if self.cells else -np.inf

    def at(self, k: float) -> At:
        """Return likelihood and moments at *k*, in units of the span."""
        return self.rows.at(k)


@dataclass(frozen=True)
class Sample:
    """Points with exposure, each with its row index; points of equal distance and width form one row.

    Attributes:
        points: All with exposure.
        shape: Distances of the rows, in ticks, ascending.
        row: Row index of each point.
    """

    points: Points
    shape: Shape
    row: Ints

    @classmethod
    def of(cls, points: Points, max_delta_ticks: float = np.inf) -> Self:
        """Return the sample of *points*; those without exposure or farther than a limit are left out."""
        kept = (points.exposure_s > 0) & (points.delta_ticks <= max_delta_ticks)
        points = points if kept.all() else points.where(kept)
        first, row = grouped(points)
        return cls(points, Shape(points.delta_ticks[first], points.width_ticks[first]), row)

    @property
    def deltas(self) -> int:
        """Number of distinct distances."""
        delta = self.shape.delta
        return int((delta[1:] != delta[:-1]).sum()) + 1 if delta.size else 0

    def waited(self, least_s: float) -> Self:
        """Return the sample without the rows whose exposure is below *least_s* seconds."""
        long_enough = self.sums[0] >= least_s
        return self if long_enough.all() else type(self).of(self.points.where(long_enough[self.row]))

    def table(self, side: int | None = None) -> Table:
        """Return the sums by row of all points, or of the points of one side."""
        points, row, count = self.points, self.row, len(self.shape.delta)
        if side is None:
            exposure, fills = self.sums
        else:
            mine = points.side == side
            exposure = sum_by(row[mine], points.exposure_s[mine], count)
            fills = sum_by(row[mine], points.fills[mine], count)
        return Table.of_sums(self.shape.delta, self.shape.width, exposure, fills)

    @cached_property
    def sums(self) -> tuple[Floats, Floats]:
        """Exposure and fills of each row."""
        return sums_by_row(self.row, self.points.exposure_s, self.points.fills, len(self.shape.delta))

    @cached_property
    def _blocks(self) -> tuple[Ints, Ints]:
        """The distinct blocks, and the block index of each point."""
        if self.points.blocks is not None:
            return self.points.blocks
        blocks, block = distinct(self.points.block - NO_BLOCK)
        return blocks + NO_BLOCK, block

    @property
    def block(self) -> Ints:
        """Block index of each point, from 0."""
        return self._blocks[1]

    @property
    def n_blocks(self) -> int:
        """Number of blocks; 0 if some point has none."""
        blocks = self._blocks[0]
        return 0 if len(blocks) and blocks[0] == NO_BLOCK else len(blocks)

    def by_block(self, values: Floats) -> Floats:
        """Return the sums of *values*, one per point, over each block."""
        blocks, block = self._blocks
        return sum_by(block, values, len(blocks))

    def expected(self, estimate: "Estimate") -> Floats:
        """Return the expected fills of each point under *estimate*."""
        expected: Floats = self.points.exposure_s * self.rates(estimate)[self.row]
        return expected

    def rates(self, estimate: "Estimate") -> Floats:
        """Return the expected fills per second of each row under *estimate*."""
        rates: Floats = np.exp(np.minimum(estimate.logA + self.shape.log_gain(estimate.k), LARGE))
        return rates
