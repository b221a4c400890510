"""Sums and quantiles against Python's own integers and numpy, Poisson intervals against scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson
from scipy.stats import t as student

from mm.base import arithmetic
from mm.base.arithmetic import (
    mean_interval,
    poisson_mid_p,
    ratio_interval,
)
from mm.base.estimate import student_quantile


def test_quotient_by_zero_is_none():
    """Neither zero nor infinity."""
    assert arithmetic.quotient(3, 4) == 0.75
    assert arithmetic.quotient(3, 0) is None


@given(st.lists(st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)), max_size=50))
def test_dot_sums_products(pairs):
    """As in the formula, in an order independent of the machine."""
    first, second = np.array(pairs, float).reshape(-1, 2).T
    assert arithmetic.dot(first, second) == sum(a * b for a, b in pairs)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50))
def test_whole_sum_is_exact_beyond_64_bits(values):
    """One order may use all 64 bits, and there are many orders."""
    assert arithmetic.whole_sum(np.array(values, np.int64)) == sum(values)
    assert arithmetic.greatest(np.array(values, np.int64)) == max(map(abs, values), default=0)


@given(st.integers(1, 2_000))
def test_mean_interval_limits_have_their_tail_probabilities(count):
    """At the lower mean the count or more has a probability of 1/40, at the upper mean the count or fewer."""
    low, high = mean_interval(count)
    assert poisson.sf(count - 1, low) == pytest.approx(0.025, rel=1e-8)
    assert poisson.cdf(count, high) == pytest.approx(0.025, rel=1e-8)


@given(st.integers(0, 500), st.floats(0.01, 600))
def test_poisson_mid_p_equals_scipy(count, mean):
    """The probability of fewer, plus half that of exactly as many."""
    expected = poisson.cdf(count, mean) - poisson.pmf(count, mean) / 2
    assert poisson_mid_p(count, mean) == pytest.approx(expected, rel=1e-9, abs=1e-13)


@given(st.one_of(st.integers(0, 50), st.integers(0, 10**7)), st.floats(0, allow_nan=False))
def test_ratio_interval_is_finite_or_undefined(count, expected):
    """1 / 1e-310 is infinite, and JSON has no infinity: it made a whole summary invalid."""
    found = ratio_interval(count, expected, mean_interval(count))
    assert found == (None, None, None) or all(math.isfinite(value) for value in found)
    assert ratio_interval(1, 1e-310, (0.1, 5.0)) == (None, None, None)
    standing_of = poisson_mid_p(count, expected) if expected < math.inf else None
    assert standing_of is None or 0 <= standing_of <= 1


def test_ratio_without_expectation_is_undefined():
    """With an expectation, an unknown interval leaves the ratio defined."""
    assert ratio_interval(3, 0.0, (1.0, 6.0)) == (None, None, None)
    assert poisson_mid_p(3, 0.0) is None
    assert ratio_interval(3, 2.0, (1.0, 6.0)) == (1.5, 0.5, 3.0)
    assert ratio_interval(3, 2.0, (None, None)) == (1.5, None, None)


def test_student_quantile_equals_scipy():
    """For all degrees of freedom up to 59, and for larger ones."""
    for degrees in [*range(1, 60), 333, 1440]:
        assert student_quantile(degrees) == pytest.approx(student.ppf(0.975, degrees), rel=1e-11)
