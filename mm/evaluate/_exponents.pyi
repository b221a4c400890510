# Generated from mm/evaluate/_exponents.pyx by `make stubs`; edit that file instead.

"""Queue positions under many exponents in one replay of a day, as the replay costs more than all queues."""

import numpy as np
from numpy.typing import NDArray

from mm.backtest.fills.queue import QueueProbPower

class QueueByExponents(QueueProbPower):
    """`queue_prob_power` for orders of one lot with many exponents, each with its own queue position of an order.

    - all rules are those of `QueueProbPower`, separately for each exponent
    - orders share the lots of a print separately for each exponent
    - an order is filled once it is filled under all exponents

    Args:
        exponents: The exponents.
        orders: Total number of orders; their ids count from 1.
    """
    def __init__(self, exponents: NDArray[np.float64], orders: int) -> None: ...
    def ahead_lots(self, order_id: int) -> NDArray[np.float64]:
        """Return the lots ahead of a resting order, by exponent; 0 if it has filled."""
