"""Compiled optimal quotes compared with the oracle of `quotes_oracle.py`, at hundreds of random parameters."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from quotes_oracle import (
    Problem,
    closed_form,
    distances,
    general_form,
    long_run_theta,
    theta_by_equation,
    theta_by_series,
)

from mm.backtest.quotes.bounded import CarteaJaimungal, Glft, Gueant

TIMES = st.floats(-3, 4).map(lambda power: 10**power)


def log_uniform(low, high):
    """Draw a number between two bounds, uniform in its logarithm."""
    return st.floats(math.log10(low), math.log10(high)).map(lambda power: float(f"{10**power:.6g}"))


@st.composite
def markets(draw, most=25):
    """Draw the parameters of all models, with drift and impact in proportion to volatility and k."""
    k, sigma = draw(log_uniform(0.02, 5)), draw(log_uniform(1e-3, 5))
    return {
        "k": k,
        "A": draw(log_uniform(1e-3, 50)),
        "Q": draw(st.integers(1, most)),
        "sigma": sigma,
        "mu": draw(st.sampled_from([0.0, 0.1, -0.1, 0.003])) * sigma,
        "xi": draw(st.sampled_from([0.0, 0.0, 0.2, 1.0])) / k,
    }


def assert_quotes_match(problem, theta, model, unit=1.0, tolerance=1e-9):
    """Compare all quotes of *model*, including missing ones, with those of *theta*; distances in units of 1/k."""
    expected = np.array(distances(problem, theta)).T
    actual = np.array([model.distances(float(n * unit)) for n in problem.q])
    assert (np.isinf(expected) == np.isinf(actual)).all()
    quoted = np.isfinite(expected)
    scale = np.maximum(1 / problem.k, np.abs(expected[quoted]))
    assert (np.abs(actual[quoted] - expected[quoted]) / scale).max() < tolerance


def glft(problem, mode, **more):
    """Return the compiled model of a problem with exponential utility."""
    params = {"k": problem.k, "A": problem.A, "sigma": problem.sigma, "q_max": problem.Q}
    return Glft(mode=mode, gamma=problem.gamma, drift=problem.mu, impact=problem.xi, **params, **more)


@settings(max_examples=150, deadline=None)
@given(markets(), log_uniform(1e-6, 2), TIMES)
def test_glft_with_finite_horizon_equals_series(market, gamma, tau):
    """With drift and impact, from a thousandth of a second to hours."""
    problem = Problem(**market, gamma=gamma)
    assert_quotes_match(problem, theta_by_series(problem, tau), glft(problem, "exact", horizon_s=tau))


STEEP = {"k": 4.743, "A": 0.008613, "Q": 26, "sigma": 0.129, "mu": -0.01286, "xi": 0.1685}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(markets(most=40), log_uniform(1e-6, 2), TIMES, st.booleans())
@example(STEEP, 0.0126, 10.0, True)
@example({**STEEP, "mu": 0.01286}, 0.0126, 10.0, False)
@example({**STEEP, "mu": 0.0, "Q": 40}, 0.0126, 0.1, True)
@example({**STEEP, "Q": 40}, 0.0126, 2e4, True)
def test_distances_of_one_level_equal_those_of_all_levels(market, gamma, tau, lowest):
    """Only the levels that matter are solved; with impact the end at inventory 0 matters to the furthest level."""
    problem = Problem(**market, gamma=gamma)
    expected = distances(problem, theta_by_series(problem, tau))
    q = -problem.Q if lowest else problem.Q
    actual = glft(problem, "exact", horizon_s=tau).distances(q)
    for side, distance in zip(expected, actual, strict=True):
        assert distance == pytest.approx(side[q + problem.Q], rel=1e-9, abs=1e-9 / problem.k)


@settings(max_examples=25, deadline=None)
@given(markets(most=10), log_uniform(1e-4, 1), st.floats(0.01, 50))
def test_glft_with_finite_horizon_solves_its_equation(market, gamma, tau):
    """Compared with the original control problem, integrated without any change of variable."""
    problem = Problem(**market, gamma=gamma)
    assert_quotes_match(problem, theta_by_equation(problem, tau), glft(problem, "exact", horizon_s=tau), tolerance=1e-5)


@settings(max_examples=60, deadline=None)
@given(markets(), log_uniform(1e-6, 2))
def test_stationary_glft_equals_ground_state(market, gamma):
    """Also where v falls by hundreds of orders of magnitude between the bounds."""
    problem = Problem(**market, gamma=gamma)
    assert_quotes_match(problem, long_run_theta(problem), glft(problem, "stationary"))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(markets(), log_uniform(1e-6, 2), st.sampled_from([0.0, 1e-3, 0.3]), st.sampled_from([0.5, 1.0, 4.0]), TIMES)
def test_gueant_equals_the_problem_counted_in_orders(market, gamma, xi, size, tau):
    """An order size and a separate risk aversion of fills give the same problem with inventory counted in orders."""
    own = {"gamma": xi * size, "phi": (gamma - xi) * size * market["sigma"] ** 2 / 2}
    problem = Problem(**market, **own)
    params = {"gamma": gamma, "xi": xi, "delta": size, "drift": problem.mu, "impact": problem.xi}
    params |= {"k": problem.k, "A": problem.A, "sigma": problem.sigma, "q_max": problem.Q * size}
    assert_quotes_match(problem, long_run_theta(problem), Gueant(mode="stationary", **params), size)
    assert_quotes_match(problem, theta_by_series(problem, tau), Gueant(mode="exact", horizon_s=tau, **params), size)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(markets(), log_uniform(1e-6, 0.5), st.sampled_from([0.0, 0.01, 0.5]), TIMES)
def test_cartea_jaimungal_equals_problem_without_utility(market, phi, alpha, tau):
    """Linear in money, with a running penalty and a final penalty that vanishes in the long run."""
    problem = Problem(k=market["k"], A=market["A"], Q=market["Q"], phi=phi, alpha=alpha)
    params = {"phi": phi, "alpha": alpha, "k": problem.k, "A": problem.A, "q_max": problem.Q}
    assert_quotes_match(problem, theta_by_series(problem, tau), CarteaJaimungal(mode="exact", horizon_s=tau, **params))
    assert_quotes_match(problem, long_run_theta(problem), CarteaJaimungal(mode="stationary", **params))


@settings(max_examples=100, deadline=None)
@given(markets(), log_uniform(1e-6, 2), st.integers(-40, 40))
def test_closed_forms_equal_published_formulas(market, gamma, q):
    """Guéant, Lehalle and Fernandez-Tapia with drift and impact; Guéant with a size and either risk aversion."""
    problem = Problem(**market, gamma=gamma)
    params = {"k": problem.k, "A": problem.A, "sigma": problem.sigma, "gamma": gamma, "mode": "closed_form"}
    model = Glft(**params, drift=problem.mu, impact=problem.xi)
    assert model.distances(q) == pytest.approx(closed_form(problem, q), rel=1e-9, abs=1e-9 / problem.k)
    for size, xi in ((1.0, gamma), (3.0, gamma), (0.5, 0.0)):
        expected = general_form(q, gamma=gamma, sigma=problem.sigma, k=problem.k, A=problem.A, size=size, xi=xi)
        actual = Gueant(**params, xi=xi, delta=size).distances(q)
        assert actual == pytest.approx(expected, rel=1e-9, abs=1e-9 / problem.k)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(markets(most=20), log_uniform(1e-5, 1), st.lists(log_uniform(0.01, 2), min_size=3, max_size=3), st.data())
def test_quotes_with_varying_volatility_equal_the_oracle(market, gamma, sigmas, data):
    """As with volatility from the tape, which changes each second: stored solutions are interpolated."""
    problem = Problem(**{**market, "mu": 0.0}, gamma=gamma)
    model = Glft(
        mode="stationary", gamma=gamma, k=problem.k, A=problem.A, q_max=problem.Q, drift=0.0, impact=problem.xi
    )
    for sigma in sigmas:
        own = replace(problem, sigma=sigma)
        bids, asks = distances(own, long_run_theta(own))
        q = data.draw(st.integers(-problem.Q, problem.Q))
        answer = model.answer(bid_ticks=-1, ask_ticks=1, inventory_lots=q, quote_lots=1, sigma_ticks=sigma)
        at = q + problem.Q
        for side, distance, price in ((-1, bids[at], answer.bid_ticks), (1, asks[at], answer.ask_ticks)):
            assert (price is None) == math.isinf(distance)
            if price is not None:
                assert price == pytest.approx(side * distance, rel=1e-7, abs=1e-7 / problem.k)
