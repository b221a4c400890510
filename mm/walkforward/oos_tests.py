"""Out-of-sample tests of parameters: log-likelihood, fills predicted at each distance, waiting times.

If sweeps that reach the best price at distance t arrive with the intensity A exp(-k t), the expected number of them
between consecutive ones is exponential with mean 1, for any price path (the time-rescaling theorem); so 1 - exp(-w) is
uniform, which is tested by the Kolmogorov-Smirnov statistic.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.metrics.arithmetic import Ends, ratio_interval
from mm.backtest.metrics.long_run import fill_intervals, stretch_intervals
from mm.base.arrays import Floats, Ints
from mm.calibration.fit_result import Line
from mm.calibration.points import Points, group, sum_by
from mm.calibration.reference import CLOSED, within
from mm.calibration.window_fits import reached
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from mm.calibration.depth_counts import DepthCounts

HOUR_BLOCKS = 12
RATIO = ("ratio", "ratio_low", "ratio_high")


def by_rates(points: Points, rates: Sequence[tuple[float, float]]) -> tuple[Floats, list[float]]:
    """Return the expected fills of each row for each A and k, and the Poisson log-likelihoods of the rows.

    Expected fills are exposure · A · exp(-k delta), for a cell minus that of its far edge: float64[r, n] for r rates
    and n rows. The likelihood includes the factorials of the counts.
    """
    from scipy.special import gammaln

    A, k = np.array(rates).reshape(-1, 2, 1).transpose(1, 0, 2)
    with np.errstate(divide="ignore"):
        log_rate = np.log(A) - k * points.delta_ticks + np.log(-np.expm1(-k * points.width_ticks))
    expected: Floats = points.exposure_s * np.exp(log_rate)
    hit = points.fills > 0
    fills, log_mean = points.fills[hit], np.log(points.exposure_s[hit]) + log_rate[:, hit]
    loglik = (fills * log_mean).sum(axis=1) - expected.sum(axis=1) - gammaln(fills + 1).sum()
    return expected, loglik.tolist()


def by_curve(points: Points, line: Line) -> tuple[float, float | None]:
    """Return the expected fills of all rows by a curve, and the log-likelihood; None if the curve excludes a fill."""
    from scipy.special import gammaln

    expected = points.exposure_s * reached(points, line)
    hit = points.fills > 0
    if not (expected[hit] > 0).all():
        return float(expected.sum()), None
    fills = points.fills[hit]
    return float(expected.sum()), float((fills * np.log(expected[hit]) - gammaln(fills + 1)).sum() - expected.sum())


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


@dataclass(frozen=True)
class Waits:
    """The hits of one side in one span, in the model's time.

    Attributes:
        between: Expected hits from the start of the span to its first hit, and from each hit to the next.
        after: Expected hits from the last hit to the end of the span.
    """

    between: Floats
    after: float


def waits(marks: "DepthCounts", side: int, window: Sequence[int], rates: tuple[float, float]) -> Waits:
    """Return the waiting times of the sweeps that hit the best price of *side* or beyond.

    Args:
        marks: Depth counts of the day.
        side: +1 for bids, -1 for asks.
        window: Start and end, µs.
        rates: A in 1/s and k in 1/tick.
    """
    start_us, end_us = within(marks.span, *window)
    path, (A, k), last = marks.path, rates, marks.grid.last
    hits, touch = marks.hits(side, start_us, end_us)
    edges, rows, _ = path.segments(start_us, end_us)
    stood = path.touch[side][rows]
    rate = np.where((stood != CLOSED) & (stood <= last), A / US_PER_S * np.exp(-k / path.per_tick * stood), 0.0)
    reached = np.append(0.0, (rate * np.diff(edges)).cumsum())
    expected = np.interp(hits.us[touch <= last], edges, reached)  # from the start of the span to each hit
    return Waits(np.diff(expected, prepend=0.0), float(reached[-1] - expected[-1:].sum()))


def linked(stretches: Iterable[Waits | None]) -> Floats:
    """Return the waiting times of consecutive spans; no wait continues across None, a span without a model."""
    found, waited = [np.empty(0)], 0.0
    for stretch in stretches:
        if stretch is None:
            waited = 0.0
            continue
        between = stretch.between.copy()
        if between.size:
            between[0] += waited
            waited = 0.0
        found.append(between)
        waited += stretch.after
    return np.concatenate(found)


@dataclass(frozen=True)
class Tested:
    """One segment with tests on its own data, which none of its fits has used.

    Attributes:
        points: Observed rows, as counted by the fits.
        expected: Predicted fills of each row by the segment's parameters; None if it has none.
        predicted: By mode, total predicted fills; None if the mode had no parameters yet.
        loglik: By mode, the Poisson log-likelihood of the rows.
        waits: By side, waiting times in the segment's time, for each of its days; None without parameters, and with
            parameters of simulated orders.
        spent_s: Order-seconds of the distance that was exposed longest.
        captured: By mode, and under ``curve`` for the segment's curve, what `Captured.by` says of its parameters.
        curve: For the segment's curve, if its shape is not exponential: total predicted fills, and the log-likelihood
            of the rows, None if the curve excludes a fill.
    """

    points: Points
    expected: Floats | None
    predicted: dict[str, float | None]
    loglik: dict[str, float | None]
    waits: dict[int, tuple[Waits, ...] | None]
    curve: tuple[float, float | None] | None = None
    spent_s: float = 0.0
    captured: dict[str, float | None] = field(default_factory=dict)

    @cached_property
    def fills(self) -> float:
        """All observed fills."""
        return float(self.points.fills.sum())
