# Generated from mm/sim/flow/_queues.pyx by `make stubs`; edit that file instead.

"""The order flow of the queue markets: limit orders, market orders and cancellations, independent of each other.

R. Cont, S. Stoikov, R. Talreja: A stochastic model for order book dynamics, Operations Research 58 (2010); with the
sizes and the finite reach of E. Smith, J. D. Farmer, L. Gillemot, S. Krishnamurthy, Quantitative Finance 3 (2003).

- Limit orders of each side arrive at each distance i = 1, 2, … ticks from the other side's best price, each distance
  with its own rate; if the other side is empty, its last best price counts. They never trade on arrival.
- Market orders of each side arrive at a constant rate; what finds no counterpart expires.
- Every resting order is cancelled at the same rate, whatever its price and its age.
- Sizes are geometric, at least 1 lot.
- The opening book has at each distance as many orders as arrive on average during the life of one (a Poisson draw), at
  least one at the best price.

All waiting times are exponential: one clock with the total rate, and one draw of the kind per event.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mm.sim.matching._core import Matching

class QueueFlow:
    """One session of a queue market.

    Args:
        matching: The matching engine, with an empty book.
        clock: The opening, and the instant from which orders arrive (µs).
        limits: float64[n]: limit orders per side, summed over the distances up to and including each (1/s).
        rates: Market orders per side (1/s), and cancellations of each resting order (1/s).
        lots: Mean size of a limit order and of a market order, lots.
        best_bid: The best bid at the opening (ticks); the best ask is one tick above.
        key: Function from a purpose to the random key of its draws.
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
        """Return the number of orders of each kind so far, by the side on which they rest or which they hit."""
