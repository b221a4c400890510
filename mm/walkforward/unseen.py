"""How parameters do on data that they have not seen: log-likelihood, fills predicted at each distance, waiting times.

If sweeps that reach the best price at distance t come with the intensity A exp(-k t), the expected number of them
between one and the next is exponential of mean 1, whatever the price does (the time-rescaling theorem); so 1 - exp(-w)
is uniform, which the Kolmogorov-Smirnov test tests.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.metrics.arithmetic import ratio_interval
from mm.calibration._cells import hit_clock
from mm.calibration.fit_result import Line
from mm.calibration.points import Floats, Points, group, sum_by
from mm.calibration.reference import within
from mm.calibration.window_fits import reached
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from mm.calibration.depth_counts import DepthCounts


def predicted(points: Points, A: float, k: float) -> Floats:
    """Return the expected fills of each row: exposure · A · exp(-k delta), of a cell less that of its far edge."""
    expected: Floats = points.exposure_s * np.exp(_log_rate(points, A, k))
    return expected


def by_rates(points: Points, rates: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return for each A and k the expected fills of all rows, and the Poisson log-likelihood of the rows.

    The latter with the factorials of their counts.
    """
    from mm.calibration.special import gammaln

    A, k = np.array(rates).reshape(-1, 2, 1).transpose(1, 0, 2)
    log_rate = _log_rate(points, A, k)
    total = (points.exposure_s * np.exp(log_rate)).sum(axis=1)
    hit = points.fills > 0
    fills, log_mean = points.fills[hit], np.log(points.exposure_s[hit]) + log_rate[:, hit]
    return total.tolist(), ((fills * log_mean).sum(axis=1) - total - gammaln(fills + 1).sum()).tolist()


def by_curve(points: Points, line: Line) -> tuple[float, float | None]:
    """Return the expected fills of all rows by a curve, and the log-likelihood; None where it rules a fill out."""
    from mm.calibration.special import gammaln

    expected = points.exposure_s * reached(points, line)
    hit = points.fills > 0
    if not (expected[hit] > 0).all():
        return float(expected.sum()), None
    fills = points.fills[hit]
    return float(expected.sum()), float((fills * np.log(expected[hit]) - gammaln(fills + 1)).sum() - expected.sum())


def _log_rate(points: Points, A: float | Floats, k: float | Floats) -> Floats:
    with np.errstate(divide="ignore"):
        rate: Floats = np.log(A) - k * points.delta_ticks + np.log(-np.expm1(-k * points.width_ticks))
    return rate


def realised(parts: Sequence[tuple[Points, Floats]]) -> list[dict[str, float | None]]:
    """Return the fills seen and predicted at each distance, over both sides and all parts of (points, expected).

    ``delta_ticks`` is the distance or the near edge of a cell, ``width_ticks`` the width of the cell (None for resting
    orders and for the open cell); ``ratio`` is seen over predicted, None where nothing was, with its 95 % interval,
    were the count a Poisson count.
    """
    if not parts:
        return []
    delta, width, exposure, fills, *_ = map(np.concatenate, zip(*(points.columns for points, _ in parts), strict=True))
    first, into = group(delta, width)
    expected = np.concatenate([part[1] for part in parts])
    sums = (sum_by(into, column, len(first)).tolist() for column in (exposure, fills, expected))
    rows = []
    for at, wide, spent, seen, mean in zip(delta[first].tolist(), width[first].tolist(), *sums, strict=True):
        ratio = dict(zip(("ratio", "ratio_low", "ratio_high"), ratio_interval(seen, mean), strict=True))
        cell = {"delta_ticks": at, "width_ticks": wide if math.isfinite(wide) else None}
        rows.append({**cell, "exposure_s": spent, "fills": seen, "expected": mean, **ratio})
    return rows


@dataclass(frozen=True)
class Waits:
    """The hits of one side in one stretch, on the model's clock.

    Attributes:
        between: Expected hits from the begin of the stretch to its first hit, and from each to the next.
        after: Expected hits from the last one to the end of the stretch.
    """

    between: Floats
    after: float


def waits(marks: "DepthCounts", side: int, window: Sequence[int], rates: tuple[float, float]) -> Waits:
    """Return the waiting times of the sweeps that hit the best price of *side* or beyond.

    Args:
        marks: Of the day.
        side: +1 for bids, -1 for asks.
        window: Start and end, µs.
        rates: A in 1/s and k in 1/tick.
    """
    start_us, end_us = within(marks.span, *window)
    path, (A, k) = marks.path, rates
    first = int(path.us.searchsorted(start_us, side="right")) - 1
    rows = slice(first, max(int(path.us.searchsorted(end_us)), first + 1))
    hits, met = marks.hits(side, start_us, end_us)
    at, clock = hit_clock(
        (path.us[rows], path.touch[side][rows]),
        (start_us, end_us),
        (A / US_PER_S, k / path.per_tick),
        marks.grid.last,
        hits.us[met <= marks.grid.last],
    )
    return Waits(np.diff(at, prepend=0.0), clock - (float(at[-1]) if at.size else 0.0))


def linked(stretches: Iterable[Waits | None]) -> Floats:
    """Return the waiting times of consecutive stretches; no wait goes on over None, a stretch without a model."""
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
    """One segment on its own data, which no fit for it had seen.

    Attributes:
        points: Seen, as the fits count them.
        expected: Predicted fills of each row by the segment's parameters; None where it has none.
        predicted: By mode, all fills that it predicted; None where the mode had no parameters yet.
        loglik: By mode, the Poisson log-likelihood of the rows.
        waits: By side, waiting times on the segment's clock, of one day after the other; None without parameters, and
            with those of simulated orders.
        curve: By the segment's curve, where its shape is another than the exponential: all fills that it predicted, and
            the log-likelihood of the rows, None where the curve rules a fill out.
    """

    points: Points
    expected: Floats | None
    predicted: dict[str, float | None]
    loglik: dict[str, float | None]
    waits: dict[int, tuple[Waits, ...] | None]
    curve: tuple[float, float | None] | None = None
