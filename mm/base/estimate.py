"""A value with its 95 % interval: the only place where a series becomes an interval."""

import math
from dataclasses import dataclass

import numpy as np

from mm.base.arrays import Floats
from mm.base.numbers import UNDECIDED, half_width, sign_of

LEVEL = 0.95
SHARE = 0.4  # of B^(2/3) cosines
LEAST_DRAWS = 5  # for a colour

Ends = tuple[float | None, float | None]  # of an interval; None if it is undefined


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its error and its 95 % interval; None where undefined."""

    value: float | None
    error: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0

    @property
    def ends(self) -> list[float] | None:
        return None if self.low is None or self.high is None else [self.low, self.high]

    @property
    def sign(self) -> str:
        return sign_of(self.low, self.high) if self.n >= LEAST_DRAWS else UNDECIDED

    def times(self, factor: float) -> "Estimate":
        """Convert to another unit, *factor* of which make one."""
        value, error, low, high = (
            None if each is None else each * factor for each in (self.value, self.error, self.low, self.high)
        )
        return Estimate(value, error, low, high, self.n)


NO_ESTIMATE = Estimate(None)


def from_error(value: float | None, error: float | None, draws: int | None) -> Estimate:
    half = half_width(error, draws)
    if value is None or not half:
        return Estimate(value)
    return Estimate(value, error, value - half, value + half, draws or 0)


def student_quantile(degrees: float, comparisons: float = 1.0) -> float:
    """Return the two-sided 95 % quantile of Student's t.

    All of several independent *comparisons* are within theirs in 95 % of cases (Šidák 1967).
    """
    from mm.base.special import stdtrit

    if comparisons <= 1:
        return float(stdtrit(degrees, (1 + LEVEL) / 2))
    return -float(stdtrit(degrees, -math.expm1(math.log(LEVEL) / comparisons) / 2))


def cosines(blocks: int) -> int:
    """Return 0.4·B^(2/3) for B blocks, as Lazarus et al. advise.

    At least 2 from three blocks on, at most B - 1; 0 below two blocks.
    """
    return 0 if blocks < 2 else min(max(round(SHARE * blocks ** (2 / 3)), 2), blocks - 1)


def long_run_error(values: Floats) -> Floats:
    """Return the standard error of the sum of *values*, in order of time, perhaps autocorrelated; per column."""
    error: Floats = np.sqrt(slow_variance(values))
    return error


def slow_variance(values: Floats) -> Floats:
    degrees = cosines(len(values))
    if degrees == 0:
        return np.zeros(values.shape[1:])
    variance: Floats = 2 / degrees * (slow_waves(values, degrees) ** 2).sum(axis=0)
    return variance


def slow_covariance(values: Floats) -> Floats:
    """Return the long-run covariance matrix of the sums of the columns of *values*."""
    degrees = max(cosines(len(values)), 1)
    waves = slow_waves(values, degrees)
    covariance: Floats = 2 / degrees * (waves[:, :, None] * waves[:, None, :]).sum(axis=0)
    return covariance


def slow_waves(values: Floats, degrees: int) -> Floats:
    """Return the sums of *values* times each of the slowest *degrees* cosines, of half a wave, a wave, … in all."""
    # by a transform of the values and their mirror image: a matrix of the cosines of weeks takes hundreds of MB
    waves = np.fft.rfft(np.concatenate((values, values[::-1])), axis=0)[1 : degrees + 1]
    turned = np.exp(-0.5j * np.pi / len(values) * np.arange(1, degrees + 1))
    sums: Floats = (waves.T * turned).T.real / 2
    return sums


def estimated(
    sums: Floats,
    weights: Floats | None = None,
    *,
    comparisons: float = 1.0,
    independent: bool = False,
    least: float = 2,
    least_error: float = 0.0,
) -> Estimate:
    """Return Σ *sums* / Σ *weights* with its interval.

    Args:
        sums: One per draw, in order of time.
        comparisons: Independent intervals that hold at once in 95 % of cases.
        independent: Whether draws are independent; else the error is the long-run one.
        least: Effective draws, (Σw)²/Σw², below which there is no interval.
        least_error: Of the ratio, such as that of independent parts of the draws: few cosines may fall below it.
    """
    weights = np.ones(len(sums)) if weights is None else weights
    if not len(sums) or not weights.sum() > 0:
        return NO_ESTIMATE
    how = {"comparisons": comparisons, "least": least, "least_error": least_error}
    ends = column_ends(sums[:, None], weights, independent=independent, **how)
    value, error, half = (float(column[0]) for column in ends)
    if math.isnan(half):
        return Estimate(value)
    return Estimate(value, error, value - half, value + half, int(np.count_nonzero(weights)))


def column_ends(
    sums: Floats,
    weights: Floats,
    *,
    comparisons: float = 1.0,
    independent: bool = False,
    least: float = 2,
    least_error: float = 0.0,
) -> tuple[Floats, Floats, Floats]:
    """Estimate each column as `estimated` does: ratio, error and half the interval."""
    total = float(weights.sum())
    value: Floats = sums.sum(axis=0) / total
    effective = total * total / float((weights**2).sum())
    if effective < max(least, 2) - 1e-9:
        return value, np.full(len(value), np.nan), np.full(len(value), np.nan)
    away, draws = sums - weights[:, None] * value, int(np.count_nonzero(weights))
    if independent:
        degrees, variance = effective - 1, (away**2).sum(axis=0) * draws / (draws - 1)
    else:  # more cosines than draws with something in them would tell of zeros
        degrees, variance = min(cosines(len(sums)), effective - 1), slow_variance(away)
    error = np.maximum(np.sqrt(variance) / total, least_error)
    return value, error, student_quantile(degrees, comparisons) * error
