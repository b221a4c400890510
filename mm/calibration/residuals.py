"""A fit beside what it was made of: at each distance the fills that were seen, and those that it expects."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mm.calibration.likelihood import LARGE, Shape
from mm.calibration.points import Floats, Points, group, sum_by
from mm.page.numbers import MINUS

if TYPE_CHECKING:
    from mm.calibration.fit_result import PoissonFit

LEAST_EXPECTED = 0.5  # fills; the table ends where fewer are expected and none was seen


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """Rows of one distance each, nearest first.

    Attributes:
        delta_ticks: Distance from the reference price, in ticks; of a cell, its near edge.
        width_ticks: Of the cell; inf for resting orders.
        exposure_s: Order-seconds.
        fills: Seen.
        expected: By the fit; NaN where there is none.
    """

    delta_ticks: Floats
    width_ticks: Floats
    exposure_s: Floats
    fills: Floats
    expected: Floats

    @property
    def standardised(self) -> Floats:
        """Return the deviance residual of each row: about standard normal under the fit, signed as seen - expected.

        Their squares sum to the deviance (McCullagh and Nelder 1989, 2.4.3). One fill where next to none is expected
        stands out by a few units, and not by thousands as in Pearson's residual.
        """
        from scipy.special import xlogy

        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(self.fills > 0, xlogy(self.fills, self.fills / self.expected), 0.0)
        return np.sign(self.fills - self.expected) * np.sqrt(np.maximum(2 * (logs - self.fills + self.expected), 0.0))

    def rates(self) -> tuple[Floats, Floats, Floats]:
        """Return fills a second of each row, and the ends of its exact 95 % Poisson interval (Garwood 1936)."""
        from scipy.special import gammaincinv

        low = np.where(self.fills > 0, gammaincinv(np.maximum(self.fills, 1e-12), 0.025), 0.0)
        high = gammaincinv(self.fills + 1, 0.975)
        return self.fills / self.exposure_s, low / self.exposure_s, high / self.exposure_s


def residuals(points: Points, A: float | None, k: float | None, side: int = 0) -> Residuals:
    """Return the rows of *points*, those of equal distance summed, beside λ(δ) = A exp(-k δ).

    Args:
        points: What was measured; rows without exposure are left out.
        A: Intensity at distance 0, in 1/s; None without a fit.
        k: Decay, in 1/tick; None without a fit.
        side: +1 or -1 for one side's rows alone, 0 for all.
    """
    seen = points.where((points.exposure_s > 0) & ((points.side == side) if side else True))
    first, groups = group(seen.delta_ticks, seen.width_ticks)
    delta, width = seen.delta_ticks[first], seen.width_ticks[first]
    exposure = sum_by(groups, seen.exposure_s, len(first))
    expected = np.full(len(first), np.nan)
    if A is not None and k is not None:
        expected = exposure * np.exp(np.minimum(np.log(A) + Shape(delta, width).log_gain(k), LARGE))
    return Residuals(delta, width, exposure, sum_by(groups, seen.fills, len(first)), expected)


def table(points: Points, fit: "PoissonFit", most: int = 20) -> str:
    """Return the rows as a table for the terminal, the farthest beyond *most* only counted."""
    rows = residuals(points, fit.A, fit.k)
    telling = np.flatnonzero((rows.fills > 0) | (rows.expected >= LEAST_EXPECTED))
    shown = slice(min(most, telling[-1] + 1 if len(telling) else most))
    lines = [f"{'delta':>7}{'exposure s':>14}{'fills':>10}{'fitted':>12}{'residual':>10}"]
    for delta, exposure, fills, expected, z in zip(
        *(
            column[shown]
            for column in (rows.delta_ticks, rows.exposure_s, rows.fills, rows.expected, rows.standardised)
        ),
        strict=True,
    ):
        fitted, residual = ("–", "–") if np.isnan(expected) else (f"{expected:,.1f}", f"{z:+.2f}".replace("-", MINUS))
        lines.append(f"{f'{delta:g}'.replace('-', MINUS):>7}{exposure:>14,.0f}{fills:>10,g}{fitted:>12}{residual:>10}")
    left = len(rows.delta_ticks[shown.stop :])
    if left:
        lines.append(f"{'…':>7}{rows.fills[shown.stop :].sum():>24,g}   at {left} distances beyond")
    return "\n".join(lines)
