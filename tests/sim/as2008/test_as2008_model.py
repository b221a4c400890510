"""The model of the experiment of Avellaneda and Stoikov (2008): fills and quoting rules."""

import math

import numpy as np
import pytest
from known_moments import PAPER, exact_moments

from mm.errors import UsageError
from mm.sim.as2008.exact import exact
from mm.sim.as2008.model import Q_MAX, STRATEGIES, PaperModel


def test_fill_probability_one_minus_exp_gives_other_moments(monkeypatch):
    """The most frequent mistake in reproductions, with its own exact values: A·dt is 0.7, far from small."""
    linear = PaperModel.log_chance

    def other(self, distances):
        return np.log(-np.expm1(-np.exp(linear(self, distances))))

    monkeypatch.setattr(PaperModel, "log_chance", other)
    got = exact_moments(0.1, "inventory")
    assert (got.profit_mean, got.profit_std, got.final_q_std) == pytest.approx(
        (57.171716940142, 6.361641171426, 2.995226754231), abs=1e-9
    )
    assert exact_moments(1.0, "symmetric").profit_mean == pytest.approx(42.314569374158, abs=1e-9)


def test_glft_exact_quotes_stop_at_inventory_bound():
    """At +Q there is no bid, at -Q no ask, and beyond neither matters."""
    policy = STRATEGIES["glft_exact"](PAPER)
    bid, ask = policy.distances(0, np.array([-Q_MAX - 1, -Q_MAX, 0, Q_MAX, Q_MAX + 1]))
    assert (bid[3], bid[4]) == (math.inf, math.inf)
    assert (ask[0], ask[1]) == (math.inf, math.inf)
    assert np.isfinite(bid[:3]).all()
    assert np.isfinite(ask[2:]).all()


def test_quotes_outside_float_range_raise_usage_error():
    """A risk of e^-1000 within one step leaves nothing to divide by."""
    with pytest.raises(UsageError, match="choose a smaller step_s"):
        exact_moments(1000.0, "glft_exact")


def test_capped_fill_probability_is_counted_for_its_side():
    """An ask far through the mid would fill with a probability above 1; the distant bid would not."""

    class OneSided:
        average_spread = None

        def distances(self, step, q):
            return np.full(q.shape, 3.0), np.full(q.shape, -3.0)

    market = PaperModel(gamma=0.5, A=1.0, k=1.0, sigma=0.0, horizon_s=1.0, steps=4)
    got = exact(market, OneSided())
    assert got.expected_steps_with_lambda_dt_above_1 == pytest.approx(4)
    assert got.fills_per_path == pytest.approx(4 * (1 + 0.25 * math.exp(-3)))
    assert got.profit_mean == pytest.approx(4 * (-3 + 3 * 0.25 * math.exp(-3)))
