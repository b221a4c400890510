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


def drawn(market, strategy, **how):
    """Return the row of a strategy, with the choices of a test."""
    return row(market, strategy, **{"paths": PATHS, "seed": 0, "workers": 2, **how})


@pytest.mark.parametrize(("gamma", "strategy"), ROWS)
def test_a_hundred_thousand_paths_meet_the_exact_moments(gamma, strategy):
    """All four numbers, within four standard errors."""
    found = drawn(replace(PAPER, gamma=gamma), strategy, paths=100_000, seed=1).to_json()
    assert found["simulated"]["n_paths"] == 100_000
    assert max(abs(found["simulated"]["z"][name]) for name in NUMBERS) < 4


@pytest.mark.parametrize("strategy", ["glft_exact", "glft_closed_form"])
def test_the_other_rules_are_simulated_as_they_are_computed(strategy):
    """Their quotes depend on inventory and, at a bound, end."""
    found = drawn(PAPER, strategy, paths=20_000).to_json()
    assert max(abs(z) for z in found["simulated"]["z"].values()) < 4


@pytest.mark.parametrize(("gamma", "strategy"), ROWS)
def test_a_thousand_paths_meet_the_published_numbers(gamma, strategy):
    """Two samples of a thousand differ by at most 4·sqrt(2) standard errors of one."""
    found = drawn(replace(PAPER, gamma=gamma), strategy, seed=5).to_json()
    told, ours = found["published"], found["simulated"]
    for name in NUMBERS:
        assert abs(ours[name] - told[name]) < 4 * math.sqrt(2) * ours[f"se_{name}"]


def test_errors_are_those_of_repeated_samples():
    """The symmetric rule's profit has fat tails, which the error of its deviation includes."""
    policy = STRATEGIES["symmetric"](PAPER)
    moments = exact(PAPER, policy)
    runs = [
        simulate(PAPER, policy, moments, paths=400, stream=stream, workers=1)
        for stream in np.random.SeedSequence(3).spawn(150)
    ]
    for name in ("mean", "std"):
        z = [(getattr(one.profit, name) - getattr(moments, f"profit_{name}")) for one in runs]
        told = np.median([getattr(one.profit, f"se_{name}") for one in runs])
        assert np.std(z) == pytest.approx(told, rel=0.25)  # 150 runs tell a deviation to 6 %


def test_the_number_of_workers_changes_nothing(monkeypatch):
    """Every block has a stream of its own, and sums are put together in the blocks' order."""
    monkeypatch.setattr(simulating, "BLOCK", 300)
    one, four = drawn(PAPER, "inventory", workers=1), drawn(PAPER, "inventory", workers=4)
    assert one == four
    assert one != drawn(PAPER, "inventory", seed=1)


def test_blocks_are_merged_as_if_they_were_one(monkeypatch):
    """Power sums about a common centre add up; the same draws in one piece have the same moments."""
    monkeypatch.setattr(simulating, "BLOCK", 256)
    found = drawn(PAPER, "symmetric", paths=700)
    stream = np.random.SeedSequence(0, spawn_key=(1, int(np.float64(0.1).view(np.uint64))))
    policy = STRATEGIES["symmetric"](PAPER)
    pieces = [
        simulating._draw(PAPER, policy, size, np.random.default_rng(own))
        for size, own in zip((256, 256, 188), stream.spawn(3), strict=True)
    ]
    profit = np.concatenate([piece[0] for piece in pieces])
    beyond = profit - profit.mean()
    sample = found.simulated.profit
    assert sample.mean == pytest.approx(profit.mean(), rel=1e-12)
    assert sample.std == pytest.approx(profit.std(ddof=1), rel=1e-12)
    assert sample.skew == pytest.approx((beyond**3).mean() / profit.std() ** 3, rel=1e-9)
    assert sample.kurtosis == pytest.approx((beyond**4).mean() / profit.std() ** 4, rel=1e-9)
    assert found.simulated.final_q.mean == pytest.approx(
        np.concatenate([piece[1] for piece in pieces]).mean(), rel=1e-12
    )


def test_a_row_does_not_depend_on_its_neighbours():
    """Rows have luck of their own: the same strategy at another gamma, or another strategy, draws other coins."""
    shares = {
        (gamma, strategy): drawn(replace(PAPER, gamma=gamma, sigma=0.0), strategy).simulated.final_q.mean
        for gamma in (0.1, 0.1000001)
        for strategy in ("inventory", "symmetric")
    }
    assert len(set(shares.values())) == 4


def test_draws_that_are_all_equal_have_no_error():
    """Where every quote fills in every step, profit is the spread, and there is nothing to hold against it."""
    market = replace(PAPER, A=1e9, horizon_s=0.05, steps=10)
    found = drawn(market, "symmetric", paths=50).to_json()
    assert found["simulated"]["profit_mean"] == pytest.approx(10 * found["exact"]["avg_spread"])
    assert found["simulated"]["profit_std"] == found["simulated"]["se_profit_mean"] == 0
    assert found["simulated"]["profit_kurtosis"] is None
    assert set(found["simulated"]["z"].values()) == {None}


def test_two_paths_tell_no_error_of_their_deviation():
    """Their kurtosis is always 1, whatever they are."""
    found = drawn(PAPER, "inventory", paths=2).to_json()
    assert found["simulated"]["z"]["profit_std"] is None
    assert found["published"]["z"]["profit_std"] is None
    assert found["simulated"]["z"]["profit_mean"] is not None
