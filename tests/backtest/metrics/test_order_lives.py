"""Orders told by their fills."""

import numpy as np

from mm.backtest.metrics import order_lives


def test_partial_orders_are_counted_once():
    """Two parts of one order, one order filled whole, one filled short."""
    ids, lots = np.array([4, 4, 5, 9]), np.array([1, 2, 7, 3])
    assert order_lives.partial_orders(ids, lots, np.array([4, 5, 9]), np.array([3, 7, 8])) == 2
