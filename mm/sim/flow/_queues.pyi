# Generated from mm/sim/flow/_queues.pyx by `make stubs`; edit that file instead.

"""The order flow of the queue markets: limit orders, market orders and cancellations, independent of each other.

R. Cont, S. Stoikov, R. Talreja: A stochastic model for order book dynamics, Operations Research 58 (2010); with the
sizes and the finite reach of E. Smith, J. D. Farmer, L. Gillemot, S. Krishnamurthy, Quantitative Finance 3 (2003).

- Limit orders of each side arrive at each distance i = 1, 2, … ticks from the other side's best price, each distance
  with its own rate; if the other side is empty, its last best price is used. They never trade on arrival.
- Market orders of each side arrive at a constant rate; an unfilled remainder expires.
- Every resting order is cancelled at the same rate, independent of its price and its age.
- Sizes are geometric, at least 1 lot.
- In the opening book, the number of orders at each distance is a Poisson draw with the mean arrivals during an order's
  mean lifetime; at the best price it is at least one.

All waiting times are exponential: the next event is drawn at the total rate, and then its kind.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mm.sim.matching._core import Matching

class QueueFlow:
    """One session of a queue market.

    Args:
        matching: The matching engine, with an empty book.
        clock: Opening time, and start time of the order flow (µs).
        limits: float64[n]: rate of limit orders per side, cumulative over distances (1/s).
        rates: Rates of market orders per side (1/s) and of cancellations of each resting order (1/s).
        lots: Mean size of a limit order and of a market order, lots.
        best_bid: The best bid at the opening (ticks); the best ask is one tick above.
        key: Function that returns the random key for the draws of a purpose.
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
        """Send all orders up to and including *until_us* that were not sent yet."""
    def counts(self) -> dict[str, object]:
        """Return the number of orders of each kind so far, by the side on which they rest or that they hit."""
