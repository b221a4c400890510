"""95 % intervals of A and k: profile likelihood, Wald, and block-robust."""

import math
from dataclasses import dataclass

import numpy as np

from mm.calibration.estimators import Estimate, climb, outward
from mm.calibration.likelihood import LARGE, LEAST_K, Shape, Table
from mm.calibration.points import NO_BLOCK, Points, group, sum_by

LEVEL = 0.95
NORMAL = 1.959963984540054  # its two-sided quantile of the normal distribution
CHI2 = NORMAL**2  # and of chi-squared with one degree of freedom

ENOUGH = 1e-9  # of an interval's end; the exactest reference is given to 1e-5

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals of one estimate; None where one has no end.

    Attributes:
        A: Of A in fills a second, taken on the log scale.
        k: Of k in 1/tick.
    """

    A: Interval | None
    k: Interval | None


def profile(table: Table, estimate: Estimate, *, penalised: bool) -> Intervals:
    """Return the intervals that a likelihood-ratio test at 5 % does not reject.

    Args:
        table: The rows that were fitted.
        estimate: Where their likelihood is highest.
        penalised: Whether Jeffreys prior belongs to the likelihood, as in a Firth fit.
    """
    hill = _Hill(table, penalised=penalised)
    k = estimate.k * table.span
    step = NORMAL * estimate.se_k * table.span
    return Intervals(A=_exp(_profile_log_a(hill, estimate, k)), k=_profile_k(hill, k, step))


def wald(estimate: Estimate) -> Intervals:
    """Return estimate ± 1.96 standard errors, on the log scale for A."""
    return _around(estimate, NORMAL * estimate.se_logA, NORMAL * estimate.se_k)


def blocks_of(points: Points) -> int:
    """Return the number of blocks with exposure; 0 if some exposed row belongs to none."""
    blocks = points.block[points.exposure_s > 0]
    return 0 if (blocks == NO_BLOCK).any() else len(np.unique(blocks))


def block_robust(points: Points, estimate: Estimate) -> Intervals:
    """Return intervals that hold when fills depend on each other within a block, but not between blocks.

    The cluster sandwich with factor B/(B-1) and the t distribution with B-1 degrees of freedom.
    """
    from scipy.special import stdtrit

    blocks = blocks_of(points)
    if blocks < 2:
        return Intervals(A=None, k=None)
    shape = Shape(points.delta_ticks, points.width_ticks)
    expected = points.exposure_s * np.exp(np.minimum(estimate.logA + shape.log_gain(estimate.k), LARGE))
    surprise, steepness = points.fills - expected, shape.steepness(estimate.k)
    first, block = group(points.block)
    scores = np.stack([sum_by(block, surprise, len(first)), sum_by(block, -surprise * steepness, len(first))])
    bread = np.array([[estimate.var_logA, estimate.cov_logA_k], [estimate.cov_logA_k, estimate.var_k]])
    errors = bread @ scores
    variance = blocks / (blocks - 1) * (errors**2).sum(axis=1)
    reach_log_a, reach_k = (float(stdtrit(blocks - 1, (1 + LEVEL) / 2)) * np.sqrt(variance)).tolist()
    return _around(estimate, reach_log_a, reach_k)


@dataclass(frozen=True, slots=True)
class _Hill:
    """The log-likelihood over (ln A, k), k in units of the table's span, with or without the prior."""

    table: Table
    penalised: bool

    @property
    def floor(self) -> float:
        """Return the least k that the rows allow."""
        return LEAST_K if self.table.shape.cells.size else -math.inf

    def profile(self, k: float) -> float:
        """Return the height at *k*, A at its best."""
        table = self.table
        return float(table.penalised_log_likelihood(k) if self.penalised else table.log_likelihood(k))

    def height(self, log_a: float, k: float) -> float:
        """Return the height at ln A and *k*."""
        log_expected = self._log_rate(log_a, k) + float(self.table.shares(k)[0])
        height = self.profile(k) + self.table.total * log_expected - math.exp(min(log_expected, LARGE))
        return height + log_expected if self.penalised else height

    def slope(self, log_a: float, k: float) -> float:
        """Return the slope in *k* of the height at a given ln A."""
        table = self.table
        log_mass, shares = table.shares(k)
        expected = math.exp(min(self._log_rate(log_a, k) + float(log_mass), LARGE))
        steepness, near = table.shape.steepness(k), table.near / table.span
        slope = expected * (near + float(shares @ steepness)) - table.total * near - float(table.fills @ steepness)
        if not self.penalised:
            return slope
        return slope + float(table.prior_slope(k)) - near - float(shares @ steepness)

    def _log_rate(self, log_a: float, k: float) -> float:
        """Return ln of the intensity at the nearest row."""
        return log_a - k * self.table.near / self.table.span


def _profile_k(hill: _Hill, k: float, step: float) -> Interval | None:
    """Return the interval of k in 1/tick."""
    top = hill.profile(k)

    def drop(at: float) -> float:
        return 2 * (top - hill.profile(at)) - CHI2

    low, high = outward(drop, k, -step, hill.floor, ENOUGH), outward(drop, k, step, precision=ENOUGH)
    if low is None and math.isfinite(hill.floor):
        low = 0.0
    return None if low is None or high is None else _finite((low / hill.table.span, high / hill.table.span))


def _profile_log_a(hill: _Hill, estimate: Estimate, k: float) -> Interval | None:
    """Return the interval of ln A, k at its best for every ln A."""
    top = hill.height(estimate.logA, k)
    stride = estimate.se_k * hill.table.span / 16
    ridge = estimate.cov_logA_k / estimate.var_logA * hill.table.span  # k's best moves so with ln A

    def drop(log_a: float) -> float:
        start = max(k + ridge * (log_a - estimate.logA), hill.floor)
        best = climb(lambda at: hill.slope(log_a, at), start, stride, hill.floor, ENOUGH)
        return 2 * (top - hill.height(log_a, best)) - CHI2

    step = NORMAL * estimate.se_logA
    low, high = (outward(drop, estimate.logA, way, precision=ENOUGH) for way in (-step, step))
    return None if low is None or high is None else (low, high)


def _around(estimate: Estimate, reach_log_a: float, reach_k: float) -> Intervals:
    """Return the intervals that reach so far to both sides of *estimate*; None if they reach to infinity."""
    log_a, k = estimate.logA, estimate.k
    return Intervals(A=_exp((log_a - reach_log_a, log_a + reach_log_a)), k=_finite((k - reach_k, k + reach_k)))


def _finite(interval: Interval) -> Interval | None:
    """Return *interval*; None if an end is not a number to compute with."""
    return interval if all(map(math.isfinite, interval)) else None


def _exp(interval: Interval | None) -> Interval | None:
    """Return the interval of A of one of ln A."""
    if interval is None or not _finite(interval) or max(interval) > LARGE:
        return None
    return math.exp(interval[0]), math.exp(interval[1])
