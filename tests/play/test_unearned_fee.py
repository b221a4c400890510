"""The fee that a half-spread must earn, in ticks of a contract's price."""

import pytest

from mm.backtest.rules import Rules
from mm.play.terms import unearned_fee


@pytest.mark.parametrize(("multiplier", "expected"), [(1, (2.0, 10.0)), (5, None)])
def test_fee_of_a_contract_is_divided_by_its_multiplier(multiplier, expected):
    """.1 for a unit, a tick of .01: ten ticks of one base unit, two of a contract of five, which two ticks earn."""
    rules = Rules(
        tick_e8=10**6,
        lot_e8=10**8,
        maker_fee_e8=0,
        maker_unit_fee_e8=10**7,
        multiplier=multiplier,
        enforce_balances=False,
    )
    assert unearned_fee((10_000, 4), rules, None) == expected
