"""ln A as a state that moves: what the next minutes may bring, from the counts of blocks so far.

In block b, E_b fills are expected at A = 1, and N_b are seen:

    N_b ~ Poisson(E_b · exp(u_b)),  u_b = m + z_b + e_b,  z_b = phi · z_{b-1} + w_b

m is the level of the days, z a deviation from it that halves in so many minutes (standard deviation tau), e what a
block has of its own (bursts; standard deviation s). Each block is one step of a Kalman filter whose observation is the
Gaussian approximation of the posterior of u_b at its peak (Laplace; West, Harrison, Migon, Dynamic generalized linear
models and Bayesian forecasting, JASA 80, 1985). Half-life, tau and s are not chosen: a grid of them is filtered at
once, and every forecast is the mean over the grid, weighted by how well each foresaw the blocks so far. Nothing after
the last block is read.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mm.calibration.points import Floats, Points
from mm.calibration.reference import BLOCK_S

HALF_LIVES_MIN = (10.0, 20.0, 40.0, 80.0, 160.0, 640.0)
TAU = (0.05, 0.15, 0.3, 0.5, 0.8, 1.2)
OWN = (0.0, 0.2, 0.4, 0.7, 1.1)
LEVEL_SD = 1.0  # of m around the logarithm of the mean rate
NEWTON = 50  # steps to the peak of a block, at most; they converge quadratically
CLOSE = 1e-10
NODES = 15  # of the quadrature over the rate of a forecast
LEVEL = 0.95


@dataclass(frozen=True)
class RateForecast:
    """What is known of the rate of the blocks to come.

    Attributes:
        A: Fills per second at distance 0: the exponential of the mean of ln A, which a few filters that hold a burst
            possible do not lift.
        se_log: Standard deviation of ln A, the mean over the horizon.
        low: Least number of fills to expect in the horizon (95 %).
        high: Greatest number.
    """

    A: float
    se_log: float
    low: float
    high: float


@dataclass(frozen=True)
class RateState:
    """The grid of filters after the last block.

    Attributes:
        phi, tau, own: float64[g], of each filter: what is left of z after a block, standard deviations of z and e.
        mean: float64[2, g], of m and z.
        cov: float64[3, g], variance of m, covariance, variance of z.
        weight: float64[g], of the filters; they sum to 1.
    """

    phi: Floats
    tau: Floats
    own: Floats
    mean: Floats
    cov: Floats
    weight: Floats

    def forecast(self, horizon_s: float, gain: float) -> RateForecast:
        """Return what the *horizon_s* after the last block may bring.

        Args:
            horizon_s: Its length; the last block of it may be a part.
            gain: Fills expected in a second at A = 1.
        """
        from scipy.special import pdtr

        steps = max(math.ceil(horizon_s / BLOCK_S - 1e-9), 1)
        share = np.full(steps, BLOCK_S)
        share[-1] = horizon_s - BLOCK_S * (steps - 1)
        ahead = self.phi ** np.arange(1, steps + 1)[:, None]  # by block and filter
        centre = self.mean[0] + ahead * self.mean[1]
        # covariances of the logarithms of the rates of two blocks ahead: m, what is left of z, new z, own noise
        level, cross, now = self.cov
        lag = self.phi ** np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))[:, :, None]
        new = self.tau**2 * (lag - ahead[:, None] * ahead[None])
        joint = level + cross * (ahead[:, None] + ahead[None]) + now * ahead[:, None] * ahead[None] + new
        joint = joint + self.own**2 * np.eye(steps)[:, :, None]
        own_variance = joint[np.arange(steps), np.arange(steps)]
        rate = np.exp(np.minimum(centre + own_variance / 2, 100.0))  # mean of each block
        part = share[:, None] / horizon_s * rate
        mean = part.sum(axis=0)
        square = (part[:, None] * part[None] * np.exp(np.minimum(joint, 100.0))).sum(axis=(0, 1))
        variance = np.log(np.maximum(square / mean**2, 1.0))  # of a lognormal rate with these two moments (Fenton)
        middle = np.log(mean) - variance / 2
        log_mean = float((self.weight * middle).sum())
        log_variance = float((self.weight * (variance + (middle - log_mean) ** 2)).sum())
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        rates = gain * horizon_s * np.exp(middle[:, None] + np.sqrt(variance)[:, None] * nodes)
        chance = self.weight[:, None] * (weights / weights.sum())

        def below(count: float) -> float:
            """Return the chance of so many fills or fewer."""
            return float((chance * pdtr(count, rates)).sum())

        tail = (1 - LEVEL) / 2
        return RateForecast(math.exp(log_mean), math.sqrt(log_variance), _least(below, tail), _least(below, 1 - tail))


def _least(below: Callable[[float], float], share: float) -> float:
    """Return the least whole number that so large a share is not above."""
    high = 1.0
    while below(high) < share:
        high *= 2
    low = -1.0
    while high - low > 1:
        middle = math.floor((low + high) / 2)
        low, high = (low, middle) if below(middle) >= share else (middle, high)
    return high


def filtered(expected: Floats, fills: Floats) -> RateState | None:
    """Return the state after blocks of equal length, one after the other; None without a fill.

    Args:
        expected: float64[b], fills of each block expected at A = 1; 0 where nothing was exposed.
        fills: float64[b], those seen.
    """
    total, exposed = float(fills.sum()), float(expected.sum())
    if total <= 0 or exposed <= 0:
        return None
    grid = np.array(np.meshgrid(HALF_LIVES_MIN, TAU, OWN, indexing="ij")).reshape(3, -1)
    half_life, tau, own = grid
    phi = 0.5 ** (BLOCK_S / 60 / half_life)
    mean = np.zeros((2, tau.size))
    mean[0] = math.log(total / exposed)
    cov = np.array([np.full(tau.size, LEVEL_SD**2), np.zeros(tau.size), tau**2])
    evidence = np.zeros(tau.size)
    for at, count in zip(expected.tolist(), fills.tolist(), strict=True):
        mean[1] *= phi
        cov[1] *= phi
        cov[2] = phi**2 * cov[2] + (1 - phi**2) * tau**2
        if at <= 0:
            continue
        centre, spread = mean[0] + mean[1], cov[0] + 2 * cov[1] + cov[2]
        prior = spread + own**2
        peak, curve = _peak(at, count, centre, prior)
        evidence += (
            count * (math.log(at) + peak) - at * np.exp(peak) - (peak - centre) ** 2 / (2 * prior)
            - np.log(prior * curve) / 2
        )  # fmt: skip
        # the peak is a Gaussian observation of the block's u; m and z follow by what they share with it
        along = np.array([cov[0] + cov[1], cov[1] + cov[2]]) / prior
        mean = mean + along * (peak - centre)
        left = prior - 1 / curve
        cov = cov - left * np.array([along[0] ** 2, along[0] * along[1], along[1] ** 2])
    weight = np.exp(evidence - evidence.max())
    return RateState(phi, tau, own, mean, cov, weight / weight.sum())


def _peak(expected: float, count: float, centre: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Return where the posterior of a block's u peaks, and its curvature there.

    It is log-concave; from the side where the rate is too high Newton's steps never leave it, so they start there.
    """
    u = np.maximum(centre, math.log((count + 0.5) / expected))
    for _ in range(NEWTON):
        rate = expected * np.exp(u)
        step = (rate - count + (u - centre) / prior) / (rate + 1 / prior)
        u = u - step
        if float(np.abs(step).max()) < CLOSE:
            break
    return u, expected * np.exp(u) + 1 / prior


def counts(points: Points, k: float, blocks: int) -> tuple[Floats, Floats]:
    """Return by block the fills that are expected at A = 1 with this k, and those seen.

    Args:
        points: Of a window, by blocks counted from 0.
        k: Decay per tick.
        blocks: How many there are, those without a row included.
    """
    near, far = points.delta_ticks, points.delta_ticks + points.width_ticks
    gain = np.exp(-k * near) - np.where(np.isfinite(far), np.exp(-k * far), 0.0)
    expected: Floats = np.bincount(points.block, points.exposure_s * gain, blocks).astype(np.float64)
    return expected, np.bincount(points.block, points.fills, blocks).astype(np.float64)


def forecast(points: Points, k: float, length_s: float, horizon_s: float) -> RateForecast | None:
    """Return what the *horizon_s* after a window may bring, of both sides; None without a fill.

    Args:
        points: Of the window, by blocks counted from its start.
        k: Decay per tick.
        length_s: Seconds that the window recorded.
        horizon_s: Length of what is foreseen, in seconds.
    """
    if not len(points) or points.block.min() < 0:
        return None
    expected, fills = counts(points, k, int(points.block.max()) + 1)
    state = filtered(expected, fills)
    return None if state is None else state.forecast(horizon_s, float(expected.sum()) / length_s)
