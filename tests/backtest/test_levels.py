"""The values of inventory levels, compared with decimals of 60 digits, also at extreme parameters."""

import math

import numpy as np
import pytest
from exact_levels import exact_finite_steps, exact_infinite_steps
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mm.backtest.quotes.bounded import MOST_LEVELS, InventoryLevels
from mm.errors import UsageError

TINY_TO_HUGE = st.floats(-9, 3).map(lambda power: 10.0**power)
QUICK = settings(max_examples=60, deadline=None)


def near(steps, rounding=0.0):
    """Match ten digits; *rounding* is the error of the entries of M where two of them nearly cancel."""
    return pytest.approx(steps, rel=1e-10, abs=1e-10 + 1e-14 * rounding)


@pytest.mark.slow
@QUICK
@given(st.integers(1, 7), TINY_TO_HUGE, st.floats(-9, 9), st.floats(-9, 3).map(lambda power: 10.0**power), st.data())
@example(3, 1e9, 0.0, 1e-9, None)
@example(5, 1e-9, 0.0, 1e3, None)
def test_finite_time_steps_have_ten_correct_digits(bound, rho, shift, time, data):
    """Neighbouring values may differ by hundreds of orders of magnitude, as with a steep end and no time left."""
    bend = data.draw(st.sampled_from([0.0, 1e-6, 0.3, 20.0])) if data else 0.0
    expected = exact_finite_steps(bound, rho, rho * shift, time, bend)
    assert InventoryLevels(bound).steps(rho, rho * shift, time, bend) == near(expected)


@QUICK
@example(1, 1.0, -1.0)  # where bisection meets the eigenvalue of a part
@given(st.integers(1, 12), st.floats(-15, 12).map(lambda power: 10.0**power), st.floats(-9, 9))
def test_infinite_time_steps_have_ten_correct_digits(bound, rho, shift):
    """The eigenvector's smallest entries matter as much as its largest: they give quotes too."""
    off = rho if shift else 0.0
    assert InventoryLevels(bound).steps(rho, rho * shift) == near(exact_infinite_steps(bound, rho, rho * shift), off)


def test_steps_are_exact_where_values_underflow():
    """v falls below 1e-400 here."""
    steps = InventoryLevels(100).steps(100.0)
    assert sum(steps[100:]) < -400 * math.log(10)
    assert steps == near(exact_infinite_steps(100, 100.0, 0.0))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 15), st.floats(-6, 1).map(lambda power: 10.0**power), st.floats(-2, 2), st.floats(0, 1))
def test_long_time_equals_infinite_time(bound, rho, shift, bend):
    """For any final values: after the second eigenvalue has decayed, through a finite number of stages or many."""
    levels, n = InventoryLevels(bound), np.arange(-bound, bound + 1.0)
    smallest = np.linalg.eigvalsh(np.diag(rho * n * (n - shift)) - np.eye(len(n), k=1) - np.eye(len(n), k=-1))
    for decays in (45, 200, 1e300):
        time = decays / (smallest[1] - smallest[0])
        assert levels.steps(rho, rho * shift, time, bend) == near(levels.steps(rho, rho * shift))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), TINY_TO_HUGE, st.floats(0.01, 20), st.booleans())
def test_steps_of_long_and_short_mirror(bound, rho, time, infinite):
    """Only drift distinguishes long from short."""
    steps = InventoryLevels(bound).steps(rho, 0.0, None if infinite else time)
    assert [-step for step in reversed(steps)] == near(steps)
    drifting = InventoryLevels(bound).steps(rho, 0.5 * rho, None if infinite else time)
    opposite = InventoryLevels(bound).steps(rho, -0.5 * rho, None if infinite else time)
    assert [-step for step in reversed(opposite)] == near(drifting)


def test_zero_time_returns_steps_of_the_final_values():
    assert InventoryLevels(2).steps(1.0, 0.0, 0.0, 0.5) == [1.5, 0.5, -0.5, -1.5]


@pytest.mark.parametrize("bound", [0, -3, MOST_LEVELS + 1])
def test_invalid_bound_raises_usage_error(bound):
    with pytest.raises(UsageError, match=f"an inventory bound of {bound} orders; it must be 1 to {MOST_LEVELS}"):
        InventoryLevels(bound)
