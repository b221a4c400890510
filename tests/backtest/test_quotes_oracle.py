"""The oracle of optimal quotes: its three methods agree with each other and with published numbers."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from quotes_oracle import (
    Problem,
    closed_form,
    distances,
    general_form,
    hamiltonian_by_search,
    long_run_theta,
    theta_by_equation,
    theta_by_series,
)

PAPER = {"k": 1.5, "A": 140.0, "sigma": 2.0}


@st.composite
def problems(draw, most=12):
    """Draw a control problem with all parameters."""
    return Problem(
        k=draw(st.floats(0.05, 3)),
        A=draw(st.floats(0.01, 10)),
        Q=draw(st.integers(1, most)),
        sigma=draw(st.floats(0, 1.5)),
        mu=draw(st.floats(-0.05, 0.05)),
        xi=draw(st.sampled_from([0.0, 0.3])),
        gamma=draw(st.sampled_from([0.0, 1e-3, 0.05, 0.5])),
        phi=draw(st.sampled_from([0.0, 0.02])),
        alpha=draw(st.sampled_from([0.0, 0.05])),
    )


def largest_difference(problem, theta, other_theta):
    """Return the largest difference between the quotes of two thetas, where there are quotes."""
    pairs = zip(distances(problem, theta), distances(problem, other_theta), strict=True)
    return max(np.abs(a[np.isfinite(a)] - b[np.isfinite(b)]).max() for a, b in pairs)


@pytest.mark.parametrize(("gamma", "change"), list(product([0.0, 0.1, 2.0], [-1.0, 0.0, 0.7])))
def test_closed_form_of_hamiltonian_equals_numerical_search(gamma, change):
    """The closed expressions for the best distance and its value."""
    problem = Problem(k=0.8, A=3.0, Q=1, gamma=gamma)
    worth, where = hamiltonian_by_search(problem, change)
    assert where == pytest.approx(problem.markup - change, abs=1e-5)
    assert worth == pytest.approx(problem.eta / problem.k * math.exp(problem.k * change), rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(problems(), st.floats(1e-3, 20))
def test_equation_and_series_agree(problem, tau):
    """One integrates, the other sums; impact and drift enter in different places."""
    assert (
        largest_difference(problem, theta_by_equation(problem, tau), theta_by_series(problem, tau)) < 1e-6 / problem.k
    )


@settings(max_examples=25, deadline=None)
@given(problems())
def test_series_tends_to_the_long_run(problem):
    """After the slowest mode has decayed, quotes do not change any more."""
    late = theta_by_series(problem, 1e5)
    assume(largest_difference(problem, late, theta_by_series(problem, 2e5)) < 1e-10 / problem.k)
    assert largest_difference(problem, late, long_run_theta(problem)) < 1e-7 / problem.k


@pytest.mark.parametrize(("gamma", "worth"), [(0.01, 67.845689), (0.1, 64.133489), (1.0, 45.199668)])
def test_value_of_the_papers_session_equals_reference(gamma, worth):
    """The certainty equivalent of the best quotes in continuous time, with the parameters of the 2008 paper."""
    problem = Problem(**PAPER, Q=60, gamma=gamma)
    assert theta_by_equation(problem, 1.0)[60] == pytest.approx(worth, abs=1e-6)


@pytest.mark.parametrize(
    ("sigma", "A", "q", "exact", "approximate"),
    [
        (0.3, 0.9, 0, (3.313045, 3.313045), (3.312915, 3.312915)),
        (0.3, 0.9, 10, (3.992933, 2.632802), (3.991574, 2.634257)),
        (0.4, 0.9, -5, (2.869957, 3.778746), (2.871787, 3.776665)),
        (1.0, 0.2, 10, (8.022747, -1.072185), (8.317763, -1.279915)),
    ],
)
def test_long_run_quotes_equal_reference(sigma, A, q, exact, approximate):
    """Guéant, Lehalle and Fernandez-Tapia's parameters: k 0.3, gamma 0.01, at most 30 units."""
    problem = Problem(k=0.3, A=A, Q=30, sigma=sigma, gamma=0.01)
    bid, ask = distances(problem, long_run_theta(problem))
    assert (bid[q + 30], ask[q + 30]) == pytest.approx(exact, abs=1e-6)
    assert closed_form(problem, q) == pytest.approx(approximate, abs=1e-6)
    assert general_form(q, gamma=0.01, sigma=sigma, k=0.3, A=A, size=1.0, xi=0.01) == pytest.approx(
        approximate, abs=1e-6
    )
