"""How the PnL was spread over days and minutes, by hand."""

import math
import statistics

import numpy as np
import pytest

from journals import Scribe, books
from mm.backtest.metrics import returns
from mm.backtest.metrics.overfitting import probabilistic_sharpe
from mm.backtest.metrics.summary import summarise

DAY = 86_400_000_000


def held_over(moves, lots=100):
    """A run that holds *lots*, a day a move of the mid in ticks; its summary with the days told apart."""
    scribe = Scribe(initial_lots=lots)
    scribe.move(20_000)
    starts = []
    for move in moves:
        starts.append(scribe.us)
        scribe.state()
        scribe.wait(3_600_000_000)
        scribe.move(scribe.mid2 + 2 * move)
        scribe.state()
        scribe.wait(DAY - 3_600_000_000)
    terms = {"days": tuple(f"2026010{day + 1}" for day in range(len(moves))), "starts_us": tuple(starts)}
    return summarise(scribe.journal(), books(scribe.instrument, **terms))


def test_days_add_up_and_have_a_sharpe_ratio_of_their_own():
    """Mean over deviation of three days, times √365."""
    summary = held_over([10, -4, 6])
    pnl = [day["pnl"] for day in summary["daily"]]
    assert pnl == pytest.approx([10 * 1e-5, -4 * 1e-5, 6 * 1e-5])
    assert sum(pnl) == pytest.approx(summary["pnl_total"])
    assert summary["sharpe_daily"] == pytest.approx(statistics.mean(pnl) / statistics.stdev(pnl) * math.sqrt(365))
    assert [day["day"] for day in summary["daily"]] == ["20260101", "20260102", "20260103"]


def test_one_day_has_no_sharpe_ratio_of_days():
    """Null, and why."""
    summary = held_over([3])
    assert summary["sharpe_daily"] is None
    assert any("fewer than two days" in line for line in summary["warnings"])


def test_skew_and_kurtosis_are_those_of_the_definition():
    """One loss of 9 among nine gains of 1: kurtosis raw, so that a normal distribution has 3."""
    found = returns.moments(np.array([1.0] * 9 + [-9.0]))
    assert found["mean"] == 0.0
    assert found["skew"] == pytest.approx((9 * 1 - 729) / 10 / 9**1.5)
    assert found["kurtosis"] == pytest.approx((9 + 6561) / 10 / 81)
    assert (found["worst"], found["median"], found["best"], found["lost"]) == (-9.0, 1.0, 1.0, 0.1)
    normal = returns.moments(np.random.default_rng(1).normal(0, 1, 200_000))
    assert normal["kurtosis"] == pytest.approx(3.0, abs=0.05)


def test_the_probability_is_that_of_these_moments():
    """psr of the summary is the formula on its own returns."""
    changes = np.random.default_rng(2).normal(0.1, 1, 500)
    found = returns.moments(changes)
    shape = {"periods": 500, "skew": found["skew"], "kurtosis": found["kurtosis"]}
    assert returns.psr(found) == probabilistic_sharpe(found["sharpe_per_period"], **shape)
    assert returns.psr(returns.moments(np.zeros(9))) is None
