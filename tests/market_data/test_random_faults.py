"""Random fault scripts: several faults at once, on one connection or a pair, leave a true day."""

import pytest
from random_faults import endure

from boxed import quicken


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_day_is_true_under_random_faults(seed, monkeypatch):
    """At the end the book is correct, and no trade is missing."""
    quicken(monkeypatch)
    endure(seed, 5, 4.0)
