"""State-space model of ln A: forecasts of the next minutes from the counts of past blocks.

In block b, E_b fills are expected at A = 1, and N_b occur:

    N_b ~ Poisson(E_b · exp(u_b)),  u_b = m + z_b + e_b,  z_b = phi · z_{b-1} + w_b

m is the overall level, z a mean-reverting deviation from it (standard deviation tau), e the noise of a block
(bursts; standard deviation s). Each block is one step of a Kalman filter whose observation is the
Gaussian approximation of the posterior of u_b at its peak (Laplace; West, Harrison, Migon, Dynamic generalized linear
models and Bayesian forecasting, JASA 80, 1985). Half-life, tau and s are averaged over: a grid of them is filtered, and
every forecast is the mean over the grid, weighted by the predictive likelihood of the past blocks. Nothing after the
last block is read.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from mm.base.arrays import Floats
from mm.calibration.points import Points, sum_by
from mm.calibration.reference import BLOCK_S

HALF_LIVES_MIN = (10.0, 20.0, 40.0, 80.0, 160.0, 640.0)
TAU = (0.05, 0.15, 0.3, 0.5, 0.8, 1.2)
OWN = (0.0, 0.2, 0.4, 0.7, 1.1)
LEVEL_SD = 1.0  # of m around the logarithm of the mean rate
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(15)  # of the quadrature over the rate of a forecast
WEIGHTS = WEIGHTS / WEIGHTS.sum()
NEVER = 1e-16  # smaller probabilities are negligible
LEVEL = 0.95
REACHED = 7.0  # standard deviations above the mean, where any distribution has its upper end (Cantelli's inequality)
LAST_BLOCKS = 1024  # read of a stretch: eight of the longest half-lives
HALF = 0.5  # fills added to a count, so that its logarithm is finite
MAX_STEPS = 50  # of Newton's method
CLOSE = 1e-6  # size of the last step; the error is its square


@dataclass(frozen=True)
class RateForecast:
    """Forecast of the rate of future blocks.

    Attributes:
        A: Fills per second at distance 0: the exponential of the mean of ln A, which is robust to a few filters
            that allow bursts.
        se_log: Standard deviation of ln A, the mean over the horizon.
        weight: float64[g], of the filters; they sum to 1.
        middle: float64[g], mean of ln A over the horizon, per filter.
        variance: float64[g], its variance, per filter.
        exposed: Expected fills in the horizon at A = 1.
    """

    A: float
    se_log: float
    weight: Floats
    middle: Floats
    variance: Floats
    exposed: float

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the number of fills in the horizon."""
        from scipy.special import pdtr

        chance = (self.weight[:, None] * WEIGHTS).ravel()
        log_rates = self.middle[:, None] + np.sqrt(self.variance)[:, None] * NODES
        likely = chance > NEVER
        chance, fills = chance[likely], (self.exposed * np.exp(log_rates)).ravel()[likely]

        def below(count: float) -> float:
            """Return the probability of at most this many fills."""
            return float((chance * pdtr(count, fills)).sum())

        middle = float((chance * fills).sum())
        spread = math.sqrt(middle + float((chance * (fills - middle) ** 2).sum()))
        counts = range(math.ceil(middle + REACHED * spread) + 1)
        low, high = (bisect_left(counts, share, key=below) for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
        return float(low), float(high)


@dataclass(frozen=True)
class RateStates:
    """States of the grid of filters after the last block, for several stretches of blocks.

    Attributes:
        phi, tau, own: float64[g], per filter: decay factor of z per block, standard deviations of z and e.
        mean: float64[2, w, g], of m and z, by stretch and filter.
        cov: float64[3, w, g], variance of m, covariance, variance of z.
        weight: float64[w, g], of the filters; those of a stretch sum to 1.
    """

    phi: Floats
    tau: Floats
    own: Floats
    mean: Floats
    cov: Floats
    weight: Floats

    def forecasts(self, horizon_s: float, gains: Sequence[float]) -> list[RateForecast]:
        """Return the forecast for the *horizon_s* after the last block of each stretch.

        Args:
            horizon_s: Length of the horizon, in seconds; its last block may be partial.
            gains: Expected fills per second at A = 1, per stretch.
        """
        steps = max(math.ceil(horizon_s / BLOCK_S - 1e-9), 1)
        share = np.full(steps, BLOCK_S)
        share[-1] = horizon_s - BLOCK_S * (steps - 1)
        ahead = (self.phi ** np.arange(1, steps + 1)[:, None])[:, None]  # by block, stretch and filter
        centre = self.mean[0] + ahead * self.mean[1]
        # covariances of the logarithms of the rates of two blocks ahead: m, decayed z, new z, own noise
        level, cross, now = self.cov
        lag = (self.phi ** np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))[:, :, None])[:, :, None]
        new = self.tau**2 * (lag - ahead[:, None] * ahead[None])
        joint = level + cross * (ahead[:, None] + ahead[None]) + now * ahead[:, None] * ahead[None] + new
        joint = joint + self.own**2 * np.eye(steps)[:, :, None, None]
        own_variance = joint[np.arange(steps), np.arange(steps)]
        rate = np.exp(np.minimum(centre + own_variance / 2, 100.0))  # mean of each block
        part = share[:, None, None] / horizon_s * rate
        mean = part.sum(axis=0)
        square = (part[:, None] * part[None] * np.exp(np.minimum(joint, 100.0))).sum(axis=(0, 1))
        variance = np.log(np.maximum(square / mean**2, 1.0))  # of a lognormal rate with these two moments (Fenton)
        middle = np.log(mean) - variance / 2
        log_mean = (self.weight * middle).sum(axis=1)
        log_variance = (self.weight * (variance + (middle - log_mean[:, None]) ** 2)).sum(axis=1)
        rows = zip(log_mean.tolist(), log_variance.tolist(), self.weight, middle, variance, gains, strict=True)
        return [
            RateForecast(math.exp(log_a), math.sqrt(log_spread), weight, mid, spread, gain * horizon_s)
            for log_a, log_spread, weight, mid, spread, gain in rows
        ]


def filtered(stretches: Sequence[tuple[Floats, Floats]]) -> RateStates:
    """Return the filter states after stretches of consecutive blocks of equal length.

    Of a long stretch, the last `LAST_BLOCKS` are read.

    Args:
        stretches: Per stretch, float64[b], the expected fills per block at A = 1 (0 without exposure), and float64[b],
            the observed ones; both with a sum above 0.
    """
    phi, tau, own = _grid(HALF_LIVES_MIN, TAU, OWN)
    blocks = min(max(len(expected) for expected, _ in stretches), LAST_BLOCKS)
    # the last blocks of all stretches are aligned: before the first exposure, the state is the stationary one
    expected, fills = np.zeros((2, blocks, len(stretches), 1))
    for at, columns in enumerate(stretches):
        for table, column in zip((expected, fills), columns, strict=True):
            last = column[-blocks:]
            table[blocks - len(last) :, at, 0] = last
    fills = np.where(expected > 0, fills, 0.0)
    level = [[math.log(float(seen.sum()) / float(exposed.sum()))] for exposed, seen in stretches]
    shape = len(stretches), tau.size
    m, z, mm, mz, zz = (np.broadcast_to(start, shape) for start in (level, 0.0, LEVEL_SD**2, 0.0, tau**2))
    evidence = np.zeros(shape)
    for exposed, count in zip(expected, fills, strict=True):
        z, mz, zz = phi * z, phi * mz, phi**2 * zz + (1 - phi**2) * tau**2
        centre, prior = m + z, mm + 2 * mz + zz + own**2
        peak = _modes(exposed, count, centre, prior)
        rate = exposed * np.exp(peak)
        curve, off = rate + 1 / prior, peak - centre
        # the peak is a Gaussian observation of the block's u; m and z follow by their covariance with it
        along_m, along_z, spread = (mm + mz) / prior, (mz + zz) / prior, prior - 1 / curve
        m, z = m + along_m * off, z + along_z * off
        mm, mz, zz = mm - spread * along_m**2, mz - spread * along_m * along_z, zz - spread * along_z**2
        logs = np.log(np.where(exposed > 0, exposed, 1.0)) + peak
        evidence += count * logs - rate - off**2 / prior / 2 - np.log(prior * curve) / 2
    weight = np.exp(evidence - evidence.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return RateStates(phi, tau, own, np.stack((m, z)), np.stack((mm, mz, zz)), weight)


def _modes(exposed: Floats, count: Floats, centre: Floats, prior: Floats) -> Floats:
    """Return the mode of the posterior of a block's u, given the mean and the variance before it.

    By Newton's method: the derivative is concave in u, so the first step from either side ends where the rate is too
    high, and further steps stay on that side. Without exposure, it is *centre*.

    Args:
        exposed, count: Expected fills at A = 1 and fills, per stretch.
        centre, prior: Mean and variance of u, per stretch and filter.
    """
    observed = np.log(count + HALF) - np.log(np.where(exposed > 0, exposed, 1.0))
    peak = np.where(exposed > 0, (count * observed + centre / prior) / (count + 1 / prior), centre)
    for _ in range(MAX_STEPS):
        rate = exposed * np.exp(peak)
        step = (rate - count + (peak - centre) / prior) / (rate + 1 / prior)
        peak = peak - step
        if np.abs(step).max() < CLOSE:
            break
    return peak


@lru_cache(maxsize=1)
def _grid(half_lives_min: tuple[float, ...], tau: tuple[float, ...], own: tuple[float, ...]) -> Floats:
    """Return the decay of z per block, and the standard deviations of z and e, of every filter."""
    grid = np.array(np.meshgrid(half_lives_min, tau, own, indexing="ij")).reshape(3, -1)
    grid[0] = 0.5 ** (BLOCK_S / 60 / grid[0])
    return grid


def gain_of(near: Floats, far: Floats, k: float) -> Floats:
    """Return the share of the sweeps that end in each cell, *near* to *far* in ticks; *far* may be infinite."""
    gain: Floats = np.exp(-k * near) - np.where(np.isfinite(far), np.exp(-k * far), 0.0)
    return gain


def counts(points: Points, k: float, blocks: int) -> tuple[Floats, Floats]:
    """Return, per block, the expected fills at A = 1 with this k, and the observed ones.

    Args:
        points: Points of a window, by blocks counted from 0.
        k: Decay per tick.
        blocks: Number of blocks, including empty ones.
    """
    first, row = points.groups
    near = points.delta_ticks[first]
    gain = gain_of(near, near + points.width_ticks[first], k)
    return sum_by(points.block, points.exposure_s * gain[row], blocks), sum_by(points.block, points.fills, blocks)


def forecast(points: Points, k: float, length_s: float, horizon_s: float) -> RateForecast | None:
    """Return the forecast for *horizon_s* after a window, of both sides; None without a fill.

    Args:
        points: Points of the window, by blocks counted from its start.
        k: Decay per tick.
        length_s: Recorded seconds of the window.
        horizon_s: Length of the horizon, in seconds.
    """
    if not len(points) or points.block.min() < 0:
        return None
    expected, fills = counts(points, k, int(points.block.max()) + 1)
    return forecasts_of([(expected, fills, length_s)], horizon_s)[0]


def forecasts_of(
    stretches: Sequence[tuple[Floats, Floats, float] | None], horizon_s: float
) -> list[RateForecast | None]:
    """Return the result of `forecast` for each stretch; None for one without fills, and for None.

    Args:
        stretches: Per stretch, the expected fills per block at A = 1, the observed ones, and the recorded seconds.
        horizon_s: Length of the horizon, in seconds.
    """
    known = [series for series in stretches if series is not None and series[0].sum() > 0 and series[1].sum() > 0]
    if not known:
        return [None] * len(stretches)
    gains = [float(expected.sum()) / length_s for expected, _, length_s in known]
    found = iter(filtered([(expected, fills) for expected, fills, _ in known]).forecasts(horizon_s, gains))
    taken = {id(series) for series in known}
    return [next(found) if id(series) in taken else None for series in stretches]
