"""The half-spread that earns a fee, in ticks of a contract's price."""

import pytest

from mm.backtest.run_terms import break_even_ticks


@pytest.mark.parametrize(("multiplier", "expected"), [(1, 10.0), (5, 2.0)])
def test_fee_of_a_contract_is_divided_by_its_multiplier(multiplier, expected):
    """.1 for a unit, a tick of .01: ten ticks of one base unit, two of a contract of five."""
    assert break_even_ticks((0, 10**7), 10_000, 10**6, multiplier) == expected
