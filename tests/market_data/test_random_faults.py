"""Random scripts: several faults at once, on one connection or a pair, and the day is true."""

import pytest
from random_faults import endure

from boxed import quicken


@pytest.mark.parametrize("seed", range(20))
def test_whatever_goes_wrong_the_day_is_true(seed, monkeypatch):
    """And in the end the book is right again, and no trade is missing."""
    quicken(monkeypatch)
    endure(seed, 5, 4.0)
