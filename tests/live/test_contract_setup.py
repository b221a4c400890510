"""How an account of contracts must be set up before anything is traded on it."""

import pytest

from mm.errors import Mismatch, UsageError
from mm.instrument import E8
from mm.live.venues.positions import ContractSetup, check_bracket, check_setup

SETUP = ContractSetup(False, False, False, 20, 5_000_000 * E8)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"hedged": True}, (None, None)),
        ({"several_assets": True}, (None, None)),
        ({}, (10, None)),
        ({}, (30, None)),
        ({}, (None, "isolated")),
    ],
)
def test_setup_that_does_not_fit_is_refused(changes, wanted):
    """Nothing is changed, so each is an error."""
    with pytest.raises(Mismatch):
        check_setup("BTCUSDT", SETUP._replace(**changes), *wanted)
    check_setup("BTCUSDT", SETUP, 20, "cross")


def test_position_at_the_bracket_is_allowed():
    """One above it is not."""
    check_bracket("BTCUSDT", SETUP, 50 * E8, 100_000 * E8)
    with pytest.raises(UsageError):
        check_bracket("BTCUSDT", SETUP, 50 * E8 + 1, 100_000 * E8)
