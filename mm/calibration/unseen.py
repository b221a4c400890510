"""How parameters do on data that they have not seen: log-likelihood, and fills foreseen at each distance."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.metrics.arithmetic import ratio_interval
from mm.calibration.points import group, sum_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mm.calibration.points import Floats, Points


def foreseen(points: "Points", A: float, k: float) -> "Floats":
    """Return the expected fills of each row: exposure · A · exp(-k delta), of a cell less that of its far edge."""
    expected: Floats = points.exposure_s * np.exp(_log_rate(points, A, k))
    return expected


def log_likelihood(points: "Points", A: float, k: float) -> float:
    """Return the Poisson log-likelihood of the rows, with the factorials of their counts."""
    from scipy.special import gammaln

    hit = points.fills > 0
    log_mean = np.log(points.exposure_s[hit]) + _log_rate(points, A, k)[hit]
    fills = points.fills[hit]
    return float((fills * log_mean).sum() - foreseen(points, A, k).sum() - gammaln(fills + 1).sum())


def _log_rate(points: "Points", A: float, k: float) -> "Floats":
    with np.errstate(divide="ignore"):
        rate: Floats = np.log(A) - k * points.delta_ticks + np.log(-np.expm1(-k * points.width_ticks))
    return rate


@dataclass(frozen=True, slots=True)
class Realised:
    """Fills seen and foreseen at one distance.

    Attributes:
        delta_ticks: Distance, or the near edge of a cell.
        width_ticks: Of the cell; None for resting orders, and for the open cell.
        exposure_s: Order-seconds.
        fills: Seen.
        expected: Foreseen.
        ratio: Seen over foreseen; None where nothing was.
        ratio_low, ratio_high: Its 95 % interval, were the count a Poisson count.
    """

    delta_ticks: float
    width_ticks: float | None
    exposure_s: float
    fills: float
    expected: float
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None


def realised(parts: "Sequence[tuple[Points, Floats]]") -> list[Realised]:
    """Return seen and foreseen fills by distance, over both sides and all parts of (points, expected)."""
    if not parts:
        return []
    columns = ("delta_ticks", "width_ticks", "exposure_s", "fills")
    delta, width, exposure, fills = (np.concatenate([getattr(points, name) for points, _ in parts]) for name in columns)
    first, into = group(delta, width)
    sums = (
        sum_by(into, column, len(first)) for column in (exposure, fills, np.concatenate([part[1] for part in parts]))
    )
    rows = zip(delta[first].tolist(), width[first].tolist(), *(column.tolist() for column in sums), strict=True)
    return [
        Realised(at, wide if np.isfinite(wide) else None, spent, seen, mean, *ratio_interval(seen, mean))
        for at, wide, spent, seen, mean in rows
    ]
