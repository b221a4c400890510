"""Gains in likelihood as money: the spread that orders at the best distance of each set of parameters captured."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from mm.calibration.points import Floats, Points, sum_by

PNL_GAIN = ("pnl_gain", "se_pnl_gain")
S_PER_H = 3600


@dataclass(frozen=True)
class Captured:
    """Spread that an order at each measured distance captured: its distance from the mid times its fills.

    The value of a gain in likelihood is what its better parameters would have earned: each set of them has a distance
    at which it expects most, and the fills that came there are known. Fees and adverse selection are not deducted.

    Attributes:
        delta_ticks: Distances from the reference price.
        mid_ticks: The same distances from the mid.
        per_s: Spread captured per order and second, in ticks; NaN for a distance that was not exposed.
        spent_s: Order-seconds of the distance that was exposed longest.
    """

    delta_ticks: Floats
    mid_ticks: Floats
    per_s: Floats
    spent_s: float

    @classmethod
    def of(cls, points: Points, offset_ticks: float = 0.0) -> Self:
        """Return what orders captured at the distances of `Points.groups`; the arguments are those of `of_sums`."""
        first, into = points.groups
        exposure_s, fills = (sum_by(into, column, len(first)) for column in (points.exposure_s, points.fills))
        return cls.of_sums(points.delta_ticks[first], points.width_ticks[first], exposure_s, fills, offset_ticks)

    @classmethod
    def of_sums(
        cls, delta_ticks: Floats, width_ticks: Floats, exposure_s: Floats, fills: Floats, offset_ticks: float = 0.0
    ) -> Self:
        """Return what orders captured at distinct, ascending distances.

        Args:
            delta_ticks, width_ticks, exposure_s, fills: As in `Points`.
            offset_ticks: Distance of the mid beyond the reference price, in ticks.
        """
        if np.isfinite(width_ticks).any():  # orders that reached a cell also filled those nearer
            fills = fills[::-1].cumsum()[::-1]
        mid = delta_ticks + offset_ticks
        exposed = exposure_s > 0
        per_s = np.full(len(mid), np.nan)
        per_s[exposed] = mid[exposed] * fills[exposed] / exposure_s[exposed]
        return cls(delta_ticks, mid, per_s, float(exposure_s.max(initial=0.0)))

    def by(self, rate_per_s: Floats) -> float | None:
        """Return what the exposed distance captured that is best by these rates; None if nothing was exposed."""
        if not self.spent_s:
            return None
        expected = np.where(np.isnan(self.per_s), -np.inf, self.mid_ticks * rate_per_s)
        return float(self.per_s[np.argmax(expected)])


def mean_gain(weights: Floats, gains: Floats) -> tuple[float | None, float | None]:
    """Return the gain of spans of time per fill, or other weight, and its standard error, None for one span."""
    total, count = float(weights.sum()), len(weights)
    if not total:
        return None, None
    mean = float(gains.sum()) / total
    left = float(((gains - mean * weights) ** 2).sum())
    return mean, float(np.sqrt(count / (count - 1) * left)) / total if count > 1 else None


def pnl_gain(
    spans: Iterable[tuple[float, float | None, float | None]], tick_size: float | None
) -> dict[str, float | None]:
    """Return the spread captured beyond that of other parameters, in the quote asset per hour, and its error.

    It is of one unit of the base asset that is quoted on both sides all the time.

    Args:
        spans: Order-seconds of each span, and what `Captured.by` says of both parameters.
        tick_size: Price step, in the quote asset; None if unknown.
    """
    rows = [(spent, (own - other) * spent) for spent, own, other in spans if own is not None and other is not None]
    gains = mean_gain(*np.array(rows).T) if rows and tick_size else (None, None)
    worth = 2 * S_PER_H * (tick_size or 0.0)  # two orders
    return dict(zip(PNL_GAIN, (None if gain is None else gain * worth for gain in gains), strict=True))
