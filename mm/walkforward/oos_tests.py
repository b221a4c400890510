"""Segments tested on their own data, which none of their fits has used: log-likelihood, and fills at each distance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np

from mm.backtest.metrics.arithmetic import Ends, ratio_interval
from mm.backtest.metrics.long_run import fill_intervals, stretch_intervals
from mm.base.arrays import Floats, Ints
from mm.calibration.points import Points, group, sum_by

HOUR_BLOCKS = 12
RATIO = ("ratio", "ratio_low", "ratio_high")


@dataclass(frozen=True)
class Tested:
    """One segment with the test of its parameters on its own data.

    Attributes:
        points: Observed rows, as counted by the fits.
        expected: Predicted fills of each row, float64[n]; None without parameters.
        loglik: The Poisson log-likelihood of the rows; None without parameters.
    """

    points: Points
    expected: Floats | None = None
    loglik: float | None = None

    @classmethod
    def of(cls, points: Points, rates: tuple[float, float] | None) -> Self:
        """Return the test of A (1/s) and k (1/tick) on *points*; None for a segment without parameters.

        Expected fills are exposure · A · exp(-k delta), for a cell minus that of its far edge. The likelihood includes
        the factorials of the counts.
        """
        from mm.base.special import gammaln

        if rates is None:
            return cls(points)
        A, k = rates
        log_rate = np.log(A) - k * points.delta_ticks + np.log(-np.expm1(-k * points.width_ticks))
        expected: Floats = points.exposure_s * np.exp(log_rate)
        hit = points.fills > 0
        fills, log_mean = points.fills[hit], np.log(points.exposure_s[hit]) + log_rate[hit]
        loglik = (fills * log_mean).sum() - expected.sum() - gammaln(fills + 1).sum()
        return cls(points, expected, float(loglik))

    @cached_property
    def fills(self) -> float:
        """All observed fills."""
        return float(self.points.fills.sum())

    @cached_property
    def predicted(self) -> float | None:
        """All predicted fills; None without parameters."""
        return None if self.expected is None else float(self.expected.sum())


@dataclass(frozen=True)
class SegmentBlocks:
    """The rows of several spans, by blocks of five minutes that are numbered across spans.

    Attributes:
        points: All rows.
        expected: Predicted fills of each row.
        block: The block of each row, over all spans; a span whose rows have no blocks is one block.
        stretch: The span number of each block.
    """

    points: Points
    expected: Floats
    block: Ints
    stretch: Ints

    @classmethod
    def of(cls, parts: Sequence[tuple[Points, Floats]]) -> "SegmentBlocks":
        """Return the blocks of one or more parts of (points, expected), in order of time."""
        own = [np.maximum(points.block, 0) for points, _ in parts]
        counts = [int(block.max()) + 1 if len(block) else 1 for block in own]
        first = np.cumsum([0, *counts[:-1]])
        return cls(
            Points(*map(np.concatenate, zip(*(points.columns for points, _ in parts), strict=True))),
            np.concatenate([expected for _, expected in parts]),
            np.concatenate([block + begin for block, begin in zip(own, first.tolist(), strict=True)]),
            np.repeat(np.arange(len(parts)), counts),
        )

    def rows(self, into: Ints, count: int) -> list[dict[str, float | None]]:
        """Return exposure, fills, expected fills and their ratio, of each of *count* groups.

        ``ratio`` is observed over predicted, None without predictions, with a 95 % interval that is valid for bursts of
        fills (`fill_intervals`); its ends are None with fewer than two blocks.

        Args:
            into: The group of each row.
            count: Number of groups.
        """
        ends = fill_intervals(*(self._summed(into, column, count) for column in (self.points.fills, self.expected)))
        sums = (
            sum_by(into, column, count).tolist()
            for column in (self.points.exposure_s, self.points.fills, self.expected)
        )
        return [
            {"exposure_s": spent, "fills": seen, "expected": mean, **ratio_of(seen, mean, interval)}
            for spent, seen, mean, interval in zip(*sums, ends, strict=True)
        ]

    def stretches(self) -> list[Ends]:
        """Return the 95 % interval of the mean of the fills of each span, as in `stretch_intervals`."""
        whole = np.zeros(len(self.block), np.int64)
        fills, expected = (self._summed(whole, column, 1)[:, 0] for column in (self.points.fills, self.expected))
        return stretch_intervals(fills, expected, self.stretch, np.arange(len(fills)) // HOUR_BLOCKS)

    def _summed(self, into: Ints, column: Floats, count: int) -> Floats:
        """Return the sums of a column, float64[blocks, groups]."""
        blocks = len(self.stretch)
        found: Floats = sum_by(self.block * count + into, column, blocks * count).reshape(blocks, count)
        return found


def ratio_of(fills: float, expected: float, ends: Ends) -> dict[str, float | None]:
    """Return fills over expected fills with the interval of the mean of the fills, by name."""
    return dict(zip(RATIO, ratio_interval(fills, expected, ends), strict=True))


def realised(parts: Sequence[tuple[Points, Floats]]) -> list[dict[str, float | None]]:
    """Return the observed and predicted fills at each distance, over both sides and all parts of (points, expected).

    ``delta_ticks`` is the distance or the near edge of a cell, ``width_ticks`` the width of the cell (None for resting
    orders and for the open cell); the rest is as in `SegmentBlocks.rows`.
    """
    if not parts:
        return []
    blocks = SegmentBlocks.of(parts)
    first, into = group(blocks.points.delta_ticks, blocks.points.width_ticks)
    delta, width = (column[first].tolist() for column in (blocks.points.delta_ticks, blocks.points.width_ticks))
    return [
        {"delta_ticks": at, "width_ticks": wide if math.isfinite(wide) else None, **row}
        for at, wide, row in zip(delta, width, blocks.rows(into, len(first)), strict=True)
    ]


def by_band(parts: Sequence[tuple[Points, Floats]], edges: Sequence[float]) -> list[dict[str, float | None]]:
    """Return the same for bands of distance in ticks between *edges*, from 0 on and beyond the last one.

    A band has ``from_ticks`` and ``to_ticks`` (excluded; None for the last band); bands without rows are left out.
    """
    if not parts:
        return []
    blocks = SegmentBlocks.of(parts)
    into = np.searchsorted(edges, blocks.points.delta_ticks, side="right")
    rows = blocks.rows(into, len(edges) + 1)
    ends = pairwise((0.0, *edges, None))
    counts = np.bincount(into, minlength=len(rows)).tolist()
    return [
        {"from_ticks": near, "to_ticks": far, **row}
        for (near, far), row, count in zip(ends, rows, counts, strict=True)
        if count
    ]
