"""A worthless design does not become green by being played again, and one with an edge is still found."""

import pytest

from chosen_trials import share

pytestmark = pytest.mark.slow


def test_the_best_of_fifty_worthless_designs_stays_worthless():
    """Alone, the next commands say above 0 in a third of cases and more; with the ledger in one of twenty at most."""
    found = share(200)
    assert found["alone"] > 0.3
    assert found["allowed"] <= 0.06


def test_a_true_edge_is_found():
    """Three tenths of a standard deviation a minute, in eight hours."""
    assert share(60, edge=0.3)["allowed"] >= 0.9
