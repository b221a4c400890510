"""The bare Avellaneda-Stoikov formula against published numbers and its own identities, in the caller's units."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.distances import AvellanedaStoikov
from mm.errors import UsageError

# The paper's parameters (sigma 2, k 1.5, gamma 0.1): time left, inventory, distance of bid and ask.
PAPER = [
    (1.0, 0, 0.8453852114, 0.8453852114),
    (1.0, 2, 1.6453852114, 0.0453852114),
    (1.0, 5, 2.8453852114, -1.1546147886),
    (0.1, 5, 0.8653852114, 0.4653852114),
    (0.001, 2, 0.6463852114, 0.6447852114),
]
GAMMA, K, SIGMA = st.floats(1e-3, 5), st.floats(0.05, 5), st.floats(0, 5)


@pytest.mark.parametrize(("tau_s", "q", "bid", "ask"), PAPER)
def test_quotes_equal_those_of_the_paper(tau_s, q, bid, ask):
    """Equations 29 and 30, at the parameters of section 3.3; a distance may be negative."""
    model = AvellanedaStoikov(gamma=0.1, k=1.5)
    assert model.distances(q, tau_s, 2.0, 1.5) == pytest.approx((bid, ask), abs=1e-9)


@given(GAMMA, K, SIGMA, st.floats(-20, 20), st.floats(0, 100))
def test_spread_is_independent_of_inventory_and_sides_mirror(gamma, k, sigma, q, tau_s):
    """Inventory moves both quotes by the same amount, and a short position mirrors a long one."""
    model = AvellanedaStoikov(gamma=gamma, k=k)
    bid, ask = model.distances(q, tau_s, sigma, k)
    flat_bid, flat_ask = model.distances(0, tau_s, sigma, k)
    assert bid + ask == pytest.approx(flat_bid + flat_ask, rel=1e-9, abs=1e-12 * (abs(bid) + abs(ask)))
    assert flat_bid == flat_ask
    assert model.distances(-q, tau_s, sigma, k) == pytest.approx((ask, bid), rel=1e-12, abs=1e-12)


@given(K)
def test_markup_tends_to_one_over_k_without_risk_aversion(k):
    """(1/gamma) ln(1 + gamma/k) tends to 1/k; a series replaces the logarithm before it loses digits."""
    for gamma in (1e-7 * k, 1.01e-8 * k, 0.99e-8 * k, 1e-12 * k):
        bid, _ = AvellanedaStoikov(gamma=gamma, k=k).distances(0, 0.0, 1.0, k)
        assert bid == pytest.approx(1 / k - gamma / (2 * k * k), rel=1e-9)


@given(GAMMA, K, st.integers(1, 30), st.data())
def test_infinite_horizon_quotes_mirror_and_end_at_the_bound(gamma, k, q_max, data):
    """At the bound there is no quote that would go beyond it."""
    model = AvellanedaStoikov(gamma=gamma, k=k, mode="infinite", q_max=q_max)
    q = data.draw(st.integers(-q_max, q_max))
    bid, ask = model.distances(q, 30.0, 1.0, k)
    assert model.distances(-q, 30.0, 1.0, k) == pytest.approx((ask, bid), rel=1e-9)
    assert (bid == math.inf) == (q == q_max)
    assert (ask == math.inf) == (q == -q_max)
    if -q_max < q < q_max:
        assert model.distances(q + 1, 30.0, 1.0, k)[0] > bid


def test_q_max_ends_quotes_in_rolling_mode():
    """q_max means the same in every mode."""
    model = AvellanedaStoikov(gamma=0.1, k=1.0, q_max=3)
    assert model.distances(3, 30.0, 1.0, 1.0)[0] == math.inf
    assert model.distances(-3, 30.0, 1.0, 1.0)[1] == math.inf


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"gamma": 0.0, "k": 1.0}, "gamma is 0.0; it must be a number above 0 or auto"),
        ({"k": -1.0}, "k is -1.0"),
        ({"k": 1.0, "mode": "weekly"}, "mode is 'weekly'; it must be one of rolling, session, infinite"),
        ({"k": 1.0, "mode": "infinite"}, "needs q_max"),
        ({}, "k is missing"),
        ({"k": 1.0, "sigma": -1.0}, "sigma is -1.0"),
        ({"k": 1.0, "horizon_s": math.nan}, "horizon_s is nan"),
    ],
)
def test_invalid_parameter_is_named_in_usage_error(params, message):
    """The message names the parameter, its value, and the allowed values."""
    with pytest.raises(UsageError, match=message):
        AvellanedaStoikov(**params)


def test_model_accepts_intensity_in_place_of_k():
    """A fit or a schedule is enough; its k is read at each requote."""
    market = {"bid_ticks": 990, "ask_ticks": 1010, "inventory_lots": 2, "quote_lots": 1, "sigma_ticks": 1.5}
    by_fit = AvellanedaStoikov(gamma=0.1, intensity=Intensity.constant(0.5, 0.3)).answer(**market)
    by_k = AvellanedaStoikov(gamma=0.1, k=0.3).answer(**market)
    assert (by_fit.bid_ticks, by_fit.ask_ticks) == (by_k.bid_ticks, by_k.ask_ticks)
    spread = 0.1 * 1.5**2 * 30 + 2 / 0.1 * math.log(1 + 0.1 / 0.3)
    assert by_fit.ask_ticks - by_fit.bid_ticks == pytest.approx(spread)
