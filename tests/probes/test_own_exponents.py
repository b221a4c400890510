"""Fits to own fills hold the exponent that a market is known to have; ``own_exponents.py`` says how often."""

import pytest

from own_exponents import MARKETS, holds


@pytest.mark.slow
@pytest.mark.parametrize(("market", "seed"), [(MARKETS[0], 101), (MARKETS[1], 102)])
def test_interval_has_the_exponent_of_uniform_cancellation(tmp_path, market, seed):
    """An hour each: the book of each change, and a book of 100 ms."""
    fit = market.fit(tmp_path, seed)
    assert fit.usable
    assert holds(fit)
