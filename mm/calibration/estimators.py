"""Point estimates of A and k: maximum likelihood, Firth, and the log-linear regression.

None raises on any table: where there is no estimate, there is a reason instead.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mm.calibration.likelihood import LEAST_K, Table
from mm.calibration.peaks import penalised_peak, score_peak
from mm.calibration.points import as_points

POISSON_MLE, POISSON_FIRTH, LOG_LINEAR = "poisson_mle", "poisson_firth", "log_linear"
LARGEST_LOG = 690.0  # exp beyond leaves the floats


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


def maximum_likelihood(table: Table, highest: float | Absent | None = None) -> Estimate | Absent:
    """Return the estimate at the highest likelihood, or why there is none.

    Args:
        table: Its rows.
        highest: Their `likelihood_peak`, where it is known already.
    """
    peak = likelihood_peak(table) if highest is None else highest
    return peak if isinstance(peak, Absent) else at_peak(table, peak, table.total)


def firth(table: Table, highest: float | Absent | None = None) -> Estimate | Absent:
    """Return the estimate at the highest likelihood times Jeffreys prior: finite also with very few fills.

    Args:
        table: Its rows.
        highest: Their `likelihood_peak`, where it is known already.
    """
    absent = _unidentified(table)
    if absent:
        return absent
    near = likelihood_peak(table) if highest is None else highest
    peak = penalised_peak(table, None if isinstance(near, Absent) else near)
    if peak is None:
        return Absent("boundary_k_neg", "the penalised likelihood is highest at k = 0", LEAST_K)
    return at_peak(table, peak, table.total + 1)


def log_linear(table: Table) -> Estimate | Absent:
    """Return the regression of the log rate on delta, weighted by counts, empty rows dropped.

    Among cells the rate is that of a tick in the middle of the cell, and open cells, which have no
    middle, are dropped too: exact where all cells are equally wide.
    """
    shape, cells = table.shape, table.cells
    kept = np.flatnonzero((table.fills > 0) & (shape.closed | (not cells)))
    if not (kept.size and shape.delta[kept[0]] < shape.delta[kept[-1]]):
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
    if filled[-1] == 0:
        return Absent("boundary_k_pos", f"all fills are at the nearest distance, δ = {table.near:g}", math.inf)
    if filled[0] == 1 and not table.cells:
        return Absent("boundary_k_neg", f"all fills are at the farthest distance, δ = {table.far:g}", -math.inf)
    peak = score_peak(table)
    return Absent("boundary_k_neg", "the fills lie no nearer than the exposure", LEAST_K) if peak is None else peak


def at_peak(table: Table, k: float, fitted: float) -> Estimate | Absent:
    """Return the estimate at *k*, in units of the span, where *fitted* fills are expected."""
    at = table.at(k)
    pivot = at.mean - 1 / k if table.cells else at.mean
    return _in_ticks(table, (math.log(fitted) - at.log_mass, k), pivot, (fitted, fitted * at.variance))


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
