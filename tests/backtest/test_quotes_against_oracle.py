"""Compiled optimal quotes compared with the oracle of `quotes_oracle.py`, at hundreds of random parameters."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from quotes_oracle import (
    Problem,
    by_equation,
    by_series,
    closed_form,
    distances,
    general_form,
    in_the_long_run,
)

from mm.backtest.quotes.bounded import CarteaJaimungal, Glft, Gueant

TIMES = st.floats(-3, 4).map(lambda power: 10**power)


def spread(low, high):
    """Draw a number between two powers of ten, small ones as often as large ones."""
    return st.floats(math.log10(low), math.log10(high)).map(lambda power: float(f"{10**power:.6g}"))


@st.composite
def markets(draw, most=25):
    """Draw what all models share, with drift and impact in the sizes that volatility and k allow."""
    k, sigma = draw(spread(0.02, 5)), draw(spread(1e-3, 5))
    return {
        "k": k,
        "A": draw(spread(1e-3, 50)),
        "Q": draw(st.integers(1, most)),
        "sigma": sigma,
        "mu": draw(st.sampled_from([0.0, 0.1, -0.1, 0.003])) * sigma,
        "xi": draw(st.sampled_from([0.0, 0.0, 0.2, 1.0])) / k,
    }


def hold(problem, theta, model, unit=1.0, tolerance=1e-9):
    """Compare all quotes of *model*, and where it has none, with those of *theta*; distances in units of 1/k."""
    wanted = np.array(distances(problem, theta)).T
    got = np.array([model.distances(float(n * unit)) for n in problem.q])
    assert (np.isinf(wanted) == np.isinf(got)).all()
    quoted = np.isfinite(wanted)
    scale = np.maximum(1 / problem.k, np.abs(wanted[quoted]))
    assert (np.abs(got[quoted] - wanted[quoted]) / scale).max() < tolerance


def glft(problem, mode, **more):
    """Return the compiled model of a problem with exponential utility."""
    how = {"k": problem.k, "A": problem.A, "sigma": problem.sigma, "q_max": problem.Q}
    return Glft(mode=mode, gamma=problem.gamma, drift=problem.mu, impact=problem.xi, **how, **more)


@settings(max_examples=150, deadline=None)
@given(markets(), spread(1e-6, 2), TIMES)
def test_glft_before_an_end_is_the_series(market, gamma, tau):
    """Finite horizon, with drift and impact, from a thousandth of a second to hours."""
    problem = Problem(**market, gamma=gamma)
    hold(problem, by_series(problem, tau), glft(problem, "exact", horizon_s=tau))


STEEP = {"k": 4.743, "A": 0.008613, "Q": 26, "sigma": 0.129, "mu": -0.01286, "xi": 0.1685}


@settings(max_examples=60, deadline=None)
@given(markets(most=40), spread(1e-6, 2), TIMES, st.booleans())
@example(STEEP, 0.0126, 10.0, True)
@example({**STEEP, "mu": 0.01286}, 0.0126, 10.0, False)
@example({**STEEP, "mu": 0.0, "Q": 40}, 0.0126, 0.1, True)
@example({**STEEP, "Q": 40}, 0.0126, 2e4, True)
def test_a_level_asked_for_alone_is_what_it_is_among_all(market, gamma, tau, lowest):
    """Only what matters to it is solved then; with impact the end at inventory 0 matters to the furthest level."""
    problem = Problem(**market, gamma=gamma)
    wanted = distances(problem, by_series(problem, tau))
    q = -problem.Q if lowest else problem.Q
    got = glft(problem, "exact", horizon_s=tau).distances(q)
    for side, distance in zip(wanted, got, strict=True):
        assert distance == pytest.approx(side[q + problem.Q], rel=1e-9, abs=1e-9 / problem.k)


@settings(max_examples=25, deadline=None)
@given(markets(most=10), spread(1e-4, 1), st.floats(0.01, 50))
def test_glft_before_an_end_solves_its_equation(market, gamma, tau):
    """The same, integrated as the original control problem, without any change of variable."""
    problem = Problem(**market, gamma=gamma)
    hold(problem, by_equation(problem, tau), glft(problem, "exact", horizon_s=tau), tolerance=1e-5)


@settings(max_examples=60, deadline=None)
@given(markets(), spread(1e-6, 2))
def test_glft_far_from_an_end_is_the_ground_state(market, gamma):
    """Where v falls by hundreds of powers of ten between the bounds, sixty digits still know it."""
    problem = Problem(**market, gamma=gamma)
    hold(problem, in_the_long_run(problem), glft(problem, "stationary"))


@settings(max_examples=60, deadline=None)
@given(markets(), spread(1e-6, 2), st.sampled_from([0.0, 1e-3, 0.3]), st.sampled_from([0.5, 1.0, 4.0]), TIMES)
def test_gueant_is_the_problem_in_orders(market, gamma, xi, size, tau):
    """Orders of a size, and a risk of fills of its own, are the same problem with inventory counted in orders."""
    own = {"gamma": xi * size, "phi": (gamma - xi) * size * market["sigma"] ** 2 / 2}
    problem = Problem(**market, **own)
    how = {"gamma": gamma, "xi": xi, "delta": size, "drift": problem.mu, "impact": problem.xi}
    how |= {"k": problem.k, "A": problem.A, "sigma": problem.sigma, "q_max": problem.Q * size}
    hold(problem, in_the_long_run(problem), Gueant(mode="stationary", **how), size)
    hold(problem, by_series(problem, tau), Gueant(mode="exact", horizon_s=tau, **how), size)


@settings(max_examples=60, deadline=None)
@given(markets(), spread(1e-6, 0.5), st.sampled_from([0.0, 0.01, 0.5]), TIMES)
def test_cartea_jaimungal_is_the_problem_without_utility(market, phi, alpha, tau):
    """Money, a running penalty, and one at the end that the long run forgets."""
    problem = Problem(k=market["k"], A=market["A"], Q=market["Q"], phi=phi, alpha=alpha)
    how = {"phi": phi, "alpha": alpha, "k": problem.k, "A": problem.A, "q_max": problem.Q}
    hold(problem, by_series(problem, tau), CarteaJaimungal(mode="exact", horizon_s=tau, **how))
    hold(problem, in_the_long_run(problem), CarteaJaimungal(mode="stationary", **how))


@settings(max_examples=100, deadline=None)
@given(markets(), spread(1e-6, 2), st.integers(-40, 40))
def test_closed_forms_are_the_printed_ones(market, gamma, q):
    """Guéant, Lehalle and Fernandez-Tapia with drift and impact; Guéant with a size, by either attitude to risk."""
    problem = Problem(**market, gamma=gamma)
    how = {"k": problem.k, "A": problem.A, "sigma": problem.sigma, "gamma": gamma, "mode": "closed_form"}
    model = Glft(**how, drift=problem.mu, impact=problem.xi)
    assert model.distances(q) == pytest.approx(closed_form(problem, q), rel=1e-9, abs=1e-9 / problem.k)
    for size, xi in ((1.0, gamma), (3.0, gamma), (0.5, 0.0)):
        wanted = general_form(q, gamma=gamma, sigma=problem.sigma, k=problem.k, A=problem.A, size=size, xi=xi)
        got = Gueant(**how, xi=xi, delta=size).distances(q)
        assert got == pytest.approx(wanted, rel=1e-9, abs=1e-9 / problem.k)


@settings(max_examples=25, deadline=None)
@given(markets(most=20), spread(1e-5, 1), st.lists(spread(0.01, 2), min_size=3, max_size=3), st.data())
def test_a_run_with_the_tapes_own_volatility_quotes_the_same(market, gamma, sigmas, data):
    """There the volatility is another one each second, and solutions are looked up between those at hand."""
    problem = Problem(**{**market, "mu": 0.0}, gamma=gamma)
    model = Glft(
        mode="stationary", gamma=gamma, k=problem.k, A=problem.A, q_max=problem.Q, drift=0.0, impact=problem.xi
    )
    for sigma in sigmas:
        own = replace(problem, sigma=sigma)
        bids, asks = distances(own, in_the_long_run(own))
        q = data.draw(st.integers(-problem.Q, problem.Q))
        told = model.answer(bid_ticks=-1, ask_ticks=1, inventory_lots=q, quote_lots=1, sigma_ticks=sigma)
        at = q + problem.Q
        for side, distance, price in ((-1, bids[at], told.bid_ticks), (1, asks[at], told.ask_ticks)):
            assert (price is None) == math.isinf(distance)
            if price is not None:
                assert price == pytest.approx(side * distance, rel=1e-7, abs=1e-7 / problem.k)
