"""State space model of ln A: filter against plain matrices, forecasts against draws."""

import math

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from mm.calibration import state_space
from mm.calibration.points import Points
from mm.calibration.state_space import RateForecast, counts, filtered, forecast, forecasts_of

EXPOSED = 40.0  # fills that a block expects at A = 1


def drawn(seed, blocks, half_life_min=40.0, tau=0.5, own=0.3, level=0.0):
    """Return fills by block drawn from the model."""
    rng = np.random.default_rng(seed)
    phi = 0.5 ** (5 / half_life_min)
    z, found = rng.normal() * tau, []
    for _ in range(blocks):
        z = phi * z + math.sqrt(1 - phi**2) * tau * rng.normal()
        found.append(rng.poisson(EXPOSED * math.exp(level + z + own * rng.normal())))
    return np.array(found, float)


def use_single_filter(monkeypatch, half_life, tau, own):
    """Reduce the grid to one filter."""
    for name, value in (("HALF_LIVES_MIN", half_life), ("TAU", tau), ("OWN", own)):
        monkeypatch.setattr(state_space, name, (value,))


def plain_filter(expected, fills, half_life, tau, own):
    """Return mean, covariance and evidence of the filter by matrices and a general optimiser."""
    phi = 0.5 ** (5 / half_life)
    mean = np.array([math.log(fills.sum() / expected.sum()), 0.0])
    cov, step = np.diag([1.0, tau**2]), np.diag([1.0, phi])
    evidence = 0.0
    for at, count in zip(expected, fills, strict=True):
        mean, cov = step @ mean, step @ cov @ step + np.diag([0.0, (1 - phi**2) * tau**2])
        if at == 0:
            continue
        observation = np.ones(2)
        centre, prior = observation @ mean, observation @ cov @ observation + own**2

        def loss(u, at=at, count=count, centre=centre, prior=prior):
            return at * math.exp(u) - count * u + (u - centre) ** 2 / (2 * prior)

        peak = optimize.minimize_scalar(loss, bracket=(centre - 1, centre + 1), tol=1e-12).x
        curve = at * math.exp(peak) + 1 / prior
        evidence += -loss(peak) + count * math.log(at) - 0.5 * math.log(prior * curve)
        # a Gaussian observation y of u with variance v gives this peak and curvature
        v = 1 / (curve - 1 / prior) + own**2
        y = peak + (peak - centre) / prior / (curve - 1 / prior)
        gain = cov @ observation / (observation @ cov @ observation + v)
        mean, cov = mean + gain * (y - observation @ mean), cov - np.outer(gain, observation @ cov)
    return mean, cov, evidence


@pytest.mark.parametrize("own", [0.0, 0.4])
def test_filter_equals_plain_matrices(monkeypatch, own):
    """Also over blocks without exposure and without fills."""
    use_single_filter(monkeypatch, 30.0, 0.6, own)
    fills = drawn(1, 40)
    expected = np.full(40, EXPOSED)
    expected[[0, 10, 11, 39]] = 0.0
    fills[expected == 0] = 0
    fills[20] = 0
    mean, cov, _ = plain_filter(expected, fills, 30.0, 0.6, own)
    found = filtered([(expected, fills)])
    assert found.mean[:, 0, 0] == pytest.approx(mean, abs=1e-6)
    assert found.cov[:, 0, 0] == pytest.approx([cov[0, 0], cov[0, 1], cov[1, 1]], abs=1e-6)


def test_filter_weights_follow_evidence(monkeypatch):
    """The ratio of two weights is the ratio of their evidences."""
    monkeypatch.setattr(state_space, "HALF_LIVES_MIN", (30.0,))
    monkeypatch.setattr(state_space, "TAU", (0.2, 0.7))
    monkeypatch.setattr(state_space, "OWN", (0.3,))
    fills, expected = drawn(2, 30), np.full(30, EXPOSED)
    [weight] = filtered([(expected, fills)]).weight
    evidence = [plain_filter(expected, fills, 30.0, tau, 0.3)[2] for tau in (0.2, 0.7)]
    assert weight.sum() == pytest.approx(1.0)
    assert math.log(weight[1] / weight[0]) == pytest.approx(evidence[1] - evidence[0], abs=1e-5)


def test_evidence_of_one_block_equals_integral(monkeypatch):
    """For large counts Laplace's approximation equals the integral over the rate."""
    monkeypatch.setattr(state_space, "HALF_LIVES_MIN", (30.0,))
    monkeypatch.setattr(state_space, "TAU", (0.2, 1.2))
    monkeypatch.setattr(state_space, "OWN", (0.0,))
    fills, expected = np.array([300.0, 20.0]), np.array([EXPOSED, 0.0])
    [weight] = filtered([(expected, fills)]).weight
    centre = math.log(fills.sum() / expected.sum())

    def marginal(tau):
        def density(u):
            return stats.poisson.pmf(300, EXPOSED * math.exp(u)) * stats.norm.pdf(u, centre, math.sqrt(1 + tau**2))

        return integrate.quad(density, 1.0, 3.0)[0]

    assert weight[1] / weight[0] == pytest.approx(marginal(1.2) / marginal(0.2), rel=1e-3)


@pytest.mark.parametrize("horizon_s", [300.0, 700.0, 1800.0])
def test_forecast_matches_draws(horizon_s):
    """ln A and the interval of the fills, against draws of every filter's state, path and counts."""
    found = filtered([(np.full(60, EXPOSED), drawn(3, 60))])
    mean, cov, weight = found.mean[:, 0], found.cov[:, 0], found.weight[0]
    gain = EXPOSED / 300.0
    [ahead] = found.forecasts(horizon_s, [gain])
    rng, count = np.random.default_rng(4), 40_000
    chosen = rng.choice(weight.size, count, p=weight)
    phi, tau, own = found.phi[chosen], found.tau[chosen], found.own[chosen]
    sd_level = np.sqrt(cov[0, chosen])
    first, second = rng.normal(size=(2, count))
    level = mean[0, chosen] + sd_level * first
    along = cov[1, chosen] / sd_level
    z = mean[1, chosen] + along * first + np.sqrt(np.maximum(cov[2, chosen] - along**2, 0)) * second
    total = np.zeros(count)
    for begin in np.arange(0.0, horizon_s, 300.0):
        z = phi * z + np.sqrt(1 - phi**2) * tau * rng.normal(size=count)
        total += min(300.0, horizon_s - begin) * np.exp(level + z + own * rng.normal(size=count))
    logs = np.log(total / horizon_s)
    assert math.log(ahead.A) == pytest.approx(logs.mean(), abs=0.02)
    assert ahead.se_log == pytest.approx(logs.std(), rel=0.05)
    low, high = np.quantile(rng.poisson(gain * total), (0.025, 0.975))
    assert ahead.interval[0] == pytest.approx(low, rel=0.05, abs=2)
    assert ahead.interval[1] == pytest.approx(high, rel=0.05, abs=2)


def test_joint_forecasts_equal_separate_forecasts():
    """Windows of all lengths are filtered together; one without fills has no forecast."""
    stretches = [(np.full(size, EXPOSED), drawn(size, size), 300.0 * size) for size in (1, 17, 40, 60)]
    stretches[2:2] = [None, (np.full(9, EXPOSED), np.zeros(9), 2700.0)]
    together = forecasts_of(stretches, 700.0)
    separate = [forecasts_of([one], 700.0)[0] for one in stretches]
    assert [one is None for one in together] == [False, False, True, True, False, False]
    for one, other in zip(together, separate, strict=True):
        if one is not None and other is not None:
            for name in ("A", "se_log", "exposed", "weight", "middle", "variance"):
                assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9), name


def test_forecast_interval_covers_next_fills():
    """On days of the model, of constant rate and of rare fills: 95 % of the next quarters of an hour."""
    coverage = {}
    for name, scale, own, tau in (("moving", 1.0, 0.3, 0.5), ("constant", 1.0, 0.0, 0.0), ("rare", 0.02, 0.2, 0.4)):
        inside = []
        for seed in range(25):
            fills = drawn(seed, 51, tau=tau, own=own, level=math.log(scale))
            [ahead] = forecasts_of([(np.full(48, EXPOSED), fills[:48], 48 * 300.0)], 900.0)
            if ahead is not None:
                inside.append(ahead.interval[0] <= fills[48:].sum() <= ahead.interval[1])
        coverage[name] = np.mean(inside)
    assert min(coverage.values()) >= 0.8, coverage


def points(seed, blocks):
    """Return cells of orders with k = .5, by block."""
    near = np.arange(1.0, 6.0)
    gain = np.exp(-0.5 * near) - np.where(near < 5, np.exp(-0.5 * (near + 1)), 0.0)
    rng, exposure = np.random.default_rng(seed), 3000.0
    fills = rng.poisson(0.1 * exposure * gain, (blocks, 5))
    return Points.of(
        np.tile(near, blocks),
        np.full(5 * blocks, exposure),
        fills.ravel().astype(float),
        block=np.repeat(np.arange(blocks), 5),
        width_ticks=np.tile(np.where(near < 5, 1.0, np.inf), blocks),
    )


def test_counts_expect_rate_of_one():
    """All cells, the open one included, and blocks without rows."""
    table = points(5, 4)
    expected, fills = counts(table, 0.5, 6)
    assert expected == pytest.approx([3000.0 * math.exp(-0.5)] * 4 + [0.0, 0.0])
    assert fills.tolist() == [*table.fills.reshape(4, 5).sum(axis=1).tolist(), 0.0, 0.0]


def test_forecast_recovers_constant_rate():
    """Within the error of the state."""
    ahead = forecast(points(6, 100), 0.5, 30_000.0, 900.0)
    assert abs(math.log(ahead.A / 0.1)) < 4 * ahead.se_log
    assert ahead.se_log < 0.15


def test_forecast_without_fills_or_blocks_is_none():
    """A window without fills, and a table without blocks."""
    table = points(7, 3)
    empty = Points.of(table.delta_ticks, table.exposure_s, np.zeros(len(table)), block=table.block)
    assert forecast(empty, 0.5, 900.0, 900.0) is None
    assert forecast(Points.of(table.delta_ticks, table.exposure_s, table.fills), 0.5, 900.0, 900.0) is None


def test_long_stretches_are_forecast_from_their_last_blocks():
    """The first ones are more than eight of the longest half-lives old."""
    fills = np.concatenate((drawn(8, 500, level=-0.5), drawn(9, state_space.LAST_BLOCKS)))
    expected = np.full(len(fills), EXPOSED)
    whole, last = filtered([(expected, fills)]), filtered([(expected[500:], fills[500:])])
    assert whole.mean.sum(axis=0) == pytest.approx(last.mean.sum(axis=0), abs=0.02)


@pytest.mark.parametrize("mean", [0.01, 0.5, 40.0, 1e5])
def test_interval_of_a_known_rate_is_that_of_poisson(mean):
    """The least counts whose cumulative probability is 2.5 and 97.5 %."""
    one = np.ones(1)
    known = RateForecast(1.0, 0.0, one, np.log(one), np.zeros(1), mean)
    assert known.interval == (stats.poisson(mean).ppf(0.025), stats.poisson(mean).ppf(0.975))


def test_counts_use_gain_of_each_row():
    """Also for rows of one distance with different widths, and blocks in any order."""
    points = Points.of([0, 1, 1, 0], [9, 8, 7, 6], [1, 2, 3, 4], block=[2, 0, 2, 0], width_ticks=[1, 2, np.inf, 1])
    k = 0.3
    gain = [1 - math.exp(-k), math.exp(-k) - math.exp(-3 * k), math.exp(-k), 1 - math.exp(-k)]
    expected, fills = counts(points, k, 3)
    assert expected.tolist() == pytest.approx([8 * gain[1] + 6 * gain[3], 0.0, 9 * gain[0] + 7 * gain[2]], rel=1e-14)
    assert fills.tolist() == [6.0, 0.0, 4.0]
