# Generated from mm/backtest/metrics/_resting_states.pyx by `make stubs`; edit that file instead.

"""Order states over time, in one pass over the orders of a run: the kernel of ``resting_states.py``.

Why compiled: about ten stretches per order, each from a merge of seven sequences of instants. For 14 busy hours of
orders that follow the mid these are two million stretches, which took seconds and 300 MB as array columns.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

RESTED_US: int
NOWHERE = 1 << 62

class LifeStates:
    """The states of the orders of a run, from its path of the mid and its market paths; each state is stored once.

    Args:
        lives: int64[orders, 7], the table of `Lives`.
        rested: Whether each order rested in the book.
        sent: Distance at which each was sent, in half ticks; `NOWHERE` without a valid book.
        path: Instants at which the mid changed, and bid + ask from then on (0: no valid book).
        recent_us: Time for which a move of the mid counts as recent.
        market: For each path of `MarketPaths`, that of buys and that of sells: instants, and the number from then on;
            the first number also applies before the first instant.
    """
    def __new__(
        cls,
        lives: NDArray[np.int64],
        rested: NDArray[np.uint8],
        sent: NDArray[np.int64],
        path: tuple[NDArray[np.int64], NDArray[np.int64]],
        recent_us: int,
        market: Sequence[Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]],
    ) -> Self: ...
    def stretches(
        self, start_us: int, end_us: int, also: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return begin and length of each stretch in ``[start, end)``, in µs, and the number of its state.

        Args:
            start_us: Start.
            end_us: End, exclusive.
            also: Ascending instants at which stretches are cut, in addition to the changes of state.
        """
    def filled(self, us: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the state of orders just before instants; -1 without a valid book.

        Args:
            us: int64[n], ascending.
            order: int64[n], rows of the orders.
        """
    def met(self) -> NDArray[np.int64]:
        """Return the distinct states so far, int64[n, 7], with the columns of `Stretches`."""
