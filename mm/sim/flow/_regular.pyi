# Generated from mm/sim/flow/_regular.pyx by `make stubs`; edit that file instead.

"""The flow of the regular markets: a book with a level at every tick around a mid that walks, and sweeps into it.

- At the session's opening a maker quotes every level, one order each, of a quantity between half and one and a half
  of the mean. At the first depth instant it quotes both touches again, so that frames begin where the flow does.
- The mid stands still between depth instants. At each it moves by a whole number of ticks: the difference of two
  Poisson draws, whose variance is sigma² times the step to the last digit. The maker first takes back what its book
  no longer holds and then quotes what it holds now; an order of a user's that the mid has passed trades with it.
- Orders of each aggressor side come by themselves as a Poisson process of rate A, and each that reaches the touch of
  an undisturbed book excites further ones, of its side and of the other. What excites is what trades, so that trades
  are a Hawkes process: its kernels are own · beta · exp(-beta t) and cross · beta · exp(-beta t). Since a part p of the
  orders reaches the touch, one that does excites own / p and cross / p orders, and so own and cross that trade. The
  process begins at its mean.
- Each order reaches past the mid by an exponential distance of rate k. It is an IOC order at the last price within
  its reach, of all that rests before that price and a part of what rests at it, or of one level where more rests. So
  orders that trade at an on-grid distance d from the mid come at the rate A·exp(-k·d), exactly; one that does not
  reach the touch expires.
- An order that finds its millisecond taken by one of its side waits for the next free one, and all orders come in
  the middle of a millisecond: prints of one side and ms are one order, and none is at a depth instant.
- What a sweep touched is quoted again at once; what a user took is quoted again at the next depth instant.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mm.sim.matching._core import Matching

class RegularFlow:
    """One session of a regular market.

    Args:
        matching: The engine; nothing rests there yet.
        clock: The opening and the first depth instant (µs), and the time between two (µs).
        book: The best bid (ticks), the spread (ticks), levels a side, and their mean quantity (lots).
        laws: float64[n, 6], rising in the first column: seconds after the first depth instant from which it holds,
            sigma (ticks/√s), A (1/s) and k (1/tick) of the orders that hit bids, A and k of those that hit asks.
            Where there is an excitation, one law.
        excitation: Orders that one excites on its own side and on the other, and beta in 1/s.
        key: From a purpose to the key of its draws.
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
        """Send everything up to and including *until_us* that was not sent yet.

        Raises:
            UsageError: If the price falls to where the book would need prices below one tick.
        """
    def counts(self) -> dict[str, object]:
        """Return the orders sent so far, those that traded, and those that reached past the edge of the book."""
