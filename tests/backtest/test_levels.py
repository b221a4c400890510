"""The values of inventory levels, held to decimals of 60 digits at ordinary and at absurd numbers."""

import math

import numpy as np
import pytest
from exact_levels import after, for_ever
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mm.backtest.quotes.levels import MOST_LEVELS, InventoryLevels
from mm.errors import UsageError

TINY_TO_HUGE = st.floats(-9, 3).map(lambda power: 10.0**power)
QUICK = settings(max_examples=60, deadline=None)


def near(steps, rounding=0.0):
    """Match ten digits; *rounding* is how far the entries of M are off, where two of them compete."""
    return pytest.approx(steps, rel=1e-10, abs=1e-10 + 1e-14 * rounding)


@QUICK
@given(st.integers(1, 7), TINY_TO_HUGE, st.floats(-9, 9), st.floats(-9, 3).map(lambda power: 10.0**power), st.data())
@example(3, 1e9, 0.0, 1e-9, None)
@example(5, 1e-9, 0.0, 1e3, None)
def test_after_a_time_each_step_is_right_to_ten_digits(bound, rho, shift, time, data):
    """Neighbouring values may differ by hundreds of powers of ten, as with a steep end and no time to go."""
    bend = data.draw(st.sampled_from([0.0, 1e-6, 0.3, 20.0])) if data else 0.0
    wanted = after(bound, rho, rho * shift, time, bend)
    assert InventoryLevels(bound).steps(rho, rho * shift, time, bend) == near(wanted)


@QUICK
@example(1, 1.0, -1.0)  # where halving meets the eigenvalue of a part
@given(st.integers(1, 12), st.floats(-15, 12).map(lambda power: 10.0**power), st.floats(-9, 9))
def test_for_ever_each_step_is_right_to_ten_digits(bound, rho, shift):
    """The eigenvector's smallest entries count as much as its largest: they are quotes too."""
    off = rho if shift else 0.0
    assert InventoryLevels(bound).steps(rho, rho * shift) == near(for_ever(bound, rho, rho * shift), off)


def test_a_hundred_levels_below_the_smallest_float_are_told_apart():
    """v falls below 1e-400 here."""
    steps = InventoryLevels(100).steps(100.0)
    assert sum(steps[100:]) < -400 * math.log(10)
    assert steps == near(for_ever(100, 100.0, 0.0))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 15), st.floats(-6, 1).map(lambda power: 10.0**power), st.floats(-2, 2), st.floats(0, 1))
def test_a_long_time_is_for_ever(bound, rho, shift, bend):
    """Whatever v began as: when the second eigenvalue has died, by stages that end, and without any."""
    levels, n = InventoryLevels(bound), np.arange(-bound, bound + 1.0)
    smallest = np.linalg.eigvalsh(np.diag(rho * n * (n - shift)) - np.eye(len(n), k=1) - np.eye(len(n), k=-1))
    for deaths in (45, 200, 1e300):
        time = deaths / (smallest[1] - smallest[0])
        assert levels.steps(rho, rho * shift, time, bend) == near(levels.steps(rho, rho * shift))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), TINY_TO_HUGE, st.floats(0.01, 20), st.booleans())
def test_mirrored_levels_mirror(bound, rho, time, forever):
    """Only the drift distinguishes long from short."""
    steps = InventoryLevels(bound).steps(rho, 0.0, None if forever else time)
    assert [-step for step in reversed(steps)] == near(steps)
    drifting = InventoryLevels(bound).steps(rho, 0.5 * rho, None if forever else time)
    against = InventoryLevels(bound).steps(rho, -0.5 * rho, None if forever else time)
    assert [-step for step in reversed(against)] == near(drifting)


def test_no_time_leaves_the_end_as_it_is():
    assert InventoryLevels(2).steps(1.0, 0.0, 0.0, 0.5) == [1.5, 0.5, -0.5, -1.5]


@pytest.mark.parametrize("bound", [0, -3, MOST_LEVELS + 1])
def test_a_bound_that_cannot_be_is_named(bound):
    with pytest.raises(UsageError, match=f"an inventory bound of {bound} orders; it must be 1 to {MOST_LEVELS}"):
        InventoryLevels(bound)
