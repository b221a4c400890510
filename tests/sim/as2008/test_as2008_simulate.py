"""The simulated paths of the experiment of Avellaneda and Stoikov (2008)."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mm.sim.as2008 import simulate as simulating
from mm.sim.as2008.exact import exact
from mm.sim.as2008.model import STRATEGIES, PaperModel
from mm.sim.as2008.simulate import simulate
from mm.sim.as2008.table import NUMBERS, PATHS, row

PAPER = PaperModel(gamma=0.1, A=140.0, k=1.5, sigma=2.0, horizon_s=1.0, steps=200)
ROWS = [(gamma, strategy) for gamma in (0.1, 0.01, 1.0) for strategy in ("inventory", "symmetric")]


def simulated_row(market, strategy, **options):
    """Return the row of a strategy, with the options of a test."""
    return row(market, strategy, **{"paths": PATHS, "seed": 0, **options})


@pytest.mark.slow
@pytest.mark.parametrize(("gamma", "strategy"), ROWS)
def test_moments_of_100_000_paths_match_exact_moments(gamma, strategy):
    """All four numbers, within four standard errors."""
    result = simulated_row(replace(PAPER, gamma=gamma), strategy, paths=100_000, seed=1).to_json()
    assert result["simulated"]["n_paths"] == 100_000
    assert max(abs(result["simulated"]["z"][name]) for name in NUMBERS) < 4


@pytest.mark.parametrize("strategy", ["glft_exact", "glft_closed_form"])
def test_simulated_glft_strategies_match_exact_moments(strategy):
    """Their quotes depend on inventory and stop at a bound."""
    result = simulated_row(PAPER, strategy, paths=20_000).to_json()
    assert max(abs(z) for z in result["simulated"]["z"].values()) < 4


@pytest.mark.parametrize(("gamma", "strategy"), ROWS)
def test_moments_of_1000_paths_match_published_numbers(gamma, strategy):
    """Two samples of a thousand paths differ by at most 4·sqrt(2) standard errors of one."""
    result = simulated_row(replace(PAPER, gamma=gamma), strategy, seed=5).to_json()
    paper, ours = result["published"], result["simulated"]
    for name in NUMBERS:
        assert abs(ours[name] - paper[name]) < 4 * math.sqrt(2) * ours[f"se_{name}"]


@pytest.mark.slow
def test_standard_errors_match_spread_of_repeated_samples():
    """The symmetric strategy's profit has fat tails, which the error of its deviation includes."""
    policy = STRATEGIES["symmetric"](PAPER)
    moments = exact(PAPER, policy)
    runs = [
        simulate(PAPER, policy, moments, paths=400, stream=stream) for stream in np.random.SeedSequence(3).spawn(150)
    ]
    for name in ("mean", "std"):
        z = [(getattr(one.profit, name) - getattr(moments, f"profit_{name}")) for one in runs]
        reported = np.median([getattr(one.profit, f"se_{name}") for one in runs])
        assert np.std(z) == pytest.approx(reported, rel=0.25)  # 150 runs estimate a deviation to 6 %


def test_merged_blocks_have_moments_of_joined_draws(monkeypatch):
    """Power sums about a common centre add up; the same draws in one piece have the same moments."""
    monkeypatch.setattr(simulating, "BLOCK", 256)
    result = simulated_row(PAPER, "symmetric", paths=700)
    stream = np.random.SeedSequence(0, spawn_key=(1, int(np.float64(0.1).view(np.uint64))))
    policy = STRATEGIES["symmetric"](PAPER)
    pieces = [
        simulating._draw(PAPER, policy, size, np.random.default_rng(own))
        for size, own in zip((256, 256, 188), stream.spawn(3), strict=True)
    ]
    profit = np.concatenate([piece[0] for piece in pieces])
    beyond = profit - profit.mean()
    sample = result.simulated.profit
    assert sample.mean == pytest.approx(profit.mean(), rel=1e-12)
    assert sample.std == pytest.approx(profit.std(ddof=1), rel=1e-12)
    assert sample.skew == pytest.approx((beyond**3).mean() / profit.std() ** 3, rel=1e-9)
    assert sample.kurtosis == pytest.approx((beyond**4).mean() / profit.std() ** 4, rel=1e-9)
    assert result.simulated.final_q.mean == pytest.approx(
        np.concatenate([piece[1] for piece in pieces]).mean(), rel=1e-12
    )


def test_each_row_has_its_own_random_draws():
    """The same strategy at another gamma, or another strategy, uses different draws."""
    shares = {
        (gamma, strategy): simulated_row(replace(PAPER, gamma=gamma, sigma=0.0), strategy).simulated.final_q.mean
        for gamma in (0.1, 0.1000001)
        for strategy in ("inventory", "symmetric")
    }
    assert len(set(shares.values())) == 4


def test_constant_profit_has_zero_standard_error_and_no_z():
    """Where every quote fills in every step, profit is the spread, and there is no error to compare with."""
    market = replace(PAPER, A=1e9, horizon_s=0.05, steps=10)
    result = simulated_row(market, "symmetric", paths=50).to_json()
    assert result["simulated"]["profit_mean"] == pytest.approx(10 * result["exact"]["avg_spread"])
    assert result["simulated"]["profit_std"] == result["simulated"]["se_profit_mean"] == 0
    assert result["simulated"]["profit_kurtosis"] is None
    assert set(result["simulated"]["z"].values()) == {None}


def test_two_paths_have_no_z_of_profit_std():
    """Their kurtosis is always 1."""
    result = simulated_row(PAPER, "inventory", paths=2).to_json()
    assert result["simulated"]["z"]["profit_std"] is None
    assert result["published"]["z"]["profit_std"] is None
    assert result["simulated"]["z"]["profit_mean"] is not None
