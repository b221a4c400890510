"""How far a fit may be off: 95 % intervals of A and k, of the fills to come, and draws of A and k."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from mm.backtest.metrics.arithmetic import NORMAL
from mm.backtest.metrics.long_run import cosines, long_run_error
from mm.calibration._rows import At
from mm.calibration.estimators import Estimate, falls_at
from mm.calibration.fit_result import Interval, PoissonFit
from mm.calibration.likelihood import LARGE, Sample, Table
from mm.calibration.points import Points
from mm.calibration.reference import BLOCK_S
from mm.errors import FitError

LEVEL = 0.95

ENOUGH = 1e-5  # of the root of twice the fall; a last Newton step leaves an error of its square
DIGITS = 1e-13
TURNS = 60
HORIZON_S = 900.0  # of a fit that belongs to no schedule
LEAST_STRETCHES = 3
HALF = 0.5  # of a fill, so that an empty stretch has a logarithm


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals of one estimate; None where one has no end.

    Attributes:
        A: Of A in fills per second, taken on the log scale.
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
    return Intervals(A=_exp(_profile_log_a(hill, estimate)), k=_profile_k(hill, estimate))


def wald(estimate: Estimate) -> Intervals:
    """Return estimate ± 1.96 standard errors, on the log scale for A."""
    return _around(estimate, NORMAL * estimate.se_logA, NORMAL * estimate.se_k)


def block_robust(sample: Sample, estimate: Estimate) -> Intervals:
    """Return intervals that hold when fills depend on each other, within a block and from block to block.

    The variance of the blocks' scores is taken from their slowest `cosines`, whose periods are longer than the
    dependence, and referred to the t distribution with so many degrees of freedom: the equal-weighted cosine estimator
    of Lazarus, Lewis, Stock and Watson (JBES 36 (2018) 541-559). Flow that is busy for an hour is not twelve blocks'
    evidence, and the slow cosines are where that is seen.
    """
    from mm.calibration.special import stdtrit

    degrees = cosines(sample.n_blocks)
    if degrees == 0:
        return Intervals(A=None, k=None)
    surprise = sample.points.fills - sample.expected(estimate)
    steepness = sample.shape.steepness(estimate.k)[sample.row]
    score_log_a, score_k = sample.by_block(surprise), sample.by_block(-surprise * steepness)
    error_log_a = estimate.var_logA * score_log_a + estimate.cov_logA_k * score_k
    error_k = estimate.cov_logA_k * score_log_a + estimate.var_k * score_k
    reach = float(stdtrit(degrees, (1 + LEVEL) / 2))
    return _around(estimate, *(reach * float(long_run_error(error)) for error in (error_log_a, error_k)))


@dataclass(frozen=True, slots=True)
class _Hill:
    """The log-likelihood over (ln A, k), k in units of the table's span, with or without the prior."""

    table: Table
    penalised: bool

    def over_k(self, k: float) -> tuple[float, float]:
        """Return the height at *k*, A at its best, and its slope."""
        at = self.table.at(k)
        if self.penalised:
            return at.penalised_log_likelihood, at.penalised_score
        return at.log_likelihood, at.score

    def over_log_a(self, log_a: float, k: float) -> tuple[float, float]:
        """Return the height at ln A and *k*, and its slope in ln A."""
        at = self.table.at(k)
        log_expected = self._log_expected(log_a, at)
        counted = at.total + self.penalised  # the prior is A times a function of k
        expected = math.exp(min(log_expected, LARGE))
        profile = at.penalised_log_likelihood if self.penalised else at.log_likelihood
        return profile + counted * log_expected - expected, counted - expected

    def best_k(self, log_a: float, start: float) -> float:
        """Return the best k for a given ln A, found from *start*."""
        near, open_ended = self.table.near / self.table.span, self.table.cells

        def slope(at: At) -> tuple[float, float]:
            expected = math.exp(min(self._log_expected(log_a, at), LARGE))
            beyond = 1 / at.k if open_ended else 0.0  # of the depth, no part of ln g
            steep, seen = near + at.mean - beyond, near + at.seen - beyond
            fall, seen_fall = beyond**2 - at.variance - at.inner, beyond**2 - at.seen_inner
            value, bend = expected * steep - at.total * seen, expected * (fall - steep**2) - at.total * seen_fall
            if self.penalised:
                return value + at.prior_slope - steep, bend + at.prior_bend - fall
            return value, bend

        return falls_at(self.table, slope, start)

    def _log_expected(self, log_a: float, at: At) -> float:
        """Return ln of the number of fills expected."""
        return log_a - at.k * self.table.near / self.table.span + at.log_mass


def _profile_k(hill: _Hill, estimate: Estimate) -> Interval | None:
    """Return the interval of k in 1/tick."""
    span, floor = hill.table.span, hill.table.least_k
    k, step = estimate.k * span, NORMAL * estimate.se_k * span
    low, high = _end(hill.over_k, k, -step, floor), _end(hill.over_k, k, step)
    if low is None and hill.table.cells:
        low = 0.0
    return None if low is None or high is None else _finite((low / span, high / span))


def _profile_log_a(hill: _Hill, estimate: Estimate) -> Interval | None:
    """Return the interval of ln A, k at its best for every ln A."""
    table, log_a, k = hill.table, estimate.logA, estimate.k * hill.table.span
    ridge = estimate.cov_logA_k / estimate.var_logA * table.span  # k's best moves so with ln A

    def height(at: float) -> tuple[float, float]:
        return hill.over_log_a(at, hill.best_k(at, max(k + ridge * (at - log_a), table.least_k)))

    step = NORMAL * estimate.se_logA
    low, high = _end(height, log_a, -step), _end(height, log_a, step)
    return None if low is None or high is None else (low, high)


def _end(
    height: Callable[[float], tuple[float, float]], top: float, step: float, floor: float = -math.inf
) -> float | None:
    """Return where a hill has fallen by as much as the test at 5 % allows; None if it has not at the floor.

    Newton steps on the root of twice the fall, which is all but straight.

    Args:
        height: Height and slope of the hill.
        top: Where it is highest.
        step: From there to where the end is guessed, and in which direction.
        floor: Nothing is looked at below.
    """
    highest, near, far, at = height(top)[0], top, math.copysign(math.inf, step), top + step
    for _ in range(TURNS):
        at = max(at, floor)
        here, slope = height(at)
        fall = math.sqrt(max(2 * (highest - here), 0.0))
        if fall < NORMAL:
            near = at
        elif fall >= NORMAL:
            far = at
        else:
            return None
        if near == floor:
            return None
        ahead = at + fall * (fall - NORMAL) / slope if slope else far
        if not min(near, far) < ahead < max(near, far) or not math.isfinite(ahead):
            ahead = (near + far) / 2 if math.isfinite(far) else top + 2 * (at - top)
        if abs(fall - NORMAL) <= ENOUGH or abs(ahead - at) <= DIGITS * abs(ahead - top):
            return ahead
        at = ahead
    return at if math.isfinite(far) else None


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


def predictive_ci95(points: Points, horizon_s: float) -> tuple[float, float] | None:
    """Return the 95 % interval of the fills, of both sides, of the *horizon_s* after the window of *points*.

    The window's blocks are joined to stretches of the horizon's length; the logarithm of the next stretch's count is
    taken for one more draw of those of the window (Student's t, one degree of freedom less than stretches). Bursts
    that make the counts of stretches differ so widen it. It is never narrower than that of a Poisson count.
    None with fewer than three stretches, or without blocks.

    Args:
        points: Of the window, by blocks in order of time.
        horizon_s: Length of what is predicted, in seconds.
    """
    from mm.calibration.special import pdtrik, stdtrit

    if not len(points) or points.block.min() < 0:
        return None
    fills = np.bincount(points.block, points.fills)
    joined = max(round(horizon_s / BLOCK_S), 1)
    stretches = len(fills) // joined
    if stretches < LEAST_STRETCHES:
        return None
    counts = fills[len(fills) - stretches * joined :].reshape(stretches, joined).sum(axis=1)
    share = horizon_s / (joined * BLOCK_S)
    mean_count = float(counts.sum()) / stretches
    mean = mean_count * share
    logs = np.log(counts * share + HALF)
    mean_log = float(logs.sum()) / stretches
    shorter = max(1 / share - 1, 0.0) / max(mean_count, HALF)  # the noise of a count of less than a stretch
    # neighbouring stretches are alike, so their mean is known half as well as that of so many independent ones
    variance = float(((logs - mean_log) ** 2).sum()) / (stretches - 1)
    spread = math.sqrt((variance + shorter) * (1 + 2 / stretches))
    reach = float(stdtrit(stretches - 1, (1 + LEVEL) / 2)) * spread
    low, high = (math.exp(min(mean_log + off, 700.0)) - HALF for off in (-reach, reach))
    if mean > 0:
        tail = (1 - LEVEL) / 2
        low, high = min(low, float(pdtrik(tail, mean))), max(high, float(pdtrik(1 - tail, mean)))
    return max(math.floor(low), 0.0) if math.isfinite(low) else 0.0, math.ceil(high)


def draws(fit: PoissonFit, count: int, seed: int) -> Iterator[PoissonFit]:
    """Yield *count* fits whose ln A and k are drawn from the normal law of their estimates.

    Their standard errors are those by blocks where the fit has them and they are the larger ones, their correlation is
    the likelihood's; k is drawn again where it would not be positive. A curve keeps its shape, and its level moves with
    that of the exponential at its pivot. Equal seeds, equal draws.

    Raises:
        FitError: If the fit is not usable, or does not say how far it may be off.
    """
    A, k = fit.parameters()
    if fit.se_logA is None or fit.se_k is None or fit.cov_logA_k is None:
        raise FitError("the fit has no standard errors to draw from (se_logA, se_k, cov_logA_k); fit again")
    reach = 2 * round(NORMAL, 6)
    error_a, error_k = fit.se_logA, fit.se_k
    if fit.ci95_A_block is not None and fit.ci95_A_block[0] > 0:
        low, high = map(math.log, fit.ci95_A_block)
        error_a = max(error_a, (high - low) / reach)
    if fit.ci95_k_block is not None:
        low, high = fit.ci95_k_block
        error_k = max(error_k, (high - low) / reach)
    correlation = fit.cov_logA_k / (fit.se_logA * fit.se_k) if fit.se_logA and fit.se_k else 0.0
    random = np.random.default_rng(seed)
    left = count
    while left:
        first, second = random.standard_normal(2).tolist()
        drawn_k = k + error_k * first
        if drawn_k <= 0:
            continue
        off = correlation * first + math.sqrt(max(1 - correlation**2, 0.0)) * second
        drawn_a = A * math.exp(error_a * off)
        level = math.exp(error_a * off - (drawn_k - k) * (fit.pivot_delta or 0.0))
        curve = tuple(replace(one, lambda_per_s=one.lambda_per_s * level, ci95=None) for one in fit.lambda_curve)
        yield replace(fit, A=drawn_a, k=drawn_k, logA=math.log(drawn_a), lambda_curve=curve)
        left -= 1
