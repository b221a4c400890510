"""Point estimates of A and k: maximum likelihood, Firth, and the log-linear regression.

None raises on any table: where there is no estimate, there is a reason instead.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from mm.calibration.likelihood import LEAST_K, Table
from mm.calibration.points import Floats, as_points

POISSON_MLE, POISSON_FIRTH, LOG_LINEAR = "poisson_mle", "poisson_firth", "log_linear"
LARGEST_LOG = 690.0  # exp beyond leaves the floats
EXACT = 1e-15  # to the last digits
GRID = 129  # points of the scan where a function may have more than one peak


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate of λ(δ) = A exp(-k δ).

    At the pivot, the estimated intensity and k are independent; all errors follow from theirs.

    Attributes:
        logA: Ln of A, A in fills a second.
        k: Decay, in 1/tick.
        pivot_delta: The pivot, in ticks: where the intensity is known best.
        var_pivot: Variance of ln of the intensity there.
        var_k: Variance of k.
    """

    logA: float
    k: float
    pivot_delta: float
    var_pivot: float
    var_k: float

    @property
    def A(self) -> float:
        """Fills a second, a side, a resting order, at distance 0."""
        return math.exp(self.logA)

    @property
    def var_logA(self) -> float:
        """Variance of ln A."""
        return self.var_pivot + self.pivot_delta * self.cov_logA_k

    @property
    def cov_logA_k(self) -> float:
        """Covariance of ln A and k."""
        return self.pivot_delta * self.var_k

    @property
    def se_logA(self) -> float:
        """Standard error of ln A."""
        return math.sqrt(self.var_logA)

    @property
    def se_k(self) -> float:
        """Standard error of k, in 1/tick."""
        return math.sqrt(self.var_k)

    @property
    def lambda_at_pivot(self) -> float:
        """Intensity at the pivot, in 1/s."""
        return math.exp(min(self.logA - self.k * self.pivot_delta, LARGEST_LOG))

    @property
    def se_log_lambda_at_pivot(self) -> float:
        """Standard error of its logarithm."""
        return math.sqrt(self.var_pivot)


@dataclass(frozen=True, slots=True)
class Absent:
    """Why there is no estimate.

    Attributes:
        status: ``no_fills``, ``too_few_deltas``, ``boundary_k_pos`` or ``boundary_k_neg``.
        reason: The same as a sentence.
        edge: Where the likelihood is highest, in units of the table's span; may be infinite.
    """

    status: str
    reason: str
    edge: float = math.nan


@np.errstate(all="ignore")
def estimate(
    delta_ticks: ArrayLike, exposure_s: ArrayLike, fills: ArrayLike, width_ticks: ArrayLike | None = None
) -> Estimate | Absent:
    """Return the maximum-likelihood estimate of columns, and nothing else: what a schedule fits often.

    Raises:
        DataError: On a value that cannot be, with its row.
    """
    points = as_points((delta_ticks, exposure_s, fills))
    width = points.width_ticks if width_ticks is None else np.asarray(width_ticks, np.float64)
    return maximum_likelihood(Table.of(points.delta_ticks, width, points.exposure_s, points.fills))


def maximum_likelihood(table: Table) -> Estimate | Absent:
    """Return the estimate at the highest likelihood, or why there is none."""
    peak = likelihood_peak(table)
    return peak if isinstance(peak, Absent) else at_peak(table, peak, table.total)


def firth(table: Table) -> Estimate | Absent:
    """Return the estimate at the highest likelihood times Jeffreys prior: finite also with very few fills."""
    absent = _unidentified(table)
    if absent:
        return absent
    peak = _highest(table, table.penalised_score, table.penalised_log_likelihood)
    if peak is None:
        return Absent("boundary_k_neg", "the penalised likelihood is highest at k = 0", LEAST_K)
    return at_peak(table, peak, table.total + 1)


def log_linear(table: Table) -> Estimate | Absent:
    """Return the regression of the log rate on delta, weighted by counts, empty rows dropped.

    Among cells the rate is that of a tick in the middle of the cell, and open cells, which have no
    middle, are dropped too: exact where all cells are equally wide.
    """
    shape, cells = table.shape, table.shape.cells.size > 0
    kept = np.flatnonzero((table.fills > 0) & (np.isfinite(shape.width) | (not cells)))
    if len(np.unique(shape.delta[kept])) < 2:
        return Absent("too_few_deltas", "the log-linear regression needs fills at two distances")
    log_rate = np.log(table.fills[kept]) - table.log_exposure[kept]
    place, density = shape.delta[kept], log_rate
    if cells:
        place, density = place + shape.width[kept] / 2, log_rate - np.log(shape.width[kept])
    count = float(table.fills[kept].sum())
    share = table.fills[kept] / count
    off = place - share @ place
    information = count * float(share @ off**2)
    k = -count * float((share * off) @ density) / information if information > 0 else math.inf
    if cells and not k > 0:
        return Absent("boundary_k_neg", "the log rate of the cells does not fall with the distance")
    height = float(share @ (log_rate - shape.log_gain(k)[kept]))
    return _in_ticks(table, (height, k), float(share @ shape.steepness(k)[kept]), (count, information))


def likelihood_peak(table: Table) -> float | Absent:
    """Return the k of the highest likelihood, in units of the table's span, or why there is none.

    It is finite if and only if there are fills at two distances, or at one that is neither the
    nearest nor the farthest; cells moreover need the fills to lie nearer than the exposure.
    """
    absent = _unidentified(table)
    if absent:
        return absent
    filled = table.shape.delta[table.fills > 0]
    if filled.max() == 0:
        return Absent("boundary_k_pos", f"all fills are at the nearest distance, δ = {table.near:g}", math.inf)
    if table.shape.cells.size:
        peak = _highest(table, table.score, table.log_likelihood)
        return Absent("boundary_k_neg", "the fills lie no nearer than the exposure", LEAST_K) if peak is None else peak
    if filled.min() == 1:
        return Absent("boundary_k_neg", f"all fills are at the farthest distance, δ = {table.far:g}", -math.inf)
    return climb(lambda k: float(table.score(k)) / table.total, 0.0, 1.0)


def at_peak(table: Table, k: float, fitted: float) -> Estimate | Absent:
    """Return the estimate at *k*, in units of the span, where *fitted* fills are expected."""
    log_mass, shares = table.shares(k)
    _, variance = table.moments(k)
    pivot = float(shares @ table.shape.steepness(k))
    return _in_ticks(table, (math.log(fitted) - float(log_mass), k), pivot, (fitted, fitted * float(variance)))


def climb(
    slope: Callable[[float], float], start: float, step: float, floor: float = -math.inf, precision: float = EXACT
) -> float:
    """Return where *slope* falls through zero, seen from *start*; the floor, if it falls all the way."""
    slope = cache(slope)
    here = slope(start)
    if abs(here) < 1e-14:
        return start
    way = math.copysign(1.0, here)
    found = outward(lambda k: -way * slope(k), start, way * step, floor, precision)
    return floor if found is None else found


def outward(
    rise: Callable[[float], float], start: float, step: float, floor: float = -math.inf, precision: float = EXACT
) -> float | None:
    """Return where *rise*, negative at *start*, turns positive in the direction of *step*; None if it never does.

    No step goes below *floor*; the root is right to *precision*, as a share of the last step or of itself.
    """
    rise, near = cache(rise), start  # the steps, the check and the root finder look at the same places
    if not rise(near) < 0:
        return None
    while math.isfinite(step):
        far = max(near + step, floor)
        height = rise(far)
        if not height < 0:
            return None if math.isnan(height) else _root(rise, near, far, precision)
        if far == floor:
            return None
        near, step = far, 2 * step
    return None


def _highest(
    table: Table, slope: Callable[[Floats | float], Floats], value: Callable[[Floats | float], Floats]
) -> float | None:
    """Return the highest peak of a function that may have more than one; None if it only falls.

    The slope is looked at on a grid, each fall through zero refined, the values compared.
    """
    high = _far(lambda k: float(slope(k)))
    if table.shape.cells.size:
        grid = np.geomspace(LEAST_K, high, GRID)
    else:
        low = _far(lambda k: -float(slope(-k)))
        grid = np.sinh(np.linspace(-math.asinh(low), math.asinh(high), GRID))
    heights = slope(grid[:, None])
    falls = np.flatnonzero((heights[:-1] > 0) & (heights[1:] <= 0))
    peaks = [_root(lambda k: float(slope(k)), grid[at], grid[at + 1]) for at in falls]
    return max(peaks, key=lambda k: float(value(k)), default=None)


def _root(function: Callable[[float], float], low: float, high: float, precision: float = EXACT) -> float:
    """Return the root between two ends; where rounding hides it, the end nearer to it."""
    from scipy.optimize import brentq

    at_low, at_high = function(low), function(high)
    if (at_low > 0) == (at_high > 0):
        return low if abs(at_low) < abs(at_high) else high
    smallest = max(precision * abs(high - low), 1e-300)
    return float(brentq(function, low, high, xtol=smallest, rtol=precision, maxiter=1000))


def _far(slope: Callable[[float], float]) -> float:
    """Return a k well beyond the last place where *slope* is still positive."""
    far = 1.0
    while slope(far) > 0 and far < 1e100:
        far *= 4
    return 4 * far


def _unidentified(table: Table) -> Absent | None:
    """Return why no k can be read off *table* at all, if so."""
    if table.total == 0:
        return Absent("no_fills", "no fills")
    if table.span == 0:
        return Absent("too_few_deltas", f"there is only one distance, δ = {table.near:g}; k needs two")
    return None


def _in_ticks(
    table: Table, found: tuple[float, float], pivot: float, information: tuple[float, float]
) -> Estimate | Absent:
    """Return what was *found* in units of the span in ticks, or that its numbers are beyond what floats hold.

    Args:
        table: Its rows.
        found: Ln of the intensity at the nearest row, and k.
        pivot: Where the intensity is independent of k, in units of the span.
        information: About the log intensity at the pivot, and about k.
    """
    k = found[1] / table.span
    log_a = found[0] + k * table.near
    pivot_ticks = table.near + table.span * pivot
    var_pivot, var_k = (1 / about if about > 0 else math.inf for about in information)
    var_k = var_k / table.span / table.span
    estimate = Estimate(log_a, k, pivot_ticks, var_pivot, var_k)
    numbers = (k, pivot_ticks, var_k, estimate.var_logA)
    if abs(log_a) <= LARGEST_LOG and all(map(math.isfinite, numbers)) and var_k > 0:
        return estimate
    status = "boundary_k_pos" if k > 0 else "boundary_k_neg"
    return Absent(status, f"ln A = {log_a:.4g} with k = {k:.4g} is beyond what can be computed with")
