"""The points of one fit, and the rows that they are summed to."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from mm.calibration.likelihood import LARGE, Shape, Table
from mm.calibration.points import NO_BLOCK, Floats, Ints, Points, distinct, group, sum_by

if TYPE_CHECKING:
    from mm.calibration.estimators import Estimate


@dataclass(frozen=True)
class Sample:
    """Exposed points, each with its row; the points of one distance and width are one row.

    Attributes:
        points: All with exposure.
        shape: Where the rows lie, in ticks and in ascending order.
        row: Of each point, the number of its row.
    """

    points: Points
    shape: Shape
    row: Ints

    @classmethod
    def of(cls, points: Points, max_delta_ticks: float = np.inf) -> Self:
        """Return the sample of *points*; those without exposure or farther than a limit are left out."""
        kept = (points.exposure_s > 0) & (points.delta_ticks <= max_delta_ticks)
        points = points if kept.all() else points.where(kept)
        first, row = group(points.delta_ticks, points.width_ticks)
        return cls(points, Shape(points.delta_ticks[first], points.width_ticks[first]), row)

    @property
    def deltas(self) -> int:
        """How many distances there are."""
        delta = self.shape.delta
        return int((delta[1:] != delta[:-1]).sum()) + 1 if delta.size else 0

    def waited(self, least_s: float) -> Self:
        """Return the sample without the rows of less than *least_s* seconds."""
        long_enough = sum_by(self.row, self.points.exposure_s, len(self.shape.delta)) >= least_s
        return self if long_enough.all() else type(self).of(self.points.where(long_enough[self.row]))

    def table(self, side: int | None = None) -> Table:
        """Return the sums of the rows, of all points or of one side's."""
        points, row, count = self.points, self.row, len(self.shape.delta)
        if side is None:
            exposure, fills = sum_by(row, points.exposure_s, count), sum_by(row, points.fills, count)
        else:
            mine = points.side == side
            exposure = sum_by(row[mine], points.exposure_s[mine], count)
            fills = sum_by(row[mine], points.fills[mine], count)
        return Table.of_sums(self.shape.delta, self.shape.width, exposure, fills)

    @cached_property
    def _blocks(self) -> tuple[Ints, Ints]:
        """The distinct blocks, and of each point the number of its own."""
        blocks, block = distinct(self.points.block - NO_BLOCK)
        return blocks + NO_BLOCK, block

    @property
    def block(self) -> Ints:
        """Of each point, the number of its block from 0."""
        return self._blocks[1]

    @property
    def n_blocks(self) -> int:
        """How many blocks there are; 0 if some point belongs to none."""
        blocks = self._blocks[0]
        return 0 if len(blocks) and blocks[0] == NO_BLOCK else len(blocks)

    def by_block(self, values: Floats) -> Floats:
        """Return the sums of *values*, one a point, over each block."""
        blocks, block = self._blocks
        return sum_by(block, values, len(blocks))

    def expected(self, estimate: "Estimate") -> Floats:
        """Return the fills that *estimate* expects of each point."""
        rate = np.exp(np.minimum(estimate.logA + self.shape.log_gain(estimate.k), LARGE))
        expected: Floats = self.points.exposure_s * rate[self.row]
        return expected

    @cached_property
    def cells(self) -> tuple[Ints, Ints]:
        """Of each cell of block, side and row, in this order, its stretch; and of each point its cell.

        A stretch is one block and side; cells of one stretch follow each other in distance.
        """
        rows = len(self.shape.delta)
        code = (self._blocks[1] * 3 + self.points.side + 1) * rows + self.row
        codes, cell = distinct(code)
        return codes // max(rows, 1), cell
