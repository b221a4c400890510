# Generated from mm/backtest/metrics/_resting_states.pyx by `make stubs`; edit that file instead.

"""How orders stand from instant to instant, in one pass over the lives of a run: what ``resting_states.py`` returns.

Why compiled: some ten stretches an order, each from a merge of seven sequences of instants. On 14 busy hours of orders
that follow the mid this is two million of them, and columns of them took seconds and 300 MB.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

RESTED_US: int
NOWHERE = 1 << 62

class LifeStates:
    """The orders of a run, its path of the mid and the paths of its market, and the states that were met, each once.

    Args:
        lives: int64[orders, 7], the table of `Lives`.
        rested: Of each order, whether it came to rest.
        sent: Distance at which each was sent, in half ticks; `NOWHERE` without a valid book.
        path: When the mid changed, and bid + ask from then on (0: no valid book).
        recent_us: How long a move of the mid is recent.
        market: For each path of `MarketPaths`, that of buys and that of sells: instants, and the number from then on;
            before the first instant it is the first one.
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
            start_us: First instant.
            end_us: The first one after it.
            also: Instants, rising, at which stretches are cut, beside those at which a state changes.
        """
    def filled(self, us: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the state in which orders stood just before instants; -1 without a valid book.

        Args:
            us: int64[n], rising.
            order: int64[n], rows of the orders.
        """
    def met(self) -> NDArray[np.int64]:
        """Return the states that were met, int64[n, 7], with the columns of `Stretches`."""
