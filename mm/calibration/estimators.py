"""Point estimates of A and k: maximum likelihood, Firth, and the log-linear regression."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mm.base.arrays import Floats
from mm.calibration.likelihood import LEAST_K, Table
from mm.calibration.points import as_points

POISSON_MLE, POISSON_FIRTH, LOG_LINEAR = "poisson_mle", "poisson_firth", "log_linear"
LARGEST_LOG = 690.0  # exp overflows beyond
PIVOT_ROUNDING = 1e-12  # relative size of a difference that is 0 up to rounding


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate of λ(δ) = A exp(-k δ).

    Attributes:
        pivot_delta: The distance, in ticks, with the smallest error of the intensity; there intensity and k are
            uncorrelated, so all errors follow from theirs.
    """

    logA: float
    k: float
    pivot_delta: float
    var_pivot: float
    var_k: float

    @property
    def A(self) -> float:
        return math.exp(self.logA)

    @property
    def var_logA(self) -> float:
        return self.var_pivot + self.pivot_delta * self.cov_logA_k

    @property
    def cov_logA_k(self) -> float:
        return self.pivot_delta * self.var_k

    @property
    def se_logA(self) -> float:
        return math.sqrt(self.var_logA)

    @property
    def se_k(self) -> float:
        return math.sqrt(self.var_k)

    @property
    def lambda_at_pivot(self) -> float:
        return math.exp(min(self.logA - self.k * self.pivot_delta, LARGEST_LOG))

    @property
    def se_log_lambda_at_pivot(self) -> float:
        return math.sqrt(self.var_pivot)


@dataclass(frozen=True, slots=True)
class NoEstimate:
    status: str
    reason: str
    edge: float = math.nan


@np.errstate(all="ignore")
def estimate(
    delta_ticks: ArrayLike, exposure_s: ArrayLike, fills: ArrayLike, width_ticks: ArrayLike | None = None
) -> Estimate | NoEstimate:
    points = as_points((delta_ticks, exposure_s, fills))
    width = points.width_ticks if width_ticks is None else np.asarray(width_ticks, np.float64)
    return maximum_likelihood(Table.of(points.delta_ticks, width, points.exposure_s, points.fills))


def maximum_likelihood(table: Table, highest: float | NoEstimate | None = None) -> Estimate | NoEstimate:
    peak = likelihood_peak(table) if highest is None else highest
    return peak if isinstance(peak, NoEstimate) else at_peak(table, peak, table.total)


def firth(table: Table) -> Estimate | NoEstimate:
    absent = _unidentified(table)
    if absent:
        return absent
    peak = highest_peak(table, penalised=True)
    if peak is None:
        return NoEstimate("boundary_k_neg", "the penalised likelihood is highest at k = 0", LEAST_K)
    return at_peak(table, peak, table.total + 1)


def log_linear(table: Table) -> Estimate | NoEstimate:
    """Return the regression of the log rate on delta, weighted by counts, empty rows dropped.

    A cell's rate counts at its middle, which is exact if all cells are equally wide; open cells are dropped.
    """
    shape, cells = table.shape, table.cells
    kept = np.flatnonzero((table.fills > 0) & (shape.closed | (not cells)))
    if not (kept.size and shape.delta[kept[0]] < shape.delta[kept[-1]]):
        return NoEstimate("too_few_deltas", "the log-linear regression needs fills at two distances")
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
        return NoEstimate("boundary_k_neg", "the log rate of the cells does not fall with the distance")
    height = float(share @ (log_rate - shape.log_gain(k)[kept]))
    return _in_ticks(table, (height, k), float(share @ shape.steepness(k)[kept]), (count, information))


def likelihood_peak(table: Table) -> float | NoEstimate:
    """Return the maximum-likelihood k, in units of the table's span, or why there is none.

    It is finite exactly if fills are at two distances, or at one that is neither smallest nor largest; for cells they
    must also be nearer than the exposure.
    """
    absent = _unidentified(table)
    if absent:
        return absent
    filled = table.shape.delta[table.fills > 0]
    if filled[-1] == 0:
        return NoEstimate("boundary_k_pos", f"all fills are at the nearest distance, δ = {table.near:g}", math.inf)
    if filled[0] == 1 and not table.cells:
        return NoEstimate("boundary_k_neg", f"all fills are at the farthest distance, δ = {table.far:g}", -math.inf)
    peak = highest_peak(table)
    return NoEstimate("boundary_k_neg", "the fills are no nearer than the exposure", LEAST_K) if peak is None else peak


def at_peak(table: Table, k: float, fitted: float) -> Estimate | NoEstimate:
    at = table.at(k)
    pivot = float(at.mean) - 1 / k if table.cells else float(at.mean)
    if abs(pivot) < PIVOT_ROUNDING * at.mean:  # cells from the nearest distance on, all of the same exposure
        pivot = 0.0
    return _in_ticks(table, (math.log(fitted) - float(at.log_mass), k), pivot, (fitted, fitted * float(at.variance)))


def _unidentified(table: Table) -> NoEstimate | None:
    if table.total == 0:
        return NoEstimate("no_fills", "no fills")
    if table.span == 0:
        return NoEstimate("too_few_deltas", f"there is only one distance, δ = {table.near:g}; k needs two")
    return None


def _in_ticks(
    table: Table, scaled: tuple[float, float], pivot: float, information: tuple[float, float]
) -> Estimate | NoEstimate:
    """Convert an estimate from span units to ticks, or report why its numbers overflow."""
    k = scaled[1] / table.span
    log_a = scaled[0] + k * table.near
    pivot_ticks = table.near + table.span * pivot
    var_pivot, var_k = (1 / about if about > 0 else math.inf for about in information)
    var_k = var_k / table.span / table.span
    estimate = Estimate(log_a, k, pivot_ticks, var_pivot, var_k)
    numbers = (k, pivot_ticks, var_k, estimate.var_logA)
    if abs(log_a) <= LARGEST_LOG and all(map(math.isfinite, numbers)) and var_k > 0:
        return estimate
    status = "boundary_k_pos" if k > 0 else "boundary_k_neg"
    return NoEstimate(status, f"ln A = {log_a:.4g} with k = {k:.4g} is outside the range of floating-point numbers")


SCORE_ROUNDING = 1e-14  # of the score of one fill
STRIDE = 0.25  # of a scan, as a share of k; nearer peaks count as one
SCANNED = 1e4  # a scan covers k up to here, in units of the span, and goes on while the function rises
FARTHEST = 1e100
MAX_ITERATIONS = 200  # maximum, of the search for a root
CLOSE = 1e-9  # relative size of the last Newton step; the error is its square
DIGITS = 1e-15  # relative precision of floats
REACH = 8.0  # maximum step, as a multiple of the starting k, or 1


def highest_peak(table: Table, *, penalised: bool = False) -> float | None:
    """Return the highest of possibly several maxima of the likelihood over k, with or without Jeffreys prior.

    None if, for cells, it only falls.
    """
    slope, height = ("penalised_score", "penalised_log_likelihood") if penalised else ("score", "log_likelihood")
    if not (penalised or table.cells) and abs((at := table.at(0.0)).mean - at.seen) < SCORE_ROUNDING:
        return 0.0
    ks = _scanned(table)
    rises = getattr(table.at(ks), slope)
    beyond = SCANNED * np.exp(np.arange(STRIDE, math.log(FARTHEST / SCANNED), 4 * STRIDE))
    if rises[-1] > 0:
        ks = np.concatenate((ks, beyond))
    if not table.cells and rises[0] < 0:
        ks = np.concatenate((-beyond[::-1], ks))
    if len(ks) > len(rises):
        rises = getattr(table.at(ks), slope)

    def slopes(k: float) -> tuple[float, float]:
        at = table.at(k)
        return float(getattr(at, slope)), float(at.bend)

    falls = []
    for number in np.flatnonzero((rises[:-1] > 0) & (rises[1:] <= 0)).tolist():
        (low, high), (rise, fall) = ks[number : number + 2].tolist(), rises[number : number + 2].tolist()
        falls.append(falls_at(slopes, low + (high - low) * rise / (rise - fall), low, high))
    if len(falls) < 2:
        return falls[0] if falls else None
    return max(falls, key=lambda k: float(getattr(table.at(k), height)))


def _scanned(table: Table) -> Floats:
    far = math.asinh(SCANNED)
    ks: Floats = np.sinh(np.linspace(-far, far, 2 * math.ceil(far / STRIDE) + 1))
    return np.exp(np.arange(math.log(LEAST_K), math.log(SCANNED), STRIDE)) if table.cells else ks


def falls_at(
    slope: Callable[[float], tuple[float, float]],
    start: float,
    low: float = -math.inf,
    high: float = math.inf,
    floor: float = -math.inf,
) -> float:
    """Return a k where a slope falls through zero, by bracketed Newton steps; *floor* if it is negative there."""
    k = float(start)
    for _ in range(MAX_ITERATIONS):
        value, bend = map(float, slope(k))
        if value > 0:
            low = k
        elif value < 0 and k > floor:
            high = k
        else:
            break
        step = -value / bend if bend < 0 else math.copysign(math.inf, value)
        if abs(step) <= CLOSE * abs(k):
            return max(k + step, floor)
        longest = REACH * max(abs(k), 1.0)
        if not (abs(step) <= longest and low < k + step < high):
            step = (low + high) / 2 - k if math.isfinite(high - low) else math.copysign(longest, value)
        k = max(k + step, floor)
        if abs(step) <= DIGITS * max(abs(k), 1e-3):
            break
    return k
