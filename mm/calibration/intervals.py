"""Uncertainty of a fit: 95 % intervals of A and k, predictive intervals of fills, and draws of A and k."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mm.base.estimate import LEVEL, cosines, slow_covariance, slow_waves, student_quantile
from mm.base.numbers import NORMAL
from mm.calibration.estimators import Estimate, falls_at
from mm.calibration.fit_result import Interval, PoissonFit
from mm.calibration.likelihood import LARGE, At, Sample, Table
from mm.calibration.points import Points
from mm.calibration.reference import BLOCK_S
from mm.errors import FitError

HORIZON_S = 900.0  # horizon of the predictive interval of a fit outside of a schedule
LEAST_STRETCHES = 3
HALF_LIVES = 30  # of the slowest drift, in a window whose intervals by blocks hold
DRIFTS = "the rate of fills drifts"  # begins the warning
LEAST_DRIFT_BLOCKS = 6  # for a measured drift
CURVE = 3  # cosines of a smooth curve: up to one and a half waves in a window
CURVE_P = 0.01  # of the F test of such a curve against the next cosines
FAR, CLOSE = 100.0, 1e-6  # an end that is farther than so many steps is checked, to this share of the limit
HALF = 0.5  # fills added, so that the logarithm of an empty period is finite


@dataclass(frozen=True, slots=True)
class Intervals:
    """None if unbounded; *cov* is of ln A and k, of a normal distribution with these intervals by blocks."""

    A: Interval | None
    k: Interval | None
    cov: float | None = None


def profile(table: Table, estimate: Estimate, *, penalised: bool) -> Intervals:
    """Return profile-likelihood intervals: values not rejected by a likelihood-ratio test at 5 %."""
    span, counted = table.span, table.total + penalised  # the prior is A times a function of k
    peak, limit = estimate.k * span, NORMAL**2 / 2
    name = "penalised_log_likelihood" if penalised else "log_likelihood"

    def over_k(k: float) -> tuple[float, float]:
        at = table.at(k)
        return float(getattr(at, name)), float(at.penalised_score if penalised else at.score)

    def over_log_a(log_a: float) -> tuple[float, float]:
        start = peak + ridge * (log_a - estimate.logA)
        slope = partial(_slope_at_fixed_a, table, log_a, penalised=penalised)
        at = table.at(falls_at(slope, max(start, table.least_k), floor=table.least_k))
        log_expected = _log_expected(table, log_a, at)
        expected = math.exp(min(log_expected, LARGE))
        return float(getattr(at, name)) + counted * log_expected - expected, counted - expected

    ridge = estimate.cov_logA_k / estimate.var_logA * span  # change of the best k with ln A
    low, high = (
        _end(over_k, peak, sign * NORMAL * estimate.se_k * span, limit, table.least_k) / span for sign in (-1, 1)
    )
    ends = tuple(_end(over_log_a, estimate.logA, sign * NORMAL * estimate.se_logA, limit) for sign in (-1, 1))
    low = 0.0 if table.cells and math.isnan(low) else low
    return Intervals(A=_exp((ends[0], ends[1])), k=_finite((low, high)))


def _end(
    height: Callable[[float], tuple[float, float]], top: float, step: float, limit: float, floor: float = -math.inf
) -> float:
    sign, least = math.copysign(1.0, step), height(top)[0] - limit

    def above(outward: float) -> tuple[float, float]:
        value, slope = height(sign * outward)
        return value - least, sign * slope

    farthest = -floor if sign < 0 else math.inf
    if math.isfinite(farthest) and not above(farthest)[0] < 0:
        return math.nan
    end = falls_at(above, min(sign * (top + step), farthest), sign * top, farthest)
    if abs(end - sign * top) > FAR * abs(step) and not abs(above(end)[0]) < CLOSE * limit:
        return math.nan
    return sign * end


def _log_expected(table: Table, log_a: float, at: At) -> float:
    return float(log_a - at.k * table.near / table.span + at.log_mass)


def _slope_at_fixed_a(table: Table, log_a: float, k: float, *, penalised: bool) -> tuple[float, float]:
    at = table.at(k)
    expected = math.exp(min(_log_expected(table, log_a, at), LARGE))
    beyond = 1 / k if table.cells else 0.0  # of the depth, not part of ln g
    steep, seen = (table.near / table.span + mean - beyond for mean in (at.mean, at.seen))
    fall, seen_fall = beyond**2 - at.variance - at.inner, beyond**2 - at.seen_inner
    value, bend = expected * steep - at.total * seen, expected * (fall - steep**2) - at.total * seen_fall
    if penalised:  # the prior hardly bends the likelihood
        return value + at.prior_slope - steep, bend - fall
    return value, bend


def wald(estimate: Estimate) -> Intervals:
    return around(estimate.logA, estimate.k, NORMAL * estimate.se_logA, NORMAL * estimate.se_k)


def block_robust(sample: Sample, estimate: Estimate) -> Intervals:
    """Intervals that are robust to dependence of fills within and between blocks.

    The variance of the blocks' scores comes from their slowest `cosines`, whose periods exceed the dependence, with the
    t distribution of as many degrees of freedom: the equal-weighted cosine estimator of Lazarus, Lewis, Stock and
    Watson (JBES 36 (2018) 541-559). As few of them may by chance tell of next to nothing, the interval of no
    combination of ln A and k is narrower than the likelihood's.
    """
    degrees = cosines(sample.n_blocks)
    if degrees == 0:
        return Intervals(A=None, k=None)
    residual = sample.points.fills - sample.expected(estimate)
    steepness = sample.shape.steepness(estimate.k)[sample.row]
    score_log_a, score_k = sample.by_block(residual), sample.by_block(-residual * steepness)
    # at the pivot, where the likelihood's errors are uncorrelated, and in units of them
    pivot, error_pivot, error_k = estimate.pivot_delta, math.sqrt(estimate.var_pivot), estimate.se_k
    of_pivot, of_k = error_pivot * score_log_a, error_k * (score_k + pivot * score_log_a)
    wide = (student_quantile(degrees) / NORMAL) ** 2
    values, axes = np.linalg.eigh(wide * slow_covariance(np.column_stack((of_pivot, of_k))))
    back = np.array([[error_pivot, pivot * error_k], [0.0, error_k]]) @ axes
    covariance = (back * np.maximum(values, 1.0)) @ back.T
    ends = around(estimate.logA, estimate.k, *(NORMAL * np.sqrt(np.diag(covariance))).tolist())
    return replace(ends, cov=float(covariance[0, 1]))


def drift_half_life(sample: Sample, estimate: Estimate) -> float:
    """Half-life of the rate's drift, in blocks: 0 without drift, infinite if it does not return."""
    blocks = sample.n_blocks
    if blocks < LEAST_DRIFT_BLOCKS:
        return 0.0
    expected = sample.expected(estimate)
    beyond, noise = sample.by_block(sample.points.fills - expected), float(expected.sum()) / blocks
    drift = float((beyond**2).sum()) / (blocks - 1) - noise
    if drift <= 2 * math.sqrt(2 / (blocks - 1)) * noise:  # as of Poisson counts
        return 0.0
    alike = float((beyond[1:] * beyond[:-1]).sum()) / (blocks - 1) / drift
    alike += (1 + 3 * min(alike, 1.0)) / blocks
    return 0.0 if alike <= 0 else math.inf if alike >= 1 else -math.log(2) / math.log(alike)


def smooth_pattern(sample: Sample, estimate: Estimate) -> str | None:
    """Warn if the slowest cosines tell far more of the rate in blocks than the next do: a smooth curve in time.

    Intervals by blocks take such a curve, if it is that of every day, for noise.
    """
    from mm.base.special import fdtrc

    blocks = sample.n_blocks
    if blocks < LEAST_DRIFT_BLOCKS:
        return None
    expected = sample.expected(estimate)
    beyond = sample.by_block(sample.points.fills - expected)
    waves = slow_waves(beyond, min(4 * CURVE, blocks - 1))  # faster ones, which see less of a slow noise, do not count
    power, others = waves**2, len(waves) - CURVE
    curve, rest = float(power[:CURVE].sum()), float(power[CURVE:].sum())
    if not (rest > 0 and fdtrc(CURVE, others, curve / CURVE / (rest / others)) < CURVE_P):
        return None
    share = 2 / blocks * curve / float(((beyond - beyond.mean()) ** 2).sum())
    angles = np.pi / blocks * np.outer(np.arange(blocks) + 0.5, np.arange(1, CURVE + 1))
    rate = 1 + 2 / float(expected.sum()) * (np.cos(angles) @ waves[:CURVE])
    return (
        f"{DRIFTS} along a smooth curve, from {max(rate.min(), 0):.2g} to {rate.max():.2g} times its mean, which "
        f"explains {share:.0%} of the variance between blocks: intervals by blocks are those of a changing "
        f"rate; of the mean of this window, A has a sampling error of {estimate.se_logA:.2g} of itself; "
        f"if every day has the curve, fit its hours apart (mm schedule, or shorter windows), else pool more time"
    )


def too_slow(half_life: float, window: float, unit: str) -> str | None:
    """Warn if intervals by blocks fail in a *window* (in the *unit* of *half_life*).

    With a half-life of 30 min they cover .77 in 2 h, .80 in 6 h, .84 in 14 h instead of .95; over `HALF_LIVES`
    half-lives, as measured here, .9, and more beyond.
    """
    if window >= HALF_LIVES * half_life:
        return None
    length = f"a half-life of {half_life:.3g}" if math.isfinite(half_life) else "no return"
    return (
        f"{DRIFTS} slowly, with {length} in a window of {window:.4g} {unit}: intervals by blocks, which "
        f"need {HALF_LIVES} half-lives, are too narrow here; pool more time"
    )


def drift_warning(clustering: Mapping[str, Any] | None, window_s: float) -> str | None:
    if clustering is None or not clustering.get("kernels"):
        return None
    slowest_s = clustering["slowest_half_life_s"]
    return too_slow(math.inf if slowest_s is None else slowest_s, window_s, "s")


def with_drift(fit: PoissonFit, window_s: float) -> PoissonFit:
    slow, known = drift_warning(fit.clustering, window_s), any(DRIFTS in line for line in fit.warnings)
    return fit if slow is None or known else replace(fit, warnings=(*fit.warnings, slow))


def normal_of(fit: PoissonFit) -> tuple[float, float, float] | None:
    """Return deviations of ln A and k, and their correlation: of a normal distribution with the fit's 95 % intervals,
    by blocks if it has them.
    """
    A, k, error_a, error_k, cov = fit.ci95_A_block, fit.ci95_k_block, fit.se_logA, fit.se_k, fit.cov_logA_k
    if error_a is None or error_k is None or cov is None:
        return None
    correlation = cov / (error_a * error_k) if error_a and error_k else 0.0
    if A is None or k is None or A[0] <= 0:
        return error_a, error_k, correlation
    error_a, error_k = math.log(A[1] / A[0]) / (2 * NORMAL), (k[1] - k[0]) / (2 * NORMAL)
    if fit.cov_logA_k_block is not None:  # else of an earlier version's file
        correlation = fit.cov_logA_k_block / (error_a * error_k)
    return error_a, error_k, correlation


def with_block_errors(fit: PoissonFit) -> PoissonFit:
    normal = normal_of(fit)
    if normal is None or not fit.by_blocks:
        return fit
    narrow = NORMAL / student_quantile(cosines(fit.n_blocks))
    error_a, error_k, correlation = narrow * normal[0], narrow * normal[1], normal[2]
    return replace(fit, se_logA=error_a, se_k=error_k, cov_logA_k=correlation * error_a * error_k)


def around(log_a: float, k: float, half_log_a: float, half_k: float) -> Intervals:
    return Intervals(A=_exp((log_a - half_log_a, log_a + half_log_a)), k=_finite((k - half_k, k + half_k)))


def _finite(interval: Interval) -> Interval | None:
    return interval if all(map(math.isfinite, interval)) else None


def _exp(interval: Interval) -> Interval | None:
    if not _finite(interval) or max(interval) > LARGE:
        return None
    return math.exp(interval[0]), math.exp(interval[1])


def predictive_ci95(points: Points, horizon_s: float) -> tuple[float, float] | None:
    """Return the 95 % predictive interval of the fills, both sides, in the *horizon_s* after the window of *points*.

    The blocks are joined to periods of *horizon_s*; the log of the next count is one more draw from theirs (Student's
    t). None below three periods, or without blocks in chronological order.
    """
    from mm.base.special import pdtrik

    if not len(points) or points.block.min() < 0:
        return None
    fills = np.bincount(points.block, points.fills)
    joined = max(round(horizon_s / BLOCK_S), 1)
    periods = len(fills) // joined
    if periods < LEAST_STRETCHES:
        return None
    counts = fills[len(fills) - periods * joined :].reshape(periods, joined).sum(axis=1)
    share = horizon_s / (joined * BLOCK_S)
    mean_count = float(counts.sum()) / periods
    mean = mean_count * share
    logs = np.log(counts * share + HALF)
    mean_log = float(logs.sum()) / periods
    shorter = max(1 / share - 1, 0.0) / max(mean_count, HALF)  # additional noise of a count over less than a period
    # neighbouring periods are correlated, so the variance of their mean is twice the variance of independent ones
    variance = float(((logs - mean_log) ** 2).sum()) / (periods - 1)
    spread = math.sqrt((variance + shorter) * (1 + 2 / periods))
    half_width = student_quantile(periods - 1) * spread
    low, high = (math.exp(min(mean_log + off, 700.0)) - HALF for off in (-half_width, half_width))
    if mean > 0:
        tail = (1 - LEVEL) / 2
        low, high = min(low, float(pdtrik(tail, mean))), max(high, float(pdtrik(1 - tail, mean)))
    return max(math.floor(low), 0.0) if math.isfinite(low) else 0.0, math.ceil(high)


def draws(fit: PoissonFit, count: int, seed: int) -> Iterator[PoissonFit]:
    """Yield *count* fits with ln A and k drawn from the normal distribution of their estimates.

    Errors and correlation are by blocks if available, and as wide as Student's t makes their intervals; k is redrawn
    until positive.

    Raises:
        FitError: If the fit is not usable, or has no standard errors.
    """
    A, k = fit.parameters()
    normal = normal_of(fit)
    if normal is None:
        raise FitError("the fit has no standard errors to draw from (se_logA, se_k, cov_logA_k); fit again")
    error_a, error_k, correlation = normal
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
        curve = tuple(replace(point, lambda_per_s=point.lambda_per_s * level, ci95=None) for point in fit.lambda_curve)
        yield replace(fit, A=drawn_a, k=drawn_k, logA=math.log(drawn_a), lambda_curve=curve)
        left -= 1
