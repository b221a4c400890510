# Generated from mm/sim/flow/_queues.pyx by `make stubs`; edit that file instead.

"""The flow of the queue markets: limit orders, market orders and cancellations, independent of each other.

R. Cont, S. Stoikov, R. Talreja: A stochastic model for order book dynamics, Operations Research 58 (2010); with the
sizes and the finite reach of E. Smith, J. D. Farmer, L. Gillemot, S. Krishnamurthy, Quantitative Finance 3 (2003).

- Limit orders of each side come at each distance i = 1, 2, … ticks from the other side's best price at a rate of its
  own; where the other side is empty, its last best price counts. They never trade when they come.
- Market orders of each side come at a rate; what finds no counterpart expires.
- Every resting order is cancelled at one rate, whatever its price and its age.
- Sizes are geometric, 1 lot at least.
- The opening book holds at each distance as many orders as come on average in the life of one (a Poisson draw), at
  the best price one at least.

All waiting times are exponential: one clock of the total rate, and for each event a draw of its kind.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mm.sim.matching._core import Matching

class QueueFlow:
    """One session of a queue market.

    Args:
        matching: The engine; nothing rests there yet.
        clock: The opening, and the instant from which orders come (µs).
        limits: float64[n]: limit orders of a side, summed over the distances up to and including each (1/s).
        rates: Market orders of a side (1/s), and cancellations of each resting order (1/s).
        lots: Mean size of a limit order, and of a market order.
        best_bid: The best bid at the opening (ticks); the best ask is one tick above.
        key: From a purpose to the key of its draws.
    """
    def __init__(
        self,
        matching: Matching,
        clock: tuple[int, int],
        limits: NDArray[np.float64],
        rates: tuple[float, float],
        lots: tuple[int, int],
        best_bid: int,
        key: Callable[[str], int],
    ) -> None: ...
    def advance(self, until_us: int) -> None:
        """Send everything up to and including *until_us* that was not sent yet."""
    def counts(self) -> dict[str, object]:
        """Return how many orders of each kind were sent so far, by the side they rest on or hit."""
