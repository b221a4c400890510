# Generated from mm/evaluate/_exponents.pyx by `make stubs`; edit that file instead.

"""Queues by many exponents in one play of a day: playing the book costs more than all of its queues."""

import numpy as np
from numpy.typing import NDArray

from mm.backtest.fills.queue import QueueProbPower

class QueueByExponents(QueueProbPower):
    """`queue_prob_power` for orders of one lot with many exponents, each with a place of its own in an order's queue.

    - every rule is that of `QueueProbPower`, for one exponent after another
    - orders take lots of a print from each other by each exponent alone
    - an order is filled once it is by all exponents

    Args:
        exponents: The exponents.
        orders: How many orders are placed in all; their ids count from 1.
    """
    def __init__(self, exponents: NDArray[np.float64], orders: int) -> None: ...
    def ahead_lots(self, order_id: int) -> NDArray[np.float64]:
        """Return how many lots stand ahead of a resting order, by exponent; 0 where it has filled."""
