"""The inventory bound of a quote model, at any depth of nesting."""

import pytest

from mm.backtest.fills.intensity import Intensity
from mm.backtest.models import avellaneda_stoikov, avellaneda_stoikov_bare, fixed_spread
from mm.backtest.quotes.steps import Gated, InventoryBound, PostOnly
from mm.backtest.strategy_info import bound_clips


class Bounded:
    """A user's model that declares its bound."""

    q_max = 3

    def quote(self, view):
        return None


AS = {"gamma": 0.1, "k": 1.0, "sigma": 1.0}


@pytest.mark.parametrize(
    ("model", "bound"),
    [
        (fixed_spread(delta_ticks=1), None),
        (avellaneda_stoikov_bare(**AS), None),
        (avellaneda_stoikov(**AS), 30.0),
        (avellaneda_stoikov_bare(**AS, q_max=4.0), 4.0),
        (Bounded(), 3.0),
        (InventoryBound(fixed_spread(delta_ticks=1), q_max=2.5), 2.5),
        (PostOnly(InventoryBound(avellaneda_stoikov_bare(**AS, q_max=2.0), q_max=9.0)), 2.0),
        (Gated(avellaneda_stoikov_bare(**AS, q_max=7.0), Intensity.constant(1.0, 1.0)), 7.0),
    ],
)
def test_bound_clips_returns_tightest_bound(model, bound):
    """Of a model, of the steps around it, and inside a schedule; None stands for no bound."""
    assert bound_clips(model) == bound
