"""Sums and quantiles against Python's own integers and numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.metrics import arithmetic


def test_a_quotient_by_nothing_is_undefined():
    """Not zero, not infinity."""
    assert arithmetic.quotient(3, 4) == 0.75
    assert arithmetic.quotient(3, 0) is None


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50))
def test_a_sum_of_quantities_is_exact_beyond_64_bits(values):
    """An order may have as many lots as 64 bits hold, and there are many orders."""
    assert arithmetic.exact_sum(np.array(values, np.int64)) == sum(values)


@given(st.lists(st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)), max_size=50))
def test_products_are_summed(pairs):
    """As the formula says, in an order that no machine chooses."""
    first, second = np.array(pairs, float).reshape(-1, 2).T
    assert arithmetic.dot(first, second) == sum(a * b for a, b in pairs)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=50), st.floats(0, 1))
def test_quantiles_are_those_of_numpy(values, share):
    """Without what numpy would import for them."""
    assert arithmetic.quantiles(np.array(values), [share]) == pytest.approx([np.quantile(values, share)], abs=1e-9)
