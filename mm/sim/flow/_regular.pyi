# Generated from mm/sim/flow/_regular.pyx by `make stubs`; edit that file instead.

"""The order flow of the regular markets: a book with a level at every tick around a random-walk mid, and sweeps.

- At the session's opening a maker quotes every level, one order each, with a quantity between half and one and a half
  times the mean. At the first depth message it replaces its orders at both touches, so that frames start with the flow.
- The mid is constant between depth messages. At each it moves by a whole number of ticks: the difference of two Poisson
  draws, whose variance is exactly sigma² times the step. The maker first cancels the levels outside its new book and
  then quotes the new ones; a user's order that the mid has passed trades with the maker.
- Orders of each aggressor side arrive spontaneously as a Poisson process of rate A, and each that would reach the touch
  of an undisturbed book excites further ones, on its side and on the other. Trading orders excite, so trades form a
  Hawkes process: its kernels are own · beta · exp(-beta t) and cross · beta · exp(-beta t). A share p of the orders
  reaches the touch; an order that does excites own / p and cross / p orders, of which own and cross trade. The process
  begins at its mean rate.
- The reach of each order past the mid is exponential with rate k. It is an IOC order at the last price within its
  reach, for the whole quantity before that price and a part of the quantity at it, or for one level if that is more. So
  orders that trade at an on-grid distance d from the mid arrive at exactly the rate A·exp(-k·d); an order that does not
  reach the touch expires.
- An order waits for the next millisecond without an order of its side, and arrives in the middle of it: all prints of
  one side and millisecond belong to one order, and no order arrives at the time of a depth message.
- The maker replaces levels taken by a sweep at once, and levels taken by a user at the next depth message.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mm.sim.matching._core import Matching

class RegularFlow:
    """One session of a regular market.

    Args:
        matching: The matching engine, with an empty book.
        clock: Times of the opening and of the first depth message (µs), and the time between two depth messages (µs).
        book: The best bid (ticks), the spread (ticks), levels per side, and their mean quantity (lots).
        laws: float64[n, 6], ascending in the first column: start of the law (s after the first depth message), sigma
            (ticks/√s), A (1/s) and k (1/tick) of the orders that hit bids, A and k of those that hit asks. One law if
            there is an excitation.
        excitation: Number of orders that an order excites on its own and on the other side, and beta (1/s).
        key: Function that returns the random key for the draws of a purpose.
    """
    def __init__(
        self,
        matching: Matching,
        clock: tuple[int, int, int],
        book: tuple[int, int, int, int],
        laws: NDArray[np.float64],
        excitation: tuple[float, float, float],
        key: Callable[[str], int],
    ) -> None: ...
    def advance(self, until_us: int) -> None:
        """Send all orders up to and including *until_us* that were not sent yet.

        Raises:
            UsageError: If the price falls so far that the book would need prices below one tick.
        """
    def counts(self) -> dict[str, object]:
        """Return the number of orders so far, of orders that traded, and of orders that reached past the book."""
